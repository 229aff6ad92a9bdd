// P1 and P2 with two processes on one PostgreSQL ledger and one wallet per
// network: copies of one payment at both, many payments at both, one process
// killed while it owns payments.
//
//   node tests/replicas.mjs
import assert from 'node:assert/strict';
import { Agent } from 'node:http';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { account } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, replica, shared } from './lib/world.mjs';

const COPIES = 500;
const PAYMENTS = 30;
const LEFT_BEHIND = 8;
const LEASE_SECONDS = 5;
/** What one look for orphans may take on a busy machine, commit included. */
const LOOK_MS = 1_500;

const runsOf = async (api, id) => (await stack.json(`${api.url}/test/handler-runs`)).by_payment[id] ?? 0;
const identify = (here, transaction) => here.sql(`SELECT id FROM payments WHERE tx = '${transaction}'`);

/** Signed transactions in the ledger. */
const attempts = (here, id) =>
  Number(here.sql(`SELECT count(*) FROM attempt_payments WHERE payment = '${id}'`));

async function copies(here, network) {
  const { net, replicas } = here;
  const signed = await stack.officialSign(
    net, replicas[0].url, network, '--path', buyer.PATH, '--body', buyer.BODY, '--variants',
  );
  const spellings = [{ name: 'original', header: signed.header }, ...signed.variants];
  const everybody = Array.from({ length: COPIES }, (_, index) => ({
    ...spellings[index % spellings.length], api: replicas[Math.floor(index / spellings.length) % replicas.length],
  }));
  const before = await here.proxies[network].sent();
  const released = await buyer.release(everybody);
  const answers = everybody.map((copy, index) => ({ ...copy, answer: released[index] }));
  assert.ok(answers.every(({ answer }) => answer), 'every copy is answered');

  const bought = new Map();
  const refused = new Map();
  for (const { name, answer } of answers) {
    if (answer.status === 200) {
      bought.set(answer.receipt.transaction, answer.text);
    } else if (answer.status === 503) {
      assert.equal(answer.receipt.errorReason, 'settlement_pending');
    } else {
      refused.set(name, answer.status);
    }
  }
  assert.equal(bought.size, 1, 'one receipt');
  assert.equal(new Set(answers.filter(({ answer }) => answer.status === 200).map(({ answer }) => answer.text)).size, 1);
  const [transaction] = bought.keys();
  const id = identify(here, transaction);
  const runs = await Promise.all(replicas.map(api => runsOf(api, id)));
  assert.equal(runs[0] + runs[1], 1, `handler runs: ${runs}`);
  assert.equal(attempts(here, id), 1, 'one signed transaction');
  // What really went to the node, from either replica.
  const sent = Object.keys(await here.proxies[network].sent()).filter(bytes => !(bytes in before));
  assert.equal(sent.length, 1, 'one transaction was broadcast');
  buyer.assertSoundJournal(await buyer.journalOf(replicas[0].config, id), 1);
  // High s would be a second encoding of the signature: it buys nothing, and hears like every
  // other that the payment is under way while it is (P5).
  const buyers = new Set(answers.filter(({ answer }) => answer.status === 200).map(({ name }) => name));
  assert.ok(!buyers.has('high-s signature'), 'a second encoding was accepted');
  if (network === 'base') assert.ok([402, undefined].includes(refused.get('high-s signature')));
  stack.say(`    ${answers.filter(({ answer }) => answer.status === 200).length} of ${COPIES} copies got the answer, ` +
    `refused: ${[...refused].map(([name, status]) => `${name} ${status}`).join(', ') || 'none'}`);
  return [...refused.keys()];
}

/** Spellings that may be refused: none of them can buy what the original bought. */
const MAY_BE_REFUSED = {
  base: ['high-s signature', 'zero-based recovery id', 'compact signature'],
  solana: ['trailing byte', 'claims another payer', 'unpadded transaction'],
};

async function many(here, network) {
  const signer = network === 'base' ? account(here.net.base.payer_key) : solana.signer(here.net.solana.payer_key);
  const payments = await Promise.all(
    Array.from({ length: PAYMENTS }, () => buyer.sign(here.net, here.replicas[0], network, { payer: signer })),
  );
  // Each payment at both replicas at once.
  const answers = await Promise.all(payments.map(async signed => {
    const both = await Promise.all(here.replicas.map(api => buyer.insist(api, signed)));
    assert.deepEqual(both.map(answer => answer.status), [200, 200], both.map(answer => answer.text.slice(0, 300)).join('\n'));
    assert.equal(both[0].text, both[1].text);
    return both[0].receipt.transaction;
  }));
  assert.equal(new Set(answers).size, PAYMENTS);
}

