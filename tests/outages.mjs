// A disk that is full and a PostgreSQL that restarts, fails over to a standby that
// only reads, or ends sessions as it likes: the program says so a few times, counts
// each failure, hangs nowhere, promises nothing, and goes on by itself.
//
//   node tests/outages.mjs
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { finish, test } from './lib/tally.mjs';
import { replica, shared, world } from './lib/world.mjs';

const SOCKET = '.s.PGSQL.5432';
const OUTAGE_MS = 15_000;
/** Of one cause a line at its start; several parts of the program meet it. */
const LINES_MAX = 24;
const ASKED = 40;
const ANSWER_MS_MAX = 15_000;

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));
const about = child => child.log.filter(line => /\b(WARN|ERROR)\b/.test(line));

/** All failures that the program has counted. */
async function failures(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const counts = [...text.matchAll(/^quittance_failures_total\{[^}]*\} (\d+)$/gm)].map(([, count]) => Number(count));
  assert.ok(counts.length > 5, 'quittance_failures_total is not there');
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Asks again and again while it lasts; each answer comes in time and leaves the payment open. */
async function askDuring(url, payment, ms) {
  const end = Date.now() + ms;
  for (let asked = 0; asked < ASKED || Date.now() < end; asked += 1) {
    const begun = Date.now();
    const answer = await official.ask(url, 'settle', payment);
    assert.ok(Date.now() - begun < ANSWER_MS_MAX, `an answer took ${Date.now() - begun} ms`);
    assert.equal(answer.success, false, JSON.stringify(answer));
    assert.equal(answer.retry_action, 'retry_same_payment', JSON.stringify(answer));
    await pause(100);
  }
}

/** The lines and failures of an outage that `begin` begins. */
async function outage({ child, url }, payment, begin) {
  const [lines, counted] = [about(child).length, await failures(url)];
  await begin();
  await askDuring(url, payment, OUTAGE_MS);
  const said = about(child).slice(lines);
  const failed = await failures(url) - counted;
  stack.say(`     ${failed} failures, ${said.length} lines`);
  assert.ok(failed >= ASKED, `only ${failed} failures were counted`);
  assert.ok(said.length >= 1, 'nobody says so');
  assert.ok(said.length <= LINES_MAX, `${said.length} lines:\n${said.slice(0, 60).join('\n')}`);
  assert.equal(child.exitCode, null);
}

async function goesOn(url, payment) {
  await until('readiness', async () => (await fetch(`${url}/readyz`)).ok);
  const settled = await until('the success', async () => {
    const answer = await official.ask(url, 'settle', payment);
    return answer.success && answer;
  });
  assert.ok(settled.transaction);
}

async function fullDisk(net, folder) {
  // Writes beyond the limit fail instead of ending the program, as on a full disk.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const wrapper = join(bin, 'quittance');
  writeFileSync(wrapper, `#!/bin/bash\ntrap '' XFSZ\nexec ${join(stack.BIN, 'quittance')} "$@"\n`);
  chmodSync(wrapper, 0o755);
  const here = await world(net, folder, 'full-disk', {
    serve: true, bin, pendingSeconds: 2, more: { quote: { refresh_seconds: 1 } },
  });
  const program = await here.start();
  const limit = size => execFileSync('prlimit', ['--pid', String(program.child.pid), `--fsize=${size}:unlimited`]);
  const payment = await official.pay(net, 'base', await official.terms(net, 'base', program.url, here.payTo));
  await outage(program, payment, () => limit(1));
  limit('unlimited');
  await goesOn(program.url, payment);
  await stack.stop(program.child);
}

/** Standard error goes to a disk that is full: lines are lost, and nothing else. */
async function fullLog(net, folder) {
  const bin = join(folder, 'full-log');
  mkdirSync(bin);
  const wrapper = join(bin, 'quittance');
  writeFileSync(wrapper, `#!/bin/bash\nexec ${join(stack.BIN, 'quittance')} "$@" 2>/dev/full\n`);
  chmodSync(wrapper, 0o755);
  const here = await world(net, folder, 'full-log', { serve: true, pendingSeconds: 20, more: { quote: { refresh_seconds: 1 } } });
  const env = { ...process.env, BASE_WALLET: here.wallet.key, SOLANA_WALLET: net.solana.wallet_key, RUST_LOG: 'debug' };
  const child = stack.start(wrapper, ['serve', '--config', here.config], { env });
  await until('an answer', async () => child.exitCode === null && (await fetch(`${here.url}/readyz`).catch(() => ({}))).ok);
  for (const network of ['base', 'solana']) {
    const payment = await official.pay(net, network, await official.terms(net, network, here.url, here.payTo));
    const answer = await official.ask(here.url, 'settle', payment);
    assert.equal(answer.success, true, JSON.stringify(answer));
  }
  await stack.stop(child);
  assert.deepEqual([child.exitCode, child.signalCode], [0, null]);
}

