// Bad input against the whole system: the gate in front of the sample API, and
// /verify and /settle of `quittance serve`, over both real chains.
//
// Whatever a stranger sends, nothing is written, nothing runs, nothing moves on
// chain, no RPC call is made that is not needed, and the answer names the
// reason in the reference's words. Afterwards the same processes still sell.
import assert from 'node:assert/strict';

import { badBase, respelled } from './lib/bad-base.mjs';
import { badHeaders } from './lib/bad-headers.mjs';
import { BAD_CREDENTIALS, BAD_PATHS, badApiBodies, badBodies, badWire } from './lib/bad-requests.mjs';
import { badSolana } from './lib/bad-solana.mjs';
import {
  BODY, JSON_TYPE, LOOKING, PATH, alive, counting, countingAll, everything, handlerRuns, offersOf, order, start, untouched,
} from './lib/bad-world.mjs';
import { payBase, stranger } from './lib/base-payment.mjs';
import { baseTransfer, solanaTransfer } from './lib/chain.mjs';
import { decode, encode, send, sendRaw } from './lib/http.mjs';
import * as sol from './lib/solana-payment.mjs';
import { BASE, SOLANA, say, withStack } from './lib/stack.mjs';
import { finish, row } from './lib/tally.mjs';
import { variants } from './clients/variants.mjs';

const MISMATCH = {
  base: 'invalid_exact_evm_payload_authorization_value_mismatch', solana: 'invalid_exact_svm_payload_amount_mismatch',
};

const buy = (world, header, { body = BODY, path = PATH, more = {} } = {}) =>
  send(world.api.url, { path, headers: { ...JSON_TYPE, ...(header === undefined ? {} : { 'PAYMENT-SIGNATURE': header }), ...more }, body });

const ask = (world, path, payment, terms) =>
  send(world.serve.url, {
    path, headers: JSON_TYPE, body: JSON.stringify({ x402Version: 2, paymentPayload: payment, paymentRequirements: terms }),
  });

/** A refusal that tells official clients and agents what is wrong and what to do. */
function refused(answer, code) {
  const words = answer.json && { code: answer.json.code ?? answer.json.error, message: answer.json.message };
  assert.equal(answer.status, 402, `${answer.status}: ${answer.text.slice(0, 300)}`);
  const offer = decode(answer.headers['payment-required']);
  assert.equal(offer.error, code, `message: ${words.message}`);
  assert.equal(offer.accepts.length, 2, 'a fresh offer on each network');
  assert.equal(answer.json.code, code);
  assert.equal(answer.json.retry_action, 'pay');
  assert.ok(answer.json.message.length > 5, 'a sentence');
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.equal(answer.headers['payment-response'], undefined, 'no receipt');
}

async function headers(world, network) {
  const rows = badHeaders(await world.fresh[network]());
  for (const { name, header, headers: several, code } of rows) {
    await row(`${network} header: ${name}`, async () => {
      const calls = await counting(world, async () => refused(await buy(world, several ?? header), code));
      assert.deepEqual(calls, {});
    });
  }
  await row(`${network} header of version 1`, async () => {
    const header = encode(await world.fresh[network]());
    refused(await buy(world, undefined, { more: { 'X-PAYMENT': header } }), 'invalid_x402_version');
  });
  await row(`${network} header of 200 KB`, async () => {
    const answer = await send(world.api.url, { path: PATH, headers: { 'PAYMENT-SIGNATURE': 'A'.repeat(200_000) }, body: BODY, agent: false }).catch(error => ({ status: error.code }));
    assert.ok([400, 402, 413, 431, 'ECONNRESET', 'EPIPE'].includes(answer.status), String(answer.status));
  });
}

/** A wallet that could not pay a moment ago is not asked about again. */
const POVERTY = ['invalid_exact_evm_insufficient_balance', 'insufficient_funds'];

function assertCalls(calls, allowed, code) {
  if (POVERTY.includes(code) && Object.keys(calls).length === 0) return;
  assert.deepEqual(calls, allowed, 'RPC calls');
}

