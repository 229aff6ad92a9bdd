//! The exact-shape whitelist: what may be in a transaction that we co-sign.
//!
//! Our signature as fee payer authorises everything in the message that names
//! our key, so nothing passes that is not on the list. The order of the checks,
//! and so the code a payer sees, is the reference facilitator's
//! (`@x402/svm`, exact scheme); the list is narrower.

use quittance_chain::GoodSignatures;
use quittance_protocol::{Amount, Network, PaymentPayload, PaymentRequirements, SvmExactPayload};
use sha2::{Digest as _, Sha256};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::Signature;

use crate::defect::{Defect, holds, is_planted};
use crate::error::{MalformedTransaction, SolanaError};
use crate::instructions as layout;
use crate::limits::INSTRUCTIONS_MAX;
use crate::message::{VERSION_1, WireInstruction, WireTransaction, decode_base64, key, program, version_of};
use crate::payment::{Inspected, SolanaPayment};
use crate::token::TokenProgram;

mod budget;
mod exposed;

/// Lighthouse assertions; Phantom puts up to three before the transfer and one behind it.
pub const LIGHTHOUSE_MAX: usize = 4;
/// Bytes of a memo; the reference client's own limit.
pub const MEMO_BYTES_MAX: usize = 256;

const SIGNERS_MAX: usize = 2;
const FEE_PAYER: u8 = 0;
const PAYER: u8 = 1;

/// Of payers.
static GOOD: GoodSignatures = GoodSignatures::new();

/// What our side of every payment looks like.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) network: Network,
    /// Ours that may be fee payers, each with its own token account.
    pub(crate) wallets: Vec<OwnWallet>,
    pub(crate) pay_to: Pubkey,
    pub(crate) mint: Pubkey,
    /// Whose mint it is.
    pub(crate) program: TokenProgram,
    pub(crate) decimals: u8,
    pub(crate) token_account: Pubkey,
    pub(crate) compute_unit_limit_max: u32,
    pub(crate) compute_unit_price_micro_lamports_max: u64,
    pub(crate) priority_fee_lamports_max: u64,
    /// Whether transactions of version 1 are taken.
    pub(crate) transaction_v1: bool,
}

/// A wallet of ours, whose co-signature must never be what moves anything but the fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnWallet {
    pub(crate) key: Pubkey,
    pub(crate) token_account: Pubkey,
}

impl OwnWallet {
    pub(crate) fn of(key: Pubkey, mint: &Pubkey, program: TokenProgram) -> Self {
        Self { key, token_account: layout::token_account_of(&key, mint, program) }
    }
}

