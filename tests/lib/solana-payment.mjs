// Builds and signs Solana transactions byte by byte, so that every byte can be
// wrong. Source: Solana documentation, "Transaction format".
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createRequire } from 'node:module';

import { rpc } from './chain.mjs';

const clients = createRequire(new URL('../clients/package.json', import.meta.url));
const kit = clients('@solana/kit');

export const TOKEN = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
export const TOKEN_2022 = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';
export const ASSOCIATED = 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL';
export const SYSTEM = '11111111111111111111111111111111';
export const MEMO = 'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr';
export const COMPUTE = 'ComputeBudget111111111111111111111111111111';
export const RECENT_BLOCKHASHES = 'SysvarRecentB1ockHashes11111111111111111111';

const bytesOf = text => Buffer.from(kit.getBase58Encoder().encode(text));
export const base58 = bytes => kit.getBase58Decoder().decode(bytes);
export const someKey = () => base58(randomBytes(32));

/** A signer from 64 bytes in base58, as the devnet prints them. */
export function signer(text) {
  const bytes = bytesOf(text);
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), bytes.subarray(0, 32)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { address: base58(bytes.subarray(32)), sign: message => sign(null, message, key) };
}

export function stranger() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return { address: base58(raw), sign: message => sign(null, message, privateKey) };
}

/** A key nobody knows, as wallets write it: 64 bytes in base58. */
export function someSecret() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const last = key => key.subarray(-32);
  return base58(Buffer.concat([
    last(privateKey.export({ format: 'der', type: 'pkcs8' })), last(publicKey.export({ format: 'der', type: 'spki' })),
  ]));
}

export async function tokenAccount(owner, mint, program = TOKEN) {
  const seeds = [owner, program, mint].map(text => bytesOf(text));
  const [address] = await kit.getProgramDerivedAddress({ programAddress: ASSOCIATED, seeds });
  return address;
}

export async function blockhash(url) {
  return (await rpc(url, 'getLatestBlockhash', { commitment: 'confirmed' })).value.blockhash;
}

const u32 = value => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };
const u64 = value => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(BigInt(value)); return bytes; };
const data = (...pieces) => Buffer.concat(pieces.map(piece => (typeof piece === 'number' ? Buffer.of(piece) : piece)));

// Accounts: [address, 's' signs, 'w' is written].
export const limit = units => ({ program: COMPUTE, accounts: [], data: data(2, u32(units)) });
export const price = microLamports => ({ program: COMPUTE, accounts: [], data: data(3, u64(microLamports)) });
export const memo = (bytes, ...accounts) => ({ program: MEMO, accounts, data: Buffer.from(bytes) });
export const transfer = (source, mint, destination, authority, amount, decimals = 6, { program = TOKEN, more = [] } = {}) => ({
  program,
  accounts: [[source, 'w'], [mint, ''], [destination, 'w'], [authority, 's'], ...more],
  data: data(12, u64(amount), decimals),
});
export const create = (funder, account, owner, mint, kind = 1) => ({
  program: ASSOCIATED,
  accounts: [[funder, 'sw'], [account, 'w'], [owner, ''], [mint, ''], [SYSTEM, ''], [TOKEN, '']],
  data: Buffer.of(kind),
});
export const advanceNonce = (nonce, authority) => ({
  program: SYSTEM, accounts: [[nonce, 'w'], [RECENT_BLOCKHASHES, ''], [authority, 's']], data: u32(4),
});
export const lamports = (from, to, amount) => ({
  program: SYSTEM, accounts: [[from, 'sw'], [to, 'w']], data: data(u32(2), u64(amount)),
});

/** Sorts the accounts as the runtime wants them; all numbers may be changed afterwards. */
export function compile(feePayer, instructions, recent) {
  const found = new Map([[feePayer, 'sw']]);
  const add = (key, marks) => found.set(key, [...new Set((found.get(key) ?? '') + marks)].sort().join(''));
  for (const { program, accounts } of instructions) {
    for (const [key, marks] of accounts) add(key, marks);
    add(program, '');
  }
  const order = ['sw', 's', 'w', ''];
  const keys = order.flatMap(marks => [...found].filter(([, mine]) => mine === marks).map(([key]) => key));
  const count = marks => [...found.values()].filter(mine => mine === marks).length;
  const at = key => keys.indexOf(key);
  return {
    version: 0x80,
    header: [count('sw') + count('s'), count('s'), count('')],
    keys,
    blockhash: recent,
    instructions: instructions.map(one => ({
      program: at(one.program), accounts: one.accounts.map(([key]) => at(key)), data: one.data,
    })),
    lookups: [],
  };
}

function short(value) {
  const bytes = [];
  for (; value > 0x7f; value >>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

export function messageBytes({ version, header, keys, blockhash: recent, instructions, lookups }) {
  return Buffer.concat([
    ...(version === undefined ? [] : [Buffer.of(version)]),
    Buffer.from(header),
    short(keys.length), ...keys.map(bytesOf),
    bytesOf(recent),
    short(instructions.length),
    ...instructions.flatMap(one => [
      Buffer.of(one.program), short(one.accounts.length), Buffer.from(one.accounts), short(one.data.length), one.data,
    ]),
    ...(version === undefined ? [] : [short(lookups.length)]),
    ...lookups.flatMap(one => [
      bytesOf(one.table), short(one.writable.length), Buffer.from(one.writable), short(one.readonly.length), Buffer.from(one.readonly),
    ]),
  ]);
}

/** The wire form; a signer that is missing leaves its slot empty, as the fee payer's is. */
export function wire(message, signers) {
  const bytes = messageBytes(message);
  const slots = message.keys.slice(0, message.header[0]).map(key => {
    const found = signers.find(one => one.address === key);
    return found ? found.sign(bytes) : Buffer.alloc(64);
  });
  return Buffer.concat([short(slots.length), ...slots, bytes]);
}

/** A payload for `offer` from wire bytes or text. */
export function payload(offer, transaction, more = {}, accepted = {}) {
  const text = typeof transaction === 'string' ? transaction : transaction.toString('base64');
  return { x402Version: 2, accepted: { ...offer, ...accepted }, payload: { transaction: text, ...more } };
}

/** Everything a good payment of `offer` consists of; a nonce in the memo makes each one different. */
export async function ingredients(net, offer, payer) {
  const [source, destination] = await Promise.all([
    tokenAccount(payer.address, offer.asset), tokenAccount(offer.payTo, offer.asset),
  ]);
  return {
    payer, source, destination,
    feePayer: offer.extra.feePayer,
    mint: offer.asset,
    recent: await blockhash(net.solana.rpc_url),
    limit: limit(20_000),
    price: price(1),
    memo: memo(randomBytes(16).toString('hex')),
    transfer: transfer(source, offer.asset, destination, payer.address, offer.amount),
  };
}

/** A good payment, as the official client makes it. */
export async function paySolana(net, payer, offer) {
  const with_ = await ingredients(net, offer, payer);
  const message = compile(with_.feePayer, [with_.limit, with_.price, with_.transfer, with_.memo], with_.recent);
  return payload(offer, wire(message, [payer]));
}
