// `/verify` and `/settle` at two replicas of `quittance serve` on one PostgreSQL
// ledger: every `success: true` runs somebody's handler, so there is one.
//
//   node tests/merchant.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { decode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, replica, shared } from './lib/world.mjs';
import { variants } from './clients/variants.mjs';

const COPIES = 100;
/** Longer than any settlement here, so that no copy is told to come back. */
const PATIENT_SECONDS = 30;
/** The other replicas: told to come back soon, and the time they have for it. */
const HASTY_SECONDS = 2;
const REPLAY_SECONDS = 6;
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };

const identified = (payment, id) => ({ ...payment, extensions: { 'payment-identifier': { info: { required: false, id } } } });
const settle = (one, payment) => official.ask(one.url, 'settle', payment);
const verify = (one, payment) => official.ask(one.url, 'verify', payment);

const newPayment = async (here, network, options) => official.pay(
  here.net, network, await official.terms(here.net, network, here.replicas[0].url, here.payTo), options,
);

/** How often the books say that a payment's success was recorded. */
const told = (here, transaction) => here.sql(
  `SELECT count(*) FROM journal JOIN payments ON payments.id = journal.payment WHERE tx = '${transaction}' AND event = 'merchant_answered'`,
);

/** Signed transactions that went to the chain since the last reset. */
const sent = async (here, network) => Object.keys(await here.proxies[network].sent());

/** Copies in every spelling at both replicas at once. */
async function copies(here, network) {
  const original = await newPayment(here, network);
  const spellings = [original, ...variants(original).map(({ header }) => decode(header)).filter(Boolean)];
  for (const one of here.replicas) assert.equal((await verify(one, original)).isValid, true);
  await here.proxies[network].reset();
  const asked = Array.from({ length: COPIES }, (_, index) => settle(
    here.replicas[index % 2], spellings[Math.floor(index / 2) % spellings.length],
  ));
  const answers = await Promise.all(asked);
  const granted = answers.filter(one => one.success);
  assert.equal(granted.length, 1, 'one success');
  const [{ transaction }] = granted;
  const known = answers.filter(one => ['duplicate_settlement', 'settlement_pending'].includes(one.errorReason));
  assert.ok(known.length >= COPIES / 4, `${known.length} copies were told the transaction`);
  assert.deepEqual([...new Set(known.map(one => one.transaction))], [transaction]);
  // What is neither was refused for its spelling, before anything was asked of the ledger.
  const refused = answers.filter(one => !one.success && !known.includes(one));
  assert.ok(refused.every(one => /^invalid_/.test(one.errorReason)), JSON.stringify(refused[0]));
  assert.equal((await sent(here, network)).length, 1, 'one transaction was broadcast');
  assert.equal(told(here, transaction), '1');
  for (const one of here.replicas) {
    const late = await settle(one, original);
    assert.deepEqual([late.success, late.errorReason, late.transaction], [false, 'duplicate_settlement', transaction]);
    const checked = await verify(one, original);
    assert.deepEqual([checked.isValid, checked.invalidReason], [false, 'duplicate_settlement']);
  }
  assert.equal(told(here, transaction), '1');
}

/** The customer's secret is what lets a success be said twice, of one payment. */
async function identifiers(here, network) {
  const identifier = official.someIdentifier();
  const payment = await newPayment(here, network, { identifier });
  const { extensions: _, ...bare } = payment;
  const [first, second] = here.replicas;
  const success = await settle(first, payment);
  assert.equal(success.success, true, JSON.stringify(success));
  const again = await settle(second, payment);
  assert.deepEqual(again, success, 'the stored success, from the other replica');
  assert.equal((await verify(second, payment)).isValid, true, 'and so says /verify');
  const other = await newPayment(here, network, { identifier });
  const refused = await settle(second, other);
  assert.deepEqual([refused.success, refused.errorReason, refused.transaction], [false, 'request_mismatch', ''], 'not a second payment');
  for (const stranger of [bare, identified(payment, official.someIdentifier())]) {
    for (const one of here.replicas) {
      const answer = await settle(one, stranger);
      assert.deepEqual([answer.success, answer.errorReason], [false, 'duplicate_settlement']);
      assert.equal((await verify(one, stranger)).isValid, false);
    }
  }
  assert.equal(told(here, success.transaction), '1');
}

