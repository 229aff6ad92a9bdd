//! The two places beside the first where the fee payer may stand: what a guard looks at, and the
//! creation of our token account.

use solana_sdk::pubkey::Pubkey;

use super::{FEE_PAYER, PAYER, Rules};
use crate::defect::{Defect, holds, is_planted};
use crate::error::SolanaError;
use crate::instructions as layout;
use crate::message::{WireInstruction, WireTransaction, key};

impl Rules {
    /// Whether a guard that names the fee payer can do no more than look at it.
    ///
    /// What an account may be used for is said once for a whole message, so account 0 is a
    /// writable signer wherever it stands: the header does not keep it from being debited. What
    /// does, whatever the guard's program makes of its data, is that only an account's owner
    /// debits it: the system program is nowhere in the message (a program may call any other that
    /// the message names, the token's too), and nothing is given that could hold tokens of ours:
    /// what a transfer takes from may be ours, the payer's associated account is not. The two
    /// instructions that are no assertions pay rent out of what they are given.
    pub(super) fn only_reads(
        &self,
        transaction: &WireTransaction<'_>,
        guard: &WireInstruction<'_>,
        fee_payer: Pubkey,
    ) -> bool {
        let payers =
            key(transaction, PAYER).map(|payer| layout::token_account_of(payer, &self.mint, self.program));
        let not_ours = |at: u8| {
            at == PAYER
                || key(transaction, at) == payers.as_ref()
                || (self.pay_to != fee_payer && key(transaction, at) == Some(&self.token_account))
        };
        let is_harmless = |at: &u8| *at == FEE_PAYER || !transaction.is_writable(*at) || not_ours(*at);
        let reads = layout::is_assertion(guard.data)
            && holds(!transaction.keys.contains(&layout::SYSTEM), Defect::GuardBesideSystem)
            && holds(guard.accounts.iter().all(is_harmless), Defect::GuardBesideWritable);
        holds(reads, Defect::GuardHolds)
    }

    /// Create or CreateIdempotent of *our* token account, funded by the fee
    /// payer, before the transfer: we pay its rent and nobody else's.
    pub(super) fn check_creation(
        &self,
        transaction: &WireTransaction<'_>,
        index: usize,
        transfer: usize,
        fee_payer: Pubkey,
    ) -> Result<(), SolanaError> {
        let refusal = SolanaError::TokenAccountCreation { index };
        let instruction = transaction.instructions.get(index).ok_or(refusal.clone())?;
        let (token, mint) = (self.program.id(), self.mint);
        let expected = [fee_payer, self.token_account, self.pay_to, mint, layout::SYSTEM, token];
        // In the order of the accounts.
        let left_out = [
            &[][..],
            &[Defect::CreationForAnybody, Defect::CreationOfAnyMint],
            &[Defect::CreationForAnybody],
            &[Defect::CreationOfAnyMint],
            &[],
            &[],
        ];
        let is_it = |((at, want), left_out): ((&u8, &Pubkey), &&[Defect])| {
            key(transaction, *at) == Some(want) || left_out.iter().any(|defect| is_planted(*defect))
        };
        let accounts = instruction.accounts;
        let exact = layout::is_ata_create(instruction.data)
            && index < transfer
            && accounts.len() == expected.len()
            && accounts.iter().zip(&expected).zip(&left_out).all(is_it);
        if exact { Ok(()) } else { Err(refusal) }
    }
}
