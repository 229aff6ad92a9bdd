// One transaction of ours under the base fee holds up the wallet: its network closes
// with that reason at the gate, /verify, /settle and /supported, and opens when it has
// moved. The fee does not fall by itself here; then it does.
//
//   node tests/lane.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { ask, pay, terms } from './lib/official.mjs';
import { fee, holdFee } from './lib/fee.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, world } from './lib/world.mjs';

const REASON = 'lane_under_base_fee';
await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxy = await faultyProxy(net.base.rpc_url);
  const more = {
    // Base alone, so that the gate has nothing else to offer; the surcharge follows the fee.
    quote: { refresh_seconds: 1, gas_ceiling_usdc: '100' },
    // Without a budget nothing is replaced beyond what was charged.
    solana: { retired: true }, base: { max_fee_per_gas_wei: 20_000_000_000, unwedge_budget_native_per_day: '0' },
  };
  const here = await world(net, folder, 'lane', { bin: stack.BIN, rpc: { base: proxy.url }, pendingSeconds: 2, more });
  const api = await here.start();
  const beside = await world(net, folder, 'beside', { bin: stack.BIN, serve: true, rpc: { base: proxy.url }, pendingSeconds: 2, more });
  const serve = await beside.start();
  const offer = await terms(net, 'base', serve.url, beside.payTo);
  const waits = await pay(net, 'base', offer);
  const opened = await buyer.opening(net, 'base', here.payTo.base);

  // The first one goes out while its node keeps it; before it is included the fee has risen.
  const signed = await buyer.sign(net, api, 'base');
  const cap = async () => {
    const [payment] = await stack.books(here.config);
    const journal = payment && await buyer.journalOf(here.config, payment.id);
    const attempt = journal?.journal.find(line => line.event === 'recorded');
    return attempt && { payment, attempt };
  };
  await proxy.faults({ method: 'eth_sendRawTransaction', action: 'drop_request', times: 100_000 });
  const first = await buyer.once(api, signed);
  assert.equal(first.status, 503, first.text.slice(0, 300));
  assert.ok(await cap(), 'signed and recorded');
  const pending = await ask(serve.url, 'settle', waits, offer);
  assert.equal(pending.errorReason, 'settlement_pending', JSON.stringify(pending));
  const high = (await fee(net)) * 20n + 50_000_000n;
  const held = holdFee(net, high);
  await until('the fee to be high', async () => await fee(net) >= high);
  await proxy.healthy();

  const closed = async () => {
    const answer = await http.send(api.url, { path: buyer.PATH, headers: { 'Content-Type': 'application/json' }, body: buyer.BODY });
    return answer.status === 503 && answer.text.includes(REASON) && answer;
  };
  await test('the network closes with its reason at the gate', async () => {
    const answer = await until('the gate to close', closed, 30);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    const { networks } = await (await fetch(`${api.url}/v1/x402`)).json();
    assert.ok(networks.every(one => one.network !== stack.BASE || one.gas === undefined));
  });
  await test('/verify, /settle and /supported say so too', async () => {
    await until('/supported to say it', async () => (await stack.json(`${serve.url}/supported`)).closed?.[stack.BASE] === REASON);
    const fresh = await pay(net, 'base', offer);
    const [verified, settled] = [await ask(serve.url, 'verify', fresh, offer), await ask(serve.url, 'settle', fresh, offer)];
    assert.deepEqual([verified.isValid, verified.invalidReason], [false, 'network_unavailable']);
    assert.deepEqual([settled.success, settled.errorReason], [false, 'network_unavailable']);
    for (const text of [verified.invalidMessage, settled.errorMessage]) assert.ok(text.includes(REASON), text);
    const metrics = await (await fetch(`${serve.url}/metrics`)).text();
    assert.match(metrics, new RegExp(`quittance_network_closed\\{network="eip155:8453",reason="${REASON}"\\} 1`));
  });
  await test('the payment that waits is still answered as pending, never with a new 402', async () => {
    const again = await buyer.once(api, signed);
    assert.deepEqual([again.status, again.receipt?.errorReason], [503, 'settlement_pending']);
  });
  await test('it opens when the transaction has moved, and the payment is served', async () => {
    await held.go(5_000_000n);
    const answer = await buyer.insist(api, signed, 60);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    await until('the gate to open', async () => !(await closed()), 30);
    await until('/supported to open', async () => !(await stack.json(`${serve.url}/supported`)).closed?.[stack.BASE]);
    const told = await until('the other payment to be told', async () => {
      const said = await ask(serve.url, 'settle', waits, offer);
      return said.success && said;
    });
    assert.ok(told.transaction);
    const next = await buyer.insist(api, await buyer.sign(net, api, 'base'), 60);
    assert.equal(next.status, 200, next.text.slice(0, 300));
  });
  await test('the ledger agrees with the chain', () => buyer.assertBooks(net, here.config, opened));
});
finish();
