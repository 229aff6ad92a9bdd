// Servers of x402 as they are published have their payments verified and settled by `quittance serve`, on both
// networks, in both versions and flows, while it is slow, unsure, killed in the middle of a payment, and away.
// Whatever a server makes of that, one payment is settled once and served once; what each does stands in
// docs/compatibility.md.
//
//   node tests/compat-servers.mjs [--only NAME] [--long]
//
// With QUITTANCE_WRITE=1 the page is written; otherwise it must say what was seen.
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';

import * as base from './lib/base-payment.mjs';
import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as v1 from './lib/version-1.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';
import { publish, table } from './compat/page.mjs';

const { values: { only, long } } = parseArgs({ options: { only: { type: 'string' }, long: { type: 'boolean', default: false } } });
const { SERVERS: all } = await import(long ? './compat/long/servers.mjs' : './compat/servers.mjs');
const SERVERS = all.filter(server => !only || server.name.includes(only));

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const SENDS = ['eth_sendRawTransaction', 'eth_sendRawTransactionSync', 'sendTransaction'];
const SLOW_MS = 3_000;
/** Longer than a slow settlement, and short enough to wait for twice. */
const PENDING_SECONDS = 5;
const COLUMNS = ['server', 'x402', 'network', 'settles', 'sells', 'slow', 'outcome unknown', 'killed in mid-payment', 'away'];
const FLOW = { upfront: 'before it serves', authorization: 'after it served' };

/** Keys where the tests' helpers look for them. */
const netOf = ({ net, key }) => ({ base: { ...net.base, payer_key: key.base }, solana: { ...net.solana, payer_key: key.solana } });

/** Signs for the shop's offer with the official client of its version: the header that carries it. */
async function signed(one) {
  const { shop, network, server } = one;
  const asked = await (shop.fetch ?? fetch)(shop.url, {});
  const text = await asked.text();
  assert.equal(asked.status, 402, text.slice(0, 300));
  if (server.x402 === 1) {
    const required = JSON.parse(text);
    return { 'X-PAYMENT': await v1.sign(netOf(one), network, required) };
  }
  const required = server.x402 === 2 ? http.decode(asked.headers.get('payment-required')) : { resource: { url: shop.url }, ...JSON.parse(text) };
  const wallet = await official.client(netOf(one), network);
  const payment = await wallet.createPaymentPayload({ ...required, accepts: required.accepts.filter(({ network: name }) => name === CAIP[network]) });
  return { [server.x402 === 2 ? 'PAYMENT-SIGNATURE' : 'X-PAYMENT']: http.encode(payment) };
}

/** Shows a payment to the shop. */
async function show(one, headers) {
  try {
    const answer = await (one.shop.fetch ?? fetch)(one.shop.url, { headers });
    await answer.text();
    return answer.status;
  } catch (error) {
    if (one.shop.revive && await one.shop.died) {
      await one.shop.revive();
      return 'its process ends';
    }
    // What a server in this process throws is what its framework would answer.
    return `throws “${String(error.message).split('\n')[0].slice(0, 80)}”`;
  }
}

const settledOf = async (here, one) =>
  (await stack.books(here.config)).filter(({ payer, network, state }) => payer.toLowerCase() === one.payer.toLowerCase() && network === CAIP[one.network] && state === 'settled');

const code = status => (typeof status === 'number' ? `\`${status}\`` : status);

/**
 * One payment through a trouble: `first` is what the shop answered meanwhile. It is shown until it is served; then it
 * must be settled once, served once, and never again.
 */
async function through(here, one, headers, first, runs) {
  const answers = [first];
  if (first !== 200) {
    await until(`${one.name} to serve`, async () => {
      answers.push(await show(one, headers));
      return answers.at(-1) === 200;
    });
  }
  const late = await show(one, headers);
  assert.notEqual(late, 200, `${one.name} served a payment twice`);
  one.count += 1;
  assert.equal((await settledOf(here, one)).length, one.count, one.name);
  const ran = (await one.shop.runs()) - runs;
  const times = ran === 1 ? 'handler ran once' : `handler ran ${ran} times`;
  return first === 200 ? `\`200\`, ${times}` : `${code(first)}; shown again: \`200\`, ${times}`;
}

