// Never sold under cost: exchange rates that go stale, disagree and jump,
// ceilings for what settling may cost, and the ledger's own account of it.
// The sources' document is served by this test.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import * as stack from './lib/stack.mjs';
import * as chain from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';

const IMAGE = { type: 'image', model: 'gen', prompt: 'A brass key', aspect_ratio: '1:1', output_format: 'png' };
const decode = text => text && JSON.parse(Buffer.from(text, 'base64'));
const ATOMIC = 1_000_000;

/** Exchange rates as the sources of this test tell them; `null` means an outage. */
const prices = { one: '2500.00', two: '2500.00', sol: '150.00' };

async function sources() {
  const server = createServer((request, answer) => {
    const price = prices[request.url.slice(1)];
    if (price === null) {
      answer.writeHead(200, { 'Content-Type': 'text/html' });
      answer.end('<html><h1>Scheduled maintenance</h1></html>');
    } else {
      // As text from one exchange, as a number from another.
      answer.writeHead(200, { 'Content-Type': 'application/json' });
      answer.end(request.url === '/two' ? `{"data":[{"last":${price}}]}` : `{"data":[{"last":"${price}"}]}`);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, server };
}

/** Replaces the fixed rates of the common configuration. */
function live(config, url) {
  const fixed = '[rates]\neth_usd = "2500.00"\nsol_usd = "150.00"\n';
  const text = readFileSync(config, 'utf8');
  assert.ok(text.includes(fixed), 'the common configuration has fixed rates');
  const source = (pair, name) =>
    `[[rates.sources]]\nkind = "http"\npair = "${pair}"\nname = "${name}"\nurl = "${url}/${name}"\npointer = "/data/0/last"\n`;
  const rates = [
    '[rates]\nrefresh_seconds = 1\nage_max_seconds = 3\ndeviation_max = "0.02"\n',
    source('eth_usd', 'one'), source('eth_usd', 'two'), source('sol_usd', 'sol'),
  ];
  writeFileSync(config, text.replace(fixed, rates.join('')));
  return config;
}

/** What an unpaid request is told: surcharges by network, in atomic USDC. */
async function offers(api) {
  const answer = await fetch(`${api.url}/v1/generation-requests`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ requests: [IMAGE] }),
  });
  const retryAfter = answer.headers.get('retry-after');
  if (answer.status === 503) return { status: 503, retryAfter, gas: {} };
  assert.equal(answer.status, 402);
  const { accepts } = decode(answer.headers.get('payment-required'));
  const gas = accepts.map(offer => [offer.network, Math.round(Number(offer.extra.breakdown.gas_usdc) * ATOMIC)]);
  return { status: 402, retryAfter, gas: Object.fromEntries(gas) };
}

