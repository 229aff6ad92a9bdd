// P2 on Solana: what landed while nobody looked is found, although the node's status
// cache has forgotten it by then; and a node that keeps no history either ends nothing.
//
//   node tests/forgotten.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

/** A validator's status cache of 300 slots is some seconds. */
const SLOT_MS = '20';
const CACHE = { after_slots: 300 };
const DEAF = { method: 'getSignatureStatuses', action: 'drop_request', times: 100_000 };
const AWAY = { method: '*', action: 'drop_request', times: 100_000 };

const upstream = (net, method, ...params) => rpc(net.solana.rpc_url, method, ...params);

/** A payment whose transaction is on chain and that nobody here has seen there. */
async function landedUnseen(here, api, proxy, more) {
  const before = new Set((await stack.books(here.config)).map(one => one.id));
  const signed = await buyer.sign(here.net, api, 'solana');
  await proxy.faults(DEAF);
  const asked = buyer.once(api, signed);
  const { id, transaction } = await until('the payment on record', async () => {
    const payment = (await stack.books(here.config)).find(one => !before.has(one.id));
    return payment?.state === 'recorded' && payment;
  });
  const { slot } = await until('the landing', async () => {
    const { value } = await upstream(here.net, 'getSignatureStatuses', [transaction], { searchTransactionHistory: true });
    return value[0];
  });
  await more();
  const first = await asked;
  if (first) assert.equal(first.status, 503, first.text.slice(0, 300));
  return { signed, id, transaction, slot };
}

/** Until the cache has forgotten it, its blockhash is dead, and that is final. */
const forgotten = (here, { slot }) => until('the cache to forget', async () =>
  await upstream(here.net, 'getSlot', { commitment: 'finalized' }) > slot + CACHE.after_slots + 100);

async function grantedOnce(here, api, { signed, id, transaction }) {
  const final = await buyer.insist(api, signed, 60);
  assert.equal(final.status, 200, final.text.slice(0, 300));
  assert.equal(final.receipt.transaction, transaction);
  const payment = await buyer.journalOf(here.config, id);
  assert.equal(payment.state, 'settled');
  buyer.assertSoundJournal(payment, 1);
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--solana-slot-ms', SLOT_MS);
  const [proxy, other] = await Promise.all([faultyProxy(net.solana.rpc_url), faultyProxy(net.solana.rpc_url)]);
  const here = await world(net, folder, 'forgotten', { bin: stack.BIN, rpc: { solana: proxy.url }, pendingSeconds: 2 });
  await proxy.forget(CACHE);
  let api = await here.start();
  const opened = await buyer.opening(net, 'solana', here.payTo.solana);

  await test('solana: it landed while the facilitator was away for longer than the node remembers', async () => {
    const payment = await landedUnseen(here, api, proxy, () => stack.stop(api.child, 'SIGKILL'));
    await forgotten(here, payment);
    await proxy.healthy();
    api = await here.start();
    await grantedOnce(here, api, payment);
  });
  await test('solana: it landed while the node was away for longer than it remembers', async () => {
    const payment = await landedUnseen(here, api, proxy, () => proxy.faults(AWAY));
    await forgotten(here, payment);
    await proxy.healthy();
    await grantedOnce(here, api, payment);
  });
  await test('solana: a node without a history ends nothing, and its landing counts once it has one', async () => {
    const payment = await landedUnseen(here, api, proxy, () => proxy.faults(AWAY));
    await forgotten(here, payment);
    await proxy.forget({ ...CACHE, no_history: true });
    await proxy.healthy();
    await proxy.reset();
    await until('several searches', async () => ((await proxy.counts()).methods.getEpochInfo ?? 0) >= 6);
    assert.equal((await buyer.once(api, payment.signed)).status, 503);
    assert.equal((await buyer.journalOf(here.config, payment.id)).state, 'recorded');
    const told = () => api.child.log.filter(line => line.includes('no endpoint keeps a history of transactions'));
    await until('somebody to be told why', () => told().length > 0, 60);
    assert.equal(told().length, 1);
    await proxy.forget(CACHE);
    await grantedOnce(here, api, payment);
  });
  await test('solana: the other node is asked where the first keeps no history', async () => {
    await other.forget(CACHE);
    const payment = await landedUnseen(here, api, proxy, () => stack.stop(api.child, 'SIGKILL'));
    await forgotten(here, payment);
    await proxy.healthy();
    await proxy.forget({ ...CACHE, no_history: true });
    const two = await stack.sampleApi(net, stack.configure(folder, net, {
      name: 'forgotten', port: Number(new URL(here.url).port),
      more: {
        base: { pay_to: here.payTo.base }, gate: { pending_wait_seconds: 2 },
        solana: { pay_to: here.payTo.solana, rpc_urls: [proxy.url, other.url] },
      },
    }), { bin: stack.BIN, env: { BASE_WALLET: here.wallet.key } });
    await grantedOnce(here, two, payment);
    await stack.stop(two.child);
  });
  await test('solana: the ledger agrees with the chain', () => buyer.assertBooks(net, here.config, opened));
});
finish();
