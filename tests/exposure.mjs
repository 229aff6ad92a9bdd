// P3: what attempts may cost without earning. Payers with money for one payment
// who send thirty, payers who take the money away before the block, payers with
// code, on real chains and over two replicas. What was burnt is read from the
// chains, not from the ledger.
//
//   node tests/exposure.mjs
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { payBase, stranger } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { withCluster } from './lib/cluster.mjs';
import { nodeBefore } from './lib/node.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { replica, shared, world } from './lib/world.mjs';

const viem = createRequire(new URL('./clients/package.json', import.meta.url))('viem');

const AMOUNT = '50000';
const MONEY_IS_SHORT = ['insufficient_funds', 'invalid_exact_evm_insufficient_balance'];

/** Circle's token keeps balances in its tenth slot. */
const BALANCES_SLOT = 9n;

async function setBalance(net, holder, units) {
  const place = viem.keccak256(viem.encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [holder, BALANCES_SLOT]));
  await rpc(net.base.rpc_url, 'anvil_setStorageAt', net.base.usdc, place, viem.pad(viem.toHex(BigInt(units)), { size: 32 }));
}

/** Somebody on Base with this much USDC. */
async function payer(net, units = AMOUNT) {
  const someone = stranger();
  await setBalance(net, someone.address, units);
  return someone;
}

const setTokens = (net, owner, amount) =>
  rpc(net.solana.rpc_url, 'surfnet_setTokenAccount', owner, net.solana.mint, { amount: Number(amount) });

/** Every transaction that our wallet paid for on Base, with its receipt. */
async function paidFor(net, wallet) {
  const used = Number(await rpc(net.base.rpc_url, 'eth_getTransactionCount', wallet, 'latest'));
  const head = Number(await rpc(net.base.rpc_url, 'eth_blockNumber'));
  const found = [];
  for (let number = head; number >= 0 && found.length < used; number -= 1) {
    const { transactions } = await rpc(net.base.rpc_url, 'eth_getBlockByNumber', viem.toHex(number), true);
    const mine = transactions.filter(one => one.from.toLowerCase() === wallet.toLowerCase());
    for (const { hash } of mine) found.push(await rpc(net.base.rpc_url, 'eth_getTransactionReceipt', hash));
  }
  assert.equal(found.length, used);
  return found;
}

const cost = receipts => receipts.reduce((sum, one) => sum + BigInt(one.gasUsed) * BigInt(one.effectiveGasPrice), 0n);
const reverted = receipts => receipts.filter(one => one.status !== '0x1');

/** Millionths of a dollar, at the 2,500 dollars of the configuration. */
const dollars = wei => wei * 2_500n / 10n ** 12n;

async function thirtyOnBase(net, urls, payTo, wallet) {
  const offer = await terms(net, 'base', urls[0], payTo, AMOUNT);
  const someone = await payer(net);
  const payments = await Promise.all(Array.from({ length: 30 }, () => payBase(someone, offer)));
  const answers = await Promise.all(payments.map((one, at) => ask(urls[at % urls.length], 'settle', one)));
  const [good, bad] = [answers.filter(one => one.success), answers.filter(one => !one.success)];
  assert.equal(good.length, 1, JSON.stringify(answers.slice(0, 3)));
  for (const one of bad) assert.ok(MONEY_IS_SHORT.includes(one.errorReason) && one.transaction === '', JSON.stringify(one));
  const receipts = await paidFor(net, wallet);
  assert.deepEqual([receipts.length, reverted(receipts).length], [1, 0], 'one transaction, and it earned');
}

async function thirtyOnSolana(net, url, payTo) {
  const offer = await terms(net, 'solana', url, payTo, AMOUNT);
  const someone = solana.stranger();
  await setTokens(net, someone.address, AMOUNT);
  const payments = await Promise.all(Array.from({ length: 30 }, () => solana.paySolana(net, someone, offer)));
  const answers = await Promise.all(payments.map(one => ask(url, 'settle', one)));
  assert.equal(answers.filter(one => one.success).length, 1, JSON.stringify(answers.slice(0, 3)));
  for (const one of answers) assert.ok(one.success || one.transaction === '', JSON.stringify(one));
  const account = await solana.tokenAccount(someone.address, net.solana.mint);
  const landed = await rpc(net.solana.rpc_url, 'getSignaturesForAddress', account, { limit: 100 });
  assert.deepEqual(landed.map(one => one.err), [null], 'one transaction, and it earned');
}

/** Authorizations of 150 payers, all of whom take their money away before the next block. */
async function drainers(net, here, { url }) {
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);
  const regular = await payer(net, '10000000');
  for (let bought = 0; bought < 8; bought += 1) {
    const answer = await ask(url, 'settle', await payBase(regular, offer));
    assert.ok(answer.success, JSON.stringify(answer));
  }
  const attackers = await Promise.all(Array.from({ length: 150 }, () => payer(net)));
  const payments = await Promise.all(attackers.map(one => payBase(one, offer)));
  await rpc(net.base.rpc_url, 'evm_setIntervalMining', 0);
  const asked = payments.map(one => ask(url, 'settle', one));
  let size = -1;
  await until('the attack to be in the pool', async () => {
    const { pending, queued } = await rpc(net.base.rpc_url, 'txpool_status');
    const before = size;
    size = Number(pending) + Number(queued);
    return size > 0 && size === before;
  }, 60, 1_500);
  for (const one of attackers) await setBalance(net, one.address, 0);
  await rpc(net.base.rpc_url, 'evm_setIntervalMining', 2);
  const answers = await Promise.all(asked);
  assert.ok(answers.every(one => !one.success));
  const burnt = await until('every attempt to be included', async () => {
    const { pending, queued } = await rpc(net.base.rpc_url, 'txpool_status');
    return Number(pending) + Number(queued) === 0 && reverted(await paidFor(net, here.wallet.address));
  });
  assert.ok(burnt.length > 0, 'the attack is one');
  assert.ok(dollars(cost(burnt)) <= 60_000n, `${burnt.length} burnt ${dollars(cost(burnt))} of 60000`);
  return { offer, regular };
}

