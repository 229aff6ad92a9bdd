// A gate whose payments are settled elsewhere, the road between the two, and a facilitator of npm at
// its end.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import * as stack from './stack.mjs';

async function listening(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const json = (answer, status, value, headers = {}) => {
  answer.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  answer.end(typeof value === 'string' ? value : JSON.stringify(value));
};

/**
 * The road to a facilitator, as unkind as roads are. `settle` says what becomes of `/settle`, until
 * it is changed: a function of (request, answer, pass), where `pass()` asks the real one. `away`
 * closes every connection. All bodies of `/settle` are kept in `asked`, with their `Idempotency-Key`.
 */
export async function road(upstream) {
  const here = { asked: [], away: false, settle: undefined };
  const server = createServer(async (request, answer) => {
    try {
      if (here.away) return request.socket.destroy();
      const body = await read(request);
      const pass = async () => {
        const { method, headers: { host: _, connection: __, ...headers } } = request;
        const said = await fetch(`${upstream}${request.url}`, { method, headers, ...(method === 'POST' && { body }) });
        return { status: said.status, text: await said.text(), headers: said.headers };
      };
      if (request.url === '/settle') {
        here.asked.push({ body, key: request.headers['idempotency-key'] });
        if (here.settle) return await here.settle(request, answer, pass);
      }
      const { status, text } = await pass();
      json(answer, status, text);
    } catch {
      request.socket.destroy(); // The facilitator is gone, or the gate is.
    }
  });
  here.url = await listening(server);
  here.close = () => { server.closeAllConnections(); server.close(); };
  return here;
}

/** What a facilitator may answer to `/settle`. */
export const says = (value, status = 200, headers) => async (_, answer) => json(answer, status, value, headers);

/** Settles, and the answer never arrives. */
export const vanishes = async (request, _, pass) => {
  await pass();
  request.socket.destroy();
};

/** Answers when `opened` is resolved. */
export const slow = opened => async (_, answer, pass) => {
  await opened;
  const { status, text } = await pass();
  json(answer, status, text);
};

/** Writes the configuration of a gate on the networks named; no wallets and no rates are in it. */
export function configure(folder, net, { name, port, facilitator, payTo, networks = ['base'], upstream, more = {} }) {
  const lines = values => Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n');
  const chain = {
    base: { network: stack.BASE, rpc_urls: [net.base.rpc_url], asset: net.base.usdc, pay_to: payTo.base },
    solana: { network: stack.SOLANA, rpc_urls: [net.solana.rpc_url], asset: net.solana.mint, pay_to: payTo.solana },
  };
  const sections = {
    server: { listen: `127.0.0.1:${port}`, workers: 2, shutdown_seconds: 5 },
    ledger: { url: `sqlite://${join(folder, `${name}.sqlite`)}`, lease_seconds: 3 },
    ...Object.fromEntries(networks.map(each => [`networks.${each}`, { ...chain[each], ...more[each] }])),
    facilitator: { url: facilitator, timeout_seconds: 5, repeat_seconds_max: 1, ...more.facilitator },
    quote: { refresh_seconds: 1 },
    gate: { catalogue: join(stack.ROOT, 'catalogs/imgnai.toml'), pending_wait_seconds: 1, ...more.gate },
  };
  if (upstream) sections['gateway.upstreams.api'] = { url: upstream, catalogue: sections.gate.catalogue };
  const path = join(folder, `${name}.toml`);
  writeFileSync(path, Object.entries(sections).map(([title, values]) => `[${title}]\n${lines(values)}\n`).join('\n'));
  return path;
}

/** `@x402/core`'s facilitator with `@x402/evm`, unmodified, behind the three routes of its documentation. */
export async function official(net) {
  const [core, scheme, evm, viem, accounts, chains] = await Promise.all([
    '@x402/core/facilitator', '@x402/evm/exact/facilitator', '@x402/evm', 'viem', 'viem/accounts', 'viem/chains',
  ].map(stack.clients));
  const account = accounts.privateKeyToAccount(net.wallet);
  const client = viem.createWalletClient({ account, chain: chains.base, transport: viem.http(net.base.rpc_url), pollingInterval: 50 })
    .extend(viem.publicActions);
  const signer = evm.toFacilitatorEvmSigner({
    address: account.address,
    getCode: options => client.getCode(options),
    readContract: options => client.readContract(options),
    verifyTypedData: options => client.verifyTypedData(options),
    writeContract: options => client.writeContract(options),
    sendTransaction: options => client.sendTransaction(options),
    waitForTransactionReceipt: options => client.waitForTransactionReceipt(options),
  });
  const facilitator = new core.x402Facilitator().register(stack.BASE, new scheme.ExactEvmScheme(signer));
  const server = createServer(async (request, answer) => {
    try {
      if (request.url === '/supported') return json(answer, 200, facilitator.getSupported());
      if (!['/verify', '/settle'].includes(request.url)) return json(answer, 404, {});
      const { paymentPayload, paymentRequirements } = JSON.parse(await read(request));
      return json(answer, 200, await facilitator[request.url.slice(1)](paymentPayload, paymentRequirements));
    } catch (error) {
      return json(answer, 500, { error: String(error.message) });
    }
  });
  const url = await listening(server);
  return { url, close: () => { server.closeAllConnections(); server.close(); } };
}
