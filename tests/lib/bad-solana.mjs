// Solana payments that must not be taken. Each is signed for what it says, so
// that only the check it is named after can refuse it.
import assert from 'node:assert/strict';

import * as sol from './solana-payment.mjs';

const PREFIX = 'invalid_exact_svm_payload_';

/** Rows as in bad-base.mjs. */
export async function badSolana(net, offer) {
  const payer = sol.signer(net.solana.payer_key);
  const other = sol.stranger();
  const it = await sol.ingredients(net, offer, payer);
  const rows = [];
  const add = (name, code, payment, more = {}) => rows.push({ name, code, payment, ...more });
  const built = (instructions, { feePayer = it.feePayer, recent = it.recent, change = message => message, signers = [payer] } = {}) =>
    sol.wire(change(sol.compile(feePayer, instructions, recent)), signers);
  const with_ = (instructions, options) => sol.payload(offer, built(instructions, options));
  const all = { ...it, payer, other, net, offer, add, built, with_, full: [it.limit, it.price, it.transfer, it.memo] };
  badTerms(all);
  badBytes(all);
  await badSigners(all);
  await badTransfers(all);
  await badOthers(all);
  await badChain(all);
  return rows;
}

function badTerms({ add, offer, full, built, net }) {
  const good = built(full);
  const accepted = (name, code, changed, more) => add(name, code, sol.payload(offer, good, {}, changed), { gateOnly: true, ...more });
  for (const scheme of ['upto', 'EXACT', '']) accepted(`scheme ${JSON.stringify(scheme)}`, 'invalid_exact_svm_unsupported_scheme', { scheme });
  accepted('the other network', 'invalid_payment_requirements', { network: net.baseNetwork }, {
    gateOnly: false, api: 'invalid_exact_svm_network_mismatch',
  });
  accepted('other asset', `${PREFIX}mint_mismatch`, { asset: sol.someKey() });
  accepted('other recipient', `${PREFIX}recipient_mismatch`, { payTo: sol.someKey() });
  accepted('recipient in lower case', `${PREFIX}recipient_mismatch`, { payTo: offer.payTo.toLowerCase() });
  accepted('two different amounts', `${PREFIX}amount_mismatch`, { maxAmountRequired: '1' });
  for (const amount of [`0${offer.amount}`, `+${offer.amount}`, '', '-1', '1.0']) accepted(`amount ${JSON.stringify(amount)}`, `${PREFIX}amount_mismatch`, { amount });
  // What an offer named as fee payer is no row here: payments go to the fee payer, which may then pay whatever
  // was named (the other case is a test of crates/solana, inspect/tests/pool.rs).
  assert.equal(offer.payTo, offer.extra.feePayer);
  const bare = payload => ({ x402Version: 2, accepted: offer, payload });
  for (const [name, payload] of [
    ['null', null], ['text', 'AQ=='], ['empty', {}], ['of Base', { authorization: {}, signature: '0x' }], ['a number', { transaction: 1 }],
  ]) add(`payload is ${name}`, `${PREFIX}transaction`, bare(payload));
  add('payer claimed is somebody else', 'invalid_payload', sol.payload(offer, good, { payer: offer.payTo }));
  add('payer claimed is empty', 'invalid_payload', sol.payload(offer, good, { payer: '' }));
}

