// "The ledger comes before the configuration" at /settle and /verify: the operator moves
// `pay_to` on both networks, and the token on Base, while one payment was told and one
// is recorded and landed nowhere. The gate's side is tests/moved.mjs.
//
//   node tests/moved-settle.mjs
import assert from 'node:assert/strict';

import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { stranger } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy } from './lib/world.mjs';

const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const OTHER_TOKEN = '0x00000000000000000000000000000000000e0d06';

/** Circle's contract once more, under another address and name. */
async function otherToken(net) {
  const { encodeFunctionData, keccak256, parseAbi, toBytes } = await stack.clients('viem');
  const { privateKeyToAccount } = await stack.clients('viem/accounts');
  const owner = privateKeyToAccount(keccak256(toBytes('quittance moved token owner'))).address;
  const slot = '0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3';
  const implementation = await rpc(net.base.rpc_url, 'eth_getStorageAt', net.base.usdc, slot, 'latest');
  const code = await rpc(net.base.rpc_url, 'eth_getCode', `0x${implementation.slice(26)}`, 'latest');
  await rpc(net.base.rpc_url, 'anvil_setCode', OTHER_TOKEN, code);
  await third.fund(net, owner);
  await rpc(net.base.rpc_url, 'anvil_impersonateAccount', owner);
  const abi = parseAbi([
    'function initialize(string,string,string,uint8,address,address,address,address)', 'function initializeV2(string)',
    'function initializeV2_1(address)', 'function initializeV2_2(address[],string)',
  ]);
  const name = 'Other Dollars';
  for (const [functionName, args] of [
    ['initialize', [name, name, 'USD', 6, owner, owner, owner, owner]], ['initializeV2', [name]],
    ['initializeV2_1', ['0x00000000000000000000000000000000000000aa']], ['initializeV2_2', [[], name]],
  ]) {
    const hash = await rpc(net.base.rpc_url, 'eth_sendTransaction', { from: owner, to: OTHER_TOKEN, data: encodeFunctionData({ abi, functionName, args }) });
    const receipt = await until(functionName, () => rpc(net.base.rpc_url, 'eth_getTransactionReceipt', hash));
    assert.equal(receipt.status, '0x1', functionName);
  }
  return { asset: OTHER_TOKEN, asset_name: name, dollar: true };
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxies = { base: await faultyProxy(net.base.rpc_url), solana: await faultyProxy(net.solana.rpc_url) };
  const wallet = await third.wallet(net);
  const port = await stack.freePort();
  const somewhere = () => ({ base: stranger().address, solana: solana.stranger().address });
  const [before, after] = [somewhere(), somewhere()];
  const start = async (payTo, more = {}) => {
    const config = stack.configure(folder, net, {
      name: 'moved-settle', port, rpc: { base: proxies.base.url, solana: proxies.solana.url },
      more: {
        base: { pay_to: payTo.base, ...more }, solana: { pay_to: payTo.solana }, gate: { pending_wait_seconds: 2 },
      },
    });
    return { config, ...(await stack.facilitator(net, config, { wallets: { base: wallet.key } })) };
  };
  const settle = (here, payment, what = 'settle') => official.ask(here.url, what, payment);
  const token = await otherToken(net);
  let here = await start(before);
  const kept = {};

  for (const network of NETWORKS) {
    await test(`${network}: one payment is told, one is open`, async () => {
      const offer = await official.terms(net, network, here.url, before);
      const told = await official.pay(net, network, offer);
      const success = await settle(here, told);
      assert.equal(success.success, true, JSON.stringify(success));
      await proxies[network].faults({ method: SEND[network], action: 'drop_request', times: 1_000_000 });
      const open = await official.pay(net, network, offer);
      const pending = await settle(here, open);
      assert.deepEqual([pending.success, pending.errorReason], [false, 'settlement_pending'], JSON.stringify(pending));
      kept[network] = { offer, told, transaction: success.transaction, open };
    });
  }
  await stack.stop(here.child, 'SIGKILL');
  here = await start(after, token);

  // What is open on Solana ends with its blockhash: that one first.
  for (const network of NETWORKS.toReversed()) {
    const { offer, told, transaction, open } = kept[network];
    await test(`${network}: moved, what was told stays told, with its transaction`, async () => {
      for (const what of ['settle', 'verify']) {
        const again = await settle(here, told, what);
        assert.equal(again.errorReason ?? again.invalidReason, 'duplicate_settlement', JSON.stringify(again));
        assert.equal(again.success ?? again.isValid, false);
        if (what === 'settle') assert.equal(again.transaction, transaction);
      }
    });
    await test(`${network}: moved, what is open stays pending, and is told once when it landed`, async () => {
      for (const what of ['settle', 'verify']) {
        const waiting = await settle(here, open, what);
        assert.equal(waiting.errorReason ?? waiting.invalidReason, 'settlement_pending', `${what}: ${JSON.stringify(waiting)}`);
      }
      await proxies[network].healthy();
      const success = await until('the success', async () => {
        const answer = await settle(here, open);
        assert.ok(answer.success || answer.errorReason === 'settlement_pending', JSON.stringify(answer));
        return answer.success && answer;
      });
      const copy = await settle(here, open);
      assert.deepEqual([copy.success, copy.errorReason, copy.transaction], [false, 'duplicate_settlement', success.transaction]);
      const booked = (await stack.books(here.config)).find(one => one.transaction === success.transaction);
      assert.deepEqual([booked.state, booked.pay_to], ['settled', before[network]], 'settled with the terms of its claim');
    });
    await test(`${network}: moved, a new payment on the old terms is not taken`, async () => {
      const count = (await stack.books(here.config)).length;
      const late = await settle(here, await official.pay(net, network, offer));
      assert.equal(late.success, false, JSON.stringify(late));
      assert.ok(!['settlement_pending', 'duplicate_settlement'].includes(late.errorReason), JSON.stringify(late));
      assert.equal((await stack.books(here.config)).length, count, 'nothing was claimed');
    });
  }
  await test('solana: moved, the new terms sell', async () => {
    const offer = await official.terms(net, 'solana', here.url, after);
    const bought = await until('a purchase', async () => {
      const answer = await settle(here, await official.pay(net, 'solana', offer));
      return answer.success && answer;
    });
    assert.ok(bought.transaction);
  });
});
finish();
