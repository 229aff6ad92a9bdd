//! Why a network is not offered.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::chain::Obstacle;

/// `Retry-After` of a network that waits for a rate, a chain or lower fees.
pub(crate) const SOON_SECONDS: u64 = 5;

/// `Retry-After` of a network that waits for people, or for a day's allowance:
/// costs leave the window one by one.
const LATER_SECONDS: u64 = 60;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// No fresh exchange rate: nothing could be priced.
    NoRate,
    /// None of its nodes has answered since the process started.
    NotConnected,
    /// No tariff, or a stale one: the chain or the ledger does not answer.
    NoTariff,
    /// Settling is dearer than the operator wants to sell.
    AboveCeiling,
    /// Settling cost too much today altogether.
    Spent,
    /// Attempts under way have reserved what the ceilings leave, and none of them ends.
    InFlight,
    /// The most that one settlement may cost is above a ceiling: nobody new could buy.
    BoundAboveCeiling,
    /// The operator sells nothing here any more; what was begun is finished.
    Retired,
    /// The wallet cannot pay the next settlement.
    WalletEmpty,
    /// A transaction of ours that offers less than blocks ask for holds up the wallet:
    /// what is sent after it waits behind it.
    LaneUnderBaseFee,
    /// The recipient's token account is not there, and is being created.
    AccountMissing,
    /// It is not there, and creating token accounts cost the UTC day's limit.
    AccountsSpent,
    /// What makes every payment fail.
    Obstacle(Obstacle),
}

impl Closed {
    pub(crate) const ALL: [Self; 20] = [
        Self::NoRate,
        Self::NotConnected,
        Self::NoTariff,
        Self::AboveCeiling,
        Self::Spent,
        Self::InFlight,
        Self::BoundAboveCeiling,
        Self::Retired,
        Self::WalletEmpty,
        Self::LaneUnderBaseFee,
        Self::AccountMissing,
        Self::AccountsSpent,
        Self::Obstacle(Obstacle::TokenPaused),
        Self::Obstacle(Obstacle::TokenChanged),
        Self::Obstacle(Obstacle::PayToRefuses),
        Self::Obstacle(Obstacle::PayToBlacklisted),
        Self::Obstacle(Obstacle::PayToFrozen),
        Self::Obstacle(Obstacle::PayToClosed),
        Self::Obstacle(Obstacle::FacilitatorAway),
        Self::Obstacle(Obstacle::FacilitatorRefuses),
    ];

    /// Every reason by its word, and whether it is the one.
    pub(crate) fn each(reason: Option<Self>) -> [(&'static str, bool); 20] {
        Self::ALL.map(|each| (each.as_str(), reason == Some(each)))
    }

    /// For metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoRate => "no_rate",
            Self::NotConnected => "not_connected",
            Self::NoTariff => "no_tariff",
            Self::AboveCeiling => "above_ceiling",
            Self::Spent => "spent_ceiling",
            Self::InFlight => "in_flight_ceiling",
            Self::BoundAboveCeiling => "bound_above_ceiling",
            Self::Retired => "retired",
            Self::WalletEmpty => "wallet_empty",
            Self::LaneUnderBaseFee => "lane_under_base_fee",
            Self::AccountMissing => "account_missing",
            Self::AccountsSpent => "accounts_spent",
            Self::Obstacle(Obstacle::TokenPaused) => "token_paused",
            Self::Obstacle(Obstacle::TokenChanged) => "token_changed",
            Self::Obstacle(Obstacle::PayToRefuses) => "pay_to_refuses",
            Self::Obstacle(Obstacle::PayToBlacklisted) => "pay_to_blacklisted",
            Self::Obstacle(Obstacle::PayToFrozen) => "pay_to_frozen",
            Self::Obstacle(Obstacle::PayToClosed) => "pay_to_closed",
            Self::Obstacle(Obstacle::FacilitatorAway) => "facilitator_away",
            Self::Obstacle(Obstacle::FacilitatorRefuses) => "facilitator_refuses",
        }
    }

    /// Whether it stays until somebody does something.
    pub(crate) fn wants_a_person(self) -> bool {
        match self {
            // Fees fall again, and who is away comes back.
            Self::LaneUnderBaseFee
            | Self::Obstacle(Obstacle::FacilitatorAway)
            | Self::NoRate
            | Self::NotConnected
            | Self::NoTariff
            | Self::AboveCeiling
            | Self::InFlight
            | Self::BoundAboveCeiling
            | Self::AccountMissing
            | Self::Retired => false,
            Self::Spent | Self::WalletEmpty | Self::AccountsSpent | Self::Obstacle(_) => true,
        }
    }

    pub(crate) fn retry_after_seconds(self) -> u64 {
        if self.wants_a_person() || self == Self::Retired { LATER_SECONDS } else { SOON_SECONDS }
    }
}

/// What the last look at wallet, token and recipient found; every offer asks.
#[derive(Debug, Default)]
pub(crate) struct Obstructed(AtomicU8);

impl Obstructed {
    pub(crate) fn set(&self, reason: Option<Closed>) {
        let place = Closed::ALL.iter().position(|each| Some(*each) == reason);
        let code = place.and_then(|at| u8::try_from(at.saturating_add(1)).ok()).unwrap_or(0);
        self.0.store(code, Ordering::Release);
    }

    pub(crate) fn now(&self) -> Option<Closed> {
        let at = usize::from(self.0.load(Ordering::Acquire)).checked_sub(1)?;
        Closed::ALL.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_kept_and_named_once() {
        let obstructed = Obstructed::default();
        assert_eq!(obstructed.now(), None);
        let mut names = std::collections::BTreeSet::new();
        for reason in Closed::ALL {
            obstructed.set(Some(reason));
            assert_eq!(obstructed.now(), Some(reason));
            assert!(names.insert(reason.as_str()));
        }
        obstructed.set(None);
        assert_eq!(obstructed.now(), None);
    }
}
