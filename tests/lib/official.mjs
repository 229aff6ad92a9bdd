// The official packages in this process: a customer (`@x402/fetch`) and a
// foreign server (`x402HTTPResourceServer` of `@x402/core`) that has its
// payments settled by `quittance serve`. Nothing of theirs is patched; what
// they are given is a `fetch`, as their documentation has it.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import * as stack from './stack.mjs';
import { decode } from './http.mjs';
import { until } from './buyer.mjs';

const [x402, http, core, evmClient, svmClient, evmServer, svmServer, kit, accounts] = await Promise.all([
  '@x402/fetch', '@x402/core/http', '@x402/core/server', '@x402/evm/exact/client', '@x402/svm/exact/client',
  '@x402/evm/exact/server', '@x402/svm/exact/server', '@solana/kit', 'viem/accounts',
].map(stack.clients));

const CAIP = { base: stack.BASE, solana: stack.SOLANA };

export const someIdentifier = () => `pay_${randomBytes(16).toString('hex')}`;

/** An official client for one network; with `identifier` it sends a `payment-identifier`. */
export async function client(net, network, { identifier } = {}) {
  const buyer = new x402.x402Client();
  if (network === 'base') {
    buyer.register('eip155:*', new evmClient.ExactEvmScheme(accounts.privateKeyToAccount(net.base.payer_key)));
  } else {
    const key = Uint8Array.from(kit.getBase58Encoder().encode(net.solana.payer_key));
    const signer = await kit.createKeyPairSignerFromBytes(key);
    buyer.register('solana:*', new svmClient.ExactSvmScheme(signer, { rpcUrl: net.solana.rpc_url }));
  }
  buyer.setSpendControls(false);
  if (identifier) {
    buyer.onAfterPaymentCreation(async ({ paymentPayload }) => {
      paymentPayload.extensions = { ...paymentPayload.extensions, 'payment-identifier': { info: { required: false, id: identifier } } };
    });
  }
  return buyer;
}

/** Terms as a foreign server asks for them. */
export async function terms(net, network, facilitatorUrl, payTo, amount = '50000') {
  const { kinds } = await stack.json(`${facilitatorUrl}/supported`);
  const { extra } = kinds.find(one => one.network === CAIP[network]);
  return {
    scheme: 'exact', network: CAIP[network], amount, asset: network === 'base' ? net.base.usdc : net.solana.mint,
    payTo: payTo[network], maxTimeoutSeconds: 120,
    extra: network === 'base' ? { name: 'USD Coin', version: '2' } : { feePayer: extra.feePayer },
  };
}

/** A payment for such terms, made by the official client. */
export async function pay(net, network, offer, options) {
  const buyer = await client(net, network, options);
  return buyer.createPaymentPayload({ x402Version: 2, resource: { url: 'http://shop.example/thing' }, accepts: [offer] });
}

/**
 * The same EIP-3009 authorization under another signature of the payer's. From
 * here on every signature of this process draws its own nonce: viem does not
 * take that back.
 */
export async function signedAgain(net, payment) {
  accounts.setSignEntropy(true);
  const { authorization } = payment.payload;
  const field = (name, type) => ({ name, type });
  const signature = await accounts.privateKeyToAccount(net.base.payer_key).signTypedData({
    domain: { name: 'USD Coin', version: '2', chainId: 8453, verifyingContract: payment.accepted.asset },
    primaryType: 'TransferWithAuthorization',
    types: { TransferWithAuthorization: [
      field('from', 'address'), field('to', 'address'), field('value', 'uint256'), field('validAfter', 'uint256'),
      field('validBefore', 'uint256'), field('nonce', 'bytes32'),
    ] },
    message: authorization,
  });
  if (signature === payment.payload.signature) throw new Error('the signature is the same');
  return { ...payment, payload: { ...payment.payload, signature } };
}

