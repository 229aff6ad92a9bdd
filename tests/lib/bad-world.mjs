// What the tables of bad input are tried against: the gate in front of the
// sample API and `quittance serve` over both real chains, what exists there,
// and which calls of a node something caused.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { account, spendNonces } from './base-payment.mjs';
import { baseTransfersTo, rpc, solanaTransfersTo } from './chain.mjs';
import { decode, send } from './http.mjs';
import * as sol from './solana-payment.mjs';
import { BASE, SOLANA, books, configure, devnet, facilitator, freePort, proxy, sampleApi } from './stack.mjs';
import { row } from './tally.mjs';

export const PATH = '/v1/generation-requests?wait=true';
export const order = (prompt = 'A mug') =>
  JSON.stringify({ requests: [{ type: 'image', model: 'gen', prompt, aspect_ratio: '1:1' }] });
export const BODY = order();
export const JSON_TYPE = { 'Content-Type': 'application/json' };
/** What may follow a broadcast, until the outcome is final: looking for it. */
export const LOOKING = /^(eth_get|eth_blockNumber$|getSignature|getBlock|getTransaction$|getEpochInfo$|getSlot$)/;

/** The wallet's lane looks for reorganisations whoever asks for what. */
const KEEPING = /^eth_getTransactionCount$/;

export async function start(folder) {
  const net = await devnet();
  Object.assign(net, { baseNetwork: BASE, solanaNetwork: SOLANA });
  const payer = account(net.base.payer_key);
  const nonces = await spendNonces(net, payer);
  const [base, solana] = await Promise.all([proxy(net.base.rpc_url), proxy(net.solana.rpc_url)]);
  // One tariff, and no look at the payout addresses, in the whole run: they would be counted too.
  const rare = { head_look_seconds: 3_600, payout_look_seconds: 3_600 };
  const more = { quote: { refresh_seconds: 3_600 }, gate: { body_bytes_max: 65_536 }, base: rare, solana: rare };
  const at = { rpc: { base: base.url, solana: solana.url }, more };
  const config = configure(folder, net, { name: 'api', port: await freePort(), ...at });
  const serveConfig = configure(folder, net, { name: 'serve', port: await freePort(), ...at });
  const keys = join(folder, 'keys.toml');
  const hash = createHash('sha256').update('secret').digest('hex');
  writeFileSync(keys, `[[keys]]\nname = "tester"\nkey = "known"\nsecret_sha256 = "${hash}"\n`);
  const api = await sampleApi(net, config, { args: ['--api-keys', keys] });
  // Two programs with books of their own never share a Base wallet.
  const wallet = `0x${'5e'.repeat(32)}`;
  await rpc(net.base.rpc_url, 'anvil_setBalance', account(wallet).address, '0xde0b6b3a7640000');
  const serve = await facilitator(net, serveConfig, { wallets: { base: wallet } });
  return {
    net, payer, nonces, proxies: { base: base.url, solana: solana.url }, api, serve, config, serveConfig,
    solPayer: sol.signer(net.solana.payer_key),
  };
}

async function counts(world) {
  const read = async url => (await (await fetch(`${url}/__proxy/counts`)).json()).methods;
  const [base, solana] = await Promise.all([read(world.proxies.base), read(world.proxies.solana)]);
  return { ...base, ...solana };
}

/**
 * The calls that `body` caused, by method. Once something was sold, the poller
 * may still be looking at that; what it asks does not count then.
 */
export async function counting(world, body) {
  const all = await countingAll(world, body);
  const background = method => KEEPING.test(method) || (world.selling && LOOKING.test(method));
  return Object.fromEntries(Object.entries(all).filter(([method]) => !background(method)));
}

export async function countingAll(world, body) {
  const before = await counts(world);
  await body();
  const after = await counts(world);
  const made = Object.entries(after).map(([method, count]) => [method, count - (before[method] ?? 0)]);
  return Object.fromEntries(made.filter(([, count]) => count > 0));
}

export async function handlerRuns(api) {
  return (await send(api.url, { method: 'GET', path: '/test/handler-runs' })).json.runs;
}

/** What exists: books, handler runs, transfers on both chains. */
export async function everything({ net, api, config, serveConfig }) {
  const [gate, merchant, runs, base, solana] = await Promise.all([
    books(config), books(serveConfig), handlerRuns(api),
    baseTransfersTo(net.base.rpc_url, net.base.usdc, net.base.pay_to),
    solanaTransfersTo(net.solana.rpc_url, net.solana.mint, net.solana.pay_to),
  ]);
  return { gate, merchant, runs, base, solana };
}

/** Runs a table that must leave no trace. */
export async function untouched(world, name, table) {
  const before = await everything(world);
  await table();
  await row(`${name}: no trace`, async () => assert.deepEqual(await everything(world), before));
  await alive(world);
}

export async function alive({ net, api, serve }) {
  const secrets = [net.base.wallet_key.slice(2), net.solana.wallet_key];
  for (const { child } of [api, serve]) {
    await row('alive', () => {
      assert.equal(child.exitCode, null, 'the process ended');
      assert.equal(child.signalCode, null, 'the process was killed');
      const panics = child.log.filter(line => /panic/i.test(line));
      assert.deepEqual(panics, []);
      assert.ok(!secrets.some(secret => child.log.some(line => line.includes(secret))), 'a wallet key is in the log');
    });
  }
}

export async function offersOf(api) {
  const answer = await send(api.url, { path: PATH, headers: JSON_TYPE, body: BODY });
  assert.equal(answer.status, 402, answer.text);
  const { accepts } = decode(answer.headers['payment-required']);
  return { base: accepts.find(one => one.network === BASE), solana: accepts.find(one => one.network === SOLANA) };
}
