//! What the `offer-receipt` extension signs. Source: x402 "Offer and Receipt Extension",
//! sections 3.1, 4.2 and 5.2, in the format `eip712`.

use serde::{Deserialize, Serialize};

/// The extension's name in `extensions`.
pub const OFFER_RECEIPT: &str = "offer-receipt";

/// The version of the payloads that is defined.
pub const OFFER_RECEIPT_VERSION: u64 = 1;

/// The one format of signatures that we make and read.
pub const EIP712_FORMAT: &str = "eip712";

/// What a seller says that it offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfferPayload {
    /// 1.
    pub version: u64,
    /// What is sold.
    pub resource_url: String,
    /// `exact`.
    pub scheme: String,
    /// CAIP-2 identifier.
    pub network: String,
    /// Token contract or mint.
    pub asset: String,
    /// Recipient.
    pub pay_to: String,
    /// Price in atomic units.
    pub amount: String,
    /// Unix seconds until which the price is good; 0 where nothing is said.
    #[serde(default)]
    pub valid_until: u64,
}

/// What a seller says that it was paid for and gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptPayload {
    /// 1.
    pub version: u64,
    /// CAIP-2 identifier.
    pub network: String,
    /// What was sold.
    pub resource_url: String,
    /// Who paid.
    pub payer: String,
    /// Unix seconds at which the answer was complete.
    pub issued_at: u64,
    /// Transaction hash or signature; empty where nothing is said.
    #[serde(default)]
    pub transaction: String,
}

/// A payload with its seller's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed<T> {
    /// `eip712`.
    pub format: String,
    /// Of an offer: its place in `accepts`. A hint that nobody signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_index: Option<u64>,
    /// What is signed, field by field.
    pub payload: T,
    /// 65 bytes of 0x hex.
    pub signature: String,
}

/// An offer with its seller's signature.
pub type SignedOffer = Signed<OfferPayload>;

/// A receipt with its seller's signature.
pub type SignedReceipt = Signed<ReceiptPayload>;

/// A URL as it stands in what is signed: without its query. That one may hold what a customer asked,
/// and whoever shows a receipt means to show that something was bought, not what was said.
pub fn signed_url(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}
