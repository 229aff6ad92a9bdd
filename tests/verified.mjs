// What `/verify` calls valid holds its payer's money: an unmodified official server
// that works before it settles (`authorization`) runs its handler once for a customer
// with money for one who signs ten authorizations, on both chains; and while one is in
// flight, `/verify` says of the next what `/settle` says.
//
//   node tests/verified.mjs
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { payBase, stranger } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { decode, encode } from './lib/http.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy, world } from './lib/world.mjs';

const viem = createRequire(new URL('./clients/package.json', import.meta.url))('viem');

/** The shop's price. */
const PRICE = 50_000;
const TEN = 10;
const LEASE_SECONDS = 8;
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };

/** Somebody with this much USDC; Circle's token keeps balances in its tenth slot. */
async function customer(net, network, units) {
  const someone = network === 'base' ? stranger() : solana.stranger();
  if (network === 'base') {
    const place = viem.keccak256(viem.encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [someone.address, 9n]));
    await rpc(net.base.rpc_url, 'anvil_setStorageAt', net.base.usdc, place, viem.pad(viem.toHex(BigInt(units)), { size: 32 }));
  } else {
    await rpc(net.solana.rpc_url, 'surfnet_setTokenAccount', someone.address, net.solana.mint, { amount: units });
  }
  return someone;
}

const sign = (net, network, someone, offer) =>
  (network === 'base' ? payBase(someone, offer) : solana.paySolana(net, someone, offer));

async function visit(shop, network, header) {
  const answer = await fetch(`${shop.url}/thing/${network}`, { headers: header ? { 'PAYMENT-SIGNATURE': header } : {} });
  return { status: answer.status, required: decode(answer.headers.get('payment-required')), text: await answer.text() };
}

async function tenForOne(here, shop, network) {
  const { accepts } = (await visit(shop, network)).required;
  const offer = accepts.find(one => one.network === (network === 'base' ? stack.BASE : stack.SOLANA));
  const someone = await customer(here.net, network, PRICE + PRICE / 2);
  const signed = await Promise.all(Array.from({ length: TEN }, () => sign(here.net, network, someone, offer)));
  const [runs, served] = [shop.runs.length, shop.served.length];
  const answers = await Promise.all(signed.map(one => visit(shop, network, encode(one))));
  assert.equal(shop.runs.length - runs, 1, `${shop.runs.length - runs} handlers ran for money for one`);
  assert.equal(shop.served.length - served, 1);
  assert.equal(answers.filter(one => one.status === 200).length, 1);
  for (const one of answers.filter(answer => answer.status !== 200)) {
    assert.match(`${one.required?.error} ${one.text}`, /insufficient/, one.text);
  }
}

async function inFlight(here, url, network) {
  const offer = await official.terms(here.net, network, url, here.payTo, String(PRICE));
  const someone = await customer(here.net, network, PRICE + PRICE / 2);
  const [first, second] = [await sign(here.net, network, someone, offer), await sign(here.net, network, someone, offer)];
  await here.proxies[network].faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  assert.equal((await official.ask(url, 'settle', first)).errorReason, 'settlement_pending');
  const verified = await official.ask(url, 'verify', second);
  const settled = await official.ask(url, 'settle', second);
  await here.proxies[network].healthy();
  assert.deepEqual([verified.isValid, verified.invalidReason], [false, 'insufficient_funds']);
  assert.deepEqual([settled.success, settled.errorReason], [false, 'insufficient_funds']);
  for (const answer of [verified, settled]) {
    assert.equal(answer.retry_action ?? answer.retryAction, 'retry_same_payment', JSON.stringify(answer));
    assert.ok((answer.retry_after_seconds ?? answer.retryAfterSeconds) > 0, JSON.stringify(answer));
  }
}

/** A server that does not come back keeps a customer's last money for the lease, and no longer. */
async function leaseEnds(here, url, network) {
  const offer = await official.terms(here.net, network, url, here.payTo, String(PRICE));
  const someone = await customer(here.net, network, PRICE);
  const asked = async () => official.ask(url, 'verify', await sign(here.net, network, someone, offer));
  assert.equal((await asked()).isValid, true);
  const began = Date.now();
  for (;;) {
    const answer = await asked();
    const waited = (Date.now() - began) / 1_000;
    if (answer.isValid) {
      assert.ok(waited >= LEASE_SECONDS - 2, `valid again after ${waited} s`);
      return;
    }
    assert.equal(answer.invalidReason, 'insufficient_funds');
    assert.ok(waited < LEASE_SECONDS + 10, 'the lease does not end');
    await new Promise(done => setTimeout(done, answer.retry_after_seconds * 200));
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxies = Object.fromEntries(await Promise.all(NETWORKS.map(async network => [network, await faultyProxy(net[network].rpc_url)])));
  const here = await world(net, folder, 'verified', {
    serve: true, bin: stack.BIN, pendingSeconds: 4,
    rpc: Object.fromEntries(NETWORKS.map(network => [network, proxies[network].url])),
    more: { merchants: { verify_lease_seconds: LEASE_SECONDS } },
  });
  here.proxies = proxies;
  const { url } = await here.start();
  const shop = await official.shop(() => url, here.payTo, { flow: 'authorization' });
  for (const network of NETWORKS) {
    await test(`${network}: ten authorizations of money for one: one handler runs, one thing is served`, () => tenForOne(here, shop, network));
    await test(`${network}: /verify says of money in flight what /settle says`, () => inFlight(here, url, network));
    await test(`${network}: a lease ends`, () => leaseEnds(here, url, network));
  }
  shop.close();
});
finish();
