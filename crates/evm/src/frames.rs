//! Code that is run without being deployed: it tries several transfers in one `eth_call` at one block,
//! each in a frame of its own that is undone before the next one begins.
//!
//! A frame is a creation whose code ends in a revert, so nothing that one transfer does is there for
//! the next: no balance, no used authorization, no storage that is warm already. In a frame the
//! payer's code is looked at before anything is run, and where there is some, nothing is: no code of
//! a stranger's runs beside other payments. What a transfer may burn is given to it exactly, and a
//! frame that finds less gas than that says nothing at all.
//!
//! The answer: a word with the block's number, one with its time, and for each transfer a word with the
//! length of its record and the record. A record is empty (nothing is known), the size of the payer's code
//! alone, or four words and bytes: that size, 0; whether the transfer succeeded; `authorizationState` and
//! `balanceOf` behind it; and of one that failed the first bytes of what it said.

use alloy::primitives::{Address, U256};
use alloy::sol_types::SolCall;

use crate::abi::IToken;
use crate::assembler::Code;
use crate::op;
use crate::payment::EvmPayment;

/// `transferWithAuthorization` with `(v, r, s)`.
const TRANSFER_BYTES: u16 = 292;
/// What is kept of a failure's words: `Error(string)` with 64 bytes of text.
const WORDS_BYTES_MAX: u8 = 132;
const WORD: usize = 32;

/// Most transfers in one call: the answer is stored like code, of which EIP-170 allows 24,576 bytes.
pub(crate) const TRANSFERS_MAX: usize =
    (24_576 - 2 * WORD) / (WORD + RECORD_BYTES + WORDS_BYTES_MAX as usize);
const RECORD_BYTES: usize = 4 * WORD;

/// What a transaction pays before its first instruction, if no byte of the transfer is zero (EIP-2028).
const INTRINSIC_GAS: u64 = 21_000 + 16 * TRANSFER_BYTES as u64;
/// The payer has been looked at by the time the token does so (EIP-2929).
const LOOKED_AT_GAS: u64 = 2_500;
/// For each of the two reads behind a transfer.
const READ_GAS: u32 = 50_000;
/// For the instructions of a frame, and what a call keeps back.
const FRAME_GAS: u64 = 20_000;
/// What a transfer is reckoned with at least: its input, its frame, itself and its record. One that finds
/// less than it needs is asked alone.
const TRANSFER_GAS_MIN: u64 = 190_000;
/// The same beside what a settlement is expected to use, for tokens that use more than most.
const BESIDE_SETTLEMENT_GAS: u64 = 110_000;
/// What the call costs however many there are.
const CALL_GAS: u64 = 200_000;

/// Where in a frame's memory what is. The transfer's input stands at 0.
mod at {
    /// In the input of `transferWithAuthorization`.
    pub(super) const FROM: u8 = 4;
    pub(super) const NONCE: u8 = 4 + 5 * 32;
    /// The record.
    pub(super) const CODE_SIZE: u16 = 0x200;
    pub(super) const SUCCESS: u16 = 0x220;
    pub(super) const USED: u16 = 0x240;
    pub(super) const HELD: u16 = 0x260;
    pub(super) const SAID: u16 = 0x280;
    /// The input of the reads.
    pub(super) const READ: u16 = 0x320;
    pub(super) const READ_FIRST: u16 = 0x324;
    pub(super) const READ_SECOND: u16 = 0x344;
}

/// What every frame of a call knows.
#[derive(Clone, Copy)]
struct Frame {
    token: Address,
    /// Gas of the transfer.
    given: u64,
}

/// Where in a frame's code it goes on.
#[derive(Clone, Copy, Default)]
struct Places {
    /// The payer has code.
    has_code: u16,
    /// Nothing is known.
    unknown: u16,
    /// The transfer's input.
    input: u16,
}

/// What a transfer may use: no more than it has in a settlement with this limit.
fn given(settle_gas_limit: u64) -> u64 {
    settle_gas_limit.saturating_sub(INTRINSIC_GAS).saturating_sub(LOOKED_AT_GAS)
}

impl Frame {
    /// What must be left before the transfer, so that it gets what it is given and is read behind.
    fn gas_min(self) -> u64 {
        let reads = u64::from(READ_GAS).saturating_mul(2);
        self.given.saturating_add(self.given / 32).saturating_add(reads).saturating_add(FRAME_GAS)
    }

    /// Its code, behind which the transfer's input stands.
    fn code(self) -> Vec<u8> {
        // No place depends on what the places are.
        let (_, places) = self.with(Places::default());
        self.with(places).0
    }

