// What a paid request waits for: five durable commits and no other, counted
// from outside (claim 1; slot, bytes and hash 1; verdict 1; delivery 2).
//
//   node tests/commits.mjs
import assert from 'node:assert/strict';
import { openSync, readSync, closeSync, fstatSync } from 'node:fs';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

/** In this order, each in a commit of its own. */
const AWAITED = ['claimed', 'recorded', 'settled', 'running', 'delivered'];
/** Booked in the background: nobody waits for these. */
const BACKGROUND = ['answer_sent', 'broadcast', 'cost', 'finalized'];
/** Those of them that are held back; a landing becomes final long after its answer. */
const HELD = BACKGROUND.filter(event => event !== 'finalized');
/** How long each of those is held back: longer than a settlement here, shorter than the time limit of an operation. */
const HELD_SECONDS = 4;
/** Nothing but the payment writes meanwhile. */
const QUIET = { ledger: { lease_seconds: 3_600 }, quote: { refresh_seconds: 3_600 } };

const eventsOf = async here => {
  const [{ id }] = await stack.books(here.config);
  return (await buyer.journalOf(here.config, id)).journal.map(line => line.event);
};

const allWritten = here => until('the background to finish', async () => {
  const events = await eventsOf(here);
  return events.length === AWAITED.length + BACKGROUND.length && events;
});

async function bought(here, api, network) {
  const final = await buyer.insist(api, await buyer.sign(here.net, api, network));
  assert.equal(final.status, 200, final.text.slice(0, 300));
}

/**
 * A process after its first heartbeat, which is a commit too: with replicas no
 * run begins before it, and SQLite's one writer takes it first. So it is over
 * once something was bought.
 */
async function started(here) {
  const api = await here.start();
  await bought(here, api, 'base');
  await allWritten(here);
  return api;
}

/** Transactions that wrote: PostgreSQL numbers only those. */
const written = sql => Number(sql('SELECT pg_snapshot_xmax(pg_current_snapshot())'));

async function onPostgres(net, folder, cluster) {
  const sql = text => cluster.sql('commits', text);
  const here = await world(net, folder, 'commits-postgres', {
    bin: stack.BIN, ledger: cluster.create('commits'), pendingSeconds: 30, more: QUIET,
  });
  const api = await started(here);
  for (const network of NETWORKS) {
    await test(`PostgreSQL, ${network}: nine commits for a whole payment, five of them awaited`, async () => {
      const before = written(sql);
      await bought(here, api, network);
      const events = await allWritten(here);
      assert.deepEqual([...events].sort(), [...AWAITED, ...BACKGROUND].sort());
      assert.equal(written(sql) - before, AWAITED.length + BACKGROUND.length);
    });
  }
  // The others are held back inside their commits; the answer must not wait.
  sql(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(${HELD_SECONDS}); RETURN NEW; END $$`);
  sql(`CREATE TRIGGER hold BEFORE INSERT ON journal FOR EACH ROW WHEN (NEW.event IN ('${HELD.join("', '")}')) EXECUTE FUNCTION hold()`);
  for (const network of NETWORKS) {
    await test(`PostgreSQL, ${network}: the answer waits for these five and for nothing else`, async () => {
      const before = written(sql);
      await bought(here, api, network);
      assert.deepEqual(await eventsOf(here), AWAITED);
      // Under way are those in the background that have a number already.
      const numbered = written(sql) - before;
      assert.ok(numbered <= AWAITED.length + BACKGROUND.length, `${numbered} transactions wrote`);
      await allWritten(here);
    });
  }
  await stack.stop(api.child);
}

/** Commit frames in a write-ahead log (SQLite, "WAL file format": a frame ends a commit if it names the database's size). */
function commitsIn(path) {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(fstatSync(file).size);
    readSync(file, bytes, 0, bytes.length, 0);
    const page = bytes.readUInt32BE(8);
    const salts = bytes.subarray(16, 24);
    let count = 0;
    for (let at = 32; at + 24 + page <= bytes.length; at += 24 + page) {
      // What is left of an earlier round has other salts.
      if (!bytes.subarray(at + 8, at + 16).equals(salts)) break;
      if (bytes.readUInt32BE(at + 4) !== 0) count += 1;
    }
    return { count, round: salts.toString('hex') };
  } finally {
    closeSync(file);
  }
}

async function onSqlite(net, folder) {
  const here = await world(net, folder, 'commits-sqlite', { bin: stack.BIN, pendingSeconds: 30, more: QUIET });
  const log = join(folder, 'commits-sqlite.sqlite-wal');
  const api = await started(here);
  for (const network of NETWORKS) {
    await test(`SQLite, ${network}: at most nine commits for a whole payment, at least five`, async () => {
      const before = commitsIn(log);
      await bought(here, api, network);
      const events = await allWritten(here);
      assert.deepEqual(events.filter(event => AWAITED.includes(event)), AWAITED);
      const after = commitsIn(log);
      assert.equal(after.round, before.round, 'the log was not begun anew');
      const count = after.count - before.count;
      // One writer groups what waits: a line of the background may share a commit.
      assert.ok(count >= AWAITED.length && count <= AWAITED.length + BACKGROUND.length, `${count} commits`);
    });
  }
  await stack.stop(api.child);
}

await stack.withStack(folder => withCluster(async cluster => {
  const net = await stack.devnet();
  await onPostgres(net, folder, cluster);
  await onSqlite(net, folder);
}, ['-c autovacuum=off']));
finish();