function badBytes({ add, offer, full, built }) {
  const code = `${PREFIX}transaction_could_not_be_decoded`;
  const good = built(full);
  const bytes = (name, raw) => add(`bytes: ${name}`, code, sol.payload(offer, raw));
  const changed = (name, change) => bytes(name, built(full, { change: message => { change(message); return message; } }));
  const text = good.toString('base64');
  bytes('not base64', '%%%');
  bytes('empty', '');
  bytes('space inside', `${text.slice(0, 8)} ${text.slice(8)}`);
  bytes('too large', Buffer.concat([good, Buffer.alloc(1_300)]));
  for (const length of [1, 64, 65, 129, 133, 200, good.length - 1]) bytes(`cut after ${length}`, good.subarray(0, length));
  bytes('a byte behind', Buffer.concat([good, Buffer.of(0)]));
  bytes('the length in a longer form', Buffer.concat([Buffer.of(0x82, 0), good.subarray(1)]));
  bytes('a huge number of signatures', Buffer.concat([Buffer.of(0xff, 0xff, 3), good.subarray(1)]));
  bytes('no signatures', Buffer.concat([Buffer.of(0), good.subarray(129)]));
  bytes('a signature less', Buffer.concat([Buffer.of(1), good.subarray(65)]));
  changed('version 1', message => { message.version = 0x81; });
  changed('program out of range', message => { message.instructions[2].program = message.keys.length; });
  changed('program 255', message => { message.instructions[2].program = 255; });
  changed('the fee payer as program', message => { message.instructions[3].program = 0; });
  changed('account out of range', message => { message.instructions[2].accounts[2] = message.keys.length; });
  changed('more signers than keys', message => { message.header[0] = 200; });
  changed('more read-only accounts than accounts', message => { message.header[2] = 200; });
  changed('all signers read-only', message => { message.header[1] = 2; });
  changed('a key twice', message => { message.keys[message.keys.length - 1] = message.keys[2]; });
  changed('a lookup table', message => { message.lookups = [{ table: sol.someKey(), writable: [0], readonly: [1] }]; });
  changed('an empty lookup table', message => { message.lookups = [{ table: sol.someKey(), writable: [], readonly: [] }]; });
}

