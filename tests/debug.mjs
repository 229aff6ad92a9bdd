// `quittance debug URL` against the sample API: what it shows of a call that is not paid, paid, refused and pending,
// and that it shows no key and no whole signature. And `quittance gateway --debug`: the same from the seller's side.
//
//   node tests/debug.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { payBase, stranger } from './lib/base-payment.mjs';
import { encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { CATALOGUE, upstream } from './lib/upstream.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };

/** `quittance debug`: `{ code, text }`. */
async function debug(net, url, ...more) {
  const args = [
    'debug', url, ...(more.includes('--max-usdc') ? [] : ['--max-usdc', '5']), '--solana-rpc', net.solana.rpc_url, '--evm-key', 'env:BASE_PAYER', '--solana-key', 'env:SOLANA_PAYER',
    '--wait-seconds', '30', ...more,
  ];
  const env = { BASE_PAYER: net.base.payer_key, SOLANA_PAYER: net.solana.payer_key, QUITTANCE_PAYMENTS: stack.PAYMENTS };
  try {
    return { code: 0, text: await stack.run(join(stack.BIN, 'quittance'), args, env) };
  } catch (error) {
    const [, code, text] = /ended with (\d+): ([\s\S]*)$/.exec(error.message);
    return { code: Number(code), text };
  }
}

const document = ({ text }) => JSON.parse(text.split('\n').find(line => line.startsWith('{"steps"')));
const names = ({ steps }) => steps.map(one => one.step);
const order = ['--data', buyer.BODY];
const PAGE = { Accept: 'text/html,application/xhtml+xml' };

/** What a gateway in front of an API of its own is started with. */
async function things(folder, net, name, listen) {
  const api = await upstream();
  const catalogue = join(folder, 'things.toml');
  writeFileSync(catalogue, CATALOGUE);
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const port = await stack.freePort();
  const server = listen && { server: { listen: `${listen}:${port}` } };
  const config = stack.configure(folder, net, { name, port, more: { base: { pay_to: payTo.base }, solana: { pay_to: payTo.solana }, ...server } });
  appendFileSync(config, `\n[gateway.upstreams.things]\nurl = "${api.url}"\ncatalogue = "${catalogue}"\n`);
  return { api, config };
}

const look = (gate, path, headers = {}) => http.send(gate.url, { method: 'GET', path, headers: { ...PAGE, ...headers } });

/** Calls without a payment, then with one of these terms: `{ asked, paid, payment }`. */
async function buyThing(gate, network, pay) {
  const request = { path: '/v1/things', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ prompt: `A ${network} key` }) };
  const asked = await buyer.until('an offer', async () => {
    const answer = await http.send(gate.url, request);
    return http.decode(answer.headers['payment-required'])?.accepts.find(one => one.network === CAIP[network]);
  });
  const payment = await pay(asked);
  const paid = await http.send(gate.url, { ...request, headers: { ...request.headers, 'PAYMENT-SIGNATURE': encode(payment) } });
  return { asked, paid, payment };
}

/** The pages of the calls, the newest first. */
async function calls(gate) {
  const list = await look(gate, '/status/calls');
  assert.equal(list.status, 200, list.text);
  assert.match(list.headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; /);
  const paths = [...list.text.matchAll(/href="(\/status\/calls\/\d+)"/g)].map(([, path]) => path);
  return { list: list.text, pages: await Promise.all(paths.map(async path => (await look(gate, path)).text)) };
}

/** That these words stand there in this order. */
function inOrder(page, words) {
  let at = 0;
  for (const word of words) {
    at = page.indexOf(word, at);
    assert.ok(at >= 0, `${word} in ${page}`);
  }
}