/** A trouble for all shops at once: `meanwhile` begins it and ends when all have their first answer. */
async function together(here, ones, column, meanwhile) {
  const runs = await Promise.all(ones.map(one => one.shop.runs()));
  const headers = await Promise.all(ones.map(signed));
  const first = await meanwhile(() => Promise.all(ones.map((one, at) => show(one, headers[at]))));
  await Promise.all(ones.map(async (one, at) => { one.line[column] = await through(here, one, headers[at], first[at], runs[at]); }));
}

/** What a client has against an offer: a schema's first words, or its own. */
function objection({ issues, message }) {
  if (issues) return issues.map(({ path, code: kind, received }) => `${path.join('.')} is ${kind}: ${received}`).join('; ');
  return `“${String(message).split('\n')[0].slice(0, 90)}”`;
}

const faults = (here, fault) => Promise.all(NETWORKS.map(network => here.proxies[network].faults(SENDS.map(method => ({ method, times: 100_000, ...fault })))));
const healthy = here => Promise.all(NETWORKS.map(network => here.proxies[network].healthy()));

async function opened(here, net, { server, network, flow }, at) {
  const key = { base: net.base.payers[at], solana: net.solana.payers[at] };
  const payer = network === 'base' ? base.account(key.base).address : solana.signer(key.solana).address;
  const shop = await server.open({ facilitator: here.url, payTo: here.payTo[network], recipients: here.payTo, network, flow, net });
  return { server, network, flow, net, key, payer, shop, count: 0, name: `${server.name} on ${network}, ${flow}` };
}

async function sells(here, one) {
  const runs = await one.shop.runs();
  const headers = await signed(one);
  one.line.sells = await through(here, one, headers, await show(one, headers), runs);
}

await stack.withStack(async folder => {
  const cases = SERVERS.flatMap(server => NETWORKS.flatMap(network => server.flows.map(flow => ({ server, network, flow }))));
  const net = await stack.devnet('--payers', String(cases.length));
  const proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  const rpc = Object.fromEntries(NETWORKS.map(network => [network, proxies[network].url]));
  const here = { ...await world(net, folder, 'compat', { rpc, serve: true, bin: stack.BIN, pendingSeconds: PENDING_SECONDS }), proxies };
  let program = await here.start();
  const openings = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));

  const [rows, selling] = [[], []];
  let ones;
  await test('every server starts, and sells or says why not', async () => {
    ones = await Promise.all(cases.map((one, at) => opened(here, net, one, at)));
    for (const one of ones) {
      const { server, network, flow } = one;
      one.line = { server: `${server.registry ?? 'npm'} ${server.name} ${server.version()}`, x402: server.x402, network, settles: FLOW[flow] };
      rows.push(one.line);
    }
    await Promise.all(ones.map(async one => {
      const why = await signed(one).then(() => undefined, error => error);
      if (why === undefined) return selling.push(one);
      for (const column of COLUMNS.slice(5)) one.line[column] = '–';
      one.line.sells = `no: clients of its version refuse its offer, ${objection(why)}`;
      return undefined;
    }));
    await Promise.all(selling.map(one => sells(here, one)));
  });
  await test('a settlement takes longer than usual', () => together(here, selling, 'slow', async ask => {
    await faults(here, { action: 'delay_ms', ms: SLOW_MS });
    const answers = await ask();
    await healthy(here);
    return answers;
  }));
  await test('nobody knows the outcome for a while', () => together(here, selling, 'outcome unknown', async ask => {
    await faults(here, { action: 'drop_request' });
    const answers = await ask();
    await healthy(here);
    return answers;
  }));
  await test('the facilitator is killed in the middle of every payment', () => together(here, selling, 'killed in mid-payment', async ask => {
    await faults(here, { action: 'drop_request' });
    const answers = ask();
    await until('every payment to be on record', async () => {
      const open = (await stack.books(here.config)).filter(({ state }) => state === 'recorded');
      return open.length === selling.length;
    });
    await stack.stop(program.child, 'SIGKILL');
    const heard = await answers;
    await healthy(here);
    program = await here.start();
    return heard;
  }));
  await test('the facilitator is away', () => together(here, selling, 'away', async ask => {
    await stack.stop(program.child);
    const answers = await ask();
    program = await here.start();
    return answers;
  }));
  for (const opening of openings) {
    await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
  for (const { shop } of ones) await shop.close();
  if (!only) await test('docs/compatibility.md says what was seen', () => publish(long ? 'servers, long' : 'servers', table(COLUMNS, rows)));
  else stack.say(table(COLUMNS, rows));
});
finish();
