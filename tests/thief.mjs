// P6 and the replay rule: a landed payment's bytes are public. Who reads them
// from the chain and guesses the request gets neither the answer nor the credit;
// who shows the `payment-identifier` gets both.
//
//   node tests/thief.mjs
//
// The API must have been built with fail points (build_failpoints in scripts/lib.sh).
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { stolen } from './lib/thief.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const REPLAY_SECONDS = 4;
const RUNS_MAX = 3;
const IMAGE = { path: buyer.PATH, body: buyer.BODY };
const FAILS = { path: '/test/fail', body: '{}' };
const SLOW = { path: '/test/slow', body: '{}' };
const CAIP = { base: stack.BASE, solana: stack.SOLANA };

async function post(api, { path, body }, header) {
  const headers = { 'Content-Type': 'application/json', ...(header && { 'PAYMENT-SIGNATURE': header }) };
  const answer = await http.send(api.url, { path, headers, body });
  return { ...answer, receipt: http.decode(answer.headers['payment-response']) };
}

/** A payment of the official client for this request: its header. */
async function sign(here, api, network, request, options) {
  const offer = await until('an offer', async () => {
    const answer = await post(api, request);
    return http.decode(answer.headers['payment-required'])?.accepts.find(one => one.network === CAIP[network]);
  });
  return { offer, header: http.encode(await official.pay(here.net, network, offer, options)) };
}

const settledAnswer = (api, request, header) => until('a final answer', async () => {
  const answer = await post(api, request, header);
  return answer.status !== 503 && answer;
});

const runs = async api => (await stack.json(`${api.url}/test/handler-runs`)).runs;

/** Everything a thief can send is refused, and nothing runs for it. */
async function assertNothingStolen(here, api, network, request, offer, transaction, code = 'replay_window_closed') {
  const before = await runs(api);
  for (const header of await stolen(here.net, network, offer, transaction)) {
    const answer = await post(api, request, header);
    assert.equal(answer.status, 409, answer.text.slice(0, 300));
    assert.equal(answer.json.error, code);
  }
  assert.equal(await runs(api), before, 'nothing ran for the thief');
}

const landed = async here => {
  const [payment] = await stack.books(here.config);
  return payment;
};

async function answerIsKept(here, api, network) {
  const identifier = official.someIdentifier();
  const { offer, header } = await sign(here, api, network, IMAGE, { identifier });
  const bought = await settledAnswer(api, IMAGE, header);
  assert.equal(bought.status, 200, bought.text.slice(0, 300));
  await assertNothingStolen(here, api, network, IMAGE, offer, bought.receipt.transaction);
  const again = await post(api, IMAGE, header);
  assert.deepEqual([again.status, again.text], [200, bought.text], 'the customer has it again');
}

/** Without an identifier the bytes are all there is: they work for a while only. */
async function windowCloses(here, api, network) {
  const { offer, header } = await sign(here, api, network, IMAGE);
  const bought = await settledAnswer(api, IMAGE, header);
  assert.equal(bought.status, 200, bought.text.slice(0, 300));
  const [{ id }] = await stack.books(here.config);
  const closed = await until('the end of the replay window', async () => {
    const answer = await post(api, IMAGE, header);
    return answer.status === 409 && answer;
  }, REPLAY_SECONDS * 5);
  assert.equal(closed.json.error, 'replay_window_closed');
  const { journal } = await buyer.journalOf(here.config, id);
  assert.equal(journal.filter(line => line.event === 'answer_sent').length, 1, 'it began with the first complete delivery');
  await assertNothingStolen(here, api, network, IMAGE, offer, bought.receipt.transaction);
}

async function creditIsKept(here, api, network) {
  const identifier = official.someIdentifier();
  const { offer, header } = await sign(here, api, network, FAILS, { identifier });
  for (let run = 1; run <= RUNS_MAX; run += 1) {
    const failed = await settledAnswer(api, FAILS, header);
    assert.equal(failed.status, 500);
    const payment = await landed(here);
    assert.deepEqual([payment.delivery, payment.runs], ['credited', run]);
    await assertNothingStolen(here, api, network, FAILS, offer, payment.transaction);
    assert.equal((await landed(here)).runs, run);
  }
  const exhausted = await post(api, FAILS, header);
  assert.deepEqual([exhausted.status, exhausted.json.error], [409, 'credit_exhausted']);
}

/** The customer hangs up before the answer: it waits for the customer alone. */
async function waitingAnswerIsKept(here, api, network) {
  const identifier = official.someIdentifier();
  const { offer, header } = await sign(here, api, network, SLOW, { identifier });
  const gone = new AbortController();
  const hung = fetch(api.url + SLOW.path, {
    method: 'POST', body: SLOW.body, signal: gone.signal,
    headers: { 'Content-Type': 'application/json', 'PAYMENT-SIGNATURE': header },
  }).catch(() => 'hung up');
  const running = await until('the run', async () => {
    const payment = await landed(here);
    return payment?.delivery === 'running' && payment;
  });
  gone.abort();
  assert.equal(await hung, 'hung up');
  await assertNothingStolen(here, api, network, SLOW, offer, running.transaction);
  await until('the answer in the store', async () => (await landed(here)).delivery === 'delivered');
  await assertNothingStolen(here, api, network, SLOW, offer, running.transaction);
  const answer = await post(api, SLOW, header);
  assert.equal(answer.status, 200);
  assert.equal(answer.json.worked_ms, 1_500);
  assert.equal((await landed(here)).runs, 1, 'the abort did not stop it');
}

