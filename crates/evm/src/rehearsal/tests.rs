use super::*;
use crate::fake::payment;

/// The batch as alloy writes it.
fn input_of(payments: &[&EvmPayment]) -> Vec<u8> {
    let call = |payment: &&EvmPayment| IMulticall3::Call3 {
        target: payment.token,
        allowFailure: true,
        callData: payment.transfer_call().into(),
    };
    IMulticall3::aggregate3Call { calls: payments.iter().map(call).collect() }.abi_encode()
}

/// Every byte of a batch's input is in the template or in a record, where the code's copies put it.
#[test]
fn what_the_code_puts_together_is_the_batch() {
    let payments = [payment(1, 2, 1_900_000_000), payment(3, 4, 1_900_000_001), payment(5, 6, 7)];
    let payments: Vec<&EvmPayment> = payments.iter().collect();
    let memory = Memory::of(payments.len()).unwrap();
    let mut built = vec![0_u8; memory.said as usize - 32];
    let mut put = |at: usize, bytes: &[u8]| built[at..at + bytes.len()].copy_from_slice(bytes);
    put(28, &IMulticall3::aggregate3Call::SELECTOR);
    put(63, &[32]);
    put(95, &[3]);
    for (at, payment) in payments.iter().enumerate() {
        let call = memory.calls as usize + usize::from(CALL_BYTES) * at;
        let offset = u32::try_from(call - usize::from(OFFSETS)).unwrap();
        put(usize::from(OFFSETS) + 32 * at + 28, &offset.to_be_bytes());
        put(call, &template());
        let record = record(payment).unwrap();
        assert_eq!(record.len(), usize::from(RECORD_BYTES));
        for (from, bytes, to) in PARTS {
            put(call + usize::from(to), &record[usize::from(from)..usize::from(from + bytes)]);
        }
    }
    assert_eq!(built[INPUT as usize..], input_of(&payments));
    assert_eq!(memory.input_bytes().unwrap() as usize, input_of(&payments).len());
}

#[test]
fn the_instructions_are_as_long_as_is_reckoned_with() {
    let one = payment(1, 2, 3);
    for count in [1_usize, 2, 200] {
        let payments = vec![&one; count];
        let input = input_of(&payments);
        let made = call(Address::ZERO, &payments, &input, 16_000_000).unwrap();
        let records = count * usize::from(RECORD_BYTES) + usize::from(TEMPLATE_BYTES);
        assert!(made.code.len() - records < 600);
        assert!(made.gas <= gas_max(count, 16_000_000));
    }
    let many = vec![&one; 250];
    assert!(call(Address::ZERO, &many, &input_of(&many), 16_000_000).is_none(), "EIP-3860");
    assert!(call(Address::ZERO, &[&one], &input_of(&[&one]), 20_000).is_none(), "no gas for it");
}

#[test]
fn an_answer_is_read_whole_or_not_at_all() {
    let answer = |ended: u8, said: &[u8]| [&[0; 31][..], &[ended], said].concat();
    assert_eq!(read(&answer(RAN, &[1, 0]), 2), Some(Seen::Ran(vec![true, false])));
    let accounts = vec![Account::PayerHasCode, Account::Plain, Account::TokenHasNone, Account::TokenHasNone];
    assert_eq!(read(&answer(HAS_CODE, &[1, 0, 2, 3]), 4), Some(Seen::Code(accounts)));
    assert_eq!(read(&answer(FAILED, &[0]), 1), Some(Seen::Failed));
    assert_eq!(read(&answer(TOO_LITTLE_GAS, &[0]), 1), Some(Seen::Failed));
    for (bad, items) in [
        (answer(RAN, &[2]), 1),
        (answer(RAN, &[1]), 2),
        (answer(RAN, &[1, 1]), 1),
        (answer(HAS_CODE, &[4]), 1),
        (answer(4, &[1]), 1),
        (vec![0; 31], 1),
        (vec![1; 33], 1),
        (vec![], 0),
    ] {
        assert_eq!(read(&bad, items), None, "{bad:?}");
    }
}
