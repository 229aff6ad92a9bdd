// Real providers limit ranges and rates, refuse methods, keep no history, and stand
// still. Over each kind: payments are bought on both chains, what landed while we were
// away is found, nothing stays pending, and the ledger agrees with the chain.
//
//   node tests/providers.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

/** What hides a landing from the facilitator, whatever the provider answers otherwise. */
const HIDING = {
  base: ['eth_getTransactionReceipt', 'eth_getLogs', 'eth_getTransactionCount'],
  solana: ['getSignatureStatuses', 'getTransaction'],
};
/** Blocks that the search has to bridge, where waiting for them takes seconds. */
const GAP = { ten_blocks: 20, fifty_blocks: 60 };

const lines = (api, text) => api.child.log.filter(line => line.includes(text));

async function buys(here, api, network, seconds = 60) {
  const answer = await buyer.insist(api, await buyer.sign(here.net, api, network), seconds);
  assert.equal(answer.status, 200, `${network}: ${answer.text.slice(0, 300)}`);
}

const onChain = (net, network, transaction) => network === 'base'
  ? rpc(net.base.rpc_url, 'eth_getTransactionReceipt', transaction)
  : rpc(net.solana.rpc_url, 'getTransaction', transaction, { commitment: 'confirmed', maxSupportedTransactionVersion: 0, encoding: 'json' });

/** A payment of each network whose landing nobody here has seen when the program is killed. */
async function landedUnseen(here, api, proxies) {
  const before = new Set((await stack.books(here.config)).map(one => one.id));
  const signed = [];
  for (const network of NETWORKS) {
    signed.push(await buyer.sign(here.net, api, network));
    const faults = HIDING[network].map(method => ({ method, action: 'drop_request', times: 100_000 }));
    for (const proxy of proxies[network]) await proxy.faults(faults);
  }
  const asked = signed.map(one => buyer.once(api, one));
  await until('both on record and on chain', async () => {
    const fresh = (await stack.books(here.config)).filter(one => !before.has(one.id) && one.state === 'recorded');
    const names = { [stack.BASE]: 'base', [stack.SOLANA]: 'solana' };
    const landed = await Promise.all(fresh.map(one => onChain(here.net, names[one.network], one.transaction)));
    return landed.length === 2 && landed.every(Boolean);
  });
  await stack.stop(api.child, 'SIGKILL');
  await Promise.all(asked);
  return signed;
}

async function heals(proxies) {
  for (const network of NETWORKS) for (const proxy of proxies[network]) await proxy.healthy();
}

/** Blocks go by while nobody looks. */
async function away(net, blocks) {
  const head = async () => Number(await rpc(net.base.rpc_url, 'eth_blockNumber'));
  const since = await head();
  await until('blocks to go by', async () => await head() >= since + blocks);
}

async function provider(net, folder, name) {
  const proxies = {};
  for (const network of NETWORKS) {
    proxies[network] = [await faultyProxy(net[network].rpc_url)];
    await proxies[network][0].profile(name);
  }
  const urls = Object.fromEntries(NETWORKS.map(network => [network, proxies[network][0].url]));
  const here = await world(net, folder, name, { bin: stack.BIN, rpc: urls, pendingSeconds: 3 });
  let api = await here.start();
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  for (const network of NETWORKS) await test(`${name}: ${network} is bought`, () => buys(here, api, network));
  await test(`${name}: what landed while we were away is found`, async () => {
    const signed = await landedUnseen(here, api, proxies);
    await away(net, GAP[name] ?? 5);
    await heals(proxies);
    api = await here.start();
    const answers = await Promise.all(signed.map(one => buyer.insist(api, one)));
    for (const answer of answers) assert.equal(answer.status, 200, answer.text.slice(0, 300));
  });
  for (const opening of opened) {
    await test(`${name}: ${opening.network}: nothing is pending, nothing is lost`, () => buyer.assertBooks(net, here.config, opening));
  }
  await stack.stop(api.child);
  for (const network of NETWORKS) await stack.stop(proxies[network][0].child);
}

