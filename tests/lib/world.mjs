// One facilitator's world: its own wallet on Base, recipients and books, so that
// several of them can share the devnet and still be held against the chain to
// the last unit.
import { join } from 'node:path';

import * as http from './http.mjs';
import * as solana from './solana-payment.mjs';
import * as stack from './stack.mjs';
import * as third from './third-party.mjs';
import { stranger } from './base-payment.mjs';

/** Where the programs with fail points are (build_failpoints in scripts/lib.sh). */
export const FAILPOINTS_BIN = process.env.QUITTANCE_FAILPOINTS_BIN ?? join(stack.BIN, '../failpoints');

export const NETWORKS = ['base', 'solana'];

/**
 * `start(env)` starts the sample API with its gate, or `quittance serve` with
 * `serve`; the address stays the same over restarts.
 */
export async function world(net, folder, name, {
  rpc = {}, timeoutMs = 5_000, serve = false, pendingSeconds = 5, bin = FAILPOINTS_BIN, gate = {}, ledger, more = {},
} = {}) {
  const wallet = await third.wallet(net);
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const section = network => ({ pay_to: payTo[network], rpc_timeout_ms: timeoutMs, ...more[network] });
  const port = await stack.freePort();
  const config = stack.configure(folder, net, {
    name, port, rpc, ledger,
    more: {
      ...more, base: section('base'), solana: section('solana'),
      gate: { pending_wait_seconds: pendingSeconds, ...gate },
    },
  });
  const start = serve
    ? env => stack.facilitator(net, config, { bin, wallets: { base: wallet.key }, env })
    : env => stack.sampleApi(net, config, { bin, env: { BASE_WALLET: wallet.key, ...env } });
  return { net, folder, name, config, wallet, payTo, start, url: `http://127.0.0.1:${port}` };
}

/**
 * Replicas on one PostgreSQL ledger: names and ports differ; ledger, wallets,
 * recipients and proxies are shared.
 */
export async function replica(here, name, { rpc = {}, serve = false, leaseSeconds = 3, pendingSeconds = 10, gate = {}, merchants = {}, quote = {} } = {}) {
  const section = network => ({ pay_to: here.payTo[network] });
  const config = stack.configure(here.folder, here.net, {
    name, port: await stack.freePort(), ledger: here.ledger, rpc,
    more: {
      ledger: { instance: name, lease_seconds: leaseSeconds }, merchants, quote,
      base: section('base'), solana: section('solana'),
      gate: { pending_wait_seconds: pendingSeconds, ...gate },
    },
  });
  const start = () => serve
    ? stack.facilitator(here.net, config, { wallets: { base: here.wallet.key } })
    : stack.sampleApi(here.net, config, { env: { BASE_WALLET: here.wallet.key } });
  return { name, config, start, ...(await start()) };
}

/** What replicas share. */
export async function shared(net, folder, cluster, database) {
  return {
    net, folder,
    ledger: cluster.create(database),
    sql: text => cluster.sql(database, text),
    wallet: await third.wallet(net),
    payTo: { base: stranger().address, solana: solana.stranger().address },
  };
}

/** A proxy between a program and a chain: faults, counts, and what was broadcast through it. */
export async function faultyProxy(upstream, ...options) {
  const proxy = await stack.proxy(upstream, '--delay-ms', '0', ...options);
  // On a connection of its own: one that was idle may end just as it is used again.
  const call = async (path, method, body) => {
    const answer = await http.send(proxy.url, {
      method, path: `/__proxy/${path}`, agent: false,
      ...(body && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    if (answer.status !== 200) throw new Error(`${proxy.url}/__proxy/${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  };
  return {
    ...proxy,
    faults: list => call('faults', 'POST', list),
    healthy: () => call('faults', 'DELETE'),
    /** A node that remembers less: `{ after_slots, no_history }`. */
    forget: what => call('forgetting', 'POST', what),
    remember: () => call('forgetting', 'DELETE'),
    /** A node that answers and stands still from now on. */
    freeze: () => call('frozen', 'POST'),
    thaw: () => call('frozen', 'DELETE'),
    /** A provider's limits and words: a name of `GET /__proxy/profiles`, or a profile. */
    profile: what => call('profile', 'POST', typeof what === 'string' ? { name: what } : what),
    unlimited: () => call('profile', 'DELETE'),
    reset: () => call('reset', 'POST'),
    counts: () => call('counts', 'GET'),
    /** How often each signed transaction was broadcast. */
    sent: () => call('sent', 'GET'),
  };
}
