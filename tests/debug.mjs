// `quittance debug URL` against the sample API: what it shows of a call that is not paid, paid, refused and pending,
// and that it shows no key and no whole signature.
//
//   node tests/debug.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
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
      assert.match(text, /payment_state +delivered/);
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
  for (const opening of opened) {
    await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
});
finish();