const error = (code, message = 'not available', status = 200) => ({ status, error: { code, message } });
const html = { body: '<html><body>Service Temporarily Limited</body></html>' };

/** One method refused at the only endpoint, in one provider's way or another. */
const REFUSALS = [
  ['base', 'eth_getTransactionReceipt', { 'HTTP 403': { status: 403 }, null: { null: true }, HTML: html, '-32601': error(-32601) }],
  ['base', 'eth_getLogs', { 'HTTP 403': { status: 403 }, '-32602': error(-32602), '-32000 under 500': error(-32000, 'internal', 500), HTML: html, late: { delay_ms: 1_500, ...error(-32000, 'query timeout exceeded') } }],
  ['base', 'eth_getBlockByNumber', { 'finalized -32602': { ...error(-32602, 'unknown tag'), containing: 'finalized' }, 'finalized 403': { status: 403, containing: 'finalized' }, 'finalized null': { null: true, containing: 'finalized' } }],
  ['base', 'eth_getBlockByHash', { 'HTTP 403': { status: 403 } }],
  ['solana', 'getTransaction', { 'HTTP 403': { status: 403 }, null: { null: true }, HTML: html, '-32601': error(-32601) }],
  ['solana', 'getSignaturesForAddress', { 'HTTP 403': { status: 403 }, '-32601': error(-32601) }],
  ['solana', 'getEpochInfo', { 'HTTP 403': { status: 403 } }],
];

async function refusals(net, folder) {
  const proxies = { base: await faultyProxy(net.base.rpc_url), solana: await faultyProxy(net.solana.rpc_url) };
  const here = await world(net, folder, 'refusals', {
    bin: stack.BIN, rpc: { base: proxies.base.url, solana: proxies.solana.url }, pendingSeconds: 3,
    more: { base: { head_look_seconds: 1 }, solana: { head_look_seconds: 1 } },
  });
  const api = await here.start();
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  for (const [network, method, ways] of REFUSALS) {
    for (const [way, refusal] of Object.entries(ways)) {
      await test(`${method}: ${way}: a payment is bought`, async () => {
        await proxies[network].profile({ refused: { [method]: refusal } });
        await buys(here, api, network, 30);
      });
    }
    await proxies[network].unlimited();
  }
  await test('what fails is said once per episode, and once when it ends', async () => {
    const about = text => lines(api, text).filter(line => /[^_]getTransaction[^A-Za-z]/.test(line)).length;
    await until('the end of the episode', async () => about('a method answers again') === 1 || (await buys(here, api, 'solana', 30), false), 60, 3_000);
    assert.equal(about('an endpoint fails at a method'), 1, 'one line for all the refusals above');
  });
  for (const opening of opened) {
    await test(`refusals: ${opening.network}: nothing is pending, nothing is lost`, () => buyer.assertBooks(net, here.config, opening));
  }
  await stack.stop(api.child);
}