impl Rules {
    /// The rules that a claimed payment was inspected with: its own recipient and
    /// token, whatever is configured by now. The limits on what it may cost us, and
    /// what is ours, are today's.
    pub(crate) fn of_claim(&self, payment: &SolanaPayment, decimals: u8) -> Self {
        let inspected = payment.inspected();
        let own = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Pubkey>().ok());
        let (pay_to, mint) = (own(&inspected.pay_to), own(&inspected.mint));
        let (pay_to, mint) = (pay_to.unwrap_or(self.pay_to), mint.unwrap_or(self.mint));
        let program = match mint == self.mint {
            true => self.program,
            false => payment.token_program().unwrap_or(self.program),
        };
        let wallets = match mint == self.mint {
            true => self.wallets.clone(),
            false => self.wallets.iter().map(|wallet| OwnWallet::of(wallet.key, &mint, program)).collect(),
        };
        Self {
            wallets,
            pay_to,
            mint,
            program,
            decimals,
            token_account: layout::token_account_of(&pay_to, &mint, program),
            // What was claimed is finished, whatever is taken by now.
            transaction_v1: true,
            ..self.clone()
        }
    }

    /// Every local check, in the reference's order; no I/O.
    pub(crate) fn check(&self, payload: &PaymentPayload) -> Result<SolanaPayment, SolanaError> {
        let amount = self.check_accepted(&payload.accepted)?;
        let names_another = self.check_fee_payer_hint(&payload.accepted)?;
        let exact: SvmExactPayload =
            serde_json::from_value(payload.payload.clone()).map_err(|_| SolanaError::PayloadShape)?;
        let raw = decode_base64(&exact.transaction).map_err(|error| match error {
            SolanaError::Malformed(MalformedTransaction::TooLargeV1 { .. }) if !self.transaction_v1 => {
                MalformedTransaction::Version { version: VERSION_1 }.into()
            }
            error => error,
        });
        let is_paid_by_recipient = |raw: &Vec<u8>| {
            WireTransaction::decode(raw).is_ok_and(|message| message.keys.first() == Some(&self.pay_to))
        };
        if names_another && !is_planted(Defect::AnyHint) && !raw.as_ref().is_ok_and(is_paid_by_recipient) {
            return Err(SolanaError::FeePayerNotManaged);
        }
        let payment = self.inspect(raw?, amount)?;
        // It tells the seller's receipts apart.
        if let Some(memo) = payload.accepted.memo() {
            payment.check_memo(&memo).or_else(|error| match is_planted(Defect::AnyMemo) {
                true => Ok(()),
                false => Err(error),
            })?;
        }
        match exact.payer {
            Some(claimed) if !holds(claimed == payment.payer(), Defect::AnyPayer) => {
                Err(SolanaError::PayerMismatch)
            }
            _ => Ok(payment),
        }
    }

    /// The transaction's checks alone.
    pub(crate) fn inspect(&self, mut raw: Vec<u8>, amount: Amount) -> Result<SolanaPayment, SolanaError> {
        self.check_version(&raw)?;
        let transaction = WireTransaction::decode(&raw)?;
        check_signers(&transaction)?;
        let fee_payer = self.check_fee_payer(&transaction)?;
        check_signature(&transaction)?;
        check_instruction_count(&transaction)?;
        let priority_fee_lamports = match &transaction.budget {
            None => self.check_compute_budget(&transaction)?,
            Some(budget) => self.check_header_budget(&transaction, budget)?,
        };
        let transfer = self.check_transfer(&transaction, amount)?;
        let creation = self.check_others(&transaction, transfer, fee_payer)?;
        self.check_our_other_wallets(&transaction, creation)?;
        check_memo(&transaction)?;
        let payer = transaction.keys.get(usize::from(PAYER)).ok_or(SolanaError::SignatureInvalid)?;
        let inspected = Inspected {
            network: self.network.clone(),
            payer: payer.to_string(),
            amount,
            creates_token_account: creation.is_some() && !is_planted(Defect::CreationUncounted),
            creation_instruction: creation,
            transfer_instruction: transfer,
            priority_fee_lamports,
            pay_to: Some(self.pay_to.to_string()),
            mint: Some(self.mint.to_string()),
        };
        // Slot 0 is ours and not covered by any signature: whatever stands there is dropped,
        // so that copies which differ only there are equal.
        let ours = transaction.places().signature(usize::from(FEE_PAYER));
        if let Some(slot) = raw.get_mut(ours)
            && !is_planted(Defect::SlotKept)
        {
            slot.fill(0);
        }
        SolanaPayment::new(inspected, raw)
    }

    /// Whoever sends what is not taken must hear of the version, whatever follows it.
    fn check_version(&self, raw: &[u8]) -> Result<(), SolanaError> {
        match version_of(raw) {
            Some(VERSION_1) if !self.transaction_v1 => {
                Err(MalformedTransaction::Version { version: VERSION_1 }.into())
            }
            _ => Ok(()),
        }
    }

    fn check_accepted(&self, accepted: &PaymentRequirements) -> Result<Amount, SolanaError> {
        if !holds(accepted.scheme == "exact", Defect::AnyScheme) {
            return Err(SolanaError::Scheme);
        }
        if !holds(accepted.network == self.network.as_str(), Defect::AnyNetwork) {
            return Err(SolanaError::NetworkMismatch);
        }
        if !holds(accepted.asset == self.mint.to_string(), Defect::AnyAsset) {
            return Err(SolanaError::MintMismatch);
        }
        if !holds(accepted.pay_to == self.pay_to.to_string(), Defect::AnyPayTo) {
            return Err(SolanaError::RecipientMismatch);
        }
        let maximum = accepted.max_amount_required.as_ref();
        if !holds(maximum.is_none_or(|maximum| *maximum == accepted.amount), Defect::AnyMaximum) {
            return Err(SolanaError::AmountMismatch);
        }
        accepted.amount().ok_or(SolanaError::AmountMismatch)
    }

    fn is_ours(&self, key: &Pubkey) -> bool {
        self.wallets.iter().any(|wallet| wallet.key == *key)
    }

    /// `extra` is never trusted; a fee payer that is not ours only earns an earlier refusal. Where
    /// `pay_to` is one of our wallets it may pay whatever the offer named (`true`: a wallet that is
    /// not ours): there are clients that take the recipient for the fee payer and read no `extra`.
    fn check_fee_payer_hint(&self, accepted: &PaymentRequirements) -> Result<bool, SolanaError> {
        let hint = match accepted.extra.get("feePayer") {
            None | Some(serde_json::Value::Null) => return Ok(false),
            Some(hint) => hint.as_str().and_then(|hint| hint.parse::<Pubkey>().ok()),
        };
        let is_ours = hint.is_some_and(|hint| self.is_ours(&hint));
        match !holds(is_ours || self.is_ours(&self.pay_to), Defect::AnyHint) {
            true => Err(SolanaError::FeePayerNotManaged),
            false => Ok(!is_ours),
        }
    }

    /// Any wallet of ours; exactly the one in the message co-signs.
    fn check_fee_payer(&self, transaction: &WireTransaction<'_>) -> Result<Pubkey, SolanaError> {
        let is_one = |key: &&Pubkey| holds(self.is_ours(key), Defect::AnyFeePayer);
        let named = transaction.keys.first().filter(is_one);
        named.copied().ok_or(SolanaError::FeePayerMismatch)
    }

    /// A wallet of ours that is not this message's fee payer signs nothing in it, holds nothing and
    /// is written nowhere: only the creation of its token account may name it, as the owner, where
    /// payments go to it. Whoever gets more of it would have what its next co-signature gives.
    fn check_our_other_wallets(
        &self,
        transaction: &WireTransaction<'_>,
        creation: Option<usize>,
    ) -> Result<(), SolanaError> {
        for (place, key) in transaction.keys.iter().enumerate().skip(1) {
            if !self.is_ours(key) {
                continue;
            }
            let at = u8::try_from(place).unwrap_or(u8::MAX);
            let only_owns = *key == self.pay_to
                && place >= transaction.required_signatures
                && !transaction.is_writable(at);
            let names = |one: &WireInstruction<'_>| one.accounts.contains(&at) || one.program == place;
            let mut naming = transaction.instructions.iter().enumerate().filter(|(_, one)| names(one));
            let exposed = naming.find(|(index, _)| !only_owns || creation != Some(*index));
            if let Some((index, _)) = exposed {
                return Err(SolanaError::FeePayerExposed { index });
            }
            if !only_owns {
                return Err(SolanaError::FeePayerExposed { index: 0 });
            }
        }
        Ok(())
    }

    /// Returns the position of the one transfer.
    fn check_transfer(
        &self,
        transaction: &WireTransaction<'_>,
        amount: Amount,
    ) -> Result<usize, SolanaError> {
        let (index, instruction, moved, decimals) =
            find_transfer(transaction, self.program).ok_or_else(|| self.no_transfer(transaction))?;
        // A fifth account would be a multisig signer.
        let &[source, mint, destination, authority] = instruction.accounts else {
            return Err(SolanaError::NoTransfer);
        };
        self.check_authority(transaction, source, authority)?;
        let is_the_token = key(transaction, mint) == Some(&self.mint) && decimals == self.decimals;
        if !holds(is_the_token, Defect::AnyMint) {
            return Err(SolanaError::MintMismatch);
        }
        let is_paid = key(transaction, destination) == Some(&self.token_account);
        if !holds(is_paid, Defect::AnyDestination) && !is_planted(Defect::AnyMint) {
            return Err(SolanaError::RecipientMismatch);
        }
        let is_enough = holds(moved >= amount.atomic(), Defect::TooLittle);
        if !is_enough || !holds(moved <= amount.atomic(), Defect::TooMuch) {
            return Err(SolanaError::AmountMismatch);
        }
        Ok(index)
    }

    /// One of the other token program is the mistake of a client that did not look whose the mint is.
    fn no_transfer(&self, transaction: &WireTransaction<'_>) -> SolanaError {
        let other = match self.program {
            TokenProgram::Token => TokenProgram::Token2022,
            TokenProgram::Token2022 => TokenProgram::Token,
        };
        match find_transfer(transaction, other) {
            Some((index, ..)) => {
                SolanaError::OtherTokenProgram { index, program: self.program.id().to_string() }
            }
            None => SolanaError::NoTransfer,
        }
    }

    /// Our co-signature must never be what moves tokens.
    fn check_authority(
        &self,
        transaction: &WireTransaction<'_>,
        source: u8,
        authority: u8,
    ) -> Result<(), SolanaError> {
        let owner = key(transaction, authority);
        let account = key(transaction, source);
        let is_ours = |wallet: &OwnWallet| {
            let is_another = key(transaction, FEE_PAYER) != Some(&wallet.key);
            owner == Some(&wallet.key)
                || account == Some(&wallet.key)
                || (account == Some(&wallet.token_account)
                    && !is_planted(Defect::WalletAccountPays)
                    && !(is_another && is_planted(Defect::OtherWalletPays)))
        };
        let ours = authority == FEE_PAYER
            || owner == Some(&self.pay_to)
            || (account == Some(&self.token_account) && !is_planted(Defect::OurAccountPays))
            || source == FEE_PAYER
            || self.wallets.iter().any(is_ours);
        if !holds(!ours, Defect::OurAuthority) {
            return Err(SolanaError::FeePayerTransferring);
        }
        let is_signed = authority == PAYER && transaction.required_signatures == SIGNERS_MAX;
        if !holds(is_signed, Defect::OurAuthority) && !is_planted(Defect::ThirdSigner) {
            return Err(SolanaError::SignatureInvalid);
        }
        Ok(())
    }

    /// Everything besides compute budget and transfer; returns the position of
    /// the creation of our token account, if there is one.
    fn check_others(
        &self,
        transaction: &WireTransaction<'_>,
        transfer: usize,
        fee_payer: Pubkey,
    ) -> Result<Option<usize>, SolanaError> {
        let (mut creation, mut lighthouse) = (None, 0_usize);
        for (index, instruction) in transaction.instructions.iter().enumerate() {
            let program = program(transaction, instruction);
            if index == transfer || program == Some(&layout::COMPUTE_BUDGET) {
                continue;
            }
            if program == Some(&layout::ASSOCIATED_TOKEN) {
                self.check_creation(transaction, index, transfer, fee_payer)?;
                if creation.replace(index).is_some() {
                    return Err(SolanaError::TokenAccountCreation { index });
                }
                continue;
            }
            if program == Some(&layout::LIGHTHOUSE) {
                lighthouse = lighthouse.saturating_add(1);
            }
            let known = program == Some(&layout::MEMO)
                || (program == Some(&layout::LIGHTHOUSE) && lighthouse <= LIGHTHOUSE_MAX)
                || (program == Some(&layout::SYSTEM) && is_planted(Defect::SystemInstructions))
                || (program == Some(&self.program.id()) && is_planted(Defect::TokenInstructions));
            if !holds(known, Defect::AnyInstruction) {
                return Err(SolanaError::UnknownInstruction { index });
            }
            // As a signer and writable account, the fee payer could be debited by whoever gets it.
            let reads =
                program == Some(&layout::LIGHTHOUSE) && self.only_reads(transaction, instruction, fee_payer);
            let memo = program == Some(&layout::MEMO) && is_planted(Defect::MemoSignedByUs);
            if instruction.accounts.contains(&FEE_PAYER) && !reads && !memo {
                return Err(SolanaError::FeePayerExposed { index });
            }
        }
        Ok(creation)
    }
}

