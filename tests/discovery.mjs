// Discovery against the real stack: four documents and a 402 that say the same,
// and a buyer that knows nothing but what /llms.txt told it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import * as stack from './lib/stack.mjs';
import * as chain from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';

const NAMES = { [stack.BASE]: 'base', [stack.SOLANA]: 'solana' };
const decode = text => JSON.parse(Buffer.from(text, 'base64'));
const encode = value => Buffer.from(JSON.stringify(value)).toString('base64');

async function text(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  assert.match(answer.headers.get('cache-control'), /^public, max-age=\d$/);
  return answer.text();
}

/** The machine-readable parts of the page, in order. */
const blocks = page => [...page.matchAll(/^```json\n(.*?)\n```$/gms)].map(([, json]) => JSON.parse(json));
const request = body => ({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

async function required(api, example) {
  const answer = await fetch(`${api.url}${example.path}`, request(example.body));
  assert.equal(answer.status, 402);
  const offer = decode(answer.headers.get('payment-required'));
  assert.deepEqual((await answer.json()).accepts, offer.accepts, 'body and header agree');
  return offer;
}

/** All documents and every example's 402, from one moment: tariffs move. */
async function oneMoment(api) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const shown = await stack.json(`${api.url}/v1/x402`);
    const seen = {
      shown,
      wellKnown: await stack.json(`${api.url}/.well-known/x402`),
      openapi: await stack.json(`${api.url}/openapi.json`),
      page: blocks(await text(`${api.url}/llms.txt`)),
      offers: new Map(),
    };
    for (const { path, example } of shown.endpoints) {
      if (example) seen.offers.set(path, await required(api, example));
    }
    const after = await stack.json(`${api.url}/v1/x402`);
    if (JSON.stringify(after) === JSON.stringify(shown)) return seen;
    assert.ok(Date.now() < deadline, 'the tariffs never stand still');
  }
}

async function everythingAgrees(net, api) {
  const { shown, wellKnown, openapi, page, offers } = await oneMoment(api);
  assert.deepEqual(wellKnown, shown);
  assert.deepEqual(page[0], shown);
  assert.deepEqual(shown.networks.map(({ network }) => network), [stack.BASE, stack.SOLANA]);
  assert.deepEqual(shown.networks.map(({ payTo }) => payTo), [net.base.pay_to, net.solana.pay_to]);
  assert.deepEqual(shown.networks.map(({ asset }) => asset), [net.base.usdc, net.solana.mint]);
  assert.equal(offers.size, shown.endpoints.filter(({ pricing }) => pricing === 'paid').length, 'each paid endpoint has an example');
  for (const endpoint of shown.endpoints) {
    const operation = openapi.paths[endpoint.path][endpoint.method.toLowerCase()];
    assert.equal(operation.summary, endpoint.description);
    const { example } = endpoint;
    if (!example) {
      assert.equal(operation['x-402'], undefined);
      continue;
    }
    assert.deepEqual(operation['x-402'].networks, shown.networks);
    assert.deepEqual(operation['x-402'].example, example);
    assert.equal(operation['x-402'].pricing, endpoint.summary);
    assert.deepEqual(operation.requestBody.content['application/json'].example, example.body);
    const { accepts } = offers.get(endpoint.path);
    assert.deepEqual(accepts.map(({ network, asset, amount }) => ({ network, asset, amount })),
      example.offers.map(({ network, asset, amount }) => ({ network, asset, amount })));
    for (const [index, { amount, payTo, extra }] of accepts.entries()) {
      const { service_usdc: service, gas_usdc: gas } = extra.breakdown;
      const units = decimal => BigInt(decimal.replace('.', ''));
      assert.equal(units(service), BigInt(example.service));
      assert.equal(units(gas), BigInt(example.offers[index].gas));
      assert.equal(example.offers[index].gas, shown.networks[index].gas);
      assert.equal(BigInt(example.service) + BigInt(example.offers[index].gas), BigInt(amount));
      assert.equal(payTo, shown.networks[index].payTo);
    }
  }
}

/** Buys what the page shows, where the page says, with the official client. */
async function buyFromThePage(net, api, endpoint, network) {
  const page = blocks(await text(`${api.url}/llms.txt`));
  const { example } = page[0].endpoints.find(({ path }) => path === endpoint);
  const bought = await stack.officialBuy(
    net, api.url, NAMES[network], 'image', '--path', example.path, '--body', JSON.stringify(example.body),
  );
  assert.equal(bought.status, 200);
  assert.equal(bought.network, network);
  assert.equal(bought.service, example.service, 'the page told the price');
  assert.equal(bought.pay_to, page[0].networks.find(one => one.network === network).payTo);
}

/** Fills the page's templates and signs them; no x402 library. */
async function signByThePage(net, api) {
  const page = blocks(await text(`${api.url}/llms.txt`));
  const { example, path } = page[0].endpoints.find(one => one.example);
  const unpaid = await fetch(`${api.url}${example.path}`, request(example.body));
  const offer = decode(unpaid.headers.get('payment-required'));
  const accepted = offer.accepts.find(one => one.network === stack.BASE);
  const typed = page.find(block => block.primaryType === 'TransferWithAuthorization' && block.domain.chainId === 8453);
  const payment = page.find(block => block.payload === '<see below>');
  const payload = page.find(block => block.authorization);

  const { privateKeyToAccount } = await stack.clients('viem/accounts');
  const payer = privateKeyToAccount(net.base.payer_key);
  const now = Math.floor(Date.now() / 1000);
  Object.assign(payload.authorization, {
    from: payer.address,
    value: accepted.amount,
    validAfter: String(now - 600),
    validBefore: String(now + accepted.maxTimeoutSeconds),
    nonce: `0x${randomBytes(32).toString('hex')}`,
  });
  payload.signature = await payer.signTypedData({ ...typed, message: payload.authorization });
  Object.assign(payment, { resource: offer.resource, accepted, payload });
  payment.extensions['payment-identifier'].info.id = `pay_${randomBytes(16).toString('hex')}`;

  const before = BigInt(await chain.baseBalance(net.base.rpc_url, net.base.usdc, net.base.pay_to));
  const { method, headers, body } = request(example.body);
  const answer = await fetch(`${api.url}${example.path}`, {
    method, body, headers: { ...headers, 'PAYMENT-SIGNATURE': encode(payment) },
  });
  assert.equal(answer.status, 200, `${path}: ${await answer.clone().text()}`);
  const receipt = decode(answer.headers.get('payment-response'));
  assert.equal(receipt.success, true);
  assert.equal(receipt.payer.toLowerCase(), payer.address.toLowerCase());
  const after = BigInt(await chain.baseBalance(net.base.rpc_url, net.base.usdc, net.base.pay_to));
  assert.equal(after - before, BigInt(accepted.amount));
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--base-block-time', '1');
  const config = stack.configure(folder, net, { port: await stack.freePort() });
  const api = await stack.sampleApi(net, config, { hooks: false });
  await test('documents and 402 agree, networks, prices and all', () => everythingAgrees(net, api));
  for (const network of [stack.BASE, stack.SOLANA]) {
    for (const endpoint of ['/v1/generation-requests', '/v1/chat/completions']) {
      await test(`the example of ${endpoint} can be bought on ${NAMES[network]}`, () => buyFromThePage(net, api, endpoint, network));
    }
  }
  await test('a payment made by hand from the page alone is taken', () => signByThePage(net, api));
});
finish();