async function watched(net, folder) {
  const { api, config } = await things(folder, net, 'watched');
  const gate = await stack.gateway(net, config, { args: ['--debug'] });
  for (const network of NETWORKS) {
    await test(`${network}: the gateway shows a purchase from the offer to the delivery`, async () => {
      const { asked, paid, payment } = await buyThing(gate, network, terms => official.pay(net, network, terms));
      assert.equal(paid.status, 200, paid.text);
      const { transaction } = http.decode(paid.headers['payment-response']);
      const { list, pages: [call, offered] } = await calls(gate);
      assert.match(list, /<span class="pill good">signed<\/span>/);
      const usdc = (Number(asked.amount) / 1e6).toFixed(6);
      inOrder(offered, ['Request, without a payment', 'Offered: 402', `${usdc} USDC = 0.010000 service + `, CAIP[network]]);
      inOrder(call, [
        'Request, with a payment of x402 version 2', 'signed by its payer', 'Checks passed', 'Claimed', 'Signed and recorded',
        'Settled', 'in block ', 'Handler runs', 'Answer made', 'Answered: 200', 'transaction = ', transaction,
      ]);
      const secret = payment.payload.signature ?? payment.payload.transaction;
      assert.ok(!call.includes(secret) && !/0x[0-9a-f]{130}/i.test(call), 'a whole signature');
      const [, story] = /href="(\/status\/payments\/pay_[^"]+)"/.exec(call);
      assert.equal((await look(gate, story)).status, 200);
    });
  }
  await test('the gateway shows why a payment was refused, and words of strangers stay words', async () => {
    const { paid } = await buyThing(gate, 'base', terms => payBase(stranger(), terms));
    assert.equal(paid.status, 402, paid.text);
    const { pages: [call] } = await calls(gate);
    inOrder(call, ['signed by its payer', 'Refused: 402', 'invalid_exact_evm_insufficient_balance', 'fund it and sign anew', 'offer: ']);
    assert.ok(!call.includes('Checks passed') && !call.includes('Claimed'));
    const broken = { accepted: { network: '<img src=x>' }, payload: { signature: '<script>' } };
    await http.send(gate.url, { path: '/v1/things', headers: { 'Content-Type': 'application/json', 'PAYMENT-SIGNATURE': encode(broken) }, body: '{"prompt":"x"}' });
    const { pages: [odd] } = await calls(gate);
    assert.ok(odd.includes('no payment that could be on record') && odd.includes('&lt;img src=x&gt;') && !odd.includes('<img'), odd);
  });
  await test('the page is for this host, bounded, and nowhere without --debug', async () => {
    assert.equal((await look(gate, '/status/calls', { 'X-Forwarded-For': '203.0.113.7' })).status, 404);
    assert.equal((await look(gate, '/status/calls', { Host: 'evil.example' })).status, 404);
    assert.equal((await look(gate, '/status/calls/999')).status, 404);
    for (let at = 0; at < 60; at += 1) await http.send(gate.url, { path: '/v1/things', headers: { 'Content-Type': 'application/json' }, body: '{"prompt":"x"}' });
    const { list, pages } = await calls(gate);
    assert.ok(pages.length <= 75 && list.includes('pill good'), 'who only asks pushes out nobody who pays');
    await stack.stop(gate.child);
    const plain = await stack.gateway(net, config);
    assert.equal((await look(plain, '/status/calls')).status, 404);
    assert.equal((await look(plain, '/status/')).status, 200);
    await stack.stop(plain.child);
    const open = await things(folder, net, 'open', '0.0.0.0');
    await assert.rejects(stack.gateway(net, open.config, { args: ['--debug'] }), /--debug shows every payment, so it wants server\.listen on loopback/);
    await open.api.close();
  });
  await api.close();
}

