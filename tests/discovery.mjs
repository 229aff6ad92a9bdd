// Discovery against the real stack: four documents and a 402 that say the same,
// and a buyer that knows nothing but what /llms.txt told it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
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
  const { x402Version, accepts } = await answer.json();
  const said = accepts.map(({ maxAmountRequired: amount, payTo, asset, extra }) => ({ amount, payTo, asset, extra }));
  assert.deepEqual(said, offer.accepts.map(({ amount, payTo, asset, extra }) => ({ amount, payTo, asset, extra })), 'body and header agree');
  assert.equal(x402Version, 1, 'the body is for clients of version 1');
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

/** Request bodies of every kind of sale, besides the examples of the documents. */
const ORDERS = [
  ['/v1/generation-requests', { requests: [
    { type: 'image', model: 'gen', prompt: 'A brass key', aspect_ratio: '16:9' },
    { type: 'image', model: 'gen', prompt: 'A brass key', aspect_ratio: '1:1', is_fast: true },
    { type: 'video', model: 'ltx-2-3', prompt: 'A brass key', aspect_ratio: '16:9', num_frames: 161 },
  ] }],
  ['/v1/chat/completions', { model: 'claude-haiku-4-5', max_completion_tokens: 64_000, stream: true, prompt: 'Hello' }],
  ['/v1/chat/completions', { model: 'kimi-k2-6-private', messages: [{ role: 'user', content: 'Say hello '.repeat(900) }] }],
];

/** Proxies keep 4 KiB for the head of an answer by default, and make 502 of a longer one. */
const PROXY_HEAD_BYTES = 4_096;
/** Of those, what a host may add itself. */
const HOST_HEAD_BYTES = 200;

function headBytes({ statusCode, statusMessage, rawHeaders }) {
  return rawHeaders.reduce((sum, part) => sum + part.length + 2, `HTTP/1.1 ${statusCode} ${statusMessage}\r\n\r\n`.length);
}

