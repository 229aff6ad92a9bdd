//! Code that is run without being deployed: it looks whether the payers of a batch have code and, if none
//! has, runs the very batch with the gas that its transaction would leave it, in one `eth_call` at one
//! block.
//!
//! Where a payer has code nothing is run, so none of a stranger's ever runs beside other payments. The
//! batch itself stands in the code as records, from which its input is put together: as it is it would be
//! longer than such code may be (EIP-3860).
//!
//! The answer: a word that says how it ended, and a byte for each item. Where a payer has code, or a token
//! has none, the byte says which; where the batch ran, whether the item succeeded.

use alloy::primitives::Address;
use alloy::sol_types::SolCall;

use crate::abi::{IMulticall3, IToken};
use crate::assembler::Code;
use crate::op;
use crate::payment::EvmPayment;
use crate::signature::PayerSignature;
use crate::simulate::intrinsic_gas;

const WORD: usize = 32;
/// Longest code of a creation (EIP-3860).
const CODE_BYTES_MAX: usize = 49_152;
/// Of the instructions and the template, rounded up.
const INSTRUCTIONS_BYTES_MAX: u64 = 700;

/// A record: token, payer, recipient; value, window; nonce and signature as the token takes them.
const RECORD_BYTES: u16 = 3 * 20 + 3 * 8 + 4 * 32;
/// `Call3` of a transfer, padded.
const CALL_BYTES: u16 = 96 + 32 + 320;
/// `transferWithAuthorization` with `(v, r, s)`.
const TRANSFER_BYTES: u8 = 4;
const TRANSFER_WORDS: u16 = 9;
/// What a `Call3` begins with up to the transfer's arguments: target (left open), `allowFailure`, where
/// its data begin, their length and the selector.
const TEMPLATE_BYTES: u8 = 4 * 32 + TRANSFER_BYTES;
/// Where a record's parts stand, their length, and where they go in a `Call3`.
const PARTS: [(u8, u8, u16); 7] = [
    (0, 20, 12),
    (20, 20, 132 + 12),
    (40, 20, 164 + 12),
    (60, 8, 196 + 24),
    (68, 8, 228 + 24),
    (76, 8, 260 + 24),
    (84, 128, 292),
];

/// Where in memory the batch's input begins: its selector ends with the first word.
const INPUT: u32 = 28;
/// The number of calls, and where their offsets begin.
const COUNT: u8 = 0x40;
const OFFSETS: u8 = 0x60;

const HAS_CODE: u8 = 0;
const RAN: u8 = 1;
const FAILED: u8 = 2;
const TOO_LITTLE_GAS: u8 = 3;

/// What a byte says where nothing was run.
const PAYER_HAS_CODE: u8 = 1;
const TOKEN_HAS_NONE: u8 = 2;

/// What a creation pays on top of a call (EIP-2), for a word of its code (EIP-3860), and for a byte of
/// what it returns.
const CREATION_GAS: u64 = 32_000;
const CODE_WORD_GAS: u64 = 2;
const RETURNED_BYTE_GAS: u64 = 200;
/// For the instructions around the batch, and for those of one item with the look at its payer and token.
const OVERHEAD_GAS: u64 = 20_000;
const ITEM_GAS: u64 = 6_500;
/// Of a record, if no byte of it is zero (EIP-2028).
const RECORD_GAS: u64 = 16 * RECORD_BYTES as u64;
/// An account has been looked at by the time the batch does so (EIP-2929).
const LOOKED_AT_GAS: u64 = 2_500;
/// A result that says nothing, and one with a failure's words.
const RESULT_BYTES: u64 = 288;

/// Where what is in memory, for so many items.
#[derive(Clone, Copy)]
struct Memory {
    items: u16,
    calls: u32,
    /// A byte for each item, behind the word that says how it ended.
    said: u32,
    results: u32,
}

