// Runs that we ended, by a kill, a stop or a lost lease, do not use up `runs_max`:
// what was paid for is run again, here with `runs_max = 1`. A run that failed by itself does.
// Those that end with their process are bounded apart: a handler that kills it ends.
//
//   node tests/ended-runs.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { withCluster } from './lib/cluster.mjs';
import { NETWORKS, replica, shared, world } from './lib/world.mjs';

const LEASE_SECONDS = 3;
const CAIP = { base: stack.BASE, solana: stack.SOLANA };

async function send(api, path, header) {
  const headers = { 'Content-Type': 'application/json', Connection: 'close', ...(header && { 'PAYMENT-SIGNATURE': header }) };
  const answer = await http.send(api.url, { path, headers, body: '{}' }).catch(() => undefined);
  return answer && { ...answer, required: http.decode(answer.headers['payment-required']) };
}

async function sign(net, api, network, path) {
  const offer = await until('an offer', async () => (await send(api, path))?.required?.accepts.find(one => one.network === CAIP[network]));
  return http.encode(await official.pay(net, network, offer));
}

const runs = async api => (await stack.json(`${api.url}/test/handler-runs`)).runs;
const journal = async (here, event) => {
  const [{ id }] = await stack.books(here.config);
  return (await buyer.journalOf(here.config, id)).journal.filter(line => line.event === event).length;
};

/** A run is under way and ends with its process; the payment is a credit for whoever starts next. */
async function endedBy(net, here, network, signals) {
  let api = await here.start();
  const header = await sign(net, api, network, '/test/slow');
  for (const [at, signal] of signals.entries()) {
    const cut = send(api, '/test/slow', header);
    await until('the run', async () => (await runs(api)) > 0);
    assert.equal(await journal(here, 'running'), at + 1);
    await stack.stop(api.child, signal);
    assert.notEqual((await cut)?.status, 200, 'the run was over before it was ended');
    api = await here.start();
  }
  const answer = await until('the answer', async () => {
    const answer = await send(api, '/test/slow', header);
    assert.ok(answer && [200, 503].includes(answer.status), answer?.text);
    return answer.status === 200 && answer;
  });
  assert.match(answer.text, /req_/);
  const [payment] = await stack.books(here.config);
  assert.deepEqual([payment.state, payment.delivery, payment.runs], ['settled', 'delivered', signals.length + 1]);
  await stack.stop(api.child);
}

/** Its process stands still for longer than its lease: another runs it again. */
async function endedByALostLease(net, folder, network) {
  await withCluster(async cluster => {
    const here = await shared(net, folder, cluster, `lease_${network}`);
    const options = { leaseSeconds: LEASE_SECONDS, pendingSeconds: 20, gate: { runs_max: 1 } };
    const [first, second] = [await replica(here, `${network}-one`, options), await replica(here, `${network}-two`, options)];
    const header = await sign(net, first, network, '/test/slow');
    const cut = send(first, '/test/slow', header);
    await until('the run', async () => (await runs(first)) > 0);
    first.child.kill('SIGSTOP');
    const answer = await until('the answer of the other', async () => {
      const answer = await send(second, '/test/slow', header);
      assert.ok(answer && [200, 503].includes(answer.status), answer?.text);
      return answer.status === 200 && answer;
    });
    first.child.kill('SIGCONT');
    const late = await cut;
    assert.ok(late === undefined || late.status !== 200 || late.text === answer.text, 'one answer, whoever asks');
    const [payment] = await stack.books(second.config);
    assert.deepEqual([payment.state, payment.delivery, payment.runs], ['settled', 'delivered', 2]);
    await Promise.all([stack.stop(first.child), stack.stop(second.child)]);
  });
}

/** The handler's own failure counts: the allowance of one run is gone. */
async function failedByItself(net, here, network) {
  const api = await here.start();
  const header = await sign(net, api, network, '/test/fail');
  assert.equal((await send(api, '/test/fail', header)).status, 500);
  const again = await send(api, '/test/fail', header);
  assert.deepEqual([again.status, again.json.error], [409, 'credit_exhausted'], again.text);
  await stack.stop(api.child);
}

/** A handler that kills its process: a thief could show its payment for ever. */
async function killsItsProcess(net, here, network) {
  let api = await here.start();
  const header = await sign(net, api, network, '/test/slow');
  let kills = 0;
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM', 'SIGKILL']) {
    const cut = send(api, '/test/slow', header);
    await until('the run', async () => (await runs(api)) > 0);
    await stack.stop(api.child, signal);
    await cut;
    kills += signal === 'SIGKILL';
    api = await here.start();
    const [payment] = await stack.books(here.config);
    assert.deepEqual([payment.delivery, payment.runs_crashed], ['credited', kills], `a clean stop is free: ${JSON.stringify(payment)}`);
  }
  const wanted = [409, 'credit_exhausted', 'do_not_retry'];
  for (let at = 0; at < 3; at += 1) {
    const answer = await send(api, '/test/slow', header);
    assert.deepEqual([answer.status, answer.json.error, answer.json.retry_action], wanted, answer.text);
    assert.match(answer.text, /ended 2 times with its process/);
    assert.ok(http.decode(answer.headers['payment-response']).transaction, 'the receipt for the refund');
  }
  assert.equal(await runs(api), 0, 'nothing ran');
  const [{ id }] = await stack.books(here.config);
  const listed = await stack.program('payments', 'list', '--config', here.config, '--refundable');
  assert.deepEqual(listed.trim().split('\n').map(line => JSON.parse(line).id), [id]);
  const alerts = api.child.log.filter(line => line.includes('has used up its handler runs'));
  assert.equal(alerts.length, 1, 'the operator is told once, however often it is shown');
  await stack.stop(api.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  for (const network of NETWORKS) {
    const open = name => world(net, folder, `${name}-${network}`, {
      bin: stack.BIN, pendingSeconds: 10, gate: { runs_max: 1 }, more: { server: { shutdown_seconds: 0 } },
    });
    await test(`${network}: killed twice and stopped once, a payment with one run is served`, async () => {
      await endedBy(net, await open('ended'), network, ['SIGKILL', 'SIGTERM', 'SIGKILL']);
    });
    await test(`${network}: a run whose process lost its lease does not count`, () => endedByALostLease(net, folder, network));
    await test(`${network}: a handler that kills its process runs no more often than is configured`, async () => {
      await killsItsProcess(net, await world(net, folder, `kills-${network}`, {
        bin: stack.BIN, pendingSeconds: 10, gate: { runs_max: 1, runs_interrupted_max: 2 }, more: { server: { shutdown_seconds: 0 } },
      }), network);
    });
    await test(`${network}: a run that fails by itself counts`, async () => failedByItself(net, await open('failed'), network));
  }
});
finish();
