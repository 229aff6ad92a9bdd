// What strangers do to those who pay: each kind of them as fast as a generator on its
// own core can, beside customers who buy; the ratio is to what the same customers
// wait without them, in the same run.
import { account } from '../lib/base-payment.mjs';
import { BODY, offer, once, sign } from '../lib/buyer.mjs';
import { BASE } from './payments.mjs';
import { loadPay, memory, say, stranger, withShares } from './programs.mjs';
import { fixed, ms, outcomes, percent, table, whole } from './report.mjs';

const PATH = '/v1/chat/completions';
const CHAT = JSON.stringify({
  model: 'claude-haiku-4-5', max_tokens: 64,
  messages: [{ role: 'user', content: 'Write one concise sentence about API integration.' }],
});
const GATE = ['long_bodies', 'slow_bodies', 'copies', 'empty_wallets', 'garbage', 'offers'];
const SERVE = ['pollers', 'slow_bodies'];
/** Connections of a stranger. */
const CONNECTIONS = 64;
/** Another address of this machine than the customers'. */
const ELSEWHERE = '127.0.0.2';

/** Customers, at a fixed number of connections. */
function customers(setup, plan) {
  const { net } = setup;
  return loadPay(setup.place, { network: BASE, payers: net.base.payers, rpc_url: net.base.rpc_url, seconds: 120, ...plan });
}

async function beside(setup, running, plan, kind, path, more) {
  say(`  ${kind} at ${path}`);
  const before = memory(running.pid).rss_mib;
  const crowd = await stranger({ kind, url: running.url, path, connections: CONNECTIONS, ...more });
  try {
    const { result, shares } = await withShares({ program: running.pid, stranger: crowd.pid }, () => customers(setup, plan));
    const after = memory(running.pid);
    return { kind, path, result, shares, memory: { before, after: after.rss_mib, peak: after.peak_mib }, answered: await crowd.stop() };
  } finally {
    await crowd.stop();
  }
}

/** A payment that is pending for as long as its node says that it never heard of it. */
async function pendingPayment(setup, running) {
  const { header } = await sign(setup.net, running, 'base', { payer: account(setup.net.base.payers[0]) });
  const faults = { method: 'eth_sendRawTransaction', action: 'drop_request', times: 2 };
  await fetch(`${setup.proxies.base.url}/__proxy/faults`, { method: 'POST', body: JSON.stringify(faults), headers: { 'Content-Type': 'application/json' } });
  // Nobody waits for it: the copies do.
  once(running, { header }).catch(() => {});
  return header;
}

export async function crowd(setup, running, mode, { quick, terms }) {
  const found = [];
  const plan = mode === 'gate'
    ? { mode, url: `${running.url}${PATH}`, body: CHAT, connections: 4, count: quick ? 40 : 200 }
    : { mode, url: `${running.url}/settle`, requirements: terms, connections: 4, count: quick ? 40 : 200 };
  say(`customers of ${mode} alone`);
  await customers(setup, plan);
  const quiet = await customers(setup, plan);
  const offered = mode === 'gate' ? JSON.stringify(await offer(running, 'base')) : undefined;
  for (const kind of mode === 'gate' ? GATE : SERVE) {
    const copies = kind === 'copies';
    // A pending payment is for the request that it was signed for.
    const path = mode === 'gate' ? (copies ? '/v1/generation-requests?wait=true' : PATH) : '/settle';
    const body = copies ? BODY : CHAT;
    const header = copies ? await pendingPayment(setup, running) : undefined;
    const run = await beside(setup, running, plan, kind, path, { body, offer: offered, header, from: ELSEWHERE });
    const ratio = run.result.latency_us.p50 / quiet.latency_us.p50;
    found.push({ mode, ...run, quiet_us: quiet.latency_us, latency_us: run.result.latency_us, outcomes: run.result.outcomes, ratio });
  }
  return found;
}

export function crowdTable(runs) {
  const head = ['strangers beside customers', 'customers p50 ms', 'alone p50 ms', 'ratio', 'p95 ms', 'strangers answered', 'program core', 'RSS before, after MiB', 'customers'];
  return table('Crowds', head, runs.map(run => [
    `${run.mode}: ${run.kind}`, ms(run.latency_us.p50), ms(run.quiet_us.p50), fixed(run.ratio), ms(run.latency_us.p95),
    whole(Object.values(run.answered).reduce((sum, count) => sum + count, 0)), percent(run.shares.program),
    `${run.memory.before}, ${run.memory.after}`, outcomes(run.outcomes),
  ]));
}
