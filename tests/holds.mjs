// P3: what is reserved for a payment that will never land is a place that others
// cannot have. Strangers with money for one payment each who move it away before the
// send, whose guards turn false then, or who sign over blockhashes that are about to
// end, spend nothing: so they hold nothing. An honest newcomer and an honest payer with
// history buy meanwhile, from one process and from two replicas, and burnt and reserved
// stay within soft limit and probes.
//
//   node tests/holds.mjs
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { payBase, stranger } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { withCluster } from './lib/cluster.mjs';
import { nodeBefore } from './lib/node.mjs';
import { ask, terms } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { replica, shared, world } from './lib/world.mjs';

const viem = createRequire(new URL('./clients/package.json', import.meta.url))('viem');

const LIGHTHOUSE = 'L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95';
const AMOUNT = '50000';
const HOSTILE = 24;
/** Honest customers are served within this while the attack is on. */
const BUYS_WITHIN_MS = 10_000;
/** Each attempt may cost 0.0015: the soft limit holds a dozen of them. */
const QUOTE = { uncollected_network_day_usdc: '0.02', probe_network_day_usdc: '0.005', payer_history_part: '0.5' };
const LIMIT_UNITS = 25_000;
/** Blocks that may use a blockhash, and those that a payment must have left. */
const BLOCKHASH_BLOCKS = 150;
const BLOCKS_LEFT_MIN = 10;

const setTokens = (net, owner, amount) =>
  rpc(net.solana.rpc_url, 'surfnet_setTokenAccount', owner, net.solana.mint, { amount: Number(amount) });

/** Somebody on Base with money for one payment: Circle's token keeps balances in its tenth slot. */
async function basePayer(net) {
  const someone = stranger();
  const place = viem.keccak256(viem.encodeAbiParameters([{ type: 'address' }, { type: 'uint256' }], [someone.address, 9n]));
  await rpc(net.base.rpc_url, 'anvil_setStorageAt', net.base.usdc, place, viem.pad(viem.toHex(BigInt(AMOUNT)), { size: 32 }));
  return someone;
}

async function payer(net, amount = AMOUNT) {
  const someone = solana.stranger();
  await setTokens(net, someone.address, amount);
  return someone;
}

const strangers = net => Promise.all(Array.from({ length: HOSTILE }, () => payer(net)));

/** A payment over this blockhash, with `guards` behind it. */
async function signed(net, offer, someone, { recent, guards = [] } = {}) {
  const parts = await solana.ingredients(net, offer, someone);
  const instructions = [guards.length ? solana.limit(90_000) : parts.limit, parts.price, parts.transfer, parts.memo, ...guards];
  return solana.payload(offer, solana.wire(solana.compile(parts.feePayer, instructions, recent ?? parts.recent), [someone]));
}

/** Somebody who paid so often before that what settling costs is covered by it. */
async function withHistory(net, url, offer) {
  const regular = await payer(net, '10000000');
  for (let bought = 0; bought < 8; bought += 1) {
    const answer = await ask(url, 'settle', await signed(net, offer, regular));
    assert.ok(answer.success, JSON.stringify(answer));
  }
  return regular;
}

/** What our wallet paid for and what moved nothing. */
async function failed(net, feePayer, since) {
  const all = await rpc(net.solana.rpc_url, 'getSignaturesForAddress', feePayer, { limit: 1_000 });
  return all.filter(one => one.err && !since.has(one.signature));
}

async function everyFailure(net, feePayer) {
  return new Set((await failed(net, feePayer, new Set())).map(one => one.signature));
}

/** Both kinds of honest customers buy while the strangers' payments are open. */
async function honestBuy(net, urls, offer, regular) {
  const began = Date.now();
  const customers = [regular, ...await Promise.all(urls.map(() => payer(net)))];
  const answers = await Promise.all(customers.map(async (one, at) =>
    ask(urls[at % urls.length], 'settle', await signed(net, offer, one))));
  for (const answer of answers) assert.ok(answer.success, JSON.stringify(answer));
  const took = Date.now() - began;
  assert.ok(took < BUYS_WITHIN_MS, `honest customers waited ${took} ms`);
  stack.say(`    honest customers bought within ${took} ms`);
}

