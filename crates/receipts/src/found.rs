//! Signed statements, wherever in a JSON document they stand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{EIP712_FORMAT, SignedOffer, SignedReceipt};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Members that are looked into, however a 402, an answer's receipt or a client's own record is laid out.
const LOOKED_INTO: [&str; 6] = ["offer", "offers", "receipt", "extensions", "offer-receipt", "info"];

/// Members that hold a 402 or a receipt, as JSON or as the header's text.
const MESSAGES: [&str; 6] = [
    "paymentRequired",
    "payment_required",
    "PAYMENT-REQUIRED",
    "paymentResponse",
    "payment_response",
    "PAYMENT-RESPONSE",
];

/// How deep they stand at most.
const DEPTH_MAX: usize = 10;

/// Signed offers in one document at most.
const OFFERS_MAX: usize = 64;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// One for each network of a 402.
    pub offers: Vec<SignedOffer>,
    /// That one of them was paid, and served.
    pub receipt: Option<SignedReceipt>,
}

/// Why a document holds nothing that could be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No JSON.
    #[error("the document is no JSON: {0}")]
    NotJson(String),
    /// A statement of a known format with fields that it does not have.
    #[error("a signed {what} cannot be read: {problem}")]
    Malformed {
        /// `offer` or `receipt`.
        what: &'static str,
        /// Which field.
        problem: String,
    },
    /// Another format than we read.
    #[error("a statement is signed in the format {0:?}; only \"eip712\" is read")]
    Format(String),
    /// Two receipts, or too many offers.
    #[error("more than one receipt, or more than {OFFERS_MAX} offers: check them one by one")]
    TooMany,
    /// Nothing at all.
    #[error(
        "nothing signed in it: neither an offer nor a receipt of the extension `offer-receipt`; the seller may not sign"
    )]
    Nothing,
}

impl Found {
    /// Reads a 402, a `PAYMENT-RESPONSE`, a bare statement, or a record that holds them.
    pub fn read(text: &[u8]) -> Result<Self, NotFound> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| NotFound::NotJson(error.to_string()))?;
        let mut found = Self::default();
        found.gather(&value, 0)?;
        if found == Self::default() { Err(NotFound::Nothing) } else { Ok(found) }
    }

    fn gather(&mut self, value: &Value, depth: usize) -> Result<(), NotFound> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let deeper = depth.saturating_add(1);
        match value {
            Value::Array(all) => all.iter().try_for_each(|one| self.gather(one, deeper)),
            Value::Object(members) if members.contains_key("format") && members.contains_key("signature") => {
                self.take(value)
            }
            Value::Object(members) => {
                for name in LOOKED_INTO {
                    members.get(name).map_or(Ok(()), |one| self.gather(one, deeper))?;
                }
                for name in MESSAGES {
                    match members.get(name) {
                        Some(Value::String(header)) => self.gather(&header_value(header), deeper)?,
                        Some(one) => self.gather(one, deeper)?,
                        None => {}
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, value: &Value) -> Result<(), NotFound> {
        let format = value.get("format").and_then(Value::as_str).unwrap_or_default();
        if format != EIP712_FORMAT {
            return Err(NotFound::Format(format.chars().take(32).collect()));
        }
        // Only an offer has a scheme.
        if value.get("payload").is_some_and(|payload| payload.get("scheme").is_some()) {
            let offer: SignedOffer = read("offer", value)?;
            // The same statement may stand in a 402 and beside it.
            if !self.offers.contains(&offer) {
                self.offers.push(offer);
            }
        } else {
            let receipt: SignedReceipt = read("receipt", value)?;
            if self.receipt.replace(receipt.clone()).is_some_and(|earlier| earlier != receipt) {
                return Err(NotFound::TooMany);
            }
        }
        if self.offers.len() > OFFERS_MAX { Err(NotFound::TooMany) } else { Ok(()) }
    }
}

fn read<T: DeserializeOwned>(what: &'static str, value: &Value) -> Result<T, NotFound> {
    serde_json::from_value(value.clone())
        .map_err(|error| NotFound::Malformed { what, problem: error.to_string() })
}

/// A header's JSON; what is none holds no statement.
fn header_value(text: &str) -> Value {
    let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}