async function gatePayments(world, network, table) {
  for (const { name, payment, code, rpc: allowed = {} } of table) {
    await row(`gate, ${network}: ${name}`, async () => {
      const calls = await counting(world, async () => refused(await buy(world, encode(payment)), code));
      assertCalls(calls, allowed, code);
    });
  }
  await row(`gate, ${network}: the price of a cheaper request`, async () => {
    const two = JSON.parse(BODY);
    two.requests.push(two.requests[0]);
    const header = encode(await world.fresh[network]());
    const calls = await counting(world, async () => refused(await buy(world, header, { body: JSON.stringify(two) }), MISMATCH[network]));
    assert.deepEqual(calls, {});
  });
  await row(`gate, ${network}: twenty copies of an unpayable payment cost one call`, async () => {
    const unpayable = table.find(one => one.rpc && Object.keys(one.rpc).length === 1);
    const [method] = Object.keys(unpayable.rpc);
    // A wallet that was not asked about before.
    const payment = network === 'base' ? await payBase(stranger(), world.offers.base) : unpayable.payment;
    // Slow enough that all copies are there before the chain has answered.
    const faults = JSON.stringify({ method, action: 'delay_ms', ms: 1_000 });
    await send(world.proxies[network], { path: '/__proxy/faults', body: faults });
    const calls = await counting(world, async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => buy(world, encode(payment))));
      for (const answer of answers) refused(answer, unpayable.code);
    });
    assert.deepEqual(calls, { [method]: 1 });
  });
}

/** The two endpoints' refusals, and the calls they may cost. */
async function apiRefuses(world, name, payment, terms, code, allowed = {}, names = /^$/) {
  await row(`/verify, ${name}`, async () => {
    const calls = await counting(world, async () => {
      const answer = await ask(world, '/verify', payment, terms);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.isValid, false, answer.text);
      assert.equal(answer.json.invalidReason, code, answer.text);
      assert.ok(answer.json.invalidMessage.length > 5);
    });
    assertCalls(calls, allowed, code);
  });
  await row(`/settle, ${name}`, async () => {
    const calls = await counting(world, async () => {
      const answer = await ask(world, '/settle', payment, terms);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.success, false, answer.text);
      assert.equal(answer.json.errorReason, code, answer.text);
      // Nothing of ours: at most the one that used the authorization up.
      assert.match(answer.json.transaction, names);
    });
    assertCalls(calls, allowed, code);
  });
}

async function apiPayments(world, network, table) {
  for (const { name, payment, code, api = code, gateOnly, rpc: allowed, names } of table) {
    // There the echoed offer does not count, only the server's own terms.
    if (!gateOnly) await apiRefuses(world, `${network}: ${name}`, payment, world.offers[network], api, allowed, names);
  }
}

/** Terms that a foreign server must not get away with, each with a payment signed for them. */
async function requirements(world, network) {
  const { net, offers, payer, solPayer } = world;
  const offer = offers[network];
  const pay = (terms, spoil = {}) => network === 'base' ? payBase(payer, terms, spoil) : sol.paySolana(net, solPayer, terms);
  const unlisted = 'invalid_payment_requirements';
  const refuses = async (name, changed, code, allowed) => {
    const terms = { ...offer, ...changed };
    await apiRefuses(world, `${network} terms: ${name}`, await pay(terms), terms, code, allowed);
  };
  const other = network === 'base' ? stranger().address : sol.stranger().address;
  await refuses('payTo is not configured', { payTo: other }, unlisted);
  await refuses('unknown network', { network: 'eip155:84532' }, 'invalid_network');
  await refuses('network of version 1', { network: network === 'base' ? 'base' : 'solana' }, 'invalid_network');
  await refuses('unknown scheme', { scheme: 'upto' }, 'unsupported_scheme');
  await refuses('the settlement costs more', { amount: '1', maxAmountRequired: '1' }, unlisted);
  const good = await pay(offer);
  const terms = (name, changed, code) => apiRefuses(world, `${network} terms: ${name}`, good, { ...offer, ...changed }, code);
  await terms('asset is not configured', { asset: network === 'base' ? other : sol.someKey() }, unlisted);
  await terms('payTo is empty', { payTo: '' }, unlisted);
  const mismatch = network === 'base' ? 'invalid_exact_evm_authorization_value' : 'invalid_exact_svm_payload_amount_mismatch';
  for (const amount of ['', '-1', '1.0', '0x1', '18446744073709551616']) {
    await terms(`amount ${JSON.stringify(amount)}`, { amount, maxAmountRequired: amount }, mismatch);
  }
  const version = { ...good, x402Version: 1 };
  await apiRefuses(world, `${network} payment of version 1`, version, offer, 'invalid_x402_version');
  const scheme = { ...good, accepted: { ...offer, scheme: 'upto' } };
  await apiRefuses(world, `${network} payment of another scheme`, scheme, offer, 'unsupported_scheme');
  // More than the payer has.
  const rich = { amount: '900000000000', maxAmountRequired: '900000000000' };
  const [poor, call] = network === 'base'
    ? ['invalid_exact_evm_insufficient_balance', { eth_call: 1 }] : ['insufficient_funds', { simulateTransaction: 1 }];
  await refuses('the payer has less', rich, poor, call);
}

