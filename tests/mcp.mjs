// `quittance mcp`, driven by the official MCP client as it is published: an agent finds the sample API's prices and
// buys within its limits, on real local chains.
//
//   node tests/mcp.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { decode, encode } from './lib/http.mjs';
import { connect } from './agents/client.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };

/** An agent with `quittance mcp` for its wallet. */
async function agent(net, folder, name, ...more) {
  const args = [
    'mcp', ...(more.includes('--max-usdc') ? [] : ['--max-usdc', '1']), '--max-usdc-per-day', '5', '--evm-key', 'env:BASE_PAYER', '--solana-key', 'env:SOLANA_PAYER',
    '--solana-rpc', net.solana.rpc_url, '--state', join(folder, name), ...more,
  ];
  const env = { BASE_PAYER: net.base.payer_key, SOLANA_PAYER: net.solana.payer_key, PATH: process.env.PATH };
  const client = await connect(join(stack.BIN, 'quittance'), args, env);
  return {
    client,
    /** A tool's answer: `{ told, rest, isError }`. */
    call: async (tool, asked) => {
      const { content, structuredContent, isError } = await client.callTool({ name: tool, arguments: asked });
      assert.deepEqual(JSON.parse(content[0].text), structuredContent);
      return { told: structuredContent, rest: content.slice(1), isError: Boolean(isError) };
    },
    close: () => client.close(),
  };
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'mcp', { bin: stack.BIN, pendingSeconds: 20 });
  const api = await here.start();
  const url = `${api.url}${buyer.PATH}`;
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  const terms = await buyer.offer(api, 'base');
  await buyer.offer(api, 'solana');

  await test('without a limit by day it does not start', async () => {
    await assert.rejects(stack.program('mcp', '--evm-key', 'env:HOME'), /--max-usdc-per-day/);
  });

  const one = await agent(net, folder, 'one');
  await test('an agent sees three tools, and is told whose words are whose', async () => {
    const { tools } = await one.client.listTools();
    assert.deepEqual(tools.map(tool => tool.name).sort(), ['buy', 'discover', 'price']);
    assert.deepEqual(tools.find(tool => tool.name === 'buy').inputSchema.required, ['url']);
    assert.match(one.client.getInstructions(), /data, never instructions/);
  });

  await test('it discovers what is sold, and what one request costs', async () => {
    const { told, isError } = await one.call('discover', { url: api.url });
    assert.equal(isError, false);
    assert.deepEqual(told.networks, [stack.BASE, stack.SOLANA]);
    const sold = told.endpoints.find(endpoint => endpoint.url === `${api.url}/v1/generation-requests`);
    assert.equal(sold.method, 'POST');
    const price = await one.call('price', { url, body: buyer.BODY });
    assert.deepEqual(price.told.offers.map(offer => [offer.network, offer.payable]), [[stack.BASE, true], [stack.SOLANA, true]]);
    assert.match(price.told.would_pay.usdc, /^\d\.\d{6}$/);
    assert.deepEqual(await stack.books(here.config), [], 'nothing was paid for');
  });
  await one.close();

  for (const network of NETWORKS) {
    await test(`${network}: it buys, once, and has answer and receipt`, async () => {
      const here2 = await agent(net, folder, `buys-${network}`, '--network', network);
      const { told, rest, isError } = await here2.call('buy', { url, body: buyer.BODY });
      assert.equal(isError, false, JSON.stringify(told));
      assert.deepEqual([told.outcome, told.paid.network, told.receipt.success], ['paid', CAIP[network], true]);
      assert.match(JSON.parse(rest[0].text).outputs[0].url, /^data:image\/png;base64,/);
      const rows = (await stack.books(here.config)).filter(row => row.network === CAIP[network]);
      assert.deepEqual(rows.map(({ state, runs, transaction }) => [state, runs, transaction]), [['settled', 1, told.receipt.transaction]]);
      await here2.close();
    });
  }

  await test('what a call, a day or the operator forbids is not signed, and said in words', async () => {
    const before = (await stack.books(here.config)).length;
    for (const [name, more, asked, words] of [
      ['call', [], { max_usdc: '0.000001' }, /above the 0\.000001 that this call may cost/],
      ['cap', ['--max-usdc', '0.000001'], {}, /above the limit/],
      ['host', ['--allow-host', 'api.example'], {}, /not among the hosts/],
    ]) {
      const limited = await agent(net, folder, name, ...more);
      const { told, isError } = await limited.call('buy', { url, body: buyer.BODY, ...asked });
      assert.deepEqual([isError, told.outcome], [true, 'failed'], name);
      assert.match(told.message, words);
      await limited.close();
    }
    assert.equal((await stack.books(here.config)).length, before);
  });

  await test('a payment that stays open is sent again by the next call, after a restart too', async () => {
    const seen = [];
    const server = createServer((req, res) => req.resume().on('end', () => {
      const payment = decode(req.headers['payment-signature']);
      if (!payment) {
        res.writeHead(402, { 'PAYMENT-REQUIRED': encode({ x402Version: 2, accepts: [terms] }) });
        return res.end('{}');
      }
      seen.push(payment.payload.signature);
      if (seen.length === 1) return res.writeHead(503, { 'Retry-After': '30' }).end('{}');
      res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'PAYMENT-RESPONSE': encode({ success: true, transaction: '0x01', network: stack.BASE }) });
      return res.end(Buffer.from([0xff, 0xfe, 0x00]));
    }));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const asked = { url: `http://127.0.0.1:${server.address().port}/x` };
    const first = await agent(net, folder, 'open', '--wait-seconds', '2');
    const { told, isError } = await first.call('buy', asked);
    assert.deepEqual([isError, told.outcome], [true, 'open']);
    assert.match(told.message, /sends the same payment again/);
    await first.close();
    const second = await agent(net, folder, 'open', '--wait-seconds', '2');
    const again = await second.call('buy', asked);
    assert.equal(again.told.outcome, 'paid');
    assert.deepEqual([seen.length, new Set(seen).size], [2, 1], 'one signature');
    assert.deepEqual([...readFileSync(again.told.file)], [0xff, 0xfe, 0x00], 'what is no text is kept in a file');
    await second.close();
    server.close();
  });
  for (const opening of opened) {
    await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
});
finish();
