// Base payments that must not be taken. Each is signed for what it says, so
// that only the check it is named after can refuse it.
import { account, parts, payBase, resigned, seconds, someNonce, stranger } from './base-payment.mjs';

/** The check, and the search for the transaction that used the authorization up. */
const SEARCH = { eth_call: 1, eth_getBlockByNumber: 1, eth_getLogs: 1 };

const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const ERC6492 = '6492'.repeat(16);
const hex = (value, bytes) => BigInt(value).toString(16).padStart(bytes * 2, '0');

/**
 * Rows of `{ name, payment, code, api?, shape?, gateOnly?, rpc? }`: `api` is the
 * code of /verify and /settle where it differs, `shape` says that those answer
 * 400, `rpc` the only calls that may reach the node.
 */
export async function badBase(net, offer, nonces) {
  const payer = account(net.base.payer_key);
  const wallet = account(net.base.wallet_key);
  const other = stranger();
  const now = seconds();
  const rows = [];
  const pay = (spoil, signer = payer) => payBase(signer, offer, spoil);
  const add = async (name, code, payment, more = {}) => rows.push({ name, code, payment: await payment, ...more });
  const fields = (name, code, changed, more) => add(name, code, pay({ fields: changed }), more);
  const accepted = (name, code, changed, more) => add(name, code, pay({ accepted: changed }), { gateOnly: true, ...more });

  const scheme = 'invalid_exact_evm_scheme';
  for (const text of ['upto', 'EXACT', 'exact ', '']) await accepted(`scheme ${JSON.stringify(text)}`, scheme, { scheme: text });
  await add('the other network', 'invalid_exact_svm_payload_mint_mismatch', pay({ accepted: { network: net.solanaNetwork } }), {
    api: 'invalid_exact_evm_network_mismatch',
  });

  const asset = 'invalid_payment_requirements';
  const foreign = '0x036CbD53842c5426634e7929541eC2318f3dCF7e';
  await add('other asset, signed for it', asset, pay({ accepted: { asset: foreign }, over: { verifyingContract: foreign } }), {
    api: 'invalid_exact_evm_signature',
  });
  await accepted('asset is no address', asset, { asset: 'USDC' });

  const payload = 'invalid_payload';
  const good = await pay({});
  const replaced = changed => ({ ...good, payload: changed });
  const { authorization, signature } = good.payload;
  for (const [name, changed] of [
    ['null', null], ['text', 'x'], ['a list', [authorization, signature]], ['empty', {}],
    ['without signature', { authorization }], ['without authorization', { signature }],
    ['of Permit2', { permit2Authorization: { from: authorization.from }, signature }],
    ['of Solana', { transaction: 'AQ==' }],
  ]) await add(`payload is ${name}`, payload, replaced(changed));
  const spoiled = changed => replaced({ authorization: { ...authorization, ...changed }, signature });
  for (const [name, changed] of [
    ['from without 0x', { from: authorization.from.slice(2) }],
    ['from too short', { from: authorization.from.slice(0, -1) }],
    ['nonce of 31 bytes', { nonce: authorization.nonce.slice(0, -2) }],
    ['nonce is not hex', { nonce: `0x${'zz'.repeat(32)}` }],
    ['value negative', { value: '-1' }], ['value in hex', { value: '0x10' }], ['value fractional', { value: '1.0' }],
    ['value 2^64', { value: '18446744073709551616' }], ['value 2^256', { value: (1n << 256n).toString() }],
    ['validBefore 2^64', { validBefore: '18446744073709551616' }], ['validBefore fractional number', { validBefore: 1.5 }],
    ['validAfter negative number', { validAfter: -1 }], ['validAfter empty', { validAfter: '' }],
  ]) await add(name, payload, spoiled(changed));

  const recipient = 'invalid_exact_evm_recipient_mismatch';
  await fields('to somebody else', recipient, { to: other.address });
  await add('to and payTo somebody else', recipient, pay({ fields: { to: other.address }, accepted: { payTo: other.address } }));
  await accepted('payTo somebody else', recipient, { payTo: other.address });
  await add('the recipient pays itself', recipient, pay({}, wallet));

  const mismatch = 'invalid_exact_evm_payload_authorization_value_mismatch';
  const [less, more] = [-1n, 1n].map(by => (BigInt(offer.amount) + by).toString());
  await add('amount - 1, signed for it', mismatch, pay({ fields: { value: less }, accepted: { amount: less } }));
  await add('amount + 1, signed for it', mismatch, pay({ fields: { value: more }, accepted: { amount: more } }));
  await add('twice the amount', mismatch, pay({ fields: { value: String(2n * BigInt(offer.amount)) }, accepted: { amount: String(2n * BigInt(offer.amount)) } }));
  await fields('value - 1 for the offered amount', mismatch, { value: less });
  await fields('value + 1 for the offered amount', mismatch, { value: more });
  await accepted('the offered amount is not signed', mismatch, { amount: less });
  const value = 'invalid_exact_evm_authorization_value';
  await add('nothing', value, pay({ fields: { value: '0' }, accepted: { amount: '0' } }), { api: mismatch });
  for (const amount of [`0${offer.amount}`, `+${offer.amount}`, ` ${offer.amount}`, `${offer.amount}.0`, '0x10', '', '-1']) {
    await accepted(`amount ${JSON.stringify(amount)}`, value, { amount });
  }

  const before = 'invalid_exact_evm_payload_authorization_valid_before';
  const after = 'invalid_exact_evm_payload_authorization_valid_after';
  await fields('expired', before, { validBefore: String(now - 10) });
  await fields('about to expire', before, { validBefore: String(now + 2) });
  await fields('too far ahead', before, { validBefore: String(now + 1_000) });
  await fields('for ever', before, { validBefore: '18446744073709551615' });
  await fields('not yet valid', after, { validAfter: String(now + 120), validBefore: String(now + 600) });
  await fields('never valid', after, { validAfter: String(now + 600), validBefore: String(now + 300) });

  await badSignatures(add, { good, pay, payer, other, offer });

  await fields('nonce used on chain', 'invalid_exact_evm_nonce_already_used', { nonce: nonces.used }, { rpc: SEARCH, names: /^0x[0-9a-f]{64}$/ });
  await fields('nonce cancelled on chain', 'invalid_exact_evm_nonce_already_used', { nonce: nonces.cancelled }, { rpc: SEARCH });
  await add('a payer without money', 'invalid_exact_evm_insufficient_balance', pay({}, other), { rpc: { eth_call: 1 } });
  return rows;
}

