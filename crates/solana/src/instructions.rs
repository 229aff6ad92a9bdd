//! Program ids and the instruction layouts we know.

use solana_program_pack::Pack;
use solana_sdk::hash::Hash;
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::{VersionedMessage, v0};
use solana_sdk::pubkey::Pubkey;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
use spl_associated_token_account_interface::instruction::AssociatedTokenAccountInstruction;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_interface::instruction::TokenInstruction;
use spl_token_interface::state::{Account, Mint};

use crate::token::TokenProgram;

/// SPL Token.
pub(crate) const TOKEN: Pubkey = spl_token_interface::ID;
/// SPL Associated Token Account.
pub(crate) const ASSOCIATED_TOKEN: Pubkey = spl_associated_token_account_interface::program::ID;
/// System program.
pub(crate) const SYSTEM: Pubkey = Pubkey::from_str_const("11111111111111111111111111111111");
/// Compute budget.
pub(crate) const COMPUTE_BUDGET: Pubkey =
    Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
/// SPL Memo v2.
pub(crate) const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Lighthouse: assertions that Phantom and Solflare add to protect their users.
pub(crate) const LIGHTHOUSE: Pubkey = Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");

/// Size of an SPL token account without extensions.
pub(crate) const TOKEN_ACCOUNT_BYTES: usize = Account::LEN;
/// Size of an SPL mint.
pub(crate) const MINT_BYTES: usize = Mint::LEN;

const SET_UNIT_LIMIT: u8 = 2;
const SET_UNIT_PRICE: u8 = 3;
const SET_DATA_LIMIT: u8 = 4;
const LIGHTHOUSE_MEMORY_WRITE: u8 = 0;
const LIGHTHOUSE_MEMORY_CLOSE: u8 = 1;

/// Units a message gets per instruction when it sets no limit, and the most it can have.
pub(crate) const DEFAULT_UNITS_PER_INSTRUCTION: u32 = 200_000;
/// What an instruction of a built-in program adds to them, the compute budget's own too (SIMD-0170).
pub(crate) const DEFAULT_UNITS_PER_BUILT_IN: u32 = 3_000;
/// Runtime maximum per transaction.
pub(crate) const UNITS_MAX: u32 = 1_400_000;

/// The token account of `owner` for `mint`, of a token program's.
pub(crate) fn token_account_of(owner: &Pubkey, mint: &Pubkey, program: TokenProgram) -> Pubkey {
    get_associated_token_address_with_program_id(owner, mint, &program.id())
}

/// The same of SPL Token.
#[cfg(test)]
pub(crate) fn token_account(owner: &Pubkey, mint: &Pubkey) -> Pubkey {
    token_account_of(owner, mint, TokenProgram::Token)
}

/// A compute budget instruction we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComputeBudget {
    UnitLimit(u32),
    UnitPrice(u64),
    /// Bytes of accounts that may be loaded; costs nothing.
    DataLimit(u32),
}

/// `None`: another instruction of that program, or wrong length.
pub(crate) fn parse_compute_budget(data: &[u8]) -> Option<ComputeBudget> {
    match data.split_first()? {
        (&SET_UNIT_LIMIT, units) => {
            Some(ComputeBudget::UnitLimit(u32::from_le_bytes(units.try_into().ok()?)))
        }
        (&SET_UNIT_PRICE, price) => {
            Some(ComputeBudget::UnitPrice(u64::from_le_bytes(price.try_into().ok()?)))
        }
        (&SET_DATA_LIMIT, bytes) => {
            Some(ComputeBudget::DataLimit(u32::from_le_bytes(bytes.try_into().ok()?)))
        }
        _ => None,
    }
}

/// Whether the data is meant as a unit price, however malformed.
pub(crate) fn is_unit_price(data: &[u8]) -> bool {
    data.first() == Some(&SET_UNIT_PRICE)
}

/// Amount and decimals of a `TransferChecked`; `None` for anything else. The program's own parser takes
/// bytes behind an instruction, which may mean something to its successor: only what is encoded again as
/// the very bytes counts.
pub(crate) fn parse_transfer_checked(data: &[u8]) -> Option<(u64, u8)> {
    let instruction = TokenInstruction::unpack(data).ok()?;
    let TokenInstruction::TransferChecked { amount, decimals } = instruction else { return None };
    (instruction.pack() == data).then_some((amount, decimals))
}