/** `/verify` or `/settle` as a foreign server calls it. */
export async function ask(facilitatorUrl, what, payment, requirements = payment.accepted, options = {}) {
  const body = JSON.stringify({ x402Version: 2, paymentPayload: payment, paymentRequirements: requirements });
  const answer = await fetch(`${facilitatorUrl}/${what}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, ...options });
  return answer.json();
}

/** Offers of one network only, so that the client has no choice. */
function only(network, answer) {
  const required = decode(answer.headers.get('PAYMENT-REQUIRED'));
  if (answer.status !== 402 || !required) return answer;
  required.accepts = required.accepts.filter(one => one.network === CAIP[network]);
  return required.accepts.length > 0 && new Response('{}', {
    status: 402, headers: { 'PAYMENT-REQUIRED': http.encodePaymentRequiredHeader(required) },
  });
}

/**
 * Buys once with `@x402/fetch` and does not give up: a request that carries a
 * payment is sent again, byte by byte the same, until `isFinal(answer)`.
 * Resolves to `{ status, text, receipt, header, tries }`.
 */
export async function buy(net, network, url, { body, identifier, seconds = 90, isFinal = final } = {}) {
  let header;
  let tries = 0;
  const insistent = async request => {
    const paid = request.headers.get('PAYMENT-SIGNATURE');
    header ??= paid ?? undefined;
    return until(`an answer of ${url}`, async () => {
      let answer;
      try {
        answer = await fetch(request.clone());
      } catch {
        return undefined; // The connection died: nothing is known.
      }
      if (!paid) return only(network, answer);
      tries += 1;
      return (await isFinal(answer)) && answer;
    }, seconds);
  };
  const pay = x402.wrapFetchWithPayment(insistent, await client(net, network, { identifier }));
  const init = body === undefined ? {} : { method: 'POST', headers: { 'Content-Type': 'application/json' }, body };
  const answer = await pay(url, init);
  return {
    status: answer.status,
    text: await answer.text(),
    receipt: decode(answer.headers.get('PAYMENT-RESPONSE')),
    header,
    tries,
  };
}

/** A gate's answer is final when it is not 503 (P5). */
const final = answer => answer.status !== 503;

/** Reasons after which the same payment can still be served by a foreign server. */
const UNDECIDED = new Set(['settlement_pending', 'unexpected_settle_error', 'unexpected_verify_error', 'network_unavailable']);

/**
 * What a foreign server's customer takes for final: the thing itself, or a
 * refusal in the facilitator's own words, which are of two words at least. An
 * error of the way there is none, as undici's "terminated" for an answer that
 * was cut off.
 */
export function servedOrRefused(answer) {
  if (answer.status === 200) return true;
  const reason = decode(answer.headers.get('PAYMENT-RESPONSE'))?.errorReason
    ?? decode(answer.headers.get('PAYMENT-REQUIRED'))?.error ?? '';
  return /^[a-z0-9]+(_[a-z0-9]+)+$/.test(reason) && !UNDECIDED.has(reason);
}

/**
 * A foreign server: an unmodified official resource server on loopback, selling
 * `GET /thing/base` and `GET /thing/solana`. `runs` counts its handler by
 * settled transaction (`upfront`) or payment (`authorization`), `served` the
 * answers that left it with a receipt; `auth` are the headers of a merchant's key.
 */
export async function shop(facilitatorUrl, payTo, { flow = 'upfront', price = '$0.05', auth } = {}) {
  const createAuthHeaders = auth && (async () => ({ verify: auth, settle: auth, supported: auth }));
  const facilitator = new core.HTTPFacilitatorClient({ url: facilitatorUrl(), createAuthHeaders });
  // The facilitator comes back at another address after a crash.
  Object.defineProperty(facilitator, 'url', { get: facilitatorUrl });
  const resources = new core.x402ResourceServer(facilitator)
    .register(stack.BASE, new evmServer.ExactEvmScheme())
    .register(stack.SOLANA, new svmServer.ExactSvmScheme());
  const routes = Object.fromEntries(Object.entries(payTo).map(([network, recipient]) => [`GET /thing/${network}`, {
    accepts: [{
      scheme: 'exact', network: CAIP[network], payTo: recipient, price, maxTimeoutSeconds: 120,
      extra: flow === 'upfront' ? { paymentFlow: 'upfront' } : {},
    }],
    description: 'A thing', mimeType: 'application/json',
  }]));
  const server = new core.x402HTTPResourceServer(resources, routes);
  await server.initialize();
  const counted = { runs: [], served: [] };
  const listener = createServer((request, response) => {
    sell(server, counted, request, response).catch(error => {
      response.writeHead(500).end(JSON.stringify({ error: String(error) }));
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = `http://127.0.0.1:${listener.address().port}`;
  return { url, ...counted, close: () => { listener.closeAllConnections(); listener.close(); } };
}

/** What every official middleware does: ask, run the handler, settle, answer. */
async function sell(server, counted, request, response) {
  const { pathname } = new URL(request.url, 'http://shop');
  const adapter = {
    getHeader: name => request.headers[name.toLowerCase()],
    getMethod: () => request.method,
    getPath: () => pathname,
    getUrl: () => `http://${request.headers.host}${request.url}`,
    getAcceptHeader: () => 'application/json',
    getUserAgent: () => request.headers['user-agent'] ?? '',
  };
  const context = { adapter, path: pathname, method: request.method, paymentHeader: adapter.getHeader('payment-signature') };
  const outcome = await server.processHTTPRequest(context);
  if (outcome.type === 'payment-error') return write(response, outcome.response);
  if (outcome.type !== 'payment-verified') return write(response, { status: 404, headers: {}, body: {} });
  const { paymentPayload, paymentRequirements, declaredExtensions, beforeHandlerSettlement } = outcome;
  counted.runs.push(JSON.stringify(paymentPayload.payload));
  const settled = await server.processSettlement(
    paymentPayload, paymentRequirements, declaredExtensions, { request: context }, undefined, beforeHandlerSettlement,
  );
  if (!settled.success) return write(response, settled.response);
  counted.served.push(settled.transaction);
  return write(response, { status: 200, headers: settled.headers, body: { thing: settled.transaction } });
}

function write(response, { status, headers, body }) {
  response.writeHead(status, { ...headers, 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body ?? {}));
}