async function badSigners({ add, with_, full, limit, price, transfer, payer, other, feePayer, mint, destination, source, memo, offer }) {
  const invalid = `${PREFIX}signature_invalid`;
  add('payer did not sign', invalid, with_(full, { signers: [] }));
  add('payer signed something else', invalid, with_(full, { signers: [{ address: payer.address, sign: () => payer.sign(Buffer.from('else')) }] }));
  add('somebody else signed', invalid, with_(full, { signers: [{ address: payer.address, sign: message => other.sign(message) }] }));
  add('a signature of zeros and order', invalid, with_(full, {
    signers: [{ address: payer.address, sign: () => Buffer.concat([Buffer.alloc(32), Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex')]) }],
  }));
  const third = { ...sol.memo('hello', [other.address, 's']) };
  add('a third signer', `${PREFIX}excessive_signers`, with_([limit, price, transfer, third], { signers: [payer, other] }));
  const mismatch = 'invalid_exact_svm_fee_payer_mismatch';
  add('the payer pays the fee', mismatch, with_(full, { feePayer: payer.address }));
  add('a stranger pays the fee', mismatch, with_(full, { feePayer: other.address, signers: [payer, other] }));
  const funds = `${PREFIX}transaction_fee_payer_transferring_funds`;
  const moved = (from, authority) => sol.transfer(from, mint, destination, authority, offer.amount);
  const own = await sol.tokenAccount(feePayer, mint);
  add('the fee payer is the authority', funds, with_([limit, price, moved(source, feePayer), memo]));
  add('the fee payer pays from its own account', funds, with_([limit, price, moved(own, feePayer), memo]));
  add('our token account is the source', funds, with_([limit, price, moved(destination, payer.address), memo]));
  add('the fee payer is the source', funds, with_([limit, price, moved(feePayer, payer.address), memo]));
  // A second signer that has nothing to do with the transfer.
  add('the authority signs as fee payer, a stranger beside it', funds, with_(
    [limit, price, moved(source, feePayer), sol.memo('x', [other.address, 's'])], { signers: [other] },
  ));
}

async function badTransfers({ add, with_, offer, limit, price, memo, payer, other, mint, source, destination, transfer }) {
  const none = `${PREFIX}no_transfer_instruction`;
  const only = instruction => with_([limit, price, instruction, memo]);
  const to = (where, amount = offer.amount, decimals = 6, options = {}) =>
    sol.transfer(source, options.mint ?? mint, where, payer.address, amount, decimals, options);
  const signed = sol.memo('signed', [payer.address, 's']);
  add('no transfer', none, with_([limit, price, signed]));
  add('an unchecked transfer', none, only({
    program: sol.TOKEN, accounts: [[source, 'w'], [destination, 'w'], [payer.address, 's']],
    data: Buffer.concat([Buffer.of(3), transfer.data.subarray(1, 9)]),
  }));
  add('Token-2022', none, only(to(destination, offer.amount, 6, { program: sol.TOKEN_2022 })));
  add('a multisig authority', none, only(to(destination, offer.amount, 6, { more: [[sol.someKey(), '']] })));
  add('transfer data too short', none, only({ ...transfer, data: transfer.data.subarray(0, 9) }));
  add('transfer data too long', none, only({ ...transfer, data: Buffer.concat([transfer.data, Buffer.of(0)]) }));
  add('other mint', `${PREFIX}mint_mismatch`, only(to(destination, offer.amount, 6, { mint: sol.someKey() })));
  add('other decimals', `${PREFIX}mint_mismatch`, only(to(destination, offer.amount, 5)));
  const recipient = `${PREFIX}recipient_mismatch`;
  add('to the payer', recipient, only(to(source)));
  add("to a stranger's account", recipient, only(to(await sol.tokenAccount(other.address, mint))));
  add("to the recipient's wallet", recipient, only(to(offer.payTo)));
  add("to the recipient's Token-2022 account", recipient, only(to(await sol.tokenAccount(offer.payTo, mint, sol.TOKEN_2022))));
  const amount = `${PREFIX}amount_mismatch`;
  const [less, more] = [-1n, 1n].map(by => BigInt(offer.amount) + by);
  for (const [name, value] of [['amount - 1', less], ['amount + 1', more], ['nothing', 0n], ['2^64 - 1', (1n << 64n) - 1n]]) {
    add(`${name}, for the offered amount`, amount, only(to(destination, value)));
    const accepted = { amount: value.toString(), maxAmountRequired: value.toString() };
    add(`${name}, signed for it`, amount, { ...only(to(destination, value)), accepted: { ...offer, ...accepted } });
  }
  const fourth = `${PREFIX}unknown_fourth_instruction`;
  add('a second transfer', fourth, with_([limit, price, transfer, transfer]));
  add('a second transfer from us', fourth, with_([limit, price, transfer, sol.transfer(destination, mint, source, offer.extra.feePayer, offer.amount)]));
}

async function badOthers({ add, with_, full, offer, limit, price, transfer, memo, payer, other, feePayer, mint, source, destination }) {
  const units = `${PREFIX}transaction_instructions_compute_limit_instruction`;
  const cost = `${PREFIX}transaction_instructions_compute_price_instruction`;
  const rest = [transfer, memo];
  add('compute limit above the cap', `${units}_too_high`, with_([sol.limit(200_001), price, ...rest]));
  add('compute price above the cap', `${cost}_too_high`, with_([limit, sol.price(5_000_001n), ...rest]));
  add('compute price 2^64 - 1', `${cost}_too_high`, with_([limit, sol.price((1n << 64n) - 1n), ...rest]));
  add('limit times price above the cap', `${cost}_too_high`, with_([sol.limit(200_000), sol.price(10_000), ...rest]));
  add('a price without a limit', `${cost}_too_high`, with_([sol.price(10_000), ...rest]));
  add('two limits', units, with_([limit, price, limit, ...rest]));
  add('two prices', cost, with_([limit, price, price, ...rest]));
  add('a heap request', units, with_([limit, price, { program: sol.COMPUTE, accounts: [], data: Buffer.of(1, 0, 0, 4, 0) }, ...rest]));
  add('a price cut off', cost, with_([limit, { ...price, data: price.data.subarray(0, 5) }, ...rest]));
  add('an empty compute instruction', units, with_([{ ...limit, data: Buffer.alloc(0) }, price, ...rest]));

  const length = `${PREFIX}transaction_instructions_length`;
  add('no instructions', length, with_([], { change: message => ({ ...message, header: [2, 1, 0], keys: [feePayer, payer.address] }) }));
  add('eleven instructions', length, with_([...full, memo, memo, memo, memo, memo, memo, memo]));

  const [fourth, optional] = [`${PREFIX}unknown_fourth_instruction`, `${PREFIX}unknown_optional_instruction`];
  const nonce = sol.someKey();
  add('a durable nonce', optional, with_([sol.advanceNonce(nonce, payer.address), limit, price, transfer]));
  add('a durable nonce of ours', optional, with_([sol.advanceNonce(nonce, feePayer), limit, price, transfer]));
  add("the fee payer's lamports", fourth, with_([limit, price, transfer, sol.lamports(feePayer, payer.address, 1_000_000)]));
  add("the payer's lamports", fourth, with_([limit, price, transfer, sol.lamports(payer.address, other.address, 1)]));
  const token = (tag, ...accounts) => ({ program: sol.TOKEN, accounts, data: Buffer.from(tag) });
  add('an approval', fourth, with_([limit, price, transfer, token([4, ...Buffer.alloc(8, 1)], [source, 'w'], [other.address, ''], [payer.address, 's'])]));
  add('our account closed', fourth, with_([limit, price, transfer, token([9], [destination, 'w'], [payer.address, 'w'], [feePayer, 's'])]));
  add('our account given away', fourth, with_([limit, price, transfer, token([6, 2, 1, ...Buffer.alloc(32, 9)], [destination, 'w'], [feePayer, 's'])]));
  add('an unknown program', fourth, with_([limit, price, transfer, { program: sol.someKey(), accounts: [[source, 'w']], data: Buffer.of(1) }]));
  add('an unknown program given the fee payer', fourth, with_([limit, price, transfer, { program: sol.someKey(), accounts: [[feePayer, 'sw']], data: Buffer.of(1) }]));

  const theirs = await sol.tokenAccount(other.address, mint);
  const ours = sol.create(feePayer, destination, offer.payTo, mint);
  add('a foreign token account', optional, with_([limit, price, sol.create(feePayer, theirs, other.address, mint), transfer]));
  add('our account funded by the payer', optional, with_([limit, price, sol.create(payer.address, destination, offer.payTo, mint), transfer]));
  add('our account after the transfer', fourth, with_([limit, price, transfer, ours]));
  add('our account twice', fourth, with_([limit, price, ours, ours, transfer]));
  add('a nested recovery', optional, with_([limit, price, { ...ours, data: Buffer.of(2) }, transfer]));

  add('a memo that names the fee payer', 'invalid_exact_svm_invalid_fee_payer', with_([limit, price, transfer, sol.memo('x', [feePayer, 's'])]));
  add('two memos', `${PREFIX}memo_count`, with_([limit, price, transfer, memo, memo]));
  add('a memo too long', `${PREFIX}memo_mismatch`, with_([limit, price, transfer, sol.memo('x'.repeat(257))]));
  add('a memo that is not UTF-8', `${PREFIX}memo_mismatch`, with_([limit, price, transfer, sol.memo([0xff, 0xfe])]));
  add('a memo that names a stranger', `${PREFIX}memo_mismatch`, with_([limit, price, transfer, sol.memo('x', [other.address, ''])]));
}

async function badChain({ add, built, offer, limit, price, memo, full, payer, other, mint, destination, feePayer }) {
  const rpc = { simulateTransaction: 1 };
  const failed = 'invalid_exact_svm_transaction_simulation_failed';
  const from = (source, owner, options) =>
    sol.payload(offer, built([limit, price, sol.transfer(source, mint, destination, owner.address, offer.amount), memo], options));
  add('an unknown blockhash', failed, sol.payload(offer, built(full, { recent: sol.someKey() })), { rpc });
  add('a payer without a token account', failed, from(await sol.tokenAccount(other.address, mint), other, { signers: [other] }), { rpc });
  add("somebody else's token account", failed, from(await sol.tokenAccount(payer.address, mint), other, { signers: [other] }), { rpc });
  add('a source that does not exist', failed, from(sol.someKey(), payer), { rpc });
  const again = sol.create(feePayer, destination, offer.payTo, mint, 0);
  add('our existing account created again', failed, sol.payload(offer, built([limit, price, again, full[2], memo])), { rpc });
}
