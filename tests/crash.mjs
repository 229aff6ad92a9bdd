// P1, P2, P5 and P6 with real processes: the process dies at every place between
// two durable effects, nodes drop and lie, strangers land or cancel payments.
//
//   node tests/crash.mjs [--long] [--only crash,faults,late]
//
// The API must have been built with fail points (build_failpoints in
// scripts/lib.sh). `quittance serve` is in serve.mjs, both in storms in storm.mjs.
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { account, seconds, stranger } from './lib/base-payment.mjs';
import { baseBalance, rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const { values: { long, only } } = parseArgs({
  options: { long: { type: 'boolean', default: false }, only: { type: 'string', default: 'crash,faults,late' } },
});

/** The places of crates/facilitator/src/context/failpoint.rs, and how often the handler is granted in the end. */
const FAILPOINTS = {
  before_claim: 1,
  after_claim: 1,
  before_record: 1,
  after_record: 1,
  before_send: 1,
  after_send: 1,
  before_verdict: 1,
  after_verdict: 1,
  before_delivery: 1,
  // The run died with the process: it became a credit and ran again.
  after_delivery_started: 2,
  before_delivered: 2,
  after_delivered: 1,
};

const shown = async (here, id) => buyer.journalOf(here.config, id);

/** The newest payment of the ledger. */
async function newest(here) {
  const [first] = await stack.books(here.config);
  return first;
}

async function assertBought(here, answer, runs) {
  assert.equal(answer.status, 200, answer.text.slice(0, 400));
  assert.equal(answer.receipt.success, true);
  const payment = await newest(here);
  assert.equal(payment.transaction, answer.receipt.transaction);
  assert.equal(payment.delivery, 'delivered');
  buyer.assertSoundJournal(await shown(here, payment.id), runs);
}

// ---------------------------------------------------------------- crashes

/** The process dies at one place, the client goes on asking. */
async function crash(here, network, place, signed) {
  let api = await here.start({ QUITTANCE_FAILPOINT: place });
  const payment = await (signed ?? buyer.sign)(here.net, api, network);
  const answer = await buyer.once(api, payment);
  assert.equal(answer, undefined, 'no fail points: build sample-api with --features quittance-facilitator/failpoints');
  await until('the process to die', () => api.child.signalCode);
  assert.equal(api.child.signalCode, 'SIGABRT');
  api = await here.start();
  const final = await buyer.insist(api, payment);
  await assertBought(here, final, FAILPOINTS[place.split(':')[0]]);
  const again = await buyer.once(api, payment);
  assert.equal(again.text, final.text, 'the same answer again');
  await stack.stop(api.child);
}

async function crashes(net, folder, network) {
  const here = await world(net, folder, `crash-${network}`);
  await stack.stop((await here.start()).child); // creates the token account
  const opened = await buyer.opening(net, network, here.payTo[network]);
  let count = 0;
  for (const place of Object.keys(FAILPOINTS)) {
    await test(`${network}: the process dies at ${place}`, async () => {
      await crash(here, network, place, count === 0 ? buyer.officialSign : undefined);
      count += 1;
    });
  }
  await test(`${network}: after ${count} crashes the ledger agrees with the chain`, async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.deepEqual(payments.map(one => one.state), Array(count).fill('settled'));
    await buyer.assertRules(here.config);
  });
}

// ---------------------------------------------------------------- lying nodes

const TIMEOUT_MS = 1_000;
const INTERNAL = { code: -32603, message: 'internal error' };
const ACTIONS = {
  'drops the request': { action: 'drop_request' },
  'drops the answer': { action: 'drop_response' },
  'answers an error': { action: 'error', error: INTERNAL },
  'does it and answers an error': { action: 'error_after', error: INTERNAL },
  'is a broken gateway': { action: 'http_status', status: 502 },
  'answers after the time-out': { action: 'delay_ms', ms: TIMEOUT_MS + 500 },
};
const METHODS = {
  base: ['eth_sendRawTransaction', 'eth_getTransactionReceipt', 'eth_call', 'eth_getBlockByNumber'],
  solana: ['sendTransaction', 'getSignatureStatuses', 'simulateTransaction', 'getLatestBlockhash'],
};
/** Read on a clock of their own, for the tariff: a payment may be over before the next look. */
const BEHIND_OFFERS = new Set(['getLatestBlockhash', 'eth_getBlockByNumber']);
/** Lies about a send: the node did not take the bytes (`error`), or did (`error_after`). */
const LIES = {
  base: ['nonce too low', 'already known', 'replacement transaction underpriced', 'insufficient funds for gas * price + value'],
  solana: ['Transaction simulation failed: Blockhash not found', 'Node is behind by 42 slots', 'This transaction has already been processed'],
};

