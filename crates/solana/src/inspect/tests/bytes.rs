//! Signatures, and every byte changed.

use super::*;

#[test]
fn forged_and_missing_signatures_are_refused() {
    let good = transaction(&official());
    let mut forged = good.clone();
    forged[70] ^= 1;
    let mut empty = good.clone();
    empty[65..129].fill(0);
    // Another message under the same signature.
    let mut other = transaction(&changed(|i| i[3] = layout::memo("another")));
    other[65..129].copy_from_slice(&good[65..129]);
    for raw in [forged, empty, other] {
        assert_eq!(rules().check(&payload(&raw)).err(), Some(SolanaError::SignatureInvalid));
    }
}

/// Invariant I1: slot 0 is malleable and takes no part.
#[test]
fn i1_garbage_in_slot_0_is_the_same_payment() {
    let raw = transaction(&official());
    let mut garbage = raw.clone();
    garbage[1..65].fill(0xab);
    let [clean, dirty] = [&raw, &garbage].map(|raw| rules().check(&payload(raw)).unwrap());
    assert_eq!(clean.key(), dirty.key());
    assert_eq!(clean, dirty);
    assert_eq!(clean.key(), PaymentKey::solana(Network::SOLANA, &raw[129..]));
    let another = check(&changed(|i| i[3] = layout::memo("another"))).unwrap();
    assert_ne!(clean.key(), another.key());
    assert_ne!(clean.signature_digest(), another.signature_digest());
    assert_ne!(clean.message_hash(), another.message_hash());
}

/// Every single byte changed: nothing panics, and what passes without the
/// payer's signature covering it is slot 0 alone.
#[test]
fn every_changed_byte_outside_slot_0_is_refused() {
    let rules = rules();
    let raw = transaction(&with_creation());
    for at in 0..raw.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = raw.clone();
            changed[at] ^= flip;
            let accepted = rules.inspect(changed, Amount::new(AMOUNT)).is_ok();
            assert_eq!(accepted, (1..65).contains(&at), "byte {at} ^ {flip:#x}");
        }
    }
}

/// As above, but signed again by the payer after the change, so that the
/// whitelist itself is what refuses or accepts. Whatever passes still has the
/// one transfer to us and our key in no other place.
#[test]
fn every_changed_and_resigned_byte_is_harmless_or_refused() {
    let rules = rules();
    let VersionedMessage::V0(inner) = message(&wallet().pubkey(), &with_creation()) else { unreachable!() };
    let bytes = VersionedMessage::V0(inner).serialize();
    let signers = [wallet().pubkey(), payer().pubkey()];
    let mut passed = 0;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let raw = sign_bytes(&changed, &signers);
            let Ok(payment) = rules.inspect(raw, Amount::new(AMOUNT)) else { continue };
            passed += 1;
            let read = WireTransaction::decode(payment.raw()).unwrap();
            assert_eq!(read.keys[0], wallet().pubkey());
            for (position, instruction) in read.instructions.iter().enumerate() {
                let ours = instruction.accounts.contains(&FEE_PAYER);
                let creates = payment.inspected().creation_instruction == Some(position);
                assert!(!ours || creates, "byte {at} ^ {flip:#x}");
            }
        }
    }
    assert!(passed > 0, "blockhash and memo may change");
}

#[test]
fn the_payers_signature_does_not_count_in_our_slot() {
    let mut raw = transaction(&official());
    raw.drain(1..65);
    raw[0] = 1;
    assert_eq!(rules().check(&payload(&raw)), Err(MalformedTransaction::Header.into()));
}
