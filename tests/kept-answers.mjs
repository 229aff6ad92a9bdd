// P6 under attack: who reads one byte and dies, who may not replay and asks for a part,
// a credit whose route is sold no more, a bucket that is full, and another's bucket.
//
//   node tests/kept-answers.mjs
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';

import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { bucketService } from './lib/bucket.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { world } from './lib/world.mjs';

const MIB = 1_048_576;
const TEXT = 'The goods, in plain words, as they were paid for. ';
const goods = bytes => Buffer.from(TEXT.repeat(Math.ceil(bytes / TEXT.length))).subarray(0, bytes);
const digest = bytes => createHash('sha256').update(bytes).digest('hex');
const big = (bytes, more = {}) => ({ path: '/test/big', body: JSON.stringify({ bytes, ...more }) });

async function sign(here, api, what) {
  const offer = await until('an offer', async () => {
    const answer = await http.send(api.url, { path: what.path, body: what.body, headers: { 'Content-Type': 'application/json' } });
    return http.decode(answer.headers['payment-required'])?.accepts.find(one => one.network === stack.BASE);
  });
  return official.pay(here.net, 'base', offer, { identifier: official.someIdentifier() });
}

async function fetchAll(api, what, payment, headers = {}) {
  return until('a final answer', async () => {
    const answer = await fetch(api.url + what.path, {
      method: 'POST', body: what.body,
      headers: { 'Content-Type': 'application/json', 'PAYMENT-SIGNATURE': http.encode(payment), ...headers },
    });
    const body = Buffer.from(await answer.arrayBuffer());
    return answer.status !== 503 && { status: answer.status, headers: answer.headers, body };
  });
}

const newest = async here => (await stack.books(here.config))[0];
const ended = (here, delivery) => until(`delivery ${delivery}`, async () => {
  const payment = await newest(here);
  return payment?.delivery === delivery && payment;
});

