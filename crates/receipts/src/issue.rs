//! Signing, cheaply enough for requests that nobody paid for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use quittance_evm::{EvmError, StatementKey};
use quittance_protocol::{
    EIP712_FORMAT, OFFER_RECEIPT, OFFER_RECEIPT_VERSION, OfferPayload, ReceiptPayload, Secret, Signed,
    SignedReceipt, UnixSeconds, signed_url,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Signatures of offers that are kept, twice over.
pub const OFFERS_KEPT_MAX: usize = 4_096;

/// Offers that are signed within a second: some 40 ms of a core. Prices follow from bodies, which
/// strangers choose, so what is kept does not bound this.
pub const FRESH_PER_SECOND_MAX: u32 = 1_000;

/// A signature is used again for this part of its offer's life.
const REUSED_PART: u64 = 4;

/// Longest URL that stands in a statement, bytes.
const URL_BYTES_MAX: usize = 1_024;

/// Signs a seller's offers and receipts.
#[derive(Debug)]
pub struct Issuer {
    key: StatementKey,
    kept: Mutex<Kept>,
}

/// Two generations, so that what is old goes without anybody looking through all.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<String, KeptOffer>,
    old: HashMap<String, KeptOffer>,
    second: UnixSeconds,
    fresh: u32,
}

#[derive(Clone, Debug)]
struct KeptOffer {
    reused_until: UnixSeconds,
    /// From `"payload"` to the end, without the place in `accepts`.
    text: Arc<str>,
}

/// What is read of an offer's own text.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    accepts: Vec<Accept<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accept<'a> {
    #[serde(borrow)]
    scheme: Cow<'a, str>,
    #[serde(borrow)]
    network: Cow<'a, str>,
    #[serde(borrow)]
    asset: Cow<'a, str>,
    #[serde(borrow)]
    pay_to: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
    max_timeout_seconds: u64,
}

/// What is known of one offer.
enum Look {
    Kept(Arc<str>),
    Missing,
    Full,
}

#[derive(Serialize)]
struct Rest<'a> {
    payload: &'a OfferPayload,
    signature: &'a str,
}

impl Issuer {
    /// Signs with `0x` and 64 hex digits: a key of its own, which holds no money.
    pub fn new(secret: &Secret) -> Result<Self, EvmError> {
        Ok(Self { key: StatementKey::new(secret)?, kept: Mutex::default() })
    }

    /// The address that its statements are known by.
    pub fn address(&self) -> String {
        self.key.address()
    }

    /// The extension of an offer of `url`: a signature for each element of `accepts` in the JSON of
    /// `offer`. `None` where nothing can be signed now.
    pub fn offers(&self, url: &str, offer: &[u8], now: UnixSeconds) -> Option<String> {
        let url = signed_url(url);
        if url.len() > URL_BYTES_MAX {
            return None;
        }
        let written: Written<'_> = serde_json::from_slice(offer).ok()?;
        let mut signed = String::with_capacity(written.accepts.len().saturating_mul(640));
        for (index, accept) in written.accepts.iter().enumerate() {
            let Some(text) = self.signed(url, accept, now) else { continue };
            let comma = if signed.is_empty() { "" } else { "," };
            let _ = write!(signed, r#"{comma}{{"format":"{EIP712_FORMAT}","acceptIndex":{index},{text}"#);
        }
        (!signed.is_empty()).then(|| format!(r#"{{"info":{{"offers":[{signed}]}}}}"#))
    }

    fn signed(&self, url: &str, accept: &Accept<'_>, now: UnixSeconds) -> Option<Arc<str>> {
        let Accept { scheme, network, asset, pay_to, amount, max_timeout_seconds: life } = accept;
        let name = [url, scheme, network, asset, pay_to, amount, &life.to_string()].join("\n");
        match self.lock().look(&name, now) {
            Look::Kept(text) => return Some(text),
            Look::Full => return None,
            Look::Missing => {}
        }
        let valid_until = now.checked_add(*life)?;
        let payload = OfferPayload {
            version: OFFER_RECEIPT_VERSION,
            resource_url: url.to_owned(),
            scheme: scheme.to_string(),
            network: network.to_string(),
            asset: asset.to_string(),
            pay_to: pay_to.to_string(),
            amount: amount.to_string(),
            valid_until,
        };
        // Beside the lock: other requests need not wait for it.
        let signature = self.key.sign_offer(&payload);
        let text = serde_json::to_string(&Rest { payload: &payload, signature: &signature }).ok()?;
        let text: Arc<str> = text.strip_prefix('{')?.into();
        let reused_until = now.saturating_add(life / REUSED_PART);
        self.lock().keep(name, KeptOffer { reused_until, text: Arc::clone(&text) });
        Some(text)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receipt of what was sold.
    pub fn receipt(&self, payload: ReceiptPayload) -> SignedReceipt {
        let signature = self.key.sign_receipt(&payload);
        Signed { format: EIP712_FORMAT.to_owned(), accept_index: None, payload, signature }
    }
}

impl Kept {
    /// A signature that is kept, or whether one more may be made this second.
    fn look(&mut self, name: &str, now: UnixSeconds) -> Look {
        let kept = self.young.get(name).or_else(|| self.old.get(name));
        if let Some(kept) = kept.filter(|kept| now < kept.reused_until) {
            return Look::Kept(Arc::clone(&kept.text));
        }
        if self.second != now {
            (self.second, self.fresh) = (now, 0);
        }
        if self.fresh >= FRESH_PER_SECOND_MAX {
            return Look::Full;
        }
        self.fresh = self.fresh.saturating_add(1);
        Look::Missing
    }

    fn keep(&mut self, name: String, kept: KeptOffer) {
        if self.young.len() >= OFFERS_KEPT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, kept);
    }
}

/// A receipt as it stands among the extensions of a `PAYMENT-RESPONSE`.
pub fn extension(receipt: &Value) -> Value {
    json!({ OFFER_RECEIPT: { "info": { "receipt": receipt } } })
}

#[cfg(test)]
mod tests;
