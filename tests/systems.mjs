// Four generation APIs, none of which knows of payments, sold by one gateway from their catalogues: an
// official client buys every paid endpoint on both networks at the document's price, what is free stays
// free, what the documents refuse is refused before any price, and the APIs' own customers pass untouched.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import * as systems from './lib/systems.mjs';
import { until } from './lib/buyer.mjs';
import { finish, row, test } from './lib/tally.mjs';

const [imgnaiKey, imgnaiSecret, nftKey, contractsKey, nanoKey] = ['op-key', 'op-secret', 'op-nft-key', 'op-contracts-key', 'op-nano-key'];
const JSON_TYPE = { 'Content-Type': 'application/json' };
const WAIT = '/v1/generation-requests?wait=true';
const image = { type: 'image', model: 'gen', prompt: 'A precise studio image of a brushed steel cube', aspect_ratio: '1:1', output_format: 'png' };
const video = { type: 'video', model: 'ltx-2-3', prompt: 'A slow dolly shot', duration_seconds: 5, aspect_ratio: '16:9' };
const nft = { model: 'velogen', prompt: 'dragon', width: 512, height: 512, steps: 3, enhance: 'original', style: 'cinematic' };
const queue = { ...nft, walletAddress: '0x0000000000000000000000000000000000000001', chainId: 56 };
const contract = { model: 'smart_contract_generator', question: 'An ERC-20 token with burning', chatHistory: 'off' };
const chat = { model: 'claude-haiku-4-5', messages: [{ role: 'user', content: 'Reply with exactly: text x402 ok' }], max_tokens: 16 };

const bytes = (answer, first) => assert.deepEqual(answer.data.slice(0, 2), first);

/** What is bought: path, body, the price of the service by the document, and what must come. */
const BOUGHT = [
  // 1 credit is 0.0047 USD: 3 credits an image, 20 for five seconds, at least 10 for text.
  ['imgnAI image', WAIT, { requests: [image] }, '0.014100', answer => assert.match(answer.outputs[0].url, /^data:image\/png;base64,/)],
  ['imgnAI images', WAIT, { requests: [image, { ...image, prompt: 'Another' }] }, '0.028200', answer => assert.equal(answer.outputs.length, 2)],
  ['imgnAI video', WAIT, { requests: [video] }, '0.094000', answer => assert.match(answer.outputs[0].url, /^data:image\/gif/)],
  ['imgnAI text', '/v1/chat/completions', chat, '0.047000', answer => assert.equal(answer.usage.imgnai.billing_source, 'x402')],
  // 1 credit is 0.01 USD.
  ['ChainGPT image', '/nft/generate-image', nft, '0.010000', answer => bytes(answer, [255, 216])],
  ['ChainGPT image, enhanced', '/nft/generate-image', { ...nft, enhance: '2x', width: 1024, height: 1024 }, '0.020000', answer => bytes(answer, [255, 216])],
  ['ChainGPT nebula_forge_xl', '/nft/generate-image', { ...nft, model: 'nebula_forge_xl', width: 1024, height: 1024, steps: 25 }, '0.010000', answer => bytes(answer, [255, 216])],
  ['ChainGPT VisionaryForge, enhanced', '/nft/generate-image', { ...nft, model: 'VisionaryForge', width: 1024, height: 1024, steps: 25, enhance: '1x' }, '0.020000', answer => bytes(answer, [255, 216])],
  ['ChainGPT Dale3', '/nft/generate-image', { model: 'Dale3', prompt: 'dragon', width: 1024, height: 1024 }, '0.047500', answer => bytes(answer, [137, 80])],
  ['ChainGPT Dale3, enhanced', '/nft/generate-image', { model: 'Dale3', prompt: 'dragon', width: 1024, height: 1024, enhance: '2x' }, '0.095000', answer => bytes(answer, [137, 80])],
  ['ChainGPT Dale3, wide', '/nft/generate-image', { model: 'Dale3', prompt: 'dragon', width: 1792, height: 1024 }, '0.095000', answer => bytes(answer, [137, 80])],
  ['ChainGPT Dale3, wide and enhanced', '/nft/generate-image', { model: 'Dale3', prompt: 'dragon', width: 1792, height: 1024, enhance: '2x' }, '0.142500', answer => bytes(answer, [137, 80])],
  ['ChainGPT queue', '/nft/generate-nft-queue', queue, '0.010000', answer => assert.equal(answer.status, 'queued')],
  ['ChainGPT prompt', '/nft/enhancePrompt', { prompt: 'a futuristic city' }, '0.005000', answer => assert.match(answer.enhancedPrompt, /^a futuristic city/)],
  ['ChainGPT contract', '/chat/stream', contract, '0.010000', answer => assert.match(answer.data.bot, /solidity/)],
  ['ChainGPT contract with history', '/chat/stream', { ...contract, chatHistory: 'on', sdkUniqueId: 'a-session' }, '0.020000', answer => assert.match(answer.data.bot, /solidity/)],
  ['ChainGPT history', '/chat/chatHistory?limit=5&sortOrder=DESC', undefined, '0.010000', answer => assert.ok(Array.isArray(answer.data.rows))],
  // The operator's own prices.
  ['NanoGPT image', '/v1/images/generations', { prompt: 'A brass key' }, '0.020000', answer => assert.ok(answer.data[0].b64_json && answer.remainingBalance)],
  ['NanoGPT images', '/v1/images/generations', { model: 'gpt-image-1', prompt: 'A brass key', n: 3, size: '1536x1024', response_format: 'url' }, '0.225000', answer => assert.equal(answer.data.length, 3)],
];

