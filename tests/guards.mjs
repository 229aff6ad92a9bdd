// P3: guard instructions (Lighthouse) that hold in the simulation and are false when
// the transaction is included. Each such attempt costs its fee and moves nothing; all
// of them together stay within the soft limit and the probes, as whatever else turns
// false does, and who paid before buys on.
//
// The devnet has no guard program. Another program stands at its address: it holds as
// long as it is the memo program, which takes any text, and is false once it is not.
//
//   node tests/guards.mjs
import assert from 'node:assert/strict';

import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { nodeBefore } from './lib/node.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { world } from './lib/world.mjs';

const LIGHTHOUSE = 'L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95';
const AMOUNT = '50000';
const HOSTILE = 30;
/** Soft limit and probes, 10⁻⁶ USDC. */
const LIMITS = { uncollected_network_day_usdc: '0.006', probe_network_day_usdc: '0.003', payer_history_part: '0.5' };
const LIMIT_UNITS = 9_000n;
/** The rates of the configuration: 150 dollars for 10⁹ lamports. */
const dollars = lamports => BigInt(lamports) * 150n / 1_000n;

const setTokens = (net, owner) => rpc(net.solana.rpc_url, 'surfnet_setTokenAccount', owner, net.solana.mint, { amount: Number(AMOUNT) * 100 });

/** Whether guards hold from now on. */
async function guardsHold(net, hold) {
  const { value } = await rpc(net.solana.rpc_url, 'getAccountInfo', hold ? solana.MEMO : solana.TOKEN, { encoding: 'base64', commitment: 'confirmed' });
  const data = Buffer.from(value.data[0], 'base64').toString('hex');
  await rpc(net.solana.rpc_url, 'surfnet_setAccount', LIGHTHOUSE, { lamports: value.lamports, data, owner: value.owner, executable: true, rentEpoch: 0 });
}

/** A payment with a guard behind its transfer. */
async function guarded(net, offer, payer) {
  const parts = await solana.ingredients(net, offer, payer);
  const guard = { program: LIGHTHOUSE, accounts: [], data: Buffer.from('the guard holds') };
  const message = solana.compile(parts.feePayer, [solana.limit(60_000), parts.price, parts.transfer, parts.memo, guard], parts.recent);
  return solana.payload(offer, solana.wire(message, [payer]));
}

/** Everything our fee payer paid for since `known`, by whether it failed. */
async function paidFor(net, wallet, known) {
  const all = await rpc(net.solana.rpc_url, 'getSignaturesForAddress', wallet, { limit: 1_000 });
  return all.filter(one => !known.has(one.signature));
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  let turning;
  // What is sent meets false guards, and its node does not run it before it passes it on.
  const node = await nodeBefore(net.solana.rpc_url, async call => {
    if (call.method !== 'sendTransaction' || !turning) return undefined;
    turning.done ??= new Promise(resolve => setTimeout(resolve, 2_500)).then(() => guardsHold(net, false));
    await turning.done;
    turning.sent.add(call.params[0]);
    return { ...call, params: [call.params[0], { ...call.params[1], skipPreflight: true }] };
  });
  const here = await world(net, folder, 'guards', {
    serve: true, bin: stack.BIN, pendingSeconds: 8, rpc: { solana: node.url }, more: { quote: LIMITS },
  });
  const { url } = await here.start();
  const offer = await terms(net, 'solana', url, here.payTo, AMOUNT);
  const regular = solana.stranger();
  await setTokens(net, regular.address);
  await guardsHold(net, true);

  await test('a payment whose guards hold is settled', async () => {
    const answer = await ask(url, 'settle', await guarded(net, offer, regular));
    assert.ok(answer.success, JSON.stringify(answer));
  });

  await test('guards that turn false between simulation and inclusion burn no more than the limits', async () => {
    for (let bought = 0; bought < 8; bought += 1) {
      const answer = await ask(url, 'settle', await solana.paySolana(net, regular, offer));
      assert.ok(answer.success, JSON.stringify(answer));
    }
    const known = new Set((await paidFor(net, offer.extra.feePayer, new Set())).map(one => one.signature));
    const attackers = await Promise.all(Array.from({ length: HOSTILE }, async () => {
      const payer = solana.stranger();
      await setTokens(net, payer.address);
      return payer;
    }));
    const payments = await Promise.all(attackers.map(payer => guarded(net, offer, payer)));
    turning = { sent: new Set() };
    const answers = await Promise.all(payments.map(payment => ask(url, 'settle', payment)));
    assert.ok(answers.every(one => !one.success));
    assert.ok(turning.sent.size > 0, 'the attack is one');
    const failed = await until('every attempt to be included', async () => {
      const mine = (await paidFor(net, offer.extra.feePayer, known)).filter(one => one.err);
      return mine.length >= turning.sent.size && mine;
    });
    const fees = await Promise.all(failed.map(async one => {
      const { meta } = await rpc(net.solana.rpc_url, 'getTransaction', one.signature, { commitment: 'confirmed', maxSupportedTransactionVersion: 0 });
      return dollars(meta.fee);
    }));
    const burnt = fees.reduce((sum, one) => sum + one, 0n);
    assert.ok(burnt <= LIMIT_UNITS, `${failed.length} attempts burnt ${burnt} of ${LIMIT_UNITS}`);
    stack.say(`    ${failed.length} of ${HOSTILE} were signed, and burnt ${burnt} of ${LIMIT_UNITS}`);
  });

  await test('who paid before buys on, and who is new is tried, one at a time', async () => {
    turning = undefined;
    await guardsHold(net, true);
    const again = await ask(url, 'settle', await solana.paySolana(net, regular, offer));
    assert.ok(again.success, JSON.stringify(again));
    const newcomer = solana.stranger();
    await setTokens(net, newcomer.address);
    const tried = await ask(url, 'settle', await solana.paySolana(net, newcomer, offer));
    assert.ok(tried.success, JSON.stringify(tried));
  });
  node.close();
});
finish();
