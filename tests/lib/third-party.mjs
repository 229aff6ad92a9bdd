// People who act on Base behind the facilitator's back: a stranger who submits
// somebody's authorization, a payer who cancels one or spends the money first.
import { createRequire } from 'node:module';

import { account, stranger } from './base-payment.mjs';
import { rpc } from './chain.mjs';

const clients = createRequire(new URL('../clients/package.json', import.meta.url));
const viem = clients('viem');
const { generatePrivateKey } = clients('viem/accounts');
const { base: chain } = clients('viem/chains');

const ABI = viem.parseAbi([
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
  'function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature)',
  'function transfer(address to, uint256 value)',
]);
const TEN_ETHER = '0x8ac7230489e80000';

/** Gives an address ether out of nothing. */
export const fund = (net, address) => rpc(net.base.rpc_url, 'anvil_setBalance', address, TEN_ETHER);

/** A funded key nobody knows: `{ key, address }`. */
export async function wallet(net) {
  const key = generatePrivateKey();
  const { address } = account(key);
  await fund(net, address);
  return { key, address };
}

/** A funded account that signs. */
export async function person(net) {
  const someone = stranger();
  await fund(net, someone.address);
  return someone;
}

/**
 * Sends a call of the token; resolves to its hash when it is mined, or at once
 * without `landed`. `fee` is all it may cost per gas; anvil orders by it.
 */
export async function call(net, sender, functionName, args, { fee, tip = 0n, landed = true } = {}) {
  const transport = viem.http(net.base.rpc_url);
  const client = viem.createWalletClient({ account: sender, chain, transport });
  const fees = fee === undefined ? {} : { maxPriorityFeePerGas: tip, maxFeePerGas: fee };
  const hash = await client.writeContract({ address: net.base.usdc, abi: ABI, functionName, args, gas: 200_000n, ...fees });
  if (!landed) return hash;
  const reader = viem.createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 });
  const { status } = await reader.waitForTransactionReceipt({ hash });
  if (status !== 'success') throw new Error(`${functionName} failed`);
  return hash;
}

/** Submits the authorization of a payment, as anyone who has seen it can. */
export function submit(net, sender, { payload }) {
  const { from, to, value, validAfter, validBefore, nonce } = payload.authorization;
  return call(net, sender, 'transferWithAuthorization', [from, to, value, validAfter, validBefore, nonce, payload.signature]);
}

/** The payer takes the authorization back; options as for `call`. */
export async function cancel(net, sender, payer, { payload }, options) {
  const { nonce } = payload.authorization;
  const signature = await payer.signTypedData({
    domain: { name: 'USD Coin', version: '2', chainId: chain.id, verifyingContract: net.base.usdc },
    primaryType: 'CancelAuthorization',
    types: { CancelAuthorization: [{ name: 'authorizer', type: 'address' }, { name: 'nonce', type: 'bytes32' }] },
    message: { authorizer: payer.address, nonce },
  });
  return call(net, sender, 'cancelAuthorization', [payer.address, nonce, signature], options);
}
