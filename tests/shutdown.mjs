// A stop ends while the ledger is away, and loses nothing: PostgreSQL behind a
// connection that goes silent, as behind a failover without RST, while a payment
// lands whose verdict cannot be written.
//
//   node tests/shutdown.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';

import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { withCluster } from './lib/cluster.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, replica, shared } from './lib/world.mjs';

/** `SHUTDOWN_WORK_MAX`, `SHUTDOWN_LEDGER_MAX`, `server.shutdown_seconds`, and a busy machine. */
const STOP_MS_MAX = 40_000;
const SOCKET = '.s.PGSQL.5432';

/** Between a program and a cluster's socket: passes everything on, or nothing, without closing. */
async function between(upstream) {
  const folder = mkdtempSync('/tmp/quittance-silent-');
  let silent = false;
  const server = createServer(client => {
    const database = connect(join(upstream, SOCKET));
    for (const [from, to] of [[client, database], [database, client]]) {
      from.on('data', bytes => silent || to.write(bytes));
      from.on('error', () => to.destroy());
      from.on('close', () => silent || to.destroy());
    }
  });
  server.listen(join(folder, SOCKET));
  await once(server, 'listening');
  return {
    folder,
    goSilent: () => { silent = true; },
    end: () => { server.close(); rmSync(folder, { recursive: true, force: true }); },
  };
}

async function stopsWithoutItsLedger(net, folder, cluster) {
  const here = await shared(net, folder, cluster, 'stopping');
  const real = new URL(here.ledger.replace('postgres:', 'http:')).searchParams.get('host');
  const line = await between(real);
  const proxy = await faultyProxy(net.base.rpc_url);
  try {
    const options = { serve: true, leaseSeconds: 15, pendingSeconds: 2, rpc: { base: proxy.url } };
    const ledger = here.ledger;
    const first = await replica({ ...here, ledger: ledger.replace(real, line.folder) }, 'first', options);
    const offer = await official.terms(net, 'base', first.url, here.payTo);
    const payment = await official.pay(net, 'base', offer);
    await proxy.faults({ method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 });
    const pending = await official.ask(first.url, 'settle', payment);
    assert.equal(pending.errorReason, 'settlement_pending', JSON.stringify(pending));

    line.goSilent();
    await proxy.healthy();
    await until('the payment on chain', () => rpc(net.base.rpc_url, 'eth_getTransactionReceipt', pending.transaction));
    const begun = Date.now();
    const exited = once(first.child, 'exit');
    first.child.kill('SIGTERM');
    const timer = setTimeout(() => first.child.kill('SIGKILL'), STOP_MS_MAX);
    const [code, signal] = await exited;
    clearTimeout(timer);
    assert.deepEqual([code, signal], [0, null], `after ${Date.now() - begun} ms`);

    const second = await replica({ ...here, ledger }, 'second', options);
    const settled = await until('the success', async () => {
      const answer = await official.ask(second.url, 'settle', payment);
      return answer.success && answer;
    });
    assert.equal(settled.transaction, pending.transaction);
    await stack.stop(second.child);
  } finally {
    line.end();
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  await withCluster(async cluster => {
    await test('a stop ends while the ledger is silent and a verdict waits, and nothing is lost', () =>
      stopsWithoutItsLedger(net, folder, cluster));
  });
});
finish();
