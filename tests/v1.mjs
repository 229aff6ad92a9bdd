// x402 version 1 beside version 2: unmodified clients of version 1 buy at the gate,
// unmodified servers of version 1 have `quittance serve` verify and settle, and one
// authorization is one payment in whichever version it is sent.
//
//   node tests/v1.mjs
import assert from 'node:assert/strict';

import * as chain from './lib/chain.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import * as v1 from './lib/version-1.mjs';
import { until } from './lib/buyer.mjs';
import { finish, row, test } from './lib/tally.mjs';

const NETWORKS = ['base', 'solana'];
const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const PATH = '/v1/generation-requests?wait=true';
const JSON_TYPE = { 'Content-Type': 'application/json' };

let made = 0;
function item() {
  made += 1;
  return { type: 'image', model: 'gen', prompt: `Mug ${made}`, aspect_ratio: '1:1', output_format: 'png' };
}
/** A body that no other request here has; two items cost twice as much. */
const image = (count = 1) => JSON.stringify({ requests: Array.from({ length: count }, item) });

const runs = async api => (await stack.json(`${api.url}/test/handler-runs`)).runs;
const settledRows = async config => (await stack.books(config)).filter(one => one.state === 'settled').length;

async function offers(api, body) {
  const answer = await http.send(api.url, { path: PATH, headers: JSON_TYPE, body });
  assert.equal(answer.status, 402, answer.text);
  return { first: answer.json, second: http.decode(answer.headers['payment-required']), head: answer.headers };
}

/** Sends a payment with headers of the test's choice. */
const pay = (api, body, headers) => http.send(api.url, { path: PATH, headers: { ...JSON_TYPE, ...headers }, body });

/** The chain's own word for a receipt. */
async function onChain(net, network, transaction, payTo, amount) {
  const moved = network === 'base'
    ? await chain.baseTransfer(net.base.rpc_url, net.base.usdc, transaction)
    : await until('the transaction', async () => chain.solanaTransfer(net.solana.rpc_url, net.solana.mint, transaction).catch(() => false));
  assert.equal(moved.pay_to.toLowerCase(), payTo.toLowerCase());
  if (amount) assert.equal(moved.amount, amount);
  return moved;
}

async function bodyOfA402(api) {
  const { first, second, head } = await offers(api, image());
  assert.equal(first.x402Version, 1);
  assert.equal(second.x402Version, 2);
  assert.ok(Object.entries(head).flat().join(': ').length < 4_096, 'a proxy takes the head');
  assert.deepEqual(first.accepts.map(one => one.network), NETWORKS);
  for (const [index, one] of first.accepts.entries()) {
    const read = v1.readRequirements.parse(one);
    const terms = second.accepts[index];
    assert.deepEqual(
      [read.maxAmountRequired, read.payTo, read.asset, read.maxTimeoutSeconds, read.extra],
      [terms.amount, terms.payTo, terms.asset, terms.maxTimeoutSeconds, terms.extra],
    );
    assert.equal(read.resource, `${api.url}${PATH}`);
    assert.equal(CAIP[read.network], terms.network);
  }
  assert.equal(first.accepts[1].extra.feePayer, second.accepts[1].extra.feePayer);
}

async function buys(net, api, network, payTo, buy) {
  const before = await runs(api);
  const bought = await buy(net, network, `${api.url}${PATH}`, image());
  assert.equal(bought.status, 200, bought.text);
  const receipt = v1.decode(bought.header);
  assert.equal(receipt.success, true);
  assert.equal(receipt.network, network);
  const moved = await onChain(net, network, receipt.transaction, payTo);
  assert.equal(moved.payer.toLowerCase(), receipt.payer.toLowerCase());
  assert.equal(await runs(api), before + 1);
}

/** P1: ten requests at once, in both versions and both headers. */
async function onePaymentAtTheGate(net, api, network, config) {
  const body = image();
  const { first, second } = await offers(api, body);
  const old = await v1.sign(net, network, { ...first, accepts: first.accepts.filter(one => one.network === network) });
  const fresh = v1.inVersion2(old, second.accepts.find(one => one.network === CAIP[network]));
  const [before, rows] = [await runs(api), await settledRows(config)];
  const ways = [{ 'X-PAYMENT': old }, { 'PAYMENT-SIGNATURE': fresh }, { 'X-PAYMENT': old, 'PAYMENT-SIGNATURE': fresh }, { 'X-PAYMENT': fresh, 'PAYMENT-SIGNATURE': fresh }];
  const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => pay(api, body, ways[index % ways.length])));
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  assert.equal(new Set(answers.map(answer => answer.text)).size, 1, 'one answer');
  const transactions = answers.map(answer => http.decode(answer.headers['payment-response']).transaction);
  assert.equal(new Set(transactions).size, 1, 'one settlement');
  for (const [index, answer] of answers.entries()) {
    const told = answer.headers['x-payment-response'];
    assert.equal(told !== undefined, 'X-PAYMENT' in ways[index % ways.length]);
    if (told) assert.deepEqual([v1.decode(told).network, v1.decode(told).transaction], [network, transactions[0]]);
  }
  assert.deepEqual([await runs(api), await settledRows(config)], [before + 1, rows + 1]);
  // Bound to its request, in either version.
  for (const headers of ways) assert.equal((await pay(api, image(), headers)).status, network === 'base' ? 409 : 402);
  assert.equal(await runs(api), before + 1);
}

