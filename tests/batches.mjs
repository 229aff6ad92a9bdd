// Payments that wait behind a busy wallet share a transaction: each is told once, each has
// its transfer, and the shares of what that cost add up to it. A payer that takes the money
// away inside a batch keeps nobody else from landing, and a process that dies at any place
// around a batch loses nothing and pays nothing twice.
//
//   node tests/batches.mjs
//
// The facilitator must have been built with fail points (build_failpoints in scripts/lib.sh).
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { payBase, stranger } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

const viem = createRequire(new URL('./clients/package.json', import.meta.url))('viem');

const AMOUNT = '50000';
const CUSTOMERS = 33;
/** Long enough for all of them to come in: what goes together is then known. */
const WAIT_MS = 1_000;
/** Around a batch; the first time each is passed by the payment that goes alone. */
const PLACES = ['after_record:2', 'before_send:2', 'after_send:2', 'before_verdict:3', 'after_verdict:9'];

const place = address => viem.keccak256(viem.encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [address, 9n]));
const give = (net, address, units) => rpc(
  net.base.rpc_url, 'anvil_setStorageAt', net.base.usdc, place(address), viem.pad(viem.toHex(BigInt(units)), { size: 32 }),
);

async function customers(net, offer, count = CUSTOMERS) {
  const all = [];
  for (let number = 0; number < count; number += 1) {
    const someone = stranger();
    await give(net, someone.address, AMOUNT);
    all.push({ someone, payment: await payBase(someone, offer) });
  }
  return all;
}

/** All of them at once; the first one comes a little earlier and goes alone. */
const settleAll = (url, all) => Promise.all(all.map(({ payment }) => ask(url, 'settle', payment).catch(() => undefined)));

const shared = answers => {
  const counts = new Map();
  for (const { transaction } of answers) counts.set(transaction, (counts.get(transaction) ?? 0) + 1);
  return counts;
};

const metric = async (url, pattern) => Number((await (await fetch(`${url}/metrics`)).text()).match(pattern)?.[1] ?? 0);

const cost = async (net, hash) => {
  const { gasUsed, effectiveGasPrice, l1Fee } = await rpc(net.base.rpc_url, 'eth_getTransactionReceipt', hash);
  return BigInt(gasUsed) * BigInt(effectiveGasPrice) + BigInt(l1Fee ?? 0);
};

/** What of a transaction is in the books, over all payments. */
async function booked(config, payments, hash) {
  let sum = 0n;
  for (const { id } of payments) {
    const { journal } = await buyer.journalOf(config, id);
    for (const line of journal.filter(line => line.event === 'cost' && line.detail.transaction === hash)) sum += BigInt(line.detail.native);
  }
  return sum;
}

const more = (size = 64) => ({
  solana: { retired: true },
  base: { batch_size_max: size, batch_wait_ms: WAIT_MS },
  quote: { in_flight_network_usdc: '50', uncollected_network_day_usdc: '50', probe_network_day_usdc: '1' },
});

async function together(net, folder) {
  const here = await world(net, folder, 'together', { serve: true, bin: stack.BIN, more: more(), pendingSeconds: 20 });
  const { url, child } = await here.start();
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);
  const opened = await buyer.opening(net, 'base', here.payTo.base);
  const all = await customers(net, offer);
  const answers = await settleAll(url, all);
  await test(`of ${CUSTOMERS} payments that come at once many share a transaction, and each is told once`, async () => {
    assert.deepEqual(answers.map(answer => answer?.success), Array(CUSTOMERS).fill(true), JSON.stringify(answers.find(one => !one?.success)));
    const counts = shared(answers);
    assert.ok(Math.max(...counts.values()) >= 8, `payments by transaction: ${[...counts.values()]}`);
    for (const { payment } of all.slice(0, 3)) {
      const again = await ask(url, 'settle', payment);
      assert.deepEqual([again.success, again.errorReason], [false, 'duplicate_settlement']);
    }
    assert.ok(await metric(url, /quittance_transaction_payments_sum\{[^}]*8453"\} (\d+)/) >= CUSTOMERS);
  });
  await test('the books have one transfer for each, and shares that add up to what the transaction cost', async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    const [[hash]] = [...shared(answers)].sort((one, other) => other[1] - one[1]);
    const really = await cost(net, hash);
    await until('all shares to be booked', async () => await booked(here.config, payments, hash) === really, 20);
  });
  await stack.stop(child);
}

