// Clients of x402 as they are published buy at the gate over real local chains, on each network that they can
// sign for, and are told everything that a gate can tell: a slow settlement, one whose outcome is unknown, a run
// that failed after it was paid, a payment that bought something else, a refusal. Whatever a client does then,
// one purchase is one payment; what it does stands in docs/compatibility.md.
//
//   node tests/compat-clients.mjs [--only NAME] [--long]
//
// With QUITTANCE_WRITE=1 the page is written; otherwise it must say what was seen.
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { randomBytes } from 'node:crypto';

import * as base from './lib/base-payment.mjs';
import * as buyer from './lib/buyer.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { recorder } from './lib/recorder.mjs';
import { until } from './lib/buyer.mjs';
import { finish, row, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';
import { publish, table } from './compat/page.mjs';

const { values: { only, long } } = parseArgs({ options: { only: { type: 'string' }, long: { type: 'boolean', default: false } } });
const { CLIENTS: all } = await import(long ? './compat/long/clients.mjs' : './compat/clients.mjs');
const CLIENTS = all.filter(client => !only || client.name.includes(only));

const SENDS = ['eth_sendRawTransaction', 'eth_sendRawTransactionSync', 'sendTransaction'];
const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const FAILS_ONCE = '/test/fail-once';
const SLOW_MS = 3_000;
const PENDING_SECONDS = 2;
/** Purchases at once, where nothing must happen to all of them together. */
const LANES = 4;
const COLUMNS = ['client', 'x402', 'network', 'buys', 'slow settlement', 'outcome unknown (503)', 'run failed (500)', 'bought something else', 'refused (402)'];

const word = () => randomBytes(6).toString('hex');
const image = () => JSON.stringify({
  requests: [{ type: 'image', model: 'gen', prompt: `A mug, ${word()}`, aspect_ratio: '1:1', output_format: 'png' }],
});

/** What the caller of the client gets, in words. */
async function told(buying) {
  try {
    const { status, text } = await buying;
    return { words: `\`${status}\``, status, text };
  } catch (error) {
    const status = error?.response?.status;
    if (status) return { words: `throws at \`${status}\``, status };
    // A price is another one each time.
    const [line] = String(error?.message ?? error).replaceAll(/\$\d[\d.]*/g, '$…').split('\n');
    return { words: `throws “${line.slice(0, 90)}”`, status: undefined };
  }
}

/** One call of a client: what its caller got, and what it signed meanwhile. */
async function call(one, url, body) {
  const before = one.record.seen.length;
  const outcome = await told(one.buy(url, body));
  const paid = one.record.seen.slice(before);
  return { ...outcome, paid, signed: new Set(paid.map(({ id }) => id)).size };
}

/** How often it paid, and how often it sent that. */
const signed = ({ signed: count, paid }) => `${count} signed${paid.length > count ? `, sent ${paid.length} times` : ''}`;

/** The books about this payer. */
async function bought(here, one) {
  const rows = await stack.books(here.config);
  return rows.filter(({ payer, network }) => payer.toLowerCase() === one.payer.toLowerCase() && network === one.caip);
}

/** One payment of this purchase is settled, and what it bought ran as often as it should. */
async function paidOnce(here, one, known, runs) {
  const fresh = (await bought(here, one)).filter(({ id }) => !known.has(id));
  assert.deepEqual(fresh.map(({ state, runs: count }) => [state, count]), [['settled', runs]], `${one.name} on ${one.network}`);
  return fresh[0];
}

const known = async (here, one) => new Set((await bought(here, one)).map(({ id }) => id));

async function buys(here, one) {
  const seen = await known(here, one);
  const outcome = await call(one, one.record.url + buyer.PATH, image());
  if (outcome.status !== 200) {
    assert.deepEqual(await known(here, one), seen, 'who got nothing paid nothing');
    return `no: ${outcome.words}`;
  }
  await paidOnce(here, one, seen, 1);
  one.header = outcome.paid[0].header;
  return outcome.signed === 1 ? 'paid once' : `paid once, ${signed(outcome)}`;
}

async function failedRun(here, one) {
  const seen = await known(here, one);
  const body = JSON.stringify({ note: word() });
  const first = await call(one, one.record.url + FAILS_ONCE, body);
  if (first.status === 200) {
    await paidOnce(here, one, seen, 2);
    return `\`200\` after ${signed(first)}, paid once`;
  }
  await paidOnce(here, one, seen, 1);
  const again = await call(one, one.record.url + FAILS_ONCE, body);
  assert.equal(again.status, 200, `${one.name} on ${one.network}: ${again.words}`);
  await paidOnce(here, one, seen, 2);
  return `${first.words}, ${signed(first)}; called again: \`200\`, paid once`;
}

/** The client's own earlier payment is shown for this request in place of the one that it signs. */
async function boughtElse(here, one) {
  const seen = await known(here, one);
  one.record.show(one.header);
  const outcome = await call(one, one.record.url + buyer.PATH, image());
  const [answer] = outcome.paid;
  if (outcome.status !== 200) {
    assert.deepEqual(await known(here, one), seen, 'nothing more was paid');
    // On Solana a transaction without a memo may be two equal purchases: who made it is told to sign anew.
    assert.ok(answer.status === 409 || (answer.status === 402 && one.network === 'solana'), `${one.name}: ${answer.status}`);
    return `${outcome.words}, ${signed(outcome)}`;
  }
  await paidOnce(here, one, seen, 1);
  return `\`200\` after ${signed(outcome)}, paid once`;
}

/** A payer without money. */
async function refused(here, client, network, record) {
  const who = penniless(here.net);
  const one = { buy: await client.make(who, network), record, payer: addressOf(who, network), caip: CAIP[network] };
  const outcome = await call(one, record.url + buyer.PATH, image());
  assert.notEqual(outcome.status, 200);
  assert.deepEqual(await bought(here, one), [], 'nothing was claimed');
  for (const { status } of outcome.paid) assert.equal(status, 402);
  return outcome.paid.length === 0 ? `${outcome.words} before it signs` : `${outcome.words}, ${signed(outcome)}`;
}

const addressOf = (who, network) => (network === 'base' ? base.account(who.base).address : solana.signer(who.solana).address);
const penniless = net => ({ net, base: base.someKey(), solana: solana.someSecret() });

async function slowly(here, one) {
  const seen = await known(here, one);
  const began = Date.now();
  const outcome = await call(one, one.record.url + buyer.PATH, image());
  if (outcome.status !== 200) return `${outcome.words}, ${signed(outcome)}`;
  assert.ok(Date.now() - began >= SLOW_MS, 'it was slow');
  await paidOnce(here, one, seen, 1);
  return 'waits, paid once';
}

/** No node takes the transaction until all clients have heard that nobody knows. */
async function unknown(here, ones) {
  const body = new Map(ones.map(one => [one, image()]));
  const url = one => one.record.url + buyer.PATH;
  const dropped = { action: 'drop_request', times: 100_000 };
  for (const network of NETWORKS) await here.proxies[network].faults(SENDS.map(method => ({ method, ...dropped })));
  const first = await Promise.all(ones.map(one => call(one, url(one), body.get(one))));
  for (const network of NETWORKS) await here.proxies[network].healthy();
  return Promise.all(ones.map(async (one, at) => {
    const again = await until(`the answer of ${one.name} on ${one.network}`, async () => {
      const outcome = await call(one, url(one), body.get(one));
      return outcome.status !== 503 && !outcome.paid.some(({ status }) => status === 503) && outcome;
    });
    assert.equal(again.status, 200, `${one.name} on ${one.network}: ${again.words}`);
    await paidOnce(here, one, new Set(), 1);
    return `${first[at].words}, ${signed(first[at])}; called again: \`200\`, paid once`;
  }));
}

/** A world of its own: `{ proxies }` between it and the chains. */
async function shop(net, folder, name, pendingSeconds) {
  const proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  const rpc = Object.fromEntries(NETWORKS.map(network => [network, proxies[network].url]));
  const here = await world(net, folder, name, { rpc, bin: stack.BIN, pendingSeconds });
  const api = await here.start();
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  return { ...here, proxies, api, opened };
}

async function prepared(net, here, client, network, at) {
  const who = { net, base: net.base.payers[at], solana: net.solana.payers[at] };
  return {
    name: client.name, client, network, payer: addressOf(who, network), caip: CAIP[network],
    record: await recorder(here.api.url), buy: await client.make(who, network),
  };
}

/** Runs `work` over all, some at a time. */
async function inLanes(items, work) {
  const rest = [...items];
  await Promise.all(Array.from({ length: LANES }, async () => {
    for (let item = rest.shift(); item; item = rest.shift()) await work(item);
  }));
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--payers', String(CLIENTS.length));
  const [here, hasty] = await Promise.all([shop(net, folder, 'compat', 20), shop(net, folder, 'hasty', PENDING_SECONDS)]);
  const rows = [];
  const working = [];
  for (const [at, client] of CLIENTS.entries()) {
    for (const network of NETWORKS) {
      const line = { client: `${client.registry ?? 'npm'} ${client.name} ${client.version()}`, x402: client.x402, network };
      rows.push(line);
      if (client.cannot?.[network]) {
        for (const column of COLUMNS.slice(3)) line[column] = '–';
        line.buys = client.cannot[network];
        continue;
      }
      working.push({ line, client, network, at });
    }
  }
  await inLanes(working, one => row(`${one.client.name} on ${one.network}`, async () => {
    const { line, client, network, at } = one;
    Object.assign(one, await prepared(net, here, client, network, at));
    line.buys = await buys(here, one);
    if (!one.header) {
      for (const column of COLUMNS.slice(4)) line[column] = '–';
      return;
    }
    line['run failed (500)'] = await failedRun(here, one);
    line['bought something else'] = await boughtElse(here, one);
    line['refused (402)'] = await refused(here, client, network, one.record);
  }));
  const paying = working.filter(one => one.header);
  await test('a settlement takes longer than usual', async () => {
    for (const network of NETWORKS) {
      await here.proxies[network].faults(SENDS.map(method => ({ method, action: 'delay_ms', ms: SLOW_MS, times: 100_000 })));
    }
    await Promise.all(paying.map(async one => { one.line['slow settlement'] = await slowly(here, one); }));
    for (const network of NETWORKS) await here.proxies[network].healthy();
  });
  await test('the outcome of a settlement is unknown for a while', async () => {
    const ones = await Promise.all(paying.map(({ client, network, at }) => prepared(net, hasty, client, network, at)));
    const seen = await unknown(hasty, ones);
    for (const [index, one] of paying.entries()) one.line['outcome unknown (503)'] = seen[index];
    for (const { record } of ones) record.close();
  });
  for (const { record } of working) record?.close();
  for (const { config, opened } of [here, hasty]) {
    for (const opening of opened) {
      await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, config, opening));
    }
  }
  if (!only) await test('docs/compatibility.md says what was seen', () => publish(long ? 'clients, long' : 'clients', table(COLUMNS, rows)));
  else stack.say(table(COLUMNS, rows));
});
finish();
