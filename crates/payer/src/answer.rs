//! What came back, and what it says about the payment.

use std::time::Duration;

use quittance_protocol::{Amount, PAYMENT_RESPONSE, PaymentRequirements, SignedOffer, decode_header, v1};
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::PayError;

/// Longest answer body that is read, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Pause before the same payment is sent again, unless the server names one.
pub(crate) const RETRY_SECONDS: u64 = 2;

/// Longest pause that a server may ask for.
const RETRY_SECONDS_MAX: u64 = 30;

/// What was signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// CAIP-2 identifier.
    pub network: String,
    /// Token contract or mint.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// In the token's smallest units.
    pub amount: Amount,
    /// What the service costs, as the offer says it, USDC.
    pub service_usdc: Option<String>,
    /// What settling costs, as the offer says it, USDC.
    pub gas_usdc: Option<String>,
}

impl Bill {
    pub(crate) fn of(offer: &PaymentRequirements, amount: Amount) -> Self {
        let breakdown = offer.extra.get("breakdown");
        let part = |name: &str| {
            breakdown.and_then(|value| value.get(name)).and_then(Value::as_str).map(str::to_owned)
        };
        Self {
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            pay_to: offer.pay_to.clone(),
            amount,
            service_usdc: part("service_usdc"),
            gas_usdc: part("gas_usdc"),
        }
    }
}

/// What became of the payment, as far as the server says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint asked for none.
    Free,
    /// It was answered with success.
    Paid,
    /// It was refused, for this reason where one was given.
    Refused(Option<String>),
    /// Nobody knows yet, or the server says that the same payment can be sent again.
    Open,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// What was signed; `None` where nothing was.
    pub bill: Option<Bill>,
    /// The offer that was paid, as its seller signed it, if it did; whose signature it is nobody has
    /// checked.
    pub signed_offer: Option<SignedOffer>,
    /// The receipt header, whoever's facilitator wrote it.
    pub receipt: Option<Value>,
    /// What became of the payment.
    pub outcome: Outcome,
}

/// The body of an answer; the connection may break in it.
pub(crate) async fn body_of(mut response: Response) -> Result<Vec<u8>, PayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(PayError::TooLong(ANSWER_BYTES_MAX));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Version 2's receipt, or version 1's. Any facilitator's is shown, also one with codes that
/// we do not know.
pub(crate) fn receipt_of(headers: &HeaderMap) -> Option<Value> {
    let text =
        headers.get(PAYMENT_RESPONSE).or_else(|| headers.get(v1::X_PAYMENT_RESPONSE))?.to_str().ok()?;
    decode_header::<Value>(text).ok()
}

/// Whether a receipt says that the money moved.
pub(crate) fn says_settled(receipt: Option<&Value>) -> bool {
    receipt.is_some_and(|receipt| receipt.get("success") == Some(&Value::Bool(true)))
}

/// Whether a receipt says that the same payment can be sent again.
pub(crate) fn says_again(receipt: Option<&Value>) -> bool {
    let says = |name: &str, word: &str| {
        receipt.is_some_and(|receipt| receipt.get(name).and_then(Value::as_str) == Some(word))
    };
    says("retry_action", "retry_same_payment") || says("errorReason", "settlement_pending")
}

/// Whether the answer leaves open what became of the payment, or says itself that
/// the same one may be sent again.
pub(crate) fn leaves_it_open(status: StatusCode, headers: &HeaderMap) -> bool {
    let says_again = says_again(receipt_of(headers).as_ref());
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
        || (!status.is_success() && says_again)
}

pub(crate) fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(RETRY_SECONDS);
    Duration::from_secs(seconds.clamp(1, RETRY_SECONDS_MAX))
}

/// Said of an answer that points elsewhere: another place could take the payment and serve
/// something else.
pub(crate) fn moved(response: &Response) -> PayError {
    PayError::Moved { status: response.status().as_u16(), place: place_of(response.headers()) }
}

/// Said of one that came for a payment, without a word of what became of it.
pub(crate) fn moved_after(status: StatusCode, headers: &HeaderMap) -> PayError {
    let (status, place) = (status.as_u16(), place_of(headers));
    PayError::Unknown(format!("the endpoint answers {status} and points to {place}, where nothing is sent"))
}

fn place_of(headers: &HeaderMap) -> String {
    headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere").to_owned()
}

#[cfg(test)]
mod tests {
    use quittance_protocol::encode_header;
    use serde_json::json;

    use super::*;

    fn with_receipt(name: &'static str, receipt: &Value) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, encode_header(receipt).unwrap().parse().unwrap());
        headers
    }

    #[test]
    fn what_says_nothing_about_the_payment_leaves_it_open() {
        let none = HeaderMap::new();
        for status in [500, 502, 503, 504, 599, 408, 425, 429] {
            assert!(leaves_it_open(StatusCode::from_u16(status).unwrap(), &none), "{status}");
        }
        for status in [200, 204, 400, 402, 404, 409, 410] {
            assert!(!leaves_it_open(StatusCode::from_u16(status).unwrap(), &none), "{status}");
        }
        for receipt in
            [json!({"retry_action": "retry_same_payment"}), json!({"errorReason": "settlement_pending"})]
        {
            for name in [PAYMENT_RESPONSE, v1::X_PAYMENT_RESPONSE] {
                let headers = with_receipt(name, &receipt);
                assert!(leaves_it_open(StatusCode::PAYMENT_REQUIRED, &headers), "{receipt} in {name}");
                assert!(!leaves_it_open(StatusCode::OK, &headers), "{receipt} in {name}");
            }
        }
    }

    #[test]
    fn a_server_cannot_make_its_customer_wait_for_long_nor_ask_without_pause() {
        let pause = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers).as_secs()
        };
        assert_eq!((pause("0"), pause("7"), pause("86400")), (1, 7, RETRY_SECONDS_MAX));
        assert_eq!(pause("Fri, 31 Dec 1999 23:59:59 GMT"), RETRY_SECONDS);
    }
}
