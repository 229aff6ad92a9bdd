// The four generation APIs as their documents describe them, in plain `node:http`: request and answer
// shapes, API keys, errors. They know nothing of payments.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==', 'base64');
const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');
const JPEG = Buffer.from([255, 216, 255, 224, 0, 16, 74, 70, 73, 70, 255, 217]);

const json = (response, status, value) => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
};

const bearer = key => request => request.headers.authorization === `Bearer ${key}`;

/** Serves `routes` (`"METHOD /path"`, `{}` for one segment) to whoever `knows` lets in; resolves to `{ url, seen, close }`. */
async function serve(knows, refuse, routes) {
  const seen = [];
  const listener = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url, 'http://api');
    const body = Buffer.concat(chunks).toString();
    seen.push({ method: request.method, path: url.pathname, headers: request.headers, body });
    const [, handler] = routes.find(([route]) => matches(route, request.method, url.pathname)) ?? [];
    if (!handler) return json(response, 404, { message: 'not found' });
    if (!(handler.open || knows(request))) return refuse(response);
    return handler(request, response, { body: body && JSON.parse(body), query: url.searchParams, id: url.pathname.split('/').at(-1) });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return { url: `http://127.0.0.1:${listener.address().port}`, seen, close: () => { listener.closeAllConnections(); listener.close(); } };
}

function matches(route, method, path) {
  const [wanted, template] = route.split(' ');
  const [parts, segments] = [template.split('/'), path.split('/')];
  return wanted === method && parts.length === segments.length && parts.every((part, at) => part === '{}' || part === segments[at]);
}

const open = handler => Object.assign(handler, { open: true });

