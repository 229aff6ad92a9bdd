// A gate that has its payments settled by another facilitator: ours over HTTP, and the one of npm's
// `@x402/core`, unmodified. It is away, slow, killed between the claim and its answer, talks
// nonsense and lies; what is sold is sold once, and nobody is asked to pay again.
//
//   node tests/remote-facilitator.mjs
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as remote from './lib/remote.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import * as upstream from './lib/upstream.mjs';
import { seconds, stranger } from './lib/base-payment.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS } from './lib/world.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };

const say = answer => `${answer.status} ${answer.text.slice(0, 300)}`;
const runs = async gate => (await stack.json(`${gate.url}/test/handler-runs`)).runs;
const metrics = async gate => (await fetch(`${gate.url}/metrics`)).text();

/** A facilitator of ours that is paid at an address of its own. */
async function facilitator(net, folder) {
  const wallet = await third.wallet(net);
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const config = stack.configure(folder, net, {
    name: 'facilitator', port: await stack.freePort(),
    more: { base: { pay_to: payTo.base }, solana: { pay_to: payTo.solana } },
  });
  const start = () => stack.facilitator(net, config, { wallets: { base: wallet.key } });
  return { config, payTo, start, ...(await start()) };
}

/** A gate, and the road between it and `upstream`. */
async function gate(net, folder, name, upstream, payTo, networks = NETWORKS) {
  const road = await remote.road(upstream);
  const config = remote.configure(folder, net, { name, port: await stack.freePort(), facilitator: road.url, payTo, networks });
  const start = () => stack.sampleApi(net, config);
  return { name, net, road, config, start, ...(await start()) };
}

const sign = (here, network = 'base', options = {}) => buyer.sign(here.net, here, network, options);

/** P5: what is not known is 503 with the word for it and a time, never 402. */
async function pending(here, signed) {
  const answer = await buyer.once(here, signed);
  assert.equal(answer.status, 503, say(answer));
  assert.equal(answer.receipt?.errorReason, 'settlement_pending', say(answer));
  assert.ok(Number(answer.headers['retry-after']) > 0, 'Retry-After');
  return answer;
}

/** One payment, one run, settled in the books of the gate. */
async function bought(here, signed, before) {
  const answer = await buyer.insist(here, signed);
  assert.equal(answer.status, 200, say(answer));
  assert.equal(await runs(here) - before, 1, 'one run');
  const [row] = (await stack.books(here.config)).filter(one => one.transaction === answer.receipt.transaction);
  assert.deepEqual([row.state, row.delivery], ['settled', 'delivered']);
  return { answer, row };
}

/** What was sent to the facilitator for one payment: all of it the same. */
function sameBytes(here, from) {
  const asked = here.road.asked.slice(from);
  assert.ok(asked.length >= 2, `${asked.length} questions`);
  assert.equal(new Set(asked.map(one => one.body)).size, 1, 'the same bytes each time');
  assert.equal(new Set(asked.map(one => one.key)).size, 1, 'under one Idempotency-Key');
}

