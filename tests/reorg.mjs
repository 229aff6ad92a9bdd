// I6 on a real chain: the block of a settled payment is taken out of the running
// node before it is final. What can come back is brought back; what cannot is
// booked as a loss; the grant stands.
//
//   node tests/reorg.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { account } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { world } from './lib/world.mjs';

/** More per gas than the program ever bids here. */
const FIRST_IN_BLOCK = { fee: 50_000_000_000n, tip: 10_000_000_000n, landed: false };

const node = (here, method, ...params) => rpc(here.net.base.rpc_url, method, ...params);
/** 0 stops the clock of blocks: they are mined by hand then. */
const blockEvery = (here, seconds) => node(here, 'evm_setIntervalMining', seconds);
const receiptOf = (here, transaction) => node(here, 'eth_getTransactionReceipt', transaction);
const newest = async here => (await stack.books(here.config))[0];
const shown = (here, id) => buyer.journalOf(here.config, id);
const counted = (payment, event) => payment.journal.filter(line => line.event === event).length;

/** Buys in a block mined by hand, which is the newest and not final: `{ signed, answer, payment }`. */
async function boughtInNewestBlock(here, api) {
  const signed = await buyer.sign(here.net, api, 'base');
  await blockEvery(here, 0);
  const asked = buyer.insist(api, signed);
  const { transaction } = await until('the payment on record', async () => {
    const payment = await newest(here);
    return payment?.state === 'recorded' && payment;
  });
  await until('ours in the pool', () => node(here, 'eth_getTransactionByHash', transaction));
  await node(here, 'evm_mine');
  const answer = await asked;
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
  const payment = await newest(here);
  assert.equal(payment.state, 'settled');
  const { number } = await node(here, 'eth_getBlockByNumber', 'finalized', false);
  const { blockNumber } = await receiptOf(here, transaction);
  assert.ok(Number(number) < Number(blockNumber), 'the block is not final');
  return { signed, answer, payment };
}

/** Replaces the newest block by an empty one. */
async function takeOut(here, transaction) {
  await node(here, 'anvil_reorg', 1, []);
  assert.equal(await receiptOf(here, transaction), null, 'the receipt is gone');
}

async function assertGrantStands(here, api, signed, answer, id) {
  const again = await buyer.once(api, signed);
  assert.deepEqual([again.status, again.text], [200, answer.text]);
  const payment = await shown(here, id);
  assert.deepEqual([payment.state, payment.delivery], ['settled', 'delivered']);
  buyer.assertSoundJournal(payment, 1);
  return payment;
}

/** The same bytes land again, at once or after a kill. */
async function comesBack(here, api, restart) {
  const { signed, answer, payment: { id, transaction } } = await boughtInNewestBlock(here, api);
  if (restart) await stack.stop(api.child, 'SIGKILL');
  await takeOut(here, transaction);
  await blockEvery(here, 1);
  const now = restart ? await restart() : api;
  await until('the landing to be final', async () => counted(await shown(here, id), 'finalized') === 1, 90);
  const payment = await assertGrantStands(here, now, signed, answer, id);
  assert.equal(payment.finality, 'finalized');
  assert.equal(counted(payment, 'recorded'), 1, 'nothing was signed again');
  assert.equal(payment.transaction, transaction, 'the same bytes');
  assert.equal((await receiptOf(here, transaction)).status, '0x1');
  return now;
}

/** The payer cancels in the new block: it never comes back. */
async function isLost(here, api, somebody, payer) {
  const { signed, answer, payment: { id, transaction } } = await boughtInNewestBlock(here, api);
  await takeOut(here, transaction);
  await third.cancel(here.net, somebody, payer, signed.payment, FIRST_IN_BLOCK);
  await node(here, 'evm_mine');
  await blockEvery(here, 1);
  await until('the loss in the ledger', async () => counted(await shown(here, id), 'reorged_loss') === 1, 90);
  const payment = await assertGrantStands(here, api, signed, answer, id);
  const receipt = await receiptOf(here, transaction);
  assert.ok(receipt === null || receipt.status === '0x0', 'the money did not come back');
  assert.equal(payment.finality, 'reorged_loss');
  const told = api.child.log.filter(line => line.includes('ERROR') && line.includes('took a settled payment for good') && line.includes(id));
  assert.equal(told.length, 1, 'an operator is told, once');
  return { id, amount: BigInt(payment.amount) };
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'reorg', { bin: stack.BIN, pendingSeconds: 30 });
  let api = await here.start({ NO_COLOR: '1' });
  const opened = await buyer.opening(net, 'base', here.payTo.base);
  const somebody = await third.person(net);
  const payer = account(net.base.payer_key);

  await test('base: a landed payment is taken out of the chain: the same bytes land again', async () => {
    await comesBack(here, api);
  });
  await test('base: the same while the process is dead', async () => {
    api = await comesBack(here, api, () => here.start({ NO_COLOR: '1' }));
  });
  let lost;
  await test('base: it is taken out and cancelled: the loss is booked, the grant stands', async () => {
    lost = await isLost(here, api, somebody, payer);
  });
  await test("base: the wallet's next payment settles", async () => {
    const final = await buyer.insist(api, await buyer.sign(net, api, 'base'), 60);
    assert.equal(final.status, 200, final.text.slice(0, 300));
  });
  await test('base: the chain has what the ledger says, but for the loss', async () => {
    const books = (await stack.books(here.config)).filter(one => one.state === 'settled');
    assert.equal(books.length, 4);
    const kept = books.filter(one => one.id !== lost.id).reduce((sum, one) => sum + BigInt(one.amount), 0n);
    const { balance } = await buyer.opening(net, 'base', here.payTo.base);
    assert.equal(balance - opened.balance, kept);
  });
  await stack.stop(api.child);
});
finish();