/** A 402 of every URL has such a head, or the URL is 414. */
async function headsFit(api) {
  const { example } = (await stack.json(`${api.url}/v1/x402`)).endpoints.find(one => one.example);
  const ask = (path, headers) => new Promise((resolve, reject) => {
    const asking = http.request(`${api.url}${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers } }, answer => {
      answer.resume().on('end', () => resolve({ status: answer.statusCode, bytes: headBytes(answer), offer: answer.headers['payment-required'] }));
    });
    asking.on('error', reject);
    asking.end(JSON.stringify(example.body));
  });
  const seen = new Set();
  for (let length = 0; length <= 4_400; length += 55) {
    const long = 'a'.repeat(length);
    for (const [path, headers] of [
      [`/v1/generation-requests?note=${long}`, {}],
      [`/v1/generation-requests?${'%22'.repeat(length / 3)}`, {}],
      ['/v1/generation-requests', { Host: `${long}.example` }],
      ['/v1/generation-requests?wait=true', { 'X-Forwarded-Host': `${long}.example`, Origin: 'https://page.example' }],
    ]) {
      const { status, bytes, offer } = await ask(path, headers);
      seen.add(status);
      assert.ok(status === 402 || status === 414, `${status} for ${length} bytes`);
      assert.ok(bytes <= PROXY_HEAD_BYTES - HOST_HEAD_BYTES, `a head of ${bytes} bytes for ${length}`);
      if (status === 402) assert.match(decode(offer).resource.url, /^http:\/\/[^?]+\/v1\/generation-requests(\?|$)/);
    }
  }
  assert.deepEqual([...seen].sort(), [402, 414]);
}

/** What `quittance catalog price` says, and what the gate asks, for the same bodies. */
async function catalogueAgrees(api) {
  const catalogue = join(stack.ROOT, 'catalogs/imgnai.toml');
  const shown = await stack.json(`${api.url}/v1/x402`);
  const examples = shown.endpoints.filter(({ example }) => example).map(({ example }) => [example.path, example.body, example.service]);
  assert.ok(examples.length >= 2);
  for (const [path, body, service] of [...examples, ...ORDERS]) {
    const text = JSON.stringify(body);
    const told = JSON.parse(await stack.program('catalog', 'price', catalogue, '--method', 'POST', '--path', path, '--body', text, '--json'));
    const { accepts } = await required(api, { path, body });
    for (const { extra } of accepts) assert.equal(extra.breakdown.service_usdc, told.service_usdc, text);
    const units = decimal => BigInt(decimal.replace('.', ''));
    if (service) assert.equal(units(told.service_usdc), BigInt(service), text);
    // The lines add up to it, before the sum is rounded up.
    const exact = told.lines.reduce((sum, { usdc }) => sum + Number(usdc), 0);
    assert.ok(Math.abs(exact - Number(told.service_usdc)) < 1e-6, text);
  }
}

/** `GET /supported` of the program says what the gate offers. */
async function supportedAgrees(folder, net, api) {
  const config = stack.configure(folder, net, { name: 'facilitator', port: await stack.freePort() });
  const program = await stack.facilitator(net, config);
  const { kinds: all, signers, extensions } = await stack.json(`${program.url}/supported`);
  const kinds = all.filter(({ x402Version }) => x402Version === 2);
  // Servers of version 1 look for their names; those of version 2 find theirs first.
  assert.deepEqual(all.slice(kinds.length), kinds.map((kind, index) => ({ ...kind, x402Version: 1, network: ['base', 'solana'][index] })));
  const shown = await stack.json(`${api.url}/v1/x402`);
  const offer = await required(api, shown.endpoints.find(({ example }) => example).example);
  assert.deepEqual(kinds.map(({ network }) => network), offer.accepts.map(({ network }) => network));
  assert.deepEqual(kinds.map(({ extra }) => extra), shown.networks.map(({ extra }) => extra));
  for (const [index, { scheme, x402Version, extra }] of kinds.entries()) {
    assert.equal(scheme, offer.accepts[index].scheme);
    assert.equal(x402Version, offer.x402Version);
    for (const [name, value] of Object.entries(extra)) assert.deepEqual(offer.accepts[index].extra[name], value, name);
  }
  assert.deepEqual(signers['solana:*'], [kinds[1].extra.feePayer]);
  assert.deepEqual(extensions, Object.keys(offer.extensions));
  await stack.stop(program.child);
}

/** What the text that was bought here really used stands in the ledger. */
async function usageIsBooked(config, bought) {
  const { products } = JSON.parse(await stack.program('payments', 'usage', '--config', config, '--json'));
  assert.deepEqual(products.map(({ resource, product, answers }) => ({ resource, product, answers })), [
    { resource: 'POST /v1/chat/completions', product: 'claude-haiku-4-5', answers: bought.length },
  ]);
  const [sum] = products;
  assert.equal(sum.charged, sum.reserved, 'an exact payment is charged whole');
  assert.equal(BigInt(sum.reserved), bought.reduce((total, { service }) => total + BigInt(service), 0n));
  assert.ok(BigInt(sum.metered) > 0n && BigInt(sum.metered) < BigInt(sum.reserved));
  assert.equal(sum.over_reserve, 0);
  const table = await stack.program('payments', 'usage', '--config', config);
  assert.match(table, /claude-haiku-4-5 +\d+ +0 +0\.094000 /);
  const listed = (await stack.books(config)).filter(({ resource }) => resource === 'POST /v1/chat/completions');
  assert.equal(listed.length, bought.length);
  for (const { id } of listed) {
    const shown = JSON.parse(await stack.program('payments', 'show', id, '--config', config));
    assert.equal(shown.usage.product, 'claude-haiku-4-5');
    assert.equal(shown.usage.reserved, shown.service);
    assert.equal(shown.usage.charged, shown.service);
    assert.equal(shown.usage.completion_tokens_reserved, 64);
    assert.ok(shown.usage.completion_tokens > 0 && shown.usage.completion_tokens <= 64);
    assert.ok(shown.usage.prompt_tokens > 0 && shown.usage.prompt_tokens <= shown.usage.prompt_tokens_reserved);
    assert.equal(shown.costs.length, 1);
    assert.equal(BigInt(shown.margin), BigInt(shown.gas) - BigInt(shown.costs[0].usdc));
    assert.ok(BigInt(shown.margin) >= 0n, 'not sold under cost');
  }
}

/** A streamed answer ends with what it used, and so does the ledger. */
async function streamedUsage(net, api, config) {
  const body = { model: 'claude-haiku-4-5', max_tokens: 64, stream: true, stream_options: { include_usage: true }, prompt: 'Say hello' };
  const bought = await stack.quittancePay(net, `${api.url}/v1/chat/completions`, stack.BASE, JSON.stringify(body));
  assert.equal(bought.status, 200, JSON.stringify(bought));
  const [newest] = await stack.books(config);
  const { usage } = JSON.parse(await stack.program('payments', 'show', newest.id, '--config', config));
  assert.equal(usage.product, 'claude-haiku-4-5');
  const chunks = String(bought.body).split('\n\n').filter(event => event.startsWith('data: {')).map(event => JSON.parse(event.slice(6)));
  const last = chunks.at(-1).usage;
  assert.equal(last.prompt_tokens, usage.prompt_tokens);
  assert.equal(last.completion_tokens, usage.completion_tokens);
  assert.equal(last.imgnai.billing_source, 'x402');
  assert.equal(last.imgnai.credits_charged, last.imgnai.credits_reserved);
  assert.equal(last.imgnai.credits_refunded, '0.0');
  assert.equal(Math.round(Number(last.imgnai.credits_metered) * 4_700), Number(usage.metered));
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
  return bought;
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
  const net = await stack.devnet();
  const config = stack.configure(folder, net, { port: await stack.freePort() });
  const api = await stack.sampleApi(net, config, { hooks: false });
  await test('documents and 402 agree, networks, prices and all', () => everythingAgrees(net, api));
  await test('prices are those of `quittance catalog price`', () => catalogueAgrees(api));
  await test('the head of every 402 fits a default proxy, or the URL is 414', () => headsFit(api));
  await test('GET /supported of the program says the same of the networks', () => supportedAgrees(folder, net, api));
  const chats = [];
  for (const network of [stack.BASE, stack.SOLANA]) {
    for (const endpoint of ['/v1/generation-requests', '/v1/chat/completions']) {
      await test(`the example of ${endpoint} can be bought on ${NAMES[network]}`, async () => {
        const bought = await buyFromThePage(net, api, endpoint, network);
        if (endpoint === '/v1/chat/completions') chats.push(bought);
      });
    }
  }
  await test('the real usage of the text is in the ledger, beside its reserve', () => usageIsBooked(config, chats));
  await test('a streamed answer books what it really used', () => streamedUsage(net, api, config));
  await test('a payment made by hand from the page alone is taken', () => signByThePage(net, api));
});
finish();