/** `[name, fault]` of one network. */
function* faults(network) {
  const [send, ...reads] = METHODS[network];
  for (const method of long ? [send, ...reads] : METHODS[network]) {
    for (const [name, fault] of Object.entries(ACTIONS)) yield [`${method} ${name}`, { method, ...fault }];
    if (!long) continue;
    for (const [name, fault] of Object.entries(ACTIONS)) {
      yield [`${method} ${name}, three times`, { method, ...fault, times: 3 }];
      yield [`${method} ${name}, the second time`, { method, ...fault, skip: 1 }];
    }
  }
  for (const message of LIES[network]) {
    for (const action of ['error', 'error_after']) {
      yield [`${send}: "${message}" (${action})`, { method: send, action, error: { code: -32000, message } }];
    }
  }
}

async function lyingNode(net, folder, network) {
  const proxy = await faultyProxy(net[network].rpc_url);
  const here = await world(net, folder, `faults-${network}`, { rpc: { [network]: proxy.url }, timeoutMs: TIMEOUT_MS });
  const api = await here.start();
  const opened = await buyer.opening(net, network, here.payTo[network]);
  let count = 0;
  for (const [name, fault] of faults(network)) {
    await test(`${network}: ${name}`, async () => {
      const payment = await buyer.sign(net, api, network);
      await proxy.reset();
      await proxy.faults(fault);
      const isMet = async () => Object.keys((await proxy.counts()).faults).length > 0;
      const final = await buyer.insist(api, payment);
      count += 1;
      if (BEHIND_OFFERS.has(fault.method)) await until('the fault to be met', isMet);
      if (!fault.skip) assert.ok(await isMet(), 'the fault was not met');
      await proxy.healthy();
      await assertBought(here, final, 1);
    });
  }
  await test(`${network}: after ${count} faults the ledger agrees with the chain`, async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.equal(payments.length, count);
    await buyer.assertRules(here.config);
  });
  await stack.stop(api.child);
}

// ---------------------------------------------------------------- late and foreign landings

/** Transactions of a payment that cost and earned nothing, as booked. */
async function uncollected(here, id) {
  const { journal } = await shown(here, id);
  return journal.filter(line => line.event === 'cost' && line.detail.earned === false).map(line => line.detail);
}

const NEVER_SENT = { method: 'eth_sendRawTransaction', action: 'drop_request', times: 10_000 };

