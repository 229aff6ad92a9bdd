// What checking and settling payments costs, with 20 ms between the program and each chain.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BASE, SOLANA, configure, freePort } from '../lib/stack.mjs';
import { books, facilitator, loadPay, loadSame, memory, proxy, sampleApi, say, stop, withShares } from './programs.mjs';
import { fixed, ms, outcomes, percent, percentile, table, whole } from './report.mjs';

export const DELAY_MS = 20;
/** What a foreign server asks for: above any tariff of the devnet. */
const AMOUNT = '50000';
export const CHAT = JSON.stringify({
  model: 'claude-haiku-4-5', max_tokens: 64,
  messages: [{ role: 'user', content: 'Write one concise sentence about API integration.' }],
});
const HASH_KNOWN = { base: ['eth_call', 'eth_sendRawTransaction'], solana: ['simulateTransaction', 'getBlockHeight', 'getLatestBlockhash', 'sendTransaction'] };
/** Called once per refresh of the tariff and never else; a refresh makes that many calls. */
const REFRESH = { base: { by: 'eth_getBalance', calls: { eth_getBalance: 1, eth_getBlockByNumber: 1 } }, solana: { by: 'getBalance', calls: { getBalance: 1 } } };

const key = network => (network === BASE ? 'base' : 'solana');

/** Proxies, configuration and the processes whose share is noted. */
export async function prepare(folder, net, name) {
  const place = join(folder, name);
  mkdirSync(place);
  const proxies = { base: await proxy(net.base.rpc_url, DELAY_MS), solana: await proxy(net.solana.rpc_url, DELAY_MS) };
  const config = configure(place, net, {
    port: await freePort(), rpc: { base: proxies.base.url, solana: proxies.solana.url },
  });
  return { place, config, net, proxies };
}

export async function finish(setup, running) {
  await stop(running.child);
  await Promise.all(Object.values(setup.proxies).map(one => stop(one.child)));
}

export const startFacilitator = (setup, folder) => facilitator(setup.net, setup.config, folder);
export const startGate = (setup, folder) => sampleApi(setup.net, setup.config, { folder });

export async function requirements(url, net, network) {
  const { kinds } = await (await fetch(`${url}/supported`)).json();
  const kind = kinds.find(one => one.network === network);
  const terms = network === BASE ? { asset: net.base.usdc, payTo: net.base.pay_to } : { asset: net.solana.mint, payTo: net.solana.pay_to };
  return { scheme: 'exact', network, ...terms, amount: AMOUNT, maxTimeoutSeconds: 120, extra: kind.extra };
}

/** Runs a plan while counting RPC calls and noting who used the processors. */
export async function measured(setup, running, network, plan) {
  const { net, proxies } = setup;
  const side = key(network);
  await proxies[side].reset();
  const chain = side === 'base' ? { anvil: net.anvil } : { surfpool: net.child.pid };
  const pids = { program: running.pid, ...chain, proxy: proxies[side].child.pid };
  const { result, shares } = await withShares(pids, () =>
    loadPay(setup.place, { network, payers: net[side].payers, rpc_url: net[side].rpc_url, ...plan }));
  const counts = await proxies[side].counts();
  const done = result.latency_us?.samples ?? 0;
  return {
    network: side, connections: plan.connections, done, wall_ms: result.wall_ms, per_second: (done * 1000) / result.wall_ms,
    latency_us: result.latency_us, offer_latency_us: result.offer_latency_us, outcomes: result.outcomes,
    shares: { ...shares, generator: result.generator_cpu_ms / result.wall_ms }, memory: memory(running.pid),
    rpc: perPayment(side, counts, done), settled: result.settled,
  };
}

/** Calls per payment by method, without what the tariff's refresh would have asked anyway. */
function perPayment(side, counts, done) {
  const refreshes = counts.methods[REFRESH[side].by] ?? 0;
  const methods = {};
  for (const [name, calls] of Object.entries(counts.methods)) {
    const own = calls - refreshes * (REFRESH[side].calls[name] ?? 0);
    if (own > 0) methods[name] = own / done;
  }
  const sum = names => names.reduce((total, name) => total + (methods[name] ?? 0), 0);
  return { methods, total: sum(Object.keys(methods)), until_hash_known: sum(HASH_KNOWN[side]), refreshes };
}

/** One bare RPC call through the same proxy: what no `/verify` can beat. */
async function floor(setup, network, connections, seconds) {
  const side = key(network);
  const file = join(setup.place, 'call.json');
  const method = side === 'base' ? 'eth_chainId' : 'getSlot';
  writeFileSync(file, JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: [] }));
  const load = await loadSame({ url: `${setup.proxies[side].url}/`, bodies: file, connections, seconds });
  return { per_second: (load.latency_us.samples * 1000) / load.wall_ms, p50_us: load.latency_us.p50 };
}

