// P7: one call, one payment, also for clients that retry by themselves. The
// official `openai` package around `@x402/fetch`, neither of them patched: every
// try of the SDK's asks for an offer and signs a payment of its own.
//
//   node tests/retries.mjs
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import * as base from './lib/base-payment.mjs';
import * as buyer from './lib/buyer.mjs';
import * as chain from './lib/chain.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const [{ default: OpenAI }, { wrapFetchWithPayment }] = await Promise.all([stack.clients('openai'), stack.clients('@x402/fetch')]);

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const someWord = () => randomBytes(6).toString('hex');
const chat = word => ({ model: 'claude-haiku-4-5', max_tokens: 16, messages: [{ role: 'user', content: `hello ${word}` }] });
const books = async (here, resource) => (await stack.books(here.config)).filter(one => one.resource === resource);

/** An SDK that pays: what it signed, and what it was told, is written down. */
async function sdk(here, api, network, options = {}) {
  const log = { signed: [], statuses: [], retried: [], body: '' };
  const noting = async (input, init) => {
    const request = new Request(input, init);
    log.body = await request.clone().text();
    const header = request.headers.get('payment-signature');
    if (header) log.signed.push(header);
    const answer = await fetch(request);
    if (header) {
      log.statuses.push(answer.status);
      log.retried.push(answer.headers.get('x-should-retry'));
    }
    return answer;
  };
  const wallet = await official.client(here.net, network);
  const client = new OpenAI({ apiKey: 'none', baseURL: `${api.url}/v1`, fetch: wrapFetchWithPayment(noting, wallet), ...options });
  return { client, log };
}

/** The error that the SDK hands to its caller. */
const failed = call => call.then(() => assert.fail('the call succeeded'), error => error);

/** Whether an authorization of Base was used on chain, by whomever. */
async function isUsed(net, header) {
  const { from, nonce } = http.decode(header).payload.authorization;
  const data = `0xe94a0102${from.slice(2).toLowerCase().padStart(64, '0')}${nonce.slice(2)}`;
  return BigInt(await chain.rpc(net.base.rpc_url, 'eth_call', { to: net.base.usdc, data }, 'latest')) === 1n;
}

const settled = async (here, resource) => (await books(here, resource)).filter(one => one.state === 'settled');

/** Settlement is pending: the SDK hands the error on, the next identical call brings the answer. */
async function pendingIsPaidOnce(here, api, proxy, network) {
  const word = someWord();
  await proxy.faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const first = await sdk(here, api, network);
  const error = await failed(first.client.chat.completions.create(chat(word)));
  assert.equal(error.status, 503);
  assert.deepEqual([first.log.statuses, first.log.retried], [[503], ['false']], 'the SDK asked once and signed once');

  const second = await sdk(here, api, network);
  const again = await failed(second.client.chat.completions.create(chat(word)));
  assert.equal(again.status, 503, 'signed anew, and still pending');
  const receipt = again.headers.get('payment-response');
  assert.equal(http.decode(receipt).errorReason, 'settlement_pending');

  await proxy.healthy();
  const third = await sdk(here, api, network);
  const answer = await until('the answer', () => third.client.chat.completions.create(chat(word)).catch(e => {
    assert.equal(e.status, 503);
    return undefined;
  }));
  assert.equal(answer.object, 'chat.completion');
  await assertOnePayment(here, network, 'POST /v1/chat/completions', [first, second, third]);

  // The last authorization was never sent; its bytes get the same answer by its own identifier.
  const last = third.log.signed.at(-1);
  const replayed = await post(api, '/v1/chat/completions', chat(word), last);
  assert.equal(replayed.status, 200);
  assert.deepEqual(replayed.json, JSON.parse(JSON.stringify(answer)));
  const stripped = http.decode(last);
  delete stripped.extensions;
  assert.equal((await post(api, '/v1/chat/completions', chat(word), http.encode(stripped))).status, 409, 'without its identifier');
  const other = await post(api, '/v1/chat/completions', chat('another request'), last);
  assert.deepEqual([other.status, other.json.error], [409, 'request_mismatch']);
  // Delivered completely: the same call is another purchase now.
  const fresh = await sdk(here, api, network);
  await fresh.client.chat.completions.create(chat(word));
  assert.equal((await settled(here, 'POST /v1/chat/completions')).length, 2);
}

