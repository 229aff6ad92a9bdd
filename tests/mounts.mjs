// One suite over all mounts of the gate: actix-web, tower (axum) and the gateway. What a stranger sends,
// and however he sends it, each mount sells a payment once, keeps its answer, and stays up.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';

import { badHeaders } from './lib/bad-headers.mjs';
import { BAD_PATHS, badBodies, badWire } from './lib/bad-requests.mjs';
import { account, payBase } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { decode, encode, send, sendRaw } from './lib/http.mjs';
import { MOUNTS, order } from './lib/mounts.mjs';
import * as sol from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { finish, row } from './lib/tally.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const JSON_TYPE = { 'Content-Type': 'application/json' };
const MIB = 1024 * 1024;
const LIMIT = 65_536;

const post = (api, { path, body }, headers = {}, more = {}) =>
  send(api.url, { path, body, headers: { ...JSON_TYPE, ...headers }, ...more });
const paying = payment => ({ 'PAYMENT-SIGNATURE': typeof payment === 'string' ? payment : encode(payment) });
const receipt = answer => decode(answer.headers['payment-response']);

async function offerOf(api, network, thing) {
  const required = await until('an offer', async () => decode((await post(api, thing)).headers['payment-required']));
  return required.accepts.find(one => one.network === CAIP[network]);
}

/** A signed payment for one thing. */
async function sign(here, network, thing) {
  const offer = await offerOf(here.api, network, thing);
  return network === 'base'
    ? payBase(account(here.net.base.payer_key), offer)
    : sol.paySolana(here.net, sol.signer(here.net.solana.payer_key), offer);
}

/** Sends one payment until its answer is final. */
const insist = (here, thing, payment) =>
  until('a final answer', async () => {
    const answer = await post(here.api, thing, paying(payment));
    return answer.status !== 503 && answer;
  });

/** Documents and monitors: the same paths in every mount. */
async function documents({ api, seen }) {
  const get = (path, method = 'GET') => send(api.url, { method, path });
  const shown = await get('/v1/x402');
  assert.deepEqual((await get('/.well-known/x402')).json, shown.json);
  assert.deepEqual(shown.json.networks.map(one => one.network), [stack.BASE, stack.SOLANA]);
  const kinds = { '/v1/x402': 'application/json', '/.well-known/x402': 'application/json', '/openapi.json': 'application/json', '/llms.txt': 'text/plain; charset=utf-8' };
  for (const [path, type] of Object.entries(kinds)) {
    const answer = await get(path);
    assert.deepEqual([answer.status, answer.headers['content-type'], answer.headers['cache-control']], [200, type, 'public, max-age=5'], path);
    assert.deepEqual([(await get(path, 'HEAD')).status, (await get(path, 'HEAD')).text], [200, ''], path);
  }
  // Prices move with the networks; what is sold, and in which words, does not.
  const fixed = value => JSON.parse(JSON.stringify(value, (key, held) => (['gas', 'offers', 'x-payment-info'].includes(key) ? undefined : held)).replaceAll(api.url, ''));
  const openapi = (await get('/openapi.json')).json;
  const sold = shown.json.endpoints.filter(one => one.path.startsWith('/v1/') && one.pricing === 'paid').map(fixed);
  const paths = sold.map(one => [one.path, Object.keys(openapi.paths[one.path])]);
  seen.documents ??= { sold, paths };
  assert.deepEqual({ sold, paths }, seen.documents, 'as in the mounts before');
}

async function monitors({ api }) {
  const get = (path, headers = {}) => send(api.url, { method: 'GET', path, headers });
  assert.deepEqual((await get('/healthz')).json, { status: 'ok' });
  const ready = await until('readiness', async () => (await get('/readyz')).status === 200 && get('/readyz'));
  assert.equal(ready.json.status, 'ready');
  const metrics = await get('/metrics');
  assert.equal(metrics.status, 200);
  assert.match(metrics.text, /^quittance_/m);
  assert.equal((await get('/metrics', { 'X-Forwarded-For': '203.0.113.9' })).status, 404, 'for this host only');
  for (const path of ['/healthz', '/readyz']) assert.equal((await send(api.url, { method: 'HEAD', path })).text, '');
}

