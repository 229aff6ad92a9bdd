//! What happens in a call, as it happens: for whoever shows it to somebody. No key and no whole
//! signature is in it.

use std::sync::Arc;
use std::time::Duration;

use quittance_protocol::{PaymentRequirements, SignedOffer, UnixSeconds, decode_header};
use serde_json::Value;

use crate::Bill;

/// Characters of a signature that are shown, at either end.
const SHOWN_CHARS: usize = 8;

/// Longest text of a payment that is shown whole: addresses, amounts and nonces are shorter, and
/// signatures and transactions longer.
const WHOLE_CHARS_MAX: usize = 70;

/// One step of a call.
#[derive(Clone, Debug)]
pub enum Event {
    /// The request goes out, without a payment.
    Asked,
    /// It was answered with something else than a 402: nothing has to be paid.
    Free {
        /// HTTP status.
        status: u16,
    },
    /// It was answered with a 402.
    Offered(Terms),
    /// An earlier call of the same request left a payment open: this one sends it again.
    FoundOpen {
        /// When it was signed.
        signed_at: UnixSeconds,
        /// What it was signed for.
        bill: Bill,
    },
    /// Another call of the same request is under way: this one waits for its end.
    Waiting,
    /// This offer is paid.
    Signed {
        /// Who pays.
        payer: String,
        /// What for.
        bill: Bill,
        /// Whoever has the payment may land it until then.
        valid_until: UnixSeconds,
        /// The payment as it is sent, its signature shortened.
        payment: Value,
    },
    /// The request goes out with the payment, the first time or again.
    Sent {
        /// From 1 on.
        times: u32,
    },
    /// It was answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// The receipt header.
        receipt: Option<Value>,
    },
    /// It was not answered.
    Broken {
        /// In the words of the HTTP client.
        problem: String,
    },
    /// Nobody knows how the payment ended: the same one goes out again after a while.
    Again {
        /// How long.
        after: Duration,
    },
}

/// A 402, read.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Of x402.
    pub version: u64,
    /// Why it asks (again).
    pub error: Option<String>,
    /// What is sold, in the seller's words.
    pub resource_url: Option<String>,
    /// The ways to pay, in the seller's order.
    pub offers: Vec<Offered>,
    /// Entries of no known shape.
    pub odd: usize,
    /// What the seller signed of them; nobody has checked whose signature it is.
    pub signed: Vec<SignedOffer>,
}

/// One way to pay.
#[derive(Clone, Debug)]
pub struct Offered {
    /// As it was offered.
    pub requirements: PaymentRequirements,
    /// What it would cost; `None` where the amount is none.
    pub bill: Option<Bill>,
    /// Why this payer would not pay it.
    pub why_not: Option<String>,
}

impl Terms {
    /// What would be paid.
    pub fn chosen(&self) -> Option<&Offered> {
        self.offers.iter().find(|offer| offer.why_not.is_none())
    }
}

/// Whom a call is told to.
pub type Observe = Arc<dyn Fn(Event) + Send + Sync>;

/// A payment's header as it may be shown: no whole signature, and nothing that proves who bought.
/// `null` where it is none.
pub fn shown(header: &str) -> Value {
    decode_header::<Value>(header).map(|payment| shortened(&payment)).unwrap_or_default()
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(short(text)),
        Value::Array(all) => all.iter().map(shortened).collect(),
        Value::Object(members) => {
            // What comes back with the payment proves who bought: it is nobody else's business.
            let named = |(name, value): (&String, &Value)| match name.as_str() {
                "extensions" => (name.clone(), Value::String("…".to_owned())),
                _ => (name.clone(), shortened(value)),
            };
            Value::Object(members.iter().map(named).collect())
        }
        other => other.clone(),
    }
}

fn short(text: &str) -> String {
    let chars: Vec<_> = text.chars().collect();
    // A URL is long and no secret.
    if chars.len() <= WHOLE_CHARS_MAX || text.starts_with("http") {
        return text.to_owned();
    }
    let (start, end) = (chars.iter().take(SHOWN_CHARS), chars.iter().rev().take(SHOWN_CHARS));
    let end: Vec<_> = end.collect();
    format!("{}…{}", start.collect::<String>(), end.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use quittance_protocol::encode_header;
    use serde_json::json;

    use super::*;

    #[test]
    fn no_whole_signature_and_no_word_of_the_buyer_is_shown() {
        let (signature, identifier) = (format!("0x{}", "ab".repeat(65)), "pay_0123456789abcdef");
        let payment = json!({
            "x402Version": 2,
            "payload": { "signature": signature, "transaction": "Q".repeat(400),
                "authorization": { "from": format!("0x{}", "11".repeat(20)), "nonce": format!("0x{}", "22".repeat(32)) } },
            "extensions": { "payment-identifier": { "info": { "id": identifier } } },
        });
        let shown = shown(&encode_header(&payment).unwrap());
        assert_eq!(shown["payload"]["signature"], "0xababab…abababab");
        assert_eq!(shown["payload"]["authorization"], payment["payload"]["authorization"]);
        let text = shown.to_string();
        assert!(!text.contains(&signature) && !text.contains(&"Q".repeat(20)) && !text.contains(identifier));
        assert_eq!(super::shown("no base64"), Value::Null);
    }
}
