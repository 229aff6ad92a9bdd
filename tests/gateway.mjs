// The gateway in front of an API that knows nothing of payments: what is paid for runs there once, what
// fails there is a credit, nothing is sold while it is down, and nothing a client writes reaches it in
// the gateway's place or past the price.
import assert from 'node:assert/strict';
import { appendFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { CATALOGUE, upstream } from './lib/upstream.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const KEY = 'k-upstream';
const JSON_TYPE = { 'Content-Type': 'application/json' };
const order = (mode, prompt = 'A brass key') => JSON.stringify({ prompt, ...(mode && { mode }) });

const send = (api, path, { body, headers = {}, method = body === undefined ? 'GET' : 'POST' } = {}) =>
  http.send(api.url, { method, path, headers: { ...(body !== undefined && JSON_TYPE), ...headers }, body });

/** The header that pays for one request. */
async function sign(net, api, network, path, request = {}) {
  const required = await until('an offer', async () => http.decode((await send(api, path, request)).headers['payment-required']));
  const offer = required.accepts.find(one => one.network === CAIP[network]);
  return { 'PAYMENT-SIGNATURE': http.encode(await official.pay(net, network, offer)) };
}

const receipt = answer => http.decode(answer.headers['payment-response']);
const last = api => api.seen.at(-1);

/** Paid once; resolves to the answer and the header that paid. */
async function buy(net, api, network, mode, headers = {}) {
  const body = order(mode, `${mode} ${Math.random()}`);
  const payment = await sign(net, api, network, '/v1/things', { body });
  const answer = await send(api, '/v1/things', { body, headers: { ...payment, ...headers } });
  return { answer, again: more => send(api, '/v1/things', { body, headers: { ...payment, ...more } }), body };
}

async function runsWithItsBuyer(net, gate, api, network) {
  const forged = { 'X-Quittance-Payer': 'me', 'X_Quittance_Payer': 'me', 'X-Forwarded-For': '203.0.113.9', Authorization: 'Bearer theirs', Cookie: 'a=b', 'X-PAYMENT-ID': 'x', 'X-Idempotency-Key': 'k-of-another', 'Idempotency_Key': 'k-of-another' };
  const { answer, again, body } = await buy(net, gate, network, 'ok', forged);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.thing, 'made');
  assert.equal(receipt(answer).success, true);
  const { headers, raw } = last(api);
  assert.equal(last(api).body, body, 'the bytes that were priced');
  assert.equal(headers.authorization, `Bearer ${KEY}`);
  assert.equal(headers['x-quittance-payer'], receipt(answer).payer);
  assert.equal(headers['x-quittance-network'], CAIP[network]);
  assert.equal(headers['x-quittance-amount'], receipt(answer).amount);
  assert.equal(headers['x-quittance-transaction'], receipt(answer).transaction);
  assert.match(headers['x-quittance-payment-id'], /^pay_/);
  assert.equal(headers['x-quittance-run'], '1');
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(headers['x-forwarded-host'], undefined, 'a Host is its client\'s word');
  for (const name of ['cookie', 'idempotency-key', 'x-idempotency-key', 'idempotency_key']) assert.equal(headers[name], undefined, name);
  assert.equal(headers.host, new URL(api.url).host);
  assert.ok(!JSON.stringify(raw).match(/203\.0\.113|theirs|"me"|payment-signature/i), JSON.stringify(raw));
  const runs = api.seen.length;
  assert.equal((await again()).text, answer.text, 'the same payment, the same answer');
  assert.equal(api.seen.length, runs, 'and no other run');
}

async function failuresAreCredits(net, gate, api, network) {
  const elsewhere = [502, 'upstream_redirected'];
  const expected = { moved: elsewhere, signin: elsewhere, unchanged: elsewhere, nowhere: elsewhere, away: elsewhere, forbidden: [502, 'upstream_refused_gateway'], fail: [500, 'oops'], gone: [502, 'upstream_broke_off'], short: [500, 'handler_failed'], broke: [502, 'upstream_refused_gateway'], hang: [504, 'upstream_too_slow'] };
  for (const [mode, [status, words]] of Object.entries(expected)) {
    const { answer, again } = await buy(net, gate, network, mode);
    assert.equal(answer.status, status, `${mode}: ${answer.text}`);
    assert.ok(answer.text.includes(words), `${mode}: ${answer.text}`);
    assert.equal(answer.headers['payment-state'], 'credited', mode);
    assert.equal(answer.headers['x-should-retry'], 'false');
    assert.equal(receipt(answer).success, true);
    const runs = api.seen.length;
    assert.equal((await again()).headers['payment-state'], 'credited', `${mode}: it runs again for the same payment`);
    assert.equal(api.seen.length, runs + 1);
    assert.equal(last(api).headers['x-quittance-run'], '2');
    await wellAgain(net, gate);
  }
}

