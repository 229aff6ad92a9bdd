// The same shop in three mounts: the sample API in actix-web and in axum, and an API in JavaScript
// behind the gateway. Each sells by imgnAI's catalogue.
import { appendFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as stack from './stack.mjs';
import { send } from './http.mjs';

const PATH = '/v1/generation-requests?wait=true';
export const order = (prompt = 'A mug') =>
  JSON.stringify({ requests: [{ type: 'image', model: 'gen', prompt, aspect_ratio: '1:1' }] });

/** Bounds that a test can wait for. */
const MORE = {
  server: { header_seconds_max: 3, keep_alive_seconds: 5, connections_address_max: 200 },
  gate: { body_bytes_max: 65_536, body_seconds_max: 3 },
};

/** What is sold under these names: at once, slowly, and what fails at each run. */
const SAMPLE = {
  image: { path: PATH, body: order() },
  slow: { path: '/test/slow', body: '{}' },
  fail: { path: '/test/fail', body: '{}' },
};
const BEHIND = {
  image: { path: PATH, body: order() },
  slow: { path: PATH, body: order('slowly') },
  fail: { path: PATH, body: order('in vain') },
};

async function sample(folder, net, name, args) {
  const port = await stack.freePort();
  const config = stack.configure(folder, net, { name, port, more: MORE });
  const program = await stack.sampleApi(net, config, { args });
  const runs = async () => (await send(program.url, { method: 'GET', path: '/test/handler-runs' })).json.runs;
  return { ...program, name, config, sold: SAMPLE, runs, isSample: true };
}

/** An API that draws nothing: it counts, and does what the prompt says. */
async function drawing() {
  let runs = 0;
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{}');
    if (request.method !== 'POST') return response.writeHead(404).end();
    runs += 1;
    const prompt = body.requests?.[0]?.prompt ?? body.messages?.[0]?.content;
    if (prompt === 'slowly') await new Promise(resolve => setTimeout(resolve, 1_500));
    const status = prompt === 'in vain' ? 500 : 200;
    const answer = JSON.stringify({ request_id: `req_${runs}`, status: 'completed', outputs: [{ run: runs }] });
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': answer.length }).end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, runs: () => runs, close: () => server.close() };
}

async function gateway(folder, net) {
  const api = await drawing();
  const port = await stack.freePort();
  const config = stack.configure(folder, net, { name: 'gateway', port, more: MORE });
  const upstream = `\n[gateway.upstreams.drawing]\nurl = "${api.url}"\ncatalogue = "${join(stack.ROOT, 'catalogs/imgnai.toml')}"\nfailures_max = 1000\n`;
  appendFileSync(config, upstream);
  const program = await stack.gateway(net, config);
  return { ...program, name: 'gateway', config, sold: BEHIND, runs: async () => api.runs(), close: api.close };
}

/** Each starts when it is asked for: they share wallets, and are tried one after the other. */
export const MOUNTS = {
  actix: (folder, net) => sample(folder, net, 'actix', []),
  tower: async (folder, net) => ({ ...(await sample(folder, net, 'tower', ['--mount', 'tower'])), speaksHttp2: true, goesByChunks: true }),
  gateway,
};
