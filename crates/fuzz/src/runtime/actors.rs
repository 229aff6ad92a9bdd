//! Who is there, and what stands where.

use solana_sdk::hash::{Hash, hashv};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::{Keypair, Signer};
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;

/// SPL Token, or p-token in its place.
pub(crate) const TOKEN: Pubkey = spl_token_interface::ID;
pub(crate) const TOKEN_2022: Pubkey = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
pub(crate) const ASSOCIATED_TOKEN: Pubkey = spl_associated_token_account_interface::program::ID;
pub(crate) const SYSTEM: Pubkey = Pubkey::from_str_const("11111111111111111111111111111111");
pub(crate) const COMPUTE_BUDGET: Pubkey =
    Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
pub(crate) const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
pub(crate) const LIGHTHOUSE: Pubkey = Pubkey::from_str_const("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");
pub(crate) const STAKE: Pubkey = Pubkey::from_str_const("Stake11111111111111111111111111111111111111");
pub(crate) const LOOKUP: Pubkey = Pubkey::from_str_const("AddressLookupTab1e1111111111111111111111111");
pub(crate) const BLOCKHASHES: Pubkey = Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");
pub(crate) const RENT: Pubkey = Pubkey::from_str_const("SysvarRent111111111111111111111111111111111");
pub(crate) const CLOCK: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");
pub(crate) const STAKE_HISTORY: Pubkey =
    Pubkey::from_str_const("SysvarStakeHistory1111111111111111111111111");

/// Lamports that a payer may let us pay for being first.
pub(crate) const PRIORITY_MAX: u64 = 10_000;

/// The blockhash of whoever uses a nonce that lasts.
pub(crate) fn nonce_value() -> Hash {
    hashv(&[b"quittance fuzz nonce"])
}

/// The key of a role.
pub(crate) fn key(role: &str) -> Keypair {
    Keypair::new_from_array(hashv(&[b"quittance fuzz ", role.as_bytes()]).to_bytes())
}

/// The address of a role that has no key.
pub(crate) fn place(name: &str) -> Pubkey {
    Pubkey::new_from_array(hashv(&[b"quittance fuzz place ", name.as_bytes()]).to_bytes())
}

/// The associated token account.
pub(crate) fn associated(owner: &Pubkey, mint: &Pubkey, program: &Pubkey) -> Pubkey {
    get_associated_token_address_with_program_id(owner, mint, program)
}

/// Everybody.
pub(crate) struct Actors {
    /// Our fee payer.
    pub(crate) wallet: Keypair,
    /// Another wallet of ours.
    pub(crate) other: Keypair,
    /// Who pays.
    pub(crate) payer: Keypair,
    /// A second key of an attacker's.
    pub(crate) third: Keypair,
    /// A seller that is no wallet.
    pub(crate) merchant: Keypair,
    /// Whose the token is that is sold for.
    pub(crate) program: Pubkey,
    /// The other token program.
    pub(crate) other_program: Pubkey,
    /// The token that is sold for.
    pub(crate) mint: Pubkey,
    /// Another one of the same program.
    pub(crate) other_mint: Pubkey,
    /// One of the other program.
    pub(crate) foreign_mint: Pubkey,
    /// Of our wallet, beside its associated ones.
    pub(crate) wallets_spare: Pubkey,
    pub(crate) wallets_nonce: Pubkey,
    pub(crate) wallets_stake: Pubkey,
    /// Of the payer's, beside its associated one.
    pub(crate) payers_spare: Pubkey,
    pub(crate) payers_nonce: Pubkey,
    pub(crate) payers_stake: Pubkey,
    /// Of the third one, with the payer as delegate.
    pub(crate) delegated: Pubkey,
    pub(crate) table: Pubkey,
}

impl Actors {
    pub(crate) fn new(is_2022: bool) -> Self {
        let (program, other_program) = if is_2022 { (TOKEN_2022, TOKEN) } else { (TOKEN, TOKEN_2022) };
        Self {
            program,
            other_program,
            wallet: key("wallet"),
            other: key("other wallet"),
            payer: key("payer"),
            third: key("third"),
            merchant: key("merchant"),
            mint: place("mint"),
            other_mint: place("other mint"),
            foreign_mint: place("mint of Token-2022"),
            wallets_spare: place("wallet's spare account"),
            wallets_nonce: place("wallet's nonce"),
            wallets_stake: place("wallet's stake"),
            payers_spare: place("payer's spare account"),
            payers_nonce: place("payer's nonce"),
            payers_stake: place("payer's stake"),
            delegated: place("delegated"),
            table: place("table"),
        }
    }

    /// The account of `owner` for the token that is sold for.
    pub(crate) fn account(&self, owner: &Pubkey) -> Pubkey {
        associated(owner, &self.mint, &self.program)
    }

    /// The account of `owner` for the token of the other program.
    pub(crate) fn foreign_account(&self, owner: &Pubkey) -> Pubkey {
        associated(owner, &self.foreign_mint, &self.other_program)
    }

    /// Those whose keys an attacker may have.
    pub(crate) fn strangers(&self) -> [&Keypair; 3] {
        [&self.payer, &self.third, &self.merchant]
    }

    /// Whatever an instruction may be given.
    pub(crate) fn pool(&self) -> Vec<Pubkey> {
        let people = [&self.wallet, &self.other, &self.payer, &self.third, &self.merchant];
        let mut pool: Vec<Pubkey> = people.iter().map(|one| one.pubkey()).collect();
        let accounts: Vec<Pubkey> = pool.iter().map(|owner| self.account(owner)).collect();
        pool.extend(accounts);
        pool.extend([self.mint, self.other_mint, self.foreign_mint]);
        pool.extend([self.wallets_spare, self.wallets_nonce, self.wallets_stake]);
        pool.extend([self.payers_spare, self.payers_nonce, self.payers_stake, self.delegated]);
        for owner in [self.wallet.pubkey(), self.payer.pubkey()] {
            pool.push(associated(&owner, &self.other_mint, &self.program));
            pool.push(self.foreign_account(&owner));
        }
        pool.extend([TOKEN, TOKEN_2022, ASSOCIATED_TOKEN, SYSTEM, MEMO, COMPUTE_BUDGET, STAKE, LOOKUP]);
        pool.extend([BLOCKHASHES, RENT, CLOCK, STAKE_HISTORY, self.table, place("nothing")]);
        pool
    }
}
