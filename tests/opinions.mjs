// I7 with two endpoints per chain: above `second_opinion_usdc` no payment is
// settled on one endpoint's word; an end that cannot be repaired (expired,
// cancelled) needs both; below the limit one endpoint is enough to sell on.
//
//   node tests/opinions.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { seconds } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const DEAD = { method: '*', action: 'http_status', status: 503, times: 1_000_000 };

/** A gate with two endpoints per chain, both behind proxies. */
async function gate(net, folder, name, limit) {
  const proxies = {};
  const more = {};
  for (const network of NETWORKS) {
    proxies[network] = [await faultyProxy(net[network].rpc_url), await faultyProxy(net[network].rpc_url)];
    more[network] = { rpc_urls: proxies[network].map(proxy => proxy.url), second_opinion_usdc: limit };
  }
  const here = await world(net, folder, name, { bin: stack.BIN, pendingSeconds: 3, timeoutMs: 1_000, more });
  return { here, proxies, api: await here.start() };
}

const landed = (net, network, transaction) => until('the transaction on chain', () => network === 'base'
  ? rpc(net.base.rpc_url, 'eth_getTransactionReceipt', transaction)
  : rpc(net.solana.rpc_url, 'getTransaction', transaction, { commitment: 'confirmed', maxSupportedTransactionVersion: 0, encoding: 'json' }));

async function needsBoth({ here, proxies, api }, net, network) {
  const signed = await buyer.sign(net, api, network);
  await proxies[network][1].faults(DEAD);
  const first = await buyer.once(api, signed);
  assert.equal(first.status, 503, first.text.slice(0, 300));
  assert.equal(first.receipt.errorReason, 'settlement_pending');
  await landed(net, network, first.receipt.transaction);
  // It has landed, and one endpoint says so: that is not enough.
  const second = await buyer.once(api, signed);
  assert.deepEqual([second.status, second.receipt.errorReason], [503, 'settlement_pending']);
  const [{ state }] = await stack.books(here.config);
  assert.equal(state, 'recorded');
  await proxies[network][1].healthy();
  const final = await buyer.insist(api, signed);
  assert.equal(final.status, 200, final.text.slice(0, 300));
  assert.equal(final.receipt.transaction, first.receipt.transaction);
}

async function oneIsEnough({ proxies, api }, net, network) {
  for (const index of [1, 0]) {
    const signed = await buyer.sign(net, api, network);
    await proxies[network][index].faults(DEAD);
    const final = await buyer.insist(api, signed);
    assert.equal(final.status, 200, final.text.slice(0, 300));
    await proxies[network][index].healthy();
  }
}

/** The deadline passes while one endpoint is silent: no verdict from the other alone. */
async function expiryNeedsBoth({ here, proxies, api }, net) {
  const signed = await buyer.sign(net, api, 'base', { fields: { validBefore: String(seconds() + 12) } });
  for (const proxy of proxies.base) await proxy.faults({ method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 });
  const first = await buyer.once(api, signed);
  assert.equal(first.receipt?.errorReason, 'settlement_pending', first.text.slice(0, 300));
  await proxies.base[1].faults(DEAD);
  const { validBefore } = signed.payment.payload.authorization;
  const final = block => Number(block.timestamp) > Number(validBefore) + 3;
  await until('the deadline to be final', async () => final(await rpc(net.base.rpc_url, 'eth_getBlockByNumber', 'finalized', false)));
  const still = await buyer.once(api, signed);
  assert.deepEqual([still.status, still.receipt.errorReason], [503, 'settlement_pending']);
  await proxies.base[1].healthy();
  const end = await buyer.insist(api, signed);
  assert.equal(end.status, 402);
  assert.equal(end.json.code, 'payment_expired');
  const [{ state }] = await stack.books(here.config);
  assert.equal(state, 'expired');
  await proxies.base[0].healthy();
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const strict = await gate(net, folder, 'strict', '0.000001');
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, strict.here.payTo[network])));
  for (const network of NETWORKS) {
    await test(`${network}: above the limit a landing needs two endpoints`, () => needsBoth(strict, net, network));
  }
  await test('base: an expiry needs two endpoints', () => expiryNeedsBoth(strict, net));
  for (const opening of opened) {
    await test(`${opening.network}: the ledger agrees with the chain`, () => buyer.assertBooks(net, strict.here.config, opening));
  }
  await stack.stop(strict.api.child);
  const easy = await gate(net, folder, 'easy', '1000.00');
  for (const network of NETWORKS) {
    await test(`${network}: below the limit either endpoint is enough`, () => oneIsEnough(easy, net, network));
  }
  await stack.stop(easy.api.child);
});
finish();
