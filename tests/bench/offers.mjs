// What a 402 costs: the gate against a bare handler of the same size, in turns.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, configure, freePort } from '../lib/stack.mjs';
import { bare, cpuNs, loadSame, memory, proxy, sampleApi, stop, writtenBytes } from './programs.mjs';
import { fixed, median, ms, percent, table, whole } from './report.mjs';

const PATH = '/v1/generation-requests';
const BODY_BYTES = 1024;
/** Different bodies, so that nobody measures a cache of whole ones. */
const BODIES = 4096;
const CONNECTIONS = 64;
/** How long the idle gate's RPC calls are counted, for comparison. */
const IDLE_SECONDS = 20;
/** Headers of the answer that are its own on both sides. */
const OWN_HEADERS = ['connection', 'content-length', 'content-type', 'date', 'keep-alive', 'payment-required'];
const WORDS = 'a mug on wooden table in the evening light with steam rising from it and rain behind glass'.split(' ');

/** The same numbers in every run (a linear congruential generator). */
function numbers(seed) {
  let state = seed >>> 0;
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Models of the catalogue that make something square out of a prompt alone. */
function models() {
  const found = { image: [], video: [] };
  for (const part of readFileSync(join(ROOT, 'catalogs/imgnai.toml'), 'utf8').split(/^\[models\./m).slice(1)) {
    const name = /^"?([^"\]]+)"?\]/.exec(part)[1];
    const type = /^type = "(image|video)"/m.exec(part)?.[1];
    if (!type || !/^aspects = .*"1:1"/m.test(part) || /^(image|first_frame)_required = true/m.test(part)) continue;
    const seconds = [...part.matchAll(/\{ seconds = (\d+)/g)].map(match => Number(match[1])).filter(length => length <= 10);
    if (type === 'image' || seconds.length > 0) found[type].push({ name, seconds });
  }
  return found;
}

/** One order of exactly so many bytes; every fourth is a video. */
function order(pick, known) {
  const type = pick(4) === 0 ? 'video' : 'image';
  const model = known[type][pick(known[type].length)];
  const item = { type, model: model.name, prompt: '', aspect_ratio: '1:1', seed: pick(1e9) };
  if (type === 'video') item.duration_seconds = model.seconds[pick(model.seconds.length)];
  const text = () => JSON.stringify({ requests: [item], client_request_id: `order-${String(pick(1e9)).padStart(9, '0')}` });
  let words = '';
  while (words.length < BODY_BYTES) words += `${WORDS[pick(WORDS.length)]} `;
  item.prompt = words.slice(0, BODY_BYTES - text().length);
  return text();
}

function orders() {
  const [pick, known] = [numbers(402), models()];
  return Array.from({ length: BODIES }, () => order(pick, known));
}

async function once(running, file, seconds, cpu) {
  const before = { cpu: cpuNs(running.pid), written: writtenBytes(running.pid) };
  const load = await loadSame({ url: running.url + PATH, bodies: file, connections: CONNECTIONS, seconds }, cpu);
  const served = (cpuNs(running.pid) - before.cpu) / 1e6;
  const answers = load.latency_us.samples;
  if (load.statuses['402'] !== answers) throw new Error(`not all were 402: ${JSON.stringify(load.statuses)}`);
  return {
    per_second: (answers * 1000) / load.wall_ms,
    cpu_us_per_request: (served * 1000) / answers,
    p50_us: load.latency_us.p50,
    p95_us: load.latency_us.p95,
    answer_bytes: load.answer_bytes / answers,
    server_share: served / load.wall_ms,
    generator_share: load.generator_cpu_ms / load.wall_ms,
    written_bytes: writtenBytes(running.pid) - before.written,
  };
}

function summary(runs) {
  const names = ['per_second', 'cpu_us_per_request', 'p50_us', 'p95_us', 'answer_bytes', 'server_share', 'generator_share'];
  const middle = Object.fromEntries(names.map(name => [name, median(runs.map(run => run[name]))]));
  const written = runs.reduce((sum, run) => sum + run.written_bytes, 0);
  return { ...middle, written_bytes: written, runs };
}

