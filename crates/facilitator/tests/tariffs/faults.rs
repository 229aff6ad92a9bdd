//! What the chain double's check finds wrong with a payment.

use std::sync::atomic::Ordering;

use quittance_facilitator::Rejection;
use quittance_facilitator::chain::{CheckError, Verified};
use quittance_protocol::{ErrorCode, PaymentPayload};

use super::{Chain, Paid, State};

impl Chain {
    /// For so many checks the newest block is older than what is valid from a moment on.
    pub(crate) fn falls_behind(&self, checks: usize) {
        self.0.behind.store(checks, Ordering::SeqCst);
    }

    /// What the account costs that a payment may create, in ordinary costs.
    pub(crate) fn set_rent(&self, times: u64) {
        self.0.rent_wei.store(super::COST_WEI * times, Ordering::SeqCst);
    }
}

impl Paid {
    /// A memo that is asked for is signed.
    pub(super) fn of(payload: &PaymentPayload) -> Result<Self, Rejection> {
        match payload.accepted.extra.get("memo") {
            Some(memo) if payload.payload["memo"] != *memo => {
                Err(Rejection::new(ErrorCode::InvalidExactSvmPayloadMemoMismatch, "another memo"))
            }
            _ => Ok(Self(payload.payload.clone())),
        }
    }
}

impl State {
    pub(super) fn fault(&self, payment: &Verified) -> Result<(), CheckError> {
        let fault = payment.get::<Paid>().and_then(|paid| paid.0["fault"].as_str()).unwrap_or_default();
        let is_behind = payment.valid_after.is_some()
            && self
                .behind
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        let is_used = fault == "used" || self.all_used.load(Ordering::SeqCst);
        let (code, message) = if payment.payer.starts_with("poor") || fault == "beyond the balance" {
            (ErrorCode::InvalidExactEvmInsufficientBalance, "no money")
        } else if payment.payer.starts_with("broken") || fault == "made up" {
            (ErrorCode::InvalidExactEvmTransactionSimulationFailed, "it fails")
        } else if fault == "unreachable" {
            return Err(CheckError::Unreachable("no node".to_owned()));
        } else if is_used {
            (ErrorCode::InvalidExactEvmNonceAlreadyUsed, "used")
        } else if is_behind {
            (ErrorCode::InvalidExactEvmPayloadAuthorizationValidAfter, "not yet")
        } else {
            return Ok(());
        };
        Err(CheckError::Rejected(Rejection::new(code, message).of(payment.payer.clone())))
    }
}