/** Whether guards hold from now on: another program stands at their address. */
async function guardsHold(net, hold) {
  const { value } = await rpc(net.solana.rpc_url, 'getAccountInfo', hold ? solana.MEMO : solana.TOKEN, { encoding: 'base64', commitment: 'confirmed' });
  const data = Buffer.from(value.data[0], 'base64').toString('hex');
  await rpc(net.solana.rpc_url, 'surfnet_setAccount', LIGHTHOUSE, { lamports: value.lamports, data, owner: value.owner, executable: true, rentEpoch: 0 });
}

const newest = async net => (await rpc(net.solana.rpc_url, 'getLatestBlockhash', { commitment: 'confirmed' })).value;
const height = net => rpc(net.solana.rpc_url, 'getBlockHeight', { commitment: 'confirmed' });

const guard = { program: LIGHTHOUSE, accounts: [], data: Buffer.from('the guard holds') };

/** What a network's attempts in flight may cost, in 10⁻⁶ USDC, and how many payments are open. */
async function inFlight(url, network) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = name => Number(text.split('\n').find(line => line.startsWith(name) && line.includes(network))?.split(' ').at(-1) ?? 0);
  return { reserved: value('quittance_exposure_usdc_atomic{kind="reserved",'), open: value('quittance_payments_open{') };
}

/**
 * The base fee rises between the check and the signature. The claims stay, since whoever has
 * their authorizations may land them; nothing is signed, so nothing is held, and once fees
 * have fallen they are settled.
 */
