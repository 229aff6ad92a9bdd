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
}

/// Whether one more payment, or the rent of an account, fits. What is admitted may be spent whole.
pub(crate) fn admit(
    room: &MerchantRoom,
    at: &MerchantSums,
    amount: Amount,
    bound: Exposed,
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
        };
        let bound = Exposed { usdc: Amount::new(4), native: 400 };
        let amount = Amount::new(40);
        assert_eq!(admit(&room, &at, amount, bound), Ok(()));
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
            assert_eq!(admit(&room, &at, amount, bound), Err(why));
        }
    }
}
