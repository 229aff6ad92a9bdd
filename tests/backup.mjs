// A copy of the ledger that is put back beside a chain that went on: nothing is granted twice, nothing
// that landed is lost, `reconcile` names what the copy has forgotten, and new payments work.
//
//   node tests/backup.mjs
import assert from 'node:assert/strict';
import { renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { reconcile } from './lib/reconcile.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const SLOW = '/test/slow';

const runs = async api => (await stack.json(`${api.url}/test/handler-runs`)).runs;

async function slow(api, header) {
  const headers = { 'Content-Type': 'application/json', Connection: 'close', ...(header && { 'PAYMENT-SIGNATURE': header }) };
  const answer = await http.send(api.url, { path: SLOW, headers, body: '{}' });
  return { ...answer, required: http.decode(answer.headers['payment-required']) };
}

/** Whatever a payment comes to in the end, with the error of a refusal. */
async function final(api, payment) {
  const answer = await buyer.insist(api, payment);
  return { ...answer, error: http.decode(answer.headers['payment-required'])?.error };
}

async function buy(here, api, network) {
  const signed = await buyer.sign(here.net, api, network);
  const answer = await buyer.insist(api, signed);
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
  return { ...signed, answer };
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'backup', { bin: stack.BIN });
  const [file, copy] = [join(folder, 'backup.sqlite'), join(folder, 'copy.sqlite')];
  const ledger = (...args) => stack.program('ledger', args[0], '--config', here.config, ...args.slice(1));
  let api = await here.start();
  const [known, forgotten] = [{}, {}];
  for (const network of NETWORKS) known[network] = await buy(here, api, network);
  let underWay;

  await test('a copy is made while a handler runs, and nobody else can read it', async () => {
    const offer = await until('an offer', async () => (await slow(api)).required?.accepts.find(one => one.network === stack.BASE));
    underWay = http.encode(await official.pay(net, 'base', offer));
    const before = await runs(api);
    const answer = slow(api, underWay);
    await until('the run', async () => (await runs(api)) > before);
    const made = JSON.parse(await ledger('backup', copy));
    assert.equal(made.whole, true);
    assert.equal(statSync(copy).mode & 0o777, 0o600);
    assert.equal((await answer).status, 200, 'the customer got it after the copy was made');
    await assert.rejects(ledger('backup', copy), /is there already/);
  });
  for (const network of NETWORKS) forgotten[network] = await buy(here, api, network);

  await test('a ledger that is there is not written over', () => assert.rejects(ledger('restore', copy), /never written over|in use|locked/));
  await stack.stop(api.child);
  await test('the copy is put back and says what it may have forgotten', async () => {
    await assert.rejects(ledger('restore', copy), /never written over/);
    renameSync(file, `${file}.lost`);
    for (const rest of ['-wal', '-shm']) rmSync(file + rest, { force: true });
    const told = JSON.parse(await ledger('restore', copy));
    assert.deepEqual([told.runs_withheld, told.tellings_withheld, told.without_verdict], [1, 0, 0]);
    assert.match(told.then, /^quittance reconcile --since 20/);
  });
  api = await here.start();

  for (const network of NETWORKS) {
    await test(`${network}: what the copy has is answered as before`, async () => {
      const again = await final(api, known[network]);
      assert.equal(again.text, known[network].answer.text);
    });
    await test(`${network}: what landed after the copy is refused as used, not granted again`, async () => {
      const again = await final(api, forgotten[network]);
      assert.equal(again.status, 402, again.text.slice(0, 300));
      if (network === 'base') assert.match(again.error, /nonce_already_used/);
    });
  }
  await test('what was served after the copy was made is not run again, and can be refunded', async () => {
    const again = await until('a final answer', async () => {
      const answer = await slow(api, underWay);
      return answer.status !== 503 && answer;
    });
    assert.equal(again.status, 409, again.text.slice(0, 300));
    const listed = await stack.program('payments', 'list', '--config', here.config, '--refundable');
    assert.equal(listed.trim().split('\n').length, 1, listed);
    assert.equal(await runs(api), 0, 'nothing ran');
  });
  for (const network of NETWORKS) {
    await test(`${network}: a new payment is sold`, () => buy(here, api, network));
  }
  await test('reconcile names what the copy has forgotten, and nothing else', async () => {
    const report = await until('both forgotten landings final', async () => {
      const report = await reconcile(here);
      return report.accounts.length === NETWORKS.length && report.accounts.every(one => one.differences > 0 && one.payments === one.matched && one.transfers === one.payments + 1 && one.payments >= 2) && report;
    });
    for (const network of NETWORKS) {
      const { shown } = report.accounts.find(one => one.name === network);
      // On Solana its payer's own bytes are the transaction: shown again they were claimed, and found landed before.
      const kind = { base: 'foreign_transfer', solana: 'not_in_books' }[network];
      assert.deepEqual(shown.map(one => [one.kind, one.on_chain.transaction]), [[kind, forgotten[network].answer.receipt.transaction]]);
    }
    assert.equal(report.code, 1);
  });
  await test('every rule of the ledger holds', () => buyer.assertRules(here.config));
  await stack.stop(api.child);
});
finish();