/** Two endpoints of which one stands still: from the start, and from some moment on. */
async function standsStill(net, folder, which) {
  const proxies = {};
  for (const network of NETWORKS) proxies[network] = [await faultyProxy(net[network].rpc_url), await faultyProxy(net[network].rpc_url)];
  const name = `still${which}`;
  const more = Object.fromEntries(NETWORKS.map(network => [network, { rpc_urls: proxies[network].map(proxy => proxy.url) }]));
  const here = await world(net, folder, name, { bin: stack.BIN, pendingSeconds: 3, more });
  let api = await here.start();
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  const place = ['first', 'second'][which];
  const freeze = async () => { for (const network of NETWORKS) await proxies[network][which].freeze(); };
  const thaw = async () => { for (const network of NETWORKS) await proxies[network][which].thaw(); };
  const LEFT = 'head does not move with the others';
  await test(`the ${place} endpoint stops: payments go on`, async () => {
    for (const network of NETWORKS) await buys(here, api, network);
    await freeze();
    // Signed at once: the landing comes after the head that it shows.
    for (const network of NETWORKS) await buys(here, api, network);
    await until('it to be told', () => lines(api, LEFT).length === 2);
    for (const network of NETWORKS) await buys(here, api, network, 20);
    assert.equal(lines(api, LEFT).length, 2, 'once per network');
  });
  await test(`the ${place} endpoint stands still: what landed while we were away is found`, async () => {
    const signed = await landedUnseen(here, api, proxies);
    await heals(proxies);
    api = await here.start();
    const answers = await Promise.all(signed.map(one => buyer.insist(api, one)));
    for (const answer of answers) assert.equal(answer.status, 200, answer.text.slice(0, 300));
  });
  await test(`the ${place} endpoint moves again: it is used again`, async () => {
    await thaw();
    await until('it to be told', () => lines(api, 'an endpoint is asked again').length === 2);
    const [proxy] = proxies.base;
    await proxy.reset();
    for (const network of NETWORKS) await buys(here, api, network, 20);
    assert.ok(((await proxy.counts()).methods.eth_call ?? 0) > 0, 'the first is preferred');
  });
  for (const opening of opened) {
    await test(`${name}: ${opening.network}: nothing is pending, nothing is lost`, () => buyer.assertBooks(net, here.config, opening));
  }
  await stack.stop(api.child);
}

const calls = async proxy => Object.values((await proxy.counts()).methods).reduce((sum, count) => sum + count, 0);

const BUSY_SECONDS = 8;

/** How providers say that they were asked too much: in the status, or in the body of an ordinary answer. */
const LIMITS = {
  '429 with Retry-After': { ...error(429, 'too many requests', 429), retry_after: BUSY_SECONDS },
  'a limit under 200 with its time in data': {
    status: 200,
    error: { code: -32005, message: 'project ID request rate exceeded', data: { rate: { backoff_seconds: BUSY_SECONDS } } },
  },
  'a limit under 200 with its time in words': error(-32090, `Too many requests, reason: call rate limit exhausted, retry in ${BUSY_SECONDS}s`),
};
const PER_SECOND = [
  { ...error(429, 'too many requests', 429), retry_after: 1 },
  error(-32007, '8/second request limit reached - reduce calls per second or upgrade your account'),
];

const refusedCalls = async proxy => Object.values((await proxy.counts()).refused).reduce((sum, count) => sum + count, 0);

/** The endpoint wants to be left alone: the other one is asked, and a lone one again after a moment. */
async function leftAlone(net, folder) {
  const proxies = {};
  for (const network of NETWORKS) proxies[network] = [await faultyProxy(net[network].rpc_url), await faultyProxy(net[network].rpc_url)];
  const more = Object.fromEntries(NETWORKS.map(network => [network, { rpc_urls: proxies[network].map(proxy => proxy.url) }]));
  const here = await world(net, folder, 'pause', { bin: stack.BIN, pendingSeconds: 3, more });
  const api = await here.start();
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  const LEFT_ALONE = 'an endpoint asks to be left alone';
  for (const [words, rate_refusal] of Object.entries(LIMITS)) {
    await test(`${words}: the first endpoint is left alone for what it said, and payments go on`, async () => {
      for (const network of NETWORKS) {
        await proxies[network][0].reset();
        await proxies[network][0].profile({ calls_per_second: 0, rate_refusal });
        await buys(here, api, network);
      }
      await until('it to be told', () => lines(api, LEFT_ALONE).length >= 2);
      // Each is left alone for eight seconds from its last word.
      for (const network of NETWORKS) {
        await until('a refusal', async () => await refusedCalls(proxies[network][0]) > 0);
      }
      for (const network of NETWORKS) await proxies[network][0].reset();
      const began = Date.now();
      for (const network of NETWORKS) await buys(here, api, network);
      const seconds = (Date.now() - began) / 1_000;
      for (const network of NETWORKS) {
        // One word renews the pause; what was under way together with it counts too.
        const made = await calls(proxies[network][0]);
        assert.ok(made <= 12 * (1 + Math.floor(seconds / BUSY_SECONDS)), `${network}: ${made} calls in ${seconds} s`);
        await proxies[network][0].unlimited();
        await proxies[network][0].reset();
      }
      for (const network of NETWORKS) {
        await until('it to be asked again', async () => await calls(proxies[network][0]) > 0);
      }
    });
  }
  for (const rate_refusal of PER_SECOND) {
    await test(`${rate_refusal.error.message} under ${rate_refusal.status}, from every endpoint: what was sent is found all the same`, async () => {
      for (const network of NETWORKS) {
        for (const proxy of proxies[network]) {
          await proxy.reset();
          await proxy.profile({ calls_per_second: 8, rate_refusal });
        }
      }
      for (const network of NETWORKS) {
        await until(`a refusal by every endpoint of ${network}`, async () => {
          await buys(here, api, network, 90);
          return (await Promise.all(proxies[network].map(refusedCalls))).every(count => count > 0);
        });
      }
    });
  }
  for (const network of NETWORKS) for (const proxy of proxies[network]) await proxy.unlimited();
  for (const opening of opened) {
    await test(`pause: ${opening.network}: nothing is pending, nothing is lost`, () => buyer.assertBooks(net, here.config, opening));
  }
  await stack.stop(api.child);
}