async function refusedAtTheGate(net, api) {
  const body = image();
  const { first, second } = await offers(api, body);
  const only = network => ({ ...first, accepts: first.accepts.filter(one => one.network === network) });
  const header = await v1.sign(net, 'base', only('base'));
  const payment = http.decode(header);
  const changed = more => http.encode({ ...payment, ...more });
  const code = async (name, sent, wanted, headers = { 'X-PAYMENT': sent }) => row(`gate: ${name}`, async () => {
    const before = await runs(api);
    const answer = await pay(api, body, headers);
    assert.equal(answer.status, 402, answer.text);
    assert.equal(answer.json.code, wanted, answer.json.message);
    assert.equal(answer.json.x402Version, 1);
    for (const one of answer.json.accepts) v1.readRequirements.parse(one);
    assert.equal(await runs(api), before);
  });
  await code('the name of another network', changed({ network: 'base-sepolia' }), 'invalid_network');
  await code('Solana\'s name', changed({ network: 'solana' }), 'invalid_exact_svm_payload_transaction');
  await code('a CAIP-2 identifier', changed({ network: stack.BASE }), 'invalid_network');
  await code('version 2 and the shape of version 1', changed({ x402Version: 2 }), 'invalid_payload');
  await code('version 1 and the shape of version 2', changed({ accepted: second.accepts[0] }), 'invalid_x402_version');
  await code('another scheme', changed({ scheme: 'upto' }), 'invalid_exact_evm_scheme');
  await code('14 KB of nothing', 'A'.repeat(14_000), 'invalid_payload');
  const less = { ...payment.payload.authorization, value: '1' };
  await code('another amount than was signed', changed({ payload: { ...payment.payload, authorization: less } }), 'invalid_exact_evm_signature');
  const cheap = only('base');
  cheap.accepts[0].maxAmountRequired = String(BigInt(cheap.accepts[0].maxAmountRequired) - 1n);
  await code('a unit less than the price', await v1.sign(net, 'base', cheap), 'invalid_exact_evm_payload_authorization_value_mismatch');
  const other = await v1.sign(net, 'base', only('base'));
  await code('another payment in each header', undefined, 'invalid_payload', {
    'X-PAYMENT': header, 'PAYMENT-SIGNATURE': v1.inVersion2(other, second.accepts[0]),
  });
  await row('gate: the price of another request', async () => {
    const answer = await pay(api, image(2), { 'X-PAYMENT': header });
    assert.equal(answer.status, 402);
    assert.equal(answer.json.code, 'invalid_exact_evm_payload_authorization_value_mismatch', answer.json.message);
  });
  // None of that used the authorization up.
  const bought = await pay(api, body, { 'X-PAYMENT': header });
  assert.equal(bought.status, 200, bought.text);
}

/** What the clients make of a run that failed: the answer and its receipt, and the same payment buys it again. */
async function creditIsTold(net, api, network, config) {
  const rows = await settledRows(config);
  let header;
  const noting = async (url, init) => {
    header = init?.headers?.['X-PAYMENT'];
    return fetch(url, init);
  };
  const pay = await v1.paying(net, network, noting);
  const body = JSON.stringify({ note: image() });
  const failed = await pay(`${api.url}/test/fail-once`, v1.request(body));
  const receipt = v1.decode(failed.headers.get('x-payment-response'));
  assert.equal(failed.status, 500, await failed.text());
  assert.deepEqual([receipt.success, receipt.network, receipt.payment_state], [true, network, 'credited']);
  assert.equal(failed.headers.get('x-should-retry'), 'false');
  const again = await http.send(api.url, { path: '/test/fail-once', headers: { ...JSON_TYPE, 'X-PAYMENT': header }, body });
  assert.equal(again.status, 200, again.text);
  assert.equal(v1.decode(again.headers['x-payment-response']).transaction, receipt.transaction);
  assert.equal(await settledRows(config), rows + 1, 'paid once');
  const told = await v1.buyWithAxios(net, network, `${api.url}/test/fail-once`, JSON.stringify({ note: image() })).catch(error => error);
  assert.equal(told.response?.status, 500, String(told));
  assert.equal(v1.decode(told.response.headers['x-payment-response']).payment_state, 'credited');
}

