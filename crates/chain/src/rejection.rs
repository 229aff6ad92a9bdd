//! Why a payment is not taken.

use quittance_protocol::{ErrorCode, RetryAction};

use crate::NotConnected;

/// A refusal before anything was written: the payer keeps the money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code official clients know.
    pub code: ErrorCode,
    /// What to do about it.
    pub message: String,
    /// Who tried to pay, once a signature proved it.
    pub payer: Option<String>,
    /// What may be done next: sign a new payment, or send this one again.
    pub retry_action: RetryAction,
    /// When, where that is known; before it nothing that this payer sends is taken.
    pub retry_after_seconds: Option<u64>,
    /// The transaction that used the authorization up, where one did and it was found.
    pub transaction: Option<String>,
}

impl Rejection {
    /// A refusal after which a new payment may be signed; nobody is named yet.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            payer: None,
            retry_action: RetryAction::Pay,
            retry_after_seconds: None,
            transaction: None,
        }
    }

    /// Names who tried to pay.
    pub fn of(self, payer: impl Into<String>) -> Self {
        Self { payer: Some(payer.into()), ..self }
    }

    /// Nothing further is to be sent.
    pub fn do_not_retry(self) -> Self {
        Self { retry_action: RetryAction::DoNotRetry, ..self }
    }

    /// Not before so many seconds have passed.
    pub fn after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// The same payment may be taken if it is sent again.
    pub fn retry_same(self) -> Self {
        Self { retry_action: RetryAction::RetrySamePayment, ..self }
    }
}

/// Why the chain said no, or nothing.
#[derive(Clone, Debug)]
pub enum CheckError {
    /// The payment cannot be settled.
    Rejected(Rejection),
    /// No endpoint gave a usable answer; says nothing about the payment.
    Unreachable(String),
}

impl From<NotConnected> for Rejection {
    /// Says nothing about the payment, which may be on record (P5).
    fn from(_: NotConnected) -> Self {
        Self::new(ErrorCode::NetworkUnavailable, "the chain cannot be reached now; try again").retry_same()
    }
}

impl From<NotConnected> for CheckError {
    fn from(error: NotConnected) -> Self {
        Self::Unreachable(error.to_string())
    }
}
