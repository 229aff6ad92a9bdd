use alloy::primitives::hex;

use super::*;
use crate::fake;

/// With as much as most tokens use.
fn gas(limit: u64) -> SettleGas {
    SettleGas { limit, expected: 88_000 }
}

const WORD_ONE: [u8; 32] = {
    let mut word = [0; 32];
    word[31] = 1;
    word
};

fn word_of(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

fn answer(records: &[Vec<u8>]) -> Vec<u8> {
    let mut answer = [word_of(7), word_of(1_800_000_000)].concat();
    for record in records {
        answer.extend(word_of(record.len() as u64));
        answer.extend(record);
    }
    answer
}

fn tried(success: u64, used: u64, held: u64, said: &[u8]) -> Vec<u8> {
    [&word_of(0)[..], &word_of(success), &word_of(used), &word_of(held), said].concat()
}

#[test]
fn an_answer_is_read_whole_or_not_at_all() {
    let records = [tried(1, 1, 900, b""), Vec::new(), word_of(23).to_vec(), tried(0, 0, 99, b"words")];
    let whole = answer(&records);
    let seen = read(&whole, 4).unwrap();
    assert_eq!((seen.block, seen.block_time), (7, 1_800_000_000));
    let [good, unknown, code, failed] = seen.records.as_slice() else { panic!("{:?}", seen.records) };
    let held = |held: u64| U256::from(held);
    assert_eq!(*good, Record::Tried { success: true, used: U256::ONE, held: held(900), said: b"" });
    assert_eq!((unknown, code), (&Record::Unknown, &Record::HasCode));
    assert_eq!(*failed, Record::Tried { success: false, used: U256::ZERO, held: held(99), said: b"words" });
    assert!(read(&whole, 3).is_none(), "more than was asked for");
    assert!(read(&whole, 5).is_none(), "less");
    for length in 0..whole.len() {
        assert!(read(&whole[..length], 4).is_none(), "cut at {length}");
    }
}

/// Whatever else runs the code: nothing that is no record passes for one.
#[test]
fn what_is_no_record_is_none() {
    for record in [
        word_of(0).to_vec(),
        [WORD_ONE, WORD_ONE].concat(),
        tried(2, 1, 1, b""),
        tried(1, 1, 1, &[0; 133]),
        [&WORD_ONE[..], &tried(1, 1, 1, b"")[32..]].concat(),
    ] {
        assert!(read(&answer(std::slice::from_ref(&record)), 1).is_none(), "{}", hex::encode(&record));
    }
    let mut endless = answer(&[]);
    endless.extend([0xff; 32]);
    assert!(read(&endless, 1).is_none());
}

#[test]
fn the_inputs_stand_behind_the_frame_and_that_behind_the_instructions() {
    let payments: Vec<EvmPayment> = (1..=3).map(|n| fake::payment(n, n, 1_800_000_900)).collect();
    let call = call(payments.iter(), gas(150_000)).unwrap();
    let frame = Frame { token: fake::TOKEN, given: given(150_000) };
    let inputs: Vec<u8> = payments.iter().flat_map(EvmPayment::transfer_call).collect();
    assert_eq!(inputs.len(), 3 * usize::from(TRANSFER_BYTES));
    assert!(call.code.ends_with(&[frame.code(), inputs].concat()));
    // The frame jumps to where it says that it does.
    let (code, places) = frame.with(Places::default());
    assert_eq!(usize::from(places.input), code.len());
    for place in [places.has_code, places.unknown] {
        assert_eq!(frame.code()[usize::from(place)], op::JUMPDEST);
    }
}

#[test]
fn what_is_of_another_token_or_a_contracts_is_in_no_call() {
    let one = fake::payment(1, 1, 1_800_000_900);
    let mut other = fake::payment(2, 2, 1_800_000_900);
    assert!(call([&one, &other].into_iter(), gas(150_000)).is_some());
    other.token = fake::PAY_TO;
    assert!(call([&one, &other].into_iter(), gas(150_000)).is_none());
    let signed = crate::signature::PayerSignature::Contract(vec![1; 65].into());
    let contract = EvmPayment { signature: signed, ..fake::payment(3, 3, 1_800_000_900) };
    assert!(call([&one, &contract].into_iter(), gas(150_000)).is_none());
    assert!(call([].into_iter(), gas(150_000)).is_none());
}

/// A token that uses more than most needs more for each: the last one must not find too little.
#[test]
fn a_dear_token_has_fewer_in_a_call() {
    let dear = SettleGas { limit: 400_000, expected: 300_000 };
    assert_eq!(dear.each(), 410_000);
    assert_eq!(SettleGas { expected: 80_000, ..dear }.each(), 190_000);
    let most = dear.transfers_max(16_000_000);
    assert_eq!(most, 37);
    // Each of them may use what a settlement does, and the last one is still given its limit.
    let used = (most as u64 - 1) * (dear.expected + u64::from(READ_GAS));
    assert!(dear.call(most) - CALL_GAS - used >= given(dear.limit));
}

#[test]
fn as_many_as_the_gas_and_the_answer_have_room_for() {
    assert_eq!(gas(150_000).transfers_max(16_000_000), 79);
    assert_eq!(gas(150_000).transfers_max(500_000_000), TRANSFERS_MAX);
    assert_eq!(gas(150_000).transfers_max(600_000), 1);
    assert_eq!(gas(150_000).transfers_max(0), 0);
    assert_eq!(gas(16_777_216).transfers_max(16_000_000), 0, "one would take it all");
    for settle_gas_limit in [0, 60_000, 150_000, 1_000_000] {
        for gas_max in [1_000_000, 7_654_321, 16_000_000] {
            let most = gas(settle_gas_limit).transfers_max(gas_max);
            assert!(most == 0 || gas(settle_gas_limit).call(most) <= gas_max);
        }
    }
    // The answer is stored like code (EIP-170), and what makes it is bounded too (EIP-3860).
    let all: Vec<EvmPayment> = (0..TRANSFERS_MAX).map(|_| fake::payment(1, 1, 1_800_000_900)).collect();
    assert!(call(all.iter(), gas(150_000)).unwrap().code.len() <= 49_152);
    let record = tried(0, 0, 0, &[0; WORDS_BYTES_MAX as usize]);
    assert!(answer(&vec![record; TRANSFERS_MAX]).len() <= 24_576);
}

/// A transfer never has more gas here than in a settlement, whatever its bytes are.
#[test]
fn nothing_is_given_that_a_settlement_does_not_have() {
    let dearest = 21_000 + 16 * fake::payment(1, 1, 1).transfer_call().len() as u64;
    assert!(given(150_000) <= 150_000 - dearest);
    assert_eq!(given(10), 0);
}
