//! Receipts that the seller signs, made when an answer is complete and kept with it.

use std::borrow::Cow;

use quittance_facilitator::{PaidFacts, StoredAnswer};
use quittance_protocol::{OFFER_RECEIPT_VERSION, ReceiptPayload, SettleResponse, signed_url};

use crate::receipt::SIGNED_RECEIPT;
use crate::shared::Shared;

/// Signs that `paid` was paid and what it bought was given, if the gate signs; of what the handler
/// refused, and of what is not kept, nothing of the kind can be said.
pub(crate) fn sign(shared: &Shared, paid: &PaidFacts, url: &str, stored: &mut StoredAnswer) {
    let served = stored.status < 400 && !stored.truncated;
    let Some(issuer) = shared.receipts.as_ref().filter(|_| served) else { return };
    let signed = issuer.receipt(ReceiptPayload {
        version: OFFER_RECEIPT_VERSION,
        network: paid.network.to_string(),
        resource_url: signed_url(url).to_owned(),
        payer: paid.payer.clone(),
        issued_at: u64::try_from(shared.facilitator.now_ms() / 1_000).unwrap_or_default(),
        transaction: paid.transaction.clone(),
    });
    if let Ok(text) = serde_json::to_vec(&signed) {
        stored.headers.push((SIGNED_RECEIPT.to_owned(), text));
    }
}

/// The receipt with the signed one that is kept with the answer, if there is one.
pub(crate) fn with_signed<'a>(receipt: &'a SettleResponse, stored: &StoredAnswer) -> Cow<'a, SettleResponse> {
    let kept = stored.headers.iter().find(|(name, _)| name == SIGNED_RECEIPT);
    let Some(signed) = kept.and_then(|(_, text)| serde_json::from_slice(text).ok()) else {
        return Cow::Borrowed(receipt);
    };
    let mut receipt = receipt.clone();
    receipt.other.insert("extensions".to_owned(), quittance_receipts::extension(&signed));
    Cow::Owned(receipt)
}
