//! Code that is run without being deployed: it calls a contract and then looks
//! whether an address has code, in one `eth_call` at one block.
//!
//! Its answer: a word with the size of the address's code, a word that is 1 if the
//! call succeeded, and what the call returned.

use alloy::primitives::{Address, U256};

use crate::op;

const WORD: usize = 32;

/// What a creation pays on top of a call (EIP-2), and for a byte of what it returns.
const CREATION_GAS: u64 = 32_000;
const RETURNED_BYTE_GAS: u64 = 200;
/// Longest answer that is paid for: five results and a revert's words.
const RETURNED_BYTES_MAX: u64 = 8_192;
/// For a word of code that is not deployed (EIP-3860), and of memory, rounded up.
const CODE_WORD_GAS: u64 = 8;
/// For the instructions around the call.
const OVERHEAD_GAS: u64 = 20_000;

/// The code: calls `target` with `input` and exactly `gas`, then looks at `address`.
///
/// The address is looked at last, so that the call meets it as cold as a
/// transaction does.
pub(crate) fn code(address: Address, target: Address, gas: u64, input: &[u8]) -> Vec<u8> {
    let length = u32::try_from(input.len()).unwrap_or(u32::MAX).to_be_bytes();
    // The input stands behind the instructions, whose number does not depend on it.
    let behind = instructions(address, target, gas, length, [0; 4]).len();
    let offset = u32::try_from(behind).unwrap_or(u32::MAX).to_be_bytes();
    let mut code = instructions(address, target, gas, length, offset);
    code.extend_from_slice(input);
    code
}

fn instructions(address: Address, target: Address, gas: u64, length: [u8; 4], offset: [u8; 4]) -> Vec<u8> {
    let mut code = Vec::with_capacity(160);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| code.extend_from_slice(part));
    // memory[64..] = input
    put(&[&[op::PUSH4], &length, &[op::PUSH4], &offset, &[op::PUSH1, 64, op::CODECOPY]]);
    // memory[32..64] = call(gas, target, 0, 64, length, 0, 0)
    put(&[&[op::PUSH1, 0, op::PUSH1, 0, op::PUSH4], &length, &[op::PUSH1, 64, op::PUSH1, 0]]);
    put(&[&[op::PUSH20], target.as_slice(), &[op::PUSH8], &gas.to_be_bytes(), &[op::CALL]]);
    put(&[&[op::PUSH1, 32, op::MSTORE]]);
    // memory[64..] = what it returned
    put(&[&[op::RETURNDATASIZE, op::PUSH1, 0, op::PUSH1, 64, op::RETURNDATACOPY]]);
    // memory[0..32] = size of the address's code
    put(&[&[op::PUSH20], address.as_slice(), &[op::EXTCODESIZE, op::PUSH1, 0, op::MSTORE]]);
    // return memory[0..64 + returned]
    put(&[&[op::RETURNDATASIZE, op::PUSH1, 64, op::ADD, op::PUSH1, 0, op::RETURN]]);
    code
}

/// Gas that `code` of this length needs beyond a call's intrinsic gas, so that
/// `given` is what the inner call gets.
pub(crate) fn gas(code_bytes: usize, given: u64) -> u64 {
    let words = u64::try_from(code_bytes.div_ceil(WORD)).unwrap_or(u64::MAX);
    // A call keeps a sixty-fourth back.
    given
        .saturating_add(given / 63)
        .saturating_add(CREATION_GAS)
        .saturating_add(words.saturating_mul(CODE_WORD_GAS))
        .saturating_add(RETURNED_BYTES_MAX.saturating_mul(RETURNED_BYTE_GAS))
        .saturating_add(OVERHEAD_GAS)
}

/// What the code found.
pub(crate) struct Seen<'a> {
    /// Whether the address has code: a contract, or an EIP-7702 delegation.
    pub(crate) has_code: bool,
    /// Whether the call succeeded.
    pub(crate) success: bool,
    /// What it returned.
    pub(crate) returned: &'a [u8],
}

/// Reads its answer.
pub(crate) fn read(answer: &[u8]) -> Option<Seen<'_>> {
    let (size, rest) = answer.split_at_checked(WORD)?;
    let (success, returned) = rest.split_at_checked(WORD)?;
    let number = |word: &[u8]| U256::try_from_be_slice(word);
    Some(Seen { has_code: !number(size)?.is_zero(), success: number(success)? == U256::from(1), returned })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_stands_behind_the_instructions() {
        let input = [7_u8; 100];
        let made = code(Address::repeat_byte(1), Address::repeat_byte(2), 150_000, &input);
        let begins = made.len() - input.len();
        assert_eq!(&made[begins..], &input);
        assert_eq!(made[6..10], u32::try_from(begins).unwrap().to_be_bytes());
        assert_eq!(made[1..5], 100_u32.to_be_bytes());
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let mut answer = vec![0; 70];
        answer[31] = 23;
        answer[63] = 1;
        let seen = read(&answer).unwrap();
        assert!(seen.has_code && seen.success);
        assert_eq!(seen.returned.len(), 6);
        assert!(!read(&[0; 64]).unwrap().has_code);
        assert!(read(&answer[..63]).is_none());
    }
}
