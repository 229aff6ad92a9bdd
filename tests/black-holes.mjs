// A start while nodes say nothing at all: two endpoints per network that take a
// connection and never answer, that stop in the middle of an answer, or whose packets
// are dropped. The process answers within seconds, says which network is not
// connected, sells the other one, keeps its lease, and stops when it is told to. A
// third endpoint that answers is found behind them.
//
//   node tests/black-holes.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, replica, shared, world } from './lib/world.mjs';

const CAIP2 = { base: stack.BASE, solana: stack.SOLANA };
const other = network => NETWORKS.find(one => one !== network);

/** What the start waits for nodes (5 s), and a busy machine: four time-outs one after the other are 20 s. */
const UP_MS_MAX = 15_000;
const STOP_MS_MAX = 15_000;
const ANSWER_MS_MAX = 3_000;
/** Whoever waits for a silent endpoint's word does so for five seconds each time. */
const PURCHASE_MS_MAX = 10_000;

const HALF = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{"jsonrpc":"2.0",';

/** Takes connections and says nothing, or `words` and then nothing. */
async function silent(words) {
  const open = new Set();
  const server = createServer(socket => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    socket.on('data', () => words && socket.write(words));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const end = () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, end };
}

/** Its queue is full and nobody takes connections out of it, so the kernel drops whatever comes. */
async function dropped() {
  const script = 'const s=require("node:net").createServer().listen({port:0,host:"127.0.0.1",backlog:1},()=>console.log(s.address().port))';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = await once(child.stdout, 'data');
  const port = Number(line);
  child.kill('SIGSTOP');
  const fillers = [];
  for (let waiting = 0; waiting < 3;) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    fillers.push(socket);
    const taken = await Promise.race([once(socket, 'connect').then(() => true), new Promise(resolve => setTimeout(resolve, 500))]);
    if (!taken) waiting += 1;
  }
  const end = () => {
    for (const socket of fillers) socket.destroy();
    child.kill('SIGKILL');
  };
  return { url: `http://127.0.0.1:${port}`, end };
}

const KINDS = {
  'never answer': () => silent(),
  'stop in the middle of an answer': () => silent(HALF),
  'are not reached by any packet': dropped,
};

async function withHoles(kind, networks, body) {
  const holes = {};
  for (const network of networks) holes[network] = [await KINDS[kind](), await KINDS[kind]()];
  try {
    return await body(Object.fromEntries(networks.map(network => [network, holes[network].map(hole => hole.url)])));
  } finally {
    for (const hole of Object.values(holes).flat()) hole.end();
  }
}

async function timed(what, most, run) {
  const begun = Date.now();
  const value = await run();
  const took = Date.now() - begun;
  stack.say(`     ${what}: ${took} ms`);
  assert.ok(took <= most, `${what} took ${took} ms`);
  return value;
}

const get = (url, path) => http.send(url, { method: 'GET', path, agent: false });

async function stops(child) {
  await timed('the stop', STOP_MS_MAX, () => stack.stop(child));
  assert.equal(child.exitCode, 0);
}

/** Nobody answers: up, honest, and gone when told. */
async function allSilent(net, folder, kind) {
  await withHoles(kind, NETWORKS, async urls => {
    const more = Object.fromEntries(NETWORKS.map(network => [network, { rpc_urls: urls[network] }]));
    const here = await world(net, folder, `holes-${Object.keys(KINDS).indexOf(kind)}`, { serve: true, bin: stack.BIN, more });
    const { child, url } = await timed('the start', UP_MS_MAX, () => here.start());
    assert.equal((await timed('/healthz', ANSWER_MS_MAX, () => get(url, '/healthz'))).status, 200);
    const ready = await timed('/readyz', ANSWER_MS_MAX, () => get(url, '/readyz'));
    assert.equal(ready.status, 503, ready.text);
    assert.deepEqual(ready.json.closed, { [stack.BASE]: 'not_connected', [stack.SOLANA]: 'not_connected' });
    const told = child.log.filter(line => line.includes('not connected'));
    for (const network of NETWORKS) assert.ok(told.some(line => line.includes(CAIP2[network])), `nobody says so of ${network}`);
    await stops(child);
  });
}

/** One network's nodes say nothing: its customers are told when to come again, the others buy. */
async function oneSilent(net, folder, network) {
  await withHoles('never answer', [network], async urls => {
    const here = await world(net, folder, `one-${network}`, {
      bin: stack.BIN, more: { [network]: { rpc_urls: urls[network] }, quote: { refresh_seconds: 1 } },
    });
    const api = await timed('the start', UP_MS_MAX, () => here.start());
    const signed = await buyer.sign(net, api, other(network));
    const answer = await buyer.insist(api, signed, 60);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    const { networks } = (await get(api.url, '/v1/x402')).json;
    assert.deepEqual(networks.filter(one => one.gas !== undefined).map(one => one.network), [CAIP2[other(network)]]);
    await stops(api.child);
  });
}