/** One of each paid endpoint on the other network, too. */
const ON_SOLANA = new Set(['imgnAI image', 'imgnAI text', 'ChainGPT image', 'ChainGPT queue', 'ChainGPT prompt', 'ChainGPT contract', 'ChainGPT history', 'NanoGPT image']);

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const text = body => (body === undefined ? undefined : JSON.stringify(body));
const ask = (gate, path, body, headers = {}) =>
  http.send(gate.url, { method: body === undefined ? 'GET' : 'POST', path, headers: { ...(body !== undefined && JSON_TYPE), ...headers }, body: text(body) });

async function buys(net, gate, network, [, path, body, service, check]) {
  const unpaid = await ask(gate, path, body);
  assert.equal(unpaid.status, 402, unpaid.text);
  const offer = http.decode(unpaid.headers['payment-required']).accepts.find(one => one.network === CAIP[network]);
  const { service_usdc, gas_usdc, total_usdc } = offer.extra.breakdown;
  const units = decimal => BigInt(decimal.replace('.', ''));
  assert.equal(service_usdc, service, "the document's price");
  assert.equal(units(service_usdc) + units(gas_usdc), units(total_usdc));
  assert.equal(units(total_usdc), BigInt(offer.amount));
  const bought = await official.buy(net, network, `${gate.url}${path}`, { body: text(body) });
  assert.equal(bought.status, 200, bought.text);
  assert.equal(bought.receipt.success, true);
  check(JSON.parse(bought.text));
}

/** What the documents refuse, with a word that the answer must have. */
const REFUSED = [
  [WAIT, { requests: [{ ...image, aspect_ratio: '2:1' }] }, 'aspect_ratio', answer => answer.error.message],
  [WAIT, { requests: [{ ...video, duration_seconds: 7 }] }, 'duration', answer => answer.error.message],
  [WAIT, { requests: [{ ...image, model: 'none' }] }, 'none', answer => answer.error.message],
  ['/v1/chat/completions', { model: 'claude-haiku-4-5' }, 'messages', answer => answer.error.message],
  ['/nft/generate-image', { ...nft, prompt: undefined }, 'prompt', answer => answer.message],
  ['/nft/generate-image', { ...nft, steps: 5 }, 'steps', answer => answer.message],
  ['/nft/generate-image', { ...nft, width: 100 }, 'width', answer => answer.message],
  ['/nft/generate-image', { ...nft, model: 'nebula_forge_xl', steps: 51, width: 1024, height: 1024 }, 'steps', answer => answer.message],
  ['/nft/generate-nft-queue', { ...queue, walletAddress: undefined }, 'walletAddress', answer => answer.message],
  ['/nft/enhancePrompt', {}, 'prompt', answer => answer.message],
  ['/chat/stream', { model: 'smart_contract_generator' }, 'question', answer => answer.error],
  ['/chat/stream', { ...contract, model: 'other' }, 'other', answer => answer.error],
  ['/chat/chatHistory?limit=many', undefined, 'limit', answer => answer.error],
  ['/v1/images/generations', { prompt: 'A', n: 0 }, 'n', answer => answer.error.message],
  ['/v1/images/generations', { prompt: 'A', imageDataUrl: 'https://example.com/a.png' }, 'imageDataUrl', answer => answer.error.message],
  ['/v1/images/generations', { prompt: 'A', imageDataUrl: `data:image/png;base64,${'A'.repeat(4_200_000)}` }, 'imageDataUrl', answer => answer.error.message],
];