/** Terms of a foreign server in version 1, and the same in version 2. */
async function terms(net, network, program, amount = '50000') {
  const second = await official.terms(net, network, program.url, { base: net.base.pay_to, solana: net.solana.pay_to }, amount);
  const { amount: maxAmountRequired, network: _, ...same } = second;
  return { second, first: { ...same, network, maxAmountRequired, resource: 'https://shop.example/thing', description: '', mimeType: '' } };
}

async function ask(program, path, paymentPayload, paymentRequirements, x402Version = 1) {
  const body = JSON.stringify({ x402Version, paymentPayload, paymentRequirements });
  return http.send(program.url, { path, headers: JSON_TYPE, body });
}

/** P1 for servers that may not know of each other. */
async function onePaymentAtSettle(net, program, network) {
  const { first, second } = await terms(net, network, program);
  const payment = http.decode(await v1.sign(net, network, { x402Version: 1, accepts: [first] }));
  const fresh = { x402Version: 2, accepted: second, payload: payment.payload };
  const both = path => [ask(program, path, payment, first), ask(program, path, fresh, second, 2)];
  const [valid] = await Promise.all(both('/verify').slice(0, 1));
  assert.equal(v1.readAnswer.verify.parse(valid.json).isValid, true, valid.text);
  const answers = await Promise.all([0, 1, 2, 3].flatMap(() => both('/settle')));
  const told = answers.filter(answer => answer.json.success);
  assert.equal(told.length, 1, 'one success');
  const later = answers.filter(answer => !answer.json.success);
  for (const { json } of later) assert.match(json.errorReason, /^(duplicate_settlement|settlement_pending)$/);
  const { transaction } = told[0].json;
  const [old, late] = await Promise.all(both('/settle'));
  for (const { json } of [old, late]) assert.deepEqual([json.errorReason, json.transaction], ['duplicate_settlement', transaction]);
  assert.deepEqual([old.json.network, late.json.network], [network, CAIP[network]]);
  v1.readAnswer.settle.parse(old.json);
  await onChain(net, network, transaction, network === 'base' ? net.base.pay_to : net.solana.pay_to, '50000');
}

async function refusedAtSettle(net, program) {
  const { first, second } = await terms(net, 'base', program);
  const payment = http.decode(await v1.sign(net, 'base', { x402Version: 1, accepts: [first] }));
  const { payload } = payment;
  const { from } = payload.authorization;
  const garbage = { ...payload, signature: `0x${'1'.repeat(128)}1b` };
  const rows = [
    ['a signature of nobody', { ...payment, payload: garbage }, first, 'invalid_exact_evm_payload_signature'],
    ['more asked than was signed', payment, { ...first, maxAmountRequired: '50001' }, 'invalid_exact_evm_payload_authorization_value'],
    ['less asked than was signed', payment, { ...first, maxAmountRequired: '49999' }, 'invalid_exact_evm_payload_authorization_value'],
    ['paid on another network', { ...payment, network: 'base-sepolia' }, first, 'invalid_network'],
    ['asked on another network', payment, { ...first, network: 'base-sepolia' }, 'invalid_network'],
    ['another scheme', { ...payment, scheme: 'upto' }, first, 'unsupported_scheme'],
    ['somebody else\'s payTo', payment, { ...first, payTo: from }, 'invalid_payment_requirements'],
  ];
  for (const [name, paid, wanted, code] of rows) {
    await row(`/verify and /settle: ${name}`, async () => {
      const verified = await ask(program, '/verify', paid, wanted);
      assert.equal(verified.status, 200, verified.text);
      const read = v1.readAnswer.verify.parse(verified.json);
      assert.deepEqual([read.isValid, read.invalidReason, read.payer], [false, code, from]);
      const settled = await ask(program, '/settle', paid, wanted);
      assert.equal(settled.status, 200, settled.text);
      const { success, errorReason, transaction, network, payer } = settled.json;
      assert.deepEqual([success, errorReason, transaction, payer], [false, code, '', from]);
      assert.equal(network, wanted.network);
    });
  }
  const versions = [
    ['a CAIP-2 identifier', payment, { ...first, network: stack.BASE }, 1, 200, 'invalid_network'],
    ['version 1 about a payment of version 2', { x402Version: 2, accepted: second, payload }, second, 1, 200, 'invalid_x402_version'],
    ['version 2 about a payment of version 1', payment, first, 2, 200, 'invalid_x402_version'],
    ['version 3', { ...payment, x402Version: 3 }, first, 3, 200, 'invalid_x402_version'],
    ['version 1 in the shape of version 2', { x402Version: 1, accepted: second, payload }, second, 1, 400, undefined],
    ['version 2 in the shape of version 1', { ...payment, x402Version: 2 }, first, 2, 400, undefined],
  ];
  for (const [name, paid, wanted, version, status, code] of versions) {
    await row(`/verify and /settle: ${name}`, async () => {
      const verified = await ask(program, '/verify', paid, wanted, version);
      assert.deepEqual([verified.status, verified.json.invalidReason], [status, code], verified.text);
      const settled = await ask(program, '/settle', paid, wanted, version);
      assert.deepEqual([settled.status, settled.json.errorReason], [status, code], settled.text);
    });
  }
  // None of that used the authorization up.
  const settled = await ask(program, '/settle', payment, first);
  assert.equal(settled.json.success, true, settled.text);
}

