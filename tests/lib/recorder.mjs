// A plain HTTP proxy in front of a shop: it writes down which payments went through it and how each
// was answered, whatever language the client is written in, and changes nothing unless it is told to.
import { once } from 'node:events';
import { createServer, request } from 'node:http';

import { decode } from './http.mjs';

const HEADERS = ['payment-signature', 'x-payment'];

/** What makes a payment another one: its signature on Base, its transaction on Solana. */
function idOf(header) {
  try {
    const { payload } = decode(header);
    return payload.signature ?? payload.transaction ?? header;
  } catch {
    return header;
  }
}

/**
 * `seen` has every paid request: `{ id, header, status }`. `show(header)`: the next paid request
 * carries this payment in place of its own. Resolves to `{ url, seen, show, close }`.
 */
export async function recorder(target) {
  const seen = [];
  let instead;
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, response) => {
    const headers = { ...incoming.headers };
    const name = HEADERS.find(one => headers[one]);
    let note;
    if (name) {
      note = { id: idOf(headers[name]), header: headers[name] };
      seen.push(note);
      headers[name] = instead ?? headers[name];
      instead = undefined;
    }
    const { method, url: path } = incoming;
    const outgoing = request({ hostname, port, method, path, headers, agent: false }, answer => {
      if (note) note.status = answer.statusCode;
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    seen,
    url: `http://127.0.0.1:${server.address().port}`,
    show: header => { instead = header; },
    close: () => { server.closeAllConnections(); server.close(); },
  };
}
