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

use crate::error::SolanaError;
use crate::instructions::{self as layout, ComputeBudget};
use crate::limits::INSTRUCTIONS_MAX;
use crate::message::{WireInstruction, WireTransaction, decode_base64, key, program};
use crate::payment::{Inspected, SolanaPayment};

/// Lighthouse assertions; Phantom puts up to three before the transfer and one behind it.
pub const LIGHTHOUSE_MAX: usize = 4;
/// Bytes of a memo; the reference client's own limit.
pub const MEMO_BYTES_MAX: usize = 256;

const SIGNERS_MAX: usize = 2;
const FEE_PAYER: u8 = 0;
const PAYER: u8 = 1;
const MICRO_LAMPORTS_PER_LAMPORT: u128 = 1_000_000;

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
    pub(crate) decimals: u8,
    pub(crate) token_account: Pubkey,
    pub(crate) compute_unit_limit_max: u32,
    pub(crate) compute_unit_price_micro_lamports_max: u64,
    pub(crate) priority_fee_lamports_max: u64,
}

/// A wallet of ours, whose co-signature must never be what moves anything but the fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnWallet {
    pub(crate) key: Pubkey,
    pub(crate) token_account: Pubkey,
}

impl OwnWallet {
    pub(crate) fn of(key: Pubkey, mint: &Pubkey) -> Self {
        Self { key, token_account: layout::token_account(&key, mint) }
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
        let wallets = match mint == self.mint {
            true => self.wallets.clone(),
            false => self.wallets.iter().map(|wallet| OwnWallet::of(wallet.key, &mint)).collect(),
        };
        Self {
            wallets,
            pay_to,
            mint,
            decimals,
            token_account: layout::token_account(&pay_to, &mint),
            ..self.clone()
        }
    }

    /// Every local check, in the reference's order; no I/O.
    pub(crate) fn check(&self, payload: &PaymentPayload) -> Result<SolanaPayment, SolanaError> {
        let amount = self.check_accepted(&payload.accepted)?;
        let names_another = self.check_fee_payer_hint(&payload.accepted)?;
        let exact: SvmExactPayload =
            serde_json::from_value(payload.payload.clone()).map_err(|_| SolanaError::PayloadShape)?;
        let raw = decode_base64(&exact.transaction);
        let is_paid_by_recipient = |raw: &Vec<u8>| {
            WireTransaction::decode(raw).is_ok_and(|message| message.keys.first() == Some(&self.pay_to))
        };
        if names_another && !raw.as_ref().is_ok_and(is_paid_by_recipient) {
            return Err(SolanaError::FeePayerNotManaged);
        }
        let payment = self.inspect(raw?, amount)?;
        // It tells the seller's receipts apart.
        if let Some(memo) = payload.accepted.memo() {
            payment.check_memo(&memo)?;
        }
        match exact.payer {
            Some(claimed) if claimed != payment.payer() => Err(SolanaError::PayerMismatch),
            _ => Ok(payment),
        }
    }

    /// The transaction's checks alone.
    pub(crate) fn inspect(&self, mut raw: Vec<u8>, amount: Amount) -> Result<SolanaPayment, SolanaError> {
        let transaction = WireTransaction::decode(&raw)?;
        check_signers(&transaction)?;
        let fee_payer = self.check_fee_payer(&transaction)?;
        check_signature(&transaction)?;
        check_instruction_count(&transaction)?;
        let priority_fee_lamports = self.check_compute_budget(&transaction)?;
        let transfer = self.check_transfer(&transaction, amount)?;
        let creation = self.check_others(&transaction, transfer, fee_payer)?;
        self.check_our_other_wallets(&transaction, creation)?;
        check_memo(&transaction)?;
        let payer = transaction.keys.get(usize::from(PAYER)).ok_or(SolanaError::SignatureInvalid)?;
        let inspected = Inspected {
            network: self.network.clone(),
            payer: payer.to_string(),
            amount,
            creates_token_account: creation.is_some(),
            creation_instruction: creation,
            transfer_instruction: transfer,
            priority_fee_lamports,
            pay_to: Some(self.pay_to.to_string()),
            mint: Some(self.mint.to_string()),
        };
        // Slot 0 is ours and not covered by any signature: whatever stands there is dropped,
        // so that copies which differ only there are equal.
        if let Some(slot) = raw.get_mut(1..=crate::message::SIGNATURE_BYTES) {
            slot.fill(0);
        }
        SolanaPayment::new(inspected, raw)
    }