/** Answers a payment with each of these, in order; the last one stays. */
async function shop(offer, answers) {
  let paid = 0;
  const server = createServer((req, res) => req.resume().on('end', () => {
    if (!req.headers['payment-signature']) {
      res.writeHead(402, { 'PAYMENT-REQUIRED': encode({ x402Version: 2, resource: { url: 'https://shop.example/x' }, accepts: [offer] }) });
      return res.end('{}');
    }
    const [status, headers, body] = answers[Math.min(paid++, answers.length - 1)];
    return res.writeHead(status, headers).end(JSON.stringify(body));
  }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}/x`, paid: () => paid, close: () => server.close() };
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'debug', { bin: stack.BIN, pendingSeconds: 20 });
  const api = await here.start();
  const url = `${api.url}${buyer.PATH}`;
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));

  await test('without --pay every offer is shown, and nothing is signed', async () => {
    await buyer.offer(api, 'solana');
    const { code, text } = await debug(net, url, ...order);
    assert.equal(code, 0, text);
    assert.match(text, /← 402, x402 version 2/);
    assert.match(text, /would pay +\d\.\d{6} USDC = \d\.\d{6} service \+ \d\.\d{6} settlement on eip155:8453/);
    assert.match(text, new RegExp(`offer +\\d.*on ${stack.SOLANA}`));
    assert.match(text, /looked: nothing was signed/);
    const shown = document(await debug(net, url, ...order, '--json'));
    assert.deepEqual(names(shown), ['asked', 'offered']);
    assert.deepEqual(shown.steps[1].terms.offers.map(one => [one.network, one.payable]), [[stack.BASE, true], [stack.SOLANA, true]]);
  });

  for (const network of NETWORKS) {
    await test(`${network}: a purchase is shown from the offer to the receipt`, async () => {
      const { code, text } = await debug(net, url, ...order, '--network', network, '--pay');
      assert.equal(code, 0, text);
      assert.match(text, /paid: paid, and answered/);
      assert.match(text, /payment_state +settled/);
      for (const secret of [net.base.payer_key.slice(2), net.solana.payer_key]) assert.ok(!text.includes(secret));
      assert.ok(!/0x[0-9a-f]{120,}/i.test(text), 'a whole signature');
      const shown = document(await debug(net, url, ...order, '--network', network, '--pay', '--json'));
      assert.deepEqual(names(shown), ['asked', 'offered', 'signed', 'sent', 'answered']);
      const [, offered, signed, , answered] = shown.steps;
      assert.equal(offered.terms.offers.find(one => one.payable).network, CAIP[network]);
      assert.equal(signed.bill.network, CAIP[network]);
      assert.equal(signed.payment.extensions, '…', 'what tells the buyer from a stranger is nobody else\'s');
      assert.equal(answered.receipt.success, true);
      assert.equal(shown.end.outcome, 'paid');
      assert.ok(shown.steps.every((one, n) => n === 0 || one.at_ms >= shown.steps[n - 1].at_ms));
    });
  }

  const terms = await buyer.offer(api, 'base');
  await test('a refusal is said in words, with what to do', async () => {
    const store = await shop(terms, [[402, { 'PAYMENT-REQUIRED': encode({
      x402Version: 2, error: 'invalid_exact_evm_insufficient_balance', accepts: [terms] }) }, { message: 'too little' }]]);
    const { code, text } = await debug(net, store.url, '--pay');
    assert.equal(code, 1);
    assert.match(text, /refused \(invalid_exact_evm_insufficient_balance\): too little/);
    assert.match(text, /fund it and sign anew/);
    store.close();
  });

  await test('a settlement that is pending, and the same payment again, are shown as they come', async () => {
    const pending = encode({ success: false, errorReason: 'settlement_pending', transaction: '0xfeed', network: stack.BASE, retry_action: 'retry_same_payment' });
    const store = await shop(terms, [
      [503, { 'Retry-After': '1', 'PAYMENT-RESPONSE': pending }, {}],
      [200, { 'PAYMENT-RESPONSE': encode({ success: true, transaction: '0xfeed', network: stack.BASE }) }, { done: true }],
    ]);
    const shown = document(await debug(net, store.url, '--pay', '--json'));
    assert.deepEqual(names(shown), ['asked', 'offered', 'signed', 'sent', 'answered', 'again', 'sent', 'answered']);
    assert.equal(shown.steps[4].receipt.transaction, '0xfeed');
    assert.deepEqual([shown.end.outcome, store.paid()], ['paid', 2]);
    store.close();
  });

  await test('what the limits forbid is not signed', async () => {
    const { code, text } = await debug(net, url, ...order, '--pay', '--max-usdc', '0.000001');
    assert.equal(code, 1);
    assert.match(text, /above the limit/);
    assert.match(text, /Nothing was signed/);
  });
  await watched(net, folder);
  for (const opening of opened) {
    await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
});
finish();
