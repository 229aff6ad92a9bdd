// Solana clients that put no memo into a payment: what they buy at one price within
// one blockhash is one and the same transaction. The money moves once and buys the
// first; the others are told to sign again, and not before that gives another one.
//
//   node tests/same-message.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

const body = prompt => JSON.stringify({ requests: [{ type: 'image', model: 'gen', prompt, aspect_ratio: '1:1', output_format: 'png' }] });
let words = 0;
const someBody = () => {
  words += 1;
  return body(`thing ${words}`);
};

/** Offers and answers for one request of the API. */
async function send(api, what, header) {
  const headers = { 'Content-Type': 'application/json', Connection: 'close', ...(header && { 'PAYMENT-SIGNATURE': header }) };
  const answer = await http.send(api.url, { path: buyer.PATH, headers, body: what });
  return { ...answer, receipt: http.decode(answer.headers['payment-response']), required: http.decode(answer.headers['payment-required']) };
}

/** A payment without a memo, and with one if told so. */
async function sign(net, offer, { memo } = {}) {
  const payer = solana.signer(net.solana.payer_key);
  const parts = await solana.ingredients(net, offer, payer);
  const instructions = [parts.limit, parts.price, parts.transfer, ...(memo ? [parts.memo] : [])];
  return http.encode(solana.payload(offer, solana.wire(solana.compile(parts.feePayer, instructions, parts.recent), [payer])));
}

const offerOf = async (api, what) => (await send(api, what)).required.accepts.find(one => one.network === stack.SOLANA);

/** Told to sign again, with an offer to sign. */
function assertSignAgain(answer, before) {
  assert.deepEqual([answer.status, answer.json.code ?? answer.json.error, answer.json.retry_action], [402, 'duplicate_settlement', 'pay'], answer.text);
  assert.equal(answer.required.error, 'duplicate_settlement');
  assert.match(answer.json.message, /Sign again/);
  const offer = answer.required.accepts.find(one => one.network === stack.SOLANA);
  assert.ok(offer, 'a fresh offer comes with it');
  if (before) assert.notEqual(offer.extra.recentBlockhash, before, 'and not the blockhash that would make the same message again');
  return offer;
}

/** Signs until the blockhash is another one, as a person would a second later. */
async function another(net, offer, earlier) {
  return until('another blockhash', async () => {
    const header = await sign(net, offer);
    return http.decode(header).payload.transaction !== http.decode(earlier).payload.transaction && header;
  });
}

async function inSequence(net, api) {
  const [first, second] = [someBody(), someBody()];
  const before = await offerOf(api, first);
  const header = await sign(net, before);
  const bought = await send(api, first, header);
  assert.equal(bought.status, 200, bought.text);
  const offer = assertSignAgain(await send(api, second, header), before.extra.recentBlockhash);
  assertSignAgain(await send(api, second, header));
  const again = await send(api, first, header);
  assert.deepEqual([again.status, again.text], [200, bought.text], 'the first has its answer');
  const fresh = await another(net, offer, header);
  const other = await send(api, second, fresh);
  assert.equal(other.status, 200, other.text);
  assert.notEqual(other.receipt.transaction, bought.receipt.transaction);
}

async function whilePending(net, api, proxy) {
  const [first, second] = [someBody(), someBody()];
  const header = await sign(net, await offerOf(api, first));
  await proxy.faults([{ method: 'sendTransaction', action: 'drop_request', times: 100_000 }]);
  const answers = await Promise.all([send(api, first, header), send(api, second, header)]);
  for (const answer of answers) {
    assert.deepEqual([answer.status, answer.receipt.errorReason, answer.json.retry_action], [503, 'settlement_pending', 'retry_same_payment'], answer.text);
    assert.equal(answer.headers['x-should-retry'], 'false');
    assert.ok(Number(answer.headers['retry-after']) > 0);
  }
  await proxy.healthy();
  const final = async what => until('an answer', async () => {
    const answer = await send(api, what, header);
    return answer.status !== 503 && answer;
  });
  const ends = await Promise.all([final(first), final(second)]);
  // Whose claim won is not for the test to say; one bought, the other may sign again.
  const bought = ends.findIndex(one => one.status === 200);
  assert.ok(bought >= 0, ends.map(one => one.text).join());
  const offer = assertSignAgain(ends[1 - bought]);
  const fresh = await send(api, [first, second][1 - bought], await another(net, offer, header));
  assert.equal(fresh.status, 200, fresh.text);
}

async function atOnce(net, api) {
  const bodies = Array.from({ length: 5 }, someBody);
  const header = await sign(net, await offerOf(api, bodies[0]));
  const answers = await Promise.all(bodies.map(what => send(api, what, header)));
  assert.equal(answers.filter(one => one.status === 200).length, 1, answers.map(one => one.status).join());
  for (const [at, answer] of answers.entries()) {
    if (answer.status === 200) continue;
    const offer = assertSignAgain(answer);
    const fresh = await send(api, bodies[at], await another(net, offer, header));
    // Others signed over the same blockhash meanwhile: it may be the same message once more.
    assert.ok([200, 402].includes(fresh.status), fresh.text);
  }
}

/** With a memo a transaction is one purchase's, and shows that somebody took it for another's. */
async function withMemo(net, api) {
  const [first, second] = [someBody(), someBody()];
  const header = await sign(net, await offerOf(api, first), { memo: true });
  assert.equal((await send(api, first, header)).status, 200);
  const other = await send(api, second, header);
  assert.deepEqual([other.status, other.json.error, other.json.retry_action], [409, 'request_mismatch', 'do_not_retry'], other.text);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxy = await faultyProxy(net.solana.rpc_url);
  const here = await world(net, folder, 'same-message', { rpc: { solana: proxy.url }, bin: stack.BIN, pendingSeconds: 3 });
  const api = await here.start();
  await buyer.offer(api, 'solana');
  const opened = await buyer.opening(net, 'solana', here.payTo.solana);
  await test('one after the other: the second is told to sign again, the first keeps its answer', () => inSequence(net, api));
  await test('while the first is pending the second is too, and is told to sign again afterwards', () => whilePending(net, api, proxy));
  await test('five at once: one is served, the others are told to sign again', () => atOnce(net, api));
  await test('a payment with a memo is one request\'s', () => withMemo(net, api));
  await test('the ledger agrees with the chain: each transaction bought one thing', async () => {
    const payments = await buyer.assertBooks(net, here.config, opened);
    assert.ok(payments.every(one => one.state === 'settled' && one.runs === 1), JSON.stringify(payments));
  });
});
finish();
