//! What one payment costs of a transaction that several share. Pure.

/// Gas that a transaction pays once, whatever it carries.
const TRANSACTION_GAS: u64 = 21_000;

/// Gas that Multicall3's loop adds to each payment at most: decoding the call,
/// copying it and calling, without what warm storage saves from the second
/// payment on. Measured by the test `a_batch_costs_no_more_than_its_shares`.
const BATCH_ITEM_GAS: u64 = 7_000;

/// Gas of one payment in a transaction of `payments`, given what a settlement of
/// a single one uses. Times `payments` it is the whole transaction's gas.
pub fn gas_per_payment(gas_alone: u64, payments: u32) -> u64 {
    match payments {
        0 | 1 => gas_alone,
        many => {
            let own = gas_alone.saturating_sub(TRANSACTION_GAS).saturating_add(BATCH_ITEM_GAS);
            own.saturating_add(TRANSACTION_GAS.div_ceil(u64::from(many)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_paid_once() {
        assert_eq!(gas_per_payment(88_000, 1), 88_000);
        assert_eq!(gas_per_payment(88_000, 0), 88_000, "nobody is charged less than alone by mistake");
        assert_eq!(gas_per_payment(88_000, 2), 84_500);
        assert_eq!(gas_per_payment(88_000, 21), 75_000);
        assert!((2..1_000).all(|n| gas_per_payment(88_000, n + 1) <= gas_per_payment(88_000, n)));
        assert_eq!(gas_per_payment(0, 2), 17_500);
        assert_eq!(gas_per_payment(u64::MAX, u32::MAX), u64::MAX - TRANSACTION_GAS + BATCH_ITEM_GAS + 1);
    }
}