/** A payer whose address has this code. */
async function withCode(net, code) {
  const someone = await payer(net);
  const at = stranger().address;
  await rpc(net.base.rpc_url, 'anvil_setCode', at, code);
  await rpc(net.base.rpc_url, 'anvil_setCode', someone.address, `0xef0100${at.slice(2)}`);
  return someone;
}

// ERC-1271's magic word.
const SAYS_YES = '631626ba7e60e01b5f5260205ff3';
const YES = `0x${SAYS_YES}`;
// gasprice() == 0 ? yes : revert.
const YES_IN_SIMULATIONS = `0x3a156008575f5ffd5b${SAYS_YES}`;

async function codePayers(net, off, on) {
  const refused = await ask(off.url, 'settle', await payBase(await withCode(net, YES), await terms(net, 'base', off.url, off.payTo, AMOUNT)));
  assert.equal(refused.success, false);
  assert.match(refused.errorMessage, /contract_payers/);
  const offer = await terms(net, 'base', on.url, on.payTo, AMOUNT);
  const settled = await ask(on.url, 'settle', await payBase(await withCode(net, YES), offer));
  assert.ok(settled.success, JSON.stringify(settled));
  const caught = await ask(on.url, 'settle', await payBase(await withCode(net, YES_IN_SIMULATIONS), offer));
  assert.deepEqual([caught.success, caught.transaction], [false, ''], JSON.stringify(caught));
  const receipts = await paidFor(net, on.wallet.address);
  assert.deepEqual(receipts.map(one => one.status), ['0x1'], 'nothing was signed for the other');
}

/** The money goes when the transaction is about to be sent: the node's own run says no, for nothing. */
async function preflight(net, folder) {
  let victim;
  const node = await nodeBefore(net.solana.rpc_url, async ({ method }) => {
    if (method === 'sendTransaction' && victim) await setTokens(net, victim.address, 0);
  });
  const here = await world(net, folder, 'preflight', { serve: true, bin: stack.BIN, pendingSeconds: 3, rpc: { solana: node.url } });
  const { child, url } = await here.start();
  const offer = await terms(net, 'solana', url, here.payTo, AMOUNT);
  victim = solana.stranger();
  await setTokens(net, victim.address, AMOUNT);
  const answer = await ask(url, 'settle', await solana.paySolana(net, victim, offer));
  assert.equal(answer.success, false);
  const account = await solana.tokenAccount(victim.address, net.solana.mint);
  assert.deepEqual(await rpc(net.solana.rpc_url, 'getSignaturesForAddress', account, { limit: 10 }), [], 'nothing was sent');
  await stack.stop(child);
  node.close();
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const serve = { serve: true, bin: stack.BIN, pendingSeconds: 8 };

  await test('Base: money for one payment, thirty at once: one is signed, none reverts', async () => {
    const here = await world(net, folder, 'thirty', serve);
    const { url, child } = await here.start();
    await thirtyOnBase(net, [url], here.payTo, here.wallet.address);
    await stack.stop(child);
  });

  await test('Solana: money for one payment, thirty at once: one is signed, none fails', async () => {
    const here = await world(net, folder, 'thirty-solana', serve);
    const { url, child } = await here.start();
    await thirtyOnSolana(net, url, here.payTo);
    await stack.stop(child);
  });

  await test('Solana: what would fail now is not sent', () => preflight(net, folder));

  await test('Base: thirty at once over two replicas', () => withCluster(async cluster => {
    const common = await shared(net, folder, cluster, 'thirty');
    const one = await replica(common, 'one', { serve: true });
    const two = await replica(common, 'two', { serve: true });
    await thirtyOnBase(net, [one.url, two.url], common.payTo, common.wallet.address);
    await Promise.all([stack.stop(one.child), stack.stop(two.child)]);
  }));

  await test('Base: payers with code', async () => {
    const off = await world(net, folder, 'code-off', serve);
    const on = await world(net, folder, 'code-on', { ...serve, more: { base: { contract_payers: true } } });
    const [without, with_] = [await off.start(), await on.start()];
    await codePayers(net, off, on);
    await Promise.all([stack.stop(without.child), stack.stop(with_.child)]);
  });

  await test('Base: 150 payers who take their money away burn the limits, and who paid before buys on', async () => {
    const quote = { uncollected_network_day_usdc: '0.05', probe_network_day_usdc: '0.01', payer_history_part: '0.5' };
    const here = await world(net, folder, 'drainers', { ...serve, more: { quote } });
    const { url, child } = await here.start();
    const { offer, regular } = await drainers(net, here, { url });
    const again = await ask(url, 'settle', await payBase(regular, offer));
    assert.ok(again.success, JSON.stringify(again));
    await stack.stop(child);
  });
});
finish();