/** Requests that the host itself refuses: before any price, with and without a payment. */
async function requests(world) {
  const paid = encode(await world.fresh.base());
  const paidOnSolana = encode(await world.fresh.solana());
  for (const [name, status, body, path = PATH] of badBodies(BODY)) {
    for (const [how, header] of [['unpaid', undefined], ['paid on Base', paid], ['paid on Solana', paidOnSolana]]) {
      await row(`request, ${how}: ${name}`, async () => {
        const calls = await counting(world, async () => {
          const answer = await buy(world, header, { body, path });
          assert.equal(answer.status, status, answer.text.slice(0, 300));
          assert.ok(answer.json?.error, 'says why');
          assert.equal(answer.headers['payment-required'], undefined, 'no price');
        });
        assert.deepEqual(calls, {});
      });
    }
  }
  for (const [name, status, more, announce] of [
    ['announced too long and never sent', 413, {}, 10_000_000],
    ['packed', 415, { 'Content-Encoding': 'gzip' }], ['a path too long', 414, {}],
  ]) {
    await row(`request: ${name}`, async () => {
      const path = status === 414 ? `${PATH}&x=${'x'.repeat(5_000)}` : PATH;
      const answer = await send(world.api.url, { path, headers: { ...JSON_TYPE, 'PAYMENT-SIGNATURE': paid, ...more }, body: BODY, announce });
      assert.equal(answer.status, status, answer.text);
    });
  }
  await wire(world, paid);
  await row('chunks without an end in sight', async () => {
    const body = `{"x":"${'x'.repeat(100_000)}"}`;
    const answer = await send(world.api.url, { path: PATH, headers: JSON_TYPE, body, chunked: true })
      .catch(error => ({ status: error.code }));
    assert.ok([413, 'ECONNRESET', 'EPIPE'].includes(answer.status), String(answer.status));
  });
}

/** Requests of which a proxy in front and we could each read another one. */
async function wire(world, paid) {
  for (const [name, text] of badWire(paid, BODY)) {
    await row(`wire: ${name}`, async () => {
      const calls = await counting(world, async () => {
        const answer = await sendRaw(world.api.url, text);
        assert.ok([400, 402, 413, 415, 505, 'closed'].includes(answer), String(answer));
      });
      assert.deepEqual(calls, {});
    });
  }
}

/** Other spellings of a path are no way around the gate. */
async function paths(world) {
  const header = encode(await world.fresh.base());
  for (const path of BAD_PATHS) {
    for (const [how, more] of [['unpaid', {}], ['paid', { 'PAYMENT-SIGNATURE': header }], ['with the account', { 'X-API-Key': 'known', 'X-API-Secret': 'secret' }]]) {
      await row(`path ${path}, ${how}`, async () => {
        const calls = await counting(world, async () => {
          const answer = await send(world.api.url, { path, headers: { ...JSON_TYPE, ...more }, body: BODY });
          assert.equal(answer.status, 404, answer.text);
        });
        assert.deepEqual(calls, {});
      });
    }
  }
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'MERGE']) {
    await row(`method ${method}`, async () => {
      const answer = await send(world.api.url, { method, path: PATH, headers: { ...JSON_TYPE, 'PAYMENT-SIGNATURE': header }, body: BODY });
      assert.ok([400, 404, 405].includes(answer.status), answer.text);
    });
  }
  await row('a harmless escape is the same route and costs the same', async () => {
    const answer = await send(world.api.url, { path: '/v1/%67eneration-requests', headers: JSON_TYPE, body: BODY });
    assert.equal(answer.status, 402);
    assert.equal(decode(answer.headers['payment-required']).accepts[0].amount, world.offers.base.amount);
  });
}

