// Servers as they are published, each selling one thing as its documentation has it, with `quittance serve` for
// a facilitator. Nothing is patched.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';

import { serve as serveHono } from '@hono/node-server';
import { createMiddleware as faremeter } from '@faremeter/middleware/express';
import openFacilitator from '@openfacilitator/sdk';
import { HTTPFacilitatorClient, x402ResourceServer } from '@x402/core/server';
import { ExactEvmScheme } from '@x402/evm/exact/server';
import { paymentMiddleware as onExpress } from '@x402/express';
import { paymentMiddleware as onHono } from '@x402/hono';
import { ExactSvmScheme } from '@x402/svm/exact/server';
import express from 'express';
import { Hono } from 'hono';

import * as stack from '../lib/stack.mjs';
import * as v1 from '../lib/version-1.mjs';
import { pinned, PYTHON, versionOf } from './packages.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const PRICE = '50000';

/** Serves an express app; `counted.runs` is how often its handler ran. */
async function listening(app, counted) {
  const listener = app.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    url: `http://127.0.0.1:${listener.address().port}/thing`,
    runs: async () => counted.runs,
    close: () => { listener.closeAllConnections(); listener.close(); },
  };
}

/** An express app with one thing behind `middleware`. */
function shop(middleware) {
  const counted = { runs: 0 };
  const app = express();
  app.get('/thing', middleware, (_, response) => response.json({ thing: ++counted.runs }));
  return listening(app, counted);
}

/** What the official packages of version 2 are configured with. */
function official({ facilitator, payTo, network, flow }) {
  const scheme = network === 'base' ? new ExactEvmScheme() : new ExactSvmScheme();
  const resources = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(CAIP[network], scheme);
  const accepts = {
    scheme: 'exact', network: CAIP[network], payTo, price: '$0.05', maxTimeoutSeconds: 120,
    ...(flow === 'upfront' && { extra: { paymentFlow: 'upfront' } }),
  };
  return [{ 'GET /thing': { accepts, description: 'A thing', mimeType: 'application/json' } }, resources];
}

async function hono(options) {
  const counted = { runs: 0 };
  const app = new Hono();
  app.use(onHono(...official(options)));
  app.get('/thing', context => context.json({ thing: ++counted.runs }));
  const listener = serveHono({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 });
  if (!listener.listening) await once(listener, 'listening');
  return {
    url: `http://127.0.0.1:${listener.address().port}/thing`,
    runs: async () => counted.runs,
    close: () => { listener.closeAllConnections(); listener.close(); },
  };
}

/** Leaves out what `POST /accepts` of the facilitator completes: token, time, `extra`. */
async function onFaremeter({ facilitator, payTo, network }) {
  const accepts = [{ scheme: 'exact', network, maxAmountRequired: PRICE, payTo, description: 'A thing', mimeType: 'application/json' }];
  return shop(await faremeter({ facilitatorURL: facilitator, accepts, supportedVersions: { x402v1: true, x402v2: true } }));
}

async function onOpenFacilitator({ facilitator, payTo, network, net }) {
  const { kinds } = await stack.json(`${facilitator}/supported`);
  const { extra } = kinds.find(one => one.network === CAIP[network]);
  const asset = network === 'base' ? net.base.usdc : net.solana.mint;
  const requirements = { scheme: 'exact', network: CAIP[network], amount: PRICE, asset, payTo, maxTimeoutSeconds: 120, extra };
  return shop(openFacilitator.createPaymentMiddleware({ facilitator, getRequirements: () => requirements }));
}

/** In a process of its own: one that dies of its facilitator is started again by whoever asks next. */
async function onExpressV1({ facilitator, payTo, network }) {
  const shop = { close: () => stack.stop(shop.child), revive: start };
  let runs = 0;
  shop.runs = async () => runs;
  async function start() {
    shop.child = stack.start(process.execPath, [join(stack.ROOT, 'tests/compat/shop-v1.mjs'), facilitator, network, payTo]);
    const lines = createInterface({ input: shop.child.stdout });
    [shop.url] = await once(lines, 'line');
    lines.on('line', () => { runs += 1; });
    shop.died = once(shop.child, 'exit').then(() => true);
  }
  await start();
  return shop;
}

async function onHonoV1({ facilitator, payTo, network }) {
  const { url, counted, fetch } = v1.shopOnHono(facilitator, network, payTo);
  return { url, runs: async () => counted.runs, fetch, close: () => {} };
}

const BOTH = ['upfront', 'authorization'];

/** One process of each framework sells on both networks in both flows. */
const processes = new Map();
async function started(framework, facilitator, recipients) {
  const port = await stack.freePort();
  const child = stack.start(PYTHON, [join(stack.ROOT, 'tests/compat/shop.py'), framework, facilitator, String(port)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const ready = once(createInterface({ input: child.stdout }), 'line');
  const ended = once(child, 'exit').then(() => { throw new Error(`${framework}: ${child.log.slice(-8).join('\n')}`); });
  child.stdin.end(JSON.stringify(Object.entries(recipients).flatMap(([network, payTo]) =>
    BOTH.map(flow => ({ path: `/${network}/${flow}`, network: CAIP[network], payTo, flow })))));
  await Promise.race([ready, ended]);
  ended.catch(() => {}); // It ends with the test.
  return `http://127.0.0.1:${port}`;
}

async function python(framework, { facilitator, recipients, network, flow }) {
  if (!processes.has(framework)) processes.set(framework, started(framework, facilitator, recipients));
  const [url, path] = [await processes.get(framework), `/${network}/${flow}`];
  return { url: url + path, runs: async () => (await stack.json(`${url}/runs`))[path] ?? 0, close: () => {} };
}

/**
 * `open({ facilitator, payTo, recipients, network, flow, net })` resolves to `{ url, runs, close }`, and with
 * `fetch` where it has no socket. `flows` are those that a server can be told, or its own. `x402` is the version of
 * its customers; `mixed` is a payment of version 2 in the header of version 1, as no client sends it.
 */
export const SERVERS = [
  { name: '@x402/express', x402: 2, flows: BOTH, version: () => versionOf('@x402/express'), open: options => shopBehind(onExpress(...official(options))) },
  { name: '@x402/hono', x402: 2, flows: BOTH, version: () => versionOf('@x402/hono'), open: hono },
  { name: 'x402, FastAPI', x402: 2, flows: BOTH, registry: 'PyPI', version: () => pinned('x402'), open: options => python('fastapi', options) },
  { name: 'x402, Flask', x402: 2, flows: BOTH, registry: 'PyPI', version: () => pinned('x402'), open: options => python('flask', options) },
  { name: 'x402-express', x402: 1, flows: ['authorization'], version: () => versionOf('x402-express', 'clients-v1'), open: onExpressV1 },
  { name: 'x402-hono', x402: 1, flows: ['authorization'], version: () => versionOf('x402-hono', 'clients-v1'), open: onHonoV1 },
  { name: '@faremeter/middleware', x402: 2, flows: ['upfront'], version: () => versionOf('@faremeter/middleware'), open: onFaremeter },
  { name: '@faremeter/middleware', x402: 1, flows: ['upfront'], version: () => versionOf('@faremeter/middleware'), open: onFaremeter },
  { name: '@openfacilitator/sdk', x402: 'mixed', flows: ['upfront'], version: () => versionOf('@openfacilitator/sdk'), open: onOpenFacilitator },
];

/** The official middleware stands before all routes. */
function shopBehind(middleware) {
  const counted = { runs: 0 };
  const app = express();
  app.use(middleware);
  app.get('/thing', (_, response) => response.json({ thing: ++counted.runs }));
  return listening(app, counted);
}
