// Kinds of strangers: the whole requests that each of them sends, over and over.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import * as solana from '../lib/solana-payment.mjs';
import { account, payBase } from '../lib/base-payment.mjs';
import { encode } from '../lib/http.mjs';
import { BODY, PATH, offer, once } from '../lib/buyer.mjs';
import { BASE, SOLANA, requirements } from './payments.mjs';
import { signMany } from './programs.mjs';

const MIB = 1024 * 1024;
/** Different payments of a kind: more than what is remembered of those that failed. */
const SIGNED = 20_000;
const FORGED = 2_000;
/** Connections that send little and wait. */
const WAITING = 1_024;
export const CHAT_PATH = '/v1/chat/completions';
export const CHAT = JSON.stringify({
  model: 'claude-haiku-4-5', max_tokens: 64,
  messages: [{ role: 'user', content: 'Write one concise sentence about API integration.' }],
});
const JSON_LINE = 'content-type: application/json\r\n';

/** One request, all of it; `announced` is the length that it claims to have. */
function request({ host }, { method = 'POST', path, headers = '', body = '', announced = Buffer.byteLength(body) }) {
  const length = method === 'GET' ? '' : `content-length: ${announced}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${length}${headers}\r\n${body}`;
}

const paying = header => `${JSON_LINE}payment-signature: ${header}\r\n`;
const asked = (payment, terms) => JSON.stringify({ x402Version: 2, paymentPayload: payment, paymentRequirements: terms });

/** A payment as it is shown to the side that is asked: in a header, or in a body. */
const shown = (here, payment, path = here.path) => here.mode === 'gate'
  ? request(here, { path, headers: paying(encode(payment)), body: CHAT })
  : request(here, { path, headers: JSON_LINE, body: asked(payment, here.terms) });

/** What one who does not pay sends to the side that is asked. */
const plain = (here, more = {}) =>
  request(here, { path: here.path, headers: JSON_LINE, body: here.mode === 'gate' ? CHAT : '{}', ...more });

const penniless = async (here, wallets, path) =>
  (await signMany(here.place, { offer: here.terms, count: SIGNED, wallets })).map(payment => shown(here, payment, path));

/** Of its own customers' wallets, so that what is held for them is missed by nobody else. */
const funded = async (here, path) =>
  (await signMany(here.place, { offer: here.terms, count: SIGNED, wallets: 1, payers: here.others })).map(payment => shown(here, payment, path));

function withSignature(payment, signature) {
  return { ...payment, payload: { ...payment.payload, signature } };
}

/** Headers that are no payment, each wrong at another place. */
function garbage(here) {
  const good = { x402Version: 2, accepted: here.terms, payload: { authorization: {}, signature: '0x00' } };
  const headers = [
    'x'.repeat(4_000),
    `%%%${'y'.repeat(2_000)}`,
    randomBytes(3_000).toString('base64'),
    Buffer.from('['.repeat(3_000)).toString('base64'),
    Buffer.from(`{"x402Version":2,"a":[${'{},'.repeat(1_500)}{}]}`).toString('base64'),
    encode({ x402Version: 1, scheme: 'exact', network: 'base', payload: {} }),
    encode({ x402Version: 2 }),
    encode(good),
    encode({ ...good, payload: null }),
    encode({ ...good, accepted: { ...here.terms, amount: '-1' } }),
    [encode(good), encode({ ...good, payload: {} }), 'eyJ4'].join(','),
  ];
  return headers.map(header => request(here, { path: here.path, headers: paying(header), body: CHAT }));
}

/** The same for a facilitator, whose payments come in bodies. */
function garbageBodies(here) {
  const good = { x402Version: 2, accepted: here.terms, payload: { authorization: {}, signature: '0x00' } };
  const bodies = [
    'x'.repeat(4_000), '{}', '['.repeat(60_000), `[${'{},'.repeat(15_000)}{}]`, `{"a":"${'\\u0041'.repeat(10_000)}"}`,
    `{${Array.from({ length: 4_000 }, (_, n) => `"k${n}":0`).join(',')}}`,
    asked(good, here.terms), asked({ ...good, payload: null }, here.terms), asked(good, { ...here.terms, amount: '-1' }),
  ];
  return bodies.map(body => request(here, { path: here.path, headers: JSON_LINE, body }));
}

async function forged(here) {
  const payments = await signMany(here.place, { offer: here.terms, count: FORGED, wallets: 64 });
  return payments.map(payment => shown(here, withSignature(payment, `0x${randomBytes(32).toString('hex')}${'11'.repeat(32)}1b`)));
}

