use proptest::prelude::*;
use solana_sdk::message::{VersionedMessage, v1};
use solana_sdk::signature::Signer;

use super::*;
use crate::testing::{
    legacy_message, message, official, sign, transaction, v1_budget, v1_message, v1_transaction, wallet,
    with_creation,
};

/// The reader agrees with the SDK's own types field by field.
fn agrees(message: &VersionedMessage) {
    let raw = sign(message);
    let read = WireTransaction::decode(&raw).unwrap();
    assert_eq!(read.message, message.serialize());
    assert_eq!(read.keys, message.static_account_keys());
    assert_eq!(read.required_signatures, usize::from(message.header().num_required_signatures));
    for index in 0..u8::try_from(read.keys.len()).unwrap() {
        let theirs = message.is_maybe_writable_with_reserved_addresses(
            usize::from(index),
            None::<&std::collections::HashSet<Pubkey>>,
        );
        assert_eq!(read.is_writable(index), theirs, "{index}");
    }
    assert_eq!(read.instructions.len(), message.instructions().len());
    for (ours, theirs) in read.instructions.iter().zip(message.instructions()) {
        assert_eq!(ours.program, usize::from(theirs.program_id_index));
        assert_eq!(ours.accounts, theirs.accounts);
        assert_eq!(ours.data, theirs.data);
    }
}

#[test]
fn legacy_and_version_0_are_read_as_the_sdk_writes_them() {
    for instructions in [official(), with_creation()] {
        agrees(&message(&wallet().pubkey(), &instructions));
        agrees(&legacy_message(&wallet().pubkey(), &instructions));
    }
}