/** The ledger knows one payment of these clients, and of all they signed the chain knows one. */
async function assertOnePayment(here, network, resource, clients) {
  const signed = clients.flatMap(one => one.log.signed);
  assert.ok(signed.length >= 2, 'nothing was signed anew');
  assert.equal((await books(here, resource)).length, 1);
  assert.equal((await settled(here, resource)).length, 1);
  if (network === 'base') {
    const used = await Promise.all(signed.map(header => isUsed(here.net, header)));
    assert.deepEqual(used, signed.map((_, at) => at === 0), 'only the first authorization is used on chain');
  } else {
    const received = await chain.solanaBalance(here.net.solana.rpc_url, here.net.solana.mint, here.payTo.solana);
    const paid = (await stack.books(here.config)).filter(one => one.state === 'settled');
    const sum = paid.reduce((total, one) => total + BigInt(one.amount), 0n);
    assert.equal(BigInt(received), sum, 'the recipient got what the ledger says, and nothing beside it');
  }
  const { id } = (await books(here, resource))[0];
  const shown = await buyer.journalOf(here.config, id);
  assert.equal(shown.aliases.length, signed.length - 1, 'and the others are listed with it');
}

/** The handler fails: the SDK hands the error on, the next identical call is served from the credit. */
async function creditIsPaidOnce(here, api, network) {
  const body = { word: someWord() };
  const first = await sdk(here, api, network);
  const error = await failed(first.client.post('/../test/fail-once', { body }));
  assert.equal(error.status, 500);
  assert.deepEqual([first.log.statuses, first.log.retried], [[500], ['false']]);
  const second = await sdk(here, api, network);
  const answer = await second.client.post('/../test/fail-once', { body });
  assert.match(answer.request_id, /^req_/);
  await assertOnePayment(here, network, 'POST /test/fail-once', [first, second]);
  assert.equal((await books(here, 'POST /test/fail-once'))[0].runs, 2);
}

/** The SDK gives up before the handler is done, and repeats the call by itself. */
async function impatientIsPaidOnce(here, api, network) {
  const one = await sdk(here, api, network, { timeout: 1_200, maxRetries: 4 });
  const answer = await one.client.post('/../test/slow', { body: { word: someWord() } });
  assert.match(answer.request_id, /^req_/);
  await assertOnePayment(here, network, 'POST /test/slow', [one]);
  assert.equal((await books(here, 'POST /test/slow'))[0].runs, 1);
}

/** The process dies while the call waits for its settlement; the SDK repeats it at the next one. */
async function deathIsPaidOnce(here, api, proxy, network) {
  await proxy.faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const one = await sdk(here, api, network, { maxRetries: 8 });
  const call = one.client.post('/../test/fail-once', { body: { word: someWord() } }).catch(error => error);
  await until('the claim', async () => (await books(here, 'POST /test/fail-once')).some(({ state }) => state === 'recorded'));
  await stack.stop(api.child, 'SIGKILL');
  await proxy.healthy();
  const next = await here.start();
  const failed = await call;
  assert.equal(failed.status, 500, 'the handler of the one payment failed, and the SDK was told not to repeat');
  const again = await sdk(here, next, network);
  assert.match((await again.client.post('/../test/fail-once', { body: JSON.parse(one.log.body) })).request_id, /^req_/);
  await assertOnePayment(here, network, 'POST /test/fail-once', [one, again]);
  return next;
}

/** Whoever names a purchase means another one by another name. */
async function namesMakePurchases(here, api, network) {
  const body = { word: someWord() };
  const before = (await settled(here, 'POST /test/fail')).length;
  for (const key of ['one', 'two', 'one']) {
    const { client } = await sdk(here, api, network);
    const error = await failed(client.post('/../test/fail', { body, headers: { 'Idempotency-Key': `${key}-${body.word}` } }));
    assert.equal(error.status, 500);
  }
  const payments = (await settled(here, 'POST /test/fail')).slice(0, 2);
  assert.equal((await settled(here, 'POST /test/fail')).length, before + 2);
  assert.deepEqual(payments.map(one => one.runs).sort(), [1, 2], 'the name that came twice ran its own credit');
}

