// An operator's first sale: `quittance init` makes a configuration of an API's own OpenAPI document, and
// `quittance gateway` sells with it as it is written; `--demo` needs nothing at all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, test } from './lib/tally.mjs';

const DOCUMENT = {
  openapi: '3.1.0',
  info: { title: 'Pictures', version: '1' },
  paths: {
    '/v1/pictures': { post: {
      summary: 'Draws a picture',
      requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } } },
    } },
    '/v1/pictures/{picture-id}': { get: { summary: 'One picture' } },
  },
  components: { schemas: { Order: {
    type: 'object', required: ['prompt'],
    properties: { prompt: { type: 'string' }, size: { type: 'string', enum: ['small', 'large'] } },
  } } },
};

async function pictures() {
  const server = createServer((request, response) => {
    request.resume();
    const answer = request.url === '/openapi.json' ? DOCUMENT : { picture: request.url, payer: request.headers['x-quittance-payer'] };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => { server.closeAllConnections(); server.close(); } };
}

async function sells(net, gate, network) {
  const bought = await official.buy(net, network, `${gate.url}/v1/pictures`, { body: JSON.stringify({ prompt: `a key on ${network}` }) });
  assert.equal(bought.status, 200, bought.text);
  assert.equal(bought.receipt.success, true);
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const api = await pictures();
  const dir = join(folder, 'shop');
  const port = await stack.freePort();
  const flags = [
    'init', '--dir', dir, '--upstream', api.url, '--price', '0.02', '--base-pay-to', net.base.pay_to, '--solana-pay-to', net.solana.pay_to,
    '--base-rpc', net.base.rpc_url, '--solana-rpc', net.solana.rpc_url, '--base-asset', net.base.usdc, '--solana-asset', net.solana.mint,
    '--eth-usd', '2500.00', '--sol-usd', '150.00', '--ledger', `sqlite://${join(folder, 'shop.sqlite')}`,
  ];

  await test('init writes what the API says of itself', async () => {
    const said = await stack.program(...flags);
    assert.match(said, /BASE_WALLET, SOLANA_WALLET/);
    const catalogue = readFileSync(join(dir, 'catalog.toml'), 'utf8');
    for (const words of ['path = "/v1/pictures"', 'units = "0.02"', 'path = "/v1/pictures/{picture_id}"', 'choices = ["small", "large"]']) {
      assert.ok(catalogue.includes(words), `${words} in ${catalogue}`);
    }
    for (const name of ['# path = "/v1/pictures/{picture_id}"', '# price = { kind = "free" }']) assert.ok(catalogue.includes(name), `${name}: what only reads is free when the operator says so`);
    assert.equal(statSync(join(dir, 'quittance.toml')).mode & 0o777, 0o600);
    assert.match(readFileSync(join(dir, 'compose.yaml'), 'utf8'), /host\.docker\.internal/);
    assert.match(await stack.program('catalog', 'check', join(dir, 'catalog.toml')), /paid {2}POST/);
  });
  await test('nothing is overwritten, and nothing that is refused is written', async () => {
    await assert.rejects(stack.program(...flags), /--force/);
    const nobody = ['init', '--dir', join(folder, 'other'), '--upstream', api.url];
    await assert.rejects(stack.program(...nobody), /--base-pay-to/);
    await assert.rejects(stack.program(...nobody, '--base-pay-to', 'nobody'), /pay_to/);
    const pasted = stack.program(...nobody, '--base-pay-to', net.base.pay_to, '--upstream-bearer', 'sk-live-abcdef');
    await assert.rejects(pasted, error => /--upstream-bearer: write env:NAME/.test(error.message));
  });
  await test('the gateway sells with it as it is written', async () => {
    const gate = await stack.gateway(net, join(dir, 'quittance.toml'), { args: ['--listen', `127.0.0.1:${port}`] });
    await until('both networks', async () => (await stack.json(`${gate.url}/v1/x402`)).networks.length === 2);
    for (const network of ['base', 'solana']) await sells(net, gate, network);
    assert.equal((await http.send(gate.url, { method: 'GET', path: '/v1/pictures/7' })).status, 404, 'nothing is free that nobody chose');
    assert.equal((await http.send(gate.url, { path: '/v1/pictures', headers: { 'Content-Type': 'application/json' }, body: '{"prompt":"a","size":"huge"}' })).status, 400);
    await stack.stop(gate.child);
  });
  await test('the demo sells on chains of its own', async () => {
    const listen = `127.0.0.1:${await stack.freePort()}`;
    const child = stack.start(join(stack.BIN, 'quittance'), ['gateway', '--demo', '--demo-devnet', join(stack.BIN, 'quittance-devnet'), '--listen', listen], { cwd: stack.ROOT, env: { ...process.env, NO_COLOR: '1' } });
    let said = '';
    child.stdout.on('data', chunk => { said += chunk; });
    const gate = { url: `http://${listen}` };
    await until('both networks', async () => {
      assert.equal(child.exitCode, null, child.log.join('\n'));
      return (await stack.json(`${gate.url}/v1/x402`).catch(() => undefined))?.networks.length === 2;
    }, 120);
    assert.equal((await stack.json(`${gate.url}/v1/hello`)).hello, 'there');
    const [, base] = /BASE_PAYER=(\S+)/.exec(said);
    const [, solana, rpc] = /SOLANA_PAYER=(\S+).*--solana-rpc (\S+)/.exec(said);
    const chains = { base: { payer_key: base }, solana: { payer_key: solana, rpc_url: rpc } };
    for (const network of ['base', 'solana']) await sells(chains, gate, network);
    await stack.stop(child);
  });
  api.close();
});
finish();