    fn with(self, places: Places) -> (Vec<u8>, Places) {
        let token = self.token;
        let mut code = Code::default();
        // memory[0..] = the input
        code.half(TRANSFER_BYTES).half(places.input).byte(0).ops(&[op::CODECOPY]);
        // [from]; the size of its code
        code.byte(at::FROM).ops(&[op::MLOAD, op::DUP1, op::EXTCODESIZE, op::DUP1]);
        code.half(at::CODE_SIZE).ops(&[op::MSTORE]).half(places.has_code).ops(&[op::JUMPI]);
        // what is left of the gas
        code.push(&self.gas_min().to_be_bytes()).ops(&[op::GAS, op::LT]);
        code.half(places.unknown).ops(&[op::JUMPI]);
        // [from, success] = call(given, token, 0, input)
        code.byte(0).byte(0).half(TRANSFER_BYTES).byte(0).byte(0).push(token.as_slice());
        code.push(&self.given.to_be_bytes()).ops(&[op::CALL, op::DUP1]).half(at::SUCCESS).ops(&[op::MSTORE]);
        Self::keep_words(&mut code);
        // [from, kept, known] = the reads
        code.word(u32::from_be_bytes(IToken::authorizationStateCall::SELECTOR)).byte(224).ops(&[op::SHL]);
        code.half(at::READ).ops(&[op::MSTORE, op::DUP2]).half(at::READ_FIRST).ops(&[op::MSTORE]);
        code.byte(at::NONCE).ops(&[op::MLOAD]).half(at::READ_SECOND).ops(&[op::MSTORE]);
        self.read(&mut code, at::USED, 68);
        code.word(u32::from_be_bytes(IToken::balanceOfCall::SELECTOR)).byte(224).ops(&[op::SHL]);
        // The payer is the first argument of both: what is overwritten is the four bytes before it.
        code.half(at::READ).ops(&[op::MSTORE, op::DUP3]).half(at::READ_FIRST).ops(&[op::MSTORE]);
        self.read(&mut code, at::HELD, 36);
        code.ops(&[op::AND, op::ISZERO]).half(places.unknown).ops(&[op::JUMPI]);
        // revert(record, its four words and what was kept)
        code.byte(128).ops(&[op::ADD]).half(at::CODE_SIZE).ops(&[op::REVERT]);
        let has_code = code.here();
        code.ops(&[op::JUMPDEST]).byte(32).half(at::CODE_SIZE).ops(&[op::REVERT]);
        let unknown = code.here();
        code.ops(&[op::JUMPDEST]).byte(0).byte(0).ops(&[op::REVERT]);
        let input = code.here();
        (code.done(), Places { has_code, unknown, input })
    }

    /// `[success] → [kept]`: of a failure as much of what it said as there is room for.
    fn keep_words(code: &mut Code) {
        code.ops(&[op::ISZERO]);
        // The lesser of two, without a jump: b ^ ((a ^ b) * (a < b)).
        code.byte(WORDS_BYTES_MAX).ops(&[op::RETURNDATASIZE, op::DUP2, op::DUP2, op::XOR, op::SWAP2]);
        code.ops(&[op::DUP2, op::SWAP1, op::LT, op::SWAP1, op::SWAP2, op::MUL, op::XOR]);
        code.ops(&[op::MUL, op::DUP1]).byte(0).half(at::SAID).ops(&[op::RETURNDATACOPY]);
    }

    /// `[…] → […, whether it answered]`: what the token says goes to `to`.
    fn read(self, code: &mut Code, to: u16, input_bytes: u8) {
        code.byte(32).half(to).byte(input_bytes).half(at::READ).push(self.token.as_slice());
        code.word(READ_GAS).ops(&[op::STATICCALL, op::RETURNDATASIZE]).byte(32).ops(&[op::EQ, op::AND]);
    }
}

/// One call.
pub(crate) struct Call {
    /// The code.
    pub(crate) code: Vec<u8>,
    /// Its gas limit.
    pub(crate) gas: u64,
}

/// What settlements take, as configured.
#[derive(Clone, Copy)]
pub(crate) struct SettleGas {
    /// The limit of one.
    pub(crate) limit: u64,
    /// What one is expected to use.
    pub(crate) expected: u64,
}

impl SettleGas {
    /// What each transfer adds to a call.
    fn each(self) -> u64 {
        self.expected.saturating_add(BESIDE_SETTLEMENT_GAS).max(TRANSFER_GAS_MIN)
    }

    /// Most transfers in a call whose gas limit is at most this.
    pub(crate) fn transfers_max(self, gas_max: u64) -> usize {
        let for_all = gas_max.saturating_sub(CALL_GAS).saturating_sub(given(self.limit));
        let transfers = for_all.checked_div(self.each()).unwrap_or(0);
        usize::try_from(transfers).unwrap_or(TRANSFERS_MAX).min(TRANSFERS_MAX)
    }

    /// Gas of a call with as many.
    fn call(self, transfers: usize) -> u64 {
        let all = u64::try_from(transfers).unwrap_or(u64::MAX).saturating_mul(self.each());
        // The last one must find as much as the first.
        all.saturating_add(given(self.limit)).saturating_add(CALL_GAS)
    }
}

