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
/** Long enough for a busy machine, short enough to wait for its end. */
const LEASE_SECONDS = 9;
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
/** What a payment is checked with before it is claimed. */
const CHECK = { base: 'eth_call', solana: 'simulateTransaction' };

const identified = (payment, id) => ({ ...payment, extensions: { 'payment-identifier': { info: { required: false, id } } } });
const settle = (one, payment) => official.ask(one.url, 'settle', payment);
const verify = (one, payment) => official.ask(one.url, 'verify', payment);

const newPayment = async (here, network, options) => official.pay(
  here.net, network, await official.terms(here.net, network, here.replicas[0].url, here.payTo), options,
);

/** How often the ledger says that a payment's success was recorded. */
const told = (here, transaction) => here.sql(
  `SELECT count(*) FROM journal JOIN payments ON payments.id = journal.payment WHERE tx = '${transaction}' AND event = 'merchant_answered'`,
);

/** Signed transactions that went to the chain since the last reset. */
const sent = async (here, network) => Object.keys(await here.proxies[network].sent());

/** Copies in every spelling at these replicas at once; the ways of asking that once were told again. */
async function copies(here, network, replicas, options) {
  const original = await newPayment(here, network, options);
  const spellings = [original, ...variants(original).map(({ header }) => decode(header)).filter(Boolean)];
  for (const one of replicas) assert.equal((await verify(one, original)).isValid, true);
  await here.proxies[network].reset();
  const asked = Array.from({ length: COPIES }, (_, index) => settle(
    replicas[index % 2], spellings[Math.floor(index / 2) % spellings.length],
  ));
  const answers = await Promise.all(asked);
  // What is neither told nor pending was refused for its spelling, before the ledger was asked.
  const known = answers.filter(one => one.success || ['duplicate_settlement', 'settlement_pending'].includes(one.errorReason));
  assert.ok(known.length >= COPIES / 4, `${known.length} copies were told the transaction`);
  const refused = answers.filter(one => !known.includes(one));
  assert.ok(refused.every(one => /^invalid_/.test(one.errorReason)), JSON.stringify(refused[0]));
  const settled = await until('a final answer', async () => {
    const answer = await settle(replicas[0], original);
    answers.push(answer);
    return answer.errorReason !== 'settlement_pending' && answer;
  });
  for (const one of [...replicas, ...replicas, ...here.replicas, ...here.hasty]) answers.push(await settle(one, original));
  const granted = answers.filter(one => one.success);
  assert.equal(granted.length, 1, `${granted.length} successes`);
  const [{ transaction }] = granted;
  assert.equal(settled.transaction, transaction);
  assert.deepEqual([...new Set(known.map(one => one.transaction).filter(Boolean))], [transaction]);
  assert.equal((await sent(here, network)).length, 1, 'one transaction was broadcast');
  await until('the ledger to say so', () => told(here, transaction) === '1');
  for (const one of here.replicas) {
    const late = await settle(one, original);
    assert.deepEqual(
      [late.success, late.errorReason, late.transaction, late.retry_action],
      [false, 'duplicate_settlement', transaction, 'do_not_retry'],
    );
    const checked = await verify(one, original);
    assert.deepEqual([checked.isValid, checked.invalidReason], [false, 'duplicate_settlement']);
  }
  assert.equal(told(here, transaction), '1');
}

/** An identifier is a word that everybody who has the bytes has too. */
async function identifiers(here, network) {
  const identifier = official.someIdentifier();
  const payment = await newPayment(here, network, { identifier });
  const { extensions: _, ...bare } = payment;
  const [first, second] = here.replicas;
  const success = await settle(first, payment);
  assert.equal(success.success, true, JSON.stringify(success));
  for (const copy of [payment, bare, identified(payment, official.someIdentifier())]) {
    for (const one of here.replicas) {
      const answer = await settle(one, copy);
      assert.deepEqual([answer.success, answer.errorReason, answer.transaction], [false, 'duplicate_settlement', success.transaction]);
      assert.equal((await verify(one, copy)).isValid, false);
    }
  }
  // Nor does it keep anybody from the first success.
  const named = await newPayment(here, network, { identifier: official.someIdentifier() });
  const { extensions: __, ...unnamed } = named;
  assert.equal((await settle(second, unnamed)).success, true);
  assert.equal((await settle(first, named)).errorReason, 'duplicate_settlement');
  const other = await newPayment(here, network, { identifier });
  const refused = await settle(second, other);
  assert.deepEqual([refused.success, refused.errorReason, refused.transaction], [false, 'request_mismatch', ''], 'not a second payment');
  await until('the ledger to say so', () => told(here, success.transaction) === '1');
}