async function clientsBuy({ net, api }, network) {
  const before = await api.runs();
  const bought = await stack.officialBuy(net, api.url, network, 'image', ...(api.isSample ? [] : ['--path', api.sold.image.path, '--body', api.sold.image.body]));
  assert.equal(bought.status, 200);
  assert.equal(await api.runs(), before + 1);
}

/** Substituted bodies, other routes, and copies: a payment buys one request, once. */
async function bindings(here, network) {
  const { api } = here;
  const thing = { path: api.sold.image.path, body: order(`bound ${network}`) };
  const payment = await sign(here, network, thing);
  const before = await api.runs();
  const copies = await Promise.all(Array.from({ length: 10 }, () => post(api, thing, paying(payment))));
  const served = copies.filter(one => one.status === 200);
  for (const one of copies) assert.ok([200, 503].includes(one.status), `${one.status}: ${one.text.slice(0, 200)}`);
  const answer = served[0] ?? (await insist(here, thing, payment));
  assert.equal(new Set(served.map(one => one.text)).size <= 1, true, 'one answer');
  assert.equal(answer.headers['cache-control'], 'private', 'no shared cache keeps it');
  assert.equal(receipt(answer).success, true);
  assert.match(answer.headers['payment-state'], /delivered/);
  for (const other of [
    { ...thing, body: order('Another mug') }, { ...thing, path: '/v1/generation-requests' }, { ...thing, path: `${thing.path}&wait_timeout_seconds=9` },
    api.sold.slow,
  ]) {
    const refused = await post(api, other, paying(payment));
    assert.deepEqual([refused.status, refused.json.error, refused.headers['cache-control']], [409, 'request_mismatch', 'no-store'], other.path);
  }
  assert.equal((await post(api, thing, paying(payment))).text, answer.text, 'the same request, the same answer');
  assert.equal(await api.runs(), before + 1, 'one run');
}

async function credits(here, network) {
  const { api } = here;
  const payment = await sign(here, network, api.sold.fail);
  for (let run = 1; run <= 3; run += 1) {
    const failed = await insist(here, api.sold.fail, payment);
    assert.deepEqual([failed.status, failed.headers['payment-state'], failed.headers['x-should-retry']], [500, 'credited', 'false'], `run ${run}`);
  }
  assert.equal((await post(api, api.sold.fail, paying(payment))).json.error, 'credit_exhausted');
}

