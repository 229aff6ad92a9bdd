// P6: an answer is kept whole however slowly or briefly its client reads; a run
// that completed never runs again; what nobody got is not called delivered.
//
//   node tests/answers.mjs
//
// Over real sockets: clients that read nothing, leave, or come back for the rest.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';

import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { world } from './lib/world.mjs';

const MIB = 1_048_576;
/** What `/test/big` says again and again. */
const TEXT = 'The goods, in plain words, as they were paid for. ';

const goods = bytes => Buffer.from(TEXT.repeat(Math.ceil(bytes / TEXT.length))).subarray(0, bytes);
const digest = bytes => createHash('sha256').update(bytes).digest('hex');
const big = (bytes, more = {}) => ({ path: '/test/big', body: JSON.stringify({ bytes, ...more }) });

/** A payment of the official client for this request, with an identifier of its own. */
async function sign(here, api, what) {
  const offer = await until('an offer', async () => {
    const answer = await http.send(api.url, { path: what.path, body: what.body, headers: { 'Content-Type': 'application/json' } });
    return http.decode(answer.headers['payment-required'])?.accepts.find(one => one.network === stack.BASE);
  });
  const identifier = official.someIdentifier();
  return http.encode(await official.pay(here.net, 'base', offer, { identifier }));
}

/** Sends; resolves with the answer's head, its body not read yet. */
function open(api, what, header, headers = {}) {
  return new Promise((resolve, reject) => {
    const out = request(new URL(what.path, api.url), {
      method: 'POST', agent: false,
      headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(what.body), 'PAYMENT-SIGNATURE': header, ...headers },
    }, answer => resolve({ answer, out }));
    out.on('error', reject);
    out.end(what.body);
  });
}