async function unsigned(net, folder) {
  const hostile = await Promise.all(Array.from({ length: 4 }, () => basePayer(net)));
  const names = hostile.map(one => one.address.slice(2).toLowerCase());
  let rise;
  const node = await nodeBefore(net.base.rpc_url, async call => {
    if (call.method !== 'eth_call' || !names.some(name => JSON.stringify(call.params).toLowerCase().includes(name))) return;
    rise ??= rpc(net.base.rpc_url, 'anvil_setNextBlockBaseFeePerGas', '0xe8d4a51000')
      .then(() => new Promise(resolve => setTimeout(resolve, 2_500)));
    await rise;
  });
  const here = await world(net, folder, 'fees', {
    serve: true, bin: stack.BIN, pendingSeconds: 3, rpc: { base: node.url }, more: { quote: { refresh_seconds: 1 } },
  });
  const { url, child } = await here.start();
  const offer = await terms(net, 'base', url, here.payTo, AMOUNT);
  const payments = await Promise.all(hostile.map(one => payBase(one, offer)));
  const asked = payments.map(one => ask(url, 'settle', one));
  await until('the claims', async () => (await inFlight(url, 'eip155')).open === payments.length, 30, 50);
  const answers = await Promise.all(asked);
  await until('nothing to be held for them', async () => (await inFlight(url, 'eip155')).reserved === 0, 4, 100);
  assert.equal((await inFlight(url, 'eip155')).open, payments.length, 'and fees are still high');
  for (const one of answers) assert.equal(one.errorReason, 'settlement_pending', JSON.stringify(one));
  for (const payment of payments) {
    await until('fees to fall and the payment to settle', async () => (await ask(url, 'settle', payment)).success, 60);
  }
  await stack.stop(child);
  node.close();
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  /** What happens before the first of the strangers' payments is sent, once. */
  let turn;
  const turning = async ({ method }) => {
    if (method !== 'sendTransaction' || !turn) return;
    turn.done ??= turn.now();
    await turn.done;
  };
  const node = await nodeBefore(net.solana.rpc_url, turning);
  const serve = { serve: true, bin: stack.BIN, pendingSeconds: 8, rpc: { solana: node.url }, more: { quote: QUOTE } };

  /** Strangers who all ask at once; `now` comes before the first send. */
  const attack = async (urls, payments, now) => {
    turn = now && { now };
    const answers = await Promise.all(payments.map((one, at) => ask(urls[at % urls.length], 'settle', one)));
    assert.ok(answers.every(one => !one.success), JSON.stringify(answers.find(one => one.success)));
    const claimed = answers.filter(one => one.transaction !== '').length;
    assert.ok(!now || claimed > 1, `the attack is one: ${JSON.stringify(answers[0])}`);
    stack.say(`    ${claimed} of ${answers.length} strangers were claimed`);
    turn = undefined;
    return answers;
  };

  const here = await world(net, folder, 'holds', serve);
  const { url, child } = await here.start();
  const offer = await terms(net, 'solana', url, here.payTo, AMOUNT);
  const regular = await withHistory(net, url, offer);
  const known = await everyFailure(net, offer.extra.feePayer);

  // Signed before everything else: when their turn comes, their blockhash is near its end.
  const early = await strangers(net);
  const { blockhash, lastValidBlockHeight: end } = await newest(net);
  const ending = await Promise.all(early.map(one => signed(net, offer, one, { recent: blockhash })));

  await test('Solana: strangers who move their money away before the send hold no place', async () => {
    const hostile = await strangers(net);
    const payments = await Promise.all(hostile.map(one => signed(net, offer, one)));
    await attack([url], payments, () => Promise.all(hostile.map(one => setTokens(net, one.address, 0))));
    await honestBuy(net, [url], offer, regular);
    assert.deepEqual(await failed(net, offer.extra.feePayer, known), [], 'nothing was burnt');
  });

  await test('Solana: strangers whose guards turn false before the send hold no place', async () => {
    await guardsHold(net, true);
    const hostile = await strangers(net);
    const payments = await Promise.all(hostile.map(one => signed(net, offer, one, { guards: [guard, guard, guard, guard] })));
    await attack([url], payments, () => guardsHold(net, false));
    await honestBuy(net, [url], offer, regular);
    assert.deepEqual(await failed(net, offer.extra.feePayer, known), [], 'nothing was burnt');
  });

  await test('Solana: a blockhash that is about to end is refused before anything is reserved', async () => {
    await until('the blockhash to be near its end', async () => (await height(net)) > end - BLOCKS_LEFT_MIN + 3, 60, 20);
    const asked = Date.now();
    const answers = await attack([url], ending);
    for (const one of answers) {
      assert.equal(one.transaction, '', JSON.stringify(one));
      assert.match(one.errorMessage, /fresh (finalized )?blockhash/, JSON.stringify(one));
    }
    assert.ok(answers.some(one => /blocks more/.test(one.errorMessage)), `asked too late: ${Date.now() - asked} ms`);
    await honestBuy(net, [url], offer, regular);
  });
  await stack.stop(child);

  await test('Solana, two replicas: strangers hold no place, and what they keep ends with their own blockhash', () => withCluster(async cluster => {
    const common = await shared(net, folder, cluster, 'holds');
    const start = name => replica(common, name, { serve: true, rpc: { solana: node.url }, quote: QUOTE, pendingSeconds: 8 });
    const [one, two] = [await start('one'), await start('two')];
    const urls = [one.url, two.url];
    const there = await terms(net, 'solana', urls[0], common.payTo, AMOUNT);
    const often = await withHistory(net, urls[0], there);
    // Sums of the ledger, while the attack is on.
    let most = 0;
    const reserved = () => {
      const units = Number(common.sql("SELECT COALESCE(SUM(usdc), 0) FROM reservations WHERE funding <> 'history' AND native > 0"));
      most = Math.max(most, units);
      return units;
    };
    const hostile = await strangers(net);
    const old = await newest(net);
    const payments = await Promise.all(hostile.map(someone => signed(net, there, someone, { recent: old.blockhash })));
    const before = await everyFailure(net, there.extra.feePayer);
    // By now the newest blockhash is another one.
    await until('later blocks', async () => (await height(net)) > old.lastValidBlockHeight - BLOCKHASH_BLOCKS + 15, 30, 50);
    const looking = setInterval(reserved, 250);
    try {
      await attack(urls, payments, () => Promise.all(hostile.map(someone => setTokens(net, someone.address, 0))));
      await honestBuy(net, urls, there, often);
    } finally {
      clearInterval(looking);
    }
    assert.deepEqual(await failed(net, there.extra.feePayer, before), [], 'nothing was burnt');
    assert.ok(most <= LIMIT_UNITS, `${most} reserved of ${LIMIT_UNITS}`);
    const open = common.sql("SELECT DISTINCT deadline_value FROM payments WHERE state = 'recorded'").split('\n');
    assert.deepEqual(open.map(Number), [old.lastValidBlockHeight + 1], 'the payer chose how long it waits, and no longer');
    await Promise.all([stack.stop(one.child), stack.stop(two.child)]);
  }));
  await test('Base: a claim that cannot be signed for now holds no place', () => unsigned(net, folder));
  node.close();
});
finish();