async function kind(net, folder, far) {
  const here = await gate(net, folder, 'kind', far.url, far.payTo);
  for (const network of NETWORKS) {
    await test(`${network}: the official client buys at a gate that has no wallet, and hears the facilitator's transaction`, async () => {
      const before = await runs(here);
      const receipt = await stack.officialBuy(net, here.url, network, 'image', '--spend-controls', 'off');
      assert.equal(await runs(here) - before, 1);
      const [theirs] = (await stack.books(far.config)).filter(one => one.transaction === receipt.transaction);
      const [ours] = (await stack.books(here.config)).filter(one => one.transaction === receipt.transaction);
      assert.deepEqual([theirs.state, ours.state], ['settled', 'settled']);
      assert.equal(receipt.gas, '0', 'nothing is added for a settlement that costs this gate nothing');
      const text = await metrics(here);
      assert.ok(text.includes(`quittance_facilitator_answers_total{answer="settled",network="${CAIP[network]}"} 1`), text);
      assert.doesNotMatch(text, /kind="foreign_landing"[^}]*\} [1-9]/, 'every landing is by another wallet here');
    });
  }
  await test('the claim is in the gate\'s own ledger before the facilitator hears of the payment', async () => {
    const signed = await sign(here);
    let atSettle;
    here.road.settle = async (request, answer, pass) => {
      atSettle ??= (await stack.books(here.config))[0];
      return remote.slow(Promise.resolve())(request, answer, pass);
    };
    const { row } = await bought(here, signed, await runs(here));
    assert.deepEqual([atSettle.id, atSettle.state], [row.id, 'claimed']);
    here.road.settle = undefined;
  });
  for (const network of NETWORKS) {
    await test(`${network}: a facilitator that is slow: pending with Retry-After, then the one answer`, async () => {
      let open;
      here.road.settle = remote.slow(new Promise(resolve => { open = resolve; }));
      const [before, signed] = [await runs(here), await sign(here, network)];
      await pending(here, signed);
      await pending(here, signed);
      open();
      await bought(here, signed, before);
      here.road.settle = undefined;
    });
    await test(`${network}: a facilitator that settles and whose answer never arrives: served once`, async () => {
      here.road.settle = remote.vanishes;
      const [before, signed] = [await runs(here), await sign(here, network)];
      // On an EVM network logs show it; on Solana it has to be named once.
      if (network === 'solana') {
        await pending(here, signed);
        here.road.settle = undefined;
      }
      await bought(here, signed, before);
      here.road.settle = undefined;
    });
    await test(`${network}: a success with a transaction that paid for something else runs nothing`, async () => {
      const [earlier] = (await stack.books(here.config)).filter(one => one.state === 'settled' && one.network === CAIP[network]);
      const [before, signed] = [await runs(here), await sign(here, network)];
      here.road.settle = remote.says({ success: true, transaction: earlier.transaction, network: CAIP[network], payer: earlier.payer });
      for (let copy = 0; copy < 2; copy += 1) await pending(here, signed);
      assert.equal(await runs(here), before);
      here.road.settle = undefined;
      const { answer } = await bought(here, signed, before);
      assert.notEqual(answer.receipt.transaction, earlier.transaction);
    });
  }
  // More of them, and that all repeats have the same bytes: crates/facilitator/src/remote/ask/tests.rs.
  for (const [name, settle] of [
    ['garbage', remote.says('<html>502 bad gateway</html>')],
    ['an error of its server', remote.says({ success: true, transaction: `0x${'1'.repeat(64)}` }, 500)],
    ['a success of nothing', remote.says({ success: true, transaction: '', network: stack.BASE })],
    ['a refusal of a payment that it may still land', remote.says({ success: false, errorReason: 'invalid_payload', transaction: '', network: stack.BASE })],
  ]) {
    await test(`it answers with ${name}: pending, the same bytes again, no run`, async () => {
      const [before, from, signed] = [await runs(here), here.road.asked.length, await sign(here)];
      here.road.settle = settle;
      await pending(here, signed);
      assert.equal(await runs(here), before, 'nothing runs');
      await until('a second question', () => here.road.asked.length >= from + 2);
      here.road.settle = undefined;
      await bought(here, signed, before);
      sameBytes(here, from);
    });
  }
  await test('duplicate_settlement of a payment that was claimed before it landed counts as settled, and is noticed', async () => {
    const [before, signed] = [await runs(here), await sign(here)];
    let first = true;
    here.road.settle = async (request, answer, pass) => {
      // Another server of the same seller has it settled, and is told of the success.
      if (first) {
        first = false;
        const told = await official.ask(far.url, 'settle', signed.payment);
        assert.equal(told.success, true, JSON.stringify(told));
      }
      const { status, text } = await pass();
      assert.match(text, /duplicate_settlement/);
      return remote.says(text, status)(request, answer);
    };
    await bought(here, signed, before);
    await until('the alert', async () => /kind="foreign_landing"[^}]*\} 1/.test(await metrics(here)));
    here.road.settle = undefined;
  });
  for (const network of NETWORKS) {
    await test(`${network}: a payment that landed before it was claimed here is never granted`, async () => {
      const [before, signed] = [await runs(here), await sign(here, network)];
      const told = await official.ask(far.url, 'settle', signed.payment);
      assert.equal(told.success, true, JSON.stringify(told));
      const answer = await buyer.insist(here, signed);
      assert.equal(answer.status, 402, say(answer));
      assert.equal(await runs(here), before);
    });
  }
  await test('while the facilitator is away nobody is asked to pay, and nothing is claimed', async () => {
    const signed = await sign(here);
    here.road.away = true;
    const closed = await until('no offer', async () => {
      const answer = await http.send(here.url, { path: buyer.PATH, headers: { 'Content-Type': 'application/json' }, body: buyer.BODY });
      return answer.status === 503 && answer;
    });
    assert.ok(Number(closed.headers['retry-after']) > 0);
    assert.match(await metrics(here), /quittance_network_closed\{[^}]*reason="facilitator_away"[^}]*\} 1/);
    const rows = (await stack.books(here.config)).length;
    const refused = await buyer.once(here, signed);
    assert.equal(refused.status, 503, say(refused));
    assert.equal((await stack.books(here.config)).length, rows, 'nothing was claimed');
    here.road.away = false;
    await bought(here, signed, await runs(here));
  });
  await stack.stop(here.child);
  here.road.close();
}

