// `quittance reconcile` on both chains: books that agree are quiet, and one atomic unit that is planted
// on either side is found, with the payment or the transaction that it is in.
//
//   node tests/reconcile.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { account } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { withCluster } from './lib/cluster.mjs';
import { until } from './lib/buyer.mjs';
import { reconcile } from './lib/reconcile.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, NETWORKS, world } from './lib/world.mjs';

const PAYMENTS = 3;
/** More than the fee of one transaction and what an account must hold. */
const LAMPORTS = 1_000_000_000;

const of = (report, name) => report.accounts.find(one => one.name === name);
const kinds = (report, name) => of(report, name).shown.map(({ kind }) => kind).sort();

/** Everything that landed is final and compared. */
async function whole(here, network, transfers) {
  return until(`${transfers} final transfers on ${network}`, async () => {
    const report = await reconcile(here, '--network', network);
    return of(report, network)?.transfers === transfers && report;
  });
}

/** A stranger's money, one atomic unit of it. */
async function oneUnit(here, network) {
  const { net, payTo } = here;
  // Payers hold no gas coin, as customers do not.
  if (network === 'base') {
    const payer = account(net.base.payer_key);
    await third.fund(net, payer.address);
    return third.call(net, payer, 'transfer', [payTo.base, 1n]);
  }
  const payer = solana.signer(net.solana.payer_key);
  await rpc(net.solana.rpc_url, 'surfnet_setAccount', payer.address, { lamports: LAMPORTS });
  const [source, destination] = await Promise.all([payer.address, payTo.solana].map(owner => solana.tokenAccount(owner, net.solana.mint)));
  const message = solana.compile(payer.address, [solana.transfer(source, net.solana.mint, destination, payer.address, 1n)], await solana.blockhash(net.solana.rpc_url));
  return rpc(net.solana.rpc_url, 'sendTransaction', solana.wire(message, [payer]).toString('base64'), { encoding: 'base64', preflightCommitment: 'confirmed' });
}

async function on(here, network, sql) {
  await test(`${network}: books that agree are quiet, also with costs and by blocks`, async () => {
    const report = await whole(here, network, PAYMENTS);
    assert.deepEqual(of(report, network).shown, []);
    assert.equal(report.code, 0);
    const { on_chain: there, booked, matched, payments } = of(report, network);
    assert.equal(there, booked);
    assert.deepEqual([matched, payments], [PAYMENTS, PAYMENTS]);
    const costs = await until('every cost is booked', async () => {
      const one = await reconcile(here, '--network', network, '--costs');
      return one.code === 0 && one;
    });
    const account = of(costs, network);
    assert.equal(account.cost_on_chain, account.cost_booked);
    assert.ok(BigInt(account.cost_on_chain) > 0n);
    const none = await reconcile(here, '--network', network, '--until', String(account.first_block));
    assert.equal(of(none, network).transfers, 0, 'a range holds what is in it');
  });
  const [id, amount] = sql(`SELECT id || ' ' || amount FROM payments WHERE state = 'settled' AND network = '${stack[network.toUpperCase()]}' ORDER BY id LIMIT 1`).split(' ');
  for (const unit of [1n, -1n]) {
    await test(`${network}: ${unit} atomic unit in the books is found in its payment`, async () => {
      const set = value => sql(`SET session_replication_role = replica; UPDATE payments SET amount = ${value} WHERE id = '${id}'`);
      set(BigInt(amount) + unit);
      const report = await reconcile(here, '--network', network);
      set(amount);
      assert.equal(report.code, 1);
      const { shown, on_chain: there, booked } = of(report, network);
      assert.deepEqual(shown.map(one => [one.kind, one.booked.id, one.on_chain.amount]), [['amount', id, amount]]);
      assert.equal(BigInt(booked) - BigInt(there), unit);
    });
  }
  await test(`${network}: a cost that is booked one unit too low is found`, async () => {
    const change = sign => sql(`UPDATE costs SET native = CAST(CAST(native AS NUMERIC) ${sign} 1 AS TEXT) WHERE payment = '${id}'`);
    change('-');
    const report = await reconcile(here, '--network', network, '--costs');
    change('+');
    assert.deepEqual(kinds(report, network), ['cost']);
    assert.equal(report.code, 1);
  });
  await test(`${network}: a payment that is booked and never landed is found`, async () => {
    const set = (from, to) => sql(`SET session_replication_role = replica; UPDATE payments SET tx = '${to}' WHERE tx = '${from}'`);
    const tx = sql(`SELECT tx FROM payments WHERE id = '${id}'`);
    const other = tx.slice(0, -4) + (tx.endsWith('1111') ? '2222' : '1111');
    set(tx, other);
    const report = await reconcile(here, '--network', network);
    set(other, tx);
    assert.deepEqual(kinds(report, network), ['not_in_books', 'not_on_chain']);
  });
  await test(`${network}: one atomic unit that a stranger sent is found on the chain`, async () => {
    const transaction = await oneUnit(here, network);
    const report = await whole(here, network, PAYMENTS + 1);
    assert.equal(report.code, 1);
    const { shown, on_chain: there, booked } = of(report, network);
    assert.deepEqual(shown.map(one => [one.kind, one.on_chain.transaction, one.on_chain.amount]), [['foreign_transfer', transaction, '1']]);
    assert.equal(BigInt(there) - BigInt(booked), 1n);
  });
}

await withCluster(cluster => stack.withStack(async folder => {
  const net = await stack.devnet();
  // An endpoint that shows logs of ten blocks at once, as free plans do.
  const narrow = await faultyProxy(net.base.rpc_url);
  await narrow.profile({ log_blocks_max: 10, log_refusal: { status: 400, error: { code: -32600, message: 'up to a {max} block range' } } });
  const here = await world(net, folder, 'reconcile', { bin: stack.BIN, ledger: cluster.create('reconcile'), rpc: { base: narrow.url } });
  const sql = text => cluster.sql('reconcile', text);
  const api = await here.start();
  for (const network of NETWORKS) {
    for (let number = 0; number < PAYMENTS; number += 1) {
      const answer = await buyer.insist(api, await buyer.sign(net, api, network));
      assert.equal(answer.status, 200, answer.text.slice(0, 300));
    }
  }
  for (const network of NETWORKS) await on(here, network, sql);
  await test('both networks are compared at once, and blocks of both are no place', async () => {
    const report = await reconcile(here);
    assert.deepEqual(report.accounts.map(({ name }) => name).sort(), NETWORKS);
    assert.deepEqual([report.adds_up, report.code], [false, 1]);
    await assert.rejects(stack.program('reconcile', '--config', here.config, '--since', '5'), /--network/);
  });
  await stack.stop(api.child);
}));
finish();
