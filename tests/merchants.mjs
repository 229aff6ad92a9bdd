// Two merchants on one facilitator: keys, their own addresses, and nothing of each other's.
// Official clients pay official servers, which have `quittance serve` settle with their keys.
//
//   node tests/merchants.mjs
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { stranger } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

/** Keys act within `merchants.refresh_seconds`, here one second, and what a busy machine adds. */
const SECONDS = 20;

const json = text => JSON.parse(text);
const merchants = async (here, ...args) => stack.program('merchants', ...args, '--config', here.config);

/** Every key that was ever shown, for the search at the end. */
const shown = [];

async function created(here, name, payTo, ...more) {
  const where = NETWORKS.flatMap(network => ['--pay-to', `${network}=${payTo[network]}`]);
  const made = json(await merchants(here, 'create', name, ...where, '--json', ...more));
  shown.push(made.api_key);
  return made;
}

const header = key => ({ 'X-API-Key': key });
const bearer = key => ({ Authorization: `Bearer ${key}` });

/** A call of a foreign server; resolves to status and body. */
async function call(here, path, { key, headers = key ? header(key) : {}, payment, requirements } = {}) {
  const body = payment && JSON.stringify({
    x402Version: 2, paymentPayload: payment, paymentRequirements: requirements ?? payment.accepted,
  });
  const answer = await fetch(`${here.url}/${path}`, {
    method: body ? 'POST' : 'GET', body, headers: { ...(body && { 'Content-Type': 'application/json' }), ...headers },
  });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

/** Asked with a key that is not known yet, more slowly than wrong ones are forgiven here. */
const ASK_MS = 500;
const WRONG_KEYS_PER_MINUTE = 300;

const known = (here, key) => until('the key to work', async () => (await call(here, 'supported', { key })).status === 200, SECONDS, ASK_MS);
const unknown = (here, key) => until('the key to end', async () => (await call(here, 'supported', { key })).status === 401, SECONDS, ASK_MS);

/** The merchant's terms for one sale, as `/supported` says them. */
async function terms(here, network, merchant, amount = '50000') {
  const { body } = await call(here, 'supported', { key: merchant.key });
  const caip = network === 'base' ? stack.BASE : stack.SOLANA;
  const { extra } = body.kinds.find(one => one.network === caip);
  assert.equal(extra.payTo, merchant.payTo[network]);
  return {
    scheme: 'exact', network: caip, amount, asset: extra.asset, payTo: extra.payTo, maxTimeoutSeconds: 120,
    extra: network === 'base' ? { name: 'USD Coin', version: '2' } : { feePayer: extra.feePayer },
  };
}

const paid = async (here, network, merchant, amount) =>
  official.pay(here.net, network, await terms(here, network, merchant, amount));

const settled = (here, merchant, payment) => until('the payment to settle', async () => {
  const { body } = await call(here, 'settle', { key: merchant.key, payment });
  assert.ok(body.success || body.retryAction === 'retry_same_payment' || body.retry_action === 'retry_same_payment', JSON.stringify(body));
  return body.success && body;
}, 60);

const merchantOf = async (here, transaction) => (await stack.books(here.config)).find(one => one.transaction === transaction);

const statement = async (here, name) => json(await merchants(here, 'statement', name, '--json'));

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'merchants', {
    serve: true, bin: stack.BIN, pendingSeconds: 30, more: { merchants: { refresh_seconds: 1, labels_max: 1, wrong_keys_per_minute: WRONG_KEYS_PER_MINUTE } },
  });
  const program = await here.start({ QUITTANCE_LOG: 'trace' });
  const log = [...program.child.log];
  program.child.errors.on('line', line => log.push(line));
  const payTo = () => ({ base: stranger().address, solana: solana.stranger().address });
  const [one, two] = [{ name: 'one', payTo: payTo() }, { name: 'two', payTo: payTo() }];

  await test('without a merchant, calls without a key are the operator\'s, as ever', async () => {
    const offer = await official.terms(net, 'base', here.url, here.payTo);
    const payment = await official.pay(net, 'base', offer);
    assert.equal((await call(here, 'verify', { payment })).body.isValid, true);
    assert.equal((await call(here, 'settle', { payment })).body.success, true);
    assert.equal((await call(here, 'supported', { key: 'qk_a_b' })).status, 401);
  });

  await test('merchants are created beside the running program, and keys are needed from then on', async () => {
    one.key = (await created(here, 'one', one.payTo)).api_key;
    two.key = (await created(here, 'two', two.payTo, '--fee-policy', 'billed')).api_key;
    await Promise.all([known(here, one.key), known(here, two.key)]);
    const payment = await paid(here, 'base', one);
    const before = await stack.books(here.config);
    for (const headers of [{}, header('qk_x_y'), header(`${one.key}0`), bearer(one.key.slice(0, -1)), { Authorization: 'Basic eA==' }]) {
      for (const path of ['verify', 'settle']) {
        const refused = await call(here, path, { headers, payment });
        const isKey = /qk_/.test(JSON.stringify(headers));
        const code = isKey ? 'invalid_api_key' : 'missing_api_key';
        assert.equal(refused.status, 401, JSON.stringify(refused.body));
        assert.equal(refused.body.error, code);
        assert.equal(path === 'verify' ? refused.body.invalidReason : refused.body.errorReason, code);
      }
    }
    assert.deepEqual(await stack.books(here.config), before, 'nothing was written');
    assert.equal((await call(here, 'verify', { headers: bearer(one.key), payment })).body.isValid, true);
  });

  for (const network of NETWORKS) {
    await test(`${network}: official servers of two merchants are paid at their own addresses`, async () => {
      for (const merchant of [one, two]) {
        // On Solana its token account is created first, once, at the merchant's cost.
        await until('the merchant to be payable', async () => {
          const { body } = await call(here, 'verify', { key: merchant.key, payment: await paid(here, network, merchant) });
          return body.isValid;
        }, 60);
        const shop = await official.shop(() => here.url, { [network]: merchant.payTo[network] }, { auth: header(merchant.key) });
        const bought = await official.buy(net, network, `${shop.url}/thing/${network}`, { isFinal: official.servedOrRefused });
        shop.close();
        assert.equal(bought.status, 200, bought.text);
        const row = await merchantOf(here, bought.receipt.transaction);
        assert.equal(row.merchant, merchant.name);
        assert.equal(row.pay_to, merchant.payTo[network]);
        assert.equal(row.fee.policy, merchant === one ? 'added' : 'billed');
      }
    });

    await test(`${network}: what is one merchant's is no other's`, async () => {
      const payment = await paid(here, network, one);
      // Another's address, the operator's, another token: the mismatch that there always was.
      for (const payTo of [two.payTo[network], here.payTo[network]]) {
        const requirements = { ...payment.accepted, payTo };
        const other = await official.pay(net, network, requirements);
        const refused = await call(here, 'settle', { key: one.key, payment: other });
        assert.equal(refused.body.errorReason, 'invalid_payment_requirements', JSON.stringify(refused.body));
      }
      // The other merchant holds the same authorization: it can settle, check and learn nothing.
      for (const path of ['verify', 'settle']) {
        const { body } = await call(here, path, { key: two.key, payment });
        assert.ok(!body.success && !body.isValid, JSON.stringify(body));
      }
      assert.equal((await stack.books(here.config)).filter(row => row.state === 'claimed').length, 0);
      const { transaction } = await settled(here, one, payment);
      for (const requirements of [payment.accepted, { ...payment.accepted, payTo: two.payTo[network] }]) {
        const { body } = await call(here, 'settle', { key: two.key, payment, requirements });
        assert.equal(body.errorReason, 'duplicate_settlement', JSON.stringify(body));
        assert.ok(!JSON.stringify(body).includes(transaction), 'another merchant\'s transaction is not told');
      }
      const again = await call(here, 'settle', { key: one.key, payment });
      assert.equal(again.body.errorReason, 'duplicate_settlement');
      assert.equal(again.body.transaction, transaction);
    });
  }

  await test('a billed merchant may sell below what settling costs, and is billed for it', async () => {
    const cheap = await paid(here, 'base', two, '100');
    assert.equal((await settled(here, two, cheap)).success, true);
    const refused = await call(here, 'settle', { key: one.key, payment: await paid(here, 'base', one, '100') });
    assert.equal(refused.body.errorReason, 'invalid_payment_requirements');
  });

  await test('a merchant\'s limits hold it, and not the other', async () => {
    await merchants(here, 'set', 'one', '--amount-day-usdc', 'base=0.000001');
    const body = await until('the limit', async () => {
      const answer = await call(here, 'settle', { key: one.key, payment: await paid(here, 'base', one) });
      return answer.body.success ? undefined : answer.body;
    }, SECONDS);
    assert.equal(body.errorReason, 'network_unavailable', JSON.stringify(body));
    assert.equal((await settled(here, two, await paid(here, 'base', two))).success, true);
    await merchants(here, 'set', 'one', '--amount-day-usdc', 'base=1000');
    assert.equal((await settled(here, one, await paid(here, 'base', one))).success, true);
  });

  await test('statements and lists of each add up to its own payments', async () => {
    const all = await stack.books(here.config);
    for (const merchant of [one, two]) {
      const mine = all.filter(row => row.merchant === merchant.name && row.state === 'settled');
      const sum = field => mine.reduce((total, row) => total + BigInt(field(row)), 0n);
      const found = await until('every cost to be booked', async () => {
        const said = await statement(here, merchant.name);
        return BigInt(said.total.cost) > BigInt(said.total.rent) && said;
      });
      assert.equal(found.total.payments, mine.length);
      assert.equal(BigInt(found.total.amount), sum(row => row.amount));
      const carried = sum(row => row.fee.carried);
      assert.equal(BigInt(found.total.charged), merchant === one ? sum(row => row.gas) : 0n);
      assert.equal(BigInt(found.total.billed), merchant === two ? carried : 0n);
      assert.equal(found.total.token_accounts, 1, 'the rent of one token account');
      assert.ok(BigInt(found.total.rent) > 0n);
      for (const field of ['due', 'cost', 'margin', 'amount']) {
        const days = found.days.reduce((total, day) => total + BigInt(day[field]), 0n);
        assert.equal(days, BigInt(found.total[field]), field);
      }
      const listed = (await stack.program('payments', 'list', '--config', here.config, '--merchant', merchant.name, '--limit', '1000'))
        .split('\n').filter(Boolean).map(json);
      assert.deepEqual(listed.map(row => row.id), all.filter(row => row.merchant === merchant.name).map(row => row.id));
    }
    const metrics = await until('the day in the metrics', async () => {
      const text = await (await fetch(`${here.url}/metrics`)).text();
      return /quittance_merchant_day\{kind="payments",merchant="one"\} [1-9]/.test(text) && text;
    }, 40);
    assert.match(metrics, /quittance_merchant_day\{kind="payments",merchant="other"\} [1-9]/);
    assert.ok(!metrics.includes('merchant="two"'), 'labels are bounded');
  });

  await test('a rotated key ends, the new one works, and a closed merchant is nobody', async () => {
    const payment = await paid(here, 'base', one);
    const old = one.key;
    one.key = json(await merchants(here, 'rotate', 'one', '--overlap-seconds', '3600', '--json')).api_key;
    shown.push(one.key);
    await known(here, one.key);
    assert.equal((await call(here, 'verify', { key: old, payment })).body.isValid, true, 'both live');
    const next = json(await merchants(here, 'rotate', 'one', '--overlap-seconds', '0', '--json')).api_key;
    shown.push(next);
    await known(here, next);
    await unknown(here, old);
    await unknown(here, one.key);
    // One who paid before the closing is served after it: by the same server, once.
    const late = await paid(here, 'base', two);
    assert.equal((await call(here, 'verify', { key: two.key, payment: late })).body.isValid, true);
    const hung = new AbortController();
    const body = JSON.stringify({ x402Version: 2, paymentPayload: late, paymentRequirements: late.accepted });
    const begun = fetch(`${here.url}/settle`, { method: 'POST', body, signal: hung.signal, headers: { 'Content-Type': 'application/json', ...header(two.key) } });
    await until('the claim', async () => (await stack.books(here.config))[0].merchant === 'two');
    hung.abort();
    await begun.catch(() => {});
    await merchants(here, 'close', 'two');
    await unknown(here, two.key);
    const heard = await until('the word of what was paid', async () => {
      const answer = await call(here, 'settle', { key: two.key, payment: late });
      return answer.body.success !== false || answer.body.errorReason === 'duplicate_settlement' ? answer : undefined;
    });
    assert.ok(heard.body.success || heard.body.transaction, JSON.stringify(heard.body));
    const refused = await call(here, 'settle', { key: two.key, payment });
    assert.deepEqual([refused.status, refused.body.error], [401, 'invalid_api_key']);
    assert.equal((await settled(here, { ...one, key: next }, payment)).success, true);
    assert.equal(json(await merchants(here, 'show', 'two')).state, 'closed');
  });

  await test('an address that tries keys is told to wait, and who has one is not', async () => {
    const tried = await until('429', async () => {
      const answer = await call(here, 'supported', { key: 'qk_0000_0000' });
      return answer.status === 429 && answer;
    }, 60, 0);
    assert.ok(Number(tried.headers.get('retry-after')) > 0);
    assert.equal((await call(here, 'supported', { key: shown.at(-1) })).status, 200);
  });

  await test('keys stand in no log, metric, list or database', async () => {
    const metrics = await (await fetch(`${here.url}/metrics`)).text();
    const listed = await merchants(here, 'list');
    await stack.stop(program.child);
    const files = readdirSync(folder).filter(name => name.startsWith('merchants.sqlite'));
    assert.ok(files.length > 0);
    const stored = files.map(name => readFileSync(join(folder, name)).toString('latin1'));
    const texts = { log: log.join('\n'), metrics, listed, ...stored };
    for (const key of shown) {
      const secret = key.split('_').at(-1);
      assert.equal(secret.length, 64);
      for (const [where, text] of Object.entries(texts)) {
        assert.ok(!text.toLowerCase().includes(secret), `a key is in ${where}`);
        assert.ok(!text.includes(Buffer.from(secret, 'hex').toString('latin1')), `the bytes of a key are in ${where}`);
      }
    }
    assert.ok(log.length > 100, 'the log was read');
  });
});
finish();