async function drained(net, folder) {
  const proxy = await faultyProxy(net.base.rpc_url);
  const here = await world(net, folder, 'drained', { serve: true, bin: stack.BIN, rpc: { base: proxy.url }, more: more(), pendingSeconds: 20 });
  const { url, child } = await here.start();
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);
  const all = await customers(net, offer);
  await proxy.faults({ method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 });
  const asked = settleAll(url, all);
  const recorded = async () => (await stack.books(here.config)).filter(one => one.state === 'recorded').length === CUSTOMERS;
  await until('all of them to be signed', recorded, 30);
  const transactions = (await stack.books(here.config)).map(({ transaction }) => ({ transaction }));
  const [[batch, count]] = [...shared(transactions)].sort((one, other) => other[1] - one[1]);
  const books = await stack.books(here.config);
  const victim = books.find(one => one.transaction === batch);
  await give(net, victim.payer, 0);
  await proxy.healthy();
  const answers = await asked;
  await test(`a payer drains inside a batch of ${count}: ${count - 1} settle`, async () => {
    assert.ok(count >= 8, `${count} in one transaction`);
    const failed = answers.filter(answer => !answer?.success);
    assert.equal(failed.length, 1, JSON.stringify(failed));
    assert.equal(failed[0].errorReason, 'settlement_pending');
    assert.equal(shared(answers.filter(answer => answer.success)).get(batch), count - 1);
  });
  await test('its share is burnt, and it settles alone when the money is back', async () => {
    const burnt = async () => (await buyer.journalOf(here.config, victim.id)).journal.filter(line => line.event === 'cost');
    await until('its share to be booked', async () => (await burnt()).length === 1, 20);
    const [line] = await burnt();
    assert.deepEqual([line.detail.earned, line.detail.transaction], [false, batch]);
    await give(net, victim.payer, AMOUNT);
    const settled = async () => (await stack.books(here.config)).find(one => one.id === victim.id && one.state === 'settled');
    const alone = await until('it to settle', settled, 60);
    assert.notEqual(alone.transaction, batch);
    const payments = await stack.books(here.config);
    assert.equal(payments.filter(one => one.transaction === alone.transaction).length, 1);
    assert.equal(await booked(here.config, payments, batch), await cost(net, batch), 'with the burnt share');
  });
  await stack.stop(child);
}

async function alone(net, folder) {
  const here = await world(net, folder, 'alone', { serve: true, bin: stack.BIN, more: more(1), pendingSeconds: 20 });
  const { url, child } = await here.start();
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);
  await test('with batch_size_max = 1 each has its own transaction', async () => {
    const answers = await settleAll(url, await customers(net, offer, 12));
    assert.ok(answers.every(answer => answer?.success), JSON.stringify(answers));
    assert.equal(shared(answers).size, 12);
  });
  await stack.stop(child);
}

async function killed(net, folder, at) {
  const here = await world(net, folder, `killed-${at.replace(':', '-')}`, { serve: true, more: more(), pendingSeconds: 20 });
  let serve = await here.start({ QUITTANCE_FAILPOINT: at });
  const offer = await terms(net, 'base', serve.url, here.payTo, AMOUNT);
  const opened = await buyer.opening(net, 'base', here.payTo.base);
  const all = await customers(net, offer, 12);
  await test(`the process dies at ${at} of a batch: nothing is lost, nothing is paid twice`, async () => {
    await settleAll(serve.url, all);
    await until('the process to die', () => serve.child.signalCode, 30);
    serve = await here.start();
    await settleAll(serve.url, all);
    const final = async () => (await stack.books(here.config)).every(one => one.state === 'settled');
    await until('all of them to settle', final, 60);
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.ok(shared(payments).size < payments.length, 'some of them shared a transaction');
  });
  await stack.stop(serve.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--base-block-time', '0.2');
  await together(net, folder);
  await drained(net, folder);
  await alone(net, folder);
  for (const at of PLACES) await killed(net, folder, at);
});
finish();