/** Being told to come back is no success: of all who come back one hears it. */
async function afterPending(here, network) {
  const payment = await newPayment(here, network);
  const proxy = here.proxies[network];
  await proxy.faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const pending = await Promise.all([...here.hasty, ...here.hasty].map(one => settle(one, payment)));
  for (const answer of pending) {
    assert.deepEqual([answer.success, answer.errorReason, answer.retry_action], [false, 'settlement_pending', 'retry_same_payment']);
    assert.ok(answer.transaction, 'with the transaction');
  }
  // `/verify` waits as long, and says the same.
  const begun = Date.now();
  const checked = await verify(here.hasty[1], payment);
  assert.deepEqual([checked.isValid, checked.invalidReason], [false, 'settlement_pending']);
  assert.ok(Date.now() - begun >= HASTY_SECONDS * 900, 'it waited for the verdict');
  await othersHearPending(here, network, payment);
  await proxy.healthy();
  const answers = await Promise.all([...here.hasty, ...here.hasty].map(one => until('a final answer', async () => {
    const answer = await settle(one, payment);
    return answer.errorReason !== 'settlement_pending' && answer;
  })));
  const granted = answers.filter(one => one.success);
  assert.equal(granted.length, 1, JSON.stringify(answers));
  assert.ok(answers.every(one => one.success || one.errorReason === 'duplicate_settlement'));
  assert.equal(new Set(answers.map(one => one.transaction)).size, 1);
  await until('the ledger to say so', () => told(here, granted[0].transaction) === '1');
}

/** While the outcome is unknown nobody is invited to pay again: not who signed otherwise, not another sale. */
async function othersHearPending(here, network, payment) {
  const others = [['for another order', { ...payment, accepted: { ...payment.accepted, extra: { ...payment.accepted.extra, memo: 'order-18' } } }]];
  // On Solana another memo is another transaction, and refused as such; on Base
  // nothing in the signature tells two orders apart.
  if (network === 'solana') others.length = 0;
  else others.push(['signed otherwise', await official.signedAgain(here.net, payment)]);
  for (const [name, other] of others) {
    const answer = await settle(here.hasty[0], other);
    assert.deepEqual([answer.errorReason, answer.retry_action], ['settlement_pending', 'retry_same_payment'], name);
    const checked = await verify(here.hasty[0], other);
    assert.deepEqual([checked.isValid, checked.invalidReason], [false, 'settlement_pending'], name);
  }
}

/** The customer's echo must agree with what the server asks for. */
async function terms(here, network) {
  const payment = await newPayment(here, network);
  const changes = {
    scheme: 'upto', network: network === 'base' ? stack.SOLANA : stack.BASE, asset: here.payTo[network], payTo: payment.accepted.asset,
    amount: '50001', extra: { ...payment.accepted.extra, memo: 'order-18' },
  };
  for (const [name, value] of Object.entries(changes)) {
    const odd = { ...payment, accepted: { ...payment.accepted, [name]: value } };
    const answer = await official.ask(here.replicas[0].url, 'settle', odd, payment.accepted);
    assert.equal(answer.success, false, name);
    assert.match(answer.errorReason, /^(invalid_|unsupported_)/, name);
    const checked = await official.ask(here.replicas[0].url, 'verify', odd, payment.accepted);
    assert.equal(checked.isValid, false, name);
  }
  // What is no part of the terms may differ.
  const odd = { ...payment, accepted: { ...payment.accepted, extra: { ...payment.accepted.extra, more: 1 }, maxTimeoutSeconds: 7 } };
  const answer = await official.ask(here.replicas[0].url, 'settle', odd, payment.accepted);
  assert.equal(answer.success, true, JSON.stringify(answer));
}

/** `extra.memo` tells the seller's receipts apart. */
async function memo(here, network) {
  const offer = await official.terms(here.net, network, here.replicas[0].url, here.payTo);
  const ordered = { ...offer, extra: { ...offer.extra, memo: 'order-17' } };
  const payment = await official.pay(here.net, network, ordered);
  const [one, two] = here.replicas;
  if (network === 'solana') {
    const requirements = { ...ordered, extra: { ...ordered.extra, memo: 'order-18' } };
    for (const what of ['settle', 'verify']) {
      const answer = await official.ask(one.url, what, { ...payment, accepted: requirements }, requirements);
      assert.equal(answer.errorReason ?? answer.invalidReason, 'invalid_exact_svm_payload_memo_mismatch');
    }
  }
  assert.equal((await official.ask(one.url, 'verify', payment, ordered)).isValid, true);
  assert.equal((await official.ask(one.url, 'settle', payment, ordered)).success, true);
  // Bound at the claim: the same payment buys no other order.
  const other = { ...ordered, extra: { ...ordered.extra, memo: 'order-18' } };
  const answer = await official.ask(two.url, 'settle', { ...payment, accepted: other }, other);
  assert.deepEqual([answer.success, answer.errorReason], [false, 'duplicate_settlement']);
}

