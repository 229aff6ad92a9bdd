// The gate end to end: credits, bindings, replays, bypass, discovery, polling,
// streams, and a recipient account that the first payment creates.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as stack from './lib/stack.mjs';
import * as chain from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';

const IMAGE = { type: 'image', model: 'gen', prompt: 'A brass key', aspect_ratio: '1:1', output_format: 'png' };
const decode = text => text && JSON.parse(Buffer.from(text, 'base64'));
const encode = value => Buffer.from(JSON.stringify(value)).toString('base64');

async function send(signed, change = {}) {
  const { request } = signed;
  const answer = await fetch(change.url ?? request.url, {
    method: request.method,
    headers: { ...request.headers, 'PAYMENT-SIGNATURE': change.header ?? signed.header, ...change.headers },
    body: change.body ?? request.body,
  });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    receipt: decode(answer.headers.get('payment-response')),
    required: decode(answer.headers.get('payment-required')),
    text,
    json: () => JSON.parse(text),
  };
}

/** The same payment with a payment-identifier, as `quittance pay` sends one. */
function withIdentifier(signed, id) {
  const payment = decode(signed.header);
  payment.extensions = { ...payment.extensions, 'payment-identifier': { info: { required: false, id } } };
  return { ...signed, header: encode(payment) };
}

const sign = (net, api, network, ...more) => stack.officialSign(net, api.url, network, ...more);
const unpaid = (api, path, body, headers = {}) =>
  fetch(`${api.url}${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body });

async function failuresBecomeCredits(net, api, network) {
  const signed = await sign(net, api, network, '--path', '/test/fail', '--body', '{}');
  for (let run = 1; run <= 3; run += 1) {
    const answer = await send(signed);
    assert.equal(answer.status, 500, `run ${run}`);
    assert.equal(answer.receipt?.success, true, 'a failed handler still gives the receipt');
  }
  const exhausted = await send(signed);
  assert.equal(exhausted.status, 409);
  assert.equal(exhausted.json().error, 'credit_exhausted');
  return exhausted.receipt ?? exhausted.json().receipt;
}

async function otherRequestIsRefused(net, api, network) {
  const signed = await sign(net, api, network, '--what', 'image');
  const first = await send(signed);
  assert.equal(first.status, 200);
  const otherBody = JSON.stringify({ requests: [{ ...IMAGE, prompt: 'Another' }] });
  for (const change of [{ body: otherBody }, { url: `${signed.request.url}&wait_timeout_seconds=9` }]) {
    const other = await send(signed, change);
    assert.equal(other.status, 409, JSON.stringify(change));
    assert.equal(other.json().error, 'request_mismatch');
  }
  const again = await send(signed);
  assert.equal(again.text, first.text, 'the same request gets the same answer');
}

/** Landed bytes are public: they prove payment, not identity. */
async function chainReadersGetNothing(net, api, network) {
  const plain = await sign(net, api, network, '--what', 'image');
  const signed = withIdentifier(plain, `test_${network}_0123456789abcdef`);
  const first = await send(signed);
  assert.equal(first.status, 200, first.text.slice(0, 300));
  for (const thief of [plain, withIdentifier(plain, 'test_somebody_else_0123')]) {
    const stolen = await send(thief);
    assert.equal(stolen.status, 409, 'the answer is not replayed to who lacks the identifier');
    assert.notEqual(stolen.text, first.text);
  }
  assert.equal((await send(signed)).text, first.text, 'the customer gets it again');
  const reused = withIdentifier(await sign(net, api, network, '--what', 'image'), `test_${network}_0123456789abcdef`);
  assert.equal((await send(reused)).status, 409, 'one identifier, two payments');
}

async function creditIsNotForThieves(net, api, network) {
  const plain = await sign(net, api, network, '--path', '/test/fail', '--body', '{}');
  const signed = withIdentifier(plain, `credit_${network}_0123456789abcdef`);
  assert.equal((await send(signed)).status, 500);
  assert.equal((await send(plain)).status, 409, 'the credit is not for who read the chain');
  assert.equal((await send(signed)).status, 500, 'the customer may try again');
}

async function pollingWorks(net, api) {
  const path = '/v1/generation-requests';
  const body = JSON.stringify({ requests: [IMAGE] });
  const signed = await sign(net, api, 'base', '--path', path, '--body', body);
  const accepted = await send(signed);
  assert.equal(accepted.status, 200);
  const { request_id: id, status } = accepted.json();
  assert.match(id, /^req_[0-9a-f]{32}$/);
  assert.ok(['accepted', 'processing', 'completed'].includes(status), status);
  const deadline = Date.now() + 20_000;
  for (;;) {
    const polled = await stack.json(`${api.url}${path}/${id}`);
    if (polled.status === 'completed') break;
    assert.ok(Date.now() < deadline, `still ${polled.status}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  const guessed = await fetch(`${api.url}${path}/req_${'0'.repeat(32)}`);
  assert.equal(guessed.status, 404);
}

