// The operator lowers a limit between two starts, and a payment on record is above it
// now. It is answered from the ledger all the same: its own answer again, or pending
// while it is open, and never "too large", after which its holder would make the
// request smaller and pay once more.
//
//   node tests/lowered-limit.mjs
import assert from 'node:assert/strict';

import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const LOWERED = 1_000;
const big = word => JSON.stringify({ word, padding: 'x'.repeat(5 * LOWERED) });

async function send(api, body, header) {
  const headers = { 'Content-Type': 'application/json', Connection: 'close', ...(header && { 'PAYMENT-SIGNATURE': header }) };
  return http.send(api.url, { path: '/test/fail-once', headers, body });
}

async function sign(net, api, network, body) {
  const offer = await until('an offer', async () => {
    const required = http.decode((await send(api, body)).headers['payment-required']);
    return required?.accepts.find(one => one.network === CAIP[network]);
  });
  return http.encode(await official.pay(net, network, offer));
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  const rpc = Object.fromEntries(NETWORKS.map(network => [network, proxies[network].url]));
  const here = await world(net, folder, 'limit', { bin: stack.BIN, pendingSeconds: 3, rpc });
  const lowered = { QUITTANCE__GATE__BODY_BYTES_MAX: String(LOWERED) };
  for (const network of NETWORKS) {
    await test(`${network}: a paid request above a lowered limit is answered from the ledger`, async () => {
      let api = await here.start();
      const [bought, open] = [big('bought'), big('open')];
      const header = await sign(net, api, network, bought);
      assert.equal((await send(api, bought, header)).status, 500, 'its first run fails');
      const served = await send(api, bought, header);
      assert.equal(served.status, 200, served.text);
      await proxies[network].faults([{ method: SEND[network], action: 'drop_request', times: 100_000 }]);
      const waiting = await sign(net, api, network, open);
      assert.equal((await send(api, open, waiting)).status, 503);
      await stack.stop(api.child);

      api = await here.start(lowered);
      const again = await send(api, bought, header);
      assert.deepEqual([again.status, again.text], [200, served.text], 'its own answer');
      const pending = await send(api, open, waiting);
      assert.deepEqual([pending.status, pending.json.error, pending.json.retry_action], [503, 'settlement_pending', 'retry_same_payment'], pending.text);
      const unpaid = await send(api, big('new'));
      assert.deepEqual([unpaid.status, unpaid.json.error], [413, 'body_too_large'], 'a new one is too large');
      const other = await send(api, big('another'), header);
      assert.deepEqual([other.status, other.json.retry_action], [413, 'do_not_retry'], other.text);
      assert.equal(http.decode(other.headers['payment-response']).success, true, 'with the receipt of what was paid');
      // What is open lands; it cannot run above the limit, and nobody is told to pay again.
      await proxies[network].healthy();
      const credit = await until('its verdict', async () => {
        const answer = await send(api, open, waiting);
        return answer.status !== 503 && answer;
      });
      assert.deepEqual([credit.status, credit.json.payment_state, credit.json.retry_action], [413, 'settled', 'do_not_retry'], credit.text);
      await stack.stop(api.child);

      api = await here.start();
      const ran = await until('the run', async () => {
        const answer = await send(api, open, waiting);
        return answer.status === 200 && answer;
      });
      assert.equal(ran.status, 200, 'raised again, it buys what was paid for');
      await stack.stop(api.child);
    });
  }
});
finish();
