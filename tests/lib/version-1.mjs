// The official packages of x402 version 1 in this process: customers (`x402-fetch`,
// `x402-axios`) and servers (`x402-express`, `x402-hono`). Nothing of theirs is patched.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';

import * as stack from './stack.mjs';
import { encode } from './http.mjs';

const from = createRequire(join(stack.ROOT, 'tests/clients-v1/package.json'));
const load = name => import(pathToFileURL(from.resolve(name)));
const [fetching, axiosPay, { default: axios }, { default: express }, onExpress, onHono, { Hono }, types] = await Promise.all([
  'x402-fetch', 'x402-axios', 'axios', 'express', 'x402-express', 'x402-hono', 'hono', 'x402/types',
].map(load));

/** More than anything here costs: their own cap is ten cents. */
const CAP = 10_000_000n;

export const decode = fetching.decodeXPaymentResponse;
/** What every client checks each element of a 402's body with. */
export const readRequirements = types.PaymentRequirementsSchema;
export const readAnswer = { verify: types.VerifyResponseSchema, settle: types.SettleResponseSchema };

const signer = (make, net, network) => make(network, network === 'base' ? net.base.payer_key : net.solana.payer_key);
const rpc = net => ({ svmConfig: { rpcUrl: net.solana.rpc_url } });

/** `fetch` that pays on one network; `inner` is what it is given. */
export async function paying(net, network, inner = fetch) {
  return fetching.wrapFetchWithPayment(inner, await signer(fetching.createSigner, net, network), CAP, undefined, rpc(net));
}

/** Buys with `x402-fetch`: `{ status, text, header }`. */
export async function buyWithFetch(net, network, url, body) {
  const pay = await paying(net, network);
  const answer = await pay(url, body === undefined ? {} : request(body));
  return { status: answer.status, text: await answer.text(), header: answer.headers.get('x-payment-response') };
}

/** The same with `x402-axios`. */
export async function buyWithAxios(net, network, url, body) {
  const client = axios.create();
  axiosPay.withPaymentInterceptor(client, await signer(axiosPay.createSigner, net, network), undefined, rpc(net));
  const answer = await client.post(url, body, { headers: { 'Content-Type': 'application/json' } });
  return { status: answer.status, text: JSON.stringify(answer.data), header: answer.headers['x-payment-response'] };
}

export const request = body => ({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body });

/** The payment that `x402-fetch` makes for a 402 whose body is `required`: the value of `X-PAYMENT`. */
export async function sign(net, network, required) {
  let header;
  const inner = async (_, init) => {
    header = init?.headers?.['X-PAYMENT'];
    return header ? new Response('{}') : new Response(JSON.stringify(required), { status: 402 });
  };
  await (await paying(net, network, inner))('http://shop.example/', {});
  return header;
}

/** The same payment as a client of version 2 writes it. */
export function inVersion2(header, accepted) {
  const { payload } = JSON.parse(Buffer.from(header, 'base64'));
  return encode({ x402Version: 2, accepted, payload });
}

/** An express server that sells `GET /thing` on one network; `runs` counts its handler. */
export async function shopOnExpress(facilitatorUrl, network, payTo) {
  const app = express();
  const counted = { runs: 0 };
  app.use(onExpress.paymentMiddleware(payTo, { 'GET /thing': { price: '$0.05', network } }, { url: facilitatorUrl }));
  app.get('/thing', (_, response) => {
    counted.runs += 1;
    response.json({ thing: counted.runs });
  });
  const listener = app.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = `http://127.0.0.1:${listener.address().port}/thing`;
  return { url, counted, close: () => { listener.closeAllConnections(); listener.close(); } };
}

/** The same on hono, without a socket: `fetch` is the server. */
export function shopOnHono(facilitatorUrl, network, payTo) {
  const app = new Hono();
  const counted = { runs: 0 };
  app.use(onHono.paymentMiddleware(payTo, { 'GET /thing': { price: '$0.05', network } }, { url: facilitatorUrl }));
  app.get('/thing', context => {
    counted.runs += 1;
    return context.json({ thing: counted.runs });
  });
  const inner = async (url, init) => app.fetch(new Request(url, init));
  return { url: 'http://hono.example/thing', counted, fetch: inner };
}