/// Whether the data is `Create` (also in its old, empty form) or `CreateIdempotent`, and nothing behind.
pub(crate) fn is_ata_create(data: &[u8]) -> bool {
    use AssociatedTokenAccountInstruction as Ata;
    if data.is_empty() {
        return true;
    }
    let decoded = borsh::from_slice::<Ata>(data);
    decoded.is_ok_and(|instruction| {
        matches!(instruction, Ata::Create | Ata::CreateIdempotent)
            && borsh::to_vec(&instruction).is_ok_and(|again| again == data)
    })
}

/// Whether the data of a Lighthouse instruction is an assertion: all of them are but the two
/// that write to, and close, an account which the program keeps for somebody.
pub(crate) fn is_assertion(data: &[u8]) -> bool {
    !matches!(data, [] | [LIGHTHOUSE_MEMORY_WRITE | LIGHTHOUSE_MEMORY_CLOSE, ..])
}

/// A token account's data; `None` when it is none. Extensions of the other token program stand behind it.
pub(crate) fn held(data: &[u8]) -> Option<Account> {
    Account::unpack_unchecked(data.get(..TOKEN_ACCOUNT_BYTES)?).ok()
}

pub(crate) fn set_unit_limit(units: u32) -> Instruction {
    let mut data = vec![SET_UNIT_LIMIT];
    data.extend_from_slice(&units.to_le_bytes());
    Instruction { program_id: COMPUTE_BUDGET, accounts: Vec::new(), data }
}

pub(crate) fn set_unit_price(micro_lamports: u64) -> Instruction {
    let mut data = vec![SET_UNIT_PRICE];
    data.extend_from_slice(&micro_lamports.to_le_bytes());
    Instruction { program_id: COMPUTE_BUDGET, accounts: Vec::new(), data }
}

pub(crate) fn create_token_account_of(
    funder: &Pubkey,
    owner: &Pubkey,
    mint: &Pubkey,
    program: TokenProgram,
) -> Instruction {
    create_associated_token_account_idempotent(funder, owner, mint, &program.id())
}

#[cfg(test)]
pub(crate) fn create_token_account(funder: &Pubkey, owner: &Pubkey, mint: &Pubkey) -> Instruction {
    create_token_account_of(funder, owner, mint, TokenProgram::Token)
}

/// Both token programs read the same bytes.
pub(crate) fn transfer_checked_of(
    program: TokenProgram,
    [source, mint, destination, authority]: [&Pubkey; 4],
    (amount, decimals): (u64, u8),
) -> Instruction {
    let data = TokenInstruction::TransferChecked { amount, decimals }.pack();
    Instruction {
        program_id: program.id(),
        accounts: vec![
            AccountMeta::new(*source, false),
            AccountMeta::new_readonly(*mint, false),
            AccountMeta::new(*destination, false),
            AccountMeta::new_readonly(*authority, true),
        ],
        data,
    }
}

#[cfg(test)]
pub(crate) fn transfer_checked(
    source: &Pubkey,
    mint: &Pubkey,
    destination: &Pubkey,
    authority: &Pubkey,
    amount: u64,
    decimals: u8,
) -> Instruction {
    let accounts = [source, mint, destination, authority];
    transfer_checked_of(TokenProgram::Token, accounts, (amount, decimals))
}

pub(crate) fn memo(text: &str) -> Instruction {
    Instruction { program_id: MEMO, accounts: Vec::new(), data: text.as_bytes().to_vec() }
}

/// Message bytes of version 0 without lookups; `None` when the accounts do not fit one message.
pub(crate) fn compile_v0(
    fee_payer: &Pubkey,
    instructions: &[Instruction],
    blockhash: Hash,
) -> Option<Vec<u8>> {
    let message = v0::Message::try_compile(fee_payer, instructions, &[], blockhash).ok()?;
    Some(VersionedMessage::V0(message).serialize())
}

#[cfg(test)]
mod tests;