impl Memory {
    fn of(items: usize) -> Option<Self> {
        let items = u16::try_from(items).ok()?;
        let count = u32::from(items);
        let calls = u32::from(OFFSETS).checked_add(count.checked_mul(32)?)?;
        let end = calls.checked_add(count.checked_mul(u32::from(CALL_BYTES))?)?;
        let said = end.checked_add(32)?;
        let results = said.checked_add(count.next_multiple_of(32))?;
        Some(Self { items, calls, said, results })
    }

    fn input_bytes(self) -> Option<u32> {
        self.said.checked_sub(32)?.checked_sub(INPUT)
    }
}

/// Where in the code it goes on.
#[derive(Clone, Copy, Default)]
struct Places {
    build: u16,
    read: u16,
    failed: u16,
    too_little: u16,
    has_code: u16,
    end: u16,
    /// Behind the instructions.
    template: u16,
}

/// One call.
pub(crate) struct Call {
    /// The code.
    pub(crate) code: Vec<u8>,
    /// Its gas limit.
    pub(crate) gas: u64,
}

/// The rehearsal of these payments, all with a key's signature, with `gas_limit` for a transaction whose
/// input is `input`; `None` where they are others, or too many.
pub(crate) fn call(
    multicall: Address,
    payments: &[&EvmPayment],
    input: &[u8],
    gas_limit: u64,
) -> Option<Call> {
    let memory = Memory::of(payments.len())?;
    // What was looked at before is cheaper by then: each payer, and at most as many tokens.
    let looked_at = u64::from(memory.items).checked_mul(2)?.checked_mul(LOOKED_AT_GAS)?;
    let given = gas_limit.checked_sub(intrinsic_gas(input))?.checked_sub(looked_at)?;
    let batch = Batch { multicall, memory, given };
    // No place depends on what the places are.
    let (_, places) = batch.instructions(Places::default())?;
    let (mut code, _) = batch.instructions(places)?;
    code.extend_from_slice(&template());
    for payment in payments {
        code.extend_from_slice(&record(payment)?);
    }
    let gas = gas(payments.len(), intrinsic_gas(&code), given);
    (code.len() <= CODE_BYTES_MAX).then_some(Call { code, gas })
}

/// At most the gas of the rehearsal of so many items whose transaction has this limit.
pub(crate) fn gas_max(items: usize, gas_limit: u64) -> u64 {
    let records = u64::try_from(items).unwrap_or(u64::MAX).saturating_mul(RECORD_GAS);
    let instructions = 16 * INSTRUCTIONS_BYTES_MAX;
    let intrinsic = records.saturating_add(instructions).saturating_add(21_000);
    gas(items, intrinsic, gas_limit)
}

/// Gas of the call, so that the batch gets `given`.
fn gas(items: usize, intrinsic: u64, given: u64) -> u64 {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    let code_words = items.saturating_mul(u64::from(RECORD_BYTES)).div_ceil(32).saturating_add(32);
    let memory_bytes = items.saturating_mul(u64::from(CALL_BYTES) + 32 + 1 + RESULT_BYTES);
    gas_min(given)
        .saturating_add(intrinsic)
        .saturating_add(CREATION_GAS)
        .saturating_add(code_words.saturating_mul(CODE_WORD_GAS))
        .saturating_add(items.saturating_mul(ITEM_GAS))
        .saturating_add(memory_gas(memory_bytes))
        .saturating_add(items.saturating_add(64).saturating_mul(RETURNED_BYTE_GAS))
}

/// The Yellow Paper, appendix H: `C_mem`.
fn memory_gas(bytes: u64) -> u64 {
    let words = bytes.div_ceil(32);
    words.saturating_mul(3).saturating_add(words.saturating_mul(words) / 512)
}

/// What must be left before the batch, so that it gets what it is given.
fn gas_min(given: u64) -> u64 {
    given.saturating_add(given / 63).saturating_add(OVERHEAD_GAS)
}

fn template() -> Vec<u8> {
    let mut template = vec![0; 4 * WORD];
    let words: [(usize, u16); 3] = [(1, 1), (2, 96), (3, u16::from(TRANSFER_BYTES) + 32 * TRANSFER_WORDS)];
    for (at, value) in words {
        let [high, low] = value.to_be_bytes();
        let end = at.saturating_mul(WORD).saturating_add(WORD);
        template.splice(end.saturating_sub(2)..end, [high, low]);
    }
    template.extend_from_slice(&IToken::transferWithAuthorization_0Call::SELECTOR);
    template
}

