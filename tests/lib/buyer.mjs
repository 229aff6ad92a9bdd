// A buyer that does not give up: it sends one signed payment again and again
// until the gate says something final, across crashes and lying nodes. And the
// bookkeeper that holds the ledger against the chain afterwards.
import assert from 'node:assert/strict';
import { once as event } from 'node:events';
import { connect } from 'node:net';

import * as chain from './chain.mjs';
import * as http from './http.mjs';
import * as solana from './solana-payment.mjs';
import * as stack from './stack.mjs';
import { account, payBase } from './base-payment.mjs';

export const PATH = '/v1/generation-requests?wait=true';
export const BODY = JSON.stringify({
  requests: [{ type: 'image', model: 'gen', prompt: 'A mug', aspect_ratio: '1:1', output_format: 'png' }],
});
const JSON_TYPE = { 'Content-Type': 'application/json', Connection: 'close' };
const RETRY_MS = 100;

/** Waits for a condition, never for luck. */
export async function until(what, condition, seconds = 60, pause = RETRY_MS) {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `waited too long for ${what}`);
    await new Promise(resolve => setTimeout(resolve, pause));
  }
}

/** The offer of one network (`base` or `solana`) for the request above. */
export async function offer(api, network) {
  const wanted = network === 'base' ? stack.BASE : stack.SOLANA;
  return until(`an offer of ${network}`, async () => {
    const answer = await http.send(api.url, { path: PATH, headers: JSON_TYPE, body: BODY });
    const required = http.decode(answer.headers['payment-required']);
    return required?.accepts.find(one => one.network === wanted);
  });
}

/** A signed payment of a fresh offer: `{ network, header, payment }`. */
export async function sign(net, api, network, options = {}) {
  const terms = await offer(api, network);
  const payment = network === 'base'
    ? await payBase(options.payer ?? account(net.base.payer_key), terms, options)
    : await solana.paySolana(net, options.payer ?? solana.signer(net.solana.payer_key), terms);
  return { network, payment, header: http.encode(payment) };
}

/** The same, by the unmodified official client. */
export async function officialSign(net, api, network) {
  const signed = await stack.officialSign(net, api.url, network, '--path', PATH, '--body', BODY);
  return { network, header: signed.header };
}

/** Sends once; a connection that dies is `undefined`. */
export async function once(api, { header }) {
  try {
    const headers = { ...JSON_TYPE, 'PAYMENT-SIGNATURE': header };
    const answer = await http.send(api.url, { path: PATH, headers, body: BODY });
    return { ...answer, receipt: http.decode(answer.headers['payment-response']) };
  } catch {
    return undefined;
  }
}

/**
 * Sends all of `[{ api, header }]` in one turn of the event loop: every
 * connection is open before the first request is written.
 */
