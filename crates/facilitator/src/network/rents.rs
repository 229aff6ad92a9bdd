//! What token accounts cost, and may cost.

use std::sync::atomic::{AtomicU64, Ordering};

use quittance_ledger::AccountLimits;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) limits: AccountLimits,
    /// What the recipient's costs while it is missing; zero while it is there.
    rent: AtomicU64,
}

impl Accounts {
    pub(crate) fn new(limits: AccountLimits) -> Self {
        Self { limits, rent: AtomicU64::new(0) }
    }

    /// What the last look found.
    pub(crate) fn note(&self, rent_native: u128) {
        self.rent.store(u64::try_from(rent_native).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// What a payment that creates the account pays for it; `None` where nobody knows.
    pub(crate) fn rent(&self) -> Option<u64> {
        Some(self.rent.load(Ordering::Acquire)).filter(|rent| *rent > 0)
    }
}
