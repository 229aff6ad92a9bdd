use super::*;
use crate::fake::payment;

const GAS: BatchGas = BatchGas { each: 88_000, transaction_max: 16_777_216 };

fn all(count: usize) -> Vec<EvmPayment> {
    let payer = |at: usize| u8::try_from(at % 250).unwrap() + 1;
    (0..count).map(|at| payment(payer(at), 0xff, u64::MAX)).collect()
}

#[test]
fn multicall3_is_known_by_its_code() {
    let code = include_str!("../../tests/fixtures/multicall3.hex").trim();
    let code = alloy::primitives::hex::decode(code).unwrap();
    assert!(is_multicall3(&code));
    assert!(!is_multicall3(&code[1..]), "one byte less");
    assert!(!is_multicall3(&[]), "nothing at all");
}

#[test]
fn a_full_batch_fits_the_chains_gas_and_nodes_limits() {
    let most = GAS.items_max();
    assert!((100..=ITEMS_MAX).contains(&most), "{most}");
    let payments = all(most);
    let payments: Vec<&EvmPayment> = payments.iter().collect();
    let input = input(&payments);
    let batch = BatchCall::new(Address::ZERO, &payments, GAS).unwrap();
    assert_eq!(batch.input, input);
    assert!(batch.gas_limit <= GAS.transaction_max);
    assert!(bytes(&input) < 131_072);
    let rehearsed = rehearsal::call(Address::ZERO, &payments, &input, batch.gas_limit).unwrap();
    assert!(rehearsed.gas <= GAS.transaction_max, "{}", rehearsed.gas);
    assert!(rehearsed.gas <= rehearsal::gas_max(most, batch.gas_limit));
    assert!(BatchCall::new(Address::ZERO, &[payments[0]].repeat(most + 1), GAS).is_none());
    assert!(BatchCall::new(Address::ZERO, &[], GAS).is_none());
}

#[test]
fn each_item_has_what_it_needs_although_all_others_used_all_of_theirs() {
    let payments = all(32);
    let payments: Vec<&EvmPayment> = payments.iter().collect();
    let batch = BatchCall::new(Address::ZERO, &payments, GAS).unwrap();
    let mut left = batch.gas_limit - intrinsic_gas(&batch.input) - SHARED_GAS;
    for at in 0..32 {
        left -= ITEM_GAS;
        assert!(left - left / 64 >= GAS.each, "item {at} is passed {} of {left}", left - left / 64);
        left -= GAS.each;
    }
}

#[test]
fn a_batch_never_costs_more_gas_than_its_items_alone_may() {
    for count in [2_usize, 5, 32, 100] {
        let payments = all(count);
        let payments: Vec<&EvmPayment> = payments.iter().collect();
        let batch = BatchCall::new(Address::ZERO, &payments, GAS).unwrap();
        assert!(batch.gas_limit <= 150_000 * count as u64, "{count}: {}", batch.gas_limit);
        assert!(batch.gas_limit >= floor_gas(&batch.input));
    }
}

#[test]
fn a_chain_of_small_transactions_has_no_batches() {
    let small = |transaction_max| BatchGas { transaction_max, ..GAS }.items_max();
    assert_eq!(small(0), 0);
    assert_eq!(small(150_000), 0);
    assert!(small(1_000_000) >= 2);
    assert_eq!(small(u64::MAX), ITEMS_MAX);
    assert_eq!(BatchGas { each: u64::MAX, ..GAS }.items_max(), 0);
}

#[test]
fn what_a_contract_vouches_for_shares_with_nobody() {
    let plain = all(2);
    let mut contract = serde_json::to_value(&plain[1]).unwrap();
    contract["signature"] = serde_json::json!({"contract": "0x1234"});
    let contract: EvmPayment = serde_json::from_value(contract).unwrap();
    assert!(BatchCall::new(Address::ZERO, &[&plain[0], &plain[1]], GAS).is_some());
    assert!(BatchCall::new(Address::ZERO, &[&plain[0], &contract], GAS).is_none());
}
