// Signs EIP-3009 authorizations, good and bad ones.
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';

const clients = createRequire(new URL('../clients/package.json', import.meta.url));
const viem = clients('viem');
const { generatePrivateKey, privateKeyToAccount } = clients('viem/accounts');
const { base: chain } = clients('viem/chains');

export const account = key => privateKeyToAccount(key);
export const someKey = () => generatePrivateKey();
export const stranger = () => privateKeyToAccount(someKey());
export const someNonce = () => `0x${randomBytes(32).toString('hex')}`;
export const seconds = () => Math.floor(Date.now() / 1000);

const address = name => ({ name, type: 'address' });
const uint = name => ({ name, type: 'uint256' });
const TRANSFER = [
  address('from'), address('to'), uint('value'), uint('validAfter'), uint('validBefore'), { name: 'nonce', type: 'bytes32' },
];

const domain = token => ({ name: 'USD Coin', version: '2', chainId: 8453, verifyingContract: token });

/**
 * A payment of `offer`. `fields` replace parts of the authorization before it
 * is signed, `accepted` parts of the echoed offer; `over` replaces parts of the
 * EIP-712 domain, `type` the name of the signed type.
 */
export async function payBase(signer, offer, { fields = {}, accepted = {}, over = {}, type = 'TransferWithAuthorization', identifier } = {}) {
  const authorization = {
    from: signer.address,
    to: offer.payTo,
    value: offer.amount,
    validAfter: '0',
    validBefore: String(seconds() + 600),
    nonce: someNonce(),
    ...fields,
  };
  const signature = await signer.signTypedData({
    domain: { ...domain(offer.asset), ...over }, primaryType: type, types: { [type]: TRANSFER }, message: authorization,
  });
  const extensions = identifier && { 'payment-identifier': { info: { id: identifier } } };
  return {
    x402Version: 2,
    accepted: { ...offer, ...accepted },
    payload: { authorization, signature },
    ...(extensions && { extensions }),
  };
}

/** `r`, `s` and the parity of a signature of 65 bytes. */
export function parts(signature) {
  const parity = BigInt(`0x${signature.slice(130)}`) - 27n;
  return { r: signature.slice(2, 66), s: BigInt(`0x${signature.slice(66, 130)}`), parity };
}

/** The same payment with another signature text. */
export const resigned = (payment, signature) => ({ ...payment, payload: { ...payment.payload, signature } });

/** Uses one nonce and cancels another on chain, without any facilitator; resolves to both. */
export async function spendNonces(net, payer) {
  const wallet = privateKeyToAccount(net.base.wallet_key);
  const transport = viem.http(net.base.rpc_url);
  const reader = viem.createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 });
  const sender = viem.createWalletClient({ account: wallet, chain, transport });
  const abi = viem.parseAbi([
    'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
    'function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature)',
  ]);
  const landed = async (functionName, args) => {
    const hash = await sender.writeContract({ address: net.base.usdc, abi, functionName, args });
    const { status } = await reader.waitForTransactionReceipt({ hash });
    if (status !== 'success') throw new Error(`${functionName} failed`);
    return hash;
  };
  const offer = { payTo: net.base.pay_to, asset: net.base.usdc, amount: '7' };
  const { payload } = await payBase(payer, offer);
  const { from, to, value, validAfter, validBefore, nonce } = payload.authorization;
  await landed('transferWithAuthorization', [from, to, value, validAfter, validBefore, nonce, payload.signature]);
  const cancelled = someNonce();
  const signature = await payer.signTypedData({
    domain: domain(net.base.usdc),
    primaryType: 'CancelAuthorization',
    types: { CancelAuthorization: [address('authorizer'), { name: 'nonce', type: 'bytes32' }] },
    message: { authorizer: payer.address, nonce: cancelled },
  });
  await landed('cancelAuthorization', [payer.address, cancelled, signature]);
  return { used: nonce, cancelled };
}
