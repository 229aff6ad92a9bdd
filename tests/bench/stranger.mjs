// One kind of stranger, as fast as this process can, until it is ended; the
// benchmark gives it a core. Says on standard output when it begins, and at the end
// how often it was answered what.
import { once } from 'node:events';
import http from 'node:http';
import { parseArgs } from 'node:util';

import { payBase, stranger } from '../lib/base-payment.mjs';
import { encode } from '../lib/http.mjs';

const { values } = parseArgs({
  options: {
    kind: { type: 'string' }, url: { type: 'string' }, path: { type: 'string' }, body: { type: 'string' }, offer: { type: 'string' },
    header: { type: 'string' }, connections: { type: 'string' }, from: { type: 'string' },
  },
});
const MIB = 1024 * 1024;
/** Payments of wallets without money; signed before the start, or signing would be all that is measured. */
const SIGNED = 2_000;
const { hostname, port } = new URL(values.url);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(values.connections) });
const answered = {};
let stopped = false;

function ask({ method = 'POST', path = values.path, body, headers = {} }) {
  return new Promise(resolve => {
    const request = http.request({
      hostname, port, method, path, agent, localAddress: values.from,
      headers: { ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length }), ...headers },
    });
    const end = word => {
      answered[word] = (answered[word] ?? 0) + 1;
      resolve();
    };
    request.on('response', answer => answer.resume().on('end', () => end(answer.statusCode)).on('error', () => end('cut')));
    request.on('error', () => end('cut'));
    request.end(body);
  });
}

/** A body that begins and never goes on. */
async function slow() {
  const socket = (await import('node:net')).connect({ host: hostname, port: Number(port), localAddress: values.from });
  socket.on('error', () => {});
  await once(socket, 'connect').catch(() => {});
  socket.write(`POST ${values.path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${MIB}\r\n\r\n${'x'.repeat(1_000)}`);
  socket.resume();
  await once(socket, 'close').catch(() => {});
  answered.closed = (answered.closed ?? 0) + 1;
}

const body = Buffer.from(values.body ?? '');
const kinds = {
  long_bodies: () => {
    const long = Buffer.from(JSON.stringify({ ...JSON.parse(values.body), padding: 'x'.repeat(7 * MIB) }));
    return () => ask({ body: long });
  },
  slow_bodies: () => slow,
  copies: () => () => ask({ body, headers: { 'PAYMENT-SIGNATURE': values.header } }),
  empty_wallets: async () => {
    const offer = JSON.parse(values.offer);
    const signed = await Promise.all(Array.from({ length: SIGNED }, async () => encode(await payBase(stranger(), offer))));
    let next = 0;
    return () => ask({ body, headers: { 'PAYMENT-SIGNATURE': signed[next++ % SIGNED] } });
  },
  garbage: () => () => ask({ body, headers: { 'PAYMENT-SIGNATURE': encode({ x402Version: 2, accepted: JSON.parse(values.offer), payload: { authorization: {}, signature: '0x00' } }) } }),
  offers: () => () => ask({ body }),
  pollers: () => {
    let next = 0;
    const paths = ['/metrics', '/readyz', '/supported'];
    return () => ask({ method: 'GET', path: paths[next++ % paths.length] });
  },
};

const one = await kinds[values.kind]();
process.once('SIGTERM', () => {
  stopped = true;
  process.stdout.write(`${JSON.stringify(answered)}\n`, () => process.exit(0));
});
console.log('begun');
await Promise.all(Array.from({ length: Number(values.connections) }, async () => {
  while (!stopped) await one();
}));