async function read(answer) {
  const chunks = [];
  for await (const chunk of answer) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The whole answer, once there is a final one. */
const fetchAll = (api, what, header, headers) => until('a final answer', async () => {
  const { answer } = await open(api, what, header, headers);
  const body = await read(answer);
  return answer.statusCode !== 503 && { status: answer.statusCode, headers: answer.headers, body };
});

const newest = async here => (await stack.books(here.config))[0];
const ended = (here, delivery) => until(`delivery ${delivery}`, async () => {
  const payment = await newest(here);
  return payment?.delivery === delivery && payment;
});
const show = async (here, id) => JSON.parse(await stack.program('payments', 'show', '--config', here.config, id));

async function slowReader(here, api) {
  // Longer than everything between us can hold, and nothing read until it is made.
  const what = big(24 * MIB);
  const header = await sign(here, api, what);
  const { answer } = await open(api, what, header);
  assert.equal(answer.statusCode, 200);
  answer.pause();
  const payment = await ended(here, 'delivered');
  assert.equal((await show(here, payment.id)).answer.delivered_at_ms, null, 'nobody has got it yet');
  assert.equal(digest(await read(answer)), digest(goods(24 * MIB)));
  assert.equal((await newest(here)).runs, 1);
  await until('the delivery on record', async () => (await show(here, payment.id)).answer.delivered_at_ms);
}

async function vanishedReader(here, api) {
  const what = big(20 * MIB);
  const header = await sign(here, api, what);
  const { answer, out } = await open(api, what, header);
  const etag = answer.headers.etag;
  assert.match(answer.headers['set-cookie'][0], /session=/, 'the cookie of the one who was there');
  out.destroy();
  const payment = await ended(here, 'delivered');
  const rest = await fetchAll(api, what, header, { Range: `bytes=${MIB + 7}-`, 'If-Range': etag });
  assert.equal(rest.status, 206);
  assert.equal(rest.headers['content-range'], `bytes ${MIB + 7}-${20 * MIB - 1}/${20 * MIB}`);
  assert.equal(digest(rest.body), digest(goods(20 * MIB).subarray(MIB + 7)));
  const beyond = await fetchAll(api, what, header, { Range: `bytes=${20 * MIB}-` });
  assert.equal(beyond.status, 416);
  const whole = await fetchAll(api, what, header);
  assert.deepEqual([whole.status, digest(whole.body)], [200, digest(goods(20 * MIB))]);
  assert.equal(whole.headers['set-cookie'], undefined, 'and of nobody else');
  assert.equal((await newest(here)).runs, 1);
  return { payment, what, header };
}

function filesOf(folder) {
  return readdirSync(folder, { recursive: true }).map(name => join(folder, name)).filter(path => statSync(path).isFile());
}

const plainIn = paths => paths.filter(path => readFileSync(path).includes(TEXT));

async function erased(here, api, { payment, what, header }) {
  const store = join(here.folder, `${here.name}.sqlite.answers`);
  assert.ok(filesOf(store).length >= 20, 'it lies in the store');
  const short = big(10_000);
  const shortHeader = await sign(here, api, short);
  assert.equal((await fetchAll(api, short, shortHeader)).status, 200);
  const shortPayment = await newest(here);
  const ledger = filesOf(here.folder).filter(path => path.includes(`${here.name}.sqlite`));
  assert.deepEqual(plainIn(ledger).filter(path => path.includes('.answers')), [], 'the store holds no plain text');
  assert.notDeepEqual(plainIn(ledger), [], 'a short answer lies in the ledger');
  const before = filesOf(store).length;
  for (const { id } of [payment, shortPayment]) {
    const said = JSON.parse(await stack.program('payments', 'erase', '--config', here.config, id));
    assert.deepEqual([said.erased, said.log_flushed], [true, true], JSON.stringify(said));
  }
  assert.ok(filesOf(store).length <= before - 20);
  assert.deepEqual(plainIn(filesOf(here.folder).filter(path => path.includes(`${here.name}.sqlite`))), []);
  for (const [one, signed] of [[what, header], [short, shortHeader]]) {
    const gone = await fetchAll(api, one, signed);
    assert.equal(gone.status, 409);
    assert.equal(JSON.parse(gone.body).retry_action, 'do_not_retry');
  }
}

/** Nothing is there to be erased yet, and something may still be made: not a success. */
async function erasedTooEarly(here, api) {
  const what = { path: '/test/fail-once', body: '{}' };
  const header = await sign(here, api, what);
  const failed = await fetchAll(api, what, header);
  assert.equal(failed.status, 500);
  const { id, delivery } = await newest(here);
  assert.equal(delivery, 'credited');
  const erase = () => stack.program('payments', 'erase', '--config', here.config, id);
  await assert.rejects(erase, error => {
    assert.match(error.message, /ended with 1/);
    assert.match(error.message, /one may still be made; erase it when it is delivered/);
    assert.match(error.message, /"erased":false/);
    return true;
  });
  const made = await fetchAll(api, what, header);
  assert.equal(made.status, 200);
  assert.equal((await fetchAll(api, what, header)).status, 200, 'what is made afterwards is kept');
  assert.equal(JSON.parse(await erase()).erased, true);
  assert.equal((await fetchAll(api, what, header)).status, 409);
}

/** All kept answers together have a bound; room comes back with what is dropped. */
async function storeFull(here, api) {
  const what = big(3 * MIB);
  const kept = await sign(here, api, what);
  assert.equal((await fetchAll(api, what, kept)).status, 200);
  const { id } = await ended(here, 'delivered');
  const live = await sign(here, api, what);
  const got = await fetchAll(api, what, live);
  assert.deepEqual([got.status, digest(got.body)], [200, digest(goods(3 * MIB))], 'the live reader gets all of it');
  assert.equal((await fetchAll(api, what, live)).status, 410);
  const leaving = await sign(here, api, what);
  const { out } = await open(api, what, leaving);
  out.destroy();
  const part = await ended(here, 'delivered_in_part');
  assert.equal(part.runs, 1);
  const listed = await stack.program('payments', 'list', '--config', here.config, '--refundable');
  assert.deepEqual(listed.trim().split('\n').map(line => JSON.parse(line).id), [part.id]);
  assert.equal((await fetchAll(api, what, kept)).status, 200, 'what was kept before is untouched');
  assert.equal(JSON.parse(await stack.program('payments', 'erase', '--config', here.config, id)).erased, true);
  // The program counts anew now and then, and at its start.
  await stack.stop(api.child);
  const next = await here.start();
  const header = await sign(here, next, what);
  assert.equal((await fetchAll(next, what, header)).status, 200);
  const again = await fetchAll(next, what, header);
  assert.deepEqual([again.status, digest(again.body)], [200, digest(goods(3 * MIB))], 'there is room again');
  return next;
}

async function killedWhileDraining(here, api) {
  const what = big(8 * MIB, { pause_ms: 20 });
  const header = await sign(here, api, what);
  const { answer } = await open(api, what, header);
  const store = join(here.folder, `${here.name}.sqlite.answers`);
  const before = filesOf(store).length;
  await until('objects of the run', () => filesOf(store).length > before + 2);
  const cut = read(answer).then(() => 'whole', () => 'cut');
  await stack.stop(api.child, 'SIGKILL');
  assert.equal(await cut, 'cut', 'a part does not pass for the whole');
  const next = await here.start();
  const again = await fetchAll(next, what, header);
  assert.deepEqual([again.status, digest(again.body)], [200, digest(goods(8 * MIB))]);
  assert.equal((await newest(here)).delivery, 'delivered');
  await until('the dead run\'s objects to be gone', () => filesOf(store).length <= before + 8, 60, 500);
  return next;
}

async function keptOverRestart(here, api) {
  const what = big(3 * MIB);
  const header = await sign(here, api, what);
  const { out } = await open(api, what, header);
  out.destroy();
  await ended(here, 'delivered');
  await stack.stop(api.child, 'SIGKILL');
  const next = await here.start();
  const again = await fetchAll(next, what, header);
  assert.deepEqual([again.status, digest(again.body)], [200, digest(goods(3 * MIB))]);
  assert.equal((await newest(here)).runs, 1);
  return next;
}

/** Beyond the bound: whole for a live reader, in part and refundable for one who left. */
async function beyondTheBound(here, api) {
  const what = big(12 * MIB);
  const staying = await sign(here, api, what);
  const got = await fetchAll(api, what, staying);
  assert.deepEqual([got.status, digest(got.body)], [200, digest(goods(12 * MIB))]);
  const delivered = await ended(here, 'delivered');
  const once = await fetchAll(api, what, staying);
  assert.deepEqual([once.status, JSON.parse(once.body).payment_state], [410, 'delivered']);

  const leaving = await sign(here, api, what);
  const { out } = await open(api, what, leaving);
  out.destroy();
  const part = await ended(here, 'delivered_in_part');
  assert.notEqual(part.id, delivered.id);
  const gone = await fetchAll(api, what, leaving);
  const said = JSON.parse(gone.body);
  assert.deepEqual([gone.status, said.payment_state, said.refundable, said.retry_action], [410, 'delivered_in_part', true, 'do_not_retry']);
  assert.equal((await newest(here)).runs, 1, 'a run that completed never runs again');
}

/** Nothing can be written where answers go: the live reader gets them all the same. */
async function storeGone(here, api) {
  const store = join(here.folder, `${here.name}.sqlite.answers`);
  rmSync(store, { recursive: true, force: true });
  writeFileSync(store, 'a file where the folder was');
  const what = big(3 * MIB);
  const header = await sign(here, api, what);
  const got = await fetchAll(api, what, header);
  assert.deepEqual([got.status, digest(got.body)], [200, digest(goods(3 * MIB))]);
  const payment = await ended(here, 'delivered');
  assert.equal(payment.runs, 1);
  rmSync(store);
}

/** The folder of another machine: not gone, only not here. */
async function storeElsewhere(here, api) {
  const what = big(3 * MIB);
  const header = await sign(here, api, what);
  assert.equal((await fetchAll(api, what, header)).status, 200);
  const store = join(here.folder, `${here.name}.sqlite.answers`);
  rmSync(store, { recursive: true });
  const { answer } = await open(api, what, header);
  const said = JSON.parse(await read(answer));
  assert.deepEqual([answer.statusCode, said.error, said.retry_action], [503, 'answer_unreachable', 'retry_same_payment']);
  assert.equal((await newest(here)).runs, 1);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const options = { bin: stack.BIN, timeoutMs: 15_000, pendingSeconds: 15 };
  const here = await world(net, folder, 'whole', options);
  let api = await here.start();
  await test('a slow reader gets one run and the whole answer', () => slowReader(here, api));
  let bought;
  await test('a reader that hung up fetches an answer of 20 MiB later, or its rest', async () => { bought = await vanishedReader(here, api); });
  await test('an erased answer is gone from ledger and store', () => erased(here, api, bought));
  await test('erasing what is not made yet fails, says why, and can be done later', () => erasedTooEarly(here, api));
  await test('kill -9 while the answer is made: the next run is whole, the dead one\'s objects go', async () => { api = await killedWhileDraining(here, api); });
  await test('kill -9 after the answer is kept: it is there', async () => { api = await keptOverRestart(here, api); });
  await test('a store that cannot be written costs nobody the answer', () => storeGone(here, api));
  await test('a kept answer that is not here is 503, never gone', () => storeElsewhere(here, api));
  await stack.stop(api.child);

  const full = await world(net, folder, 'full', options);
  writeFileSync(full.config, `${readFileSync(full.config, 'utf8')}\n[answers]\ntotal_bytes_max = ${4 * MIB}\n`);
  api = await full.start();
  await test('a full store keeps no more, and loses nothing that it has', async () => { api = await storeFull(full, api); });
  await stack.stop(api.child);

  const small = await world(net, folder, 'bounded', options);
  writeFileSync(small.config, `${readFileSync(small.config, 'utf8')}\n[answers]\nanswer_bytes_max = ${2 * MIB}\n`);
  api = await small.start();
  await test('an answer beyond the bound goes to its live reader, and never runs again', () => beyondTheBound(small, api));
});
finish();
