//! A request on a path that is, or was, sold.

use http::request::Parts;
use quittance_facilitator::{Caller, Sale};
use quittance_protocol::{Amount, Fingerprint, PaymentPayload};

use crate::head::{self, Names};

/// What is known of it before its body is read.
pub(crate) struct Visit {
    pub(crate) head: Parts,
    pub(crate) path: String,
    pub(crate) caller: Caller,
}

impl Visit {
    /// What a payment would buy here. `service` is its price, where there is one.
    pub(crate) fn sale(&self, fingerprint: Fingerprint, service: Amount, payment: &PaymentPayload) -> Sale {
        let Names { identifier, idempotency, malformed } = head::names(payment, &self.head.headers);
        Sale {
            service,
            fingerprint,
            resource: format!("{} {}", self.head.method, self.path),
            identifier,
            idempotency,
            malformed,
            caller: self.caller,
        }
    }

    /// What a payment is bound to.
    pub(crate) fn fingerprint(&self, body: &[u8]) -> Fingerprint {
        Fingerprint::of_request(self.head.method.as_str(), &self.path, self.query(), body)
    }

    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}
