// With `contract_payers` any bytes may be a contract's signature until the chain has
// said no. Whoever makes them up moves nothing of the wallet, or of the key, that they
// name: it pays on.
//
//   node tests/contract-payers.mjs
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';

import * as stack from './lib/stack.mjs';
import { payBase, resigned, stranger } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { world } from './lib/world.mjs';

const viem = createRequire(new URL('./clients/package.json', import.meta.url))('viem');

const AMOUNT = '50000';
/** `callers.failed_checks_payer_burst`; nothing comes back within the test. */
const BURST = 5;
const FORGED = 4 * BURST;

// ERC-1271's magic word, if the signature's first byte is 1; else it reverts.
const WALLET = '0x6064355f1a600114600e575f5ffd5b631626ba7e60e01b5f5260205ff3';
const GOOD = 1;
const MADE_UP = 2;

const signature = first => `0x0${first}${randomBytes(32).toString('hex')}`;

async function payer(net, code) {
  const someone = stranger();
  const place = viem.keccak256(viem.encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [someone.address, 9n]));
  await rpc(net.base.rpc_url, 'anvil_setStorageAt', net.base.usdc, place, viem.pad(viem.toHex(1_000_000n), { size: 32 }));
  if (code) await rpc(net.base.rpc_url, 'anvil_setCode', someone.address, code);
  return someone;
}

async function forge(url, offer, someone, what) {
  for (let time = 0; time < FORGED; time += 1) {
    const forged = resigned(await payBase(someone, offer), signature(MADE_UP));
    const answer = await ask(url, what, forged);
    assert.equal(answer.isValid ?? answer.success, false);
    assert.notEqual(answer.invalidReason ?? answer.errorReason, 'too_many_requests', 'the payer is locked out');
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'contracts', {
    serve: true, bin: stack.BIN, pendingSeconds: 8,
    more: {
      base: { contract_payers: true },
      callers: { failed_checks_payer_burst: BURST, failed_checks_payer_minute: 1 },
    },
  });
  const { url } = await here.start();
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);

  for (const what of ['verify', 'settle']) {
    await test(`${what}: made-up signatures of a contract wallet lock it not out`, async () => {
      const wallet = await payer(net, WALLET);
      await forge(url, offer, wallet, what);
      const settled = await ask(url, 'settle', resigned(await payBase(wallet, offer), signature(GOOD)));
      assert.ok(settled.success, JSON.stringify(settled));
    });

    await test(`${what}: made-up signatures of a payer without code lock it not out`, async () => {
      const someone = await payer(net);
      await forge(url, offer, someone, what);
      const settled = await ask(url, 'settle', await payBase(someone, offer));
      assert.ok(settled.success, JSON.stringify(settled));
      // Nor do they take its history, or ask in its name.
      await forge(url, offer, someone, what);
      const again = await ask(url, 'settle', await payBase(someone, offer));
      assert.ok(again.success, JSON.stringify(again));
    });
  }
});
finish();