/// `None` for a contract's signature.
fn record(payment: &EvmPayment) -> Option<Vec<u8>> {
    let PayerSignature::Ecdsa(signature) = &payment.signature else { return None };
    let mut record = Vec::with_capacity(usize::from(RECORD_BYTES));
    for address in [payment.token, payment.from, payment.to] {
        record.extend_from_slice(address.as_slice());
    }
    for number in [payment.value, payment.valid_after, payment.valid_before] {
        record.extend_from_slice(&number.to_be_bytes());
    }
    record.extend_from_slice(payment.nonce.as_slice());
    record.extend_from_slice(&[0; WORD - 1]);
    record.push(signature.v());
    record.extend_from_slice(signature.r.as_slice());
    record.extend_from_slice(signature.s.as_slice());
    Some(record)
}

/// What its instructions know.
#[derive(Clone, Copy)]
struct Batch {
    multicall: Address,
    memory: Memory,
    /// Gas of the batch, without what its transaction pays before its first instruction.
    given: u64,
}

impl Batch {
    fn instructions(self, places: Places) -> Option<(Vec<u8>, Places)> {
        let mut code = Code::default();
        let mut found = Places::default();
        let Memory { items, .. } = self.memory;
        code.word(u32::from_be_bytes(IMulticall3::aggregate3Call::SELECTOR)).byte(0).ops(&[op::MSTORE]);
        code.byte(32).byte(32).ops(&[op::MSTORE]).half(items).byte(COUNT).ops(&[op::MSTORE]);
        // [whether one has code, number of the next item]
        code.byte(0).byte(0);
        found.build = code.here();
        code.ops(&[op::JUMPDEST]);
        self.build(&mut code, places.template)?;
        code.byte(1).ops(&[op::ADD]).half(items).ops(&[op::DUP2, op::LT]);
        code.half(places.build).ops(&[op::JUMPI, op::POP]).half(places.has_code).ops(&[op::JUMPI]);
        self.run(&mut code, places)?;
        // [number of the next item]
        code.byte(0);
        found.read = code.here();
        code.ops(&[op::JUMPDEST]);
        self.read(&mut code)?;
        code.byte(1).ops(&[op::ADD]).half(items).ops(&[op::DUP2, op::LT]);
        code.half(places.read).ops(&[op::JUMPI, op::POP]);
        code.byte(RAN).half(places.end).ops(&[op::JUMP]);
        found.failed = code.here();
        code.ops(&[op::JUMPDEST]).byte(FAILED).half(places.end).ops(&[op::JUMP]);
        found.too_little = code.here();
        code.ops(&[op::JUMPDEST]).byte(TOO_LITTLE_GAS).half(places.end).ops(&[op::JUMP]);
        found.has_code = code.here();
        code.ops(&[op::JUMPDEST]).byte(HAS_CODE);
        found.end = code.here();
        let ended = self.memory.said.checked_sub(32)?;
        code.ops(&[op::JUMPDEST]).word(ended).ops(&[op::MSTORE]);
        code.word(u32::from(items).checked_add(32)?).word(ended).ops(&[op::RETURN]);
        found.template = code.here();
        Some((code.done(), found))
    }