/** Settled, and the process died before the handler began: the run is the customer's. */
async function firstRunIsKept(here, api, network) {
  await stack.stop(api.child);
  let other = await here.start({ QUITTANCE_FAILPOINT: 'before_delivery' });
  const identifier = official.someIdentifier();
  const { offer, header } = await sign(here, other, network, IMAGE, { identifier });
  await post(other, IMAGE, header).catch(() => undefined);
  await until('the process to die', () => other.child.signalCode);
  other = await here.start();
  const payment = await landed(here);
  assert.deepEqual([payment.state, payment.delivery], ['settled', 'none']);
  await assertNothingStolen(here, other, network, IMAGE, offer, payment.transaction);
  const bought = await settledAnswer(other, IMAGE, header);
  assert.equal(bought.status, 200);
  assert.equal((await landed(here)).runs, 1);
  return other;
}

/** An official client as it is: it echoes the word of its offer, and that is its identifier. */
async function echoIsAnIdentifier(here, api, network) {
  const buy = ({ path, body }, isFinal) => official.buy(here.net, network, api.url + path, { body, isFinal });
  const bought = await buy(IMAGE);
  assert.equal(bought.status, 200, bought.text.slice(0, 300));
  const { accepted, extensions } = http.decode(bought.header);
  assert.match(extensions['payment-identifier'].info.id, /^offer_[0-9a-f]{32}$/);
  const { id, transaction } = await landed(here);
  await assertNothingStolen(here, api, network, IMAGE, accepted, transaction);
  await until('the replay window to be over', async () => {
    const { journal } = await buyer.journalOf(here.config, id);
    const sent = journal.find(line => line.event === 'answer_sent');
    return sent && Date.now() > sent.at_ms + (REPLAY_SECONDS + 1) * 1_000;
  });
  const again = await post(api, IMAGE, bought.header);
  assert.deepEqual([again.status, again.text], [200, bought.text], 'the customer has it after the window too');

  const failed = await buy(FAILS);
  assert.equal(failed.status, 500);
  const credit = await landed(here);
  await assertNothingStolen(here, api, network, FAILS, http.decode(failed.header).accepted, credit.transaction);
  assert.equal((await post(api, FAILS, failed.header)).status, 500, 'another run');
  assert.equal((await landed(here)).runs, 2);
}

/** One offer may be paid more than once: its word names the offer, not the payment. */
async function oneOfferTwice(here, api, network) {
  const answer = await post(api, IMAGE);
  const required = http.decode(answer.headers['payment-required']);
  required.accepts = required.accepts.filter(one => one.network === CAIP[network]);
  const client = await official.client(here.net, network);
  const results = [];
  for (let count = 0; count < 2; count += 1) {
    results.push(await settledAnswer(api, IMAGE, http.encode(await client.createPaymentPayload(required))));
  }
  assert.deepEqual(results.map(one => one.status), [200, 200]);
  assert.equal(new Set(results.map(one => one.receipt.transaction)).size, 2);
}

/** Same id: the same payment's answer; another payment of the same payer is a mistake. */
async function oneIdentifierOnePayment(here, api, network) {
  const identifier = official.someIdentifier();
  const first = await sign(here, api, network, IMAGE, { identifier });
  const bought = await settledAnswer(api, IMAGE, first.header);
  assert.equal(bought.status, 200);
  const books = (await stack.books(here.config)).length;
  const second = await sign(here, api, network, IMAGE, { identifier });
  const refused = await post(api, IMAGE, second.header);
  assert.deepEqual([refused.status, refused.json.error], [409, 'request_mismatch']);
  assert.equal((await stack.books(here.config)).length, books, 'nothing was claimed, nothing was paid');
  const again = await post(api, IMAGE, first.header);
  assert.deepEqual([again.status, again.text], [200, bought.text]);
  const other = await post(api, SLOW, first.header);
  assert.deepEqual([other.status, other.json.error], [409, 'request_mismatch'], 'same payment, other request');
}

async function robbed(net, folder, network) {
  const here = await world(net, folder, `thief-${network}`, {
    gate: { replay_seconds: REPLAY_SECONDS, runs_max: RUNS_MAX }, pendingSeconds: 20,
  });
  let api = await here.start();
  const opened = await buyer.opening(net, network, here.payTo[network]);
  await test(`${network}: an answer is replayed to the identifier, not to the landed bytes`, () => answerIsKept(here, api, network));
  await test(`${network}: without an identifier the replay ends`, () => windowCloses(here, api, network));
  await test(`${network}: a credit is the identifier's, not the landed bytes'`, () => creditIsKept(here, api, network));
  await test(`${network}: an answer that waits is the identifier's`, () => waitingAnswerIsKept(here, api, network));
  await test(`${network}: a run that never began is the identifier's`, async () => { api = await firstRunIsKept(here, api, network); });
  await test(`${network}: an official client that sends no identifier echoes the offer's`, () => echoIsAnIdentifier(here, api, network));
  await test(`${network}: one offer is paid twice`, () => oneOfferTwice(here, api, network));
  await test(`${network}: one identifier, one payment, one request`, () => oneIdentifierOnePayment(here, api, network));
  await test(`${network}: the ledger agrees with the chain`, () => buyer.assertBooks(net, here.config, opened));
  await stack.stop(api.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  await Promise.all(NETWORKS.map(network => robbed(net, folder, network)));
});
finish();
