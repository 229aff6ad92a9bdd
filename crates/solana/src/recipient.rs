//! Whether `pay_to` can own the token account that payments go to. Pure.
//!
//! The token account is derived from its owner's address, whatever that is. For
//! a token account, a mint or a program it comes into being all the same and
//! takes payments, and nobody can ever sign for it. An address off the curve is
//! accepted: a multisig's vault is one, and its program signs.

use solana_sdk::pubkey::Pubkey;

use crate::ask::Account;
use crate::error::SolanaError;
use crate::instructions as layout;
use crate::token::TokenProgram;

const TOKEN_2022: Pubkey = spl_token_2022_interface::ID;
const SYSVAR: Pubkey = Pubkey::from_str_const("Sysvar1111111111111111111111111111111111111");
/// Who owns programs, and the accounts that hold their code.
const LOADERS: [Pubkey; 5] = [
    Pubkey::from_str_const("NativeLoader1111111111111111111111111111111"),
    Pubkey::from_str_const("BPFLoader1111111111111111111111111111111111"),
    Pubkey::from_str_const("BPFLoader2111111111111111111111111111111111"),
    Pubkey::from_str_const("BPFLoaderUpgradeab1e11111111111111111111111"),
    Pubkey::from_str_const("LoaderV411111111111111111111111111111111111"),
];
/// Programs that a node without their accounts would not show as such.
const PROGRAMS: [Pubkey; 7] = [
    layout::SYSTEM,
    layout::TOKEN,
    TOKEN_2022,
    layout::ASSOCIATED_TOKEN,
    layout::COMPUTE_BUDGET,
    layout::MEMO,
    layout::LIGHTHOUSE,
];

/// A mint of either token program; with extensions there is a type byte behind it.
const MULTISIG_BYTES: usize = 355;
const TYPE_AT: usize = 165;
const TYPE_MINT: u8 = 1;

/// Refuses what could never take a payment out again; `account` is what stands there.
pub(crate) fn check(
    pay_to: &Pubkey,
    mint: &Pubkey,
    wallet: &Pubkey,
    account: Option<&Account>,
) -> Result<(), SolanaError> {
    let refuse = |problem| Err(SolanaError::Recipient { problem, owner: None });
    if pay_to == mint {
        return refuse("is the mint of asset; put the address of your own wallet there");
    }
    let own = [TokenProgram::Token, TokenProgram::Token2022]
        .map(|program| layout::token_account_of(wallet, mint, program));
    if own.contains(pay_to) {
        return Err(of_a_wallet());
    }
    if PROGRAMS.contains(pay_to) || account.is_some_and(|account| account.executable) {
        return refuse("is a program, which nobody can sign for; put the address of your own wallet there");
    }
    let Some(account) = account else { return Ok(()) };
    let owner = |key: Pubkey| account.owner == key.to_string();
    if LOADERS.into_iter().any(owner) || owner(SYSVAR) {
        return refuse(
            "belongs to the runtime, and nobody can sign for it; put the address of your own wallet there",
        );
    }
    if !owner(layout::TOKEN) && !owner(TOKEN_2022) {
        return Ok(());
    }
    match account.data.len() {
        // A multisig of the token program owns token accounts as a wallet does.
        MULTISIG_BYTES => Ok(()),
        layout::MINT_BYTES => refuse("is a mint; put the address of your own wallet there"),
        _ if account.data.get(TYPE_AT) == Some(&TYPE_MINT) => {
            refuse("is a mint; put the address of your own wallet there")
        }
        _ => Err(SolanaError::Recipient {
            problem: "is a token account; put the address of its owner there",
            owner: account
                .data
                .get(32..64)
                .and_then(|key| Pubkey::try_from(key).ok())
                .map(|key| key.to_string()),
        }),
    }
}

/// One of ours, whose token account it is.
pub(crate) fn of_a_wallet() -> SolanaError {
    let problem = "is a token account, of the network's own wallet; put the address of an owner there";
    SolanaError::Recipient { problem, owner: None }
}

#[cfg(test)]
mod tests;