async function landings(net, folder) {
  const proxy = await faultyProxy(net.base.rpc_url);
  const here = await world(net, folder, 'late', { rpc: { base: proxy.url }, timeoutMs: TIMEOUT_MS });
  let api = await here.start();
  const opened = await buyer.opening(net, 'base', here.payTo.base);
  const [somebody, payer] = await Promise.all([third.person(net), third.person(net)]);
  const rich = account(net.base.payer_key);
  await third.fund(net, rich.address);

  const recorded = () => until('the payment on record', async () => {
    const payment = await newest(here);
    return payment?.state === 'recorded' && payment;
  });
  const { faults: faulty, healthy } = proxy;

  /** The wallet's lane is free: an ordinary payment settles. */
  const laneIsFree = async what => test(`base: ${what}, and the wallet's next payment settles`, async () => {
    const final = await buyer.insist(api, await buyer.sign(net, api, 'base'), 45);
    await assertBought(here, final, 1);
  });

  await test('base: somebody else lands the authorization while ours is dropped', async () => {
    const signed = await buyer.sign(net, api, 'base');
    await faulty(NEVER_SENT);
    const final = buyer.insist(api, signed);
    const ours = await recorded();
    const hash = await third.submit(net, somebody, signed.payment);
    const answer = await final;
    await healthy();
    await assertBought(here, answer, 1);
    assert.equal(answer.receipt.transaction, hash);
    assert.notEqual(answer.receipt.transaction, ours.transaction);
  });
  await laneIsFree('a slot whose payment somebody else landed is used up');

  await test('base: the payer cancels while ours is dropped: refused, nothing granted', async () => {
    const signed = await buyer.sign(net, api, 'base');
    await faulty(NEVER_SENT);
    const final = buyer.insist(api, signed);
    await recorded();
    await third.cancel(net, somebody, rich, signed.payment);
    const answer = await final;
    await healthy();
    assert.equal(answer.status, 402, answer.text.slice(0, 400));
    const payment = await newest(here);
    assert.equal(payment.state, 'refused');
    assert.equal(payment.refusal.code, 'invalid_transaction_state');
    buyer.assertSoundJournal(await shown(here, payment.id), 0);
  });
  await laneIsFree('a slot whose payment was cancelled is used up');

  await test('base: the payer spends the money first: pending, then expired, nothing granted, the cost booked', async () => {
    const { amount } = await buyer.offer(api, 'base');
    await third.call(net, rich, 'transfer', [payer.address, BigInt(amount) * 2n]);
    const signed = await buyer.sign(net, api, 'base', { payer, fields: { validBefore: String(seconds() + 20) } });
    await faulty({ ...NEVER_SENT, times: 2 });
    const first = buyer.once(api, signed);
    const { id, transaction } = await recorded();
    const money = await baseBalance(net.base.rpc_url, net.base.usdc, payer.address);
    await third.call(net, payer, 'transfer', [rich.address, BigInt(money)]);
    // P5: no new 402 while the outcome is unknown.
    const pending = await first;
    assert.equal(pending.status, 503);
    assert.equal(pending.receipt.errorReason, 'settlement_pending');
    assert.equal(pending.receipt.transaction, transaction);
    const final = await buyer.insist(api, signed);
    assert.equal(final.status, 402);
    const payment = await shown(here, id);
    assert.equal(payment.state, 'expired');
    buyer.assertSoundJournal(payment, 0);
    const costs = await until('the cost in the ledger', async () => {
      const found = await uncollected(here, id);
      return found.length > 0 && found;
    });
    assert.deepEqual(costs.map(one => one.transaction), [transaction]);
    const receipt = await rpc(net.base.rpc_url, 'eth_getTransactionReceipt', transaction);
    assert.equal(receipt.status, '0x0');
    await healthy();
  });
  await laneIsFree('a payment reverted');

  await test('base: ours reverts in a block after which the money is back: it is signed again and settles', async () => {
    const { amount } = await buyer.offer(api, 'base');
    await third.call(net, rich, 'transfer', [payer.address, BigInt(amount)]);
    const signed = await buyer.sign(net, api, 'base', { payer });
    await rpc(net.base.rpc_url, 'evm_setIntervalMining', 0);
    let final;
    try {
      final = buyer.insist(api, signed);
      const { transaction } = await recorded();
      await until('ours in the pool', () => rpc(net.base.rpc_url, 'eth_getTransactionByHash', transaction));
      // In this order in one block: the money goes, ours fails, the money comes.
      const { baseFeePerGas } = await rpc(net.base.rpc_url, 'eth_getBlockByNumber', 'latest', false);
      const gone = [stranger().address, BigInt(amount)];
      await third.call(net, payer, 'transfer', gone, { fee: 9_000_000_000n, landed: false });
      const back = [payer.address, BigInt(amount)];
      await third.call(net, rich, 'transfer', back, { fee: BigInt(baseFeePerGas), landed: false });
      await rpc(net.base.rpc_url, 'evm_mine');
      const receipt = await rpc(net.base.rpc_url, 'eth_getTransactionReceipt', transaction);
      assert.equal(receipt.status, '0x0', 'the first attempt reverts');
    } finally {
      await rpc(net.base.rpc_url, 'evm_setIntervalMining', 1);
    }
    await assertBought(here, await final, 1);
  });

  await test('base: a claim found after its deadline costs nothing', async () => {
    await stack.stop(api.child);
    api = await here.start({ QUITTANCE_FAILPOINT: 'after_claim' });
    const validBefore = seconds() + 9;
    const signed = await buyer.sign(net, api, 'base', { fields: { validBefore: String(validBefore) } });
    await buyer.once(api, signed);
    await until('the process to die', () => api.child.signalCode);
    await until('the deadline', async () => {
      const { timestamp } = await rpc(net.base.rpc_url, 'eth_getBlockByNumber', 'latest', false);
      return Number(timestamp) > validBefore;
    });
    const { id } = await newest(here);
    api = await here.start();
    const payment = await until('the end of the claim', async () => {
      const found = await shown(here, id);
      return found.state !== 'claimed' && found.state !== 'recorded' && found;
    });
    assert.equal(payment.state, 'expired');
    assert.deepEqual(payment.journal.filter(line => line.event === 'recorded'), [], 'nothing was signed');
  });

  await test('base: somebody lands the authorization of a claim while we are down', async () => {
    await stack.stop(api.child);
    api = await here.start({ QUITTANCE_FAILPOINT: 'after_claim' });
    const signed = await buyer.sign(net, api, 'base');
    await buyer.once(api, signed);
    await until('the process to die', () => api.child.signalCode);
    const hash = await third.submit(net, somebody, signed.payment);
    api = await here.start();
    const final = await buyer.insist(api, signed);
    await assertBought(here, final, 1);
    assert.equal(final.receipt.transaction, hash);
    const { id } = await newest(here);
    const { journal } = await shown(here, id);
    assert.deepEqual(journal.filter(line => line.event === 'recorded'), [], 'nothing was signed');
  });

  await test('base: books and chain agree after foreign landings', async () => {
    await buyer.assertBooks(net, here.config, opened);
    await buyer.assertRules(here.config);
  });
  await stack.stop(api.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const parts = only.split(',');
  const lanes = [];
  if (parts.includes('crash')) lanes.push(...NETWORKS.map(network => crashes(net, folder, network)));
  if (parts.includes('faults')) lanes.push(...NETWORKS.map(network => lyingNode(net, folder, network)));
  if (parts.includes('late')) lanes.push(landings(net, folder));
  await Promise.all(lanes);
});
finish();