async function until(what, api, holds, seconds = 15) {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const now = await offers(api);
    if (holds(now)) return now;
    assert.ok(Date.now() < deadline, `${what}: still ${JSON.stringify(now)}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

const sells = (...networks) => ({ gas }) => Object.keys(gas).join() === networks.join();

async function send(signed) {
  const { request } = signed;
  return fetch(request.url, {
    method: request.method, headers: { ...request.headers, 'PAYMENT-SIGNATURE': signed.header }, body: request.body,
  });
}

async function staleRates(net, api) {
  await test('rates from text and from numbers make offers on both networks', async () => {
    await until('both', api, sells(stack.BASE, stack.SOLANA));
  });
  await test('a stale rate closes its network, the other sells on', async () => {
    const signed = await stack.officialSign(net, api.url, 'base', '--what', 'image');
    prices.one = prices.two = null;
    await until('Base vanishes', api, sells(stack.SOLANA));
    const shown = await stack.json(`${api.url}/v1/x402`);
    assert.deepEqual(shown.networks.map(entry => 'gas' in entry), [false, true], 'discovery agrees');
    const late = await send(signed);
    assert.equal(late.status, 503, 'an old offer is not settled at an unknown price');
    assert.ok(Number(late.headers.get('retry-after')) > 0);
    const bought = await stack.officialBuy(net, api.url, 'solana', 'image');
    assert.ok(bought, 'Solana sells on');
  });
  await test('without any rate nothing is offered: 503 with Retry-After', async () => {
    prices.sol = null;
    const closed = await until('all vanish', api, ({ status }) => status === 503);
    assert.ok(Number(closed.retryAfter) > 0, closed.retryAfter);
  });
  await test('networks return with their rates', async () => {
    prices.one = prices.two = '2500.00';
    await until('Base returns', api, sells(stack.BASE));
    prices.sol = '150.00';
    await until('Solana returns', api, sells(stack.BASE, stack.SOLANA));
  });
  await test('sources that disagree close the network; one that is merely down does not', async () => {
    prices.two = '2600.00';
    await until('apart', api, sells(stack.SOLANA));
    prices.two = null;
    await until('one is enough', api, sells(stack.BASE, stack.SOLANA));
    prices.two = '2500.00';
  });
}

// On Solana, where the cost in lamports stands still.
async function spike(api) {
  const before = (await until('both', api, sells(stack.BASE, stack.SOLANA))).gas[stack.SOLANA];
  let high;
  await test('a rate fifty times as high is charged at once', async () => {
    prices.sol = '7500.00';
    high = (await until('dearer', api, ({ gas }) => gas[stack.SOLANA] > before, 5)).gas[stack.SOLANA];
    // Both are rounded up.
    assert.ok(high > 50 * (before - 1) && high <= 50 * before, `${before} became ${high}`);
  });
  await test('a fall is limited to a tenth in a minute', async () => {
    prices.sol = '150.00';
    const fallen = (await until('cheaper', api, ({ gas }) => gas[stack.SOLANA] < high)).gas[stack.SOLANA];
    assert.ok(fallen > high * 0.9, `${high} fell to ${fallen}`);
  });
}

const CEILING = 100_000;

async function ceilings(api) {
  await test('above the ceiling a network closes, below it it reopens at once', async () => {
    await until('both', api, sells(stack.BASE, stack.SOLANA));
    prices.sol = '15000.00';
    await until('Solana is too dear', api, sells(stack.BASE));
    prices.sol = '150.00';
    const { gas } = await until('Solana reopens', api, sells(stack.BASE, stack.SOLANA));
    assert.ok(gas[stack.SOLANA] <= CEILING && gas[stack.SOLANA] > CEILING * 0.8, `reopened at ${gas[stack.SOLANA]}`);
  });
}

/** A ceiling that the next payment would meet: no offer is made that would be refused. */
async function spentDay(api, config) {
  await test('what a signature may cost must fit what is left of the day, or nothing is offered', async () => {
    await until('both are closed', api, ({ status }) => status === 503);
    assert.deepEqual(await stack.books(config), [], 'nothing is claimed');
  });
}

async function books(net, config, bought) {
  await test('the ledger shows the real cost beside what was charged', async () => {
    const hash = bought.transaction ?? bought.receipt?.transaction;
    const onChain = await chain.baseTransfer(net.base.rpc_url, net.base.usdc, hash);
    // Wei × 2,500 dollars, rounded up to a millionth of a dollar.
    const cost = (BigInt(onChain.cost) * 2_500n * 1_000_000n + 10n ** 18n - 1n) / 10n ** 18n;
    const bin = join(process.env.CARGO_TARGET_DIR ?? join(process.env.HOME, '.cache/quittance/target'), 'debug/quittance');
    const document = JSON.parse(await stack.run(bin, ['payments', 'margin', '--config', config, '--json']));
    const hours = document.hours.filter(hour => hour.network === stack.BASE);
    assert.equal(hours.length, 1);
    const [hour] = hours;
    assert.equal(hour.payments, 1);
    assert.deepEqual([hour.cost_earned, hour.cost_least, hour.cost_median, hour.cost_p95], Array(4).fill(String(cost)));
    assert.equal(hour.cost_uncollected, '0');
    assert.equal(BigInt(hour.margin), BigInt(hour.charged) - cost);
    const advice = document.networks.find(entry => entry.network === stack.BASE);
    assert.equal(advice.markup, '1.25');
    assert.ok(Number(advice.markup_advice) >= 1);
    const table = await stack.run(bin, ['payments', 'margin', '--config', config, '--hours', '2']);
    assert.match(table, /eip155:8453[\s\S]*hour \(UTC\) +payments +charged/);
  });
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const feed = await sources();
  const quote = { refresh_seconds: 1, gas_ceiling_usdc: '100' };
  const first = live(stack.configure(folder, net, { port: await stack.freePort(), more: { quote } }), feed.url);
  let api = await stack.sampleApi(net, first);
  await staleRates(net, api);
  await spike(api);
  await stack.stop(api.child);

  const limited = {
    refresh_seconds: 1,
    gas_ceiling_usdc: (CEILING / ATOMIC).toFixed(6),
    spent_network_day_usdc: '0.000001',
  };
  const environment = { QUITTANCE__QUOTE__SPENT_NETWORK_DAY_USDC: '5.50' };
  const port = await stack.freePort();
  const second = live(stack.configure(folder, net, { name: 'limited', port, more: { quote: limited } }), feed.url);
  api = await stack.sampleApi(net, second, { env: environment });
  await ceilings(api);
  await stack.stop(api.child);
  api = await stack.sampleApi(net, second);
  await spentDay(api, second);
  await stack.stop(api.child);
  let bought;
  await test('the environment raises a ceiling', async () => {
    api = await stack.sampleApi(net, second, { env: environment });
    await until('both', api, sells(stack.BASE, stack.SOLANA));
    bought = await stack.officialBuy(net, api.url, 'base', 'image');
    await stack.officialBuy(net, api.url, 'solana', 'image');
  });
  await stack.stop(api.child);
  await books(net, second, bought);
  await test('a restart with a daily ceiling below one settlement offers nothing', async () => {
    api = await stack.sampleApi(net, second);
    const closed = await until('both spent their allowance', api, ({ status }) => status === 503);
    assert.ok(Number(closed.retryAfter) > 0, closed.retryAfter);
  });
  feed.server.close();
  feed.server.closeAllConnections();
});
finish();