export async function verify(setup, running, network, { quick }) {
  const terms = await requirements(running.url, setup.net, network);
  const counts = quick ? { 1: 60, 16: 600, 64: 1_500 } : { 1: 400, 16: 6_000, 64: 15_000 };
  const found = [];
  for (const [connections, count] of Object.entries(counts)) {
    say(`  /verify on ${key(network)} at ${connections} connections`);
    const bare = await floor(setup, network, Number(connections), quick ? 1 : 3);
    const plan = { mode: 'verify', url: `${running.url}/verify`, connections: Number(connections), count, seconds: 8, requirements: terms };
    const run = await measured(setup, running, network, plan);
    delete run.settled;
    found.push({ ...run, rpc_floor: bare, ratio: { p50: run.latency_us.p50 / bare.p50_us } });
  }
  return found;
}

/** `/settle` or the gate at one number of connections. */
async function paid(setup, running, network, plan) {
  const run = await measured(setup, running, network, { ...plan, seconds: 600, watch_blocks: true });
  const verdicts = new Map((await books(setup.config, 1_000)).map(one => [one.transaction, one.verdict_at_ms]));
  const placed = run.settled.filter(one => one.block_seen_at_ms !== null);
  const after = (values, name) => ({
    name, samples: values.length, p50_ms: percentile(values, 50), p95_ms: percentile(values, 95), max_ms: percentile(values, 100),
  });
  run.block_to_verdict = after(
    placed.filter(one => verdicts.has(one.transaction)).map(one => verdicts.get(one.transaction) - one.block_seen_at_ms), 'verdict in the ledger');
  run.block_to_answer = after(placed.map(one => one.answered_at_ms - one.block_seen_at_ms), 'answer at the client');
  run.unplaced = run.settled.length - placed.length;
  if (key(network) === 'base') run.ratio = { of_ideal: run.per_second / (plan.connections / setup.net.blockSeconds) };
  delete run.settled;
  return run;
}

export async function settle(setup, running, network, sizes) {
  const terms = await requirements(running.url, setup.net, network);
  const found = [];
  for (const [connections, count] of sizes) {
    say(`  /settle on ${key(network)} at ${connections} connections, ${count} payments`);
    found.push(await paid(setup, running, network, { mode: 'settle', url: `${running.url}/settle`, connections, count, requirements: terms }));
  }
  return found;
}

export async function gate(setup, running, network, sizes) {
  const found = [];
  for (const [connections, count] of sizes) {
    say(`  the gate on ${key(network)} at ${connections} connections, ${count} payments`);
    found.push(await paid(setup, running, network, { mode: 'gate', url: `${running.url}/v1/chat/completions`, connections, count, body: CHAT }));
  }
  return found;
}

export function verifyTable(runs) {
  const head = [`/verify, ${DELAY_MS} ms to the chain`, 'per second', 'p50 ms', 'p95 ms', 'one RPC call p50 ms', 'ratio p50', 'RPC calls each', 'program core', 'generator core', 'RSS MiB', 'outcomes'];
  return table('/verify', head, runs.map(run => [
    `${run.network}, ${run.connections}`, whole(run.per_second), ms(run.latency_us.p50), ms(run.latency_us.p95), ms(run.rpc_floor.p50_us), fixed(run.ratio.p50),
    fixed(run.rpc.total, 3), percent(run.shares.program), percent(run.shares.generator), run.memory.rss_mib, outcomes(run.outcomes),
  ]));
}

export function paidTable(title, runs) {
  const head = [`${title}, connections`, 'per second', 'of ideal', 'p50 ms', 'p95 ms', 'RPC calls each', 'program core', 'chain core', 'RSS MiB', 'outcomes'];
  return table(title, head, runs.map(run => [
    `${run.network}, ${run.connections}`, fixed(run.per_second, 1), fixed(run.ratio?.of_ideal), ms(run.latency_us.p50), ms(run.latency_us.p95), fixed(run.rpc.total, 2),
    percent(run.shares.program), percent(run.shares.anvil ?? run.shares.surfpool), run.memory.rss_mib, outcomes(run.outcomes),
  ]));
}

export function latencyTable(named) {
  const rows = named.flatMap(([title, runs]) => runs.flatMap(run => [run.block_to_verdict, run.block_to_answer].map(one => [
    `${title} ${run.network}, ${run.connections}: ${one.name}`, one.samples, one.p50_ms ?? '–', one.p95_ms ?? '–', one.max_ms ?? '–',
  ])));
  return table('From the block to the verdict', ['after the block first showed', 'samples', 'p50 ms', 'p95 ms', 'max ms'], rows);
}

export function callsTable(named) {
  const rows = named.flatMap(([title, run]) => [
    [`${title}, ${run.network}, ${run.connections} connections`, fixed(run.rpc.until_hash_known, 2), fixed(run.rpc.total, 2),
      Object.entries(run.rpc.methods).map(([name, calls]) => `${name} ${fixed(calls, 2)}`).join(', ')],
  ]);
  return table('RPC calls per operation', ['operation', 'until the hash is known', 'in all', 'by method'], rows);
}

export { BASE, SOLANA };
