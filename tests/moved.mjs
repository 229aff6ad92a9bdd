// Clause by clause of "the ledger comes before the configuration": payments in
// every state meet a program whose pay_to, wallets and networks have changed,
// on both chains, on SQLite and on PostgreSQL.
//
//   node tests/moved.mjs [--only sqlite,postgres]
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import * as http from './lib/http.mjs';
import * as buyer from './lib/buyer.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { account, payBase, stranger } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { withCluster } from './lib/cluster.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy } from './lib/world.mjs';

const { values } = parseArgs({ options: { only: { type: 'string', default: 'sqlite,postgres' } } });
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const FAIL = { path: '/test/fail', body: '{}' };
const IMAGE = { path: buyer.PATH, body: buyer.BODY };
const JSON_TYPE = { 'Content-Type': 'application/json' };

/** A signed payment for one request. */
async function sign(net, api, network, request) {
  const asked = await http.send(api.url, { ...request, headers: JSON_TYPE });
  const caip = network === 'base' ? stack.BASE : stack.SOLANA;
  const terms = http.decode(asked.headers['payment-required']).accepts.find(one => one.network === caip);
  const payment = network === 'base'
    ? await payBase(account(net.base.payer_key), terms)
    : await solana.paySolana(net, solana.signer(net.solana.payer_key), terms);
  return { request, payment, header: http.encode(payment) };
}

async function send(api, { request, header }) {
  const answer = await http.send(api.url, { ...request, headers: { ...JSON_TYPE, 'PAYMENT-SIGNATURE': header } });
  return { ...answer, receipt: http.decode(answer.headers['payment-response']) };
}

const say = answer => `${answer.status} ${answer.text.slice(0, 300)}`;

/** One world whose configuration moves while its ledger stays. */
async function world(net, folder, name, ledger) {
  const proxies = { base: await faultyProxy(net.base.rpc_url), solana: await faultyProxy(net.solana.rpc_url) };
  const old = await third.wallet(net);
  const now = await third.wallet(net);
  const env = {
    BASE_WALLET: old.key, SOLANA_WALLET: net.solana.wallet_key,
    BASE_NEXT: now.key, SOLANA_NEXT: net.solana.api_wallet_key,
  };
  const port = await stack.freePort();
  const before = { base: { pay_to: stranger().address }, solana: { pay_to: solana.stranger().address } };
  const after = {
    base: { pay_to: stranger().address, wallets: ['env:BASE_NEXT'] },
    solana: { pay_to: solana.stranger().address, wallets: ['env:SOLANA_NEXT'] },
  };
  const retired = {
    base: { ...after.base, retired_wallets: ['env:BASE_WALLET'], retired: true },
    solana: { ...after.solana, retired_wallets: ['env:SOLANA_WALLET'], retired: true },
  };
  /** Starts with these sections, without the network `left`. */
  const start = (sections, left) => {
    const config = stack.configure(folder, net, {
      name, port, ledger, rpc: { base: proxies.base.url, solana: proxies.solana.url },
      more: { ...sections, gate: { pending_wait_seconds: 2 }, ledger: { lease_seconds: 3 } },
    });
    if (left) {
      const sections = readFileSync(config, 'utf8').split(/^(?=\[[a-z.]+\]$)/m);
      writeFileSync(config, sections.filter(text => !text.startsWith(`[networks.${left}]`)).join(''));
    }
    return { config, started: stack.sampleApi(net, config, { env }) };
  };
  return { net, proxies, before, after, retired, start };
}

/** Starts, expects that the program ends, and resolves to what it said. */
async function refused({ started }) {
  try {
    await started;
  } catch (error) {
    return String(error);
  }
  throw new Error('it started');
}