/** Slots of the wallet are consecutive and every one is used on chain. */
async function assertNoGap(here) {
  const nonces = here.sql('SELECT nonce FROM slots ORDER BY nonce').split('\n').map(Number);
  assert.deepEqual(nonces, nonces.map((_, index) => index));
  const count = await rpc(here.net.base.rpc_url, 'eth_getTransactionCount', here.wallet.address, 'latest');
  assert.equal(Number(count), nonces.length);
}

/**
 * A replica whose sends no node takes, so that the payments it is given stay
 * recorded: `{ replica, payments, heal }`.
 */
async function stuck(here, name, count) {
  const [base, sol] = await Promise.all(NETWORKS.map(network => faultyProxy(here.net[network].rpc_url)));
  const it = await replica(here, name, { rpc: { base: base.url, solana: sol.url }, leaseSeconds: LEASE_SECONDS });
  await base.faults({ method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 });
  await sol.faults({ method: 'sendTransaction', action: 'drop_request', times: 100_000 });
  const payments = await Promise.all(NETWORKS.flatMap(network =>
    Array.from({ length: count }, () => buyer.sign(here.net, it, network))));
  const asked = payments.map(signed => buyer.once(it, signed));
  await until('the payments on record', () =>
    Number(here.sql(`SELECT count(*) FROM payments WHERE owner = '${name}' AND state = 'recorded'`)) === payments.length);
  return { it, payments, asked, heal: () => Promise.all([base, sol].map(proxy => proxy.healthy())) };
}

/** Sends each payment to `api` until it is bought; resolves to the seconds since `begun`. */
const finished = (api, payments, begun) => Promise.all(payments.map(async signed => {
  const final = await buyer.insist(api, signed);
  assert.equal(final.status, 200, final.text.slice(0, 300));
  return (Date.now() - begun) / 1_000;
}));

/** Kills a replica that owns recorded payments; another adopts and finishes them. */
async function adoption(here) {
  const { it, payments, asked } = await stuck(here, 'doomed', LEFT_BEHIND);
  const killed = Date.now();
  await stack.stop(it.child, 'SIGKILL');
  assert.deepEqual(await Promise.all(asked), payments.map(() => undefined));
  const answered = await finished(here.replicas[1], payments, killed);
  assert.equal(here.sql("SELECT count(*) FROM payments WHERE owner = 'doomed'"), '0', 'everything was adopted');
  const last = event => Number(here.sql(`SELECT max(at_ms) FROM journal WHERE event = '${event}'`));
  const leaseEnded = Number(here.sql("SELECT lease_until_ms FROM instances WHERE name = 'doomed'"));
  const since = at => (at - killed) / 1_000;
  return {
    lateMs: last('adopted') - leaseEnded,
    adopted: since(last('adopted')), settled: since(last('settled')), answered: Math.max(...answered),
  };
}

/** A replica sleeps longer than its lease while it owns payments: nothing is done twice, and it is of use again. */
async function sleeper(here) {
  const { it, payments, asked, heal } = await stuck(here, 'sleeper', 1);
  it.child.kill('SIGSTOP');
  await finished(here.replicas[0], payments, Date.now());
  await heal();
  it.child.kill('SIGCONT');
  for (const answer of await Promise.all(asked)) assert.ok([200, 503].includes(answer?.status), `status ${answer?.status}`);
  // What it did in its sleep is nothing: the ledger says so below.
  for (const network of NETWORKS) {
    const final = await buyer.insist(it, await buyer.sign(here.net, it, network), 20);
    assert.equal(final.status, 200);
  }
}

const SLOW = '/test/slow';

/** Asks for the slow thing with this payment; a connection that dies is `undefined`. */
async function askSlow(api, header) {
  const headers = { 'Content-Type': 'application/json', ...(header && { 'PAYMENT-SIGNATURE': header }) };
  return http.send(api.url, { path: SLOW, headers, body: '{}', agent: new Agent() }).catch(() => undefined);
}

