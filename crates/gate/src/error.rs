//! What the gate itself can find wrong with a request or with a run.

use http::StatusCode;
use quittance_protocol::{ErrorCode, HeaderError, RetryAction, v1};

/// Why the gate did not serve a request. Prices, payments and handlers have
/// their own answers; these are the gate's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Listed neither as paid nor as free, or the path is not written canonically.
    #[error("no such endpoint; GET /v1/x402 lists them")]
    UnknownEndpoint,
    /// Listed, but not by this method; `Allow` says by which.
    #[error("this path takes {allowed}; GET /v1/x402 lists what is sold")]
    OtherMethod {
        /// The methods it takes, as `Allow` lists them.
        allowed: String,
    },
    /// Path and query are longer than the offer can repeat.
    #[error("the path and query of a paid request are at most {max} bytes")]
    UrlTooLong {
        /// `Limits::url_bytes_max`.
        max: usize,
    },
    /// Host and path are longer than the head of a 402 has room for.
    #[error("the URL of a paid request is at most {max} bytes before its query")]
    UrlNotNamed {
        /// What the rest of the offer leaves of that room.
        max: usize,
    },
    /// The price is read from the body's bytes, so they must be the body.
    #[error("send the body of a paid request without Content-Encoding")]
    EncodedBody,
    /// Two servers could take the body for two things.
    #[error("send one Content-Type of visible ASCII letters with a paid request")]
    UnclearType,
    /// Longer than `Limits::body_bytes_max`.
    #[error("the body of a paid request is at most {max} bytes")]
    BodyTooLarge {
        /// `Limits::body_bytes_max`.
        max: usize,
    },
    /// Slower than `Limits::body_read_ms`.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// The connection or the transfer encoding broke.
    #[error("the body could not be read")]
    BodyBroken,
    /// Two payment headers: a proxy and we could each read another one.
    #[error("send exactly one payment: in PAYMENT-SIGNATURE (x402 version 2) or in X-PAYMENT (version 1)")]
    PaymentRepeated,
    /// The payment header is not one.
    #[error(transparent)]
    PaymentUnreadable(#[from] HeaderError),
    /// Another protocol version, or one in the other one's header.
    #[error(
        "send x402 version 2 in a PAYMENT-SIGNATURE header with \"x402Version\": 2, or version 1 in an X-PAYMENT header \
         with \"x402Version\": 1"
    )]
    PaymentVersion,
    /// Version 1, and a network that it has no such name for.
    #[error(transparent)]
    PaymentNetwork(#[from] v1::UnknownName),
    /// No room for this body beside those in memory (`Limits::unpaid_bytes_max`, `Limits::paid_bytes_max`).
    #[error("too many bytes of other requests are in memory; try again in a moment")]
    TooManyBytes {
        /// Whether the request carried a signed payment.
        paying: bool,
    },
    /// `Limits::concurrency_max` payments are in flight.
    #[error("too many paid requests are in flight")]
    TooManyInFlight,
    /// What serves this endpoint is down ([`crate::GateBuilder::closed_for`]).
    #[error("the service behind this endpoint is down; {}", down_advice(*paying))]
    ServiceDown {
        /// Whether the request carried a payment.
        paying: bool,
    },
    /// The handler panicked, or its body ended in an error. The payment is a credit.
    #[error("the service failed; send the same payment again, it has not been used up")]
    HandlerFailed,
    /// The handler ran longer than `Limits::run_seconds_max`. The payment is a credit.
    #[error("the service took too long; send the same payment again, it has not been used up")]
    HandlerTooSlow,
    /// This process lost its place in the ledger; another may run the handler now (P1).
    #[error("the service was interrupted; send the same payment again, it has not been used up")]
    RunRevoked,
    /// The ledger did not take the answer, so it is not released.
    #[error("the answer could not be recorded; send the same payment again")]
    NotBooked(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A handler asked for [`crate::Paid`] in a request that no payment started.
    #[error("this handler serves paid requests only and was reached without the gate")]
    NotPaid,
    /// A handler asked for [`crate::Identity`] in a request no hook authenticated.
    #[error("this handler serves authenticated requests only")]
    NotAuthenticated,
    /// The gate's own task ended early.
    #[error("the gate failed; send the same request again")]
    Gate,
}

fn down_advice(paying: bool) -> &'static str {
    if paying { "send the same payment again later" } else { "nothing was charged, try again later" }
}