/** Who hangs up while the handler works finds the answer of that very run. */
async function hangUps(here, network) {
  const { api } = here;
  const payment = await sign(here, network, api.sold.slow);
  const before = await api.runs();
  const { hostname, port, host } = new URL(api.url);
  const socket = connect(Number(port), hostname);
  const { path, body } = api.sold.slow;
  socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nPAYMENT-SIGNATURE: ${encode(payment)}\r\n\r\n${body}`);
  await until('the run', async () => (await api.runs()) === before + 1);
  socket.destroy();
  const answer = await insist(here, api.sold.slow, payment);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(await api.runs(), before + 1, 'one run');
  const [booked] = (await stack.books(api.config)).filter(one => one.transaction === receipt(answer).transaction);
  assert.deepEqual([booked.delivery, booked.runs], ['delivered', 1]);
}

/** What is no payment, or no request, leaves no trace. */
async function badInput(here) {
  const { api } = here;
  const [runs, payments] = [await api.runs(), (await stack.books(api.config)).length];
  const good = await sign(here, 'base', api.sold.image);
  for (const { name, header, headers, code } of badHeaders(good)) {
    await row(`${api.name}, header: ${name}`, async () => {
      const answer = await post(api, api.sold.image, { 'PAYMENT-SIGNATURE': headers ?? header });
      assert.deepEqual([answer.status, answer.json.code, answer.headers['cache-control']], [402, code, 'no-store'], answer.text.slice(0, 200));
    });
  }
  for (const [name, text] of badWire(encode(good), api.sold.image.body)) {
    // hyper drops the length and says nothing of it (RFC 9112, section 6.3): no trace is left for the gate.
    if (api.goesByChunks && name === 'length and chunks') continue;
    await row(`${api.name}, wire: ${name}`, async () => {
      const status = await sendRaw(api.url, text.replace('POST /v1/generation-requests ', `POST ${api.sold.image.path} `));
      assert.ok([400, 402, 413, 415, 431, 501, 505, 'closed'].includes(status), String(status));
    });
  }
  for (const path of BAD_PATHS) {
    await row(`${api.name}, path: ${path}`, async () => {
      for (const headers of [{}, paying(good)]) {
        const answer = await post(api, { path, body: api.sold.image.body }, headers);
        assert.ok([400, 404].includes(answer.status), `${answer.status} ${answer.text}`);
      }
    });
  }
  for (const [name, status, body, path = api.sold.image.path] of badBodies(api.sold.image.body)) {
    // That value is this host's own rule.
    if (!api.isSample && name === 'unknown wait') continue;
    await row(`${api.name}, body: ${name}`, async () => {
      for (const headers of [{}, paying(good)]) assert.equal((await post(api, { path, body }, headers)).status, status, name);
    });
  }
  await row(`${api.name}: no trace`, async () => {
    assert.deepEqual([await api.runs(), (await stack.books(api.config)).length], [runs, payments]);
  });
}

/** Trailers are no headers: what was priced without a payment is not paid by one that comes behind. */
async function trailers(here) {
  const { api } = here;
  const payment = encode(await sign(here, 'base', api.sold.image));
  const { path, body } = api.sold.image;
  const text = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: payment-signature\r\n\r\n` +
    `${body.length.toString(16)}\r\n${body}\r\n0\r\nPAYMENT-SIGNATURE: ${payment}\r\n\r\n`;
  const status = await sendRaw(api.url, text);
  assert.ok([402, 400].includes(status), String(status));
  assert.equal((await post(api, api.sold.image)).status, 402, 'and nothing was taken');
}

/** Heads that are too long, that never end, and bodies that stall. */
async function slowAndGiant(here) {
  const { api } = here;
  const { hostname, port } = new URL(api.url);
  for (const long of [`x-long: ${'a'.repeat(200_000)}`, 'x-many: a\r\n'.repeat(8_000).trim()]) {
    const status = await sendRaw(api.url, `GET /healthz HTTP/1.1\r\nhost: x\r\n${long}\r\n\r\n`);
    assert.ok([400, 413, 431, 'closed'].includes(status), String(status));
  }
  const closes = (text, what) => new Promise((resolve, reject) => {
    const begun = Date.now();
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let seen = '';
    socket.on('data', chunk => { seen += chunk; }).on('error', () => {});
    socket.once('close', () => resolve({ seen, seconds: (Date.now() - begun) / 1_000 }));
    socket.setTimeout(30_000, () => reject(new Error(`never closed: ${what}`)));
  });
  const head = length => `POST ${api.sold.image.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${length}\r\n`;
  const [half, stalled] = await Promise.all([closes(head(10), 'half a head'), closes(`${head(100)}\r\n{"requests"`, 'a body that stalls')]);
  assert.ok(half.seconds < 12, `half a head: ${half.seconds} s`);
  assert.match(stalled.seen, /^HTTP\/1\.1 408 /, 'a body that stalls');
}