async function unknownNetworks(here) {
  const payments = await signMany(here.place, { offer: here.terms, count: 64, wallets: 64 });
  const names = ['eip155:1', 'eip155:999999999', 'solana:nowhere', 'bip122:000000000019d6689c085ae165831e93', 'base', 'x'.repeat(500)];
  return payments.map((payment, number) => {
    const network = names[number % names.length];
    const accepted = { ...payment.accepted, network };
    return shown({ ...here, terms: { ...here.terms, network } }, { ...payment, accepted });
  });
}

/** A payment that is pending for as long as its node takes none. It is of another network than the customers'. */
async function pending(here) {
  const faults = { method: 'sendTransaction', action: 'drop_request', times: 100_000 };
  await fetch(`${here.proxies.solana.url}/__proxy/faults`, { method: 'POST', body: JSON.stringify(faults), headers: { 'Content-Type': 'application/json' } });
  const payer = solana.signer(here.net.solana.payer_key);
  if (here.mode === 'gate') {
    const header = encode(await solana.paySolana(here.net, payer, await offer(here.running, 'solana')));
    once(here.running, { header }).catch(() => {});
    return [request(here, { path: PATH, headers: paying(header), body: BODY })];
  }
  const terms = await requirements(here.running.url, here.net, SOLANA);
  const body = asked(await solana.paySolana(here.net, payer, terms), terms);
  return [request(here, { path: here.path, headers: JSON_LINE, body })];
}

/** A payment that is settled and answered. */
async function answered(here) {
  const terms = here.mode === 'gate' ? await offer(here.running, 'base') : here.terms;
  const payment = await payBase(account(here.others[0]), terms);
  if (here.mode === 'gate') {
    const header = encode(payment);
    const answer = await once(here.running, { header });
    if (answer?.status !== 200) throw new Error(`not sold: ${answer?.status} ${answer?.text}`);
    return [request(here, { path: PATH, headers: paying(header), body: BODY })];
  }
  const body = asked(payment, terms);
  const answer = await (await fetch(`${here.running.url}/settle`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })).json();
  if (!answer.success) throw new Error(`not settled: ${JSON.stringify(answer)}`);
  return [request(here, { path: here.path, headers: JSON_LINE, body })];
}

/** Bodies of up to 8 MiB of a good shape: what is longer is refused by its announcement. */
const longBodies = here => [plain(here, { body: JSON.stringify({ ...JSON.parse(CHAT), padding: 'x'.repeat(8 * MIB - 512) }) })];
const stalled = here => [plain(here, { body: 'x'.repeat(60_000), announced: 64 * 1024 })];
const heads = here => [`POST ${here.path} HTTP/1.1\r\nhost: ${here.host}\r\nx: `];
const hangUps = here => [plain(here, { headers: `${JSON_LINE}connection: close\r\n` })];

/** Each kind: its requests, and its connections where they are not the usual number. */
export const GATE = {
  'unpaid requests': { make: here => [plain(here)] },
  'bodies of 8 MiB': { make: longBodies },
  'bodies that stall': { make: stalled, connections: WAITING },
  'heads that stall': { make: heads, connections: WAITING },
  'a connection each': { make: hangUps },
  'garbage payments': { make: garbage },
  'forged signatures': { make: forged },
  'unknown networks': { make: unknownNetworks },
  'empty wallets': { make: here => penniless(here, SIGNED) },
  'one empty wallet': { make: here => penniless(here, 1) },
  'copies, pending': { make: pending, connections: 256 },
  'copies, answered': { make: answered },
};

const on = path => make => ({ make: here => make({ ...here, path }) });
const settle = on('/settle');
const verify = on('/verify');

export const SERVE = {
  'pollers': { make: here => ['/metrics', '/readyz', '/supported', '/healthz'].map(path => request(here, { method: 'GET', path })) },
  'bodies of 8 MiB': settle(longBodies),
  'bodies that stall': { ...settle(stalled), connections: WAITING },
  'heads that stall': { ...settle(heads), connections: WAITING },
  'a connection each': settle(hangUps),
  'garbage': settle(garbageBodies),
  'forged signatures': settle(forged),
  'unknown networks': settle(unknownNetworks),
  'empty wallets at /settle': settle(here => penniless(here, SIGNED)),
  'empty wallets at /verify': verify(here => penniless(here, SIGNED)),
  'one empty wallet at /verify': verify(here => penniless(here, 1)),
  'funded wallets at /verify': verify(here => funded(here)),
  'copies, pending': { ...settle(pending), connections: 256 },
  'copies, answered': settle(answered),
};

/** Writes the requests of a kind into a file for the generator. */
export async function write(here, { make }) {
  const file = join(here.place, 'strangers');
  const requests = await make(here);
  writeFileSync(file, `${requests.map(one => JSON.stringify(one)).join('\n')}\n`);
  return file;
}

export { BASE };