async function killed(net, folder, far) {
  const here = await gate(net, folder, 'killed', far.url, far.payTo);
  for (const [network, settled] of [['base', true], ['base', false], ['solana', true]]) {
    await test(`${network}: a gate that dies between claim and answer, ${settled ? 'after' : 'before'} the facilitator settled, takes the payment up again`, async () => {
      const signed = await sign(here, network);
      const from = here.road.asked.length;
      here.road.settle = settled ? remote.vanishes : remote.slow(new Promise(() => {}));
      const lost = buyer.once(here, signed);
      await until('the question', () => here.road.asked.length > from);
      await stack.stop(here.child, 'SIGKILL');
      assert.equal(await lost, undefined, 'its client hears nothing');
      here.road.settle = undefined;
      Object.assign(here, await here.start());
      await until('the verdict without anybody asking', async () => (await stack.books(here.config))[0].state === 'settled');
      await bought(here, signed, 0);
    });
  }
  await test('a facilitator that dies between claim and answer is asked the same again', async () => {
    const [before, from, signed] = [await runs(here), here.road.asked.length, await sign(here)];
    await stack.stop(far.child, 'SIGKILL');
    await pending(here, signed);
    Object.assign(far, await far.start());
    await bought(here, signed, before);
    sameBytes(here, from);
  });
  await stack.stop(here.child);
  here.road.close();
}

/** It takes until the chain is final behind the deadline: begun first, awaited last. */
async function refusing(net, folder, far) {
  const here = await gate(net, folder, 'refusing', far.url, far.payTo);
  here.road.settle = remote.says({ success: false, errorReason: 'insufficient_funds', transaction: '' });
  const base = await sign(here, 'base', { fields: { validBefore: String(seconds() + 12) } });
  const svm = await sign(here, 'solana');
  await Promise.all([base, svm].map(signed => pending(here, signed)));
  // It has refused, settles all the same, and never says so. At a gate of its own: here it would be a repeat.
  const quiet = await gate(net, folder, 'quiet', far.url, far.payTo, ['solana']);
  quiet.road.settle = here.road.settle;
  const unsaid = await sign(quiet, 'solana');
  await pending(quiet, unsaid);
  const told = await official.ask(far.url, 'settle', unsaid.payment);
  assert.equal(told.success, true, JSON.stringify(told));
  return async () => {
    await test('base: what the facilitator never lands is pending until the chain says that it never will', async () => {
      const answer = await buyer.insist(here, base);
      assert.equal(answer.status, 402, say(answer));
      assert.ok(seconds() >= Number(base.payment.payload.authorization.validBefore));
    });
    await test('solana: a landing that nobody ever names is found among its payer\'s transactions', async () => {
      const answer = await buyer.insist(quiet, unsaid, 90);
      assert.equal(answer.status, 200, say(answer));
      assert.equal(answer.receipt.transaction, told.transaction);
      assert.equal(await runs(quiet), 1);
    });
    await test('solana: what the facilitator never lands is pending until the chain says that it never will', async () => {
      const answer = await buyer.insist(here, svm, 90);
      assert.equal(answer.status, 402, say(answer));
    });
    assert.deepEqual((await stack.books(here.config)).map(row => row.state), ['expired', 'expired']);
    for (const each of [here, quiet]) {
      await stack.stop(each.child);
      each.road.close();
    }
  };
}

