// Other spellings of one signed payment. Each has the same authorization or
// transaction message as the original, so each must count as the same payment
// or be refused; none may buy anything a second time.

import { encodePaymentSignatureHeader } from "@x402/core/http";

// Order of secp256k1's group.
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** Variants of a payment: `[{ name, header }]`. */
export function variants(payment) {
  const all = [...spellings(payment)];
  if (payment.payload.authorization) all.push(...evm(payment));
  if (payment.payload.transaction) all.push(...svm(payment));
  return all.map(([name, changed]) => ({
    name,
    header: typeof changed === "string" ? changed : encodePaymentSignatureHeader(changed),
  }));
}

/** Spellings that a payment on any network has. */
function* spellings(payment) {
  const base64 = (text) => Buffer.from(text, "utf8").toString("base64");
  yield ["spaced json", base64(JSON.stringify(payment, null, 2))];
  yield ["reordered json", base64(JSON.stringify(Object.fromEntries(Object.entries(payment).reverse())))];
  const { extra: _, ...accepted } = payment.accepted;
  yield ["accepted without extra", { ...payment, accepted }];
  const { resource: __, ...bare } = payment;
  yield ["without resource", bare];
  yield ["with an unknown field", { ...payment, trace: "0123456789" }];
}

function* evm(payment) {
  const { authorization, signature } = payment.payload;
  const change = (fields, other = signature) => ({
    ...payment,
    payload: { ...payment.payload, authorization: { ...authorization, ...fields }, signature: other },
  });
  const { validAfter, validBefore, nonce, from } = authorization;
  yield ["numeric times", change({ validAfter: Number(validAfter), validBefore: Number(validBefore) })];
  yield ["lower-case payer", change({ from: from.toLowerCase() })];
  yield ["upper-case nonce", change({ nonce: `0x${nonce.slice(2).toUpperCase()}` })];
  yield ["upper-case signature", change({}, `0x${signature.slice(2).toUpperCase()}`)];
  const r = signature.slice(2, 66);
  const s = BigInt(`0x${signature.slice(66, 130)}`);
  const v = Number.parseInt(signature.slice(130, 132), 16);
  const hex = (value, bytes) => value.toString(16).padStart(bytes * 2, "0");
  yield ["high-s signature", change({}, `0x${r}${hex(N - s, 32)}${hex(v === 27 ? 28 : 27, 1)}`)];
  yield ["zero-based recovery id", change({}, `0x${r}${hex(s, 32)}${hex(v >= 27 ? v - 27 : v, 1)}`)];
  const parity = BigInt(v >= 27 ? v - 27 : v);
  yield ["compact signature", change({}, `0x${r}${hex(s | (parity << 255n), 32)}`)];
}

function* svm(payment) {
  const change = (transaction, fields = {}) => ({
    ...payment,
    payload: { ...payment.payload, ...fields, transaction },
  });
  const text = payment.payload.transaction;
  const bytes = Buffer.from(text, "base64");
  // One length byte, then 64 bytes for each signature; the fee payer's comes first.
  const filled = Buffer.from(bytes);
  filled.fill(7, 1, 65);
  yield ["filled fee payer signature", change(filled.toString("base64"))];
  if (text.endsWith("=")) yield ["unpadded transaction", change(text.replace(/=+$/, ""))];
  yield ["trailing byte", change(Buffer.concat([bytes, Buffer.of(0)]).toString("base64"))];
  yield ["claims another payer", change(text, { payer: payment.accepted.payTo })];
}