async function discoveryAgrees(net, api) {
  const shown = await stack.json(`${api.url}/v1/x402`);
  const wellKnown = await stack.json(`${api.url}/.well-known/x402`);
  assert.deepEqual(wellKnown, shown);
  assert.equal(shown.x402Version, 2);
  const networks = shown.networks.map(entry => entry.network);
  assert.deepEqual(networks, [stack.BASE, stack.SOLANA], 'Base first');
  const answer = await unpaid(api, '/v1/generation-requests', JSON.stringify({ requests: [IMAGE] }));
  const required = decode(answer.headers.get('payment-required'));
  assert.equal(answer.status, 402);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.deepEqual(required.accepts.map(offer => offer.network), networks);
  for (const [index, offer] of required.accepts.entries()) {
    assert.equal(offer.payTo, shown.networks[index].payTo);
    assert.equal(offer.amount, offer.maxAmountRequired);
    assert.equal(offer.maxTimeoutSeconds, 120);
    assert.equal(offer.extra.paymentFlow, 'upfront');
    const { service_usdc, gas_usdc, total_usdc } = offer.extra.breakdown;
    const units = decimal => BigInt(decimal.replace('.', ''));
    assert.equal(units(service_usdc) + units(gas_usdc), units(total_usdc));
    assert.equal(units(total_usdc), BigInt(offer.amount));
  }
  assert.equal(required.accepts[0].extra.name, 'USD Coin');
  assert.equal(required.accepts[1].extra.feePayer, net.solana.pay_to);
  const paths = shown.endpoints.filter(entry => entry.method === 'POST').map(entry => entry.path);
  assert.ok(paths.includes('/v1/generation-requests') && paths.includes('/v1/chat/completions'), paths.join());
}

async function accountsBypass(api, runsBefore) {
  const body = JSON.stringify({ requests: [IMAGE] });
  const path = '/v1/generation-requests?wait=true';
  const account = await unpaid(api, path, body, { 'X-API-Key': 'alice', 'X-API-Secret': 's3cret-of-alice' });
  assert.equal(account.status, 200);
  assert.equal(account.headers.get('payment-response'), null, 'nothing was paid');
  for (const headers of [
    { 'X-API-Key': 'alice', 'X-API-Secret': 'wrong' },
    { 'X-API-Key': 'alice' },
    { Authorization: 'Bearer alice:wrong' },
    { Authorization: 'Bearer x' },
    { Authorization: 'Basic YWxpY2U6czNjcmV0LW9mLWFsaWNl' },
  ]) {
    assert.equal((await unpaid(api, path, body, headers)).status, 402, JSON.stringify(headers));
  }
  const after = (await stack.json(`${api.url}/test/handler-runs`)).runs;
  assert.equal(after - runsBefore, 1, 'only the account ran a handler');
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const secret = createHash('sha256').update('s3cret-of-alice').digest('hex');
  const keys = join(folder, 'keys.toml');
  writeFileSync(keys, `[[keys]]\nname = "alice"\nkey = "alice"\nsecret_sha256 = "${secret}"\n`);
  const config = stack.configure(folder, net, {
    port: await stack.freePort(),
    more: { solana: { token_account: 'in_payment' } },
  });
  const api = await stack.sampleApi(net, config, { args: ['--api-keys', keys] });

  await test('the first Solana payment creates the recipient account and is charged its rent', async () => {
    const answer = await unpaid(api, '/v1/generation-requests', JSON.stringify({ requests: [IMAGE] }));
    const [, offer] = decode(answer.headers.get('payment-required')).accepts;
    // 0.00203928 SOL at 150 USD.
    assert.ok(Number(offer.extra.breakdown.gas_usdc) > 0.305, offer.extra.breakdown.gas_usdc);
    const paid = await stack.quittancePay(
      net, `${api.url}/v1/generation-requests?wait=true`, 'solana', JSON.stringify({ requests: [IMAGE] }),
    );
    assert.equal(paid.status, 200);
    assert.equal(paid.payment.amount, await chain.solanaBalance(net.solana.rpc_url, net.solana.mint, net.solana.pay_to));
  });
  await test('afterwards the rent is no longer charged', async () => {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const answer = await unpaid(api, '/v1/generation-requests', JSON.stringify({ requests: [IMAGE] }));
      const [, offer] = decode(answer.headers.get('payment-required')).accepts;
      if (Number(offer.extra.breakdown.gas_usdc) < 0.01) break;
      assert.ok(Date.now() < deadline, offer.extra.breakdown.gas_usdc);
      await new Promise(resolve => setTimeout(resolve, 200));
    }
  });
  await test('discovery, 402 and configuration agree', () => discoveryAgrees(net, api));
  await test('an account with a key is served without payment, junk credentials are not', async () =>
    accountsBypass(api, (await stack.json(`${api.url}/test/handler-runs`)).runs));
  await test('an asynchronous request is polled by its unguessable id', () => pollingWorks(net, api));
  await test('a stream is paid for and delivered', () => stack.officialBuy(net, api.url, 'base', 'chat-stream'));
  for (const network of ['base', 'solana']) {
    await test(`a failed handler leaves a credit, three times, on ${network}`, () => failuresBecomeCredits(net, api, network));
    await test(`a payment buys one request on ${network}`, () => otherRequestIsRefused(net, api, network));
    await test(`who reads the chain gets no answer on ${network}`, () => chainReadersGetNothing(net, api, network));
    await test(`who reads the chain gets no credit on ${network}`, () => creditIsNotForThieves(net, api, network));
  }
});
finish();
