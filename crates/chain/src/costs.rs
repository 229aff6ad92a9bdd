//! What settling costs, and may cost.

use serde_json::{Map, Value};

use crate::NotConnected;

/// What makes every payment fail, whoever pays, until it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The token moves nothing for anybody.
    TokenPaused,
    /// The token moves nothing to `pay_to`.
    PayToBlacklisted,
    /// The recipient's token account is frozen.
    PayToFrozen,
    /// The recipient's token account was closed, or given to somebody else.
    PayToClosed,
}

/// What a settlement costs now, from the chain's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostSnapshot {
    /// Expected cost in the gas coin's smallest unit, with headroom for rising fees,
    /// without markup.
    pub cost_native: u128,
    /// The part of it that pays for a missing token account.
    pub rent_native: u128,
    /// What the wallet holds, in the same unit.
    pub wallet_native: u128,
    /// What the wallet must keep whatever it pays.
    pub floor_native: u128,
    /// The most that one settlement may cost: nodes ask for that much before they
    /// take its transaction.
    pub bound_native: u128,
    /// What makes every payment fail, if anything does.
    pub obstacle: Option<Obstacle>,
    /// How it was made, for people.
    pub detail: Value,
    /// What offers of the next few seconds say in `extra` besides [`crate::Facts::offer_extra`].
    pub offer_extra: Map<String, Value>,
}

impl CostSnapshot {
    /// Whether the wallet can pay one settlement more than what is `reserved_native`
    /// for those under way, of all replicas.
    pub fn wallet_suffices(&self, reserved_native: u128) -> bool {
        let needed = self.bound_native.saturating_add(reserved_native).saturating_add(self.floor_native);
        self.wallet_native >= needed
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
            wallet_native: 100,
            floor_native: 10,
            bound_native: 20,
            obstacle: None,
            detail: Value::Null,
            offer_extra: Map::new(),
        };
        assert!(costs.wallet_suffices(70));
        assert!(!costs.wallet_suffices(71));
        assert!(!costs.wallet_suffices(u128::MAX), "no sum wraps round");
    }
}
