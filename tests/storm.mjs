// P1, P2, P5 and P6 in bad weather: official clients buy on both networks, from
// a gate and from a foreign server, while nodes drop, delay, fail and lie at
// random and the process dies at a random place between two durable effects.
//
//   node tests/storm.mjs [--seed N] [--rounds N] [--only gate,serve]
//
// Prints its seed; the same seed gives the same places and the same weather
// (not the same timing). One round is one place, two customers, one network.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import * as buyer from './lib/buyer.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { below, pick, random, shuffled, someSeed } from './lib/random.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const { values } = parseArgs({
  options: { seed: { type: 'string' }, rounds: { type: 'string', default: '14' }, only: { type: 'string', default: 'gate,serve' } },
});
const SEED = Number(values.seed ?? someSeed());
const ROUNDS = Number(values.rounds);

const SHARED = [
  'before_claim', 'after_claim', 'before_record', 'after_record', 'before_send', 'after_send', 'before_verdict', 'after_verdict',
];
/** The places of crates/facilitator/src/context/failpoint.rs, by what is sold through. */
const PLACES = {
  gate: [...SHARED, 'before_delivery', 'after_delivery_started', 'before_delivered', 'after_delivered'],
  serve: [...SHARED, 'before_merchant_answer', 'after_merchant_answer', 'before_merchant_told'],
};
const CUSTOMERS = 2;
const TIMEOUT_MS = 1_000;
/** Starts of one process in one storm; each failed one has used up some of the weather. */
const STARTS_MAX = 40;
const FAULTS = [8, 40];
/** How long the weather lasts, if so few calls are made that faults are left. */
const WEATHER_MS = 10_000;
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const LIES = {
  base: ['nonce too low', 'already known', 'replacement transaction underpriced', 'transaction underpriced'],
  solana: ['Blockhash not found', 'Node is behind by 42 slots', 'This transaction has already been processed'],
};
const INTERNAL = { code: -32603, message: 'internal error' };

/** Faults for the calls to come: which call meets which is the storm's affair. */
function weather(next, network) {
  const count = FAULTS[0] + below(next, FAULTS[1] - FAULTS[0]);
  return Array.from({ length: count }, () => {
    if (next() < 0.3) {
      const message = pick(next, LIES[network]);
      return { method: SEND[network], action: pick(next, ['error', 'error_after']), error: { code: -32000, message }, skip: below(next, 2) };
    }
    const fault = pick(next, [
      { action: 'drop_request' }, { action: 'drop_response' }, { action: 'error', error: INTERNAL },
      { action: 'error_after', error: INTERNAL }, { action: 'http_status', status: pick(next, [429, 500, 502]) },
      { action: 'delay_ms', ms: 50 + below(next, TIMEOUT_MS + 500) },
    ]);
    const method = next() < 0.2 ? SEND[network] : '*';
    return { method, skip: below(next, 4), ...fault };
  });
}

/** Keeps a program running as a supervisor does: it dies, it is started again. */
function supervise(here, place) {
  let stopping = false;
  let starts = 0;
  let deaths = 0;
  let child;
  const running = (async () => {
    while (!stopping) {
      assert.ok(starts < STARTS_MAX, `${here.name}: started ${starts} times`);
      const env = starts === 0 ? { QUITTANCE_FAILPOINT: place } : {};
      starts += 1;
      try {
        ({ child } = await here.start(env));
      } catch {
        continue; // A chain was out of reach at the start.
      }
      // Whoever stopped it while it was being started knew the one before.
      if (stopping) await stack.stop(child);
      if (child.exitCode === null && child.signalCode === null) await new Promise(gone => child.once('exit', gone));
      if (!stopping) deaths += 1;
    }
  })();
  return {
    deaths: () => deaths,
    stop: async () => {
      stopping = true;
      if (child) await stack.stop(child);
      await running;
      return { starts, deaths };
    },
  };
}

/** What was said to a customer and what the ledger says of the same payment. */
async function assertHonest(here, answers) {
  const books = await stack.books(here.config);
  for (const answer of answers) {
    const { transaction } = answer.receipt ?? {};
    const payment = books.find(one => transaction && one.transaction === transaction);
    if (answer.status === 200) {
      assert.equal(answer.receipt.success, true);
      assert.equal(payment?.state, 'settled', 'what was delivered is in the ledger');
    } else {
      assert.equal(answer.status, 402, answer.text.slice(0, 300));
      stack.say(`    ${here.name}: refused unpaid: ${answer.receipt?.errorReason ?? answer.text.slice(0, 200)}`);
      assert.notEqual(payment?.state, 'settled', `paid and refused: ${answer.text.slice(0, 300)}`);
    }
  }
}