/** No node answers: the caller is told to send the same payment again, and that works. */
async function unavailable(here, network) {
  const payment = await newPayment(here, network);
  const proxy = here.proxies[network];
  await proxy.faults({ method: CHECK[network], action: 'http_status', status: 502, times: 100_000 });
  const answer = await settle(here.replicas[0], payment);
  assert.deepEqual([answer.success, answer.errorReason, answer.retry_action], [false, 'network_unavailable', 'retry_same_payment']);
  const checked = await verify(here.replicas[0], payment);
  assert.deepEqual([checked.isValid, checked.invalidReason, checked.retry_action], [false, 'network_unavailable', 'retry_same_payment']);
  assert.ok(answer.retry_after_seconds > 0);
  await proxy.healthy();
  const again = await until('a success', async () => {
    const answer = await settle(here.replicas[0], payment);
    return answer.success && answer;
  });
  assert.ok(again.transaction);
}

/** What is settled and was told to nobody is valid for one server at a time. */
async function leased(here, network) {
  const payment = await newPayment(here, network);
  const gone = new AbortController();
  // A block may take it sooner than anybody looks.
  await here.proxies[network].faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const hungUp = official.ask(here.replicas[0].url, 'settle', payment, undefined, { signal: gone.signal }).catch(() => 'hung up');
  await until('the claim', () => here.sql("SELECT count(*) FROM payments WHERE state IN ('claimed', 'recorded')") !== '0');
  gone.abort();
  assert.equal(await hungUp, 'hung up');
  await here.proxies[network].healthy();
  await until('the verdict', () => here.sql("SELECT count(*) FROM payments WHERE state IN ('claimed', 'recorded')") === '0');
  const checks = await Promise.all([...here.hasty, ...here.hasty, ...here.hasty].map(one => verify(one, payment)));
  const valid = checks.filter(one => one.isValid);
  assert.equal(valid.length, 1, `${valid.length} servers may work`);
  assert.ok(checks.every(one => one.isValid || one.invalidReason === 'settlement_pending'), JSON.stringify(checks));
  const answers = await Promise.all([...here.replicas, ...here.hasty].map(one => settle(one, payment)));
  assert.equal(answers.filter(one => one.success).length, 1);
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
    await until('the ledger to say so', () => told(here, granted[0].transaction) === '1');
  }
}

await stack.withStack(folder => withCluster(async cluster => {
  const net = await stack.devnet();
  const here = await shared(net, folder, cluster, 'merchants');
  here.proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  here.rpc = Object.fromEntries(NETWORKS.map(network => [network, here.proxies[network].url]));
  const two = (names, pendingSeconds) => Promise.all(names.map(name =>
    replica(here, name, { serve: true, rpc: here.rpc, pendingSeconds, leaseSeconds: LEASE_SECONDS })));
  here.replicas = await two(['one', 'two'], PATIENT_SECONDS);
  here.hasty = await two(['three', 'four'], HASTY_SECONDS);
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  for (const network of NETWORKS) {
    for (const [kind, replicas] of [['patient', here.replicas], ['hasty', here.hasty]]) {
      for (const named of [false, true]) {
        const options = named ? { identifier: official.someIdentifier() } : {};
        await test(`${network}: ${COPIES} copies ${named ? 'with' : 'without'} an identifier in all spellings at two ${kind} replicas: one success`, () => copies(here, network, replicas, options));
      }
    }
    await test(`${network}: no payment-identifier makes a success be said again`, () => identifiers(here, network));
    await test(`${network}: of all who were told to come back one hears the success`, () => afterPending(here, network));
    await test(`${network}: \`accepted\` must agree with the terms`, () => terms(here, network));
    await test(`${network}: extra.memo is enforced and bound`, () => memo(here, network));
    await test(`${network}: an unreachable chain invites nobody to pay again`, () => unavailable(here, network));
    await test(`${network}: a settled payment that nobody was told of is valid for one server at a time`, () => leased(here, network));
  }
  await test('SIGKILL of a replica with recorded payments: the other says success', () => killed(here));
  for (const opening of opened) {
    await test(`${opening.network}: the ledger agrees with the chain`, async () => {
      const payments = await buyer.assertBooks(net, here.replicas[0].config, opening);
      assert.ok(payments.every(one => one.state === 'settled'));
    });
  }
}));
finish();