/** A client that writes all before it reads hears why it was refused. */
async function refusedBodies({ api }) {
  const { hostname, port, host } = new URL(api.url);
  const rows = [[api.sold.image.path, LIMIT + 1, 413], [api.sold.image.path, 4 * MIB, 413], ['/v1/nothing', 4 * MIB, 404]];
  for (const chunked of [false, true]) {
    for (const [path, bytes, status] of rows) {
      const body = Buffer.alloc(bytes, 0x20);
      const framed = chunked ? Buffer.concat([Buffer.from(`${bytes.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]) : body;
      const length = chunked ? 'transfer-encoding: chunked' : `content-length: ${bytes}`;
      const seen = await new Promise((resolve, reject) => {
        const socket = connect(Number(port), hostname);
        let text = '';
        socket.on('error', reject).on('data', chunk => { text += chunk; }).pause();
        socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\nconnection: close\r\n${length}\r\n\r\n`);
        socket.write(framed, () => socket.resume());
        socket.once('close', () => resolve(text));
      });
      assert.equal(Number(seen.slice(9, 12)), status, `${path}, ${bytes} bytes${chunked ? ' in chunks' : ''}: ${seen.slice(0, 100)}`);
    }
  }
}

/** An answer that is read slowly is whole, and delivered. */
async function slowReaders(here) {
  const { api, net } = here;
  const thing = { path: '/test/big', body: JSON.stringify({ bytes: 4 * MIB }) };
  const payment = await payBase(account(net.base.payer_key), await offerOf(api, 'base', thing));
  const { hostname, port, host } = new URL(api.url);
  const socket = connect({ host: hostname, port: Number(port), highWaterMark: 16_384 });
  socket.write(`POST ${thing.path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${thing.body.length}\r\nPAYMENT-SIGNATURE: ${encode(payment)}\r\n\r\n${thing.body}`);
  let read = 0;
  let pauses = 0;
  for await (const chunk of socket) {
    read += chunk.length;
    if (pauses < 20) {
      pauses += 1;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
  assert.ok(read > 4 * MIB, `${read} bytes`);
  const again = await insist(here, thing, payment);
  assert.deepEqual([again.status, again.headers['payment-state'], Buffer.byteLength(again.text)], [200, 'delivered', 4 * MIB]);
  assert.equal(again.headers['set-cookie'], undefined, "nobody else's session");
}

const memory = child => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) * 1024;

/** Unpaid requests, as fast as they come: no row in the ledger, no run, no memory that stays. */
async function unpaidFlood({ api }) {
  const payments = (await stack.books(api.config)).length;
  const runs = await api.runs();
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const flood = async count => {
    let left = count;
    const one = async () => {
      while (left > 0) {
        left -= 1;
        const { status } = await post(api, api.sold.image, {}, { agent });
        if (status !== 402 && status !== 503) throw new Error(String(status));
      }
    };
    await Promise.all(Array.from({ length: 32 }, one));
  };
  await flood(1_000);
  const before = memory(api.child);
  await flood(3_000);
  agent.destroy();
  const grown = memory(api.child) - before;
  assert.ok(grown < 32 * MIB, `${Math.round(grown / MIB)} MiB more`);
  assert.deepEqual([(await stack.books(api.config)).length, await api.runs()], [payments, runs]);
}

async function pages({ api }) {
  const origin = { Origin: 'https://app.example' };
  const preflight = await send(api.url, { method: 'OPTIONS', path: api.sold.image.path, headers: { ...origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'payment-signature,x-stainless-os' } });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers['access-control-allow-headers'], /PAYMENT-SIGNATURE.*x-stainless-os/i);
  const unpaid = await post(api, api.sold.image, origin);
  assert.equal(unpaid.headers['access-control-allow-origin'], '*');
  assert.match(unpaid.headers['access-control-expose-headers'], /PAYMENT-REQUIRED/);
}