async function refuses(gate, apis, [path, body, word, words]) {
  const runs = apis.reduce((sum, api) => sum + api.seen.length, 0);
  const answer = await ask(gate, path, body);
  assert.equal(answer.status, 400, answer.text);
  assert.ok(`${words(answer.json)} ${answer.text}`.includes(word), answer.text);
  assert.equal(answer.headers['payment-required'], undefined);
  assert.equal(apis.reduce((sum, api) => sum + api.seen.length, 0), runs);
}

async function freeStaysFree(net, gate) {
  const job = await official.buy(net, 'base', `${gate.url}/v1/generation-requests`, { body: text({ requests: [image] }) });
  const { request_id: id, status } = JSON.parse(job.text);
  assert.equal(status, 'accepted');
  assert.equal((await stack.json(`${gate.url}/v1/generation-requests/${id}`)).status, 'completed');
  assert.equal((await ask(gate, `/v1/generation-requests/req_${'0'.repeat(32)}`)).status, 404);
  assert.equal((await stack.json(`${gate.url}/v1/text/attestation?model=kimi-k2-6-private&nonce=00`)).model, 'kimi-k2-6-private');
  const queued = JSON.parse((await official.buy(net, 'base', `${gate.url}/nft/generate-nft-queue`, { body: text(queue) })).text);
  const done = await stack.json(`${gate.url}/nft/progress/${queued.collectionId}`);
  assert.deepEqual([done.status, done.data.slice(0, 2)], ['completed', [255, 216]]);
  const minted = await ask(gate, '/nft/mint-nft', { collectionId: queued.collectionId, name: 'Neon', description: 'City', symbol: 'NEON' });
  assert.deepEqual([minted.status, minted.json.image], [200, 'ipfs://QmSample']);
  assert.equal((await stack.json(`${gate.url}/nft/get-chains?testNet=false`)).chains.length, 2);
  assert.ok((await stack.json(`${gate.url}/nft/abi`)).abi);
  assert.ok((await stack.json(`${gate.url}/api/v1/image-models?detailed=true`)).data);
  const { endpoints } = await stack.json(`${gate.url}/v1/x402`);
  for (const path of ['/v1/generation-requests', '/nft/generate-image', '/chat/stream', '/v1/images/generations']) {
    assert.ok(endpoints.some(endpoint => endpoint.path === path), path);
  }
}

/** Their customers' own keys go through, and nothing else does. */
async function customersPass(gate, [imgnai, nfts, contracts, nano]) {
  const theirs = [
    [imgnai, '/v1/chat/completions', chat, { 'X-API-Key': imgnaiKey, 'X-API-Secret': imgnaiSecret }],
    [imgnai, WAIT, { requests: [image] }, { Authorization: `Bearer ${imgnaiKey}:${imgnaiSecret}` }],
    [nfts, '/nft/generate-image', nft, { Authorization: `Bearer ${nftKey}` }],
    [contracts, '/chat/stream', contract, { Authorization: `Bearer ${contractsKey}` }],
    [nano, '/v1/images/generations', { prompt: 'A brass key' }, { Authorization: `Bearer ${nanoKey}` }],
  ];
  for (const [api, path, body, headers] of theirs) {
    const answer = await ask(gate, path, body, headers);
    assert.equal(answer.status, 200, `${path}: ${answer.text}`);
    assert.equal(answer.headers['payment-response'], undefined);
    const { headers: came, body: bytes } = api.seen.at(-1);
    assert.equal(bytes, text(body), 'byte by byte');
    assert.equal(came['x-quittance-payment-id'], undefined);
    const junk = await ask(gate, path, body, { Authorization: 'Bearer junk' });
    assert.equal(junk.status, 401, `${path}: ${junk.text}`);
  }
}