/// One call for all of them, all of one token and with a key's signature; `None` for others.
pub(crate) fn call<'a>(
    payments: impl ExactSizeIterator<Item = &'a EvmPayment> + Clone,
    gas: SettleGas,
) -> Option<Call> {
    let token = payments.clone().next()?.token;
    let frame = Frame { token, given: given(gas.limit) }.code();
    let inputs: Vec<Vec<u8>> = payments.clone().map(EvmPayment::transfer_call).collect();
    let fits = |input: &Vec<u8>| input.len() == usize::from(TRANSFER_BYTES);
    if !inputs.iter().all(fits) || !payments.clone().all(|payment| payment.token == token) {
        return None;
    }
    let behind = outer(&frame, inputs.len(), 0)?.len();
    let mut code = outer(&frame, inputs.len(), behind)?;
    code.extend_from_slice(&frame);
    code.extend(inputs.into_iter().flatten());
    Some(Call { code, gas: gas.call(payments.len()) })
}

/// The instructions around the frames: the frame's code stands `behind` them, the inputs behind it.
fn outer(frame: &[u8], transfers: usize, behind: usize) -> Option<Vec<u8>> {
    /// Where the answer begins in memory: behind the frame's code and one input.
    const ANSWER: u16 = 0x300;
    let frame_bytes = u16::try_from(frame.len()).ok()?;
    let creation = frame_bytes.checked_add(TRANSFER_BYTES).filter(|bytes| *bytes <= ANSWER)?;
    let mut code = Code::default();
    code.half(frame_bytes).word(u32::try_from(behind).ok()?).byte(0).ops(&[op::CODECOPY]);
    code.ops(&[op::NUMBER]).half(ANSWER).ops(&[op::MSTORE]);
    code.ops(&[op::TIMESTAMP]).half(ANSWER.checked_add(32)?).ops(&[op::MSTORE]);
    // [where the next record goes]
    code.half(ANSWER.checked_add(64)?);
    for number in 0..transfers {
        let before = number.checked_mul(usize::from(TRANSFER_BYTES))?;
        let input = behind.checked_add(frame.len())?.checked_add(before)?;
        code.half(TRANSFER_BYTES).word(u32::try_from(input).ok()?).half(frame_bytes).ops(&[op::CODECOPY]);
        code.half(creation).byte(0).byte(0).ops(&[op::CREATE, op::POP]);
        // Its length, and itself.
        code.ops(&[op::RETURNDATASIZE, op::DUP2, op::MSTORE]).byte(32).ops(&[op::ADD]);
        code.ops(&[op::RETURNDATASIZE]).byte(0).ops(&[op::DUP3, op::RETURNDATACOPY]);
        code.ops(&[op::RETURNDATASIZE, op::ADD]);
    }
    code.half(ANSWER).ops(&[op::SWAP1, op::SUB]).half(ANSWER).ops(&[op::RETURN]);
    Some(code.done())
}

/// What a call found.
pub(crate) struct Seen<'a> {
    /// The block's number.
    pub(crate) block: u64,
    /// Its time, Unix seconds.
    pub(crate) block_time: u64,
    /// In the order of the transfers.
    pub(crate) records: Vec<Record<'a>>,
}

/// What is known of one transfer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// Nothing.
    Unknown,
    /// Its payer has code, so it was not tried.
    HasCode,
    /// It was tried.
    Tried {
        /// Whether it succeeded.
        success: bool,
        /// `authorizationState` behind it.
        used: U256,
        /// What the payer held behind it.
        held: U256,
        /// How what it said begins, if it failed.
        said: &'a [u8],
    },
}

/// Reads the answer to a call for so many transfers; `None` if it is none.
pub(crate) fn read(answer: &[u8], transfers: usize) -> Option<Seen<'_>> {
    let (block, rest) = number(answer)?;
    let (block_time, mut rest) = number(rest)?;
    let mut records = Vec::with_capacity(transfers);
    for _ in 0..transfers {
        let (length, behind) = number(rest)?;
        let (record, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
        records.push(record_of(record)?);
        rest = behind;
    }
    rest.is_empty().then_some(Seen { block, block_time, records })
}

fn word(bytes: &[u8]) -> Option<(U256, &[u8])> {
    let (word, rest) = bytes.split_at_checked(WORD)?;
    Some((U256::try_from_be_slice(word)?, rest))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (word, rest) = word(bytes)?;
    Some((u64::try_from(word).ok()?, rest))
}

fn record_of(record: &[u8]) -> Option<Record<'_>> {
    if record.is_empty() {
        return Some(Record::Unknown);
    }
    let (code, rest) = word(record)?;
    if rest.is_empty() {
        return (!code.is_zero()).then_some(Record::HasCode);
    }
    let (success, rest) = word(rest)?;
    let (used, rest) = word(rest)?;
    let (held, said) = word(rest)?;
    let success = match success {
        U256::ZERO => false,
        U256::ONE => true,
        _ => return None,
    };
    let is_whole = code.is_zero() && said.len() <= usize::from(WORDS_BYTES_MAX);
    is_whole.then_some(Record::Tried { success, used, held, said })
}

#[cfg(test)]
mod tests;
