//! What creating token accounts may cost within a UTC day (P3): the values, and the one place that
//! decides. Databases and model only sum up.

use quittance_protocol::Network;

use crate::exposure::{AccountRent, DAY_MS, NoRoom};

/// Pause between two transactions that create an account of our own: the first one's fate shows
/// within a minute.
pub const OWN_PAUSE_MS: i64 = 60_000;

/// Our own token account, which is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAccount {
    /// Where.
    pub network: Network,
    /// Its address.
    pub account: String,
    /// Rent and fee.
    pub rent: AccountRent,
}

/// What was charged on the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RentSums {
    pub(crate) all: u64,
    /// By this payer; none where the account is our own.
    pub(crate) payer: Option<u64>,
}

pub(crate) fn day_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// Whether one more account may be paid for.
pub(crate) fn admit(sums: RentSums, rent: &AccountRent) -> Result<(), NoRoom> {
    if sums.all.saturating_add(rent.native) > rent.limits.day {
        return Err(NoRoom::AccountsSpent);
    }
    match sums.payer {
        Some(payer) if payer.saturating_add(rent.native) > rent.limits.payer_day => {
            Err(NoRoom::PayerAccounts)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::AccountLimits;

    #[test]
    fn p3_rents_stay_within_the_day_of_all_and_of_a_payer() {
        let rent = |native| AccountRent { native, limits: AccountLimits { day: 10, payer_day: 6 } };
        let at = |all, payer| RentSums { all, payer };
        assert_eq!(admit(at(4, Some(0)), &rent(6)), Ok(()));
        assert_eq!(admit(at(5, Some(0)), &rent(6)), Err(NoRoom::AccountsSpent));
        assert_eq!(admit(at(1, Some(1)), &rent(6)), Err(NoRoom::PayerAccounts));
        assert_eq!(admit(at(1, None), &rent(9)), Ok(()), "our own");
        assert_eq!(admit(at(1, Some(1)), &rent(u64::MAX)), Err(NoRoom::AccountsSpent), "no sum wraps round");
        assert_eq!((day_of(-1), day_of(0), day_of(DAY_MS - 1), day_of(DAY_MS)), (-1, 0, 0, 1));
    }
}