async function post(api, path, body, header, headers = {}) {
  const answer = await http.send(api.url, {
    path, headers: { 'Content-Type': 'application/json', 'PAYMENT-SIGNATURE': header, ...headers }, body: JSON.stringify(body),
  });
  return { ...answer, json: JSON.parse(answer.text) };
}

async function offerOf(api, network, path, body) {
  return until('an offer', async () => {
    const answer = await http.send(api.url, { path, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    return http.decode(answer.headers['payment-required'])?.accepts.find(one => one.network === CAIP[network]);
  });
}

/** A name that is none is an error, at the gate and at a facilitator alike, and costs nothing. */
async function malformedNames(here, api, network) {
  const body = { word: someWord() };
  const before = (await stack.books(here.config)).length;
  for (const id of ['short', 'sixteen chars ä!', 5, { id: 'pay_0123456789abcdef' }]) {
    const payment = await official.pay(here.net, network, await offerOf(api, network, '/test/fail', body));
    payment.extensions = { 'payment-identifier': { info: { id } } };
    const answer = await post(api, '/test/fail', body, http.encode(payment));
    assert.deepEqual([answer.status, answer.json.error], [402, 'invalid_payload'], JSON.stringify(id));
  }
  const payment = http.encode(await official.pay(here.net, network, await offerOf(api, network, '/test/fail', body)));
  const long = await post(api, '/test/fail', body, payment, { 'Idempotency-Key': 'k'.repeat(256) });
  assert.deepEqual([long.status, long.json.error], [402, 'invalid_payload']);
  assert.equal((await stack.books(here.config)).length, before, 'nothing was claimed');
}

/** One identifier, many payments of one payer at one instant: one is claimed. */
async function oneInstant(here, api, network) {
  const body = { word: someWord() };
  const offer = await offerOf(api, network, '/test/slow', body);
  const identifier = official.someIdentifier();
  const payments = await Promise.all(Array.from({ length: 8 }, () => official.pay(here.net, network, offer, { identifier })));
  const answers = await Promise.all(payments.map(payment => post(api, '/test/slow', body, http.encode(payment))));
  assert.ok(answers.some(answer => answer.status === 200));
  assert.ok(answers.every(answer => answer.status === 200 || answer.status === 409 || answer.status === 503), answers.map(a => a.status));
  assert.equal(new Set(answers.filter(a => a.status === 200).map(a => a.text)).size, 1, 'one purchase, one answer');
  assert.equal((await books(here, 'POST /test/slow')).length, 1);
}

/** Another signature over a payment under way: pending until the outcome is known. */
async function otherSignature(here, api, proxy) {
  const body = { word: someWord() };
  const offer = await offerOf(api, 'base', '/test/fail', body);
  const payer = base.account(here.net.base.payer_key);
  const payment = await base.payBase(payer, offer);
  const { authorization } = payment.payload;
  // The same authorization signed with another nonce of the curve: as valid as the first.
  const twin = { ...payment, payload: { authorization, signature: await signedAgain(offer, here.net, authorization) } };
  await proxy.faults({ method: SEND.base, action: 'drop_request', times: 100_000 });
  const first = await post(api, '/test/fail', body, http.encode(payment));
  assert.equal(first.status, 503);
  const pending = await post(api, '/test/fail', body, http.encode(twin));
  assert.deepEqual([pending.status, pending.json.error], [503, 'settlement_pending']);
  assert.equal(pending.headers['payment-required'], undefined, 'no fresh offer while it may land');
  const forged = { ...payment, payload: { authorization, signature: `0x${'11'.repeat(64)}1b` } };
  const refused = await post(api, '/test/fail', body, http.encode(forged));
  assert.equal(refused.status, 402, 'after verification of that signature');
  await proxy.healthy();
  await until('the verdict', async () => (await post(api, '/test/fail', body, http.encode(payment))).status === 500);
  const known = await post(api, '/test/fail', body, http.encode(twin));
  assert.deepEqual([known.status, known.json.error], [402, 'duplicate_settlement']);
}

/** A second good signature over one authorization: ECDSA with a random k. */
async function signedAgain(offer, net, authorization) {
  const [{ hashTypedData }, { secp256k1 }] = await Promise.all([stack.clients('viem'), stack.clients('@noble/curves/secp256k1')]);
  const field = (name, type) => ({ name, type });
  const digest = hashTypedData({
    domain: { name: 'USD Coin', version: '2', chainId: 8453, verifyingContract: offer.asset },
    primaryType: 'TransferWithAuthorization',
    types: { TransferWithAuthorization: [
      field('from', 'address'), field('to', 'address'), field('value', 'uint256'),
      field('validAfter', 'uint256'), field('validBefore', 'uint256'), field('nonce', 'bytes32'),
    ] },
    message: authorization,
  });
  const signature = secp256k1.sign(digest.slice(2), net.base.payer_key.slice(2), { extraEntropy: true });
  return `0x${signature.toCompactHex()}${(27 + signature.recovery).toString(16)}`;
}

/** The payer has money for one payment: the repeated call is answered from it all the same. */
async function purseForOne(here, api) {
  const body = { word: someWord() };
  const offer = await offerOf(api, 'base', '/test/fail-once', body);
  const payer = base.stranger();
  const giver = base.account(here.net.base.payer_key);
  await third.fund(here.net, giver.address);
  await third.call(here.net, giver, 'transfer', [payer.address, BigInt(offer.amount)]);
  const before = (await settled(here, 'POST /test/fail-once')).length;
  const pay = async () => http.encode(await base.payBase(payer, await offerOf(api, 'base', '/test/fail-once', body)));
  assert.equal((await post(api, '/test/fail-once', body, await pay())).status, 500);
  const again = await post(api, '/test/fail-once', body, await pay());
  assert.equal(again.status, 200, again.text);
  assert.equal((await settled(here, 'POST /test/fail-once')).length, before + 1);
  const another = await post(api, '/test/fail-once', body, await pay());
  assert.deepEqual([another.status, another.json.error], [402, 'invalid_exact_evm_insufficient_balance']);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  for (const network of NETWORKS) {
    const proxy = await faultyProxy(net[network].rpc_url);
    const here = await world(net, folder, `retries-${network}`, { rpc: { [network]: proxy.url }, pendingSeconds: 3, bin: stack.BIN });
    const api = await here.start();
    await buyer.offer(api, network);
    await test(`${network}: settlement pending: one payment, and the next call brings the answer`, () => pendingIsPaidOnce(here, api, proxy, network));
    await test(`${network}: a failed handler: one payment, and the next call brings the answer`, () => creditIsPaidOnce(here, api, network));
    await test(`${network}: Idempotency-Key names purchases`, () => namesMakePurchases(here, api, network));
    await test(`${network}: one identifier at one instant is charged once`, () => oneInstant(here, api, network));
    await test(`${network}: a malformed identifier is an error`, () => malformedNames(here, api, network));
    if (network === 'base') {
      await test('base: another signature hears pending, then duplicate_settlement', () => otherSignature(here, api, proxy));
      await test('base: a purse for one payment', () => purseForOne(here, api));
    }
    await stack.stop(api.child);
    const other = await world(net, folder, `impatient-${network}`, { rpc: { [network]: proxy.url }, pendingSeconds: 20, bin: stack.BIN });
    let open = await other.start();
    await buyer.offer(open, network);
    await test(`${network}: a time-out of the SDK's own: one payment, one run, and its next try brings the answer`, () => impatientIsPaidOnce(other, open, network));
    await test(`${network}: the process dies while a call waits: one payment`, async () => {
      open = await deathIsPaidOnce(other, open, proxy, network);
    });
    await stack.stop(open.child);
  }
});
finish();