/** imgnAI: images and videos by job, text as OpenAI has it. */
export function imgnai({ key, secret }) {
  const knows = request =>
    (request.headers['x-api-key'] === key && request.headers['x-api-secret'] === secret) || request.headers.authorization === `Bearer ${key}:${secret}`;
  const jobs = new Map();
  const output = item => ({
    id: item.id ?? 'item-1', type: item.type, status: 'completed',
    url: item.type === 'video' ? `data:image/gif;base64,${GIF.toString('base64')}` : `data:image/png;base64,${PNG.toString('base64')}`,
  });
  const source = request => (request.headers['x-quittance-payment-id'] ? 'x402' : 'credits');
  const usage = (request, body) => ({
    prompt_tokens: 12, completion_tokens: 7, total_tokens: 19,
    imgnai: { credits_reserved: 10, credits_charged: 0.1, credits_refunded: 9.9, model: body.model, billing_source: source(request) },
  });
  const chat = (request, response, { body }) => {
    const id = `chatcmpl-${randomUUID()}`;
    const words = ['Here', ' are', ` ${body.max_tokens}`, ' tokens.'];
    if (!body.stream) {
      const message = { role: 'assistant', content: words.join('') };
      return json(response, 200, { id, object: 'chat.completion', model: body.model, choices: [{ index: 0, message, finish_reason: 'stop' }], usage: usage(request, body) });
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    const chunk = value => response.write(`data: ${JSON.stringify({ id, object: 'chat.completion.chunk', model: body.model, ...value })}\n\n`);
    for (const content of words) chunk({ choices: [{ index: 0, delta: { content } }] });
    chunk({ choices: [], usage: usage(request, body) });
    return response.end('data: [DONE]\n\n');
  };
  return serve(knows, response => json(response, 401, { error: { code: 'unauthorized', message: 'API key missing or invalid' } }), [
    ['POST /v1/generation-requests', (request, response, { body, query }) => {
      const id = request.headers['x-quittance-request-id'] ?? `req_${randomUUID()}`;
      jobs.set(id, body.requests);
      const done = query.get('wait') === 'true';
      json(response, 200, { request_id: id, status: done ? 'completed' : 'accepted', outputs: done ? body.requests.map(output) : [] });
    }],
    ['GET /v1/generation-requests/{}', open((_, response, { id }) => {
      const job = jobs.get(id);
      return job ? json(response, 200, { request_id: id, status: 'completed', outputs: job.map(output) }) : json(response, 404, { error: { code: 'not_found', message: 'no such request' } });
    })],
    ['POST /v1/chat/completions', chat],
    ['GET /v1/text/attestation', (_, response, { query }) => json(response, 200, { model: query.get('model'), nonce: query.get('nonce'), tee: ['Intel TDX', 'NVIDIA Confidential Computing'] })],
  ]);
}

/** ChainGPT AI NFT Generator: images as arrays of bytes. */
export function chainGptNft({ key }) {
  const queued = new Map();
  const image = body => [...(body.model === 'Dale3' ? PNG : JPEG)];
  return serve(bearer(key), response => json(response, 401, { statusCode: 401, message: 'Unauthorized' }), [
    ['POST /nft/generate-image', (_, response, { body }) => json(response, 200, { data: image(body) })],
    ['POST /nft/generate-nft-queue', (_, response, { body }) => {
      const collectionId = randomUUID();
      queued.set(collectionId, body);
      json(response, 200, { collectionId, status: 'queued' });
    }],
    ['GET /nft/progress/{}', (_, response, { id }) => {
      const body = queued.get(id);
      return body ? json(response, 200, { collectionId: id, status: 'completed', data: image(body) }) : json(response, 404, { statusCode: 404, message: 'no such collection' });
    }],
    ['POST /nft/mint-nft', (_, response, { body }) => json(response, 200, { name: body.name, description: body.description, image: 'ipfs://QmSample', attributes: [], collectionId: body.collectionId, transaction: null })],
    ['POST /nft/enhancePrompt', (_, response, { body }) => json(response, 200, { enhancedPrompt: `${body.prompt}, at night, in rain, in great detail` })],
    ['GET /nft/get-chains', (_, response) => json(response, 200, { chains: [{ chainId: 56, name: 'BSC Mainnet', network: 'mainnet' }, { chainId: 1, name: 'Ethereum', network: 'mainnet' }] })],
    ['GET /nft/abi', (_, response) => json(response, 200, { abi: [{ type: 'function', name: 'mint', inputs: [], outputs: [] }] })],
  ]);
}

/** ChainGPT Smart-Contracts Generator: the answer is streamed in chunks. `next` holds each stream after its first. */
export async function chainGptContracts({ key }) {
  const history = [];
  const waiting = [];
  const system = await serve(bearer(key), response => json(response, 401, { message: 'Unauthorized' }), [
    ['POST /chat/stream', async (_, response, { body }) => {
      if (body.model !== 'smart_contract_generator' || !body.question) return json(response, 400, { error: "Missing 'question' in request body" });
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write('{"status":true,"data":{"user":');
      if (system.holds) await new Promise(resolve => waiting.push(resolve));
      const bot = 'pragma solidity ^0.8.0;\ncontract Token { }';
      response.end(`${JSON.stringify(body.question)},"bot":${JSON.stringify(bot)}}}`);
      if (body.chatHistory === 'on') history.push({ id: randomUUID(), question: body.question, answer: bot, createdAt: '2026-01-01T00:00:00.000Z' });
      return undefined;
    }],
    ['GET /chat/chatHistory', (_, response, { query }) => json(response, 200, { statusCode: 200, data: { rows: history.slice(0, Number(query.get('limit') ?? 10)), count: history.length } })],
  ]);
  system.go = () => { for (const resolve of waiting.splice(0)) resolve(); };
  return system;
}

/** NanoGPT images: OpenAI-compatible, with cost and what is left. */
export function nanoGpt({ key }) {
  return serve(bearer(key), response => json(response, 401, { error: { message: 'Invalid session', type: 'authentication_error' } }), [
    ['POST /v1/images/generations', (_, response, { body }) => {
      const one = () => (body.response_format === 'url' ? { url: 'https://cdn.example.com/signed.png' } : { b64_json: PNG.toString('base64') });
      json(response, 200, { created: 1_790_000_000, data: Array.from({ length: body.n ?? 1 }, one), cost: 0.02 * (body.n ?? 1), paymentSource: 'USD', remainingBalance: 12.34 });
    }],
    ['GET /api/v1/image-models', open((_, response) => json(response, 200, { data: [{ id: 'hidream', supported_parameters: { resolutions: ['1024x1024'] } }] }))],
  ]);
}
