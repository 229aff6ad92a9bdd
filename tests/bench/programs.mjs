// Starts what is measured, and reads what the kernel says about it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const TARGET = process.env.CARGO_TARGET_DIR ?? join(process.env.HOME, '.cache/quittance/target');
export const PROFILE = process.env.QUITTANCE_BENCH_PROFILE ?? 'release';
const children = new Set();

export const say = text => process.stderr.write(`${text}\n`);

export async function stop(child) {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
  }
  children.delete(child);
}

export async function stopAll() {
  await Promise.all([...children].map(stop));
}

function start(command, args, env = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  children.add(child);
  child.log = [];
  child.errors = createInterface({ input: child.stderr }).on('line', line => {
    child.log.push(line);
    if (child.log.length > 200) child.log.shift();
  });
  return child;
}

async function firstLine(child, lines, wanted) {
  const found = new Promise(resolve => {
    lines.on('line', line => {
      const match = wanted.exec(line);
      if (match) resolve(match);
    });
  });
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${child.spawnargs[0]} ended with ${code ?? signal}:\n${child.log.slice(-20).join('\n')}`);
  });
  return Promise.race([found, ended]);
}

/** A program of one build profile. `cpu` pins it to one core. */
export const program = (name, profile = PROFILE) => join(TARGET, profile, name);
const pinned = (cpu, command, args) =>
  cpu === undefined ? [command, args] : ['taskset', ['-c', String(cpu), command, ...args]];

/** Both chains. Always the debug build: a Solana validator takes long to compile. */
export async function devnet(...options) {
  const child = start(program('quittance-devnet', 'debug'), ['--exit-with-parent', ...options], {
    QUITTANCE_DEVNET_PARENT: String(process.pid),
  });
  const [line] = await firstLine(child, createInterface({ input: child.stdout }), /^\{.*\}$/);
  return { child, anvil: descendant(child.pid, 'anvil'), ...JSON.parse(line) };
}

/** A proxy that counts and delays JSON-RPC calls. */
export async function proxy(upstream, delayMs) {
  const child = start(program('quittance-rpc-proxy'), ['--upstream', upstream, '--delay-ms', String(delayMs)]);
  const [, url] = await firstLine(child, createInterface({ input: child.stdout }), /(http:\/\/[0-9.:]+)/);
  const control = async (what, method = 'GET') => (await fetch(`${url}/__proxy/${what}`, { method })).json();
  return { child, url, counts: () => control('counts'), reset: () => control('reset', 'POST') };
}

async function server(path, args, env, cpu) {
  const [command, all] = pinned(cpu, path, args);
  const child = start(command, all, { NO_COLOR: '1', QUITTANCE_LOG: 'warn,quittance=info,actix_server=info', RUST_LOG: 'warn', ...env });
  const [, url] = await firstLine(child, child.errors, /listening on (http:\/\/[0-9.:]+)/);
  return { child, pid: child.pid, url };
}

const secrets = net => ({ BASE_WALLET: net.base.wallet_key, SOLANA_WALLET: net.solana.wallet_key });

/** The sample API with its gate; `folder` holds another build of it, `cpu` pins it to one core. */
export const sampleApi = (net, config, { cpu, folder } = {}) =>
  server(folder ? join(folder, 'sample-api') : program('sample-api'), ['--config', config], secrets(net), cpu);

/** `quittance serve`; `folder` holds another build of it. */
export const facilitator = (net, config, folder) =>
  server(folder ? join(folder, 'quittance') : program('quittance'), ['serve', '--config', config], secrets(net));

/** The baseline: a bare handler that answers 402. */
export const bare = (workers, headerBytes, bodyBytes, headers, cpu) =>
  server(
    program('examples/bare402'),
    [
      '--workers', String(workers), '--header-bytes', String(headerBytes), '--body-bytes', String(bodyBytes),
      ...headers.flatMap(([name, value]) => ['--header', `${name}=${value}`]),
    ],
    {},
    cpu,
  );

/** Runs a program to its end; resolves to its standard output. */
export async function run(command, args, env = {}) {
  const child = start(command, args, env);
  const out = [];
  child.stdout.on('data', chunk => out.push(chunk));
  const [code] = await once(child, 'close');
  children.delete(child);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${child.log.join('\n')}`);
  return { text: Buffer.concat(out).toString(), log: child.log };
}

