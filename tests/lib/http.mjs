// HTTP as an attacker writes it: paths are sent as they stand, headers may
// repeat, bodies may be announced and never sent.
import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 32 });

/** Resolves to `{ status, headers, text, json }`; `json` is undefined when the body is none. */
export function send(origin, { method = 'POST', path = '/', headers = {}, body, announce }) {
  const { hostname, port } = new URL(origin);
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const length = announce ?? bytes?.length;
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
    if (announce === undefined) outgoing.end(bytes);
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

export const encode = value => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64');
export const decode = header => (header ? JSON.parse(Buffer.from(header, 'base64')) : undefined);
