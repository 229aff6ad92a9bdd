// Offers and receipts that the gate signs, checked by the official package (`@x402/extensions`) as it is published,
// and by `quittance receipt verify`.
//
//   node tests/receipts.mjs
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { account } from './lib/base-payment.mjs';
import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import * as v1 from './lib/version-1.mjs';
import * as official from './agents/audit.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const KEY = `0x${'3c'.repeat(32)}`;
const SIGNER = account(KEY).address;
const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const ask = headers => ({ method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: buyer.BODY });
const HEAD_BYTES_MAX = 4_096;

/** `quittance receipt verify` of a document: `{ code, said }`. */
async function verify(folder, document, ...more) {
  const file = join(folder, 'proof.json');
  writeFileSync(file, JSON.stringify(document));
  try {
    const said = await stack.program('receipt', 'verify', file, '--signer', SIGNER, '--json', ...more);
    return { code: 0, said: JSON.parse(said) };
  } catch (error) {
    const [, code, line] = /ended with (\d+)[\s\S]*?(\{.*\})?\s*$/.exec(error.message);
    return { code: Number(code), said: line && JSON.parse(line), text: error.message };
  }
}

async function unpaid(api) {
  const answer = await buyer.until('an offer of both networks', async () => {
    const one = await fetch(`${api.url}${buyer.PATH}`, ask());
    return one.status === 402 && one;
  });
  return { answer, body: await answer.json() };
}

/** The official client decides, signs, and is shown the answer. */
async function buy(net, api, network) {
  const { http, payer } = await official.customer(net, network);
  const { answer, body } = await unpaid(api);
  const required = http.getPaymentRequiredResponse(name => answer.headers.get(name), body);
  const headers = http.encodePaymentSignatureHeader(await http.createPaymentPayload(required));
  const send = async () => {
    const paid = await buyer.until('a final answer', async () => {
      const one = await fetch(`${api.url}${buyer.PATH}`, ask(headers));
      return one.status !== 503 && one;
    });
    assert.equal(paid.status, 200, await paid.clone().text());
    await paid.clone().text();
    return paid;
  };
  return { payer, required, send };
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const more = { server: { public_url: 'https://shop.example' }, receipts: { signing_key: 'env:RECEIPTS_KEY' } };
  const here = await world(net, folder, 'receipts', { bin: stack.BIN, more, pendingSeconds: 20 });
  const api = await here.start({ RECEIPTS_KEY: KEY });
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));

  await test('each offer of a 402 is signed by the address that the seller shows, in a head that proxies take', async () => {
    const { answer, body } = await unpaid(api);
    assert.equal((await stack.json(`${api.url}/.well-known/x402`)).receipts.signer, SIGNER);
    const header = JSON.parse(Buffer.from(answer.headers.get('payment-required'), 'base64'));
    const offers = official.offersOf(header);
    assert.deepEqual(official.offersOf(body), offers);
    assert.deepEqual(offers.map(one => one.payload.network), [stack.BASE, stack.SOLANA]);
    for (const offer of offers) {
      const { signer, payload } = await official.verifyOfferSignatureEIP712(offer);
      assert.equal(signer, SIGNER);
      assert.equal(payload.resourceUrl, 'https://shop.example/v1/generation-requests', 'without the query');
    }
    for (const offer of official.decodeSignedOffers(offers)) {
      assert.equal(official.findAcceptsObjectFromSignedOffer(offer, header.accepts), header.accepts[offer.acceptIndex]);
    }
    const head = [...answer.headers].reduce((sum, [name, value]) => sum + name.length + value.length + 4, 40);
    assert.ok(head < HEAD_BYTES_MAX, `${head} bytes`);
  });

  for (const network of NETWORKS) {
    await test(`${network}: the official package finds the receipt, its signature and its offer good`, async () => {
      const { payer, required, send } = await buy(net, api, network);
      const paid = await send();
      const receipt = official.receiptOf(paid);
      const { signer, payload } = await official.verifyReceiptSignatureEIP712(receipt);
      const settled = JSON.parse(Buffer.from(paid.headers.get('payment-response'), 'base64'));
      assert.deepEqual([signer, payload.network, payload.transaction], [SIGNER, CAIP[network], settled.transaction]);
      const offers = official.decodeSignedOffers(official.offersOf(required));
      const offer = offers.find(one => one.network === CAIP[network]);
      assert.ok(official.verifyReceiptMatchesOffer(receipt, offer, [payer]));
      assert.deepEqual(official.receiptOf(await send()), receipt, 'the same payment again has the same receipt');

      const proof = { paymentRequired: required, paymentResponse: settled };
      const good = await verify(folder, proof, '--payer', payer, '--amount', offer.amount, '--transaction', settled.transaction);
      assert.equal(good.code, 0, good.text);
      assert.deepEqual([good.said.offers[0].amount, good.said.receipt.payer], [offer.amount, payer]);
      const forged = structuredClone(proof);
      forged.paymentResponse.extensions['offer-receipt'].info.receipt.payload.payer = SIGNER;
      for (const [document, args, error] of [
        [forged, [], 'receipt_signer'],
        [proof, ['--amount', '1'], 'amount_mismatch'],
        [proof, ['--resource', 'https://other.example/'], 'resource_mismatch'],
      ]) {
        const refused = await verify(folder, document, ...args);
        assert.deepEqual([refused.code, refused.said?.valid, refused.said?.error], [3, false, error]);
      }
      assert.equal((await verify(folder, {})).code, 1, 'nothing to check');
    });

    await test(`${network}: what quittance pay prints is proof enough`, async () => {
      const bought = await stack.quittancePay(net, `${api.url}${buyer.PATH}`, network, buyer.BODY);
      const { code, said, text } = await verify(folder, bought);
      assert.equal(code, 0, text);
      assert.deepEqual([said.receipt.transaction, said.offers[0].amount], [bought.receipt.transaction, bought.payment.amount]);
    });

    await test(`${network}: a client of version 1 buys past what it does not know`, async () => {
      const bought = await v1.buyWithFetch(net, network, `${api.url}${buyer.PATH}`, buyer.BODY);
      assert.equal(bought.status, 200, bought.text);
    });
  }
  for (const opening of opened) {
    await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
});
finish();
