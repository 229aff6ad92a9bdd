// Several wallets a network: two on Base, two fee payers on Solana. A crowd is spread over
// them; one runs dry while its network sells; all of them have payments open when the process
// is killed; one is retired between an offer and its payment. The books agree with the chain.
//
//   node tests/pools.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as chain from './lib/chain.mjs';
import * as http from './lib/http.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import * as third from './lib/third-party.mjs';
import { account, payBase, stranger } from './lib/base-payment.mjs';
import { rpc } from './lib/chain.mjs';
import { until } from './lib/buyer.mjs';
import { someIdentifier } from './lib/official.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, faultyProxy } from './lib/world.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const SEND = { base: 'eth_sendRawTransaction', solana: 'sendTransaction' };
const JSON_TYPE = { 'Content-Type': 'application/json', Connection: 'close' };
const lower = text => text.toLowerCase();

/** An API that has nothing to do with payments. */
async function upstream() {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"done":true}'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

async function asked(api) {
  const answer = await http.send(api.url, { path: buyer.PATH, headers: JSON_TYPE, body: buyer.BODY });
  return { ...answer, offers: http.decode(answer.headers['payment-required'])?.accepts ?? [] };
}

/** An offer of Solana that names this fee payer. */
const offerOf = (api, feePayer) => until(`an offer of ${feePayer}`, async () => {
  const { offers } = await asked(api);
  return offers.find(one => one.network === stack.SOLANA && one.extra.feePayer === feePayer);
});

/** A purchase of its own, however many of this payer's are pending: it has a name of its own. */
const named = payment => ({ ...payment, extensions: { 'payment-identifier': { info: { id: someIdentifier() } } } });

const solanaBuyer = net => solana.signer(net.solana.payer_key);
const signed = (network, payment) => ({ network, payment, header: http.encode(payment) });

async function buy(net, api, network) {
  const one = await buyer.sign(net, api, network);
  const answer = await buyer.insist(api, one, 90);
  assert.equal(answer.status, 200, `${network}: ${answer.status} ${answer.text.slice(0, 300)}`);
  return answer.receipt.transaction;
}

/** Who paid for a settlement, by the chain. */
async function payerOf(net, network, transaction) {
  if (network === 'base') return lower((await chain.baseTransfer(net.base.rpc_url, net.base.usdc, transaction)).fee_payer);
  const found = await rpc(net.solana.rpc_url, 'getTransaction', transaction, {
    commitment: 'confirmed', maxSupportedTransactionVersion: 0, encoding: 'json',
  });
  return found.transaction.message.accountKeys[0];
}

const payersOf = async (net, network, transactions) => {
  const all = await Promise.all(transactions.map(one => payerOf(net, network, one)));
  return Object.fromEntries([...new Set(all)].map(payer => [payer, all.filter(one => one === payer).length]));
};