async function round(here, kind, network, proxy, shop, next, place) {
  const drawn = 1 + below(next, CUSTOMERS);
  // A customer who was refused is told of no success: only the first telling is sure.
  const nth = place.startsWith('before_merchant_told') ? 1 : drawn;
  await proxy.reset();
  const program = supervise(here, `${place}:${nth}`);
  await buyer.until('the program to answer', async () => (await fetch(`${here.url}/${kind === 'gate' ? 'v1/x402' : 'supported'}`).catch(() => undefined))?.ok);
  await proxy.faults(weather(next, network));
  const over = new AbortController();
  const clears = delay(WEATHER_MS, undefined, { signal: over.signal }).then(() => proxy.healthy(), () => proxy.healthy());
  // Where the round fails, that is what failed, and not that its proxy was gone afterwards.
  clears.catch(() => undefined);
  const [url, terms] = kind === 'gate'
    ? [here.url + buyer.PATH, { body: buyer.BODY }]
    : [`${shop.url}/thing/${network}`, { isFinal: official.servedOrRefused }];
  const answers = await Promise.all(Array.from({ length: CUSTOMERS }, () =>
    official.buy(here.net, network, url, { ...terms, seconds: 120, identifier: official.someIdentifier() })));
  const { faults } = await proxy.counts();
  // A customer who was refused in this weather did not come by every place; and some places lie
  // behind the last answer.
  const refused = answers.filter(one => one.status !== 200).length;
  if (nth <= CUSTOMERS - refused) await buyer.until(`the process to die at ${place}:${nth}`, program.deaths);
  over.abort();
  await clears;
  const { starts, deaths } = await program.stop();
  await assertHonest(here, answers);
  const met = Object.values(faults).reduce((sum, count) => sum + count, 0);
  return { bought: CUSTOMERS - refused, refused, met, deaths, starts };
}

/** Everything final, every journal sound, every unit accounted for. */
async function afterwards(here, opened) {
  const program = await here.start();
  await buyer.until('every payment to have its verdict', async () =>
    (await stack.books(here.config)).every(one => ['settled', 'refused', 'expired'].includes(one.state)), 150);
  const payments = await buyer.assertBooks(here.net, here.config, opened);
  await buyer.assertRules(here.config);
  for (const { id } of payments) {
    const payment = await buyer.journalOf(here.config, id);
    buyer.assertSoundJournal(payment, payment.runs);
    if (payment.state !== 'settled') {
      const [{ at_ms: first }] = payment.journal;
      stack.say(`    ${here.name}: ${payment.state}: ${payment.journal.map(line => `${line.event} +${((line.at_ms - first) / 1_000).toFixed(1)}`).join(', ')}`);
    }
    assert.ok(payment.journal.filter(line => line.event === 'merchant_answered').length <= 1);
  }
  await stack.stop(program.child);
  return payments;
}

async function lane(net, folder, kind, network, number) {
  const next = random(SEED + number);
  const proxy = await faultyProxy(net[network].rpc_url);
  const here = await world(net, folder, `storm-${kind}-${network}`, {
    rpc: { [network]: proxy.url }, timeoutMs: TIMEOUT_MS, serve: kind === 'serve',
  });
  const first = await here.start();
  const shop = kind === 'serve' ? await official.shop(() => here.url, { [network]: here.payTo[network] }) : undefined;
  await stack.stop(first.child);
  const opened = await buyer.opening(net, network, here.payTo[network]);
  const sum = { bought: 0, refused: 0, met: 0, deaths: 0, starts: 0 };
  const add = found => Object.keys(sum).forEach(key => { sum[key] += found[key]; });
  let places = [];
  for (let count = 0; count < ROUNDS; count += 1) {
    if (places.length === 0) places = shuffled(next, PLACES[kind]);
    const place = places.pop();
    await test(`${network}, ${kind}: a storm, and death at ${place} (seed ${SEED}, round ${count})`, async () =>
      add(await round(here, kind, network, proxy, shop, next, place)));
  }
  await test(`${network}, ${kind}: books and chain agree after the storms (seed ${SEED})`, async () => {
    const payments = await afterwards(here, opened);
    // Who was refused has not paid, who has paid was served: customer by customer.
    assert.equal(payments.filter(one => one.state === 'settled').length, sum.bought);
  });
  shop?.close();
  return sum;
}

stack.say(`seed ${SEED}: node tests/storm.mjs --seed ${SEED} --rounds ${ROUNDS}`);
await stack.withStack(async folder => {
  const net = await stack.devnet();
  const kinds = values.only.split(',');
  const lanes = kinds.flatMap(kind => NETWORKS.map(network => [kind, network]));
  const sums = await Promise.all(lanes.map(([kind, network], number) => lane(net, folder, kind, network, number)));
  const total = key => sums.reduce((all, sum) => all + sum[key], 0);
  stack.say(`    ${total('bought')} bought, ${total('refused')} refused unpaid, ${total('met')} faults met, ` +
    `${total('deaths')} deaths, ${total('starts')} starts`);
});
finish();
