// One payment, one thing: whoever repeats a payment at an unmodified official
// server, however often, at once or in sequence, with or without an identifier,
// is served once, on both chains, in both flows, over two replicas of
// `quittance serve` on one ledger. In the `authorization` flow the server works
// before it settles: its runs are counted beside what it hands out.
//
//   node tests/told.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { cutter } from './lib/cut.mjs';
import { withCluster } from './lib/cluster.mjs';
import { decode, encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, replica, shared } from './lib/world.mjs';

const COPIES = 50;
/** Longer than any settlement here. */
const PATIENT_SECONDS = 20;
/** The other replicas: whoever asks while no node takes a payment is told to come back. */
const HASTY_SECONDS = 1;
const CUTS = 3;
/** After it a server may work again whose settlement was cut off. */
const VERIFY_LEASE_SECONDS = 2;
const NEVER_SENT = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };

const visit = async (shop, network, header) => {
  const answer = await fetch(`${shop.url}/thing/${network}`, { headers: header ? { 'PAYMENT-SIGNATURE': header } : {} });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
};

/** An official client's payment for the shop's own offer, not sent yet. */
async function sign(here, shop, network, options) {
  const required = decode((await visit(shop, network)).headers.get('payment-required'));
  const caip = network === 'base' ? stack.BASE : stack.SOLANA;
  required.accepts = required.accepts.filter(one => one.network === caip);
  const client = await official.client(here.net, network, options);
  return encode(await client.createPaymentPayload(required));
}

const inSequence = async (count, ask) => {
  const answers = [];
  for (let index = 0; index < count; index += 1) answers.push(await ask());
  return answers;
};
const atOnce = (count, ask) => Promise.all(Array.from({ length: count }, ask));

/** What one payment was worth: things handed out for it, and runs of the handler. */
function counting(shop) {
  const [served, runs] = [shop.served.length, shop.runs.length];
  return () => ({ served: shop.served.length - served, runs: shop.runs.length - runs });
}

/** How often the ledger says that a payment's success was told. */
const told = (here, transaction) => Number(here.sql(
  `SELECT count(*) FROM journal JOIN payments ON payments.id = journal.payment WHERE tx = '${transaction}' AND event = 'merchant_answered'`,
));

async function servedOnce(here, count, answers) {
  const good = answers.filter(one => one.status === 200);
  assert.equal(good.length, 1, `${good.length} of ${answers.length} were served`);
  const { served, runs } = count();
  assert.equal(served, 1);
  const { thing } = JSON.parse(good[0].text);
  assert.equal(await settledInTheEnd(here, thing), 1);
  return runs;
}

const settledInTheEnd = (here, transaction) =>
  buyer.until('the ledger to say so', async () => told(here, transaction) || undefined).then(Number);

/** The first buyer, then fifty who have its bytes. */
async function sequence(here, shop, network, options) {
  const header = await sign(here, shop, network, options);
  const count = counting(shop);
  const first = await visit(shop, network, header);
  assert.equal(first.status, 200, first.text);
  const copies = await inSequence(COPIES, () => visit(shop, network, header));
  await servedOnce(here, count, [first, ...copies]);
  for (const copy of copies) {
    const reason = decode(copy.headers.get('payment-response'))?.errorReason ?? decode(copy.headers.get('payment-required'))?.error;
    assert.equal(reason, 'duplicate_settlement', copy.text);
  }
  // Who was told already makes nobody work again.
  assert.equal(count().runs, 1);
  await atOnce(COPIES, () => visit(shop, network, header));
  assert.deepEqual(count(), { served: 1, runs: 1 });
}

/** Fifty at once, none of which was first. */
async function rush(here, shop, network, flow, options) {
  const header = await sign(here, shop, network, options);
  const count = counting(shop);
  const answers = await atOnce(COPIES, () => visit(shop, network, header));
  const runs = await servedOnce(here, count, answers);
  if (flow === 'upfront') assert.equal(runs, 1, 'and nobody worked for nothing');
  else stack.say(`    ${network}: ${runs} runs of the handler before any settlement, 1 thing handed out`);
  const later = await inSequence(5, () => visit(shop, network, header));
  assert.ok(later.every(one => one.status !== 200));
  assert.equal(count().served, 1);
}

