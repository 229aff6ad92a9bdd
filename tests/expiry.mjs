// I5 and P5 on Solana: a transaction that no node takes ends by itself when its
// blockhash has expired; nothing is granted, nothing is paid, and what lands at
// the last moment is granted all the same.
//
//   node tests/expiry.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

/** A blockhash lives for 150 slots: some seconds. */
const SLOT_MS = '50';
const NEVER_SENT = { method: 'sendTransaction', action: 'drop_request', times: 100_000 };

const recorded = here => until('the payment on record', async () => {
  const [payment] = await stack.books(here.config);
  return payment?.state === 'recorded' && payment;
});

async function expires(here, api, proxy, restart) {
  const signed = await buyer.sign(here.net, api, 'solana');
  await proxy.faults(NEVER_SENT);
  const asked = buyer.once(api, signed);
  const { id, transaction } = await recorded(here);
  const began = await rpc(here.net.solana.rpc_url, 'getBlockHeight', { commitment: 'finalized' });
  if (restart) await restart();
  const first = await asked;
  // P5: no new 402 before the end is certain. Only a process that was killed while it
  // still waited gives no answer.
  if (!restart) assert.ok(first, 'an answer');
  if (first) {
    assert.equal(first.status, 503, first.text.slice(0, 300));
    assert.equal(first.receipt?.errorReason, 'settlement_pending');
    assert.equal(first.receipt.transaction, transaction);
  }
  const final = await buyer.insist(restart ? here : api, signed, 90);
  assert.equal(final.status, 402);
  assert.equal(final.json.code, 'payment_expired', final.text.slice(0, 300));
  const payment = await buyer.journalOf(here.config, id);
  assert.equal(payment.state, 'expired');
  buyer.assertSoundJournal(payment, 0);
  const height = await rpc(here.net.solana.rpc_url, 'getBlockHeight', { commitment: 'finalized' });
  assert.ok(height > began + 100, `expired after ${height - began} finalized blocks`);
  await proxy.healthy();
  const { value } = await rpc(here.net.solana.rpc_url, 'getSignatureStatuses', [transaction], { searchTransactionHistory: true });
  assert.equal(value[0], null, 'it never landed');
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--solana-slot-ms', SLOT_MS);
  const proxy = await faultyProxy(net.solana.rpc_url);
  const here = await world(net, folder, 'expiry', { bin: stack.BIN, rpc: { solana: proxy.url }, pendingSeconds: 2 });
  let api = await here.start();
  const opened = await buyer.opening(net, 'solana', here.payTo.solana);

  await test('solana: what no node takes expires, finally and unpaid', () => expires(here, api, proxy));
  await test('solana: it expires too when the process is killed meanwhile', () => expires(here, api, proxy, async () => {
    await stack.stop(api.child, 'SIGKILL');
    api = await here.start();
  }));
  await test('solana: dropped for a while, it lands before its blockhash expires and is granted', async () => {
    const signed = await buyer.sign(net, api, 'solana');
    await proxy.faults({ ...NEVER_SENT, times: 2 });
    const final = await buyer.insist(api, signed, 60);
    const met = (await proxy.counts()).faults.sendTransaction;
    assert.ok(met >= 2, 'the first broadcasts were dropped');
    assert.equal(final.status, 200, final.text.slice(0, 300));
  });
  await test('solana: the node says it failed, but it landed: found and granted', async () => {
    const signed = await buyer.sign(net, api, 'solana');
    const lie = { code: -32002, message: 'Transaction simulation failed: Blockhash not found' };
    await proxy.faults({ method: 'sendTransaction', action: 'error_after', error: lie });
    const final = await buyer.insist(api, signed, 60);
    assert.equal(final.status, 200, final.text.slice(0, 300));
  });
  await test('solana: the ledger agrees with the chain', async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.deepEqual(payments.map(one => one.state), ['settled', 'settled', 'expired', 'expired']);
  });
  await stack.stop(api.child);
});
finish();