/** 400 is for bodies that are not the API's shape, and for nothing else. */
async function apiBodies(world) {
  const payment = await world.fresh.base();
  const terms = world.offers.base;
  const good = { x402Version: 2, paymentPayload: payment, paymentRequirements: terms };
  const text = JSON.stringify(good);
  for (const path of ['/verify', '/settle']) {
    for (const [name, status, body] of badApiBodies(payment, terms)) {
      await row(`${path} body: ${name}`, async () => {
        const calls = await counting(world, async () => {
          const answer = await send(world.serve.url, { path, headers: JSON_TYPE, body });
          assert.equal(answer.status, status, answer.text.slice(0, 300));
        });
        assert.deepEqual(calls, {});
      });
    }
    await row(`${path} of version 1`, async () => {
      const answer = await send(world.serve.url, { path, headers: JSON_TYPE, body: JSON.stringify({ ...good, x402Version: 1 }) });
      assert.equal(answer.status, 200);
      assert.equal(answer.json.invalidReason ?? answer.json.errorReason, 'invalid_x402_version');
    });
    await row(`${path} as a server of version 1 writes it`, async () => {
      const requirements = {
        scheme: 'exact', network: 'base', maxAmountRequired: terms.amount, resource: 'https://shop.example/x', description: '',
        mimeType: 'application/json', payTo: terms.payTo, maxTimeoutSeconds: 60, asset: terms.asset, extra: terms.extra,
      };
      const old = { x402Version: 1, scheme: 'exact', network: 'base', payload: { ...payment.payload, signature: `0x${'1'.repeat(128)}1b` } };
      const body = JSON.stringify({ x402Version: 1, paymentPayload: old, paymentRequirements: requirements });
      const answer = await send(world.serve.url, { path, headers: JSON_TYPE, body });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.invalidReason ?? answer.json.errorReason, 'invalid_exact_evm_payload_signature');
    });
    for (const [method, other] of [['GET', path], ['PUT', path], ['POST', `/${path}`], ['POST', `${path}/`], ['POST', path.toUpperCase()]]) {
      await row(`${method} ${other}`, async () => {
        const answer = await send(world.serve.url, { method, path: other, headers: JSON_TYPE, body: text });
        assert.ok([404, 405].includes(answer.status), answer.text);
      });
    }
  }
  await row('strangers choose no metric labels', async () => {
    const { text: metrics } = await send(world.serve.url, { method: 'GET', path: '/metrics' });
    assert.match(metrics, /^quittance_/m);
    assert.doesNotMatch(metrics, /eip155:84532|"base"|"upto"/);
  });
}

