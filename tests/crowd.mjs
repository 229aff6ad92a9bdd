// Strangers who ask as much as they can: copies of one pending payment, bodies that
// are long or slow, heads that never end, payers without money. Each is bounded, and
// somebody who pays is served meanwhile. How fast is the benchmark's to say
// (scripts/bench --only crowd).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

import * as stack from './lib/stack.mjs';
import { account, payBase, stranger } from './lib/base-payment.mjs';
import { PATH, BODY, offer, sign, until } from './lib/buyer.mjs';
import { encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy } from './lib/world.mjs';

const COPIES = 200;
const MIB = 1024 * 1024;
const JSON_TYPE = { 'Content-Type': 'application/json' };
const post = (url, path, body, headers = {}) => fetch(`${url}${path}`, { method: 'POST', body, headers: { ...JSON_TYPE, ...headers } });
const pay = (api, header, body = BODY) => post(api.url, PATH, body, { 'PAYMENT-SIGNATURE': header });

/** Sends bytes on a connection and resolves to all that comes back until it closes, and when. */
function raw(url, bytes, from) {
  const { hostname, port } = new URL(url);
  const begun = Date.now();
  const socket = connect({ host: hostname, port: Number(port), localAddress: from });
  const chunks = [];
  socket.on('data', chunk => chunks.push(chunk));
  socket.once('connect', () => socket.write(bytes));
  const closed = new Promise(resolve => socket.once('close', resolve).on('error', () => resolve()));
  return { socket, answer: closed.then(() => ({ text: Buffer.concat(chunks).toString('latin1'), ms: Date.now() - begun })) };
}

async function copiesOfOnePayment(here) {
  const { net, api, proxy } = here;
  const pending = await sign(net, api, 'base');
  await proxy.faults({ method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 });
  const copies = Promise.all(Array.from({ length: COPIES }, () => pay(api, pending.header)));
  await until('the payment on record', async () => (await stack.books(here.config)).length > 0);
  await proxy.healthy();
  const buyer = account(net.base.payers[1]);
  const other = await sign(net, api, 'base', { payer: buyer });
  const bought = await pay(api, other.header);
  assert.equal(bought.status, 200, 'another customer buys while the copies wait');
  const answers = await copies;
  const statuses = answers.map(answer => answer.status);
  assert.ok(statuses.every(status => status === 200 || status === 503), `statuses: ${[...new Set(statuses)]}`);
  const told = answers.filter(answer => answer.status === 503);
  assert.ok(told.length >= COPIES - 64, `${told.length} copies were told to come back`);
  for (const answer of told) {
    assert.ok(answer.headers.get('retry-after'));
    assert.equal(answer.headers.get('x-should-retry'), 'false');
    assert.equal((await answer.json()).error, 'settlement_pending');
  }
  const final = await until('the answer', async () => {
    const answer = await pay(api, pending.header);
    assert.notEqual(answer.status, 402);
    return answer.status === 200;
  });
  assert.ok(final);
  // What was delivered is replayed to all of them at once, none waits for another's turn.
  const begun = Date.now();
  const again = await Promise.all(Array.from({ length: 50 }, () => pay(api, pending.header)));
  assert.deepEqual([...new Set(again.map(answer => answer.status))], [200]);
  const took = Date.now() - begun;
  assert.ok(took < 5_000, `50 replays took ${took} ms`);
}

async function copiesOfOneSettle(here) {
  const { program } = here;
  const payment = await here.merchantPayment(account(here.net.base.payers[2]));
  const body = JSON.stringify({ x402Version: 2, paymentPayload: payment, paymentRequirements: payment.accepted });
  const answers = await Promise.all(Array.from({ length: COPIES }, async () => (await post(program.url, '/settle', body)).json()));
  assert.equal(answers.filter(answer => answer.success).length, 1, 'one success');
  const others = answers.filter(answer => !answer.success).map(answer => answer.errorReason);
  assert.ok(others.every(code => ['settlement_pending', 'duplicate_settlement'].includes(code)), [...new Set(others)].join());
}

const rss = child => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) / 1024;

async function longBodies(here) {
  const { api } = here;
  const before = rss(api.child);
  const part = Buffer.alloc(7 * MIB, 0x20);
  const { host } = new URL(api.url);
  const head = `POST ${PATH} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${8 * MIB}\r\n\r\n`;
  // All but the end of a hundred of the longest bodies.
  const many = Array.from({ length: 100 }, () => raw(api.url, Buffer.concat([Buffer.from(head), part])));
  const turned = await Promise.race([
    Promise.all(many.slice(0, 80).map(one => one.answer)).then(() => 'most were answered'),
    new Promise(resolve => setTimeout(resolve, 8_000, 'after a while')),
  ]);
  const grown = rss(api.child) - before;
  assert.ok(grown < 300, `${Math.round(grown)} MiB more in memory (${turned})`);
  // Short ones, and those of who pays, are served meanwhile.
  assert.equal((await post(api.url, PATH, BODY)).status, 402);
  assert.equal((await pay(api, (await sign(here.net, api, 'base', { payer: account(here.net.base.payers[3]) })).header)).status, 200);
  for (const { socket } of many) socket.destroy();
  await Promise.all(many.map(one => one.answer));
}