/** The gate while no network is connected: 503 and when to come again, at once. */
async function nothingToOffer(net, folder) {
  await withHoles('never answer', NETWORKS, async urls => {
    const more = Object.fromEntries(NETWORKS.map(network => [network, { rpc_urls: urls[network] }]));
    const here = await world(net, folder, 'nothing', { bin: stack.BIN, more });
    const api = await timed('the start', UP_MS_MAX, () => here.start());
    const ask = () => http.send(api.url, { path: buyer.PATH, headers: { 'Content-Type': 'application/json' }, body: buyer.BODY });
    const answer = await timed('an answer', ANSWER_MS_MAX, ask);
    assert.equal(answer.status, 503, answer.text);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    await stops(api.child);
  });
}

/** Behind two that say nothing stands one that answers. */
async function thirdAnswers(net, folder, kind) {
  await withHoles(kind, NETWORKS, async urls => {
    const more = Object.fromEntries(NETWORKS.map(network => [network, { rpc_urls: [...urls[network], net[network].rpc_url] }]));
    const here = await world(net, folder, `third-${Object.keys(KINDS).indexOf(kind)}`, {
      bin: stack.BIN, more: { ...more, quote: { refresh_seconds: 1 } },
    });
    const api = await timed('the start', 2 * UP_MS_MAX, () => here.start());
    // Connecting makes our token account on Solana: what was there before an offer is no payment.
    for (const network of NETWORKS) await timed(`an offer of ${network}`, 30_000, () => buyer.offer(api, network));
    const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
    for (const network of NETWORKS) {
      const signed = await buyer.sign(net, api, network);
      const answer = await timed(`a purchase on ${network}`, PURCHASE_MS_MAX, () => buyer.insist(api, signed, 60));
      assert.equal(answer.status, 200, answer.text.slice(0, 300));
    }
    for (const opening of opened) await buyer.assertBooks(net, here.config, opening);
    await stops(api.child);
  });
}

/** The lease begins with the ledger and is kept while nodes say nothing. */
async function leaseHolds(net, folder, cluster) {
  await withHoles('never answer', NETWORKS, async urls => {
    const here = await shared(net, folder, cluster, 'holes');
    const config = stack.configure(folder, net, {
      name: 'holes', port: await stack.freePort(), ledger: here.ledger,
      more: {
        ledger: { instance: 'holes', lease_seconds: 3 },
        base: { pay_to: here.payTo.base, rpc_urls: urls.base }, solana: { pay_to: here.payTo.solana, rpc_urls: urls.solana },
      },
    });
    const starting = stack.facilitator(net, config, { wallets: { base: here.wallet.key } });
    const left = () => {
      try {
        const text = here.sql("SELECT lease_until_ms - floor(extract(epoch FROM clock_timestamp()) * 1000) FROM instances WHERE name = 'holes'");
        return text === '' ? undefined : Number(text);
      } catch {
        return undefined;
      }
    };
    await until('the lease', () => left() !== undefined);
    let looks = 0;
    for (const end = Date.now() + 12_000; Date.now() < end; looks += 1) {
      const ms = left();
      assert.ok(ms > 0, `the lease ran out: ${ms} ms left at look ${looks}`);
      await new Promise(resolve => setTimeout(resolve, 200));
    }
    const { child } = await starting;
    // Who lives beside it takes nothing over.
    const second = await replica(here, 'second', { serve: true, leaseSeconds: 3 });
    assert.ok(left() > 0);
    await stack.stop(second.child);
    await stops(child);
  });
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  for (const kind of Object.keys(KINDS)) {
    await test(`two endpoints per network ${kind}: up within seconds, honest, and gone when told`, () => allSilent(net, folder, kind));
  }
  for (const network of NETWORKS) {
    await test(`two endpoints of ${network} never answer: the other network sells`, () => oneSilent(net, folder, network));
  }
  await test('nobody answers: the gate says when to come again', () => nothingToOffer(net, folder));
  for (const kind of Object.keys(KINDS)) {
    await test(`two endpoints per network ${kind}, the third answers: it is found`, () => thirdAnswers(net, folder, kind));
  }
  await withCluster(cluster => test('the lease begins before any chain is asked, and is kept', () => leaseHolds(net, folder, cluster)));
});
finish();