/** Everybody was told to come back first, and comes back. */
async function comeBack(here, shop, hasty, network, options) {
  const header = await sign(here, shop, network, options);
  const count = counting(shop);
  here.urls = hasty;
  const drop = { method: NEVER_SENT[network], action: 'drop_request', times: 100_000 };
  await here.proxies[network].faults(drop);
  const early = await atOnce(COPIES / 2, () => visit(shop, network, header));
  assert.ok(early.every(one => one.status !== 200));
  await here.proxies[network].healthy();
  here.urls = here.patient;
  const late = [];
  for (let round = 0; round < 4; round += 1) {
    late.push(...await atOnce(COPIES / 2, () => visit(shop, network, header)));
  }
  await servedOnce(here, count, [...early, ...late]);
}

/** The connection is cut before the answer: its server asks again, and is told. */
async function cutOff(here, shop, network, options) {
  const proxies = await Promise.all(here.patient.map(url => cutter(() => url, '/settle')));
  here.urls = proxies.map(one => one.url);
  const header = await sign(here, shop, network, options);
  const count = counting(shop);
  const answers = [];
  for (let time = 0; time < CUTS; time += 1) {
    for (const proxy of proxies) proxy.cut(1);
    const answer = await visit(shop, network, header);
    assert.notEqual(answer.status, 200);
    for (const proxy of proxies) proxy.cut(0);
  }
  assert.equal(proxies.reduce((sum, one) => sum + one.done, 0), CUTS, 'each answer was cut off');
  assert.equal(count().served, 0);
  answers.push(await visit(shop, network, header));
  assert.equal(answers[0].status, 200, answers[0].text);
  answers.push(...await inSequence(COPIES / 5, () => visit(shop, network, header)));
  await servedOnce(here, count, answers);
  here.urls = here.patient;
  for (const proxy of proxies) proxy.close();
}

await stack.withStack(folder => withCluster(async cluster => {
  const net = await stack.devnet();
  const here = await shared(net, folder, cluster, 'told');
  here.proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  const rpc = Object.fromEntries(NETWORKS.map(network => [network, here.proxies[network].url]));
  const replicas = (names, pendingSeconds) => Promise.all(names.map(name => replica(here, name, {
    serve: true, pendingSeconds, rpc, leaseSeconds: 15, merchants: { verify_lease_seconds: VERIFY_LEASE_SECONDS },
  })));
  const urlsOf = list => list.map(one => one.url);
  const patient = await replicas(['one', 'two'], PATIENT_SECONDS);
  const hasty = urlsOf(await replicas(['three', 'four'], HASTY_SECONDS));
  here.patient = urlsOf(patient);
  here.urls = here.patient;
  let turn = 0;
  const facilitator = () => here.urls[turn++ % here.urls.length];
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  for (const flow of ['upfront', 'authorization']) {
    const shop = await official.shop(facilitator, here.payTo, { flow });
    for (const network of NETWORKS) {
      for (const named of [false, true]) {
        const options = () => (named ? { identifier: official.someIdentifier() } : {});
        const name = `${network}, ${flow}, ${named ? 'with' : 'without'} an identifier`;
        await test(`${name}: ${COPIES} copies in sequence, then at once: one thing`, () => sequence(here, shop, network, options()));
        await test(`${name}: ${COPIES} at once before anything was settled: one thing`, () => rush(here, shop, network, flow, options()));
        await test(`${name}: all were told to come back: one thing`, () => comeBack(here, shop, hasty, network, options()));
        await test(`${name}: an answer that the server never received is said when it asks again`, () => cutOff(here, shop, network, options()));
      }
    }
    shop.close();
  }
  for (const opening of opened) {
    await test(`${opening.network}: the ledger agrees with the chain`, async () => {
      const payments = await buyer.assertBooks(net, patient[0].config, opening);
      assert.ok(payments.every(one => one.state === 'settled'));
    });
  }
}));
finish();