const metric = async (api, name, labels) => {
  const text = await (await fetch(`${api.url}/metrics`)).text();
  const line = text.split('\n').find(one => one.startsWith(`${name}{`) && labels.every(label => one.includes(label)));
  return line && Number(line.split(' ').at(-1));
};

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const proxies = { base: await faultyProxy(net.base.rpc_url), solana: await faultyProxy(net.solana.rpc_url) };
  const shop = await upstream();
  const [first, second] = [await third.wallet(net), await third.wallet(net)];
  const feePayers = [net.solana.wallet_key, net.solana.api_wallet_key];
  const wallets = {
    base: [first, second].map(one => lower(one.address)),
    solana: feePayers.map(key => solana.signer(key).address),
  };
  const env = {
    BASE_ONE: first.key, BASE_TWO: second.key, BASE_TWICE: first.key,
    SOLANA_ONE: feePayers[0], SOLANA_TWO: feePayers[1],
  };
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const port = await stack.freePort();
  const configure = (sections = {}) => stack.configure(folder, net, {
    name: 'pools', port, rpc: { base: proxies.base.url, solana: proxies.solana.url },
    more: {
      quote: { refresh_seconds: 1, grace_seconds: 1 },
      ledger: { lease_seconds: 3 },
      gate: { pending_wait_seconds: 3 },
      base: { pay_to: payTo.base, wallets: ['env:BASE_ONE', 'env:BASE_TWO'], ...sections.base },
      solana: {
        pay_to: payTo.solana, wallets: ['env:SOLANA_ONE', 'env:SOLANA_TWO'], max_timeout_seconds: 30, ...sections.solana,
      },
    },
  });
  const config = configure();
  const start = () => stack.gateway(net, config, { args: ['--upstream', shop.url], env });
  const listed = async () => JSON.parse(await stack.run(join(stack.BIN, 'quittance'), ['wallets', '--config', config, '--json'], env)).wallets;

  await test('one key under two names is refused, and so is one name twice', async () => {
    for (const names of [['env:BASE_ONE', 'env:BASE_TWICE'], ['env:BASE_ONE', 'env:BASE_ONE']]) {
      configure({ base: { wallets: names } });
      const said = await start().then(() => 'it started', String);
      assert.match(said, /networks\.base: wallets and retired_wallets (hold|name)/, said);
      assert.ok(!said.includes(first.key), 'never the key');
    }
    configure({ solana: { retired_wallets: ['env:SOLANA_TWO'] } });
    assert.match(await start().then(() => 'it started', String), /networks\.solana: wallets and retired_wallets/);
    configure();
  });

  let api = await start();
  const opened = {};
  for (const network of NETWORKS) opened[network] = await buyer.opening(net, network, payTo[network]);

  await test('offers of Solana name each of the fee payers', async () => {
    const named = new Set();
    for (let number = 0; number < 12; number += 1) {
      const { offers } = await asked(api);
      named.add(offers.find(one => one.network === stack.SOLANA)?.extra.feePayer);
    }
    assert.deepEqual([...named].sort(), [...wallets.solana].sort());
  });

  await test('a crowd is spread over the wallets of both networks', async () => {
    for (const network of NETWORKS) {
      const transactions = await Promise.all(Array.from({ length: 16 }, () => buy(net, api, network)));
      const counts = await payersOf(net, network, transactions);
      assert.deepEqual(Object.keys(counts).sort(), [...wallets[network]].sort(), JSON.stringify(counts));
      for (const count of Object.values(counts)) assert.ok(count >= 4, JSON.stringify(counts));
    }
  });

  await test('the wallets are listed with role, balance and runway', async () => {
    const all = await until('the balances', async () => {
      const found = await listed();
      return found.every(one => one.balance_native !== null) && found;
    });
    const shown = all.map(one => [one.network, lower(one.wallet), one.role, one.funds]);
    const wanted = NETWORKS.flatMap(network => wallets[network].map(wallet => [CAIP[network], lower(wallet), 'active', 'fine']));
    assert.deepEqual(shown.sort(), wanted.sort());
    for (const one of all) assert.ok(BigInt(one.balance_native) > 0n && one.runway_settlements > 10, JSON.stringify(one));
    const text = await stack.run(join(stack.BIN, 'quittance'), ['wallets', '--config', config], env);
    for (const wallet of wallets.solana) assert.ok(text.includes(wallet), text);
  });

  await test('a wallet of the pool is no payer of tokens on either network', async () => {
    const { offers } = await asked(api);
    const on = network => offers.find(one => one.network === CAIP[network]);
    const answers = [
      await buyer.once(api, signed('base', await payBase(account(second.key), on('base')))),
      await buyer.once(api, signed('solana', await solana.paySolana(net, solana.signer(feePayers[1]), await offerOf(api, wallets.solana[0])))),
    ];
    for (const answer of answers) assert.equal(answer.status, 402, answer.text.slice(0, 300));
  });

  await test('a wallet that runs dry while selling hands over, and nothing is lost', async () => {
    await rpc(net.base.rpc_url, 'anvil_setBalance', first.address, '0x1');
    await until('the wallet to be low', async () => await metric(api, 'quittance_wallet_low', [`wallet="${first.address}"`]) === 1, 30);
    assert.equal(await metric(api, 'quittance_network_closed', ['eip155:8453', 'wallet_empty']), 0);
    assert.ok(await metric(api, 'quittance_alerts_total', ['eip155:8453', 'wallet_low']) >= 1);
    const transactions = await Promise.all(Array.from({ length: 8 }, () => buy(net, api, 'base')));
    assert.deepEqual(await payersOf(net, 'base', transactions), { [wallets.base[1]]: 8 });
    const low = (await listed()).find(one => lower(one.wallet) === wallets.base[0]);
    assert.equal(low.funds, 'empty');
  });

  await test('when all are dry the network closes, and opens when one is filled', async () => {
    await rpc(net.base.rpc_url, 'anvil_setBalance', second.address, '0x1');
    const closed = async () => await metric(api, 'quittance_network_closed', ['eip155:8453', 'wallet_empty']) === 1;
    await until('the network to close', closed, 30);
    assert.ok((await asked(api)).offers.every(one => one.network !== stack.BASE), 'Solana sells on');
    await third.fund(net, first.address);
    await until('the network to open', async () => !(await closed()), 30);
    assert.deepEqual(await payersOf(net, 'base', [await buy(net, api, 'base')]), { [wallets.base[0]]: 1 });
    await third.fund(net, second.address);
    await until('both to be fine', async () => (await listed()).every(one => one.funds === 'fine'), 30);
  });

  await test('a fee payer that runs dry is offered no more, and not taken while another one can pay', async () => {
    const offer = await offerOf(api, wallets.solana[1]);
    const before = (await rpc(net.solana.rpc_url, 'getBalance', wallets.solana[1])).value;
    const hold = lamports => rpc(net.solana.rpc_url, 'surfnet_setAccount', wallets.solana[1], { lamports });
    await hold(900_000);
    await until('it to be empty', async () => (await listed()).find(one => one.wallet === wallets.solana[1]).funds === 'empty', 30);
    for (let number = 0; number < 6; number += 1) {
      const { offers } = await asked(api);
      assert.equal(offers.find(one => one.network === stack.SOLANA).extra.feePayer, wallets.solana[0]);
    }
    const late = await buyer.once(api, signed('solana', await solana.paySolana(net, solanaBuyer(net), offer)));
    assert.equal(late.status, 402, late.text.slice(0, 300));
    assert.deepEqual(await payersOf(net, 'solana', [await buy(net, api, 'solana')]), { [wallets.solana[0]]: 1 });
    await hold(before);
    await until('it to be fine', async () => (await listed()).every(one => one.funds === 'fine'), 30);
  });

  let retiring;
  await test('killed with open payments of every wallet, the next start settles each of them once', async () => {
    const open = [];
    for (const network of NETWORKS) {
      await proxies[network].faults({ method: SEND[network], action: 'drop_request', times: 1_000_000 });
    }
    const offers = [await offerOf(api, wallets.solana[0]), await offerOf(api, wallets.solana[1])];
    for (const offer of offers) open.push(signed('solana', await solana.paySolana(net, solanaBuyer(net), offer)));
    for (let number = 0; number < 4; number += 1) open.push(await buyer.sign(net, api, 'base'));
    const answers = await Promise.all(open.map(one => buyer.once(api, one)));
    for (const answer of answers) assert.equal(answer.receipt?.errorReason, 'settlement_pending', answer.text.slice(0, 300));
    assert.ok((await listed()).every(one => one.under_way), 'each has something under way');
    await stack.stop(api.child, 'SIGKILL');
    // One of each network is retired over it, with payments open.
    configure({
      base: { wallets: ['env:BASE_TWO'] }, solana: { wallets: ['env:SOLANA_ONE'] },
    });
    assert.match(await start().then(() => 'it started', String), /retired_wallets/, 'the books come first');
    for (const network of NETWORKS) await proxies[network].healthy();
    configure();
    api = await start();
    // Offered by this life, and paid to the next one.
    retiring = await offerOf(api, wallets.solana[1]);
    await stack.stop(api.child);
    configure({
      base: { wallets: ['env:BASE_TWO'], retired_wallets: ['env:BASE_ONE'] },
      solana: { wallets: ['env:SOLANA_ONE'], retired_wallets: ['env:SOLANA_TWO'] },
    });
    api = await start();
    const fresh = signed('solana', named(await solana.paySolana(net, solanaBuyer(net), retiring)));
    const paid = await buyer.insist(api, fresh);
    assert.equal(paid.status, 200, `a retired fee payer: ${paid.text.slice(0, 300)}`);
    assert.equal(await payerOf(net, 'solana', paid.receipt.transaction), wallets.solana[1]);
    const transactions = { base: [], solana: [] };
    for (const one of open) {
      const answer = await buyer.insist(api, one, 90);
      // A blockhash may have run out while nobody was there: then nothing was paid.
      if (one.network === 'solana' && answer.status === 402) continue;
      assert.equal(answer.status, 200, `${one.network}: ${answer.text.slice(0, 300)}`);
      transactions[one.network].push(answer.receipt.transaction);
    }
    const counts = await payersOf(net, 'base', transactions.base);
    assert.deepEqual(Object.values(counts).sort(), [2, 2], `each with its own wallet: ${JSON.stringify(counts)}`);
  });

  await test('a retired wallet takes nothing new, is not offered, and may go when nothing is open', async () => {
    const transactions = await Promise.all(Array.from({ length: 4 }, () => buy(net, api, 'base')));
    assert.deepEqual(await payersOf(net, 'base', transactions), { [wallets.base[1]]: 4 });
    for (let number = 0; number < 6; number += 1) {
      const { offers } = await asked(api);
      assert.equal(offers.find(one => one.network === stack.SOLANA).extra.feePayer, wallets.solana[0]);
    }
    const roles = Object.fromEntries((await listed()).map(one => [lower(one.wallet), one.role]));
    assert.deepEqual([roles[wallets.base[0]], roles[wallets.base[1]]], ['retired', 'active']);
    // Thirty seconds for the offer, one of grace, and the tariff that named it last.
    const expired = await until('the last offer that named it to expire', async () => {
      const answer = await buyer.once(api, signed('solana', named(await solana.paySolana(net, solanaBuyer(net), retiring))));
      return answer.status === 402 && answer;
    }, 60, 2_000);
    assert.match(http.decode(expired.headers['payment-required']).error, /fee_payer_not_managed/);
    await until('nothing of the retired ones to be open', async () =>
      (await listed()).every(one => one.role === 'active' || !one.under_way), 60, 500);
    await stack.stop(api.child);
    configure({ base: { wallets: ['env:BASE_TWO'] }, solana: { wallets: ['env:SOLANA_ONE'] } });
    api = await start();
    for (const network of NETWORKS) await buy(net, api, network);
  });

  for (const network of NETWORKS) {
    await test(`${network}: the books agree with the chain`, () => until('all to be final', async () =>
      (await stack.books(config)).every(one => ['settled', 'refused', 'expired'].includes(one.state)), 90, 500)
      .then(() => buyer.assertBooks(net, config, opened[network])));
  }
  shop.close();
});
finish();
