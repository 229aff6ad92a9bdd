// `quittance pay` against servers of every temper: what it signs for, whom it sends it to, and what it
// does when nobody knows how a payment ended.
//
//   node tests/pay.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { decode, encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const KEY = `0x${'11'.repeat(32)}`;
const USDC = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913';
const offer = (more = {}) => ({
  scheme: 'exact', network: stack.BASE, asset: USDC, payTo: '0x2222222222222222222222222222222222222222', amount: '20000',
  maxTimeoutSeconds: 60, extra: { name: 'USD Coin', version: '2', shop: 'mine' }, ...more,
});

/** Asks for `accepts`; `paid(res, count)` answers paid requests; `seen` has every request. */
async function shop(accepts, { paid, unpaid } = {}) {
  const seen = [];
  const server = createServer((req, res) => {
    req.resume().on('end', () => {
      const payment = decode(req.headers['payment-signature']);
      seen.push({ method: req.method, url: req.url, payment });
      if (payment) return paid?.(res, seen.filter(one => one.payment).length) || serve(res);
      if (unpaid) return unpaid(res);
      res.writeHead(402, { 'PAYMENT-REQUIRED': encode({ x402Version: 2, resource: { url: 'https://shop.example/x' }, accepts }) });
      return res.end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { seen, url: `http://127.0.0.1:${server.address().port}/x`, signed: () => seen.filter(one => one.payment).map(one => one.payment), close: () => server.close() };
}

function serve(res) {
  res.writeHead(200, { 'PAYMENT-RESPONSE': encode({ success: true, transaction: '0x01', network: stack.BASE }) });
  res.end('{"served":true}');
  return true;
}

async function pay(url, ...more) {
  const args = ['pay', url, '--json', '--evm-key', 'env:PAYER', '--wait-seconds', '15', ...more];
  try {
    return { code: 0, text: await stack.run(join(stack.BIN, 'quittance'), args, { PAYER: KEY, QUITTANCE_PAYMENTS: stack.PAYMENTS }) };
  } catch (error) {
    return { code: 1, text: error.message };
  }
}

await test('without a body it asks with GET, with one it posts', async () => {
  const here = await shop([offer()]);
  assert.equal((await pay(here.url)).code, 0);
  assert.equal((await pay(here.url, '--data', '{}')).code, 0);
  assert.deepEqual(here.seen.map(one => one.method), ['GET', 'GET', 'POST', 'POST']);
  here.close();
});

await test('the chosen offer and the resource are echoed whole', async () => {
  const asked = offer();
  const here = await shop([asked]);
  await pay(here.url);
  const [payment] = here.signed();
  assert.deepEqual(payment.accepted, asked);
  assert.deepEqual(payment.resource, { url: 'https://shop.example/x' });
  assert.equal(typeof payment.payload.authorization.validBefore, 'string', 'as the specification has it');
  here.close();
});

await test('nothing is signed for tokens that are no known dollars, nor on another network than asked for', async () => {
  for (const [accepts, more] of [
    [[offer({ asset: '0xcbB7C0000aB88B473b1f5aFd9ef808440eed33Bf' })], []],
    [[offer({ network: 'eip155:137' })], ['--network', 'base']],
    [[offer({ network: 'eip155:84532', asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e' })], ['--network', 'base']],
    [[offer({ amount: '1000001' })], []],
  ]) {
    const here = await shop(accepts);
    assert.notEqual((await pay(here.url, ...more)).code, 0);
    assert.equal(here.signed().length, 0);
    here.close();
  }
});

await test('an odd entry hides no other', async () => {
  const here = await shop([null, { scheme: 'exact' }, 'x', offer()]);
  assert.equal((await pay(here.url)).code, 0);
  here.close();
});

await test('a payment whose outcome is unknown is sent again, the same, and never signed anew', async () => {
  for (const status of [500, 502, 503, 504, 429, 408]) {
    const here = await shop([offer()], {
      paid: (res, count) => count < 3 && (res.writeHead(status, { 'Retry-After': '1' }), res.end('<html>'), true),
    });
    assert.equal((await pay(here.url)).code, 0, `${status}`);
    assert.equal(here.signed().length, 3, `${status}`);
    assert.equal(new Set(here.signed().map(one => one.payload.signature)).size, 1, `${status}`);
    here.close();
  }
});

await test('a run that gave up leaves its payment to the next one, which signs no other', async () => {
  const here = await shop([offer()], {
    paid: (res, count) => count < 2 && (res.writeHead(503, { 'Retry-After': '30' }), res.end(), true),
  });
  assert.notEqual((await pay(here.url)).code, 0);
  assert.equal((await pay(here.url)).code, 0);
  const [first, second] = here.signed();
  assert.equal(here.signed().length, 2);
  assert.deepEqual(second, first);
  // What was answered is over.
  assert.equal((await pay(here.url)).code, 0);
  assert.notEqual(here.signed()[2].payload.signature, first.payload.signature);
  here.close();
});

await test('limits by day count what was signed, and an authorization lives no longer than the limit', async () => {
  const here = await shop([offer({ maxTimeoutSeconds: 604_800 })]);
  // A day of its own: a host's limit counts all its ports.
  const limited = ['--max-usdc-per-host-and-day', '0.03', '--state', join(stack.PAYMENTS, 'limited')];
  assert.equal((await pay(here.url, ...limited)).code, 0);
  const { code, text } = await pay(here.url, ...limited);
  assert.notEqual(code, 0);
  assert.match(text, /0\.030000 USDC would be signed today/);
  const [{ payload: { authorization } }] = here.signed();
  assert.equal(here.signed().length, 1);
  assert.ok(Number(authorization.validBefore) <= Date.now() / 1000 + 600, 'a week was asked for');
  const other = await shop([offer()]);
  assert.notEqual((await pay(other.url, '--allow-host', 'api.example')).code, 0);
  assert.deepEqual(other.seen, []);
  here.close();
  other.close();
});

await test('a payment follows no redirect, to whatever place', async () => {
  const elsewhere = await shop([offer()]);
  for (const status of [301, 302, 303, 307, 308]) {
    const before = await shop([offer()], { unpaid: res => { res.writeHead(status, { Location: elsewhere.url }); res.end(); } });
    const after = await shop([offer()], { paid: res => { res.writeHead(status, { Location: elsewhere.url }); res.end(); return true; } });
    for (const here of [before, after]) {
      const { code, text } = await pay(here.url);
      assert.notEqual(code, 0);
      assert.match(text, /points to/);
      here.close();
    }
  }
  assert.deepEqual(elsewhere.seen, []);
  elsewhere.close();
});

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'pay', { serve: true, bin: stack.BIN, pendingSeconds: 20 });
  await here.start();
  for (const network of NETWORKS) {
    await test(`an unmodified official server is paid on ${network}`, async () => {
      const store = await official.shop(() => here.url, here.payTo);
      const bought = await stack.quittancePay(net, `${store.url}/thing/${network}`, network);
      assert.equal(bought.status, 200, JSON.stringify(bought));
      assert.equal(bought.receipt.success, true);
      assert.equal(store.served.length, 1);
      store.close();
    });
  }
});
finish();
