//! Statements of a seller: offers and receipts as EIP-712 messages of the x402 extension
//! `offer-receipt` (sections 3.2, 4.3 and 5.3). They move no money: the domain is its own, on chain
//! id 1 whatever network is paid on, and no contract takes it.

use alloy::primitives::{B256, U256};
use alloy::sol_types::{Eip712Domain, SolStruct, eip712_domain};
use quittance_protocol::{OfferPayload, ReceiptPayload, Secret};

use crate::abi::{Offer, Receipt};
use crate::error::EvmError;
use crate::keys::SigningKey;
use crate::signature;

/// A seller's key for statements. Prints only its address.
#[derive(Clone, Debug)]
pub struct StatementKey {
    key: SigningKey,
}

impl StatementKey {
    /// A key from `0x` and 64 hex digits.
    pub fn new(secret: &Secret) -> Result<Self, EvmError> {
        Ok(Self { key: SigningKey::parse(secret)? })
    }

    /// Its address with EIP-55 case: what its statements are known by.
    pub fn address(&self) -> String {
        self.key.address().to_string()
    }

    /// Signs an offer; the same offer has the same signature each time (RFC 6979).
    pub fn sign_offer(&self, offer: &OfferPayload) -> String {
        self.key.sign(of_offer(offer)).to_hex()
    }

    /// Signs a receipt.
    pub fn sign_receipt(&self, receipt: &ReceiptPayload) -> String {
        self.key.sign(of_receipt(receipt)).to_hex()
    }
}

/// Whose key signed this offer, with EIP-55 case; `None` where no key can have made the signature,
/// or where it is the twin with the high s that anyone can make from one.
pub fn offer_signer(offer: &OfferPayload, signature: &str) -> Option<String> {
    signer(of_offer(offer), signature)
}

/// The same of a receipt.
pub fn receipt_signer(receipt: &ReceiptPayload, signature: &str) -> Option<String> {
    signer(of_receipt(receipt), signature)
}

fn signer(digest: B256, signature: &str) -> Option<String> {
    // 65 bytes, as the extension has it: other writings of a signature are another artifact.
    let is_plain = signature.len() == 132;
    let read = signature::read(signature).ok().filter(|_| is_plain)?;
    Some(read.ecdsa?.recover(digest)?.to_string())
}

fn of_offer(offer: &OfferPayload) -> B256 {
    let message = Offer {
        version: U256::from(offer.version),
        resourceUrl: offer.resource_url.clone(),
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        asset: offer.asset.clone(),
        payTo: offer.pay_to.clone(),
        amount: offer.amount.clone(),
        validUntil: U256::from(offer.valid_until),
    };
    message.eip712_signing_hash(&domain("x402 offer"))
}

fn of_receipt(receipt: &ReceiptPayload) -> B256 {
    let message = Receipt {
        version: U256::from(receipt.version),
        network: receipt.network.clone(),
        resourceUrl: receipt.resource_url.clone(),
        payer: receipt.payer.clone(),
        issuedAt: U256::from(receipt.issued_at),
        transaction: receipt.transaction.clone(),
    };
    message.eip712_signing_hash(&domain("x402 receipt"))
}

fn domain(name: &'static str) -> Eip712Domain {
    eip712_domain! { name: name, version: "1", chain_id: 1, }
}

#[cfg(test)]
mod tests;
