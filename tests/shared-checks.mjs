// Sixty-four customers are checked at the same moment: few calls, and each hears its own
// answer; also behind a gateway that passes no shared call on.
//
//   node tests/shared-checks.mjs
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import * as stack from './lib/stack.mjs';
import { payBase, seconds, stranger } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

const viem = createRequire(new URL('./clients/package.json', import.meta.url))('viem');

const AMOUNT = '50000';
const CUSTOMERS = 64;
/** Code of a payer's: one agrees to everything, one takes all gas it is given. */
const AGREES = '0x631626ba7e60e01b60005260206000f3';
const BURNS = '0x5b600056';
/** What is in every shared call and in no other: where its frames' block number and time are kept. */
const SHARED = '436103005242610320526103';

async function customer(net, units) {
  const someone = stranger();
  const place = viem.keccak256(viem.encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [someone.address, 9n]));
  await rpc(net.base.rpc_url, 'anvil_setStorageAt', net.base.usdc, place, viem.pad(viem.toHex(BigInt(units)), { size: 32 }));
  return someone;
}

/** Payments by what becomes of them; all that are not named are good. */
async function crowd(net, offer) {
  const all = [];
  for (let number = 0; number < CUSTOMERS; number += 1) all.push({ someone: await customer(net, number === 3 ? 49_999 : 50_000) });
  all[3].wanted = 'invalid_exact_evm_insufficient_balance';
  for (const [number, code, wanted] of [
    [7, AGREES, 'unsupported_payload_type'], [8, BURNS, 'invalid_exact_evm_transaction_simulation_failed'],
  ]) {
    await rpc(net.base.rpc_url, 'anvil_setCode', all[number].someone.address, code);
    all[number].wanted = wanted;
  }
  all[20].fields = { validAfter: String(seconds() + 3_600), validBefore: String(seconds() + 700) };
  for (const one of all) one.payment = await payBase(one.someone, offer, { fields: one.fields });
  // A window that never opens is found without a call.
  all[20].wanted = 'invalid_exact_evm_payload_authorization_valid_after';
  return all;
}

async function verifyAll(here, proxy, url, offer) {
  const all = await crowd(here.net, offer);
  await proxy.reset();
  const answers = await Promise.all(all.map(({ payment }) => ask(url, 'verify', payment)));
  for (const [number, { wanted, someone }] of all.entries()) {
    const said = [answers[number].isValid, answers[number].invalidReason, answers[number].payer];
    if (wanted) assert.deepEqual(said.slice(0, 2), [false, wanted], `customer ${number}`);
    else assert.deepEqual([said[0], said[2]], [true, someone.address], `customer ${number}: ${JSON.stringify(answers[number])}`);
  }
  return (await proxy.counts()).methods.eth_call ?? 0;
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxy = await faultyProxy(net.base.rpc_url);
  const here = await world(net, folder, 'shared', { serve: true, bin: stack.BIN, rpc: { base: proxy.url } });
  const { url, child } = await here.start();
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);

  await test(`${CUSTOMERS} customers at the same moment share calls, and each hears its own answer`, async () => {
    const calls = await verifyAll(here, proxy, url, offer);
    assert.ok(calls < CUSTOMERS / 2, `${calls} calls`);
  });
  await test('where a gateway passes no shared call on, each is asked alone', async () => {
    await proxy.profile({ refused: { eth_call: { status: 413, containing: SHARED } } });
    const calls = await verifyAll(here, proxy, url, offer);
    assert.ok(calls >= CUSTOMERS - 2, `${calls} calls`);
    await proxy.unlimited();
  });
  await stack.stop(child);
});
finish();
