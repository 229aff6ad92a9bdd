// A transaction of ours that offers too little is replaced at its nonce under the operator's cap:
// the payment lands, at its price; above the cap nothing is signed and the lane goes on by itself
// when fees fall; what can land no more makes way; the old transaction may land after all. One
// payment is paid once, whatever lands.
//
//   node tests/replacement.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { account } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { fee, holdFee } from './lib/fee.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

const CAP = 2_000_000_000n;
const LOW = 5_000_000n;
const SEND = 'eth_sendRawTransaction';

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const node = (method, ...params) => rpc(net.base.rpc_url, method, ...params);
  const proxy = await faultyProxy(net.base.rpc_url);
  const more = {
    quote: { refresh_seconds: 1, gas_ceiling_usdc: '100' },
    solana: { retired: true },
    base: { max_fee_per_gas_wei: Number(CAP), unwedge_budget_native_per_day: '0.01' },
  };
  const here = await world(net, folder, 'replacement', { bin: stack.BIN, rpc: { base: proxy.url }, pendingSeconds: 2, more });
  const api = await here.start();
  const opened = await buyer.opening(net, 'base', here.payTo.base);
  const used = async () => Number(await node('eth_getTransactionCount', here.wallet.address, 'latest'));
  const mine = seconds => node('evm_setIntervalMining', seconds);

  /** Signed at a low fee, in the node's pool, and in no block. */
  async function pending() {
    await until('a low fee', async () => await fee(net) <= 2n * LOW);
    await until('a tariff at that fee', async () => (await (await fetch(`${api.url}/v1/x402`)).json()).networks.some(one => one.gas));
    const [before, nonce] = [new Set((await stack.books(here.config)).map(one => one.id)), await used()];
    const signed = await buyer.sign(net, api, 'base');
    await mine(0);
    const answer = await buyer.once(api, signed);
    assert.equal(answer.status, 503, answer.text.slice(0, 300));
    const { id } = (await stack.books(here.config)).find(one => !before.has(one.id));
    const [first] = await attempts(id);
    await until('the node to have it', async () => await node('eth_getTransactionByHash', first.transaction));
    return { id, nonce, signed, first };
  }

  const attempts = async id => (await buyer.journalOf(here.config, id)).journal.filter(line => line.event === 'recorded').map(line => line.detail);
  const transaction = hash => node('eth_getTransactionByHash', hash);
  const metric = async (name, label) => {
    const text = await (await fetch(`${api.url}/metrics`)).text();
    const line = text.split('\n').find(one => one.startsWith(`${name}{`) && one.includes(label));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  const replaced = by => metric('quittance_replacements_total', `by="${by}"`);

  await test('i8 a head under the base fee is replaced under the cap, and its payment lands while the fee is high', async () => {
    const { id, nonce, signed, first } = await pending();
    const cap = BigInt((await transaction(first.transaction)).maxFeePerGas);
    const held = holdFee(net, cap * 2n);
    await held.ready();
    await mine(1);
    const answer = await buyer.insist(api, signed, 90);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    const landed = await transaction(answer.receipt.transaction);
    assert.notEqual(landed.hash, first.transaction);
    assert.equal(Number(landed.nonce), nonce, 'at the same nonce');
    const offered = BigInt(landed.maxFeePerGas);
    assert.ok(offered >= cap * 2n && offered <= CAP, `${offered} of ${CAP}`);
    const all = await attempts(id);
    assert.ok(all.slice(1).every((one, at) => one.replaces === all[at].attempt && one.nonce === nonce), JSON.stringify(all));
    assert.ok(await replaced('same') >= 1);
    assert.equal(await node('eth_getTransactionReceipt', first.transaction), null, 'the first one never lands');
    await held.go(LOW);
  });

  await test('above the cap nothing is signed, and the lane goes on by itself when fees fall', async () => {
    const { id, signed, first } = await pending();
    const held = holdFee(net, CAP * 3n);
    await held.ready();
    await mine(1);
    const closed = async () => metric('quittance_network_closed', 'reason="lane_under_base_fee"');
    await until('the network to close', async () => await closed() === 1);
    const blocks = Number(await node('eth_blockNumber'));
    await until('blocks to pass', async () => Number(await node('eth_blockNumber')) >= blocks + 12);
    assert.equal((await attempts(id)).length, 1, 'nothing under the cap would land');
    await held.go(LOW);
    const answer = await buyer.insist(api, signed, 60);
    assert.deepEqual([answer.status, answer.receipt.transaction], [200, first.transaction]);
    await until('the network to open', async () => await closed() === 0);
  });

  await test('where nothing can land any more the nonce is used for nothing, at the price of that', async () => {
    const before = await replaced('nothing');
    const { nonce, signed, first } = await pending();
    const held = holdFee(net, CAP * 3n);
    await held.ready();
    await mine(1);
    const payer = account(net.base.payer_key);
    await third.cancel(net, await third.person(net), payer, signed.payment, { fee: CAP * 6n });
    await held.to(CAP / 4n);
    await until('the nonce to be used', async () => await used() > nonce, 90);
    assert.equal(await node('eth_getTransactionReceipt', first.transaction), null, 'not by the payment');
    assert.ok(await replaced('nothing') > before);
    await until('the budget to show it', async () => await metric('quittance_unwedged_native', 'network=') > 0, 30);
    await held.go(LOW);
    const next = await buyer.insist(api, await buyer.sign(net, api, 'base'), 60);
    assert.equal(next.status, 200, next.text.slice(0, 300));
  });

  await test('what was replaced lands after all, and pays once', async () => {
    const { id, signed, first } = await pending();
    const cap = BigInt((await transaction(first.transaction)).maxFeePerGas);
    // This node forgets what is under the fee; another one may not, and passes it on.
    const bytes = await node('eth_getRawTransactionByHash', first.transaction);
    await proxy.faults({ method: SEND, action: 'drop_request', times: 100_000 });
    const held = holdFee(net, cap * 2n);
    await held.ready();
    await mine(1);
    await until('a replacement to be recorded', async () => (await attempts(id)).length > 1, 60);
    await held.go(LOW);
    await until('the fee to be low', async () => await fee(net) <= cap);
    await node(SEND, bytes);
    const answer = await buyer.insist(api, signed, 60);
    assert.deepEqual([answer.status, answer.receipt.transaction], [200, first.transaction]);
    await proxy.healthy();
    const next = await buyer.insist(api, await buyer.sign(net, api, 'base'), 60);
    assert.equal(next.status, 200, next.text.slice(0, 300));
  });

  await test('the ledger agrees with the chain', async () => {
    await until('every verdict', async () => (await stack.books(here.config)).every(one => ['settled', 'refused', 'expired'].includes(one.state)), 120);
    await buyer.assertBooks(net, here.config, opened);
  });
});
finish();