async function ofNpm(net, folder) {
  const wallet = await third.wallet(net);
  const far = await remote.official({ ...net, wallet: wallet.key });
  const here = await gate(net, folder, 'npm', far.url, { base: stranger().address }, ['base']);
  await test('the official client buys through the official facilitator of npm', async () => {
    const receipt = await stack.officialBuy(net, here.url, 'base', 'image', '--spend-controls', 'off');
    const [row] = await stack.books(here.config);
    assert.deepEqual([row.state, row.transaction], ['settled', receipt.transaction]);
  });
  await test('an answer of the official facilitator that vanished: found on chain, served once', async () => {
    here.road.settle = remote.vanishes;
    const [before, signed] = [await runs(here), await sign(here)];
    await bought(here, signed, before);
  });
  await stack.stop(here.child);
  here.road.close();
  far.close();
}

async function gateway(net, folder, far) {
  const api = await upstream.upstream();
  const config = remote.configure(folder, net, {
    name: 'gateway', port: await stack.freePort(), facilitator: far.url, payTo: far.payTo, upstream: api.url,
  });
  const { child, url } = await stack.gateway(net, config, { wallets: { base: '', solana: '' } });
  await test('the gateway sells an API without a wallet of its own', async () => {
    const signed = await buyer.sign(net, { url }, 'base');
    const answer = await buyer.insist({ url }, signed);
    assert.equal(answer.status, 200, say(answer));
    const [row] = await stack.books(config);
    assert.deepEqual([row.state, row.delivery, row.transaction], ['settled', 'delivered', answer.receipt.transaction]);
  });
  await stack.stop(child);
  await api.close();
}

/** What cannot be is said at the start, with the key to change. */
async function refused(net, folder, far) {
  const say = (name, options, program = 'sample-api', args = []) => {
    const config = remote.configure(folder, net, { name, port: 1, facilitator: far.url, payTo: far.payTo, ...options });
    const { status, stderr } = spawnSync(join(stack.BIN, program), [...args, '--config', config], { encoding: 'utf8', timeout: 20_000 });
    assert.ok(status > 0, `${name} started`);
    return stderr;
  };
  await test('what a gate without wallets cannot do ends its start, and the message says what to change', async () => {
    assert.match(say('wallets', { more: { base: { wallets: ['env:BASE_WALLET'] } } }), /networks\.base: .*take wallets .*out/);
    assert.match(say('shared', { more: { base: { shared_pay_to: true } } }), /shared_pay_to/);
    assert.match(say('blind', { more: { base: { rpc_urls: [] } } }), /rpc_urls is empty: what \[facilitator\] says is never believed/);
    assert.match(say('keyed', { more: { facilitator: { api_key: 'qk_plain' } } }), /facilitator\.api_key: write env:NAME/);
    assert.match(say('serves', {}, 'quittance', ['serve']), /`serve` settles/);
  });
  await test('a facilitator that pays somebody else opens nothing', async () => {
    const here = await gate(net, folder, 'misled', far.url, { base: stranger().address }, ['base']);
    const answer = await http.send(here.url, { path: buyer.PATH, headers: { 'Content-Type': 'application/json' }, body: buyer.BODY });
    assert.equal(answer.status, 503, say);
    assert.match(await metrics(here), /reason="facilitator_refuses"[^}]*\} 1/);
    await stack.stop(here.child);
    here.road.close();
  });
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const far = await facilitator(net, folder);
  const expires = await refusing(net, folder, far);
  await kind(net, folder, far);
  await ofNpm(net, folder);
  await gateway(net, folder, far);
  await refused(net, folder, far);
  await killed(net, folder, far);
  await expires();
  finish();
});