/** Credentials that prove nothing are no credentials; proven ones bypass the price, not the rules. */
async function credentials(world) {
  await untouched(world, 'credentials', async () => {
    for (const [name, more] of BAD_CREDENTIALS) {
      await row(`credentials: ${name}`, async () => {
        const calls = await counting(world, async () => {
          const answer = await buy(world, undefined, { more });
          assert.equal(answer.status, 402, answer.text);
          assert.equal(answer.json.code, 'payment_required');
        });
        assert.deepEqual(calls, {});
      });
    }
    await row('a bad payment beside good credentials is judged as a payment', async () => {
      refused(await buy(world, 'junk', { more: { 'X-API-Key': 'known', 'X-API-Secret': 'secret' } }), 'invalid_payload');
    });
  });
  await row('the account itself is served', async () => {
    const before = await handlerRuns(world.api);
    const answer = await buy(world, undefined, { more: { 'X-API-Key': 'known', 'X-API-Secret': 'secret' } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(await handlerRuns(world.api), before + 1);
  });
}

/** The same processes still sell, once for each payment, and count their calls. */
async function sales(world) {
  const { net } = world;
  const before = await everything(world);
  world.selling = true;
  const sold = { gate: [], merchant: [] };
  for (const network of ['base', 'solana']) {
    await row(`${network}: a good payment at the gate`, () => goodGate(world, network, sold));
    await row(`${network}: a good payment at /verify and /settle`, () => goodSettle(world, network, sold));
    await row(`${network}: many spellings at once`, () => manySpellings(world, network, sold));
  }
  await row('exactly the good payments exist', async () => {
    const after = await everything(world);
    const made = list => list.map(one => one.transaction).sort();
    const fresh = (now, then) => now.filter(one => !then.some(old => old.transaction === one.transaction));
    assert.deepEqual(made(after.gate), made(sold.gate), 'books of the gate');
    assert.deepEqual(made(after.merchant), made(sold.merchant), 'books of serve');
    for (const one of [...after.gate, ...after.merchant]) assert.equal(one.state, 'settled');
    for (const one of after.gate) assert.deepEqual([one.delivery, one.runs], ['delivered', 1]);
    const all = [...sold.gate, ...sold.merchant];
    assert.deepEqual(made(fresh(after.base, before.base)), made(all.filter(one => one.network === BASE)), 'transfers on Base');
    assert.deepEqual(made(fresh(after.solana, before.solana)), made(all.filter(one => one.network === SOLANA)), 'transfers on Solana');
    assert.equal(after.runs, before.runs + sold.gate.length, 'handler runs');
    for (const one of all) {
      const moved = one.network === BASE
        ? await baseTransfer(net.base.rpc_url, net.base.usdc, one.transaction)
        : await solanaTransfer(net.solana.rpc_url, net.solana.mint, one.transaction);
      assert.equal(moved.amount, one.amount);
    }
  });
}

const CHECK = { base: 'eth_call', solana: 'simulateTransaction' };
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };

/** One check, at most one more call, one broadcast; what follows only looks for the outcome. */
function frugal(network, calls) {
  assert.equal(calls[CHECK[network]], 1, 'one call checks the chain');
  assert.equal(calls[SEND[network]], 1, 'one broadcast');
  const first = { [CHECK[network]]: 1, [SEND[network]]: 1 };
  // The deadline of a Solana payment: the last height at which it may land.
  if (network === 'solana') {
    assert.equal(calls.getLatestBlockhash, 1, 'one call for the deadline');
    first.getLatestBlockhash = 1;
    // One more call for the list of newest blockhashes, where the payer's was the newest no longer.
    if (calls.getAccountInfo === 1) first.getAccountInfo = 1;
  }
  const looking = Object.entries(calls).filter(([method]) => !(method in first));
  for (const [method] of looking) assert.match(method, LOOKING);
  const show = entries => entries.map(([method, count]) => `${method} ${count}`).join(', ');
  say(`${network}: until the hash is known: ${show(Object.entries(first))}; looking for the outcome: ${show(looking)}`);
}

async function goodGate(world, network, sold) {
  const payment = await world.fresh[network]();
  const header = encode(payment);
  let receipt;
  let body;
  const calls = await countingAll(world, async () => {
    const answer = await buy(world, header);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    receipt = decode(answer.headers['payment-response']);
    body = answer.text;
    assert.equal(receipt.success, true);
  });
  sold.gate.push({ ...receipt, amount: payment.accepted.amount });
  frugal(network, calls);
  const runs = await handlerRuns(world.api);
  const others = variants(payment).map(one => ({ ...one, spelling: one.header }));
  if (network === 'base') others.push(...respelled(payment).map(one => ({ name: one.name, spelling: encode(one.payment) })));
  for (const { name, spelling } of others) {
    await row(`${network}: a paid payment, spelt otherwise: ${name}`, async () => {
      const more = await counting(world, async () => {
        const answer = await buy(world, spelling);
        if (answer.status === 402) return;
        assert.equal(answer.status, 200, answer.text.slice(0, 300));
        assert.equal(decode(answer.headers['payment-response']).transaction, receipt.transaction);
        assert.equal(answer.text, body, 'the same answer');
      });
      assert.deepEqual(more, {}, 'RPC calls');
    });
  }
  for (const [name, other] of [
    ['body', { body: order('Another mug') }], ['query', { path: '/v1/generation-requests' }], ['path', { path: '/test/slow' }],
  ]) {
    await row(`${network}: a paid payment for another ${name}`, async () => {
      const answer = await buy(world, header, other);
      assert.equal(answer.status, 409, answer.text);
      assert.equal(answer.json.error, 'request_mismatch');
      assert.equal(answer.json.retry_action, 'do_not_retry');
    });
  }
  // On Solana a transaction names its fee payer, and books of their own never
  // share one; here both programs do, so there is nothing to try.
  if (network === 'base') {
    await apiRefuses(world, 'spent elsewhere', payment, world.offers.base, 'invalid_exact_evm_nonce_already_used', { eth_call: 1 }, /^0x[0-9a-f]{64}$/);
  }
  assert.equal(await handlerRuns(world.api), runs, 'no spelling ran the handler again');
}

async function goodSettle(world, network, sold) {
  const payment = await world.fresh[network]();
  const terms = world.offers[network];
  const checking = await counting(world, async () => {
    const answer = await ask(world, '/verify', payment, terms);
    assert.equal(answer.json.isValid, true, answer.text);
  });
  assert.deepEqual(checking, { [CHECK[network]]: 1 }, '/verify makes one call');
  let settled;
  const calls = await countingAll(world, async () => {
    settled = (await ask(world, '/settle', payment, terms)).json;
    assert.equal(settled.success, true, JSON.stringify(settled));
  });
  sold.merchant.push({ ...settled, amount: terms.amount });
  frugal(network, calls);
  const copies = [payment, ...(network === 'base' ? respelled(payment).map(one => one.payment) : [])];
  const again = await counting(world, async () => {
    for (const copy of copies) {
      const second = (await ask(world, '/settle', copy, terms)).json;
      assert.equal(second.success, false);
      assert.equal(second.errorReason, 'duplicate_settlement');
      assert.equal(second.transaction, settled.transaction);
      const verified = (await ask(world, '/verify', copy, terms)).json;
      assert.equal(verified.invalidReason, 'duplicate_settlement');
    }
  });
  assert.deepEqual(again, {}, 'copies make no call');
}

/** Every spelling of one new payment at the same moment: one sale. */
async function manySpellings(world, network, sold) {
  const payment = await world.fresh[network]();
  const headers = [encode(payment), ...variants(payment).map(one => one.header)];
  if (network === 'base') headers.push(...respelled(payment).map(one => encode(one.payment)));
  const runs = await handlerRuns(world.api);
  const answers = await Promise.all([...headers, ...headers].map(header => buy(world, header)));
  const paid = answers.filter(answer => answer.status === 200);
  assert.ok(paid.length > 0, answers[0].text);
  // More than may wait for one payment are told to come back.
  const crowded = answer => answer.status === 503 && answer.json.error === 'settlement_pending';
  for (const answer of answers) assert.ok([200, 402].includes(answer.status) || crowded(answer), `${answer.status}: ${answer.text.slice(0, 200)}`);
  const hashes = new Set(paid.map(answer => decode(answer.headers['payment-response']).transaction));
  assert.equal(hashes.size, 1, 'one transaction');
  assert.equal(new Set(paid.map(answer => answer.text)).size, 1, 'one answer');
  assert.equal(await handlerRuns(world.api), runs + 1);
  sold.gate.push({ transaction: [...hashes][0], network: payment.accepted.network, amount: payment.accepted.amount });
}

await withStack(async folder => {
  const world = await start(folder);
  const { net, api } = world;
  const offers = await offersOf(api);
  const baseRows = await badBase(net, offers.base, world.nonces);
  const solanaRows = await badSolana(net, offers.solana);
  const fresh = { base: () => payBase(world.payer, offers.base), solana: () => sol.paySolana(net, world.solPayer, offers.solana) };
  world.offers = offers;
  world.fresh = fresh;

  for (const network of ['base', 'solana']) {
    await untouched(world, `headers of ${network}`, () => headers(world, network));
    const table = network === 'base' ? baseRows : solanaRows;
    await untouched(world, `payments of ${network} at the gate`, () => gatePayments(world, network, table));
    await untouched(world, `payments of ${network} at /verify and /settle`, () => apiPayments(world, network, table));
    await untouched(world, `requirements of ${network}`, () => requirements(world, network));
  }
  await untouched(world, 'requests', () => requests(world));
  await untouched(world, 'paths', () => paths(world));
  await untouched(world, 'bodies of /verify and /settle', () => apiBodies(world));
  await credentials(world);
  await sales(world);
  await alive(world);
});

finish();