async function slowOnes(here) {
  for (const { url, path } of [{ url: here.api.url, path: PATH }, { url: here.program.url, path: '/settle' }]) {
    const { host } = new URL(url);
    const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n`;
    const body = raw(url, `${head}Content-Length: 100\r\n\r\n{`);
    const unfinished = raw(url, head);
    assert.match((await body.answer).text, /^HTTP\/1\.1 408/, `a body at ${path}`);
    const { text, ms } = await unfinished.answer;
    assert.match(text, /^HTTP\/1\.1 408/, `a head at ${path}`);
    assert.ok(ms < 10_000, `${ms} ms`);
  }
}

async function emptyWallet(here) {
  const { api, proxy, net } = here;
  const terms = await offer(api, 'base');
  const poor = stranger();
  const signed = await Promise.all(Array.from({ length: 50 }, async () => encode(await payBase(poor, terms))));
  const checks = async () => (await proxy.counts()).methods.eth_call ?? 0;
  const before = await checks();
  for (const header of signed) assert.equal((await pay(api, header)).status, 402);
  const calls = await checks() - before;
  assert.ok(calls < 25, `${calls} calls for fifty payments of an empty wallet`);
  const funded = await sign(net, api, 'base', { payer: account(net.base.payers[4]) });
  assert.equal((await pay(api, funded.header)).status, 200, 'a customer at the same address');
}

async function addressesThatFail(here) {
  const { api, net } = here;
  const terms = await offer(api, 'base');
  const payments = await Promise.all(Array.from({ length: 700 }, async () => encode(await payBase(stranger(), terms))));
  const { host } = new URL(api.url);
  const from = (address, header) => raw(api.url, [
    `POST ${PATH} HTTP/1.1`, `Host: ${host}`, 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(BODY)}`,
    `PAYMENT-SIGNATURE: ${header}`, 'X-Forwarded-For: 203.0.113.7', 'Connection: close', '', BODY,
  ].join('\r\n'), address).answer.then(({ text }) => ({ status: Number(text.slice(9, 12)), text }));
  const statuses = (await Promise.all(payments.map(header => from('127.0.0.2', header)))).map(one => one.status);
  const late = await Promise.all((await Promise.all(Array.from({ length: 150 }, async () => encode(await payBase(stranger(), terms)))))
    .map(header => from('127.0.0.2', header)));
  const away = late.filter(one => one.status === 429);
  assert.ok(away.length > 0, `nobody was told to come back: ${[...new Set(statuses)]}`);
  for (const { text } of away) {
    assert.match(text, /retry-after: \d+/i);
    assert.match(text, /x-should-retry: false/i);
    assert.match(text, /"retry_action":"retry_same_payment"/);
  }
  // A customer whose payment settled before buys on from there, and anybody from elsewhere.
  const customer = await sign(net, api, 'base', { payer: account(net.base.payers[4]) });
  const honest = await sign(net, api, 'base', { payer: account(net.base.payers[5]) });
  assert.equal((await from('127.0.0.2', customer.header)).status, 200);
  assert.equal((await from('127.0.0.3', honest.header)).status, 200);
}

async function contentTypes(here) {
  const body = JSON.stringify({});
  for (const path of ['/verify', '/settle']) {
    const said = async headers => (await fetch(`${here.program.url}${path}`, { method: 'POST', body, headers })).status;
    assert.equal(await said(JSON_TYPE), 400);
    assert.equal(await said({ 'Content-Type': 'application/json; charset=utf-8' }), 400);
    for (const other of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      assert.equal(await said({ 'Content-Type': other }), 415, `${path} as ${other}`);
    }
    const bare = raw(here.program.url, `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`);
    assert.match((await bare.answer).text, /^HTTP\/1\.1 415/, 'without a type');
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--payers', '6');
  const proxy = await faultyProxy(net.base.rpc_url);
  const server = { header_seconds_max: 2 };
  const config = stack.configure(folder, net, {
    port: await stack.freePort(), rpc: { base: proxy.url }, more: { server, gate: { body_seconds_max: 15, pending_wait_seconds: 8 } },
  });
  const api = await stack.sampleApi(net, config);
  const program = await stack.facilitatorBeside(folder, net, { more: { server, merchants: { body_seconds_max: 2 } } });
  const merchantPayment = async payer => {
    const terms = { scheme: 'exact', network: stack.BASE, asset: net.base.usdc, payTo: net.base.pay_to, amount: '50000', maxTimeoutSeconds: 120, extra: { name: 'USD Coin', version: '2' } };
    return payBase(payer, terms);
  };
  const here = { net, api, program, config, proxy, merchantPayment };

  await test(`${COPIES} copies of a pending payment wait in one place, and another customer buys`, () => copiesOfOnePayment(here));
  await test(`${COPIES} copies of one /settle: one success`, () => copiesOfOneSettle(here));
  await test('a hundred of the longest bodies without a payment do not fill the memory', () => longBodies(here));
  await test('slow bodies and heads end with 408', () => slowOnes(here));
  await test('an empty wallet costs a call a moment, however often it signs', () => emptyWallet(here));
  await test('an address whose payers fail is held back, its customers are not', () => addressesThatFail(here));
  await test('/verify and /settle take application/json only', () => contentTypes(here));
});
finish();
