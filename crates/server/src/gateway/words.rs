//! What the gateway says by itself, in the gate's shape (`docs/errors.md`).

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;

/// Why a request got no answer of the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("this gateway passes no WebSocket on; nothing was charged")]
    UpgradeNotSupported,
    #[error("the service behind this gateway cannot be reached")]
    Unreachable,
    #[error("the service behind this gateway did not answer in time")]
    TooSlow,
    #[error("the service behind this gateway broke off before it answered")]
    BrokeOff,
    #[error("the service behind this gateway refused the gateway's own account")]
    RefusedGateway,
    #[error("the service behind this gateway pointed elsewhere instead of answering")]
    Redirected,
    #[error("the service behind this gateway asks the gateway for a pause")]
    AskedToPause,
    #[error("too many requests that nobody paid for are under way")]
    TooManyFree,
    #[error("the body is longer than this gateway passes on")]
    BodyTooLarge,
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("the body could not be read")]
    BodyBroken,
    #[error("the request cannot be passed on as it is written")]
    NotPassedOn,
}

/// Whether the run was paid for: it is a credit then.
const PAID_ADVICE: &str = "send the same payment again, it has not been used up";

/// `Retry-After` where the upstream says none.
const RETRY_SECONDS: u64 = 2;

impl Trouble {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::UpgradeNotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::Unreachable | Self::BrokeOff | Self::RefusedGateway | Self::Redirected => {
                StatusCode::BAD_GATEWAY
            }
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::AskedToPause | Self::TooManyFree => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::NotPassedOn => StatusCode::BAD_REQUEST,
        }
    }

    /// The stable word.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::UpgradeNotSupported => "upgrade_not_supported",
            Self::Unreachable => "upstream_unreachable",
            Self::TooSlow => "upstream_too_slow",
            Self::BrokeOff => "upstream_broke_off",
            Self::RefusedGateway => "upstream_refused_gateway",
            Self::Redirected => "upstream_redirected",
            Self::AskedToPause => "upstream_asked_to_pause",
            Self::TooManyFree => "too_many_in_flight",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyBroken => "body_broken",
            Self::NotPassedOn => "not_passed_on",
        }
    }

    fn begin(self) -> HttpResponseBuilder {
        let mut answer = HttpResponse::build(self.status());
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if matches!(self, Self::TooManyFree) {
            answer.insert_header((RETRY_AFTER, RETRY_SECONDS));
        }
        answer
    }

    /// The answer; to a run it says what becomes of the payment.
    pub(crate) fn answer(self, paid: bool) -> HttpResponse {
        self.begin().json(self.body(paid))
    }

    /// The same with a time to come back, such as the upstream's own.
    pub(crate) fn answer_after(self, paid: bool, seconds: Option<u64>) -> HttpResponse {
        let seconds = seconds.unwrap_or(RETRY_SECONDS);
        self.begin().insert_header((RETRY_AFTER, seconds)).json(self.body(paid))
    }

    /// The same on a connection that ends with it.
    pub(crate) fn answer_and_close(self) -> HttpResponse {
        self.begin().force_close().json(self.body(false))
    }

    fn body(self, paid: bool) -> serde_json::Value {
        let message = if paid { format!("{self}; {PAID_ADVICE}") } else { self.to_string() };
        json!({ "error": self.code(), "message": message })
    }
}
