// Two ledgers that settle to one payout address: on Base nothing in an
// authorization says who may land it, so one payment shown to both can be
// claimed by both. With `shared_pay_to = true` at most one of them grants it;
// without, the one that did not land it notices.
//
//   node tests/two-ledgers.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { stranger } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy } from './lib/world.mjs';

const ROUNDS = 6;
const HOLD = { method: 'eth_sendRawTransaction', action: 'drop_request', times: 1_000_000 };

/** A gate or a facilitator with its own ledger and wallets; all of them settle to `payTo`. */
async function ledger(net, folder, name, payTo, { serve = false, shared = false, solanaWallet } = {}) {
  const proxy = await faultyProxy(net.base.rpc_url);
  const wallet = await third.wallet(net);
  const config = stack.configure(folder, net, {
    name, port: await stack.freePort(), rpc: { base: proxy.url },
    more: {
      base: { pay_to: payTo.base, shared_pay_to: shared, payout_look_seconds: 1 },
      solana: { pay_to: payTo.solana, shared_pay_to: shared, payout_look_seconds: 1 },
      gate: { pending_wait_seconds: 5 },
      // One surcharge for all of them: the offer of one is the price at the other.
      quote: { gas_floor_usdc: '0.010000' },
    },
  });
  const env = { BASE_WALLET: wallet.key, SOLANA_WALLET: solanaWallet ?? net.solana.wallet_key };
  const program = serve ? await stack.facilitator(net, config, { env }) : await stack.sampleApi(net, config, { env });
  return { ...program, name, config, proxy };
}

const runs = async api => (await stack.json(`${api.url}/test/handler-runs`)).runs;
const owed = async ({ config }) => {
  const text = await stack.program('payments', 'list', '--config', config, '--delivery', 'owed', '--limit', '100');
  return text.split('\n').filter(Boolean).map(line => JSON.parse(line));
};

/** What a metric counts, over all of its labels that match. */
async function alerts({ url }, kind) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter(line => line.startsWith('quittance_alerts_total') && line.includes(`kind="${kind}"`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Sends until the answer is final, or there can be none any more. */
const insist = (api, signed) => buyer.insist(api, signed, 60);

async function attackGates(net, folder) {
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const one = await ledger(net, folder, 'one', payTo, { shared: true });
  const two = await ledger(net, folder, 'two', payTo, { shared: true, solanaWallet: net.solana.api_wallet_key });

  await test('one authorization at two gates at once: at most one of them serves it', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = (await runs(one)) + (await runs(two));
      const signed = await buyer.sign(net, one, 'base');
      await buyer.release([one, two].flatMap(api => Array(3).fill({ api, header: signed.header })));
      const answers = await Promise.all([one, two].map(api => insist(api, signed)));
      const served = answers.filter(answer => answer.status === 200);
      const ran = (await runs(one)) + (await runs(two)) - before;
      assert.equal(ran, 1, `round ${round}: ${answers.map(answer => `${answer.status} ${answer.text.slice(0, 200)}`).join(' | ')}`);
      assert.equal(served.length, 1);
    }
  });
  await test('a payment that the other ledger landed is owed: listed, with a receipt, never "pay"', async () => {
    const signed = await buyer.sign(net, two, 'base');
    await two.proxy.faults(HOLD);
    const held = await buyer.once(two, signed);
    assert.equal(held.receipt?.errorReason, 'settlement_pending', held.text);
    const served = await insist(one, signed);
    assert.equal(served.status, 200, served.text);
    const known = await until('the verdict', async () => (await owed(two)).find(row => row.transaction === served.receipt.transaction));
    assert.deepEqual([known.state, known.delivery, known.runs], ['settled', 'owed', 0]);
    const before = await runs(two);
    for (let copy = 0; copy < 3; copy += 1) {
      const answer = await buyer.once(two, signed);
      assert.equal(answer.status, 409, answer.text);
      assert.deepEqual([answer.json.error, answer.json.retry_action], ['refund_owed', 'do_not_retry'], answer.text);
      assert.equal(answer.receipt.transaction, served.receipt.transaction, 'the receipt proves what was paid');
    }
    assert.equal(await runs(two), before, 'nothing runs for it');
    await two.proxy.healthy();
  });
  for (const api of [one, two]) await stack.stop(api.child);
}

