// HTTP as an attacker writes it: paths are sent as they stand, headers may
// repeat, bodies may be announced and never sent.
import { Agent, request } from 'node:http';
import { connect } from 'node:net';

const POOL = new Agent({ keepAlive: true, maxSockets: 32 });

/** Resolves to `{ status, headers, text, json }`; `json` is undefined when the body is none. */
export function send(origin, { method = 'POST', path = '/', headers = {}, body, announce, chunked = false, agent = POOL }) {
  const { hostname, port } = new URL(origin);
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const length = chunked ? undefined : (announce ?? bytes?.length);
  const all = { ...(length === undefined ? {} : { 'Content-Length': length }), ...headers };
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent, hostname, port, method, path, headers: all, timeout: 60_000 }, answer => {
      const chunks = [];
      answer.on('data', chunk => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        if (announce !== undefined) outgoing.destroy();
        resolve(read(answer, Buffer.concat(chunks).toString()));
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer to ${method} ${path}`)));
    outgoing.on('error', reject);
    if (chunked) outgoing.write(bytes), outgoing.end();
    else if (announce === undefined) outgoing.end(bytes);
    else outgoing.flushHeaders();
  });
}

function read(answer, text) {
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    // Not every answer is JSON.
  }
  return { status: answer.statusCode, headers: answer.headers, text, json };
}

/** Writes bytes to the port as they stand; resolves to the first status that comes back, or `closed`. */
export function sendRaw(origin, text) {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text, 'latin1'));
    let seen = '';
    const over = answer => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(20_000, () => reject(new Error('no answer')));
    socket.on('data', chunk => {
      seen += chunk.toString('latin1');
      const status = /^HTTP\/1\.[01] (\d+)/.exec(seen);
      if (status) over(Number(status[1]));
    });
    socket.on('end', () => over('closed'));
    socket.on('error', () => over('closed'));
  });
}

export const encode = value => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64');
export const decode = header => (header ? JSON.parse(Buffer.from(header, 'base64')) : undefined);
