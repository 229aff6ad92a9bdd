// A TCP proxy in front of the facilitator that cuts connections: what was asked
// arrives, and nobody is there any more when the answer comes.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * `cut(count)`: the next `count` requests to `path` lose their connection before
 * their answer; `swallow(count)`: with it, once it was taken to the last byte.
 */
export async function cutter(target, path) {
  const state = { left: 0, swallow: 0, done: 0 };
  const server = createServer(client => {
    const { hostname, port } = new URL(target());
    const upstream = connect(Number(port), hostname);
    const end = () => { client.destroy(); upstream.destroy(); };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', end);
    upstream.pipe(client);
    client.on('data', chunk => {
      if (state.swallow > 0 && chunk.toString('latin1').startsWith(`POST ${path} `)) {
        state.swallow -= 1;
        upstream.unpipe(client);
        upstream.on('data', wholeAnswer(() => { state.done += 1; end(); })).resume();
      }
      const doomed = state.left > 0 && chunk.toString('latin1').startsWith(`POST ${path} `);
      if (!doomed) return upstream.write(chunk);
      state.left -= 1;
      state.done += 1;
      // The whole request is out before both sides are closed. No byte of an
      // answer is passed on.
      upstream.unpipe(client);
      return waitForBody(client, chunk, upstream, end);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut: count => { state.left = count; },
    swallow: count => { state.swallow = count; },
    get done() { return state.done; },
    close: () => server.close(),
  };
}

/** A request may come in several pieces; the last one is known by its length. */
function waitForBody(client, first, upstream, end) {
  const head = first.indexOf('\r\n\r\n') + 4;
  const length = Number(/content-length: *(\d+)/i.exec(first.subarray(0, head).toString('latin1'))?.[1] ?? 0);
  let missing = length - (first.length - head);
  const pass = chunk => upstream.write(chunk, () => { if (missing <= 0) end(); });
  client.removeAllListeners('data');
  client.on('data', chunk => { missing -= chunk.length; pass(chunk); });
  pass(first);
}

/** Calls back once an answer of a known length is there whole. */
function wholeAnswer(over) {
  let seen = Buffer.alloc(0);
  return chunk => {
    seen = Buffer.concat([seen, chunk]);
    const end = seen.indexOf('\r\n\r\n');
    const length = /content-length: *(\d+)/i.exec(seen.subarray(0, Math.max(end, 0)).toString('latin1'))?.[1];
    if (end >= 0 && seen.length >= end + 4 + Number(length)) over();
  };
}