async function attackFacilitators(net, folder) {
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const one = await ledger(net, folder, 'serve-one', payTo, { serve: true, shared: true });
  const two = await ledger(net, folder, 'serve-two', payTo, { serve: true, shared: true, solanaWallet: net.solana.api_wallet_key });

  await test('one authorization at two facilitators at once: at most one success', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const terms = await official.terms(net, 'base', one.url, payTo);
      const payment = await official.pay(net, 'base', terms);
      const settled = await Promise.all([one, two].map(each => until('a final answer', async () => {
        const answer = await official.ask(each.url, 'settle', payment);
        return answer.errorReason !== 'settlement_pending' && answer;
      })));
      const said = JSON.stringify(settled);
      assert.equal(settled.filter(answer => answer.success).length, 1, said);
      assert.ok(settled.every(answer => answer.success || answer.retryAction !== 'pay' || /nonce_already_used/.test(answer.errorReason)), said);
    }
  });
  await test('what the other landed is refund_owed at /settle and /verify, and alerted', async () => {
    const terms = await official.terms(net, 'base', one.url, payTo);
    const payment = await official.pay(net, 'base', terms);
    await two.proxy.faults(HOLD);
    const held = await official.ask(two.url, 'settle', payment);
    assert.equal(held.errorReason, 'settlement_pending', JSON.stringify(held));
    const granted = await official.ask(one.url, 'settle', payment);
    assert.equal(granted.success, true, JSON.stringify(granted));
    const answer = await until('the verdict', async () => {
      const found = await official.ask(two.url, 'settle', payment);
      return found.errorReason !== 'settlement_pending' && found;
    });
    assert.deepEqual([answer.success, answer.errorReason, answer.transaction], [false, 'refund_owed', granted.transaction]);
    const verified = await official.ask(two.url, 'verify', payment);
    assert.deepEqual([verified.isValid, verified.invalidReason], [false, 'refund_owed']);
    assert.ok((await alerts(two, 'owed')) >= 1 && (await alerts(two, 'foreign_landing')) >= 1);
    await two.proxy.healthy();
  });
  for (const each of [one, two]) await stack.stop(each.child);
}

async function noticed(net, folder) {
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const one = await ledger(net, folder, 'alone-one', payTo, { serve: true });
  const two = await ledger(net, folder, 'alone-two', payTo, { serve: true, solanaWallet: net.solana.api_wallet_key });

  await test('without shared_pay_to the one that did not land it notices', async () => {
    const terms = await official.terms(net, 'base', one.url, payTo);
    const payment = await official.pay(net, 'base', terms);
    await two.proxy.faults(HOLD);
    const held = await official.ask(two.url, 'settle', payment);
    assert.equal(held.errorReason, 'settlement_pending', JSON.stringify(held));
    const granted = await official.ask(one.url, 'settle', payment);
    assert.equal(granted.success, true, JSON.stringify(granted));
    await until('the alert', async () => (await alerts(two, 'foreign_landing')) >= 1);
    assert.equal(await alerts(one, 'foreign_landing'), 0, 'the one that landed it has nothing to report');
    await two.proxy.healthy();
  });
  for (const network of ['base', 'solana']) {
    await test(`a transfer to pay_to on ${network} that no payment explains is alerted`, async () => {
      const before = [await alerts(one, 'unexplained_transfer'), await alerts(two, 'unexplained_transfer')];
      const terms = await official.terms(net, network, two.url, payTo);
      const settled = await official.ask(two.url, 'settle', await official.pay(net, network, terms));
      assert.equal(settled.success, true, JSON.stringify(settled));
      await until('the alert', async () => (await alerts(one, 'unexplained_transfer')) > before[0]);
      assert.equal(await alerts(two, 'unexplained_transfer'), before[1], 'its own payment explains it');
    });
  }
  for (const each of [one, two]) await stack.stop(each.child);
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--payers', '1');
  await attackGates(net, folder);
  await attackFacilitators(net, folder);
  await noticed(net, folder);
});
finish();