async function badSignatures(add, { good, pay, payer, other, offer }) {
  const forged = 'invalid_exact_evm_signature';
  const unreadable = 'invalid_exact_evm_failed_to_parse_signature';
  const { signature, authorization } = good.payload;
  const { r, s, parity } = parts(signature);
  const flipped = `${signature.slice(0, 20)}${signature[20] === '0' ? '1' : '0'}${signature.slice(21)}`;
  for (const [name, text, code = forged] of [
    ['one digit changed', flipped],
    ['high s', `0x${r}${hex(N - s, 32)}${hex(28n - parity, 1)}`],
    ['high s, compact', `0x${r}${hex((N - s) | ((1n - parity) << 255n), 32)}`],
    ['the other recovery id', `0x${r}${hex(s, 32)}${hex(28n - parity, 1)}`],
    ['the other parity, compact', `0x${r}${hex(s | ((1n - parity) << 255n), 32)}`],
    ['v of EIP-155', `0x${r}${hex(s, 32)}${hex(37n + parity, 1)}`],
    ['v = 29', `0x${r}${hex(s, 32)}1d`], ['v = 2', `0x${r}${hex(s, 32)}02`], ['v = 255', `0x${r}${hex(s, 32)}ff`],
    ['all zero', `0x${'00'.repeat(65)}`], ['r = 0', `0x${'00'.repeat(32)}${hex(s, 32)}1b`],
    ['s = 0', `0x${r}${'00'.repeat(32)}1b`], ['r = n', `0x${hex(N, 32)}${hex(s, 32)}1b`],
    ['a byte more', `${signature}00`], ['one byte', '0x1b'],
    // 64 bytes would be the compact form, and right for every second signature.
    ['two bytes less', signature.slice(0, -4)],
    ['empty', '', unreadable], ['0x', '0x', unreadable], ['without 0x', signature.slice(2), unreadable],
    ['0X', `0X${signature.slice(2)}`, unreadable], ['half a byte', `${signature}0`, unreadable],
    ['not hex', `0x${'zz'.repeat(65)}`, unreadable], ['too long', `0x${'11'.repeat(3_000)}`, unreadable],
    ['of ERC-6492', `0x${'00'.repeat(31)}${signature.slice(2)}${ERC6492}`, 'eip6492_factory_not_allowed'],
  ]) await add(`signature: ${name}`, code, resigned(good, text));
  await add("somebody else's from", forged, pay({ fields: { from: payer.address } }, other));
  await add('signed for another nonce', forged, { ...good, payload: { signature, authorization: { ...authorization, nonce: someNonce() } } });
  await add('signed for another amount', forged, { ...good, payload: { authorization, signature: (await pay({ fields: { value: '1' } })).payload.signature } });
  await add('signed for another chain', forged, pay({ over: { chainId: 84532 } }));
  await add('signed for another token', forged, pay({ over: { verifyingContract: offer.payTo } }));
  await add('signed for another domain name', forged, pay({ over: { name: 'USDC' } }));
  await add('signed for another domain version', forged, pay({ over: { version: '1' } }));
  await add('signed as ReceiveWithAuthorization', forged, pay({ type: 'ReceiveWithAuthorization' }));
}

/** Other spellings of one good payment's signature; each is the same payment. */
export function respelled(payment) {
  const { r, s, parity } = parts(payment.payload.signature);
  return [
    ['zero-based recovery id', `0x${r}${hex(s, 32)}${hex(parity, 1)}`],
    ['compact', `0x${r}${hex(s | (parity << 255n), 32)}`],
    ['upper case', `0x${payment.payload.signature.slice(2).toUpperCase()}`],
  ].map(([name, text]) => ({ name, payment: resigned(payment, text) }));
}