#[test]
fn every_truncation_is_a_typed_error() {
    let raw = transaction(&with_creation());
    for length in 0..raw.len() {
        assert!(WireTransaction::decode(&raw[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let mut raw = transaction(&official());
    raw.push(0);
    assert_eq!(WireTransaction::decode(&raw).err(), Some(MalformedTransaction::TrailingBytes));
    let message = legacy_message(&wallet().pubkey(), &official());
    let mut raw = sign(&message);
    raw.push(0);
    assert_eq!(WireTransaction::decode(&raw).err(), Some(MalformedTransaction::TrailingBytes));
}

/// Versions from 1 on put their version first and their signatures last: the author of one that
/// nobody knows must hear of the version, not of a length.
#[test]
fn a_version_that_nobody_knows_is_refused_as_a_version() {
    for length in [1, 300, 4_096, 5_000] {
        let mut raw = vec![1; length];
        raw[0] = 0x82;
        let refused = WireTransaction::decode(&raw).err();
        assert_eq!(refused, Some(MalformedTransaction::Version { version: 2 }), "{length} bytes");
        assert!(refused.unwrap().to_string().contains("version 2"));
    }
}

fn v1_budgets() -> impl Iterator<Item = v1::TransactionConfig> {
    (0..16).map(|bits| {
        let mut budget = v1::TransactionConfig::empty();
        budget.priority_fee = (bits & 1 != 0).then_some(7);
        budget.compute_unit_limit = (bits & 2 != 0).then_some(8);
        budget.loaded_accounts_data_size_limit = (bits & 4 != 0).then_some(9);
        budget.heap_size = (bits & 8 != 0).then_some(65_536);
        budget
    })
}

#[test]
fn version_1_is_read_as_the_sdk_writes_it() {
    for instructions in [official(), with_creation()] {
        for budget in v1_budgets() {
            let message = v1_message(&wallet().pubkey(), &instructions, budget);
            agrees(&message);
            let raw = sign(&message);
            let read = WireTransaction::decode(&raw).unwrap();
            let said = read.budget.unwrap();
            assert_eq!(said.priority_fee_lamports, budget.priority_fee);
            assert_eq!(said.unit_limit, budget.compute_unit_limit);
            assert_eq!(said.data_bytes, budget.loaded_accounts_data_size_limit);
            assert_eq!(said.heap_bytes, budget.heap_size);
            assert_eq!(raw[read.places().message()], *read.message);
            assert_eq!(raw[read.places().signature(1)], read.signatures[1]);
            assert_eq!(read.recent_blockhash, [7; 32]);
        }
    }
}

#[test]
fn version_1_in_part_with_more_or_with_unknown_bits_is_a_typed_error() {
    let raw = v1_transaction(&official(), v1_budget());
    for length in 1..raw.len() {
        assert!(WireTransaction::decode(&raw[..length]).is_err(), "{length} bytes");
    }
    let longer = [raw.clone(), vec![0]].concat();
    assert_eq!(WireTransaction::decode(&longer).err(), Some(MalformedTransaction::TrailingBytes));
    let long = [raw.clone(), vec![0; TRANSACTION_V1_BYTES_MAX]].concat();
    let refused = WireTransaction::decode(&long).err();
    assert_eq!(refused, Some(MalformedTransaction::TooLargeV1 { bytes: long.len() }));
    // The mask stands behind the version and three counts.
    for (at, bit) in [(4, 0x20), (4, 0x01), (4, 0x02), (5, 0x01), (7, 0x80)] {
        let mut unknown = raw.clone();
        unknown[at] ^= bit;
        let refused = WireTransaction::decode(&unknown).err();
        assert_eq!(refused, Some(MalformedTransaction::Budget), "byte {at} ^ {bit:#x}");
    }
    for (at, value) in [(1, 0), (2, 2), (3, 200)] {
        let mut header = raw.clone();
        header[at] = value;
        assert!(WireTransaction::decode(&header).is_err(), "byte {at} = {value}");
    }
    // Two counts of what may be 64 at most, behind the blockhash.
    for at in [40, 41] {
        let mut many = raw.clone();
        many[at] = 65;
        assert_eq!(WireTransaction::decode(&many).err(), Some(MalformedTransaction::Header), "{at}");
    }
}

#[test]
fn limits_and_versions() {
    let too_large = vec![0; TRANSACTION_BYTES_MAX + 1];
    assert!(matches!(
        WireTransaction::decode(&too_large),
        Err(MalformedTransaction::TooLarge { bytes: 1233 })
    ));
    let mut raw = transaction(&official());
    assert_eq!(raw[129], 0x80);
    for version in [0x81, 0x82, 0xff] {
        raw[129] = version;
        let refused = Some(MalformedTransaction::Version { version: version & 0x7f });
        assert_eq!(WireTransaction::decode(&raw).err(), refused);
    }
}

#[test]
fn lookups_doubled_keys_and_bad_headers_are_refused() {
    let raw = transaction(&official());
    // The last byte counts the lookups.
    let mut lookup = raw.clone();
    *lookup.last_mut().unwrap() = 1;
    lookup.extend_from_slice(&[5; 32]);
    lookup.extend_from_slice(&[1, 0, 0]);
    assert_eq!(WireTransaction::decode(&lookup).err(), Some(MalformedTransaction::LookupTable));

    // Version byte, three counts, key count: the keys begin at 134.
    let mut doubled = raw.clone();
    doubled.copy_within(134..166, 166);
    assert_eq!(WireTransaction::decode(&doubled).err(), Some(MalformedTransaction::DuplicateKey));

    for (at, value) in [(130, 1), (130, 3), (130, 0), (131, 2), (131, 200), (132, 200)] {
        let mut bad = raw.clone();
        bad[at] = value;
        assert_eq!(WireTransaction::decode(&bad).err(), Some(MalformedTransaction::Header), "{at} = {value}");
    }
}

#[test]
fn out_of_range_indexes_are_typed_errors() {
    let good = message(&wallet().pubkey(), &official());
    let keys = u8::try_from(good.static_account_keys().len()).unwrap();
    for bad_index in [keys, 0x7f, 0xff] {
        for position in 0..good.instructions().len() {
            let mut bad = good.clone();
            let VersionedMessage::V0(inner) = &mut bad else { unreachable!() };
            inner.instructions[position].program_id_index = bad_index;
            assert_eq!(
                WireTransaction::decode(&sign(&bad)).err(),
                Some(MalformedTransaction::IndexOutOfRange)
            );
        }
        let mut bad = good.clone();
        let VersionedMessage::V0(inner) = &mut bad else { unreachable!() };
        inner.instructions[2].accounts[1] = bad_index;
        assert_eq!(WireTransaction::decode(&sign(&bad)).err(), Some(MalformedTransaction::IndexOutOfRange));
    }
    // The fee payer as a program.
    let mut bad = good;
    let VersionedMessage::V0(inner) = &mut bad else { unreachable!() };
    inner.instructions[0].program_id_index = 0;
    assert_eq!(WireTransaction::decode(&sign(&bad)).err(), Some(MalformedTransaction::IndexOutOfRange));
}

#[test]
fn a_length_has_one_spelling() {
    let read = |bytes: &[u8]| Reader { rest: bytes }.length();
    for (bytes, expected) in [
        (&[0][..], Ok(0)),
        (&[0x7f], Ok(127)),
        (&[0x80, 0x01], Ok(128)),
        (&[0xff, 0xff, 0x03], Ok(0xffff)),
        (&[0x80, 0x00], Err(MalformedTransaction::Length)),
        (&[0x81, 0x80, 0x00], Err(MalformedTransaction::Length)),
        (&[0xff, 0xff, 0x04], Err(MalformedTransaction::Length)),
        (&[0xff, 0xff, 0x83], Err(MalformedTransaction::Length)),
        (&[0x80], Err(MalformedTransaction::Truncated)),
        (&[], Err(MalformedTransaction::Truncated)),
    ] {
        assert_eq!(read(bytes), expected, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        let _ = WireTransaction::decode(&bytes);
    }
}
