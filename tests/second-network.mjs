// Another EVM network is configuration: a chain id, a token and a gas coin that this
// program has never heard of sell beside Base, through the gate and through /settle, to
// unmodified official packages.
//
//   node tests/second-network.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import * as chain from './lib/chain.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { evmNetwork } from './lib/evm-network.mjs';
import { decode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';

const [x402, core, evmClient, { privateKeyToAccount }] = await Promise.all(
  ['@x402/fetch', '@x402/core/server', '@x402/evm/exact/client', 'viem/accounts'].map(stack.clients),
);
const IMAGE = { type: 'image', model: 'gen', prompt: 'A brass key', aspect_ratio: '1:1', output_format: 'png' };
const BODY = JSON.stringify({ requests: [IMAGE] });
const FAR = 'eip155:4711';
const TIP_WEI = 30_000_000_000n;
const GAS = 88_000n;
/** The markup and the rate of ether that the configuration says. */
const MARKUP = 1.25;

/** US dollars for one ZED, as the source of this test tells them. */
const price = { zed: '5.00' };

async function source() {
  const server = createServer((_, answer) => answer.end(JSON.stringify({ last: price.zed })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return `http://127.0.0.1:${server.address().port}/zed`;
}

/** A configuration with both networks; every ledger has a wallet of its own, which is paid as well. */
async function configure(folder, name, { base, far, feed }) {
  const wallet = await base.actor({ coins: 10 });
  await far.fund(wallet.address, 100);
  const section = (title, values) =>
    `${title}\n${Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n')}\n`;
  const network = (one, more) => ({
    network: one.network, rpc_urls: [one.rpc_url], asset: one.token, asset_name: one.name, dollar: true,
    pay_to: wallet.address, wallets: [`env:${name}_WALLET`], ...more,
  });
  const path = join(folder, `${name}.toml`);
  writeFileSync(path, [
    section('[server]', { listen: '127.0.0.1:0', workers: 2, shutdown_seconds: 5 }),
    section('[ledger]', { url: `sqlite://${join(folder, `${name}.sqlite`)}` }),
    section('[networks.base]', network(base)),
    section('[networks.far]', network(far, {
      gas_coin: 'ZED', priority_fee_wei: Number(TIP_WEI), max_fee_per_gas_wei: Number(TIP_WEI * 4n),
      in_flight_native: '5', in_flight_payer_native: '1', uncollected_day_native: '2',
    })),
    section('[rates]', { eth_usd: '2500.00', refresh_seconds: 1, age_max_seconds: 10 }),
    section('[[rates.sources]]', { kind: 'http', pair: 'zed_usd', url: feed, pointer: '/last' }),
    section('[quote]', { refresh_seconds: 1 }),
    section('[gate]', { catalogue: join(stack.ROOT, 'catalogs/imgnai.toml') }),
  ].join('\n'));
  return { path, wallet, env: { [`${name}_WALLET`]: wallet.key } };
}

const net = { base: { wallet_key: '' }, solana: { wallet_key: '' } };

/** An official client of one network. */
function client(network, payer) {
  const buyer = new x402.x402Client();
  buyer.register(network, new evmClient.ExactEvmScheme(privateKeyToAccount(payer.key)));
  buyer.setSpendControls(false);
  return buyer;
}

/** What an unpaid request is offered, by network. */
async function offers(api) {
  const answer = await fetch(`${api.url}/v1/generation-requests`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: BODY,
  });
  if (answer.status !== 402) return {};
  const { accepts } = decode(answer.headers.get('payment-required'));
  return Object.fromEntries(accepts.map(offer => [offer.network, offer]));
}

const surcharge = offer => Math.round(Number(offer.extra.breakdown.gas_usdc) * 1_000_000);

/** Gas and tip in dollars of ZED; the base fee is next to nothing by then. */
const expected = dollars => Number(GAS * TIP_WEI) / 1e18 * dollars * MARKUP * 1_000_000;
const isNear = (value, wanted) => Math.abs(value - wanted) <= wanted / 50;

async function buys(api, network, here, payer, payTo) {
  const answer = await x402.wrapFetchWithPayment(fetch, client(network, payer))(`${api.url}/v1/generation-requests`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: BODY,
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text.slice(0, 300));
  const receipt = decode(answer.headers.get('PAYMENT-RESPONSE'));
  assert.deepEqual([receipt.success, receipt.network], [true, network]);
  const moved = await chain.baseTransfer(here.rpc_url, here.token, receipt.transaction);
  assert.equal(moved.pay_to, payTo.address.toLowerCase());
  assert.equal(moved.payer, payer.address.toLowerCase());
  assert.equal(moved.fee_payer, payTo.address.toLowerCase(), 'our wallet paid for it');
  return { receipt, moved };
}

await stack.withStack(async folder => {
  const [base, far, feed] = [await evmNetwork(8453, 'Test Dollar'), await evmNetwork(4711, 'Test Dollar'), await source()];
  const [gate, serve] = [await configure(folder, 'gate', { base, far, feed }), await configure(folder, 'serve', { base, far, feed })];
  const payers = { base: await base.actor({ usdc: 100_000_000 }), far: await far.actor({ usdc: 100_000_000 }) };
  const api = await stack.sampleApi(net, gate.path, { env: gate.env });
  const facilitator = await stack.facilitator(net, serve.path, { env: serve.env });

  await test('the second network is offered at its own coin\'s rate', async () => {
    const now = await until('both networks', async () => {
      const all = await offers(api);
      return all[FAR] && all[stack.BASE] && isNear(surcharge(all[FAR]), expected(5)) && all;
    });
    assert.equal(now[FAR].asset, far.token);
    assert.equal(now[FAR].extra.name, 'Test Dollar');
    const before = surcharge(now[stack.BASE]);
    price.zed = '10.00';
    const later = await until('the new rate', async () => {
      const all = await offers(api);
      return all[FAR] && isNear(surcharge(all[FAR]), expected(10)) && all;
    });
    assert.ok(surcharge(later[stack.BASE]) <= before, 'ether costs what it did');
  });

  await test('the official client buys on it, and on Base beside it', async () => {
    const { moved } = await buys(api, FAR, far, payers.far, gate.wallet);
    assert.ok(BigInt(moved.cost) >= 50_000n * TIP_WEI, `paid for in ZED: ${moved.cost}`);
    await buys(api, stack.BASE, base, payers.base, gate.wallet);
    const books = await stack.books(gate.path);
    assert.deepEqual(books.map(one => [one.network, one.state]), [[stack.BASE, 'settled'], [FAR, 'settled']]);
    const metrics = await (await fetch(`${facilitator.url}/metrics`)).text();
    assert.match(metrics, /quittance_rate_usd\{pair="zed_usd"\} 10\b/);
    assert.match(metrics, /quittance_wallet_balance\{network="eip155:4711",wallet="0x[0-9a-fA-F]{40}"\} 100\b/);
  });

  await test('a foreign server verifies and settles on it through /settle, once', async () => {
    const asked = new core.HTTPFacilitatorClient({ url: facilitator.url });
    const { kinds } = await asked.getSupported();
    const named = version => kinds.filter(kind => kind.x402Version === version).map(kind => kind.network).sort();
    assert.deepEqual(named(2), [FAR, stack.BASE].sort());
    assert.deepEqual(named(1), ['base'], 'version 1 has no name for the other one');
    const { extra } = kinds.find(kind => kind.network === FAR);
    const terms = {
      scheme: 'exact', network: FAR, amount: '500000', asset: far.token, payTo: serve.wallet.address,
      maxTimeoutSeconds: 120, extra: { name: extra.name, version: extra.version },
    };
    const payment = await client(FAR, payers.far).createPaymentPayload({
      x402Version: 2, resource: { url: 'http://shop.example/thing' }, accepts: [terms],
    });
    assert.equal((await asked.verify(payment, terms)).isValid, true);
    const settled = await asked.settle(payment, terms);
    assert.equal(settled.success, true, JSON.stringify(settled));
    const moved = await chain.baseTransfer(far.rpc_url, far.token, settled.transaction);
    assert.deepEqual([moved.amount, moved.pay_to], ['500000', serve.wallet.address.toLowerCase()]);
    const again = await asked.settle(payment, terms).catch(error => error);
    assert.match(JSON.stringify(again, Object.getOwnPropertyNames(again)), /duplicate_settlement/);

    // Token, recipient and domain are those of Base, too: only the chain differs.
    const onBase = { ...terms, network: stack.BASE };
    assert.equal(onBase.asset, base.token);
    const copied = await stack.json(`${facilitator.url}/verify`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ x402Version: 2, paymentPayload: { ...payment, accepted: onBase }, paymentRequirements: onBase }),
    });
    assert.deepEqual([copied.isValid, copied.invalidReason], [false, 'invalid_exact_evm_signature']);
  });
});
finish();