    /// `[any, item] → [any, item]`: its call, and whether its payer has code or its token none.
    fn build(self, code: &mut Code, template: u16) -> Option<()> {
        let Memory { calls, said, .. } = self.memory;
        let records = u32::from(template).checked_add(u32::from(TEMPLATE_BYTES))?;
        // [any, item, record, call]
        code.ops(&[op::DUP1]).half(RECORD_BYTES).ops(&[op::MUL]).word(records).ops(&[op::ADD]);
        code.ops(&[op::DUP2]).half(CALL_BYTES).ops(&[op::MUL]).word(calls).ops(&[op::ADD]);
        // Where it stands, counted from the first of these numbers.
        code.byte(OFFSETS).ops(&[op::DUP2, op::SUB]);
        code.ops(&[op::DUP4]).byte(5).ops(&[op::SHL]).byte(OFFSETS).ops(&[op::ADD, op::MSTORE]);
        code.byte(TEMPLATE_BYTES).half(template).ops(&[op::DUP3, op::CODECOPY]);
        for (from, bytes, to) in PARTS {
            code.byte(bytes).byte(from).ops(&[op::DUP4, op::ADD]).half(to).ops(&[op::DUP4, op::ADD]);
            code.ops(&[op::CODECOPY]);
        }
        code.ops(&[op::DUP1, op::MLOAD, op::EXTCODESIZE, op::ISZERO]).byte(1).ops(&[op::SHL, op::DUP2]);
        code.byte(132).ops(&[op::ADD, op::MLOAD, op::EXTCODESIZE, op::ISZERO, op::ISZERO, op::OR]);
        // [any, item, record, call, what is said of it]
        code.ops(&[op::DUP1, op::DUP5]).word(said).ops(&[op::ADD, op::MSTORE8]);
        code.ops(&[op::DUP5, op::OR, op::SWAP4, op::POP, op::POP, op::POP]);
        Some(())
    }

    /// The batch, whose results are behind everything else then.
    fn run(self, code: &mut Code, places: Places) -> Option<()> {
        let Memory { items, results, .. } = self.memory;
        code.push(&gas_min(self.given).to_be_bytes()).ops(&[op::GAS, op::LT]);
        code.half(places.too_little).ops(&[op::JUMPI]);
        code.byte(0).byte(0).word(self.memory.input_bytes()?).word(INPUT).byte(0);
        code.push(self.multicall.as_slice()).push(&self.given.to_be_bytes());
        code.ops(&[op::CALL, op::ISZERO]).half(places.failed).ops(&[op::JUMPI]);
        code.ops(&[op::RETURNDATASIZE]).byte(0).word(results).ops(&[op::RETURNDATACOPY]);
        // So many results, or it is not what was called.
        code.word(results.checked_add(32)?).ops(&[op::MLOAD]).half(items).ops(&[op::EQ, op::ISZERO]);
        code.half(places.failed).ops(&[op::JUMPI]);
        Some(())
    }

    /// `[item] → [item]`: whether it succeeded.
    fn read(self, code: &mut Code) -> Option<()> {
        let list = self.memory.results.checked_add(64)?;
        code.ops(&[op::DUP1]).byte(5).ops(&[op::SHL]).word(list).ops(&[op::ADD, op::MLOAD]);
        code.word(list).ops(&[op::ADD, op::MLOAD, op::DUP2]).word(self.memory.said);
        code.ops(&[op::ADD, op::MSTORE8]);
        Some(())
    }
}

/// What a rehearsal found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing was run: whose payer has code, and whose token has none.
    Code(Vec<Account>),
    /// Whether each succeeded.
    Ran(Vec<bool>),
    /// The batch around them did not end, or there was not the gas for it.
    Failed,
}

/// What stands at an item's payer and token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Plain,
    PayerHasCode,
    TokenHasNone,
}

/// Reads the answer; `None` if it is none.
pub(crate) fn read(answer: &[u8], items: usize) -> Option<Seen> {
    let (ended, said) = answer.split_at_checked(WORD)?;
    let (ended, zeros) = ended.split_last()?;
    if said.len() != items || zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    match *ended {
        HAS_CODE => {
            let account = |byte: &u8| match *byte {
                0 => Some(Account::Plain),
                PAYER_HAS_CODE => Some(Account::PayerHasCode),
                byte if byte & TOKEN_HAS_NONE != 0 => Some(Account::TokenHasNone),
                _ => None,
            };
            said.iter().map(account).collect::<Option<_>>().map(Seen::Code)
        }
        RAN => {
            let done = |byte: &u8| (*byte <= 1).then_some(*byte == 1);
            said.iter().map(done).collect::<Option<_>>().map(Seen::Ran)
        }
        FAILED | TOO_LITTLE_GAS => Some(Seen::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