async function moves(net, folder, name, ledger) {
  const here = await world(net, folder, name, ledger);
  const { proxies } = here;
  const first = here.start(here.before);
  let api = await first.started;
  const kept = {};

  await test(`${name}: one payment is delivered, one credited and one open on each network`, async () => {
    for (const network of NETWORKS) {
      const delivered = await sign(net, api, network, IMAGE);
      const answer = await until('the answer', async () => {
        const one = await send(api, delivered);
        return one.status !== 503 && one;
      });
      assert.equal(answer.status, 200, say(answer));
      const credited = await sign(net, api, network, FAIL);
      const failed = await until('the failure', async () => {
        const one = await send(api, credited);
        return one.status !== 503 && one;
      });
      assert.equal(failed.status, 500, say(failed));
      await proxies[network].faults({ method: SEND[network], action: 'drop_request', times: 1_000_000 });
      const open = await sign(net, api, network, IMAGE);
      const pending = await send(api, open);
      assert.deepEqual([pending.status, pending.receipt?.errorReason], [503, 'settlement_pending'], say(pending));
      kept[network] = { delivered, text: answer.text, receipt: answer.receipt, credited, credit: failed.receipt, open };
    }
  });
  await stack.stop(api.child);

  await test(`${name}: a wallet with open payments that left the configuration stops the start`, async () => {
    const said = await refused(here.start(here.after));
    assert.match(said, /retired_wallets/, said);
  });
  await test(`${name}: a network with open payments that left the configuration stops the start`, async () => {
    const said = await refused(here.start(here.before, 'base'));
    assert.match(said, /retired = true/, said);
    assert.match(said, /eip155:8453/, said);
  });

  await test(`${name}: retired, nothing is sold and what was begun is finished`, async () => {
    const { started } = here.start(here.retired);
    api = await started;
    const listed = await stack.json(`${api.url}/v1/x402`);
    assert.deepEqual(listed.networks, []);
    const unpaid = await http.send(api.url, { ...IMAGE, headers: JSON_TYPE });
    assert.equal(unpaid.status, 503, say(unpaid));
    for (const network of NETWORKS) {
      const { delivered, text, receipt, credited, credit, open } = kept[network];
      const again = await send(api, delivered);
      assert.deepEqual([again.status, again.text], [200, text], `${network}: ${say(again)}`);
      assert.equal(again.receipt.transaction, receipt.transaction);
      const ran = await send(api, credited);
      assert.equal(ran.status, 500, `${network}: the credit runs again: ${say(ran)}`);
      assert.equal(ran.receipt.transaction, credit.transaction);
      const waiting = await send(api, open);
      assert.deepEqual([waiting.status, waiting.receipt?.errorReason], [503, 'settlement_pending'], `${network}: ${say(waiting)}`);
      // A new payment for terms of before is not taken.
      const late = await resign(net, network, open.payment);
      const no = await send(api, { request: IMAGE, header: http.encode(late) });
      assert.ok([402, 503].includes(no.status) && no.receipt?.errorReason !== 'settlement_pending', say(no));
      await proxies[network].healthy();
      const served = await until(`${network}: the open payment`, async () => {
        const one = await send(api, open);
        return one.status !== 503 && one;
      });
      assert.equal(served.status, 200, say(served));
      kept[network].served = served;
    }
    const books = await stack.books(first.config);
    for (const network of NETWORKS) {
      const booked = books.find(one => one.transaction === kept[network].served.receipt.transaction);
      assert.equal(booked.pay_to, here.before[network].pay_to, 'settled with the terms of its claim');
      assert.equal(booked.state, 'settled');
    }
    assert.equal(books.length, 3 * NETWORKS.length, 'nothing new was claimed');
  });

  await test(`${name}: moved, the ledger answers and new payments go to the new address`, async () => {
    await until('finality', async () => (await stack.books(first.config)).every(one => one.finality), 90, 1_000);
    await stack.stop(api.child);
    api = await here.start(here.after).started;
    for (const network of NETWORKS) {
      const { delivered, text, open, served } = kept[network];
      for (const [signed, wanted] of [[delivered, text], [open, served.text]]) {
        const again = await send(api, signed);
        assert.deepEqual([again.status, again.text], [200, wanted], `${network}: ${say(again)}`);
      }
      const other = await send(api, { ...delivered, request: { ...IMAGE, body: IMAGE.body.replace('A mug', 'A jug') } });
      assert.equal(other.status, 409, say(other));
      const fresh = await sign(net, api, network, IMAGE);
      assert.equal(fresh.payment.accepted.payTo, here.after[network].pay_to);
      const bought = await until('a purchase', async () => {
        const one = await send(api, fresh);
        return one.status !== 503 && one;
      });
      assert.equal(bought.status, 200, say(bought));
    }
    await until('finality', async () => (await stack.books(first.config)).every(one => one.finality), 90, 1_000);
    await stack.stop(api.child);
  });

  await test(`${name}: a network without anything open may leave, and its payments are still answered`, async () => {
    api = await here.start(here.after, 'solana').started;
    const { delivered, text, credited } = kept.solana;
    const again = await send(api, delivered);
    assert.deepEqual([again.status, again.text], [200, text], say(again));
    const ran = await send(api, credited);
    assert.equal(ran.status, 500, `the credit needs no network: ${say(ran)}`);
    await stack.stop(api.child);
  });
}

/** The same terms, signed once more. */
async function resign(net, network, { accepted }) {
  return network === 'base'
    ? payBase(account(net.base.payer_key), accepted)
    : solana.paySolana(net, solana.signer(net.solana.payer_key), accepted);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  await rpc(net.base.rpc_url, 'eth_blockNumber');
  const only = values.only.split(',');
  if (only.includes('sqlite')) await moves(net, folder, 'sqlite', `sqlite://${join(folder, 'moved.sqlite')}`);
  if (only.includes('postgres')) {
    await withCluster(cluster => moves(net, folder, 'postgres', cluster.create('moved')));
  }
});
finish();