/** One request of HTTP/2; `after` gets the stream once its head is written. */
function stream2(session, { path, body }, headers, after = () => {}) {
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json', ...headers });
  stream.end(body);
  after(stream);
  return new Promise((resolve, reject) => {
    const chunks = [];
    let head;
    stream.on('response', said => { head = said; }).on('data', chunk => chunks.push(chunk)).on('error', reject);
    stream.on('close', () => resolve(head && { status: head[':status'], headers: head, text: Buffer.concat(chunks).toString() }));
  });
}

/** HTTP/2 without TLS: a purchase, a reset in the middle of a run, and resets by the thousand. */
async function overHttp2(here) {
  const { api } = here;
  const session = http2.connect(api.url);
  session.on('error', () => {});
  const unpaid = await stream2(session, api.sold.slow, {});
  assert.equal(unpaid.status, 402);
  const payment = encode(await sign(here, 'base', api.sold.slow));
  const before = await api.runs();
  const cut = stream2(session, api.sold.slow, { 'payment-signature': payment }, async stream => {
    await until('the run', async () => (await api.runs()) === before + 1);
    stream.close(http2.constants.NGHTTP2_CANCEL);
  });
  await cut;
  const answer = await until('the answer', async () => {
    const again = await stream2(session, api.sold.slow, { 'payment-signature': payment });
    return again.status !== 503 && again;
  });
  assert.deepEqual([answer.status, await api.runs()], [200, before + 1], answer.text);
  assert.equal(JSON.parse(answer.text).worked_ms, 1_500);
  session.destroy();

  const payments = (await stack.books(api.config)).length;
  const unsent = encode(await sign(here, 'base', api.sold.image));
  let resets = 0;
  for (let connection = 0; connection < 20; connection += 1) {
    const flooding = http2.connect(api.url);
    flooding.on('error', () => {});
    for (let n = 0; n < 100 && !flooding.destroyed && !flooding.closed; n += 1) {
      const stream = flooding.request({ ':method': 'POST', ':path': api.sold.image.path, 'payment-signature': unsent }, { endStream: false });
      stream.on('error', () => {});
      stream.close(http2.constants.NGHTTP2_CANCEL);
      resets += 1;
    }
    await new Promise(resolve => setTimeout(resolve, 20));
    flooding.destroy();
  }
  assert.ok(resets >= 1_000, `${resets} resets`);
  assert.equal((await post(api, api.sold.image)).status, 402, 'others are served');
  assert.equal((await stack.books(api.config)).length, payments, 'and nothing was sold');
}

async function alive({ api }) {
  assert.deepEqual([api.child.exitCode, api.child.signalCode], [null, null]);
  assert.deepEqual(api.child.log.filter(line => /panicked/i.test(line)), []);
}

const wanted = process.argv.slice(2);

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const seen = {};
  for (const [name, begin] of Object.entries(MOUNTS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const api = await begin(folder, net);
    const here = { folder, net, api, seen };
    await row(`${name}: the documents`, () => documents(here));
    await row(`${name}: monitors`, () => monitors(here));
    await row(`${name}: pages`, () => pages(here));
    for (const network of ['base', 'solana']) {
      await row(`${name}: an official client buys on ${network}`, () => clientsBuy(here, network));
      await row(`${name}: a payment buys one request on ${network}`, () => bindings(here, network));
    }
    await row(`${name}: a failed run is a credit`, () => credits(here, 'base'));
    await row(`${name}: who hangs up finds the answer`, () => hangUps(here, 'base'));
    await badInput(here);
    await row(`${name}: trailers`, () => trailers(here));
    await row(`${name}: slow writers and giant heads`, () => slowAndGiant(here));
    await row(`${name}: the rest of a refused body`, () => refusedBodies(here));
    if (api.isSample) await row(`${name}: slow readers`, () => slowReaders(here));
    if (api.speaksHttp2) await row(`${name}: HTTP/2`, () => overHttp2(here));
    await row(`${name}: unpaid requests by the thousand`, () => unpaidFlood(here));
    await row(`${name}: alive`, () => alive(here));
    await stack.stop(api.child);
    api.close?.();
  }
});
finish();
