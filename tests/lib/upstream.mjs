// An API behind the gateway, as plain `node:http` has it: it keeps what it received, byte by byte where
// that matters, and answers as the body's `mode` says.
import { once } from 'node:events';
import { createServer } from 'node:http';

/** What is sold of it. */
export const CATALOGUE = `
[catalogue]
name = "things"
unit = "usd"
usd_per_unit = "1"

[catalogue.error]
detail = "{message}"

[[endpoints]]
method = "POST"
path = "/v1/things"
description = "Makes a thing"
example = '{"prompt": "A brass key"}'

[endpoints.price]
kind = "call"
units = "0.01"

[endpoints.price.fields]
prompt = { type = "string", required = true }
mode = { type = "string", default = "ok" }

[[endpoints]]
method = "GET"
path = "/v1/list"
description = "Lists things"

[endpoints.price]
kind = "call"
units = "0.02"

[endpoints.price.query]
limit = { type = "integer", min = 1, max = 10 }

[[endpoints]]
method = "GET"
path = "/v1/things/{id}"
description = "One thing"
price = { kind = "free" }

[[endpoints]]
method = "POST"
path = "/v1/uploads"
description = "Takes a file"
price = { kind = "free" }

[[endpoints]]
method = "GET"
path = "/v1/free/{mode}"
description = "As the mode says"
price = { kind = "free" }
`;

export const later = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Answers of a mode. */
const MODES = {
  ok: (request, response) => {
    const text = JSON.stringify({ thing: 'made', path: request.url });
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length }).end(text);
  },
  refuse: (_, response) => response.writeHead(422, { 'Content-Type': 'application/json' }).end('{"detail":"not like this"}'),
  large: (_, response) => response.writeHead(413, { 'Content-Type': 'application/json' }).end('{"detail":"too large"}'),
  fail: (_, response) => response.writeHead(500, { 'Content-Type': 'application/json' }).end('{"detail":"oops"}'),
  broke: (_, response) => response.writeHead(402, { 'Content-Type': 'application/json' }).end('{"detail":"Insufficient credits"}'),
  forbidden: (_, response) => response.writeHead(403, { 'Content-Type': 'application/json' }).end('{"detail":"this key may not"}'),
  moved: (_, response) => response.writeHead(301, { Location: '/v1/things/' }).end(),
  signin: (_, response) => response.writeHead(302, { Location: '/login' }).end(),
  unchanged: (_, response) => response.writeHead(304).end(),
  nowhere: (_, response) => response.writeHead(303).end(),
  away: (_, response) => response.writeHead(307, { Location: '/v2/things' }).end(),
  busy: (_, response) => response.writeHead(429, { 'Retry-After': '9' }).end('slower'),
  hang: () => {},
  gone: (_, response) => response.socket.destroy(),
  short: async (_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' }).write('{"thing":');
    await later(50);
    response.socket.destroy();
  },
  torn: async (_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).write('{"thing":');
    await later(50);
    response.socket.destroy();
  },
  redirect: (request, response) => response.writeHead(303, { Location: `http://${request.headers.host}/v1/things/7` }).end(),
  session: (_, response) => response.writeHead(200, { 'Set-Cookie': 'session=operator', 'X-Hop': '1', Connection: 'x-hop', 'X-Debug': 'k-upstream' }).end('{}'),
  /** Goes on when the test says so: what comes first must be there before that. */
  stream: async (_, response, upstream) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: first\n\n');
    await upstream.next();
    response.end('data: last\n\n');
  },
  chunks: async (_, response, upstream) => {
    response.writeHead(200, { 'Content-Type': 'text/plain' }).write('first ');
    await upstream.next();
    response.end('last');
  },
};

/** Resolves to `{ url, seen, next, go, close, listen }`; `seen` has every request that came. */
export async function upstream({ key, authorize = () => true, port = 0, modes = {} } = {}) {
  const waiting = [];
  const self = {
    seen: [],
    next: () => new Promise(resolve => waiting.push(resolve)),
    go: () => { for (const resolve of waiting.splice(0)) resolve(); },
  };
  const sockets = new Set();
  const answer = async (request, response) => {
    const seen = { method: request.method, url: request.url, headers: request.headers, raw: request.rawHeaders, body: '' };
    self.seen.push(seen);
    if (!authorize(request)) return response.writeHead(401, { 'Content-Type': 'application/json' }).end('{"detail":"who are you?"}');
    if (request.url === '/v1/free/echo-stream' || request.url === '/v1/uploads') return echo(request, response, seen);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    seen.body = Buffer.concat(chunks).toString();
    const mode = request.method === 'POST' ? (JSON.parse(seen.body || '{}').mode ?? 'ok') : (request.url.match(/^\/v1\/free\/(\w+)/)?.[1] ?? 'ok');
    return ({ ...MODES, ...modes })[mode](request, response, self);
  };
  const listener = createServer({ keepAliveTimeout: 5_000 }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  listener.on('connection', socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  self.listen = async (at = port) => {
    listener.listen(at, '127.0.0.1');
    await once(listener, 'listening');
    self.port = listener.address().port;
    self.url = `http://127.0.0.1:${self.port}`;
  };
  self.close = async () => {
    for (const socket of sockets) socket.destroy();
    if (!listener.listening) return;
    listener.close();
    await once(listener, 'close');
  };
  self.key = key;
  await self.listen();
  return self;
}

/** Each piece of the body comes back as it arrives. */
async function echo(request, response, seen) {
  response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
  for await (const chunk of request) {
    seen.body += chunk;
    response.write(chunk);
  }
  response.end();
}