/** The first chunk is there while the contract is still being written. */
async function contractsAreStreamed(net, gate, api) {
  api.holds = true;
  const body = text({ ...contract, question: 'A slow one' });
  const required = http.decode((await ask(gate, '/chat/stream', JSON.parse(body))).headers['payment-required']);
  const payment = await official.pay(net, 'base', required.accepts[0]);
  const answer = await fetch(`${gate.url}/chat/stream`, { method: 'POST', headers: { ...JSON_TYPE, 'PAYMENT-SIGNATURE': http.encode(payment) }, body });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  assert.match((await reader.read()).value, /"user":/);
  api.holds = false;
  await until('the rest', async () => {
    api.go();
    const next = await reader.read();
    return next.done || /solidity/.test(next.value);
  });
}

/** An upstream that is not told how much was paid for could make any amount of text. */
async function textIsCapped(net, gate, api) {
  const { max_tokens: _, ...open } = chat;
  const bought = await official.buy(net, 'base', `${gate.url}/v1/chat/completions`, { body: text(open) });
  assert.equal(bought.status, 200, bought.text);
  assert.equal(JSON.parse(api.seen.at(-1).body).max_tokens, 4096, 'the output that was priced');
  const streamed = await official.buy(net, 'solana', `${gate.url}/v1/chat/completions`, { body: text({ ...chat, stream: true, stream_options: { include_usage: true } }) });
  assert.match(streamed.text, /data: \[DONE\]\n\n$/);
  const usage = await stack.program('payments', 'usage', '--config', gate.config, '--json');
  assert.match(usage, /claude-haiku-4-5/, 'what was really used is booked');
}

function configure(folder, net, port, [imgnai, nfts, contracts, nano]) {
  const config = stack.configure(folder, net, { name: 'systems', port });
  const upstream = (name, { url }, catalogue, accounts, credentials) => `
[gateway.upstreams.${name}]
url = "${url}"
catalogue = "${join(stack.ROOT, 'catalogs', catalogue)}"
account_headers = ${JSON.stringify(accounts)}
credentials_on_free_routes = true
credentials = [${credentials.map(([header, scheme, secret]) => `{ header = "${header}", ${scheme ? `scheme = "${scheme}", ` : ''}secret = "env:${secret}" }`).join(', ')}]
`;
  appendFileSync(config, [
    upstream('imgnai', imgnai, 'imgnai.toml', ['X-API-Key', 'X-API-Secret', 'Authorization'], [['X-API-Key', '', 'IMGNAI_KEY'], ['X-API-Secret', '', 'IMGNAI_SECRET']]),
    upstream('nft', nfts, 'chaingpt-nft.toml', ['Authorization'], [['Authorization', 'Bearer', 'NFT_KEY']]),
    upstream('contracts', contracts, 'chaingpt-contracts.toml', ['Authorization'], [['Authorization', 'Bearer', 'CONTRACTS_KEY']]),
    upstream('nanogpt', nano, 'nanogpt-images.toml', ['Authorization'], [['Authorization', 'Bearer', 'NANO_KEY']]),
  ].join(''));
  return config;
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const apis = await Promise.all([
    systems.imgnai({ key: imgnaiKey, secret: imgnaiSecret }), systems.chainGptNft({ key: nftKey }),
    systems.chainGptContracts({ key: contractsKey }), systems.nanoGpt({ key: nanoKey }),
  ]);
  const config = configure(folder, net, await stack.freePort(), apis);
  const env = { IMGNAI_KEY: imgnaiKey, IMGNAI_SECRET: imgnaiSecret, NFT_KEY: nftKey, CONTRACTS_KEY: contractsKey, NANO_KEY: nanoKey };
  const gate = { config, ...(await stack.gateway(net, config, { env })) };
  await until('both networks', async () => (await stack.json(`${gate.url}/v1/x402`)).networks.length === 2);

  for (const thing of BOUGHT) await row(`${thing[0]} is sold on base`, () => buys(net, gate, 'base', thing));
  for (const thing of BOUGHT.filter(([name]) => ON_SOLANA.has(name))) {
    await row(`${thing[0]} is sold on solana`, () => buys(net, gate, 'solana', thing));
  }
  for (const bad of REFUSED) await row(`${bad[0]} with a bad ${bad[2]} is refused`, () => refuses(gate, apis, bad));
  await test('what is free stays free', () => freeStaysFree(net, gate));
  await test('customers with keys pass untouched', () => customersPass(gate, apis));
  await test('a contract is streamed', () => contractsAreStreamed(net, gate, apis[2]));
  await test('text is capped at what was priced, and its usage is booked', () => textIsCapped(net, gate, apis[0]));
  for (const api of apis) api.close();
});
finish();