/** Who was told to come back hears the success, for a while. */
async function afterPending(here, network) {
  const payment = await newPayment(here, network);
  const proxy = here.proxies[network];
  await proxy.faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const pending = await Promise.all(here.hasty.map(one => settle(one, payment)));
  for (const answer of pending) {
    assert.deepEqual([answer.success, answer.errorReason], [false, 'settlement_pending']);
    assert.ok(answer.transaction, 'with the transaction');
  }
  const checked = await verify(here.hasty[1], payment);
  assert.deepEqual([checked.isValid, checked.invalidReason], [false, 'settlement_pending']);
  await proxy.healthy();
  const answers = await Promise.all(here.hasty.map(one => until('the success', async () => {
    const answer = await settle(one, payment);
    if (answer.errorReason === 'settlement_pending') return undefined;
    return answer;
  })));
  assert.deepEqual(answers.map(one => one.success), [true, true], JSON.stringify(answers));
  assert.equal(new Set(answers.map(one => one.transaction)).size, 1);
  // The window ends by itself.
  const closed = await until('the end of the window', async () => {
    const answer = await settle(here.hasty[0], payment);
    return answer.success ? undefined : answer;
  }, REPLAY_SECONDS * 5);
  assert.deepEqual([closed.errorReason, closed.transaction], ['duplicate_settlement', answers[0].transaction]);
  assert.equal(told(here, closed.transaction), '1');
}

/** A replica that took payments dies; the server asks the other. */
async function killed(here) {
  const doomed = await replica(here, 'doomed', { serve: true, rpc: here.rpc, pendingSeconds: PATIENT_SECONDS });
  for (const network of NETWORKS) await here.proxies[network].faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const payments = await Promise.all(NETWORKS.map(network => newPayment(here, network)));
  const asked = payments.map(payment => settle(doomed, payment).catch(() => undefined));
  await until('both on record', () => here.sql("SELECT count(*) FROM payments WHERE owner = 'doomed' AND state = 'recorded'") === '2');
  await stack.stop(doomed.child, 'SIGKILL');
  assert.deepEqual(await Promise.all(asked), [undefined, undefined]);
  for (const network of NETWORKS) await here.proxies[network].healthy();
  for (const [index, payment] of payments.entries()) {
    const answers = await Promise.all(here.replicas.map(one => until('an answer', async () => {
      const answer = await settle(one, payment);
      return answer.errorReason === 'settlement_pending' ? undefined : answer;
    })));
    const granted = answers.filter(one => one.success);
    assert.equal(granted.length, 1, `${NETWORKS[index]}: ${JSON.stringify(answers)}`);
    assert.equal(told(here, granted[0].transaction), '1');
  }
}

await stack.withStack(folder => withCluster(async cluster => {
  const net = await stack.devnet('--base-block-time', '1');
  const here = await shared(net, folder, cluster, 'merchants');
  here.proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  here.rpc = Object.fromEntries(NETWORKS.map(network => [network, here.proxies[network].url]));
  const two = (names, pendingSeconds) => Promise.all(names.map(name =>
    replica(here, name, { serve: true, rpc: here.rpc, pendingSeconds, gate: { replay_seconds: REPLAY_SECONDS } })));
  here.replicas = await two(['one', 'two'], PATIENT_SECONDS);
  here.hasty = await two(['three', 'four'], HASTY_SECONDS);
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  for (const network of NETWORKS) {
    await test(`${network}: ${COPIES} copies of one /settle in all spellings at two replicas: one success`, () => copies(here, network));
    await test(`${network}: a success is repeated to the payment-identifier only`, () => identifiers(here, network));
    await test(`${network}: a success is repeated for a while to who was told to come back`, () => afterPending(here, network));
  }
  await test('SIGKILL of a replica with recorded payments: the other says success', () => killed(here));
  for (const opening of opened) {
    await test(`${opening.network}: the books agree with the chain`, async () => {
      const payments = await buyer.assertBooks(net, here.replicas[0].config, opening);
      assert.ok(payments.every(one => one.state === 'settled'));
    });
  }
}));
finish();
