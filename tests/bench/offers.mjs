// What a 402 costs: the gate against a bare handler of the same size, in turns.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { configure, freePort } from '../lib/stack.mjs';
import { bare, cpuMs, loadSame, memory, proxy, sampleApi, stop, writtenBytes } from './programs.mjs';
import { fixed, median, ms, percent, table, whole } from './report.mjs';

const PATH = '/v1/generation-requests';
const BODY_BYTES = 1024;
const CONNECTIONS = 64;

function body() {
  const order = prompt => JSON.stringify({ requests: [{ type: 'image', model: 'gen', prompt, aspect_ratio: '1:1' }] });
  const words = 'a mug on a wooden table in the evening light, ';
  return order(words.repeat(40).slice(0, BODY_BYTES - order('').length));
}

async function once(running, file, seconds, cpu) {
  const before = { cpu: cpuMs(running.pid), written: writtenBytes(running.pid) };
  const load = await loadSame({ url: running.url + PATH, body: file, connections: CONNECTIONS, seconds }, cpu);
  const served = cpuMs(running.pid) - before.cpu;
  const answers = load.latency_us.samples;
  if (load.statuses['402'] !== answers) throw new Error(`not all were 402: ${JSON.stringify(load.statuses)}`);
  return {
    per_second: (answers * 1000) / load.wall_ms,
    cpu_us_per_request: (served * 1000) / answers,
    p50_us: load.latency_us.p50,
    p95_us: load.latency_us.p95,
    answer_bytes: load.answer_bytes,
    server_share: served / load.wall_ms,
    generator_share: load.generator_cpu_ms / load.wall_ms,
    written_bytes: writtenBytes(running.pid) - before.written,
  };
}

function summary(runs) {
  const names = ['per_second', 'cpu_us_per_request', 'p50_us', 'p95_us', 'server_share', 'generator_share'];
  const middle = Object.fromEntries(names.map(name => [name, median(runs.map(run => run[name]))]));
  const written = runs.reduce((sum, run) => sum + run.written_bytes, 0);
  return { ...middle, answer_bytes: runs[0].answer_bytes, written_bytes: written, runs: runs.map(run => run.per_second) };
}

/** `pinned`: server with one worker on one core, generator on the other. */
async function compare(folder, net, proxies, file, { workers, pinned, rounds, seconds }) {
  const place = join(folder, `offers-${workers}`);
  mkdirSync(place);
  // A refresh of the tariff or the lease during the run would hide a call of the gate's own.
  const config = configure(place, net, {
    port: await freePort(),
    rpc: { base: proxies.base.url, solana: proxies.solana.url },
    more: { server: { workers }, quote: { refresh_seconds: 600 }, ledger: { lease_seconds: 1800 } },
  });
  const cpus = pinned ? [0, 1] : [undefined, undefined];
  const gate = await sampleApi(net, config, cpus[0]);
  const answer = await fetch(gate.url + PATH, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: body() });
  const text = await answer.text();
  if (answer.status !== 402) throw new Error(`expected an offer, got ${answer.status}: ${text}`);
  const base = await bare(workers, answer.headers.get('payment-required').length, Buffer.byteLength(text), cpus[0]);
  const runs = { gate: [], bare: [] };
  await once(gate, file, 1, cpus[1]);
  await once(base, file, 1, cpus[1]);
  await Promise.all([proxies.base.reset(), proxies.solana.reset()]);
  for (let round = 0; round < rounds; round += 1) {
    runs.gate.push(await once(gate, file, seconds, cpus[1]));
    runs.bare.push(await once(base, file, seconds, cpus[1]));
  }
  const rpc = (await proxies.base.counts()).calls + (await proxies.solana.counts()).calls;
  const found = { workers, pinned, gate: summary(runs.gate), bare: summary(runs.bare), rpc_calls: rpc, ...memory(gate.pid) };
  await stop(gate.child);
  await stop(base.child);
  found.ratio = { per_second: found.gate.per_second / found.bare.per_second, cpu: found.gate.cpu_us_per_request / found.bare.cpu_us_per_request };
  return found;
}

export async function offers(folder, net, { quick }) {
  const file = join(folder, 'order.json');
  writeFileSync(file, body());
  const proxies = { base: await proxy(net.base.rpc_url, 0), solana: await proxy(net.solana.rpc_url, 0) };
  const effort = quick ? { rounds: 1, seconds: 2 } : { rounds: 5, seconds: 4 };
  const found = [
    await compare(folder, net, proxies, file, { workers: 1, pinned: true, ...effort }),
    await compare(folder, net, proxies, file, { workers: 2, pinned: false, ...effort }),
  ];
  await stop(proxies.base.child);
  await stop(proxies.solana.child);
  return found;
}

export function offersTable(found) {
  const rows = [];
  for (const one of found) {
    const where = one.pinned ? '1 worker on its own core' : `${one.workers} workers, shared cores`;
    for (const who of ['gate', 'bare']) {
      const run = one[who];
      rows.push([
        `${who === 'gate' ? 'gate' : 'bare handler'}, ${where}`, whole(run.per_second), fixed(run.cpu_us_per_request, 1), ms(run.p50_us), ms(run.p95_us),
        run.answer_bytes, percent(run.server_share), percent(run.generator_share), run.written_bytes, who === 'gate' ? one.rpc_calls : '–',
      ]);
    }
    rows.push([
      `ratio, ${where}`, fixed(one.ratio.per_second), fixed(one.ratio.cpu), '', '', '', '', '', '', '',
    ]);
  }
  const head = ['402 offers, 64 connections', 'per second', 'CPU µs each', 'p50 ms', 'p95 ms', 'bytes', 'server core', 'generator core', 'bytes written', 'RPC calls'];
  return table('402 offers', head, rows);
}