/** An upstream that asks for a pause gets it, for a bounded time and once for each payment. */
async function pauses(net, gate, api) {
  const { answer, again } = await buy(net, gate, 'base', 'busy');
  assert.deepEqual([answer.status, answer.json.error, answer.headers['payment-state']], [503, 'upstream_asked_to_pause', 'credited']);
  assert.equal(answer.headers['retry-after'], '9', "the upstream's own word");
  const paused = await send(gate, '/v1/things', { body: order() });
  assert.deepEqual([paused.status, paused.json.error], [503, 'service_down'], paused.text);
  assert.ok(Number(paused.headers['retry-after']) <= 2, 'pause_seconds_max');
  const runs = api.seen.length;
  assert.deepEqual([(await again()).json.error, api.seen.length], ['service_down', runs], 'a credit keeps its runs');
  await until('an offer again', async () => (await send(gate, '/v1/things', { body: order() })).status === 402);
  assert.equal((await again()).json.error, 'upstream_asked_to_pause');
  await wellAgain(net, gate);
}

/** A restart of the API: who meets it first loses no run, and nobody else pays meanwhile. */
async function restarts(net, gate, api) {
  const body = order('ok', 'over restarts');
  const payment = await sign(net, gate, 'base', '/v1/things', { body });
  const pay = () => send(gate, '/v1/things', { body, headers: payment });
  for (let restart = 1; restart <= 4; restart += 1) {
    await api.close();
    const met = await pay();
    assert.deepEqual([met.status, met.json.error, met.headers['payment-state']], [502, 'upstream_unreachable', 'credited'], `${restart}: ${met.text}`);
    assert.ok(Number(met.headers['retry-after']) >= 1);
    const next = await send(gate, '/v1/things', { body: order() });
    assert.deepEqual([next.status, next.json.error], [503, 'service_down'], 'one is enough');
    await api.listen(api.port);
    await until('an offer again', async () => (await send(gate, '/v1/things', { body: order() })).status === 402);
  }
  const served = await pay();
  assert.equal(served.status, 200, served.text);
  assert.equal(last(api).headers['x-quittance-run'], '5', 'more than runs_max');
}

/** A run that succeeds: those that failed before it close nothing any more. */
async function wellAgain(net, gate) {
  assert.equal((await buy(net, gate, 'base', 'ok')).answer.status, 200);
}

/** A stream that breaks off is cut, and the payment buys it again. */
async function tornStreams(net, gate, network) {
  const body = order('torn', `torn ${network}`);
  const payment = await sign(net, gate, network, '/v1/things', { body });
  await assert.rejects(send(gate, '/v1/things', { body, headers: payment }), 'a part is never taken for the whole');
  const state = await until('the credit', async () => {
    const [payment] = await stack.books(gate.config);
    return payment.delivery === 'credited' && payment.delivery;
  });
  assert.equal(state, 'credited');
  await wellAgain(net, gate);
}

async function streams(net, gate, api, network, mode) {
  const body = order(mode, `${mode} ${network}`);
  const payment = await sign(net, gate, network, '/v1/things', { body });
  const answer = await fetch(`${gate.url}/v1/things`, { method: 'POST', body, headers: { ...JSON_TYPE, ...payment } });
  assert.equal(answer.status, 200);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  assert.match(value, /first/, 'the first byte is there while the upstream is still at work');
  api.go();
  let rest = '';
  for (let next = await reader.read(); !next.done; next = await reader.read()) rest += next.value;
  assert.match(rest, /last/);
  const again = await send(gate, '/v1/things', { body, headers: payment });
  assert.equal(again.text, value + rest, 'and it is kept whole');
}

/** A 4xx of the upstream is a final answer, and refundable. */
async function refusals(net, gate, network) {
  const { answer, again } = await buy(net, gate, network, 'refuse');
  assert.equal(answer.status, 422);
  assert.equal(answer.headers['payment-state'], 'refundable');
  assert.equal((await again()).text, answer.text);
}

