//! The gate's own answers: what went wrong, twice — the x402 code that
//! official clients know, and fields an agent can act on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use quittance_facilitator::{NothingToOffer, Rejection, StoredAnswer};
use quittance_protocol::{
    ErrorCode, OFFER_RECEIPT, PAYMENT_REQUIRED, PAYMENT_RESPONSE, RetryAction, SettleResponse, encode_header,
    encode_header_json,
};
use quittance_quote::Refusal;
use serde::Serialize;

use crate::body::Body;
use crate::error::GateError;
use crate::receipt::{self, PAYMENT_STATE, SHOULD_RETRY};

/// What `error` says when nothing was paid: the reference's words.
pub(crate) const PAYMENT_REQUIRED_TEXT: &str = "Payment required";

/// What an agent that did not pay should do.
pub(crate) const PAYMENT_REQUIRED_MESSAGE: &str = "sign an offer of the PAYMENT-REQUIRED header and repeat the request with PAYMENT-SIGNATURE (x402 version 2), \
     or one of `accepts` with X-PAYMENT (version 1)";

/// What `Retry-After` says of a payment that cannot be taken yet.
const LATER_RETRY_SECONDS: u64 = 2;

/// [`PAYMENT_REQUIRED`], parsed.
const PAYMENT_REQUIRED_NAME: HeaderName = HeaderName::from_static(PAYMENT_REQUIRED);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Body of every answer that is neither an offer nor the host's.
#[derive(Default, Serialize)]
struct Trouble<'a> {
    error: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_action: Option<RetryAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<&'a str>,
    /// Why a payment cannot be taken now, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The networks that are closed, each with its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<&'a BTreeMap<&'a str, &'static str>>,
}

/// JSON of anything, as a body with its type.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let Ok(text) = serde_json::to_vec(value) else {
        let mut failed = Response::new(Body::default());
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return failed;
    };
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

impl Trouble<'_> {
    fn answer(&self, status: StatusCode) -> Response<Body> {
        let mut answer = json(status, self);
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, NO_STORE);
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Whoever showed a payment is told what to do with it, and that is never
        // to call again with another one.
        if self.retry_action.is_some_and(|action| action != RetryAction::Pay) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(state) = self.payment_state.and_then(|state| HeaderValue::from_str(state).ok()) {
            headers.insert(PAYMENT_STATE, state);
        }
        answer
    }
}

/// What a client hears of it.
impl From<&GateError> for Response<Body> {
    fn from(error: &GateError) -> Self {
        trouble(error)
    }
}

/// The gate's own finding.
pub(crate) fn trouble(error: &GateError) -> Response<Body> {
    trouble_after(error, None, None)
}

/// The same with a receipt and a time to come back.
pub(crate) fn trouble_after(
    error: &GateError,
    receipt: Option<&SettleResponse>,
    retry_after_seconds: Option<u64>,
) -> Response<Body> {
    let message = error.to_string();
    let trouble = Trouble {
        error: error.code(),
        message: &message,
        payment_state: receipt.and_then(|receipt| receipt.payment_state.as_deref()),
        retry_action: error.retry_action(),
        retry_after_seconds,
        transaction: receipt.and_then(hash),
        ..Trouble::default()
    };
    let mut answer = trouble.answer(error.status());
    add_receipt(&mut answer, receipt);
    answer
}

/// What the body of a 402 says besides the offer.
#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
    payment_state: &'a str,
    retry_action: RetryAction,
}