    fn check_accepted(&self, accepted: &PaymentRequirements) -> Result<Amount, SolanaError> {
        if accepted.scheme != "exact" {
            return Err(SolanaError::Scheme);
        }
        if accepted.network != self.network.as_str() {
            return Err(SolanaError::NetworkMismatch);
        }
        if accepted.asset != self.mint.to_string() {
            return Err(SolanaError::MintMismatch);
        }
        if accepted.pay_to != self.pay_to.to_string() {
            return Err(SolanaError::RecipientMismatch);
        }
        if accepted.max_amount_required.as_ref().is_some_and(|max| *max != accepted.amount) {
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
        match !is_ours && !self.is_ours(&self.pay_to) {
            true => Err(SolanaError::FeePayerNotManaged),
            false => Ok(!is_ours),
        }
    }

    /// Any wallet of ours; exactly the one in the message co-signs.
    fn check_fee_payer(&self, transaction: &WireTransaction<'_>) -> Result<Pubkey, SolanaError> {
        let named = transaction.keys.first().filter(|key| self.is_ours(key));
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

    /// Returns the priority fee in lamports. The payer chooses it and we pay
    /// it, so limit and price are capped one by one and in their product.
    fn check_compute_budget(&self, transaction: &WireTransaction<'_>) -> Result<u64, SolanaError> {
        let (mut limit, mut price, mut others) = (None, None, 0_u32);
        for instruction in &transaction.instructions {
            if program(transaction, instruction) != Some(&layout::COMPUTE_BUDGET) {
                others = others.saturating_add(1);
                continue;
            }
            let refusal = if layout::is_unit_price(instruction.data) {
                SolanaError::ComputePrice
            } else {
                SolanaError::ComputeLimit
            };
            let parsed = layout::parse_compute_budget(instruction.data);
            let (Some(parsed), []) = (parsed, instruction.accounts) else { return Err(refusal) };
            let repeated = match parsed {
                ComputeBudget::UnitLimit(units) => limit.replace(units).is_some(),
                ComputeBudget::UnitPrice(micro_lamports) => price.replace(micro_lamports).is_some(),
            };
            if repeated {
                return Err(refusal);
            }
        }
        if let Some(units) = limit.filter(|units| *units > self.compute_unit_limit_max) {
            return Err(SolanaError::ComputeLimitTooHigh { units, max: self.compute_unit_limit_max });
        }
        // Without a limit the runtime grants, and charges for, its default.
        let default = layout::DEFAULT_UNITS_PER_INSTRUCTION.saturating_mul(others).min(layout::UNITS_MAX);
        let price = price.unwrap_or(0);
        let fee = priority_fee(limit.unwrap_or(default), price);
        if price > self.compute_unit_price_micro_lamports_max || fee > self.priority_fee_lamports_max {
            return Err(SolanaError::ComputePriceTooHigh { price, fee });
        }
        Ok(fee)
    }

    /// Returns the position of the one transfer.
    fn check_transfer(
        &self,
        transaction: &WireTransaction<'_>,
        amount: Amount,
    ) -> Result<usize, SolanaError> {
        let (index, instruction, moved, decimals) = transaction
            .instructions
            .iter()
            .enumerate()
            .filter(|(_, instruction)| program(transaction, instruction) == Some(&layout::TOKEN))
            .find_map(|(index, instruction)| {
                let (moved, decimals) = layout::parse_transfer_checked(instruction.data)?;
                Some((index, instruction, moved, decimals))
            })
            .ok_or(SolanaError::NoTransfer)?;
        // A fifth account would be a multisig signer.
        let &[source, mint, destination, authority] = instruction.accounts else {
            return Err(SolanaError::NoTransfer);
        };
        self.check_authority(transaction, source, authority)?;
        if key(transaction, mint) != Some(&self.mint) || decimals != self.decimals {
            return Err(SolanaError::MintMismatch);
        }
        if key(transaction, destination) != Some(&self.token_account) {
            return Err(SolanaError::RecipientMismatch);
        }
        if moved != amount.atomic() {
            return Err(SolanaError::AmountMismatch);
        }
        Ok(index)
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
            owner == Some(&wallet.key)
                || account == Some(&wallet.key)
                || account == Some(&wallet.token_account)
        };
        let ours = authority == FEE_PAYER
            || owner == Some(&self.pay_to)
            || account == Some(&self.token_account)
            || source == FEE_PAYER
            || self.wallets.iter().any(is_ours);
        if ours {
            return Err(SolanaError::FeePayerTransferring);
        }
        if authority != PAYER || transaction.required_signatures != SIGNERS_MAX {
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
                || (program == Some(&layout::LIGHTHOUSE) && lighthouse <= LIGHTHOUSE_MAX);
            if !known {
                return Err(SolanaError::UnknownInstruction { index });
            }
            // As a signer and writable account, the fee payer could be debited by whoever gets it.
            let reads =
                program == Some(&layout::LIGHTHOUSE) && self.only_reads(transaction, instruction, fee_payer);
            if instruction.accounts.contains(&FEE_PAYER) && !reads {
                return Err(SolanaError::FeePayerExposed { index });
            }
        }
        Ok(creation)
    }

    /// Whether a guard that names the fee payer can do no more than look at it.
    ///
    /// What an account may be used for is said once for a whole message, so account 0 is a
    /// writable signer wherever it stands: the header does not keep it from being debited. What
    /// does, whatever the guard's program makes of its data, is that only an account's owner
    /// debits it: the system program is nowhere in the message (a program may call any other that
    /// the message names, the token's too), and nothing is given that could hold tokens of ours:
    /// what a transfer takes from may be ours, the payer's associated account is not. The two
    /// instructions that are no assertions pay rent out of what they are given.
    fn only_reads(
        &self,
        transaction: &WireTransaction<'_>,
        guard: &WireInstruction<'_>,
        fee_payer: Pubkey,
    ) -> bool {
        let payers = key(transaction, PAYER).map(|payer| layout::token_account(payer, &self.mint));
        let not_ours = |at: u8| {
            at == PAYER
                || key(transaction, at) == payers.as_ref()
                || (self.pay_to != fee_payer && key(transaction, at) == Some(&self.token_account))
        };
        layout::is_assertion(guard.data)
            && !transaction.keys.contains(&layout::SYSTEM)
            && guard
                .accounts
                .iter()
                .all(|at| *at == FEE_PAYER || !transaction.is_writable(*at) || not_ours(*at))
    }

    /// Create or CreateIdempotent of *our* token account, funded by the fee
    /// payer, before the transfer: we pay its rent and nobody else's.
    fn check_creation(
        &self,
        transaction: &WireTransaction<'_>,
        index: usize,
        transfer: usize,
        fee_payer: Pubkey,
    ) -> Result<(), SolanaError> {
        let refusal = SolanaError::TokenAccountCreation { index };
        let instruction = transaction.instructions.get(index).ok_or(refusal.clone())?;
        let expected = [fee_payer, self.token_account, self.pay_to, self.mint, layout::SYSTEM, layout::TOKEN];
        let exact = layout::is_ata_create(instruction.data)
            && index < transfer
            && instruction.accounts.len() == expected.len()
            && instruction
                .accounts
                .iter()
                .zip(&expected)
                .all(|(at, want)| key(transaction, *at) == Some(want));
        if exact { Ok(()) } else { Err(refusal) }
    }
}

/// Each signature costs us 5,000 lamports.
fn check_signers(transaction: &WireTransaction<'_>) -> Result<(), SolanaError> {
    let count = transaction.required_signatures;
    if count > SIGNERS_MAX { Err(SolanaError::ExcessiveSigners { count }) } else { Ok(()) }
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
    if valid { Ok(()) } else { Err(SolanaError::SignatureInvalid) }
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
    if memos.next().is_some() {
        return Err(SolanaError::MemoCount);
    }
    let sound = memo.data.len() <= MEMO_BYTES_MAX
        && std::str::from_utf8(memo.data).is_ok()
        && matches!(memo.accounts, [] | [PAYER]);
    if sound { Ok(()) } else { Err(SolanaError::MemoMismatch) }
}

/// Limit × price in lamports, rounded up as the runtime does.
fn priority_fee(units: u32, price_micro_lamports: u64) -> u64 {
    let micro = u128::from(units) * u128::from(price_micro_lamports);
    u64::try_from(micro.div_ceil(MICRO_LAMPORTS_PER_LAMPORT)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