/** An API's limit is found at its first 413: nobody pays for the next body that is as long, by whatever name. */
async function longBodies(net, gate, api) {
  const long = order('large', 'a long one').padEnd(70_000);
  const payment = await sign(net, gate, 'base', '/v1/things', { body: long });
  const first = await send(gate, '/v1/things', { body: long, headers: payment });
  assert.deepEqual([first.status, first.headers['payment-state']], [413, 'refundable']);
  const seen = api.seen.length;
  for (const body of [order('ok', 'as long').padEnd(70_000), order('ok', 'longer').padEnd(90_000)]) {
    const next = await send(gate, '/v1/things', { body });
    assert.deepEqual([next.status, next.json.error, next.headers['payment-required']], [413, 'body_too_large', undefined]);
  }
  assert.equal((await send(gate, '/v1/things', { body: order('ok', 'shorter').padEnd(69_999) })).status, 402);
  assert.equal((await send(gate, '/v1/things', { body: long, headers: payment })).text, first.text, 'who paid gets what was bought');
  assert.equal(api.seen.length, seen);
}

/** What was priced as JSON is JSON there, too: without a type some read a form, and a charset makes other letters of it. */
async function typesAreSaid(net, gate, api, network) {
  const types = [[undefined, 'application/json'], ['application/json; charset=utf-16', 'application/json'], ['application/vnd.api+json; charset=utf-7', 'application/vnd.api+json']];
  for (const [said, expected] of types) {
    const body = order('ok', `typed ${said}`);
    const payment = await sign(net, gate, network, '/v1/things', { body });
    const answer = await http.send(gate.url, { method: 'POST', path: '/v1/things', headers: { ...(said && { 'Content-Type': said }), ...payment }, body });
    assert.deepEqual([answer.status, last(api).headers['content-type'], last(api).body], [200, expected, body], said);
  }
}

async function headsOfAnswers(net, gate, network) {
  const moved = (await buy(net, gate, network, 'redirect')).answer;
  assert.equal(moved.status, 303, 'followed by nobody here');
  assert.equal(moved.headers.location, '/v1/things/7');
  const session = (await buy(net, gate, network, 'session')).answer;
  assert.equal(session.status, 200);
  for (const name of ['set-cookie', 'x-hop', 'x-debug']) assert.equal(session.headers[name], undefined, name);
}

/** What is free goes both ways as it comes. */
async function freeRoutes(gate, api) {
  const got = await send(gate, '/v1/things/7?x=1&x=2', { headers: { 'X-Payment-Note': 'hi', Authorization: 'Bearer theirs' } });
  assert.deepEqual([got.status, got.json.path], [200, '/v1/things/7?x=1&x=2']);
  assert.equal(last(api).headers.authorization, 'Bearer theirs');
  assert.equal(last(api).headers['x-quittance-payment-id'], undefined);
  const head = await send(gate, '/v1/things/7', { method: 'HEAD' });
  assert.deepEqual([head.status, head.text], [200, '']);
  const plain = await send(gate, '/v1/things/7');
  assert.equal(head.headers['content-length'], plain.headers['content-length'], 'as long as it would be');
  assert.equal(last(api).headers.authorization, undefined, "the gateway's key is not shown on free routes");
  const upload = 'x'.repeat(300_000);
  for (const chunked of [false, true]) {
    const back = await http.send(gate.url, { path: '/v1/uploads', body: upload, chunked });
    assert.equal(back.text, upload);
    assert.equal(last(api).headers['transfer-encoding'], chunked ? 'chunked' : undefined);
    assert.equal(last(api).headers['content-length'], chunked ? undefined : String(upload.length));
  }
  const tooLong = await http.send(gate.url, { path: '/v1/uploads', body: 'x', announce: 1 << 30 });
  assert.equal(tooLong.status, 413);
  const before = api.seen.length;
  const missing = await send(gate, '/v1/other');
  assert.deepEqual([missing.status, api.seen.length], [404, before]);
}

/** The first piece of an answer comes back while the body is still being sent. */
async function bothWaysAtOnce(gate) {
  const { hostname, port, host } = new URL(gate.url);
  const socket = connect(Number(port), hostname);
  let seen = '';
  socket.on('data', chunk => { seen += chunk; });
  socket.write(`POST /v1/uploads HTTP/1.1\r\nhost: ${host}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`);
  await until('the first piece', () => seen.includes('first'));
  socket.write('4\r\nlast\r\n0\r\n\r\n');
  await until('the last one', () => seen.includes('last'));
  socket.destroy();
}