/** A byte now and then, of an answer that is still made; then the client is gone. */
async function byteByByte(here, api) {
  const what = big(5 * MIB, { pause_ms: 20 });
  const payment = await sign(here, api, what);
  const { hostname, port } = new URL(api.url);
  const socket = connect({ host: hostname, port: Number(port), highWaterMark: 1 });
  const head = [
    `POST ${what.path} HTTP/1.1`, `Host: ${hostname}:${port}`, 'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(what.body)}`, `PAYMENT-SIGNATURE: ${http.encode(payment)}`,
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${what.body}`);
  socket.pause();
  await until('the run', async () => (await newest(here))?.delivery === 'running');
  let taken = 0;
  for (let second = 0; second < 3; second += 1) {
    taken += (await until('a byte', () => socket.read(1))).length;
    await new Promise(resolve => setTimeout(resolve, 1_000));
  }
  assert.equal(taken, 3);
  socket.resetAndDestroy();
  const { runs } = await ended(here, 'delivered');
  assert.equal(runs, 1, 'the run ended by itself');
  const whole = await fetchAll(api, what, payment);
  assert.deepEqual([whole.status, digest(whole.body)], [200, digest(goods(5 * MIB))]);
  assert.equal((await newest(here)).runs, 1);
  return { what, payment };
}

/** The bytes are on chain by now: without the identifier no part of it either. */
async function partsAreNoWayAround(api, { what, payment }) {
  const { extensions, ...bare } = payment;
  assert.ok(extensions['payment-identifier']);
  const wrong = { ...bare, extensions: { 'payment-identifier': { info: { ...extensions['payment-identifier'].info, id: official.someIdentifier() } } } };
  for (const stolen of [bare, wrong]) {
    for (const headers of [{}, { Range: 'bytes=0-' }, { Range: 'bytes=0-0' }, { Range: 'bytes=-1' }, { Range: `bytes=${9 * MIB}-` }, { Range: 'bytes=0-9', 'If-Range': '"x"' }]) {
      const answer = await fetchAll(api, what, stolen, headers);
      assert.equal(answer.status, 409, `${JSON.stringify(headers)}: ${answer.status}`);
      assert.equal(JSON.parse(answer.body).error, 'replay_window_closed');
      for (const name of ['etag', 'content-range', 'accept-ranges']) assert.equal(answer.headers.get(name), null, name);
    }
  }
  const part = await fetchAll(api, what, payment, { Range: 'bytes=-1' });
  assert.deepEqual([part.status, part.body.length], [206, 1], 'its owner gets parts');
}

/** The route of a credit is sold no more: its payer keeps the receipt, and the run when it is back. */
async function routeIsGone(here, api) {
  const what = { path: '/test/fail-once', body: '{}' };
  const payment = await sign(here, api, what);
  assert.equal((await fetchAll(api, what, payment)).status, 500);
  await stack.stop(api.child);
  const without = await stack.sampleApi(here.net, here.config, { bin: stack.BIN, hooks: false, env: { BASE_WALLET: here.wallet.key } });
  const gone = await fetchAll(without, what, payment);
  const said = JSON.parse(gone.body);
  assert.deepEqual([gone.status, said.retry_action], [404, 'do_not_retry'], gone.body.toString());
  assert.ok(http.decode(gone.headers.get('payment-response')).transaction);
  assert.equal(gone.headers.get('payment-required'), null, 'no word of a second payment');
  assert.deepEqual([(await newest(here)).delivery, (await newest(here)).runs], ['credited', 1]);
  await stack.stop(without.child);
  const back = await here.start();
  assert.equal((await fetchAll(back, what, payment)).status, 200);
  return back;
}

const KEYS = { id: 'AKIAEXAMPLE', secret: 'a/secret+key=' };

function inBucket(here, service, more = '') {
  const lines = [
    '[answers]', 'store = "s3://kept/of-tests"', `endpoint = "${service.url}"`, 'region = "eu-central-1"', 'allow_http = true',
    'access_key_id = "env:BUCKET_ID"', 'secret_access_key = "env:BUCKET_SECRET"', more,
  ];
  writeFileSync(here.config, `${readFileSync(here.config, 'utf8')}\n${lines.join('\n')}\n`);
}

const ENV = { BUCKET_ID: KEYS.id, BUCKET_SECRET: KEYS.secret };

async function keptInABucket(here, service) {
  let api = await here.start(ENV);
  const what = big(3 * MIB + 7);
  const payment = await sign(here, api, what);
  assert.equal((await fetchAll(api, what, payment)).status, 200);
  const { id } = await ended(here, 'delivered');
  assert.ok(service.objects.size >= 4, `${service.objects.size} objects`);
  for (const [name, bytes] of service.objects) {
    assert.match(name, /^of-tests\/[0-9a-f]{2}\/[0-9a-f]{32}\/\d{6}$/, 'random names under the prefix');
    assert.ok(bytes.length <= MIB + 1_024 && !bytes.includes(TEXT), 'encrypted, at most a segment each');
  }
  await stack.stop(api.child, 'SIGKILL');
  api = await here.start(ENV);
  const again = await fetchAll(api, what, payment);
  assert.deepEqual([again.status, digest(again.body)], [200, digest(goods(3 * MIB + 7))]);
  const part = await fetchAll(api, what, payment, { Range: `bytes=${MIB - 3}-${MIB + 3}` });
  assert.equal(digest(part.body), digest(goods(3 * MIB).subarray(MIB - 3, MIB + 4)), 'across two objects');
  const erased = await stack.run(`${stack.BIN}/quittance`, ['payments', 'erase', '--config', here.config, id], ENV);
  assert.deepEqual([JSON.parse(erased).erased, JSON.parse(erased).object_deleted], [true, true]);
  assert.equal(service.objects.size, 0, 'nothing is left in the bucket');
  assert.equal(service.refused, 0);
  return api;
}

async function bucketIsFull(here, api, service) {
  service.full = true;
  const what = big(3 * MIB);
  const payment = await sign(here, api, what);
  const live = await fetchAll(api, what, payment);
  assert.deepEqual([live.status, digest(live.body)], [200, digest(goods(3 * MIB))], 'the live reader gets all of it');
  const { runs } = await ended(here, 'delivered');
  const again = await fetchAll(api, what, payment);
  assert.deepEqual([again.status, JSON.parse(again.body).error, runs], [410, 'answer_not_kept', 1]);
  service.full = false;
}

async function wrongKey(here, service) {
  const api = await here.start({ ...ENV, BUCKET_SECRET: 'another' });
  const what = big(2 * MIB);
  const payment = await sign(here, api, what);
  const live = await fetchAll(api, what, payment);
  assert.deepEqual([live.status, digest(live.body)], [200, digest(goods(2 * MIB))]);
  assert.equal((await fetchAll(api, what, payment)).status, 410);
  assert.ok(service.refused > 0, 'the service checks who asks');
  const log = api.child.log.join('\n');
  assert.match(log, /an answer cannot be kept/);
  for (const word of ['another', KEYS.id, 'AWS4-HMAC', 'Signature=']) assert.ok(!log.includes(word), `${word} in the log`);
  await stack.stop(api.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const options = { bin: stack.BIN, timeoutMs: 15_000, pendingSeconds: 15, gate: { replay_seconds: 0 } };
  const here = await world(net, folder, 'attacked', options);
  let api = await here.start();
  let bought;
  await test('a client that reads a byte a second and dies costs neither run nor answer', async () => { bought = await byteByByte(here, api); });
  await test('a part is no way around the identifier', () => partsAreNoWayAround(api, bought));
  await test('a credit whose route is sold no more keeps its receipt, and its run', async () => { api = await routeIsGone(here, api); });
  await stack.stop(api.child);

  const service = await bucketService('kept', KEYS);
  const remote = await world(net, folder, 'bucket', options);
  inBucket(remote, service);
  await test('an S3-compatible bucket keeps answers by configuration alone', async () => { api = await keptInABucket(remote, service); });
  await test('a bucket that is full costs its reader nothing, and no second run', () => bucketIsFull(remote, api, service));
  await stack.stop(api.child);
  await test('a bucket that refuses our key is as good as full, and says no key in the log', () => wrongKey(remote, service));
  service.close();
});
finish();