/** The gate's cost over the bare handler's, round by round: what else the machine did then met both. */
function ratio(runs, name) {
  const each = runs.gate.map((run, round) => run[name] / runs.bare[round][name]);
  return { median: median(each), least: Math.min(...each), most: Math.max(...each) };
}

/** RPC calls a minute while `body` runs, in all and by method. */
async function callsPerMinute(proxies, body) {
  await Promise.all([proxies.base.reset(), proxies.solana.reset()]);
  const begun = performance.now();
  await body();
  const minutes = (performance.now() - begun) / 60_000;
  const counts = await Promise.all([proxies.base.counts(), proxies.solana.counts()]);
  const methods = {};
  for (const [name, calls] of counts.flatMap(one => Object.entries(one.methods))) methods[name] = (methods[name] ?? 0) + calls / minutes;
  return { all: counts.reduce((sum, one) => sum + one.calls, 0) / minutes, methods };
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
  const gate = await sampleApi(net, config, { cpu: cpus[0] });
  const [body] = readFileSync(file, 'utf8').split('\n');
  const answer = await fetch(gate.url + PATH, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  const text = await answer.text();
  if (answer.status !== 402) throw new Error(`expected an offer, got ${answer.status}: ${text}`);
  const networks = JSON.parse(text).accepts.length;
  if (networks !== 2) throw new Error(`expected an offer on both networks: ${text}`);
  const headers = [...answer.headers].filter(([name]) => !OWN_HEADERS.includes(name));
  const base = await bare(workers, answer.headers.get('payment-required').length, Buffer.byteLength(text), headers, cpus[0]);
  const runs = { gate: [], bare: [] };
  const round = async (who, server) => runs[who].push(await once(server, file, seconds, cpus[1]));
  await once(gate, file, 1, cpus[1]);
  await once(base, file, 1, cpus[1]);
  const loaded = await callsPerMinute(proxies, async () => {
    for (let number = 0; number < rounds; number += 1) {
      const both = [['gate', gate], ['bare', base]];
      for (const [who, server] of number % 2 === 0 ? both : both.reverse()) await round(who, server);
    }
  });
  const idle = await callsPerMinute(proxies, () => new Promise(resolve => setTimeout(resolve, IDLE_SECONDS * 1000)));
  const rpc = { loaded, idle };
  const found = { workers, pinned, rounds, seconds, networks, gate: summary(runs.gate), bare: summary(runs.bare), rpc_calls_per_minute: rpc, ...memory(gate.pid) };
  await stop(gate.child);
  await stop(base.child);
  return { ...found, ratio: { cpu: ratio(runs, 'cpu_us_per_request'), per_second: ratio(runs, 'per_second') } };
}

export async function offers(folder, net, { quick }) {
  const file = join(folder, 'orders.jsonl');
  writeFileSync(file, `${orders().join('\n')}\n`);
  const proxies = { base: await proxy(net.base.rpc_url, 0), solana: await proxy(net.solana.rpc_url, 0) };
  const effort = quick ? { rounds: 1, seconds: 2 } : { rounds: 9, seconds: 3 };
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
  const spread = one => `${fixed(one.median)} (${fixed(one.least)}–${fixed(one.most)})`;
  for (const one of found) {
    const where = one.pinned ? '1 worker on its own core' : `${one.workers} workers, shared cores`;
    for (const who of ['gate', 'bare']) {
      const run = one[who];
      rows.push([
        `${who === 'gate' ? 'gate' : 'bare handler'}, ${where}`, fixed(run.cpu_us_per_request, 1), whole(run.per_second), ms(run.p50_us), ms(run.p95_us),
        whole(run.answer_bytes), percent(run.server_share), percent(run.generator_share), run.written_bytes,
        who === 'gate' ? `${whole(one.rpc_calls_per_minute.loaded.all)}, idle ${whole(one.rpc_calls_per_minute.idle.all)}` : '–',
      ]);
    }
    rows.push([`ratio, ${where}`, spread(one.ratio.cpu), spread(one.ratio.per_second), '', '', '', '', '', '', '']);
  }
  const head = [`402 offers, ${CONNECTIONS} connections`, 'CPU µs each', 'per second', 'p50 ms', 'p95 ms', 'bytes', 'server core', 'generator core', 'bytes written', 'RPC calls a minute'];
  return table('402 offers', head, rows);
}