/** A server of version 1 verifies, runs its handler, and settles. */
async function sells(net, network, shop, inner) {
  let header;
  const noting = async (url, init) => {
    header = init?.headers?.['X-PAYMENT'] ?? header;
    return inner(url, init);
  };
  const pay = await v1.paying(net, network, noting);
  const answer = await pay(shop.url, {});
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  const receipt = v1.decode(answer.headers.get('x-payment-response'));
  assert.deepEqual([receipt.success, receipt.network, shop.counted.runs], [true, network, 1]);
  await onChain(net, network, receipt.transaction, network === 'base' ? net.base.pay_to : net.solana.pay_to, '50000');
  // The same payment again buys nothing: `/verify` says so before the handler runs.
  const again = await inner(shop.url, { headers: { 'X-PAYMENT': header } });
  const refused = await again.json();
  assert.deepEqual([again.status, refused.error, shop.counted.runs], [402, 'duplicate_settlement', 1]);
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--payers', '1');
  const config = stack.configure(folder, net, { name: 'api', port: await stack.freePort(), more: stack.apiTerms(net) });
  const api = await stack.sampleApi(net, config, { env: stack.apiWallets(net) });
  const program = await stack.facilitatorBeside(folder, net);
  const payTo = { base: net.base.api_pay_to, solana: net.solana.api_pay_to };

  await test('the header of a 402 is version 2, and its body passes version 1\'s schema', () => bodyOfA402(api));
  for (const network of NETWORKS) {
    await test(`${network}: x402-fetch buys`, () => buys(net, api, network, payTo[network], v1.buyWithFetch));
    await test(`${network}: x402-axios buys`, () => buys(net, api, network, payTo[network], v1.buyWithAxios));
    await test(`${network}: one payment in both versions and headers at once`, () => onePaymentAtTheGate(net, api, network, config));
    await test(`${network}: a failed run is a credit of the same payment`, () => creditIsTold(net, api, network, config));
    await test(`${network}: one payment in both versions at /settle at once`, () => onePaymentAtSettle(net, program, network));
  }
  await test('a server of version 2 finds its kinds beside those of version 1, and sells', async () => {
    const shop = await official.shop(() => program.url, { base: net.base.pay_to, solana: net.solana.pay_to });
    for (const network of NETWORKS) {
      const bought = await official.buy(net, network, `${shop.url}/thing/${network}`, { isFinal: official.servedOrRefused });
      assert.equal(bought.status, 200, bought.text);
    }
    shop.close();
  });
  await test('what is refused at the gate', () => refusedAtTheGate(net, api));
  await test('what is refused at /verify and /settle', () => refusedAtSettle(net, program));
  for (const network of NETWORKS) {
    const recipient = network === 'base' ? net.base.pay_to : net.solana.pay_to;
    await test(`${network}: x402-express sells`, async () => {
      const shop = await v1.shopOnExpress(program.url, network, recipient);
      await sells(net, network, shop, fetch);
      shop.close();
    });
    await test(`${network}: quittance pay buys from x402-express`, async () => {
      const shop = await v1.shopOnExpress(program.url, network, recipient);
      const bought = await stack.quittancePay(net, shop.url, network);
      assert.deepEqual([bought.status, bought.body, bought.receipt.network], [200, { thing: 1 }, network], JSON.stringify(bought));
      shop.close();
    });
    await test(`${network}: x402-hono sells`, () => {
      const shop = v1.shopOnHono(program.url, network, recipient);
      return sells(net, network, shop, shop.fetch);
    });
  }
});
finish();
