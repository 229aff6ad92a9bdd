// `/verify` and `/settle` with real processes: `quittance serve` dies at every
// place between two durable effects while an official client pays an official
// resource server that has it settle.
//
//   node tests/serve.mjs [--only upfront,authorization]
//
// The program must have been built with fail points (build_failpoints in
// scripts/lib.sh).
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';

import * as buyer from './lib/buyer.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const { values: { only } } = parseArgs({ options: { only: { type: 'string', default: 'upfront,authorization' } } });

/** The places of crates/facilitator/src/context/failpoint.rs on the way of `/settle`. */
const SETTLE_PLACES = [
  'before_claim', 'after_claim', 'before_record', 'after_record', 'before_send', 'after_send', 'before_verdict',
  'after_verdict', 'before_merchant_answer', 'after_merchant_answer', 'after_merchant_told',
];
/** The server heard the success, and the ledger does not say so yet. */
const HEARD = 'before_merchant_told';
/** Of whoever has the bytes. */
const COPIES = 10;
/** Longer than any settlement here, so that no answer is `settlement_pending`. */
const PENDING_SECONDS = 40;

const journalOf = async (here, id) => buyer.journalOf(here.config, id);

/** The newest payment: one claim, one verdict, at most one recorded success. */
async function assertOneSuccess(here, receipt, wanted = 1) {
  const [{ id, transaction, state }] = await stack.books(here.config);
  assert.equal(state, 'settled');
  assert.equal(transaction, receipt.transaction);
  const payment = await journalOf(here, id);
  buyer.assertSoundJournal(payment, 0);
  const told = await until('the ledger to say so', async () => {
    const { journal } = await journalOf(here, id);
    const lines = journal.filter(line => line.event === 'merchant_answered');
    return lines.length >= wanted && lines;
  });
  assert.equal(told.length, wanted, 'recorded successes');
}

/** An official customer pays while the program dies at `place` and is started again. */
async function crash(here, network, shop, place, { told = 1, ...options } = {}) {
  let program = await here.start({ QUITTANCE_FAILPOINT: place });
  const buying = official.buy(here.net, network, `${shop.url}/thing/${network}`, {
    isFinal: official.servedOrRefused, ...options,
  });
  await until('the process to die', () => program.child.signalCode);
  assert.equal(program.child.signalCode, 'SIGABRT');
  program = await here.start();
  const bought = await buying;
  await assertOneSuccess(here, bought.receipt, told);
  return { program, bought };
}

/** Sends the customer's payment once more, as the customer or anybody who has its bytes. */
async function again(shop, network, { header }) {
  const answer = await fetch(`${shop.url}/thing/${network}`, { headers: { 'PAYMENT-SIGNATURE': header } });
  await answer.text();
  return answer.status;
}

async function settleFirst(net, folder, network) {
  const here = await world(net, folder, `upfront-${network}`, { serve: true, pendingSeconds: PENDING_SECONDS });
  const first = await here.start();
  const shop = await official.shop(() => here.url, here.payTo);
  await stack.stop(first.child);
  const opened = await buyer.opening(net, network, here.payTo[network]);
  let count = 0;
  const bought = async (place, options, then) => {
    const served = shop.served.length;
    const end = await crash(here, network, shop, place, options);
    count += 1;
    await then(end, () => shop.served.length - served);
    await stack.stop(end.program.child);
  };

  for (const place of SETTLE_PLACES) {
    await test(`${network}, upfront: serve dies at ${place}: served once`, () => bought(place, {}, async ({ bought: answer }, served) => {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(served(), 1);
      assert.notEqual(await again(shop, network, answer), 200, 'a copy is not served');
      assert.equal(served(), 1);
    }));
  }
  await test(`${network}, upfront: serve dies at ${HEARD}: at most one more is served`, () =>
    bought(HEARD, { told: 0 }, async ({ bought: answer }, served) => {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(served(), 1);
      for (let copy = 0; copy < COPIES; copy += 1) await again(shop, network, answer);
      assert.equal(served(), 2, 'the one that the kill costs');
      await assertOneSuccess(here, answer.receipt);
    }));
  await test(`${network}, upfront: after ${count} crashes the ledger agrees with the chain`, async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.deepEqual(payments.map(one => one.state), Array(count).fill('settled'));
  });
  shop.close();
}

/** The server asks `/verify`, works, and settles afterwards; what it made is withheld until then. */
async function serveFirst(net, folder, network) {
  const here = await world(net, folder, `authorization-${network}`, { serve: true, pendingSeconds: PENDING_SECONDS });
  const first = await here.start();
  const shop = await official.shop(() => here.url, here.payTo, { flow: 'authorization' });
  await stack.stop(first.child);
  const opened = await buyer.opening(net, network, here.payTo[network]);
  let count = 0;
  for (const place of SETTLE_PLACES) {
    await test(`${network}, authorization: serve dies at ${place}: served once`, async () => {
      const served = shop.served.length;
      const { program, bought } = await crash(here, network, shop, place);
      count += 1;
      assert.equal(bought.status, 200, bought.text);
      assert.equal(shop.served.length - served, 1);
      const runs = shop.runs.length;
      assert.notEqual(await again(shop, network, bought), 200, 'a copy is not served');
      assert.equal(shop.runs.length, runs, '/verify says no before the server works again');
      await stack.stop(program.child);
    });
  }
  await test(`${network}, authorization: serve dies at ${HEARD}: at most one more is served`, async () => {
    const [served, runs] = [shop.served.length, shop.runs.length];
    const { program, bought } = await crash(here, network, shop, HEARD, { told: 0 });
    count += 1;
    assert.equal(bought.status, 200, bought.text);
    for (let copy = 0; copy < COPIES; copy += 1) await again(shop, network, bought);
    assert.equal(shop.served.length - served, 2, 'the one that the kill costs');
    assert.equal(shop.runs.length - runs, 2, '/verify says yes once more, and then no');
    await assertOneSuccess(here, bought.receipt);
    await stack.stop(program.child);
  });
  await test(`${network}, authorization: after ${count} crashes the ledger agrees with the chain`, async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.deepEqual(payments.map(one => one.state), Array(count).fill('settled'));
  });
  shop.close();
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const parts = only.split(',');
  const lanes = [];
  for (const network of NETWORKS) {
    if (parts.includes('upfront')) lanes.push(settleFirst(net, folder, network));
    if (parts.includes('authorization')) lanes.push(serveFirst(net, folder, network));
  }
  await Promise.all(lanes);
});
finish();
