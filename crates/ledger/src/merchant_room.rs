//! A merchant's own limits: the one place that decides whether there is room. Databases and
//! model only sum up.

use quittance_protocol::Amount;

use crate::exposure::{Exposed, NoRoom};
use crate::types::{MerchantLimits, MerchantState};

/// What is configured for the merchant where a payment comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MerchantRoom {
    pub(crate) state: MerchantState,
    pub(crate) in_flight_max: u32,
    /// `None`: it does not sell on this network (any more).
    pub(crate) limits: Option<MerchantLimits>,
}

/// What it has under way, and had within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MerchantSums {
    /// Payments without a verdict, on all networks.
    pub(crate) under_way: u64,
    /// What payments move, in flight included, on this network.
    pub(crate) amount: Amount,
    /// What settling them costs, reserved included, on this network.
    pub(crate) cost: Exposed,
    /// Of it, what counts against the limit that all payers without history share: reserved, and
    /// burnt for nothing.
    pub(crate) unearned: Amount,
}

/// The part of the shared soft limit that one merchant's payments may take: one in so many. Its
/// payers may all be the merchant's own.
const SHARED_PART: u64 = 4;

/// Whether one more payment, or the rent of an account, fits. What is admitted may be spent whole.
pub(crate) fn admit(
    room: &MerchantRoom,
    at: &MerchantSums,
    amount: Amount,
    bound: Exposed,
    soft_day: Option<Amount>,
) -> Result<(), NoRoom> {
    let (MerchantState::Open, Some(limits)) = (room.state, room.limits) else {
        return Err(NoRoom::MerchantClosed);
    };
    if at.under_way >= u64::from(room.in_flight_max) {
        return Err(NoRoom::MerchantInFlight);
    }
    if plus(at.amount, amount) > limits.amount_day {
        return Err(NoRoom::MerchantAmount);
    }
    // One payment alone may always be under way, however dear settling is.
    let is_shared = |soft: Amount| plus(at.unearned, bound.usdc).atomic() > soft.atomic() / SHARED_PART;
    if at.unearned > Amount::ZERO && soft_day.is_some_and(is_shared) {
        return Err(NoRoom::MerchantCost);
    }
    let native = at.cost.native.saturating_add(bound.native);
    if plus(at.cost.usdc, bound.usdc) > limits.cost_day || native > limits.native_day {
        return Err(NoRoom::MerchantCost);
    }
    Ok(())
}

fn plus(a: Amount, b: Amount) -> Amount {
    Amount::new(a.atomic().saturating_add(b.atomic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_its_own() {
        let limits =
            MerchantLimits { amount_day: Amount::new(100), cost_day: Amount::new(10), native_day: 1_000 };
        let room = MerchantRoom { state: MerchantState::Open, in_flight_max: 2, limits: Some(limits) };
        let at = MerchantSums {
            under_way: 1,
            amount: Amount::new(60),
            cost: Exposed { usdc: Amount::new(6), native: 600 },
            unearned: Amount::new(5),
        };
        let bound = Exposed { usdc: Amount::new(4), native: 400 };
        let amount = Amount::new(40);
        assert_eq!(admit(&room, &at, amount, bound, Some(Amount::new(36))), Ok(()));
        let shared = admit(&room, &at, amount, bound, Some(Amount::new(35)));
        assert_eq!(shared, Err(NoRoom::MerchantCost), "the limit that all share");
        let alone = MerchantSums { unearned: Amount::ZERO, ..at };
        assert_eq!(admit(&room, &alone, amount, bound, Some(Amount::ZERO)), Ok(()));
        for (room, at, amount, bound, why) in [
            (
                MerchantRoom { state: MerchantState::Closed, ..room },
                at,
                amount,
                bound,
                NoRoom::MerchantClosed,
            ),
            (MerchantRoom { limits: None, ..room }, at, amount, bound, NoRoom::MerchantClosed),
            (room, MerchantSums { under_way: 2, ..at }, amount, bound, NoRoom::MerchantInFlight),
            (room, at, Amount::new(41), bound, NoRoom::MerchantAmount),
            (room, at, amount, Exposed { usdc: Amount::new(5), ..bound }, NoRoom::MerchantCost),
            (room, at, amount, Exposed { native: 401, ..bound }, NoRoom::MerchantCost),
        ] {
            assert_eq!(admit(&room, &at, amount, bound, None), Err(why));
        }
    }
}
