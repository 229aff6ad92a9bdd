// What the logs must never say: private keys, payers' signatures, payment
// headers, payment-identifiers. Everything is logged at its most talkative
// while good payments, bad ones and failing nodes pass by.
//
//   node tests/secrets.mjs
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import * as buyer from './lib/buyer.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { account, resigned } from './lib/base-payment.mjs';
import { decode, encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const kit = createRequire(new URL('./clients/package.json', import.meta.url))('@solana/kit');
/** Every crate at its most talkative. */
const LOG = 'trace';
const INTERNAL = { code: -32603, message: 'internal error' };
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };

/** Everything a program writes, from its first line on. */
function listen(program) {
  const lines = [...program.child.log];
  program.child.errors.on('line', line => lines.push(line));
  return lines;
}

const hex = bytes => Buffer.from(bytes).toString('hex');

/** A private key in every spelling that a careless `{:?}` or a dump could give it. */
function spellingsOfKey(text) {
  const bytes = text.startsWith('0x') ? Buffer.from(text.slice(2), 'hex') : Buffer.from(kit.getBase58Encoder().encode(text));
  const secret = bytes.subarray(0, 32);
  return [text.replace(/^0x/, ''), hex(secret), secret.toString('base64').slice(0, 40), [...secret].join(', '), [...secret].join(',')];
}

/** A payer's signature, in the spellings that occur. */
function spellingsOfSignature(payment) {
  const { signature, transaction } = payment.payload;
  if (signature) {
    const [r, s] = [signature.slice(2, 66), signature.slice(66, 130)];
    const raw = Buffer.from(signature.slice(2), 'hex');
    return [r, s, raw.toString('base64').slice(0, 80), [...raw.subarray(0, 32)].join(', ')];
  }
  const bytes = Buffer.from(transaction, 'base64');
  // One length byte; the fee payer's signature; the payer's.
  const mine = bytes.subarray(65, 129);
  return [kit.getBase58Decoder().decode(mine), hex(mine), transaction.slice(120, 220), [...mine].join(', ')];
}

class Secrets {
  #words = new Map();

  add(what, words) {
    for (const word of words) {
      assert.ok(word.length >= 16, `${what} is too short to look for`);
      this.#words.set(word.toLowerCase(), what);
    }
  }

  payment(header) {
    const payment = decode(header);
    this.add('a payment header', [header.slice(0, 200), header.slice(-200)]);
    this.add("a payer's signature", spellingsOfSignature(payment));
    const id = payment.extensions?.['payment-identifier']?.info?.id;
    if (id) this.add('a payment-identifier', [id]);
  }

  /** What of it stands in these lines. */
  in(lines) {
    const found = new Set();
    for (const line of lines) {
      const text = line.toLowerCase();
      for (const [word, what] of this.#words) {
        if (text.includes(word)) found.add(`${what}: ${line.slice(0, 300)}`);
      }
    }
    return [...found];
  }

  get size() {
    return this.#words.size;
  }
}

/** Good payments while nodes fail, and copies that are none. */
async function payments(net, here, network, proxy, secrets, url, terms) {
  const bought = [];
  const faults = [
    [], [{ method: SEND[network], action: 'error_after', error: INTERNAL }], [{ method: '*', action: 'http_status', status: 502, times: 3 }],
    [{ method: SEND[network], action: 'drop_response' }],
  ];
  for (const list of faults) {
    if (list.length > 0) await proxy.faults(list);
    bought.push(await official.buy(net, network, url, { ...terms, identifier: official.someIdentifier() }));
    await proxy.healthy();
  }
  for (const { status, header, text } of bought) {
    assert.equal(status, 200, text.slice(0, 300));
    secrets.payment(header);
  }
  const good = decode(bought[0].header);
  const bad = network === 'base'
    ? [resigned(good, good.payload.signature.replace(/^0x../, '0x00')), resigned(good, `${good.payload.signature}00`)]
    : [{ ...good, payload: { transaction: good.payload.transaction.slice(8) } }];
  const texts = [...bad, good].map(one => JSON.stringify({ x402Version: 2, paymentPayload: one, paymentRequirements: good.accepted }));
  const [path, post] = terms.body ? [url, header => ({ body: terms.body, headers: { 'PAYMENT-SIGNATURE': header } })]
    : [`${here.url}/settle`, body => ({ body })];
  const sent = terms.body ? [...bad.map(encode), bought[0].header.slice(0, -40), bought[0].header] : [...texts, texts[0].slice(0, -9)];
  for (const one of sent) {
    const { body, headers } = post(one);
    await (await fetch(path, { method: 'POST', body, headers: { 'Content-Type': 'application/json', ...headers } })).text();
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  const rpc = { base: proxies.base.url, solana: proxies.solana.url };
  const secrets = new Secrets();
  for (const [name, key] of [['payer', net.base.payer_key], ['payer', net.solana.payer_key], ['wallet', net.solana.wallet_key]]) {
    secrets.add(`the private key of the ${name}`, spellingsOfKey(key));
  }
  for (const serve of [false, true]) {
    const here = await world(net, folder, `secrets-${serve ? 'serve' : 'gate'}`, { bin: stack.BIN, rpc, serve, timeoutMs: 1_000 });
    secrets.add('the private key of the wallet', spellingsOfKey(here.wallet.key));
    const program = await here.start({ RUST_LOG: LOG, QUITTANCE_LOG: LOG, NO_COLOR: '1' });
    const lines = listen(program);
    const shop = serve && await official.shop(() => here.url, here.payTo);
    for (const network of NETWORKS) {
      await test(`${serve ? 'quittance serve' : 'the gate'}, ${network}: nothing secret is logged`, async () => {
        const [url, terms] = serve
          ? [`${shop.url}/thing/${network}`, { isFinal: official.servedOrRefused }]
          : [here.url + buyer.PATH, { body: buyer.BODY }];
        await payments(net, here, network, proxies[network], secrets, url, terms);
        assert.ok(lines.length > 100, `${lines.length} lines: it is not talkative`);
        assert.deepEqual(secrets.in(lines), []);
      });
    }
    await stack.stop(program.child);
    if (shop) shop.close();
    assert.deepEqual(secrets.in(lines), []);
    const planted = `sent ${account(net.base.payer_key).address} ${net.base.payer_key}`;
    assert.equal(secrets.in([planted]).length, 1, 'a key in a line is found');
    const crates = new Set(lines.map(line => / (?:TRACE|DEBUG|INFO|WARN|ERROR) (\w+)/.exec(line)?.[1]));
    stack.say(`    ${lines.length} lines of ${crates.size} crates, ${secrets.size} words looked for`);
  }
});
finish();