/** The load generator on unpaid requests to one place. */
export async function loadSame(options, cpu) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const [command, all] = pinned(cpu, program('quittance-load'), ['same', ...args]);
  return JSON.parse((await run(command, all)).text);
}

/** Strangers on a core of their own, the last one; `stop` resolves to what they heard. */
export async function crowdOf(options) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const [command, all] = pinned(cpus().length - 1, program('quittance-load'), ['strangers', ...args]);
  const child = start(command, all);
  const lines = createInterface({ input: child.stdout });
  await firstLine(child, lines, /^begun$/);
  const report = new Promise(resolve => lines.on('line', line => resolve(JSON.parse(line))));
  let ended;
  const end = async () => {
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const counts = await report;
    await gone;
    children.delete(child);
    return counts;
  };
  return { pid: child.pid, stop: () => (ended ??= end()) };
}

/** Many signed payments, as the load generator makes them. */
export async function signMany(folder, plan) {
  const path = join(folder, 'sign.json');
  writeFileSync(path, JSON.stringify(plan), { mode: 0o600 });
  return JSON.parse((await run(program('quittance-load'), ['sign', '--plan', path])).text);
}

/** The load generator on payments. */
export async function loadPay(folder, plan) {
  const path = join(folder, 'plan.json');
  writeFileSync(path, JSON.stringify(plan), { mode: 0o600 });
  const { text, log } = await run(program('quittance-load'), ['pay', '--plan', path]);
  for (const line of log.slice(0, 5)) say(`  ${line}`);
  return JSON.parse(text);
}

/** The newest payments in the ledger. */
export async function books(config, limit) {
  const { text } = await run(program('quittance'), ['payments', 'list', '--config', config, '--limit', String(limit)], {
    QUITTANCE_LOG: 'warn',
  });
  return text.split('\n').filter(Boolean).map(line => JSON.parse(line));
}

function stat(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { name: text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

/** A process by its name among what `ancestor` started, at any remove. */
function descendant(ancestor, name) {
  const all = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      all.set(Number(entry), stat(entry));
    } catch {
      // It ended while we looked.
    }
  }
  const below = pid => pid === ancestor || (all.has(pid) && below(all.get(pid).parent));
  for (const [pid, found] of all) {
    if (found.name.startsWith(name) && below(pid)) return pid;
  }
  throw new Error(`no ${name} was started by ${ancestor}`);
}

/** Processor time of a process so far, in milliseconds (a kernel tick is 10). */
export const cpuMs = pid => stat(pid).ticks * 10;

/** The same to the nanosecond, for threads that live on: what the scheduler says of each. */
export const cpuNs = pid =>
  readdirSync(`/proc/${pid}/task`)
    .map(thread => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]))
    .reduce((sum, ns) => sum + ns, 0);

/** Resident memory now and at most, in MiB. */
export function memory(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = name => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)[1]) / 1024);
  return { rss_mib: field('VmRSS'), peak_mib: field('VmHWM') };
}

/** Lets the most resident memory be counted from now on. */
export const resetPeak = pid => writeFileSync(`/proc/${pid}/clear_refs`, '5');

/** Bytes that a process caused to be written to storage. */
export const writtenBytes = pid => Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))[1]);

/** Runs `body` and resolves to its result with the processor share of each process, 1 being one core. */
export async function withShares(pids, body) {
  const before = Object.entries(pids).map(([name, pid]) => [name, pid, cpuMs(pid)]);
  const begun = performance.now();
  const result = await body();
  const wall = performance.now() - begun;
  const shares = Object.fromEntries(before.map(([name, pid, ms]) => [name, (cpuMs(pid) - ms) / wall]));
  return { result, shares };
}
