//! Instructions, good and bad.

use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::pubkey::Pubkey;
use spl_token_interface::instruction::TokenInstruction;

use super::actors::{
    ASSOCIATED_TOKEN, BLOCKHASHES, CLOCK, COMPUTE_BUDGET, LOOKUP, MEMO, RENT, STAKE, STAKE_HISTORY, SYSTEM,
    TOKEN, associated,
};

const DECIMALS: u8 = 6;

pub(crate) fn of(program_id: Pubkey, accounts: Vec<AccountMeta>, data: Vec<u8>) -> Instruction {
    Instruction { program_id, accounts, data }
}

/// Written by the program.
pub(crate) fn w(key: Pubkey) -> AccountMeta {
    AccountMeta::new(key, false)
}

/// Only read.
pub(crate) fn r(key: Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(key, false)
}

/// Signs.
pub(crate) fn s(key: Pubkey) -> AccountMeta {
    AccountMeta::new_readonly(key, true)
}

/// Signs and is written.
pub(crate) fn sw(key: Pubkey) -> AccountMeta {
    AccountMeta::new(key, true)
}

pub(crate) fn compute(data: Vec<u8>) -> Instruction {
    of(COMPUTE_BUDGET, Vec::new(), data)
}

pub(crate) fn unit_limit(units: u32) -> Instruction {
    compute([vec![2], units.to_le_bytes().to_vec()].concat())
}

pub(crate) fn unit_price(micro_lamports: u64) -> Instruction {
    compute([vec![3], micro_lamports.to_le_bytes().to_vec()].concat())
}

pub(crate) fn memo(text: &str, signers: &[Pubkey]) -> Instruction {
    of(MEMO, signers.iter().map(|key| s(*key)).collect(), text.as_bytes().to_vec())
}

/// `TransferChecked` of the token that is sold for.
pub(crate) fn transfer(
    program: &Pubkey,
    source: &Pubkey,
    mint: &Pubkey,
    destination: &Pubkey,
    authority: &Pubkey,
    amount: u64,
) -> Instruction {
    let data = TokenInstruction::TransferChecked { amount, decimals: DECIMALS }.pack();
    of(*program, vec![w(*source), r(*mint), w(*destination), s(*authority)], data)
}

/// Creation of an associated token account.
pub(crate) fn create(
    funder: &Pubkey,
    owner: &Pubkey,
    mint: &Pubkey,
    program: &Pubkey,
    data: Vec<u8>,
) -> Instruction {
    create_of(funder, &associated(owner, mint, program), owner, mint, program, data)
}

pub(crate) fn create_of(
    funder: &Pubkey,
    account: &Pubkey,
    owner: &Pubkey,
    mint: &Pubkey,
    program: &Pubkey,
    data: Vec<u8>,
) -> Instruction {
    let accounts = vec![sw(*funder), w(*account), r(*owner), r(*mint), r(SYSTEM), r(*program)];
    of(ASSOCIATED_TOKEN, accounts, data)
}

fn numbered(tag: u32, rest: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes(), rest].concat()
}

/// The system program's, in which `from` loses something to `to`.
pub(crate) fn system(kind: usize, from: Pubkey, to: Pubkey, lamports: u64) -> Instruction {
    let number = lamports.to_le_bytes();
    match kind {
        // Transfer, assign, create an account, allocate, transfer with a seed.
        1 => of(SYSTEM, vec![sw(from)], numbered(1, &TOKEN.to_bytes())),
        2 => {
            let data = [&number[..], &0_u64.to_le_bytes(), &SYSTEM.to_bytes()].concat();
            of(SYSTEM, vec![sw(from), sw(to)], numbered(0, &data))
        }
        3 => of(SYSTEM, vec![sw(from)], numbered(8, &16_u64.to_le_bytes())),
        _ => of(SYSTEM, vec![sw(from), w(to)], numbered(2, &number)),
    }
}

/// A nonce account's: advance, withdraw, or give to another authority.
pub(crate) fn nonce(kind: usize, nonce: Pubkey, authority: Pubkey, to: Pubkey) -> Instruction {
    match kind {
        1 => {
            let accounts = vec![w(nonce), w(to), r(BLOCKHASHES), r(RENT), s(authority)];
            of(SYSTEM, accounts, numbered(5, &1_000_000_u64.to_le_bytes()))
        }
        2 => of(SYSTEM, vec![w(nonce), s(authority)], numbered(7, &to.to_bytes())),
        _ => of(SYSTEM, vec![w(nonce), r(BLOCKHASHES), s(authority)], numbered(4, &[])),
    }
}

/// The stake program's: give to another authority, or withdraw.
pub(crate) fn stake(kind: usize, stake: Pubkey, authority: Pubkey, to: Pubkey) -> Instruction {
    match kind {
        1 => {
            let accounts = vec![w(stake), w(to), r(CLOCK), r(STAKE_HISTORY), s(authority)];
            of(STAKE, accounts, numbered(4, &1_000_000_u64.to_le_bytes()))
        }
        _ => {
            let data = [&to.to_bytes()[..], &1_u32.to_le_bytes()].concat();
            of(STAKE, vec![w(stake), r(CLOCK), s(authority)], numbered(1, &data))
        }
    }
}

/// A new lookup table, at the payer's cost.
pub(crate) fn table(payer: Pubkey, authority: Pubkey) -> Instruction {
    let slot = 99_u64.to_le_bytes();
    let (table, bump) = Pubkey::find_program_address(&[authority.as_ref(), &slot], &LOOKUP);
    let data = numbered(0, &[&slot[..], &[bump]].concat());
    of(LOOKUP, vec![w(table), r(authority), sw(payer), r(SYSTEM)], data)
}

/// What the token programs can do to an account: the plain transfer, approve, close, burn, a new
/// owner, a new closer, a batch, excess lamports, revoke, the transfer that names the mint.
pub(crate) fn token(
    kind: usize,
    program: Pubkey,
    account: Pubkey,
    mint: Pubkey,
    to: Pubkey,
    authority: Pubkey,
    amount: u64,
) -> Instruction {
    let number = amount.to_le_bytes();
    let with = |tag: u8, rest: &[u8]| [&[tag][..], rest].concat();
    match kind {
        0 => of(program, vec![w(account), w(to), s(authority)], with(3, &number)),
        1 => of(program, vec![w(account), r(to), s(authority)], with(4, &number)),
        2 => of(program, vec![w(account), w(to), s(authority)], with(9, &[])),
        3 => of(program, vec![w(account), w(mint), s(authority)], with(8, &number)),
        4 => of(program, vec![w(account), s(authority)], with(6, &[&[2, 1][..], &to.to_bytes()].concat())),
        5 => of(program, vec![w(account), s(authority)], with(6, &[&[3, 1][..], &to.to_bytes()].concat())),
        6 => {
            let inner = with(3, &number);
            let length = u8::try_from(inner.len()).unwrap_or(u8::MAX);
            let data = [&[255, 3, length][..], &inner].concat();
            of(program, vec![w(account), w(to), s(authority)], data)
        }
        7 => of(program, vec![w(account), w(to), s(authority)], with(38, &[])),
        8 => of(program, vec![w(account), s(authority)], with(5, &[])),
        _ => {
            let data = with(12, &[&number[..], &[DECIMALS]].concat());
            of(program, vec![w(account), r(mint), w(to), s(authority)], data)
        }
    }
}
