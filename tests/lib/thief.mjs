// Somebody who reads a landed payment from the chain, where its signature is
// public, and guesses the request it paid for.
import { createRequire } from 'node:module';

import { rpc } from './chain.mjs';
import { encode } from './http.mjs';

const viem = createRequire(new URL('../clients/package.json', import.meta.url))('viem');

const ABI = viem.parseAbi([
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)',
]);

async function basePayload(net, transaction) {
  const { input } = await rpc(net.base.rpc_url, 'eth_getTransactionByHash', transaction);
  const { args: [from, to, value, validAfter, validBefore, nonce, ...rest] } = viem.decodeFunctionData({ abi: ABI, data: input });
  const signature = rest.length === 1
    ? rest[0]
    : viem.concat([rest[1], rest[2], viem.numberToHex(rest[0], { size: 1 })]);
  const text = number => number.toString();
  return {
    authorization: { from, to, value: text(value), validAfter: text(validAfter), validBefore: text(validBefore), nonce }, signature,
  };
}

async function solanaPayload(net, transaction) {
  const found = await rpc(net.solana.rpc_url, 'getTransaction', transaction, {
    commitment: 'confirmed', maxSupportedTransactionVersion: 0, encoding: 'base64',
  });
  return { transaction: found.transaction[0] };
}

/** Payments that the chain gives away: as they stand there, and as their payer may have sent them. */
export async function stolen(net, network, offer, transaction) {
  const payload = await (network === 'base' ? basePayload : solanaPayload)(net, transaction);
  const payloads = [payload];
  if (network === 'solana') {
    const bytes = Buffer.from(payload.transaction, 'base64');
    bytes.fill(0, 1, 65); // the fee payer's signature, which was not the payer's to give
    payloads.push({ transaction: bytes.toString('base64') });
  }
  const guesses = [undefined, 'pay_00000000000000000000000000000000', 'x'];
  return payloads.flatMap(one => guesses.map(id => encode({
    x402Version: 2, accepted: offer, payload: one,
    ...(id && { extensions: { 'payment-identifier': { info: { required: false, id } } } }),
  })));
}