/** A replica sleeps longer than its lease in the middle of a handler's run: another runs it, one answer is stored. */
async function sleepingRun(here, network) {
  const it = await replica(here, `dozing-${network}`, { leaseSeconds: LEASE_SECONDS });
  const offer = await until('an offer', async () => http.decode((await askSlow(it)).headers['payment-required'])
    ?.accepts.find(one => one.network === (network === 'base' ? stack.BASE : stack.SOLANA)));
  const header = http.encode(await official.pay(here.net, network, offer));
  const asked = askSlow(it, header);
  const id = await until('the run', async () => here.sql(`SELECT id FROM payments WHERE delivery = 'running' AND delivery_owner = '${it.name}'`));
  it.child.kill('SIGSTOP');
  const final = await until('the answer of another', async () => {
    const answer = await askSlow(here.replicas[0], header);
    return answer?.status === 200 && answer;
  });
  it.child.kill('SIGCONT');
  const late = await asked;
  // The sleeper's own answer is not in the ledger, so it is not released.
  assert.ok(late === undefined || late.status >= 500 || late.text === final.text, `status ${late?.status}`);
  const payment = await buyer.journalOf(here.replicas[0].config, id);
  buyer.assertSoundJournal(payment, 2);
  assert.equal(payment.delivery, 'delivered');
  assert.equal((await askSlow(it, header)).text, final.text, 'the one answer, from the sleeper too');
  await stack.stop(it.child);
  return id;
}

await stack.withStack(folder => withCluster(async cluster => {
  const net = await stack.devnet();
  const here = await shared(net, folder, cluster, 'books');
  const proxies = await Promise.all(NETWORKS.map(network => faultyProxy(net[network].rpc_url)));
  here.proxies = { base: proxies[0], solana: proxies[1] };
  const rpcUrls = { base: proxies[0].url, solana: proxies[1].url };
  const options = { rpc: rpcUrls, leaseSeconds: LEASE_SECONDS };
  here.replicas = [await replica(here, 'one', options), await replica(here, 'two', options)];
  const [{ config }] = here.replicas;
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));

  for (const network of NETWORKS) {
    await test(`${network}: ${COPIES} copies in all spellings at two replicas: one grant, one transaction`, async () => {
      const refused = await copies(here, network);
      assert.deepEqual(refused.filter(name => !MAY_BE_REFUSED[network].includes(name)), []);
    });
  }
  for (const network of NETWORKS) {
    await test(`${network}: ${PAYMENTS} payments at two replicas at once: all settle`, () => many(here, network));
  }
  await test('base: no gap in the wallet\'s nonces', () => assertNoGap(here));
  let measured;
  await test(`SIGKILL of a replica with ${LEFT_BEHIND * 2} recorded payments: another finishes them`, async () => {
    measured = await adoption(here);
    // Everybody looks for orphans three times per lease (docs/operations.md).
    assert.ok(measured.lateMs >= 0, `adopted ${-measured.lateMs} ms before the lease ended`);
    const bound = (LEASE_SECONDS * 1_000) / 3 + LOOK_MS;
    assert.ok(measured.lateMs <= bound, `adopted ${measured.lateMs} ms after the lease ended, at most ${bound}`);
  });
  stack.say(`    adopted ${measured.adopted.toFixed(1)} s after the kill (lease ${LEASE_SECONDS} s), ` +
    `settled after ${measured.settled.toFixed(1)} s, answered after ${measured.answered.toFixed(1)} s`);
  await test('base: no gap after the adoption', () => assertNoGap(here));
  await test('a replica that slept longer than its lease wakes up harmless and of use', () => sleeper(here));
  const runTwice = [];
  for (const network of NETWORKS) {
    await test(`${network}: a replica that slept through a run: another runs it, one answer`, async () => {
      runTwice.push(await sleepingRun(here, network));
    });
  }
  for (const opening of opened) {
    await test(`${opening.network}: the ledger agrees with the chain`, async () => {
      const payments = await buyer.assertBooks(net, config, opening);
      const odd = payments.filter(one => one.state !== 'settled' || one.delivery !== 'delivered' || one.runs !== (runTwice.includes(one.id) ? 2 : 1));
      const journals = await Promise.all(odd.map(one => buyer.journalOf(config, one.id)));
      assert.deepEqual(journals.map(one => one.journal.map(line => `${line.instance} ${line.event}`)), [], 'one run, one answer each');
    });
  }
  await test('every rule of the ledger holds', () => buyer.assertRules(config));
}));
finish();