/** A node that repeats the URL it is asked at, in every way it can. */
async function noKeys(net, folder) {
  const key = 'k3y-Zk9sQ2wYt7RfLp3XnVb8';
  const proxy = await faultyProxy(net.base.rpc_url);
  const url = `${proxy.url.replace('://', `://user:${key}@`)}/v2/${key}?apikey=${key}`;
  const here = await world(net, folder, 'keys', { bin: stack.BIN, serve: true, rpc: { base: url } });
  const api = await here.start();
  const said = `no quota for ${url}\r\n\u001b[31mERROR forged line ${key}`;
  await test('no key and no control character of a node gets into logs, answers or metrics', async () => {
    const every = { method: '*', action: 'error', error: { code: -32000, message: said }, times: 100_000 };
    await proxy.faults(every);
    const ready = await until('the line', async () => {
      const log = api.child.log.join('\n');
      return log.includes('an endpoint fails at a method') && log.includes('no new tariff') && log;
    });
    const metrics = await (await fetch(`${api.url}/metrics`)).text();
    for (const [where, text] of [['log', ready], ['metrics', metrics]]) {
      assert.ok(!text.includes(key), `${where}: ${text.split('\n').find(line => line.includes(key))}`);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: it is they that must not stand there
      assert.ok(!/[\u0000-\u0008\u000b-\u001f]/.test(text), where);
      assert.ok(!/^.?ERROR forged/m.test(text), where);
    }
    assert.match(metrics, /^quittance_endpoint_failures_total\{endpoint="0",method="eth_getBlockByNumber",network="eip155:8453"\} [1-9]/m);
    assert.match(metrics, /^quittance_endpoint_left_out\{endpoint="0",network="eip155:8453",reason="silent"\} 1/m);
    assert.match(metrics, /^quittance_endpoint_head_age_seconds\{endpoint="0",network="eip155:8453"\} \d+/m);
  });
  await stack.stop(api.child);
}

const PROFILES = ['ten_blocks', 'fifty_blocks', 'five_hundred_blocks', 'two_thousand_blocks', 'ten_thousand_blocks'];
const only = process.argv.slice(2);
const wanted = name => only.length === 0 || only.includes(name);

await stack.withStack(async folder => {
  const net = await stack.devnet();
  for (const name of PROFILES.filter(wanted)) await provider(net, folder, name);
  if (wanted('refusals')) await refusals(net, folder);
  for (const which of [0, 1]) if (wanted(`still${which}`)) await standsStill(net, folder, which);
  if (wanted('pause')) await leftAlone(net, folder);
  if (wanted('keys')) await noKeys(net, folder);
});
finish();
