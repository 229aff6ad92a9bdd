// What strangers do to those who pay: each kind of them as fast as a generator on a
// core of its own sends, beside customers who buy. Rounds with and without them take
// turns, so that what else the machine does meets both.
import { offer } from '../lib/buyer.mjs';
import { BASE, CHAT, CHAT_PATH, GATE, SERVE, write } from './strangers.mjs';
import { crowdOf, loadPay, memory, resetPeak, say, withShares } from './programs.mjs';
import { fixed, median, ms, outcomes, percent, table, whole } from './report.mjs';

/** Connections of strangers, where their kind says nothing else. */
const CONNECTIONS = 64;
/** Another address of this machine than the customers'. */
const ELSEWHERE = '127.0.0.2';
/** Payments of each round without and with strangers. */
const PAYMENTS = 40;
const CUSTOMERS = 4;
/** Payers who buy; the others are the strangers' own. */
const BUYING = 48;

/** Customers, at a fixed number of connections. */
function customers(here) {
  const { net } = here;
  return loadPay(here.place, {
    mode: here.mode, network: BASE, payers: net.base.payers.slice(0, BUYING), rpc_url: net.base.rpc_url, seconds: 120,
    connections: CUSTOMERS, count: PAYMENTS, ...here.plan,
  });
}

async function round(here, kind) {
  const pid = here.running.pid;
  const quiet = await customers(here);
  const file = await write(here, kind);
  resetPeak(pid);
  const before = memory(pid).rss_mib;
  const crowd = await crowdOf({ url: `${here.running.url}/`, requests: file, connections: kind.connections ?? CONNECTIONS, from: ELSEWHERE });
  try {
    const { result, shares } = await withShares({ program: pid }, () => customers(here));
    const { peak_mib: peak } = memory(pid);
    const strangers = await crowd.stop();
    return { quiet, beside: result, shares, strangers, memory: { before, peak, after: memory(pid).rss_mib } };
  } finally {
    await crowd.stop();
    for (const proxy of Object.values(here.proxies)) await fetch(`${proxy.url}/__proxy/faults`, { method: 'DELETE' });
  }
}

/** All rounds of a kind in one row. */
function summary(mode, kind, rounds) {
  const middle = of => median(rounds.map(of));
  const ratios = rounds.map(one => one.beside.latency_us.p50 / one.quiet.latency_us.p50);
  const counts = {};
  for (const { quiet, beside } of rounds) {
    for (const [name, count] of [...Object.entries(quiet.outcomes), ...Object.entries(beside.outcomes)]) counts[name] = (counts[name] ?? 0) + count;
  }
  const heard = {};
  for (const { strangers } of rounds) for (const [name, count] of Object.entries(strangers.answered)) heard[name] = (heard[name] ?? 0) + count;
  return {
    mode, kind, outcomes: counts, heard,
    ratio: { p50: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) },
    quiet_us: { p50: middle(one => one.quiet.latency_us.p50), p95: middle(one => one.quiet.latency_us.p95) },
    latency_us: { p50: middle(one => one.beside.latency_us.p50), p95: middle(one => one.beside.latency_us.p95) },
    strangers_per_second: middle(({ strangers }) => (Object.values(strangers.answered).reduce((sum, count) => sum + count, 0) * 1_000) / strangers.wall_ms),
    shares: { program: middle(one => one.shares.program), generator: middle(({ strangers }) => strangers.generator_cpu_ms / strangers.wall_ms) },
    memory: { before: rounds[0].memory.before, peak: Math.max(...rounds.map(one => one.memory.peak)), after: rounds.at(-1).memory.after },
  };
}

/** `only` is part of a kind's name; each kind has so many rounds as `times` says. */
export async function crowd(setup, running, mode, { terms, only, times }) {
  const here = { ...setup, running, mode, host: new URL(running.url).host, others: setup.net.base.payers.slice(BUYING) };
  here.path = mode === 'gate' ? CHAT_PATH : '/settle';
  here.plan = mode === 'gate' ? { url: `${running.url}${CHAT_PATH}`, body: CHAT } : { url: `${running.url}/settle`, requirements: terms };
  here.terms = mode === 'gate' ? await offer(running, 'base') : terms;
  say(`customers of ${mode} alone`);
  await customers(here);
  const found = [];
  for (const [name, kind] of Object.entries(mode === 'gate' ? GATE : SERVE)) {
    if (only && !name.includes(only)) continue;
    const rounds = [];
    for (let number = 0; number < times; number += 1) rounds.push(await round(here, kind));
    const row = summary(mode, name, rounds);
    say(`  ${mode}, ${name}: ${fixed(row.ratio.p50)} (${fixed(row.ratio.least)}–${fixed(row.ratio.most)}), ${row.memory.before}, ${row.memory.peak}, ${row.memory.after} MiB; ${JSON.stringify(row.heard)}`);
    found.push(row);
  }
  return found;
}

export function crowdTable(runs) {
  const head = ['strangers beside customers', 'ratio of p50', 'p50 ms, alone', 'p95 ms, alone', 'strangers answered a second', 'program core', 'strangers\' core', 'RSS MiB before, at most, after', 'customers'];
  return table('Crowds', head, runs.map(run => [
    `${run.mode}: ${run.kind}`, `${fixed(run.ratio.p50)} (${fixed(run.ratio.least)}–${fixed(run.ratio.most)})`,
    `${ms(run.latency_us.p50)}, ${ms(run.quiet_us.p50)}`, `${ms(run.latency_us.p95)}, ${ms(run.quiet_us.p95)}`,
    whole(run.strangers_per_second), percent(run.shares.program), percent(run.shares.generator),
    `${run.memory.before}, ${run.memory.peak}, ${run.memory.after}`, outcomes(run.outcomes),
  ]));
}
