// Whoever is refused before all of a body was sent reads why. A server that closes a
// connection with bytes on it that nobody read resets it, and the answer may be lost on
// its way; so bodies just below and above each limit, and far above it, are sent by
// clients as they come: node's fetch, curl, and one that writes all before it reads.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import * as stack from './lib/stack.mjs';
import { BODY, PATH } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';

const MIB = 1024 * 1024;
/** Of the gate here; of /verify and /settle it is 64 KiB. */
const BODY_MAX = MIB;
const JSON_LINE = 'content-type: application/json';

/** A client that writes its whole request before it reads, as many do. */
function writer({ url, path, type, body, chunked }) {
  const { hostname, port, host } = new URL(url);
  const length = chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`;
  const framed = chunked ? Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]) : body;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) });
    const chunks = [];
    socket.on('error', reject);
    socket.on('data', chunk => chunks.push(chunk)).pause();
    socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: ${type}\r\nconnection: close\r\n${length}\r\n\r\n`);
    socket.write(framed, () => socket.resume());
    socket.once('close', () => {
      const text = Buffer.concat(chunks).toString('latin1');
      resolve({ status: Number(text.slice(9, 12)), text: text.slice(text.indexOf('\r\n\r\n') + 4) });
    });
  });
}

async function fetched({ url, path, type, body, chunked }) {
  const whole = chunked ? new Blob([body]).stream() : body;
  const answer = await fetch(`${url}${path}`, { method: 'POST', body: whole, headers: { 'Content-Type': type }, ...(chunked && { duplex: 'half' }) });
  return { status: answer.status, text: await answer.text() };
}

async function curled({ folder, url, path, type, body, chunked }) {
  const file = join(folder, 'body');
  writeFileSync(file, body);
  const more = chunked ? ['-H', 'Transfer-Encoding: chunked'] : [];
  const args = ['-sS', '-X', 'POST', '--data-binary', `@${file}`, '-H', `Content-Type: ${type}`, ...more, '-w', '\n%{http_code}', `${url}${path}`];
  const said = await stack.run('curl', args);
  const at = said.lastIndexOf('\n');
  return { status: Number(said.slice(at + 1)), text: said.slice(0, at) };
}

const CLIENTS = { fetch: fetched, curl: curled, 'a client that writes first': writer };
const TYPE = 'application/json';

/** Spaces around an order: the same price, however many. */
const padded = bytes => Buffer.concat([Buffer.from(BODY), Buffer.alloc(bytes - Buffer.byteLength(BODY), 0x20)]);

async function reads(here, what, { status, code, ...request }) {
  for (const [name, client] of Object.entries(CLIENTS)) {
    const answer = await client({ folder: here.folder, type: TYPE, ...request }).catch(error => {
      throw new Error(`${name}, ${what}: ${error.cause?.message ?? error.message}`);
    });
    assert.equal(answer.status, status, `${name}, ${what}: ${answer.text.slice(0, 200)}`);
    if (code) assert.ok(answer.text.includes(code), `${name}, ${what}: ${answer.text.slice(0, 200)}`);
  }
}

async function atTheGate(here) {
  const at = { url: here.api.url, path: PATH };
  const large = { status: 413, code: 'body_too_large' };
  await reads(here, 'below the limit', { ...at, body: padded(BODY_MAX), status: 402, code: 'accepts' });
  for (const chunked of [false, true]) {
    for (const bytes of [BODY_MAX + 1, BODY_MAX + 200_000, 8 * MIB]) {
      await reads(here, `${bytes} bytes${chunked ? ' in chunks' : ''}`, { ...at, ...large, body: padded(bytes), chunked });
    }
  }
  await reads(here, 'a path that is not sold', { ...at, path: '/v1/nothing', body: padded(8 * MIB), status: 404 });
}

/** A body that stalls takes all the room there is. */
async function withoutRoom(here) {
  const { hostname, port, host } = new URL(here.api.url);
  const socket = connect({ host: hostname, port: Number(port), localAddress: '127.0.0.2' });
  socket.on('error', () => {});
  socket.write(`POST ${PATH} HTTP/1.1\r\nhost: ${host}\r\n${JSON_LINE}\r\ncontent-length: ${BODY_MAX}\r\n\r\n`);
  socket.write(Buffer.alloc(BODY_MAX - 1_000, 0x20));
  const at = { url: here.api.url, path: PATH, status: 503, code: 'too_many_bytes_in_flight' };
  await new Promise(resolve => setTimeout(resolve, 500));
  await reads(here, 'no room', { ...at, body: padded(BODY_MAX) });
  await reads(here, 'no room, in chunks', { ...at, body: padded(BODY_MAX), chunked: true });
  await reads(here, 'a short one', { url: here.api.url, path: PATH, body: padded(60_000), status: 402 });
  socket.destroy();
}

async function atServe(here) {
  const { url } = here.program;
  const body = bytes => Buffer.alloc(bytes, 0x20);
  for (const path of ['/verify', '/settle']) {
    await reads(here, 'below the limit', { url, path, body: body(64 * 1024), status: 400 });
    for (const chunked of [false, true]) {
      for (const bytes of [64 * 1024 + 1, 300_000, 8 * MIB]) {
        await reads(here, `${path}, ${bytes} bytes`, { url, path, body: body(bytes), chunked, status: 413, code: 'body_too_large' });
      }
    }
    await reads(here, `${path}, no JSON`, { url, path, body: body(8 * MIB), type: 'text/plain', status: 415 });
  }
  await reads(here, 'no such path', { url, path: '/nothing', body: body(8 * MIB), status: 404 });
}

/** Nobody holds a connection for long with a body that never ends. */
async function withoutEnd(here) {
  for (const [url, path] of [[here.api.url, PATH], [here.program.url, '/settle']]) {
    const { hostname, port, host } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    const begun = Date.now();
    let sent = 0;
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, 0x20), Buffer.from('\r\n')]);
    const more = () => {
      while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
    };
    socket.on('drain', more).on('error', () => {});
    socket.write(`POST ${path} HTTP/1.1\r\nhost: ${host}\r\n${JSON_LINE}\r\ntransfer-encoding: chunked\r\n\r\n`);
    more();
    const answered = new Promise(resolve => socket.once('data', resolve));
    assert.match(String(await answered), /^HTTP\/1\.1 413/, path);
    await new Promise(resolve => socket.once('close', resolve));
    const seconds = (Date.now() - begun) / 1_000;
    assert.ok(seconds < 12, `${path}: ${seconds} s`);
    assert.ok(sent < 200 * MIB, `${path}: ${Math.round(sent / MIB)} MiB`);
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--payers', '1');
  const more = { gate: { body_bytes_max: BODY_MAX, unpaid_bytes_max: BODY_MAX, body_seconds_max: 60 } };
  const api = await stack.sampleApi(net, stack.configure(folder, net, { port: await stack.freePort(), more }));
  const program = await stack.facilitatorBeside(folder, net);
  const here = { folder, api, program };
  await test('bodies around the limit of the gate', () => atTheGate(here));
  await test('bodies that find no room at the gate', () => withoutRoom(here));
  await test('bodies around the limit of /verify and /settle', () => atServe(here));
  await test('a body without an end is not read for ever', () => withoutEnd(here));
});
finish();
