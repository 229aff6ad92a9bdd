// A success that `quittance serve` said, and whose connection was lost with it: a
// proxy took the answer to its last byte and nobody behind it ever saw it. It may have
// been heard, so it is not said again; whoever asks is told which transaction it was,
// and never to pay once more. Unmodified official server, both flows, both chains.
//
//   node tests/lost-success.mjs
import assert from 'node:assert/strict';

import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { cutter } from './lib/cut.mjs';
import { decode, encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };

const visit = async (shop, network, header) => {
  const answer = await fetch(`${shop.url}/thing/${network}`, { headers: header ? { 'PAYMENT-SIGNATURE': header } : {} });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
};

async function lost(net, here, api, proxy, shop, network) {
  const required = decode((await visit(shop, network)).headers.get('payment-required'));
  required.accepts = required.accepts.filter(one => one.network === CAIP[network]);
  const payment = await (await official.client(net, network)).createPaymentPayload(required);
  const header = encode(payment);
  const [served, done] = [shop.served.length, proxy.done];
  proxy.swallow(1);
  const first = await visit(shop, network, header);
  assert.notEqual(first.status, 200, 'its server heard nothing');
  assert.equal(proxy.done, done + 1, 'the answer was taken, and lost');
  const [booked] = (await stack.books(here.config)).filter(one => one.network === CAIP[network]);
  assert.equal(booked.state, 'settled');
  for (let time = 0; time < 3; time += 1) {
    const again = await visit(shop, network, header);
    assert.notEqual(again.status, 200, again.text);
    const reason = decode(again.headers.get('payment-response'))?.errorReason ?? decode(again.headers.get('payment-required'))?.error;
    assert.equal(reason, 'duplicate_settlement', again.text);
  }
  assert.equal(shop.served.length, served, 'at most one thing, whoever heard it');
  // What the seller needs to serve or refund: the transaction, and no invitation to pay again.
  const terms = required.accepts[0];
  const settled = await official.ask(api.url, 'settle', payment, terms);
  assert.deepEqual([settled.success, settled.errorReason, settled.transaction], [false, 'duplicate_settlement', booked.transaction]);
  assert.notEqual(settled.retry_action, 'pay');
  const verified = await official.ask(api.url, 'verify', payment, terms);
  assert.deepEqual([verified.isValid, verified.invalidReason], [false, 'duplicate_settlement']);
  const paid = (await stack.books(here.config)).filter(one => one.network === CAIP[network] && one.state === 'settled');
  assert.equal(new Set(paid.map(one => one.transaction)).size, paid.length);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'lost-success', { serve: true, bin: stack.BIN, pendingSeconds: 20 });
  const api = await here.start();
  const proxy = await cutter(() => api.url, '/settle');
  for (const flow of ['upfront', 'authorization']) {
    const shop = await official.shop(() => proxy.url, here.payTo, { flow });
    for (const network of NETWORKS) {
      await test(`${network}, ${flow}: a success that was lost with its connection is not said twice, and its transaction is named`, async () => {
        await lost(net, here, api, proxy, shop, network);
      });
    }
    shop.close();
  }
  proxy.close();
});
finish();
