//! Program ids and the instruction layouts we know.

use solana_sdk::hash::Hash;
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::{VersionedMessage, v0};
use solana_sdk::pubkey::Pubkey;

/// SPL Token.
pub(crate) const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// SPL Associated Token Account.
pub(crate) const ASSOCIATED_TOKEN: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
/// System program.
pub(crate) const SYSTEM: Pubkey = Pubkey::from_str_const("11111111111111111111111111111111");
/// Compute budget.
pub(crate) const COMPUTE_BUDGET: Pubkey =
    Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
/// SPL Memo v2.
pub(crate) const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Lighthouse: assertions that Phantom and Solflare add to protect their users.
pub(crate) const LIGHTHOUSE: Pubkey = Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");

/// Size of an SPL token account, for its rent.
pub(crate) const TOKEN_ACCOUNT_BYTES: u64 = 165;
/// Mint and owner stand before a token account's amount.
const TOKEN_AMOUNT_AT: usize = 64;
/// The length of its data.
const TOKEN_ACCOUNT_LENGTH: usize = 165;
/// Size of an SPL mint, and where it keeps its decimals and initialised flag.
pub(crate) const MINT_BYTES: usize = 82;
const MINT_DECIMALS_AT: usize = 44;
const MINT_INITIALISED_AT: usize = 45;

const TRANSFER_CHECKED: u8 = 12;
const SET_UNIT_LIMIT: u8 = 2;
const SET_UNIT_PRICE: u8 = 3;
const LIGHTHOUSE_MEMORY_WRITE: u8 = 0;
const LIGHTHOUSE_MEMORY_CLOSE: u8 = 1;
const ATA_CREATE: u8 = 0;
const ATA_CREATE_IDEMPOTENT: u8 = 1;

/// Units a message gets per instruction when it sets no limit, and the most it can have.
pub(crate) const DEFAULT_UNITS_PER_INSTRUCTION: u32 = 200_000;
/// Runtime maximum per transaction.
pub(crate) const UNITS_MAX: u32 = 1_400_000;

/// The token account of `owner` for `mint`.
pub(crate) fn token_account(owner: &Pubkey, mint: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[owner.as_ref(), TOKEN.as_ref(), mint.as_ref()], &ASSOCIATED_TOKEN).0
}

/// A compute budget instruction we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComputeBudget {
    UnitLimit(u32),
    UnitPrice(u64),
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
        _ => None,
    }
}

/// Whether the data is meant as a unit price, however malformed.
pub(crate) fn is_unit_price(data: &[u8]) -> bool {
    data.first() == Some(&SET_UNIT_PRICE)
}

/// Amount and decimals of a `TransferChecked`; `None` for anything else.
pub(crate) fn parse_transfer_checked(data: &[u8]) -> Option<(u64, u8)> {
    let (&TRANSFER_CHECKED, rest) = data.split_first()? else { return None };
    let (amount, rest) = rest.split_first_chunk::<8>()?;
    let [decimals] = rest else { return None };
    Some((u64::from_le_bytes(*amount), *decimals))
}

/// Whether the data is `Create` (also in its old, empty form) or `CreateIdempotent`.
pub(crate) fn is_ata_create(data: &[u8]) -> bool {
    matches!(data, [] | [ATA_CREATE] | [ATA_CREATE_IDEMPOTENT])
}

/// Whether the data of a Lighthouse instruction is an assertion: all of them are but the two
/// that write to, and close, an account which the program keeps for somebody.
pub(crate) fn is_assertion(data: &[u8]) -> bool {
    !matches!(data, [] | [LIGHTHOUSE_MEMORY_WRITE | LIGHTHOUSE_MEMORY_CLOSE, ..])
}

/// Decimals of a mint account's data; `None` when it is no initialised mint.
pub(crate) fn mint_decimals(data: &[u8]) -> Option<u8> {
    let initialised = data.len() == MINT_BYTES && data.get(MINT_INITIALISED_AT) == Some(&1);
    if initialised { data.get(MINT_DECIMALS_AT).copied() } else { None }
}

/// What a token account's data says it holds, in atomic units; `None` when it is no token account.
pub(crate) fn token_amount(data: &[u8]) -> Option<u64> {
    let bytes = data.get(TOKEN_AMOUNT_AT..)?.first_chunk()?;
    (data.len() >= TOKEN_ACCOUNT_LENGTH).then(|| u64::from_le_bytes(*bytes))
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

pub(crate) fn create_token_account(funder: &Pubkey, owner: &Pubkey, mint: &Pubkey) -> Instruction {
    Instruction {
        program_id: ASSOCIATED_TOKEN,
        accounts: vec![
            AccountMeta::new(*funder, true),
            AccountMeta::new(token_account(owner, mint), false),
            AccountMeta::new_readonly(*owner, false),
            AccountMeta::new_readonly(*mint, false),
            AccountMeta::new_readonly(SYSTEM, false),
            AccountMeta::new_readonly(TOKEN, false),
        ],
        data: vec![ATA_CREATE_IDEMPOTENT],
    }
}

pub(crate) fn transfer_checked(
    source: &Pubkey,
    mint: &Pubkey,
    destination: &Pubkey,
    authority: &Pubkey,
    amount: u64,
    decimals: u8,
) -> Instruction {
    let mut data = vec![TRANSFER_CHECKED];
    data.extend_from_slice(&amount.to_le_bytes());
    data.push(decimals);
    Instruction {
        program_id: TOKEN,
        accounts: vec![
            AccountMeta::new(*source, false),
            AccountMeta::new_readonly(*mint, false),
            AccountMeta::new(*destination, false),
            AccountMeta::new_readonly(*authority, true),
        ],
        data,
    }
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