async function restart(net, folder, cluster) {
  const here = await shared(net, folder, cluster, 'restart');
  const program = await replica(here, 'restart', { serve: true, pendingSeconds: 2, leaseSeconds: 3 });
  const payment = await official.pay(net, 'base', await official.terms(net, 'base', program.url, here.payTo));
  await outage(program, payment, () => cluster.stop('immediate'));
  const ready = await fetch(`${program.url}/readyz`);
  assert.equal(ready.status, 503);
  cluster.start();
  await goesOn(program.url, payment);
  await stack.stop(program.child);
}

/** A name that leads to one database and then to another: new connections alone follow it. */
async function movable(upstream) {
  const folder = mkdtempSync('/tmp/quittance-moved-');
  let target = upstream;
  const open = new Set();
  const server = createServer(client => {
    const database = connect(join(target, SOCKET));
    const both = [client, database];
    for (const one of both) open.add(one);
    for (const [from, to] of [[client, database], [database, client]]) {
      from.on('data', bytes => to.write(bytes));
      from.on('error', () => to.destroy());
      from.on('close', () => { open.delete(from); to.destroy(); });
    }
  });
  server.listen(join(folder, SOCKET));
  await once(server, 'listening');
  const cut = () => {
    for (const one of open) one.destroy();
  };
  return {
    folder,
    move: to => { target = to; cut(); },
    end: () => { server.close(); cut(); rmSync(folder, { recursive: true, force: true }); },
  };
}

async function standby(net, folder, cluster) {
  const here = await shared(net, folder, cluster, 'standby');
  const name = await movable(cluster.folder);
  const second = cluster.standby();
  try {
    const ledger = here.ledger.replace(cluster.folder, name.folder);
    const program = await replica({ ...here, ledger }, 'standby', { serve: true, pendingSeconds: 2, leaseSeconds: 3 });
    const payment = await official.pay(net, 'base', await official.terms(net, 'base', program.url, here.payTo));
    await until('the copy', () => second.sql('standby', "SELECT count(*) FROM instances WHERE name = 'standby'") === '1');
    await outage(program, payment, () => { cluster.stop('immediate'); name.move(second.folder); });
    second.promote();
    await goesOn(program.url, payment);
    assert.equal(second.sql('standby', "SELECT count(*) FROM payments WHERE state = 'settled'"), '1');
    await stack.stop(program.child);
  } finally {
    name.end();
    second.end();
    cluster.start();
  }
}

async function endedSessions(net, folder, cluster) {
  const here = await shared(net, folder, cluster, 'ended');
  const program = await replica(here, 'ended', { serve: true, pendingSeconds: 20, leaseSeconds: 3 });
  const offer = await official.terms(net, 'base', program.url, here.payTo);
  const payments = [];
  for (let count = 0; count < 6; count += 1) payments.push(await official.pay(net, 'base', offer));
  let going = true;
  const killer = (async () => {
    while (going) {
      here.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ended' AND pid <> pg_backend_pid()");
      await pause(150);
    }
  })();
  const asked = payments.map(payment => official.ask(program.url, 'settle', payment));
  await pause(4_000);
  going = false;
  await killer;
  await Promise.all(asked);
  for (const payment of payments) {
    await until('an end', async () => {
      const answer = await official.ask(program.url, 'settle', payment);
      return answer.success || answer.errorReason === 'duplicate_settlement';
    });
  }
  assert.equal(here.sql("SELECT count(*) FROM payments WHERE state = 'settled'"), '6');
  assert.equal(here.sql('SELECT count(DISTINCT tx) FROM payments'), '6');
  await stack.stop(program.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  await test('a full disk: a few lines, every failure counted, nothing promised, and it goes on', () => fullDisk(net, folder));
  await test('a full disk under the log: payments settle, and a stop is a stop', () => fullLog(net, folder));
  await withCluster(async cluster => {
    await test('PostgreSQL restarts without warning: the same', () => restart(net, folder, cluster));
    await test('PostgreSQL ends every session again and again: every payment settles once', () => endedSessions(net, folder, cluster));
    await test('a failover to a standby that only reads: nothing is read from it, and it goes on once it writes', () =>
      standby(net, folder, cluster));
  });
});
finish();
