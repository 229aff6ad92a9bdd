// Clients stamp `validAfter` with a clock that runs a little ahead of the newest block.
// An authorization that becomes valid within seconds is waited for, one within a minute is
// asked for again; one that is far ahead is a mistake of its signer's.
//
//   node tests/valid-after.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { account, payBase, seconds } from './lib/base-payment.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { world } from './lib/world.mjs';

const AHEAD_SECONDS = [1, 2];
const SOON_SECONDS = [10, 30, 50];

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const payer = account(net.base.payer_key);
  const gate = await world(net, folder, 'gate', { bin: stack.BIN, pendingSeconds: 20 });
  const api = await gate.start();

  await test('gate: an authorization that is valid in a moment is served', async () => {
    for (const ahead of AHEAD_SECONDS) {
      const signed = await buyer.sign(net, api, 'base', { fields: { validAfter: String(seconds() + ahead) } });
      const answer = await buyer.once(api, signed);
      assert.equal(answer.status, 200, `${ahead} s ahead: ${answer.text}`);
    }
  });

  await test('gate: one that is valid within a minute is asked for again, not waited for', async () => {
    for (const ahead of SOON_SECONDS) {
      const fields = { validAfter: String(seconds() + ahead) };
      const answer = await buyer.once(api, await buyer.sign(net, api, 'base', { fields }));
      assert.deepEqual([answer.status, answer.json.retry_action], [503, 'retry_same_payment'], answer.text);
      const wait = answer.json.retry_after_seconds;
      assert.ok(wait > ahead - 5 && wait <= ahead + 1, `${ahead} s ahead: come again after ${wait} s`);
    }
  });

  await test('gate: one that is far ahead is refused with a fresh offer', async () => {
    const fields = { validAfter: String(seconds() + 120), validBefore: String(seconds() + 600) };
    const answer = await buyer.once(api, await buyer.sign(net, api, 'base', { fields }));
    assert.deepEqual([answer.status, answer.json.code], [402, 'invalid_exact_evm_payload_authorization_valid_after'], answer.text);
  });
  await stack.stop(api.child);

  const hasty = await world(net, folder, 'hasty', { bin: stack.BIN, pendingSeconds: 1 });
  const quick = await hasty.start();
  await test('gate: where it cannot be waited for, the same payment is asked for again and served', async () => {
    const signed = await buyer.sign(net, quick, 'base', { fields: { validAfter: String(seconds() + 4) } });
    const early = await buyer.once(quick, signed);
    assert.deepEqual([early.status, early.json.retry_action], [503, 'retry_same_payment'], early.text);
    assert.equal((await buyer.insist(quick, signed)).status, 200);
  });
  await stack.stop(quick.child);

  const serve = await world(net, folder, 'serve', { serve: true, bin: stack.BIN, pendingSeconds: 20 });
  const { url } = await serve.start();
  const offer = await terms(net, 'base', url, serve.payTo);
  await test('/verify and /settle wait for it too', async () => {
    for (const ahead of AHEAD_SECONDS) {
      const payment = await payBase(payer, offer, { fields: { validAfter: String(seconds() + ahead) } });
      const verified = await ask(url, 'verify', payment);
      assert.equal(verified.isValid, true, JSON.stringify(verified));
      const settled = await ask(url, 'settle', await payBase(payer, offer, { fields: { validAfter: String(seconds() + ahead) } }));
      assert.equal(settled.success, true, JSON.stringify(settled));
    }
  });
});
finish();
