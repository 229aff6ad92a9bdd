// A start while one chain cannot be reached: the other network sells and goes on
// with its payments; the missing one comes when its node does, and what was open
// on it ends as it would have (P2, P5).
//
//   node tests/boot.mjs
import assert from 'node:assert/strict';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';
import { faultyProxy, NETWORKS, world } from './lib/world.mjs';

const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const other = network => NETWORKS.find(one => one !== network);

async function offered(api) {
  const answer = await fetch(`${api.url}/v1/x402`);
  const { networks } = await answer.json();
  const named = { [stack.BASE]: 'base', [stack.SOLANA]: 'solana' };
  return networks.filter(one => one.gas !== undefined).map(one => named[one.network]);
}

async function buys(here, api, network) {
  const answer = await buyer.insist(api, await buyer.sign(here.net, api, network), 60);
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
}

/** The node is away at the start and comes later. */
async function comesLater(here, network, port) {
  const api = await here.start();
  assert.deepEqual(await offered(api), [other(network)]);
  await buys(here, api, other(network));
  assert.equal((await fetch(`${api.url}/v1/x402`)).status, 200);
  const proxy = await listening(here.net, network, port);
  await until(`an offer of ${network}`, async () => (await offered(api)).includes(network));
  await buys(here, api, network);
  return { api, proxy };
}

/** A payment is on record and not sent when the process dies; the node is away when it starts again. */
async function goesOn(here, network, port, { api, proxy }) {
  const signed = await buyer.sign(here.net, api, network);
  await proxy.faults({ method: SEND[network], action: 'drop_request', times: 100_000 });
  const asked = buyer.once(api, signed);
  const { id } = await until('the payment on record', async () => {
    const [payment] = await stack.books(here.config);
    return payment?.state === 'recorded' && payment;
  });
  await stack.stop(api.child, 'SIGKILL');
  await asked;
  await stack.stop(proxy.child);
  const again = await here.start();
  const early = await buyer.once(again, signed);
  assert.equal(early.status, 503, 'P5: no new 402 for a payment whose outcome is unknown');
  await buys(here, again, other(network));
  const back = await listening(here.net, network, port);
  const answer = await buyer.insist(again, signed, 60);
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
  const payment = await buyer.journalOf(here.config, id);
  assert.equal(payment.state, 'settled');
  buyer.assertSoundJournal(payment, 1);
  await stack.stop(again.child);
  await stack.stop(back.child);
}

const listening = (net, network, port) => faultyProxy(net[network].rpc_url, '--listen', `127.0.0.1:${port}`);

await stack.withStack(async folder => {
  const net = await stack.devnet();
  for (const network of NETWORKS) {
    const port = await stack.freePort();
    const rpc = { [network]: `http://127.0.0.1:${port}` };
    const here = await world(net, folder, `boot-${network}`, {
      bin: stack.BIN, rpc, pendingSeconds: 2, more: { quote: { refresh_seconds: 1 } },
    });
    let running;
    await test(`${network} is away at the start: the other network sells, and it comes later`, async () => {
      running = await comesLater(here, network, port);
    });
    await test(`${network} is away at a restart: an open payment on it waits, and ends well`, () =>
      goesOn(here, network, port, running));
  }
  await test('a chain that is not the configured one still ends the start', async () => {
    const here = await world(net, folder, 'boot-wrong', { bin: stack.BIN, more: { base: { asset: `0x${'11'.repeat(20)}` } } });
    await assert.rejects(here.start(), /networks\.base/);
  });
});
finish();
