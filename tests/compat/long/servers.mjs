// Servers that take long to install; as in ../servers.mjs.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import * as stack from '../../lib/stack.mjs';
import { versionOf } from '../packages.mjs';

// Outside of a bundler only CommonJS finds `next/server`, which @x402/next imports.
const require = createRequire(import.meta.url);
const { withX402 } = require('@x402/next');
const { NextRequest, NextResponse } = require('next/server');
const { HTTPFacilitatorClient, x402ResourceServer } = require('@x402/core/server');
const { ExactEvmScheme } = require('@x402/evm/exact/server');
const { ExactSvmScheme } = require('@x402/svm/exact/server');

const CAIP = { base: stack.BASE, solana: stack.SOLANA };

/** A route handler as Next calls it: with a `NextRequest`, for a `NextResponse`. */
async function next({ facilitator, payTo, network, flow }) {
  const scheme = network === 'base' ? new ExactEvmScheme() : new ExactSvmScheme();
  const resources = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator })).register(CAIP[network], scheme);
  const accepts = {
    scheme: 'exact', network: CAIP[network], payTo, price: '$0.05', maxTimeoutSeconds: 120,
    ...(flow === 'upfront' && { extra: { paymentFlow: 'upfront' } }),
  };
  const counted = { runs: 0 };
  const GET = withX402(async () => NextResponse.json({ thing: ++counted.runs }), { accepts, description: 'A thing', mimeType: 'application/json' }, resources);
  const listener = createServer(async (incoming, response) => {
    const { host } = incoming.headers;
    const answer = await GET(new NextRequest(`http://${host}${incoming.url}`, { headers: incoming.headers }));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    url: `http://127.0.0.1:${listener.address().port}/thing`,
    runs: async () => counted.runs,
    close: () => { listener.closeAllConnections(); listener.close(); },
  };
}

export const SERVERS = [
  { name: '@x402/next', x402: 2, flows: ['upfront', 'authorization'], version: () => versionOf('@x402/next', 'compat/long'), open: next },
];