export async function release(copies) {
  const sockets = await Promise.all(copies.map(async ({ api }) => {
    const { hostname, port } = new URL(api.url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await event(socket, 'connect');
    return socket;
  }));
  const answers = sockets.map(everything);
  for (const [index, { api, header }] of copies.entries()) {
    sockets[index].write([
      `POST ${PATH} HTTP/1.1`, `Host: ${new URL(api.url).host}`, 'Content-Type: application/json', 'Connection: close',
      `Content-Length: ${Buffer.byteLength(BODY)}`, `PAYMENT-SIGNATURE: ${header}`, '', BODY,
    ].join('\r\n'));
  }
  return Promise.all(answers);
}

/** What comes until the connection closes; `undefined` if it dies without an answer. */
async function everything(socket) {
  const chunks = [];
  socket.on('data', chunk => chunks.push(chunk));
  await new Promise(resolve => socket.once('close', resolve).on('error', () => resolve()));
  const text = Buffer.concat(chunks).toString('latin1');
  if (!text.startsWith('HTTP/1.1 ')) return undefined;
  const [head] = text.split('\r\n\r\n', 1);
  const receipt = http.decode(/^payment-response: *(\S+)/im.exec(head)?.[1]);
  return { status: Number(text.slice(9, 12)), receipt, text: text.slice(head.length + 4) };
}

/** Sends the same payment until the answer is final. P5: what is not final is 503, never a new 402. */
export async function insist(api, signed, seconds = 60) {
  return until('a final answer', async () => {
    const answer = await once(api, signed);
    return answer && answer.status !== 503 ? answer : undefined;
  }, seconds);
}

/** One payment of the ledger with its journal. */
export async function journalOf(config, id) {
  return JSON.parse(await stack.program('payments', 'show', '--config', config, id));
}

/**
 * What the promises allow a journal to say: one claim, one verdict, at most one
 * completed answer, and no run that begins before the last one ended.
 */
export function assertSoundJournal({ id, journal, runs }, wantedRuns) {
  const count = event => journal.filter(line => line.event === event).length;
  const events = journal.map(line => line.event).join(' ');
  assert.equal(count('claimed'), 1, `${id}: ${events}`);
  const verdicts = count('settled') + count('refused') + count('expired');
  assert.equal(verdicts, 1, `${id}: ${events}`);
  assert.ok(count('delivered') <= 1, `${id}: ${events}`);
  let running = false;
  for (const { event } of journal) {
    assert.ok(!(running && event === 'running'), `${id}: two runs at once: ${events}`);
    if (event === 'running') running = true;
    if (event === 'delivered' || event === 'credited') running = false;
  }
  assert.equal(count('running'), runs, `${id}: ${events}`);
  assert.equal(runs, wantedRuns, `${id}: ${events}`);
}

/** All transfers to `pay_to` since `known`, with their amounts. */
async function landed(net, network, payTo, known) {
  if (network === 'base') {
    const all = await chain.baseTransfersTo(net.base.rpc_url, net.base.usdc, payTo);
    return all.filter(one => !known.has(one.transaction));
  }
  const all = await chain.solanaTransfersTo(net.solana.rpc_url, net.solana.mint, payTo);
  const fresh = all.filter(one => !known.has(one.transaction));
  return Promise.all(fresh.map(async ({ transaction }) => {
    const moved = await chain.solanaTransfer(net.solana.rpc_url, net.solana.mint, transaction);
    assert.equal(moved.pay_to, payTo);
    return { transaction, amount: moved.amount };
  }));
}

const balance = (net, network, payTo) => network === 'base'
  ? chain.baseBalance(net.base.rpc_url, net.base.usdc, payTo)
  : chain.solanaBalance(net.solana.rpc_url, net.solana.mint, payTo);

/** What is on the account now, to subtract later. */
export async function opening(net, network, payTo) {
  const transfers = network === 'base'
    ? await chain.baseTransfersTo(net.base.rpc_url, net.base.usdc, payTo)
    : await chain.solanaTransfersTo(net.solana.rpc_url, net.solana.mint, payTo);
  return {
    network,
    payTo,
    known: new Set(transfers.map(one => one.transaction)),
    balance: BigInt(await balance(net, network, payTo)),
  };
}

/** Every rule of the ledger holds that no constraint holds, also while the program serves. */
export async function assertRules(config) {
  const report = await stack.program('ledger', 'check', '--config', config, '--json').catch(error => error.message);
  assert.match(report, /"holds": true/, report);
}

/** Books and chain agree to the last unit; every payment has its verdict. Returns the ledger. */
export async function assertBooks(net, config, { network, payTo, known, balance: before }) {
  const caip = network === 'base' ? stack.BASE : stack.SOLANA;
  const payments = (await stack.books(config)).filter(one => one.network === caip);
  const open = payments.filter(one => !['settled', 'refused', 'expired'].includes(one.state));
  assert.deepEqual(open, [], 'every payment is final');
  const settled = payments.filter(one => one.state === 'settled');
  const shape = list => list.map(one => `${one.transaction} ${one.amount}`).sort();
  const moved = await landed(net, network, payTo, known);
  assert.deepEqual(shape(settled), shape(moved), 'one transfer for each settled payment, and no other');
  const sum = list => list.reduce((total, one) => total + BigInt(one.amount), 0n);
  assert.equal(BigInt(await balance(net, network, payTo)) - before, sum(settled), 'the balance');
  return payments;
}
