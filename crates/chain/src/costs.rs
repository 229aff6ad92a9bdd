//! What settling costs, and may cost.

use serde_json::{Map, Value};

use crate::NotConnected;

/// What makes every payment fail, whoever pays, until it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The token moves nothing for anybody.
    TokenPaused,
    /// The token changed: what is sent may not arrive whole.
    TokenChanged,
    /// The recipient's token account takes no plain transfer.
    PayToRefuses,
    /// The token moves nothing to `pay_to`.
    PayToBlacklisted,
    /// The recipient's token account is frozen.
    PayToFrozen,
    /// The recipient's token account was closed, or given to somebody else.
    PayToClosed,
    /// The facilitator that is to settle does not answer, or takes nothing now.
    FacilitatorAway,
    /// The facilitator that is to settle does not settle what is sold.
    FacilitatorRefuses,
}

/// An account that has to be created before a payment can arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedAccount {
    /// Its address.
    pub account: String,
    /// What creating it costs, in the gas coin's smallest unit.
    pub native: u64,
}

/// What a settlement costs now, from the chain's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostSnapshot {
    /// Expected cost in the gas coin's smallest unit, with headroom for rising fees,
    /// without markup.
    pub cost_native: u128,
    /// The part of it that pays for a missing token account.
    pub rent_native: u128,
    /// What each wallet holds, in the same unit; retired ones too, and each by its address as
    /// [`crate::Facts`] has it.
    pub wallets_native: Vec<(String, u128)>,
    /// What a wallet must keep whatever it pays.
    pub floor_native: u128,
    /// The most that one settlement may cost: nodes ask for that much before they
    /// take its transaction.
    pub bound_native: u128,
    /// The recipient's account, where it is missing and ours to create at a wallet's cost.
    pub owed_account: Option<OwedAccount>,
    /// What makes every payment fail, if anything does.
    pub obstacle: Option<Obstacle>,
    /// How it was made, for people.
    pub detail: Value,
    /// What offers of the next few seconds say in `extra` besides [`crate::Facts::offer_extra`].
    pub offer_extra: Map<String, Value>,
}

impl CostSnapshot {
    /// Whether a wallet that holds `native` can pay so many settlements more than what is
    /// `reserved_native` for those under way.
    pub fn suffices(&self, native: u128, settlements: u64, reserved_native: u128) -> bool {
        let more = self.bound_native.saturating_mul(u128::from(settlements));
        native >= more.saturating_add(reserved_native).saturating_add(self.floor_native)
    }
}

/// What a signature may cost, in the gas coin's smallest unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostAllowed {
    /// What the payment was charged for its settlement, and the operator's budget: the
    /// expected cost fits it (I10).
    pub charged_native: u128,
    /// What is reserved for it in the ledger: the most that it can cost fits that (P3).
    pub reserved_native: u128,
}

/// Why a signature was not made. Nothing was written or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignRefused {
    /// Whether fees may fall, or a wallet be filled, so that it works later.
    pub retry: bool,
    /// For the journal.
    pub reason: String,
}

impl SignRefused {
    /// It may work later.
    pub fn later(reason: impl Into<String>) -> Self {
        Self { retry: true, reason: reason.into() }
    }

    /// It will never work.
    pub fn never(reason: impl Into<String>) -> Self {
        Self { retry: false, reason: reason.into() }
    }
}

impl From<NotConnected> for SignRefused {
    fn from(error: NotConnected) -> Self {
        Self::later(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_pays_what_is_under_way_and_one_more_and_keeps_its_floor() {
        let costs = CostSnapshot {
            cost_native: 5,
            rent_native: 0,
            wallets_native: Vec::new(),
            floor_native: 10,
            bound_native: 20,
            owed_account: None,
            obstacle: None,
            detail: Value::Null,
            offer_extra: Map::new(),
        };
        assert!(costs.suffices(100, 1, 70));
        assert!(!costs.suffices(100, 1, 71));
        assert!(costs.suffices(100, 4, 10));
        assert!(!costs.suffices(100, 4, 11));
        assert!(!costs.suffices(100, u64::MAX, u128::MAX), "no sum wraps round");
    }
}
