// Starts and stops the real things: the devnet, the sample API, the program.
// Everything listens on loopback, on ports that were free.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rpc } from './chain.mjs';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const BASE = 'eip155:8453';
export const SOLANA = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
const CLIENTS = join(ROOT, 'tests/clients');

/** Where cargo put the programs; scripts/lib.sh sets it. */
export const BIN = join(process.env.CARGO_TARGET_DIR ?? join(process.env.HOME, '.cache/quittance/target'), 'debug');

const children = new Set();

export const say = text => process.stderr.write(`${text}\n`);

/** Runs `body` with a folder of its own; stops whatever was started, also when it fails. */
export async function withStack(body) {
  const folder = mkdtempSync(join(tmpdir(), 'quittance-'));
  const stopped = async signal => {
    await stopAll();
    rmSync(folder, { recursive: true, force: true });
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', stopped);
  process.once('SIGTERM', stopped);
  try {
    return await body(folder);
  } finally {
    await stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function stopAll() {
  await Promise.all([...children].map(child => stop(child)));
}

/** Ends a program as an operator would, or with `SIGKILL` as a power cut would. */
export async function stop(child, signal = 'SIGTERM') {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
  children.delete(child);
}

export function start(command, args, options) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  children.add(child);
  child.log = [];
  const keep = line => {
    child.log.push(line);
    if (child.log.length > 2_000) child.log.shift();
    if (process.env.QUITTANCE_TEST_LOG) say(`  ${line}`);
  };
  child.errors = createInterface({ input: child.stderr }).on('line', keep);
  return child;
}

async function firstLine(child, stream, wanted) {
  const lines = stream === 'stderr' ? child.errors : createInterface({ input: child.stdout });
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

/** How other chains than Base and Solana are tried, e.g. `--base-block-time 2`: for every test that does not say it itself. */
const CHAIN_OPTIONS = (process.env.QUITTANCE_DEVNET_OPTIONS ?? '').split(' ').filter(Boolean);

/** Both chains; resolves to the devnet's JSON and the process. */
export async function devnet(...options) {
  const child = start(join(BIN, 'quittance-devnet'), ['--exit-with-parent', ...CHAIN_OPTIONS, ...options], {
    env: { ...process.env, QUITTANCE_DEVNET_PARENT: String(process.pid) },
  });
  const [line] = await firstLine(child, 'stdout', /^\{.*\}$/);
  return { child, ...JSON.parse(line) };
}

/** A proxy that counts, delays and breaks JSON-RPC calls. */
export async function proxy(upstream, ...options) {
  const child = start(join(BIN, 'quittance-rpc-proxy'), ['--upstream', upstream, ...options]);
  const [, url] = await firstLine(child, 'stdout', /(http:\/\/[0-9.:]+)/);
  return { child, url };
}

/**
 * A free loopback port, below those that the system lends to outgoing connections: one of
 * them could take the port before the program that it is meant for listens on it.
 */
export async function freePort() {
  for (;;) {
    const port = 10_000 + randomInt(18_000);
    const server = createServer();
    const free = await new Promise(resolve => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Writes a configuration for both chains; `changes` is appended TOML. */
export function configure(folder, net, { name = 'quittance', port, ledger, more = {}, rpc = {} }) {
  const path = join(folder, `${name}.toml`);
  const section = (title, values) =>
    `[${title}]\n${Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n')}\n`;
  const text = [
    section('server', { listen: `127.0.0.1:${port}`, workers: 2, shutdown_seconds: 5, ...more.server }),
    section('ledger', { url: ledger ?? `sqlite://${join(folder, `${name}.sqlite`)}`, ...more.ledger }),
    section('networks.base', {
      network: BASE,
      rpc_urls: [rpc.base ?? net.base.rpc_url],
      asset: net.base.usdc,
      pay_to: net.base.pay_to,
      wallets: ['env:BASE_WALLET'],
      ...more.base,
    }),
    section('networks.solana', {
      network: SOLANA,
      rpc_urls: [rpc.solana ?? net.solana.rpc_url],
      asset: net.solana.mint,
      pay_to: net.solana.pay_to,
      wallets: ['env:SOLANA_WALLET'],
      ...more.solana,
    }),
    section('rates', { eth_usd: '2500.00', sol_usd: '150.00' }),
    section('quote', { ...more.quote }),
    section('merchants', { ...more.merchants }),
    section('receipts', { ...more.receipts }),
    section('gate', { catalogue: join(ROOT, 'catalogs/imgnai.toml'), ...more.gate }),
  ].join('\n');
  writeFileSync(path, text);
  return path;
}

/** What a configuration of the second ledger on these chains says: one ledger per payout address on Base, one per fee payer on Solana. */
export const apiTerms = net => ({ base: { pay_to: net.base.api_pay_to }, solana: { pay_to: net.solana.api_pay_to } });

/** The wallets that go with it, as environment. */
export const apiWallets = net => ({ BASE_WALLET: net.base.api_wallet_key, SOLANA_WALLET: net.solana.api_wallet_key });

/** Secrets go through the environment, never through a file. */
function secrets(net, wallets = {}) {
  return {
    ...process.env,
    BASE_WALLET: wallets.base ?? net.base.wallet_key,
    SOLANA_WALLET: wallets.solana ?? net.solana.wallet_key,
  };
}

/** The sample API with an embedded facilitator; `bin` is another folder to take it from. */
export async function sampleApi(net, config, { hooks = true, env = {}, args: more = [], bin = BIN } = {}) {
  const args = ['--config', config, ...(hooks ? ['--test-hooks'] : []), ...more];
  const child = start(join(bin, 'sample-api'), args, { env: { ...secrets(net), ...env } });
  const [, url] = await firstLine(child, 'stderr', /listening on (http:\/\/\S+)/);
  return { child, url };
}

/** `quittance serve`; `bin` is another folder to take it from. */
export async function facilitator(net, config, { wallets, env = {}, bin = BIN } = {}) {
  const child = start(join(bin, 'quittance'), ['serve', '--config', config], {
    env: { ...secrets(net, wallets), NO_COLOR: '1', ...env },
  });
  const [, url] = await firstLine(child, 'stderr', /listening on (http:\/\/[0-9.:]+)/);
  return { child, url };
}

/** `quittance gateway` in front of an upstream; `args` are further flags. */
export async function gateway(net, config, { args = [], wallets, env = {}, bin = BIN } = {}) {
  const child = start(join(bin, 'quittance'), ['gateway', '--config', config, ...args], {
    env: { ...secrets(net, wallets), NO_COLOR: '1', ...env },
  });
  const [, url] = await firstLine(child, 'stderr', / listening on (http:\/\/[0-9.:]+)/);
  return { child, url };
}

/**
 * `quittance serve` beside a sample API: it needs a wallet of its own on Base,
 * because two processes with two ledgers would spend the same nonces.
 */
export async function facilitatorBeside(folder, net, options = {}) {
  const [wallet] = net.base.payers;
  const { privateKeyToAccount } = await clients('viem/accounts');
  await rpc(net.base.rpc_url, 'anvil_setBalance', privateKeyToAccount(wallet).address, '0xde0b6b3a7640000');
  const config = configure(folder, net, { name: 'facilitator', port: await freePort(), ...options });
  return { config, ...(await facilitator(net, config, { wallets: { base: wallet } })) };
}

/** Runs a program to its end; resolves to its standard output. */
export async function run(command, args, env = {}) {
  const child = start(command, args, { env: { ...process.env, ...env } });
  const out = [];
  child.stdout.on('data', chunk => out.push(chunk));
  const [code] = await once(child, 'close');
  children.delete(child);
  const text = Buffer.concat(out).toString();
  if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code}: ${child.log.join('\n')}\n${text}`);
  return text;
}

/** Buys with the unmodified official client. */
export async function officialBuy(net, api, network, what, ...more) {
  const args = [join(CLIENTS, 'buy.mjs'), '--api', api, '--network', network, '--what', what, ...keys(net), ...more];
  return JSON.parse(await run(process.execPath, args));
}

/** Signs with the unmodified official client, sends nothing. */
export async function officialSign(net, api, network, ...more) {
  const args = [join(CLIENTS, 'signed-copies.mjs'), '--api', api, '--network', network, ...keys(net), ...more];
  return JSON.parse(await run(process.execPath, args));
}

function keys(net) {
  return ['--evm-key', net.base.payer_key, '--svm-key', net.solana.payer_key, '--solana-rpc', net.solana.rpc_url];
}

/** Where `quittance pay` keeps payments that are open; gone with this process. */
export const PAYMENTS = mkdtempSync(join(tmpdir(), 'quittance-payments-'));
process.on('exit', () => rmSync(PAYMENTS, { recursive: true, force: true }));

/** Buys with `quittance pay`. */
export async function quittancePay(net, url, network, body) {
  const args = [
    'pay', url, '--network', network, ...(body === undefined ? [] : ['--data', body]), '--json', '--max-usdc', '5',
    '--evm-key', 'env:BASE_PAYER', '--solana-key', 'env:SOLANA_PAYER', '--solana-rpc', net.solana.rpc_url,
  ];
  const env = { BASE_PAYER: net.base.payer_key, SOLANA_PAYER: net.solana.payer_key, QUITTANCE_PAYMENTS: PAYMENTS };
  return JSON.parse(await run(join(BIN, 'quittance'), args, env));
}

/** Runs the program to its end; resolves to its standard output. */
export const program = (...args) => run(join(BIN, 'quittance'), args);

/** The ledger, newest first. */
export async function books(config) {
  const text = await run(join(BIN, 'quittance'), ['payments', 'list', '--config', config, '--limit', '1000']);
  return text.split('\n').filter(Boolean).map(line => JSON.parse(line));
}

export async function json(url, options) {
  const answer = await fetch(url, options).catch(error => {
    // Alone it says no more than that it failed.
    throw new Error(`${url}: ${error.cause?.code ?? error.cause?.message ?? error.message}`, { cause: error });
  });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

const fromClients = createRequire(join(CLIENTS, 'package.json'));

/** A package of tests/clients, which has the only node_modules here. */
export const clients = name => import(pathToFileURL(fromClients.resolve(name)));