/// The offer, with the machine-readable reason in the body (402); `in_version_1` is the same as
/// clients of x402 version 1 read it.
///
/// Those of version 2 read the header, and the body only where there is none; those of
/// version 1 read the body, and refuse it for one element that is not of their version. So
/// the header carries version 2 and the body version 1, where that has a name for a network.
pub(crate) fn offer(
    offer: Offered<'_>,
    in_version_1: Option<Vec<u8>>,
    code: ErrorCode,
    message: &str,
) -> Response<Body> {
    let Offered { text, signed, header_bytes_max } = offer;
    let whole = signed.and_then(|signed| with_extension(&text, OFFER_RECEIPT, signed));
    let in_header = whole.as_ref().filter(|whole| whole.len() <= header_bytes_max).unwrap_or(&text);
    let Ok(header) = HeaderValue::try_from(encode_header_json(in_header)) else {
        return trouble(&GateError::Gate);
    };
    let in_version_1 = match (in_version_1, signed) {
        // Its clients read past what they do not know.
        (Some(body), Some(signed)) => with_extension(&body, OFFER_RECEIPT, signed).or(Some(body)),
        (body, _) => body,
    };
    let Some(body) = joined(in_version_1.or(whole).unwrap_or(text), reason(code, message)) else {
        return trouble(&GateError::Gate);
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let headers = answer.headers_mut();
    headers.insert(PAYMENT_REQUIRED_NAME, header);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_TYPE, JSON);
    answer
}

/// An offer as it was written.
pub(crate) struct Offered<'a> {
    /// The JSON of a [`quittance_protocol::PaymentRequired`].
    pub(crate) text: Vec<u8>,
    /// The extension that signs it; in the body, and in the header where it has room.
    pub(crate) signed: Option<&'a str>,
    /// Longest JSON in the header.
    pub(crate) header_bytes_max: usize,
}

