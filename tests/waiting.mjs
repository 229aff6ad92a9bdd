// What waiting costs: while a payment's transaction does not land, the node is asked
// more and more seldom, however many blocks the chain makes meanwhile; and what lands
// in the end is found at once.
//
//   node tests/waiting.mjs
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

/** How long it has waited before, and while, calls are counted. */
const WAITED_MS = 20_000;
/** A chain of 2 s cost that much by the second while something was under way: ten heads, and a nonce and a log query each block. */
const CALLS_A_SECOND_BEFORE = 11;
const LOOKS = {
  base: ['eth_getBlockByNumber', 'eth_getLogs', 'eth_getTransactionCount', 'eth_getTransactionReceipt'],
  solana: ['getSignatureStatuses', 'getEpochInfo', 'getSignaturesForAddress', 'getFirstAvailableBlock'],
};
const NEVER_SENT = {
  base: { method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 },
  solana: { method: 'sendTransaction', action: 'drop_request', times: 100_000 },
};

async function waits(here, api, network, proxy) {
  const signed = await buyer.sign(here.net, api, network);
  await proxy.faults(NEVER_SENT[network]);
  const first = await buyer.once(api, signed);
  assert.equal(first.receipt?.errorReason, 'settlement_pending', first.text.slice(0, 300));
  await sleep(network === 'base' ? WAITED_MS : WAITED_MS / 4);
  await proxy.reset();
  const began = Date.now();
  await sleep(network === 'base' ? WAITED_MS : WAITED_MS / 4);
  const { methods } = await proxy.counts();
  const seconds = (Date.now() - began) / 1000;
  const looks = LOOKS[network].reduce((sum, method) => sum + (methods[method] ?? 0), 0);
  stack.say(`${network}: ${(looks / seconds).toFixed(1)} looks a second, ${JSON.stringify(methods)}`);
  assert.ok(looks > 0, 'somebody looks');
  assert.ok(looks < seconds * CALLS_A_SECOND_BEFORE * 0.7, `${looks} calls in ${seconds} s: ${JSON.stringify(methods)}`);
  await proxy.healthy();
  const final = await buyer.insist(api, signed, 60);
  assert.equal(final.status, 200, final.text.slice(0, 300));
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxies = { base: await faultyProxy(net.base.rpc_url), solana: await faultyProxy(net.solana.rpc_url) };
  const here = await world(net, folder, 'waiting', {
    bin: stack.BIN, pendingSeconds: 2, rpc: { base: proxies.base.url, solana: proxies.solana.url },
  });
  const api = await here.start();
  const opened = await Promise.all(['base', 'solana'].map(network => buyer.opening(net, network, here.payTo[network])));
  for (const network of ['base', 'solana']) {
    await test(`${network}: what does not land is looked for more and more seldom`, () => waits(here, api, network, proxies[network]));
  }
  for (const opening of opened) {
    await test(`${opening.network}: the ledger agrees with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
  await stack.stop(api.child);
});
finish();
