//! What one payment costs of a transaction that several share. Pure.
//!
//! Each settles alone today: the tariff asks for the share of one, which is the whole. What a batch
//! would be charged by is held to a real chain before any is made.

/// Gas that the payments of a batch pay together: the transaction itself,
/// Multicall3, and what only the first of them meets cold (the token's code, its
/// implementation's, the recipient's balance). Rounded up from what the test
/// `a_batch_costs_no_more_than_its_shares` measures.
const SHARED_GAS: u64 = 45_000;

/// Gas that a payment saves beside others; rounded down from the same measurement.
const SAVED_GAS: u64 = 33_000;

/// Gas of one payment in a transaction of `payments`, given what a settlement of
/// a single one uses. Times `payments` it is the whole transaction's gas.
pub fn gas_per_payment(gas_alone: u64, payments: u32) -> u64 {
    match payments {
        0 | 1 => gas_alone,
        many => {
            let own = gas_alone.saturating_sub(SAVED_GAS);
            own.saturating_add(SHARED_GAS.div_ceil(u64::from(many)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_paid_once() {
        assert_eq!(gas_per_payment(88_000, 1), 88_000);
        assert_eq!(gas_per_payment(88_000, 0), 88_000, "nobody is charged less than alone by mistake");
        assert_eq!(gas_per_payment(88_000, 2), 77_500);
        assert_eq!(gas_per_payment(88_000, 45), 56_000);
        assert!((1..1_000).all(|n| gas_per_payment(88_000, n + 1) <= gas_per_payment(88_000, n)));
        assert_eq!(gas_per_payment(0, 2), 22_500);
        assert_eq!(gas_per_payment(u64::MAX, u32::MAX), u64::MAX - SAVED_GAS + 1);
    }
}