impl GateError {
    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownEndpoint => StatusCode::NOT_FOUND,
            Self::OtherMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::UrlTooLong { .. } | Self::UrlNotNamed { .. } => StatusCode::URI_TOO_LONG,
            Self::EncodedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::UnclearType => StatusCode::BAD_REQUEST,
            Self::PaymentRepeated
            | Self::PaymentUnreadable(_)
            | Self::PaymentVersion
            | Self::PaymentNetwork(_) => StatusCode::PAYMENT_REQUIRED,
            Self::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Self::TooManyInFlight
            | Self::TooManyBytes { .. }
            | Self::ServiceDown { .. }
            | Self::NotBooked(_)
            | Self::RunRevoked => StatusCode::SERVICE_UNAVAILABLE,
            Self::HandlerFailed | Self::NotPaid | Self::Gate => StatusCode::INTERNAL_SERVER_ERROR,
            Self::HandlerTooSlow => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The stable word in the answer's `error` field.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::OtherMethod { .. } => "method_not_allowed",
            Self::UrlTooLong { .. } | Self::UrlNotNamed { .. } => "url_too_long",
            Self::EncodedBody => "encoded_body",
            Self::UnclearType => "unclear_content_type",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyBroken => "body_broken",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::TooManyBytes { .. } => "too_many_bytes_in_flight",
            Self::ServiceDown { .. } => "service_down",
            Self::HandlerFailed => "handler_failed",
            Self::HandlerTooSlow => "handler_too_slow",
            Self::RunRevoked => "run_revoked",
            Self::NotBooked(_) => "not_recorded",
            Self::NotPaid => "not_paid",
            Self::NotAuthenticated => "not_authenticated",
            Self::Gate => "gate_failed",
            Self::BodyTooLarge { .. }
            | Self::PaymentRepeated
            | Self::PaymentUnreadable(_)
            | Self::PaymentVersion
            | Self::PaymentNetwork(_) => self.wire_code().map_or("invalid_payload", ErrorCode::as_str),
        }
    }

    /// The x402 code, where the protocol has one.
    pub fn wire_code(&self) -> Option<ErrorCode> {
        match self {
            Self::BodyTooLarge { .. } => Some(ErrorCode::BodyTooLarge),
            Self::PaymentRepeated | Self::PaymentUnreadable(_) => Some(ErrorCode::InvalidPayload),
            Self::PaymentVersion => Some(ErrorCode::InvalidX402Version),
            Self::PaymentNetwork(_) => Some(ErrorCode::InvalidNetwork),
            _ => None,
        }
    }

    /// Whether the very same request can succeed later.
    pub fn retry(&self) -> bool {
        matches!(
            self,
            Self::BodyTooSlow
                | Self::BodyBroken
                | Self::TooManyInFlight
                | Self::TooManyBytes { .. }
                | Self::ServiceDown { .. }
                | Self::HandlerFailed
                | Self::HandlerTooSlow
                | Self::RunRevoked
                | Self::NotBooked(_)
                | Self::Gate
        )
    }

    /// What an agent should do with the payment it sent or was about to send.
    pub(crate) fn retry_action(&self) -> Option<RetryAction> {
        match self {
            Self::PaymentRepeated
            | Self::PaymentUnreadable(_)
            | Self::PaymentVersion
            | Self::PaymentNetwork(_) => Some(RetryAction::Pay),
            Self::TooManyInFlight
            | Self::TooManyBytes { paying: true }
            | Self::ServiceDown { paying: true }
            | Self::HandlerFailed
            | Self::HandlerTooSlow
            | Self::RunRevoked
            | Self::NotBooked(_)
            | Self::Gate => Some(RetryAction::RetrySamePayment),
            _ => None,
        }
    }
}
