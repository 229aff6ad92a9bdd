//! Who pays for a request: an x402 payment, or an account with an API key.

use http::{HeaderMap, StatusCode};
use quittance_gate::Paid;
use quittance_protocol::RequestId;

use crate::error::ApiError;
use crate::keys::ApiKeys;

/// Whoever may have work done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buyer {
    /// A settled payment started this run.
    Paid(PaidCall),
    /// An API key did.
    Account {
        /// The account's name from the file of keys.
        name: String,
    },
}

/// What the handlers use of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidCall {
    /// The facilitator's name for the payment.
    pub payment_id: String,
    /// Unguessable, and the same on every run of one payment.
    pub request_id: String,
}

impl From<&Paid> for PaidCall {
    fn from(paid: &Paid) -> Self {
        Self { payment_id: paid.payment_id.to_string(), request_id: paid.request_id.to_string() }
    }
}

impl Buyer {
    /// The payment, if there is one, else the account that the headers prove.
    ///
    /// # Errors
    /// 401 for anybody else: without the gate in front, nobody is served for free.
    pub fn of(paid: Option<&Paid>, headers: &HeaderMap, keys: &ApiKeys) -> Result<Self, ApiError> {
        if let Some(paid) = paid {
            return Ok(Self::Paid(paid.into()));
        }
        let name = keys.authenticate(headers).ok_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "pay with x402 or send a valid API key and secret",
            )
        })?;
        Ok(Self::Account { name: name.to_owned() })
    }

    /// The id of the request: the payment's own, or a fresh one from `random`.
    pub fn request_id(&self, random: [u8; 16]) -> String {
        match self {
            Self::Paid(call) => call.request_id.clone(),
            Self::Account { .. } => RequestId::from_random(random).to_string(),
        }
    }

    /// `billing_source` in answers.
    pub const fn billing_source(&self) -> &'static str {
        match self {
            Self::Paid(_) => "x402",
            Self::Account { .. } => "credits",
        }
    }
}
