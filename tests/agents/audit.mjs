// What a customer and an auditor have of the official packages, as they are published.
import { createKeyPairSignerFromBytes, getBase58Encoder } from '@solana/kit';
import { x402HTTPClient } from '@x402/core/client';
import { ExactEvmScheme } from '@x402/evm/exact/client';
import {
  decodeSignedOffers, extractOffersFromPaymentRequired, extractReceiptFromResponse, findAcceptsObjectFromSignedOffer,
  verifyOfferSignatureEIP712, verifyReceiptMatchesOffer, verifyReceiptSignatureEIP712,
} from '@x402/extensions/offer-receipt';
import { x402Client } from '@x402/fetch';
import { ExactSvmScheme } from '@x402/svm/exact/client';
import { privateKeyToAccount } from 'viem/accounts';

export { decodeSignedOffers, findAcceptsObjectFromSignedOffer, verifyOfferSignatureEIP712, verifyReceiptMatchesOffer, verifyReceiptSignatureEIP712 };
export const offersOf = extractOffersFromPaymentRequired;
export const receiptOf = extractReceiptFromResponse;

const bytes = text => Uint8Array.from(getBase58Encoder().encode(text));

/** The official client of one network, and the address that it pays from. */
export async function customer(net, network) {
  if (network === 'base') {
    const account = privateKeyToAccount(net.base.payer_key);
    return { http: new x402HTTPClient(new x402Client().register('eip155:*', new ExactEvmScheme(account))), payer: account.address };
  }
  const signer = await createKeyPairSignerFromBytes(bytes(net.solana.payer_key));
  const scheme = new ExactSvmScheme(signer, { rpcUrl: net.solana.rpc_url });
  return { http: new x402HTTPClient(new x402Client().register('solana:*', scheme)), payer: signer.address };
}
