//! Version 1, whose budget stands in the header.

use solana_sdk::message::v1::TransactionConfig;

use super::*;

fn rules_v1() -> Rules {
    Rules { transaction_v1: true, ..rules() }
}

/// [`official`] as version 1 says it.
fn plain() -> Vec<Instruction> {
    official()[2..].to_vec()
}

fn inspect(instructions: &[Instruction], budget: TransactionConfig) -> Result<SolanaPayment, SolanaError> {
    rules_v1().check(&payload(&v1_transaction(instructions, budget)))
}

#[test]
fn version_1_is_accepted_where_the_network_takes_it() {
    let payment = inspect(&plain(), v1_budget()).unwrap();
    assert_eq!(payment.payer(), payer().pubkey().to_string());
    assert_eq!(payment.amount(), Amount::new(AMOUNT));
    assert_eq!(payment.priority_fee_lamports(), 1_000);
    assert_eq!(payment.memo().as_deref(), Some("00112233445566778899aabbccddeeff"));
    let raw = v1_transaction(&plain(), v1_budget());
    let message = &raw[..raw.len() - 128];
    assert_eq!(payment.key(), PaymentKey::solana(Network::SOLANA, message));
    let stored = serde_json::to_value(&payment).unwrap();
    assert_eq!(serde_json::from_value::<SolanaPayment>(stored).unwrap(), payment);
    let known = crate::identity::identify(&Network::SOLANA.parse().unwrap(), &payload(&raw)).unwrap();
    assert!(known.is_signed);
    assert_eq!(known.key, payment.key());

    let creation = layout::create_token_account(&wallet().pubkey(), &wallet().pubkey(), &mint());
    assert!(inspect(&[vec![creation], plain()].concat(), v1_budget()).unwrap().creates_token_account());
}

#[test]
fn a_version_1_transaction_that_is_too_long_is_told_how_long_it_may_be() {
    let whole = v1_transaction(&plain(), v1_budget());
    for more in [4_000, 9_000] {
        let refused = rules_v1().check(&payload(&[whole.clone(), vec![0; more]].concat())).unwrap_err();
        assert!(refused.to_string().contains("version 1 has at most 4096"), "{refused}");
    }
}

#[test]
fn where_the_network_does_not_take_it_version_1_is_refused_as_a_version() {
    let whole = v1_transaction(&plain(), v1_budget());
    for raw in [whole.clone(), whole[..40].to_vec(), vec![0x81], [whole, vec![0; 9_000]].concat()] {
        let refused = rules().check(&payload(&raw)).unwrap_err();
        assert_eq!(refused, MalformedTransaction::Version { version: 1 }.into(), "{} bytes", raw.len());
        assert!(refused.to_string().contains("version 1"));
    }
}

#[test]
fn the_budget_in_the_header_has_the_limits_of_one_in_instructions() {
    let limit = C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstruction;
    let limit_high = C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstructionTooHigh;
    let price_high = C::InvalidExactSvmPayloadTransactionInstructionsComputePriceInstructionTooHigh;
    let budget = v1_budget();
    let without = |change: fn(&mut TransactionConfig)| {
        let mut budget = v1_budget();
        change(&mut budget);
        budget
    };
    for (name, instructions, budget, expected) in [
        ("a limit in an instruction", official(), budget, limit),
        ("a heap", plain(), budget.with_heap_size(64 * 1024), limit),
        ("no limit", plain(), without(|budget| budget.compute_unit_limit = None), limit),
        ("no units", plain(), budget.with_compute_unit_limit(0), limit),
        ("no data", plain(), without(|budget| budget.loaded_accounts_data_size_limit = None), limit),
        ("a limit above the cap", plain(), budget.with_compute_unit_limit(200_001), limit_high),
        ("a fee above the cap", plain(), budget.with_priority_fee(10_001), price_high),
        ("a price above the cap", plain(), budget.with_compute_unit_limit(100), price_high),
        ("a fee beyond all", plain(), budget.with_priority_fee(u64::MAX), price_high),
    ] {
        let refused = inspect(&instructions, budget).expect_err(name);
        assert_eq!(refused.wire_code(), expected, "{name}: {refused}");
    }
    for (fee, units) in [(0, 1), (10_000, 200_000), (1, 1_000), (1_000, 200)] {
        let budget = budget.with_priority_fee(fee).with_compute_unit_limit(units);
        assert_eq!(inspect(&plain(), budget).unwrap().priority_fee_lamports(), fee, "{fee} of {units}");
    }
    let unsaid = without(|budget| budget.priority_fee = None);
    assert_eq!(inspect(&plain(), unsaid).unwrap().priority_fee_lamports(), 0);
}

/// Invariant I1, at the other end of the bytes.
#[test]
fn i1_garbage_in_our_slot_of_version_1_is_the_same_payment() {
    let raw = v1_transaction(&plain(), v1_budget());
    let mut garbage = raw.clone();
    let at = garbage.len() - 128;
    garbage[at..at + 64].fill(0xab);
    let [clean, dirty] = [&raw, &garbage].map(|raw| rules_v1().check(&payload(raw)).unwrap());
    assert_eq!(clean, dirty);
    assert_eq!(clean.key(), dirty.key());
}

#[test]
fn every_changed_byte_of_version_1_outside_our_slot_is_refused() {
    let raw = v1_transaction(&plain(), v1_budget());
    let ours = raw.len() - 128..raw.len() - 64;
    for at in 0..raw.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = raw.clone();
            changed[at] ^= flip;
            let accepted = rules_v1().inspect(changed, Amount::new(AMOUNT)).is_ok();
            assert_eq!(accepted, ours.contains(&at), "byte {at} ^ {flip:#x}");
        }
    }
}

/// What was claimed while it was taken is signed, whatever is taken by then.
#[test]
fn a_claim_of_version_1_is_signed_after_it_was_switched_off() {
    let payment = inspect(&plain(), v1_budget()).unwrap();
    let claimed = rules().of_claim(&payment, 6);
    claimed.inspect(payment.raw().to_vec(), payment.amount()).unwrap();
    let signed = payment.with_signature(&[9; 64]);
    let read = WireTransaction::decode(&signed).unwrap();
    assert_eq!((read.signatures[0], read.message), ([9; 64], payment.message()));
}
