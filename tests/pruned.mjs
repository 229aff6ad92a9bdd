// A payment that ended long ago is pruned while the program runs: whoever shows its
// bytes again hears what it would have heard before, nothing moves, and every report
// says what it said.
//
//   node tests/pruned.mjs
import assert from 'node:assert/strict';

import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, replica, shared } from './lib/world.mjs';

/** `ledger.keep_finished_days`, and a day. */
const LONG_AGO_MS = 401 * 86_400_000;

/** Everything about the payments, but for what they are, was so long ago. */
const AGED = `
  ALTER TABLE payments DISABLE TRIGGER USER;
  UPDATE payments SET verdict_at_ms = verdict_at_ms - ${LONG_AGO_MS}, finality_at_ms = finality_at_ms - ${LONG_AGO_MS},
    merchant_answer_at_ms = merchant_answer_at_ms - ${LONG_AGO_MS},
    deadline_value = CASE deadline_unit WHEN 'unix_seconds' THEN deadline_value - ${LONG_AGO_MS / 1_000} ELSE deadline_value END;
  ALTER TABLE payments ENABLE TRIGGER USER;`;

async function shownAgain(net, folder, cluster) {
  const here = await shared(net, folder, cluster, 'pruned');
  process.env.QUITTANCE__LEDGER__PRUNE_PAUSE_SECONDS = '1';
  const program = await replica(here, 'pruned', { serve: true });
  const bought = [];
  for (const network of NETWORKS) {
    const payment = await official.pay(net, network, await official.terms(net, network, program.url, here.payTo));
    const settled = await official.ask(program.url, 'settle', payment);
    assert.ok(settled.success, JSON.stringify(settled));
    bought.push({ payment, transaction: settled.transaction });
  }
  await until('final landings and booked costs', () => here.sql(
    `SELECT count(*) FROM payments p WHERE finality IS NOT NULL AND merchant_answer_at_ms IS NOT NULL
     AND EXISTS (SELECT 1 FROM costs WHERE payment = p.id) AND NOT EXISTS (SELECT 1 FROM reservations WHERE payment = p.id)`,
  ) === '2', 120);
  const report = async () => JSON.parse(await stack.program('payments', 'margin', '--config', program.config, '--json'));
  const before = await report();
  here.sql(AGED);
  await until('the pruning', () => here.sql('SELECT count(*) FROM payments WHERE pruned_at_ms IS NOT NULL') === '2');
  for (const table of ['journal WHERE payment IS NOT NULL', 'attempts', 'attempt_payments', 'slots', 'merchant_answers']) {
    assert.equal(here.sql(`SELECT count(*) FROM ${table}`), '0', table);
  }
  assert.equal(here.sql("SELECT count(*) FROM payments WHERE payload = '{}' AND evidence IS NULL"), '2');

  for (const { payment, transaction } of bought) {
    for (const asked of ['settle', 'verify', 'settle']) {
      const answer = await official.ask(program.url, asked, payment);
      assert.ok(!answer.success && !answer.isValid, JSON.stringify(answer));
      assert.equal(answer.errorReason ?? answer.invalidReason, 'duplicate_settlement', JSON.stringify(answer));
      if (asked === 'settle') assert.equal(answer.transaction, transaction);
    }
  }
  assert.equal(here.sql('SELECT count(*) FROM payments'), '2', 'nothing was claimed anew');
  assert.deepEqual(await report(), before);
  const id = here.sql('SELECT min(id) FROM payments');
  const shown = JSON.parse(await stack.program('payments', 'show', '--config', program.config, id));
  assert.match(shown.pruned, /ledger\.keep_finished_days/);
  assert.deepEqual([shown.state, shown.journal], ['settled', []]);
  assert.equal(shown.costs.length, 1);
  const metrics = await (await fetch(`${program.url}/metrics`)).text();
  assert.match(metrics, /^quittance_pruned_payments_total 2$/m);
  await stack.stop(program.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  await withCluster(async cluster => {
    await test('the bytes of a pruned payment buy nothing, and every report is the same', () => shownAgain(net, folder, cluster));
  });
});
finish();