async function accounts(gate, api) {
  const body = order();
  const theirs = await send(gate, '/v1/things', { body, headers: { 'X-API-Key': 'alice' } });
  assert.equal(theirs.status, 200, theirs.text);
  assert.equal(theirs.headers['payment-response'], undefined);
  assert.equal(last(api).headers.authorization, undefined, 'never with the gateway\'s own credentials');
  assert.equal(last(api).headers['x-api-key'], 'alice');
  const junk = await send(gate, '/v1/things', { body, headers: { 'X-API-Key': 'junk' } });
  assert.deepEqual([junk.status, junk.json.detail], [401, 'who are you?'], 'the upstream decides');
  assert.equal((await send(gate, '/v1/things', { body, headers: { Authorization: 'Bearer x' } })).status, 402);
}

/** Bad bodies hear the API's own words before any price. */
async function badBodies(gate, api) {
  const before = api.seen.length;
  for (const body of ['{}', '[]', '{"prompt":1}', '{"prompt":"a","prompt":"b"}', '{"prompt":"a","other":1}']) {
    const answer = await send(gate, '/v1/things', { body });
    assert.equal(answer.status, 400, body);
    assert.ok(answer.json.detail, answer.text);
  }
  const typed = await send(gate, '/v1/things', { body: order(), headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
  assert.equal(typed.status, 400);
  const obscure = [
    ['Content-Type: application/x-www-form-urlencoded; x=\xff'],
    ['Content-Type: application/json', 'Content-Type: application/x-www-form-urlencoded'],
    ['Content-Type: application/x-www-form-urlencoded,+json'],
  ];
  for (const lines of obscure) {
    const body = order();
    const status = await http.sendRaw(gate.url, `POST /v1/things HTTP/1.1\r\nhost: x\r\n${lines.join('\r\n')}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    assert.equal(status, 400, lines.join());
  }
  for (const query of ['mode=large', 'Prompt=x', 'prompt[]=x', 'a=1;prompt=x']) {
    assert.equal((await send(gate, `/v1/things?${query}`, { body: order() })).status, 400, query);
  }
  for (const query of ['Limit=9', 'limit[]=9', 'limit%5B%5D=9', 'x=1;limit=9', 'limit=3&utm_source=x', 'limit=99', 'limit=1&limit=10', 'l%69mit=99', 'limit=1&%6cimit=1']) {
    assert.equal((await send(gate, `/v1/list?${query}`)).status, 400, query);
  }
  assert.equal((await send(gate, '/v1/list?limit=3')).status, 402);
  assert.equal(api.seen.length, before, 'nothing reached the upstream');
}

/** No spelling of a paid path reaches it unpaid. */
async function spellings(gate, api) {
  const before = api.seen.length;
  const paths = [
    '/v1//things', '//v1/things', '/v1/things/', '/v1/./things', '/v1/x/../things', '/v1/%2e%2e/v1/things', '/v1/things/%2e%2e/list',
    '/v1/things/..%2flist', '/v1/things/..;/list', '/v1/things;x=1', '/v1/%74hings', '/v1/thin%67s', '/V1/things', '/v1/THINGS',
    '/v1/things%00', '/v1/things%20', '/v1/things\\..\\list', '/v1/free/..%5clist', '/v1/things%2f', '/v1%2fthings', '/v1/list%3flimit=1',
    '/v1/things/%252e%252e', '/v1/things.', '/v1/free/ok/', '/v1/things/a%62',
  ];
  for (const path of paths) {
    for (const method of ['POST', 'GET', 'HEAD', 'PUT', 'OPTIONS']) {
      const answer = await http.send(gate.url, { method, path, headers: JSON_TYPE, ...(method === 'POST' && { body: order() }) });
      assert.ok([400, 404].includes(answer.status), `${method} ${path}: ${answer.status}`);
    }
  }
  assert.deepEqual(api.seen.slice(before).map(({ url }) => url), []);
  for (const header of ['X-HTTP-Method-Override', 'X-Original-URL', 'X-Rewrite-URL']) {
    const value = header.startsWith('X-HTTP') ? 'POST' : '/v1/list';
    assert.equal((await send(gate, '/v1/things/7', { headers: { [header]: value } })).status, 200);
    assert.equal(last(api).headers[header.toLowerCase()], undefined, header);
  }
  for (const method of ['TRACE', 'CONNECT', 'PATCH', 'DELETE']) {
    const status = await http.sendRaw(gate.url, `${method} /v1/things HTTP/1.1\r\nhost: x\r\n\r\n`);
    assert.ok([400, 404, 405, 'closed'].includes(status), `${method}: ${status}`);
  }
}

/** Two lengths, and whatever else one server reads otherwise than the next. */
async function smuggling(gate, api) {
  const before = api.seen.length;
  const inner = 'GET /v1/list HTTP/1.1\r\nhost: x\r\n\r\n';
  const requests = [
    `POST /v1/uploads HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    `POST /v1/uploads HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: ${inner.length}\r\n\r\n${inner}`,
    `POST /v1/uploads HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n${inner}`,
    `POST /v1/uploads HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`,
    `POST /v1/uploads HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n${inner}`,
    `POST /v1/uploads HTTP/1.1\r\nhost: x\r\ncontent-length: +4\r\n\r\nabcd`,
    `GET /v1/things/7 HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n`,
  ];
  for (const text of requests) {
    const status = await http.sendRaw(gate.url, text);
    assert.ok(status === 400 || status === 'closed', `${JSON.stringify(text)}: ${status}`);
  }
  assert.deepEqual(api.seen.slice(before).map(({ url }) => url), []);
  // A body of a free route that holds a request is a body.
  const body = `${inner}${inner}`;
  assert.equal((await http.send(gate.url, { path: '/v1/uploads', body })).text, body);
  assert.deepEqual(api.seen.slice(before).map(({ url }) => url), ['/v1/uploads']);
}

async function websockets(gate, api) {
  const before = api.seen.length;
  for (const path of ['/v1/things', '/v1/things/7']) {
    const answer = await new Promise((resolve, reject) => {
      const { hostname, port } = new URL(gate.url);
      const socket = connect(Number(port), hostname);
      let text = '';
      socket.on('data', chunk => { text += chunk; });
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
      socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
    });
    assert.match(answer, /^HTTP\/1\.1 501 /);
    assert.match(answer, /upgrade_not_supported/);
  }
  assert.equal(api.seen.length, before);
}

/** Nobody pays for what cannot be served, and what was paid waits. */
async function circuit(net, gate, api) {
  const body = order('ok', 'before it goes');
  const unsent = await sign(net, gate, 'base', '/v1/things', { body });
  const kept = await buy(net, gate, 'base', 'ok');
  await api.close();
  const down = await until('503 before anybody pays', async () => {
    const answer = await send(gate, '/v1/things', { body });
    // Whoever calls a free route meets the same refused connections.
    await send(gate, '/v1/things/7');
    return answer.status === 503 && answer;
  });
  assert.equal(down.json.error, 'service_down');
  assert.ok(Number(down.headers['retry-after']) >= 1);
  assert.equal(down.headers['payment-required'], undefined);
  const early = await send(gate, '/v1/things', { body, headers: unsent });
  assert.deepEqual([early.status, early.json.retry_action], [503, 'retry_same_payment']);
  assert.equal(early.headers['x-should-retry'], 'false');
  assert.equal((await send(gate, '/v1/things', { body: '{}' })).status, 400);
  assert.equal((await kept.again()).text, kept.answer.text, 'what was bought is replayed');
  await until('the metric', async () => {
    const metrics = await fetch(`${gate.admin}/metrics`).then(answer => answer.text());
    return /quittance_upstream_closed\{upstream="things"\} 1/.test(metrics);
  });
  await api.listen(api.port);
  await until('an offer again', async () => (await send(gate, '/v1/things', { body })).status === 402);
  const served = await send(gate, '/v1/things', { body, headers: unsent });
  assert.equal(served.status, 200, served.text);
}

/** How many paid runs ended so. */
async function counted(gate, outcome) {
  const metrics = await fetch(`${gate.admin}/metrics`).then(answer => answer.text());
  return Number(new RegExp(`quittance_upstream_requests_total\\{kind="paid",outcome="${outcome}",upstream="things"\\} (\\d+)`).exec(metrics)?.[1] ?? 0);
}

/** Runs that fail close it, each payer once, and no payment does so twice. */
async function failingRuns(net, gate, api) {
  const open = async () => (await send(gate, '/v1/things', { body: order() })).status === 402;
  const [answered, wrong] = [await counted(gate, 'answered'), await counted(gate, 'failed')];
  const failed = [await buy(net, gate, 'base', 'fail')];
  await until('the count', async () => await counted(gate, 'failed') === wrong + 1);
  assert.equal(await counted(gate, 'answered'), answered, 'a run that failed is counted once');
  assert.equal((await failed[0].again()).status, 500);
  failed.push(await buy(net, gate, 'base', 'fail'));
  assert.ok(await open(), 'one payer is no switch');
  assert.equal((await buy(net, gate, 'base', 'refuse')).answer.status, 422, 'and a refusal no success');
  failed.push(await buy(net, gate, 'solana', 'fail'));
  const closed = await send(gate, '/v1/things', { body: order() });
  assert.deepEqual([closed.status, closed.json.error], [503, 'service_down'], closed.text);
  const runs = api.seen.length;
  const credit = await failed[0].again();
  assert.deepEqual([credit.status, credit.json?.error, api.seen.length], [503, 'service_down', runs], 'a credit keeps its runs');
  await until('an offer again', async () => (await send(gate, '/v1/things', { body: order() })).status === 402);
  for (const credit of failed) assert.equal((await credit.again()).status, 500, 'and runs when it is open');
  assert.ok(await open(), 'what closed it once does not close it again');
  assert.equal((await buy(net, gate, 'base', 'ok')).answer.status, 200);
}

function configure(folder, net, api, { port, admin, name = 'gateway' }) {
  const catalogue = join(folder, 'things.toml');
  writeFileSync(catalogue, CATALOGUE);
  const config = stack.configure(folder, net, { name, port });
  appendFileSync(config, `
[gateway]
admin_listen = "127.0.0.1:${admin}"
[gateway.upstreams.things]
url = "${api.url}"
catalogue = "${catalogue}"
account_headers = ["X-API-Key"]
answer_seconds_max = 1
closed_seconds = 3
pause_seconds_max = 2
failures_max = 2
credentials = [{ header = "Authorization", scheme = "Bearer", secret = "env:THINGS_KEY" }]
`);
  return config;
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const known = request => request.headers.authorization === `Bearer ${KEY}` || request.headers['x-api-key'] === 'alice' || ['GET', 'HEAD'].includes(request.method) || request.url === '/v1/uploads';
  const api = await upstream({ authorize: known });
  const [port, admin] = [await stack.freePort(), await stack.freePort()];
  const config = configure(folder, net, api, { port, admin });
  const gate = { config, admin: `http://127.0.0.1:${admin}`, ...(await stack.gateway(net, config, { env: { THINGS_KEY: KEY } })) };

  for (const network of ['base', 'solana']) {
    await test(`a paid run learns who paid, and nothing forged, on ${network}`, () => runsWithItsBuyer(net, gate, api, network));
    for (const mode of ['stream', 'chunks']) {
      await test(`${mode} go through from the first byte on ${network}`, () => streams(net, gate, api, network, mode));
    }
    await test(`a refusal of the upstream is final and refundable on ${network}`, () => refusals(net, gate, network));
  }
  await test('a body that is too long for the API is paid for once', () => longBodies(net, gate, api));
  await test('heads of answers bring no session and no address of the operator\'s', () => headsOfAnswers(net, gate, 'base'));
  await test('what was priced as JSON goes out as JSON', () => typesAreSaid(net, gate, api, 'base'));
  await test('free routes pass both ways as they come', () => freeRoutes(gate, api));
  await test('a stream goes both ways at once', () => bothWaysAtOnce(gate));
  await test('accounts of the upstream pass untouched', () => accounts(gate, api));
  await test('bad bodies are refused before any price', () => badBodies(gate, api));
  await test('no spelling of a path reaches the upstream unpaid', () => spellings(gate, api));
  await test('no request hides in another', () => smuggling(gate, api));
  await test('a WebSocket is refused with a reason', () => websockets(gate, api));
  await test('an upstream that asks for a pause gets it', () => pauses(net, gate, api));
  await test('a restart of the API costs no run', () => restarts(net, gate, api));
  await test('failed runs close what they meet, each payer once', () => failingRuns(net, gate, api));
  await test('nothing is sold while nobody answers', () => circuit(net, gate, api));
  for (const network of ['base', 'solana']) {
    await test(`a stream that breaks off is a credit on ${network}`, () => tornStreams(net, gate, network));
  }
  await test('failures of the upstream are credits', () => failuresAreCredits(net, gate, api, 'base'));
  await test('the key is in no log', () => assert.ok(!gate.child.log.join('\n').includes(KEY)));
  await test('monitors have a port of their own', async () => {
    assert.equal((await fetch(`${gate.url}/readyz`)).status, 200);
    assert.equal((await fetch(`${gate.url}/metrics`)).status, 404);
    assert.equal((await fetch(`${gate.admin}/healthz`)).status, 200);
  });
  await api.close();
});
finish();