/// The first `TransferChecked` of a token program: where it stands, and its amount and decimals.
fn find_transfer<'t, 'd>(
    transaction: &'t WireTransaction<'d>,
    of: TokenProgram,
) -> Option<(usize, &'t WireInstruction<'d>, u64, u8)> {
    let mut instructions = transaction.instructions.iter().enumerate();
    instructions.find_map(|(index, instruction)| {
        let is_its = program(transaction, instruction) == Some(&of.id());
        let (moved, decimals) = layout::parse_transfer_checked(instruction.data).filter(|_| is_its)?;
        Some((index, instruction, moved, decimals))
    })
}

/// Each signature costs us 5,000 lamports.
fn check_signers(transaction: &WireTransaction<'_>) -> Result<(), SolanaError> {
    let count = transaction.required_signatures;
    if !holds(count <= SIGNERS_MAX, Defect::ThirdSigner) {
        Err(SolanaError::ExcessiveSigners { count })
    } else {
        Ok(())
    }
}

/// Verified here because the simulation cannot: our own slot is still empty.
pub(crate) fn check_signature(transaction: &WireTransaction<'_>) -> Result<(), SolanaError> {
    let at = usize::from(PAYER);
    if transaction.required_signatures < SIGNERS_MAX {
        return Ok(()); // nobody but us signs; the transfer check names the reason
    }
    let (Some(signature), Some(payer)) = (transaction.signatures.get(at), transaction.keys.get(at)) else {
        return Err(SolanaError::SignatureInvalid);
    };
    let fact = Sha256::new().chain_update(payer).chain_update(signature).chain_update(transaction.message);
    let valid = GOOD.is_good(fact.finalize().into(), || {
        Signature::from(*signature).verify(payer.as_ref(), transaction.message)
    });
    if holds(valid, Defect::Unsigned) { Ok(()) } else { Err(SolanaError::SignatureInvalid) }
}

fn check_instruction_count(transaction: &WireTransaction<'_>) -> Result<(), SolanaError> {
    let count = transaction.instructions.len();
    if (1..=INSTRUCTIONS_MAX).contains(&count) {
        Ok(())
    } else {
        Err(SolanaError::InstructionCount { count })
    }
}

/// At most one, readable and signed by nobody but the payer.
fn check_memo(transaction: &WireTransaction<'_>) -> Result<(), SolanaError> {
    let mut memos =
        transaction.instructions.iter().filter(|one| program(transaction, one) == Some(&layout::MEMO));
    let Some(memo) = memos.next() else { return Ok(()) };
    if !holds(memos.next().is_none(), Defect::TwoMemos) {
        return Err(SolanaError::MemoCount);
    }
    let is_short = holds(memo.data.len() <= MEMO_BYTES_MAX, Defect::LongMemo);
    let is_payers = holds(matches!(memo.accounts, [] | [PAYER]), Defect::MemoSignedByUs);
    let sound = is_short && is_payers && std::str::from_utf8(memo.data).is_ok();
    if sound { Ok(()) } else { Err(SolanaError::MemoMismatch) }
}

#[cfg(test)]
mod tests;