/// The JSON of an offer, whose last member is `extensions` if it has any, with one more.
fn with_extension(offer: &[u8], name: &str, extension: &str) -> Option<Vec<u8>> {
    let (before, between, end) = match offer {
        // `…"extensions":{…}}`: whatever else ends an offer is a list.
        [.., b'}', b'}'] => (offer.get(..offer.len().checked_sub(2)?)?, ",", "}}"),
        [.., b'}'] => (offer.get(..offer.len().checked_sub(1)?)?, r#","extensions":{"#, "}}"),
        _ => return None,
    };
    Some([before, format!(r#"{between}"{name}":{extension}{end}"#).as_bytes()].concat())
}

/// Why there is an offer, as a JSON object.
fn reason(code: ErrorCode, message: &str) -> Cow<'static, str> {
    /// Every unpaid request gets this one.
    static UNPAID: LazyLock<String> =
        LazyLock::new(|| reason_json(ErrorCode::PaymentRequired, PAYMENT_REQUIRED_MESSAGE));
    if code == ErrorCode::PaymentRequired && message == PAYMENT_REQUIRED_MESSAGE {
        return Cow::Borrowed(&UNPAID);
    }
    Cow::Owned(reason_json(code, message))
}

fn reason_json(code: ErrorCode, message: &str) -> String {
    let reason =
        Reason { code: code.as_str(), message, payment_state: "none", retry_action: RetryAction::Pay };
    serde_json::to_string(&reason).unwrap_or_default()
}

/// The text of a JSON object with the members of another at its end.
fn joined(mut object: Vec<u8>, more: Cow<'_, str>) -> Option<Bytes> {
    object.pop_if(|last| *last == b'}')?;
    object.push(b',');
    object.extend_from_slice(more.strip_prefix('{')?.as_bytes());
    Some(Bytes::from(object))
}

/// No network can be offered (503), and why not. A payment that came along was
/// refused, and is refused again, with a fresh offer then.
pub(crate) fn nothing_to_offer(nothing: &NothingToOffer, paying: bool) -> Response<Body> {
    let closed: BTreeMap<_, _> =
        nothing.closed.iter().map(|(network, reason)| (network.as_str(), *reason)).collect();
    let reasons: Vec<_> = closed.iter().map(|(network, reason)| format!("; {network}: {reason}")).collect();
    let message = format!("payments cannot be taken right now; nothing was charged{}", reasons.concat());
    let trouble = Trouble { closed: Some(&closed), ..Trouble::default() };
    not_now(nothing.retry_after_seconds, &message, paying.then_some(RetryAction::RetrySamePayment), trouble)
}

/// The payment that came along cannot be taken, or looked up, now (503). It may be
/// on record: whoever was asked for another one could pay twice.
pub(crate) fn unavailable(retry_after_seconds: u64, reason: &str) -> Response<Body> {
    let message = format!(
        "this payment cannot be taken or looked at right now ({reason}); send the same payment again"
    );
    let trouble = Trouble { reason: Some(reason), ..Trouble::default() };
    not_now(retry_after_seconds, &message, Some(RetryAction::RetrySamePayment), trouble)
}

fn not_now(
    retry_after_seconds: u64,
    message: &str,
    retry_action: Option<RetryAction>,
    more: Trouble<'_>,
) -> Response<Body> {
    let trouble = Trouble {
        error: ErrorCode::NetworkUnavailable.as_str(),
        message,
        // Of a payment that was shown nothing is known.
        payment_state: retry_action.is_none().then_some("none"),
        retry_action,
        retry_after_seconds: Some(retry_after_seconds),
        ..more
    };
    trouble.answer(StatusCode::SERVICE_UNAVAILABLE)
}

/// No payment of this payer can be taken yet (503, or 429 to who asked too often):
/// this one can be a little later, and whoever was asked to sign again would pay
/// twice; or none can be for a long while.
pub(crate) fn later(rejection: &Rejection) -> Response<Body> {
    let message = rejection_message(rejection);
    let trouble = Trouble {
        error: rejection.code.as_str(),
        message: &message,
        payment_state: Some("none"),
        retry_action: Some(rejection.retry_action),
        retry_after_seconds: Some(rejection.retry_after_seconds.unwrap_or(LATER_RETRY_SECONDS)),
        ..Trouble::default()
    };
    let status = match rejection.code {
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    trouble.answer(status)
}

/// The outcome is not known yet (503, P5).
pub(crate) fn pending(receipt: &SettleResponse, retry_after_seconds: u64) -> Response<Body> {
    let code = receipt.error_reason.unwrap_or(ErrorCode::SettlementPending);
    let trouble = Trouble {
        error: code.as_str(),
        message: receipt
            .error_message
            .as_deref()
            .unwrap_or("the payment is being settled; send the same request with the same payment again"),
        payment_state: Some(receipt.payment_state.as_deref().unwrap_or("pending")),
        retry_action: Some(RetryAction::RetrySamePayment),
        retry_after_seconds: Some(retry_after_seconds),
        transaction: hash(receipt),
        ..Trouble::default()
    };
    let mut answer = trouble.answer(StatusCode::SERVICE_UNAVAILABLE);
    add_receipt(&mut answer, Some(receipt));
    answer
}

/// The payment buys something else, or nothing any more (409).
pub(crate) fn conflict(code: ErrorCode, message: &str, receipt: Option<&SettleResponse>) -> Response<Body> {
    let trouble = Trouble {
        error: code.as_str(),
        message,
        payment_state: receipt.and_then(|receipt| receipt.payment_state.as_deref()),
        retry_action: Some(RetryAction::DoNotRetry),
        retry_after_seconds: None,
        transaction: receipt.and_then(hash),
        ..Trouble::default()
    };
    let mut answer = trouble.answer(StatusCode::CONFLICT);
    add_receipt(&mut answer, receipt);
    answer
}

/// Different payments came with one request, and one of them is settled, or may be (400):
/// it is to be sent alone, and nothing is to be signed for it.
pub(crate) fn send_one(receipt: Option<&SettleResponse>) -> Response<Body> {
    let message = match receipt {
        Some(_) => {
            "different payments came with this request, and one of them is settled: do not pay again; send the \
             request with that payment alone"
        }
        None => "too many different payments came with this request to look at; send exactly one",
    };
    let trouble = Trouble {
        error: ErrorCode::InvalidPayload.as_str(),
        message,
        payment_state: receipt.and_then(|receipt| receipt.payment_state.as_deref()),
        retry_action: Some(RetryAction::RetrySamePayment),
        transaction: receipt.and_then(hash),
        ..Trouble::default()
    };
    let mut answer = trouble.answer(StatusCode::BAD_REQUEST);
    add_receipt(&mut answer, receipt);
    answer
}

/// The message that goes with a refused payment.
pub(crate) fn rejection_message(rejection: &Rejection) -> String {
    if rejection.message.is_empty() { rejection.code.as_str().to_owned() } else { rejection.message.clone() }
}

/// The request cannot be served any more, and its payment is settled: nothing else
/// is to be paid for it.
pub(crate) fn unserved_but_paid(error: &GateError, receipt: Option<&SettleResponse>) -> Response<Body> {
    let message = format!(
        "{error}; this payment is on record for a request: do not pay for it again, and ask the operator to serve \
         it or for a refund"
    );
    let trouble = Trouble {
        error: error.code(),
        message: &message,
        payment_state: receipt.and_then(|receipt| receipt.payment_state.as_deref()),
        retry_action: Some(RetryAction::DoNotRetry),
        transaction: receipt.and_then(hash),
        ..Trouble::default()
    };
    let mut answer = trouble.answer(error.status());
    add_receipt(&mut answer, receipt);
    answer
}

/// The host's own refusal, in its own shape and before any price.
pub(crate) fn refusal(refusal: Refusal) -> Response<Body> {
    // A catalogue that answers 402 or 200 here would speak for the gate.
    let status = StatusCode::from_u16(refusal.status)
        .ok()
        .filter(|status| status.is_client_error() && *status != StatusCode::PAYMENT_REQUIRED)
        .unwrap_or(StatusCode::BAD_REQUEST);
    let mut answer = json(status, &refusal.body);
    answer.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    answer
}

/// An answer that could not be kept (410): the receipt proves the sale. Whether
/// its first client got all of it decides what the payment is worth.
pub(crate) fn not_kept(answer: &StoredAnswer, receipt: &SettleResponse) -> Response<Body> {
    let refusal = (400..500).contains(&answer.status);
    let (state, message) = match (answer.refundable, refusal) {
        (true, false) => (
            "delivered_in_part",
            "the answer was too long to be kept and did not reach its client whole; \
             ask the operator for a refund",
        ),
        (true, true) => {
            ("refundable", "the service refused the request at length; ask the operator for a refund")
        }
        (false, _) => ("delivered", "the answer was delivered once and was too long to be kept"),
    };
    let body = serde_json::json!({
        "error": "answer_not_kept",
        "message": message,
        "payment_state": state,
        "retry_action": RetryAction::DoNotRetry,
        "transaction": receipt.transaction,
        "answer_status": answer.status,
        "refundable": answer.refundable,
    });
    let mut response = json(StatusCode::GONE, &body);
    receipt::stamp(response.status(), response.headers_mut(), receipt, state);
    response
}

/// A kept answer that this process cannot read now (503): it is not gone.
pub(crate) fn unreachable(receipt: &SettleResponse, retry_after_seconds: u64) -> Response<Body> {
    let trouble = Trouble {
        error: "answer_unreachable",
        message: "the answer is kept but cannot be read right now; send the same payment again",
        payment_state: Some("settled"),
        retry_action: Some(RetryAction::RetrySamePayment),
        retry_after_seconds: Some(retry_after_seconds),
        transaction: hash(receipt),
        ..Trouble::default()
    };
    let mut answer = trouble.answer(StatusCode::SERVICE_UNAVAILABLE);
    add_receipt(&mut answer, Some(receipt));
    answer
}

fn hash(receipt: &SettleResponse) -> Option<&str> {
    (!receipt.transaction.is_empty()).then_some(receipt.transaction.as_str())
}

fn add_receipt(answer: &mut Response<Body>, receipt: Option<&SettleResponse>) {
    if let Some(Ok(header)) = receipt.map(encode_header)
        && let Ok(header) = HeaderValue::try_from(header)
    {
        answer.headers_mut().insert(PAYMENT_RESPONSE, header);
    }
}
