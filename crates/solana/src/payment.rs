//! A payment that passed inspection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{Amount, Deadline, Network, PaymentKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use solana_sdk::hash::Hash;
use solana_sdk::pubkey::Pubkey;

use crate::defect::{Defect, holds};
use crate::error::SolanaError;
use crate::instructions::{MEMO, parse_transfer_checked};
use crate::message::{Places, SIGNATURE_BYTES, WireTransaction, decode_base64, key, program};
use crate::token::TokenProgram;

/// Whose signatures stand where.
const FEE_PAYER: usize = 0;
const PAYER: usize = 1;

/// A customer's transaction that passed every local check.
///
/// Serialises to JSON for the ledger and comes back from there; the
/// whitelist is applied again before it is co-signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPayment", into = "StoredPayment")]
pub struct SolanaPayment {
    inspected: Inspected,
    /// The payer's bytes with an empty slot 0.
    raw: Vec<u8>,
    places: Places,
}

/// What inspection learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inspected {
    pub(crate) network: Network,
    pub(crate) payer: String,
    pub(crate) amount: Amount,
    pub(crate) creates_token_account: bool,
    pub(crate) creation_instruction: Option<usize>,
    pub(crate) transfer_instruction: usize,
    pub(crate) priority_fee_lamports: u64,
    /// Owner of the recipient's token account, and the token: what it was checked
    /// against. Payments of earlier versions do not say; for them it is what is
    /// configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pay_to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mint: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredPayment {
    #[serde(flatten)]
    inspected: Inspected,
    transaction: String,
}

impl From<SolanaPayment> for StoredPayment {
    fn from(payment: SolanaPayment) -> Self {
        Self { transaction: STANDARD.encode(&payment.raw), inspected: payment.inspected }
    }
}

impl TryFrom<StoredPayment> for SolanaPayment {
    type Error = SolanaError;

    fn try_from(stored: StoredPayment) -> Result<Self, SolanaError> {
        Self::new(stored.inspected, decode_base64(&stored.transaction)?)
    }
}

impl SolanaPayment {
    pub(crate) fn new(inspected: Inspected, raw: Vec<u8>) -> Result<Self, SolanaError> {
        let transaction = WireTransaction::decode(&raw)?;
        let (count, places) = (transaction.required_signatures, transaction.places());
        if !holds(count == 2, Defect::ThirdSigner) {
            return Err(SolanaError::ExcessiveSigners { count });
        }
        Ok(Self { inspected, raw, places })
    }

    /// The payment key: network and message bytes (invariant I1).
    pub fn key(&self) -> PaymentKey {
        PaymentKey::solana(self.inspected.network.as_str(), self.message())
    }

    /// The token owner that signed, base58.
    pub fn payer(&self) -> &str {
        &self.inspected.payer
    }

    /// The blockhash that the payer signed over.
    pub(crate) fn blockhash(&self) -> Option<Hash> {
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        Some(Hash::new_from_array(transaction.recent_blockhash))
    }

    /// The token account that the money comes from, base58.
    pub fn source(&self) -> Option<String> {
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        let transfer = transaction.instructions.get(self.inspected.transfer_instruction)?;
        let source = key(&transaction, *transfer.accounts.first()?)?;
        Some(source.to_string())
    }

    /// What the transfer moves, in atomic units.
    pub fn amount(&self) -> Amount {
        self.inspected.amount
    }

    /// Whether the transaction carries the creation of our token account.
    pub fn creates_token_account(&self) -> bool {
        self.inspected.creates_token_account
    }

    /// The priority fee the payer chose, in lamports.
    pub fn priority_fee_lamports(&self) -> u64 {
        self.inspected.priority_fee_lamports
    }

    /// SHA-256 of the message bytes.
    pub fn message_hash(&self) -> [u8; 32] {
        Sha256::digest(self.message()).into()
    }

    /// SHA-256 of the payer's signature: another one for a known key is another
    /// presenter, or a second signature of the same owner.
    pub fn signature_digest(&self) -> [u8; 32] {
        let signature = self.raw.get(self.places.signature(PAYER)).unwrap_or_default();
        Sha256::digest(signature).into()
    }

    /// The memo's text, if there is one.
    pub fn memo(&self) -> Option<String> {
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        let memo = transaction.instructions.iter().find(|one| program(&transaction, one) == Some(&MEMO))?;
        String::from_utf8(memo.data.to_vec()).ok()
    }

    /// For a seller that demands a memo (`extra.memo` of its own offer).
    pub fn check_memo(&self, demanded: &str) -> Result<(), SolanaError> {
        match self.memo() {
            None => Err(SolanaError::MemoCount),
            Some(memo) if memo == demanded => Ok(()),
            Some(_) => Err(SolanaError::MemoMismatch),
        }
    }

    /// Who pays the transaction's fee, base58.
    pub fn fee_payer(&self) -> Option<String> {
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        transaction.keys.first().map(ToString::to_string)
    }

    /// Decimals that the transfer names; the token program compares them with the mint's.
    pub(crate) fn decimals(&self) -> Option<u8> {
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        let transfer = transaction.instructions.get(self.inspected.transfer_instruction)?;
        parse_transfer_checked(transfer.data).map(|(_, decimals)| decimals)
    }

    /// Which token program the transfer is made with.
    pub(crate) fn token_program(&self) -> Option<TokenProgram> {
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        let transfer = transaction.instructions.get(self.inspected.transfer_instruction)?;
        TokenProgram::of_id(program(&transaction, transfer)?)
    }

    /// The token account that the transfer goes to, from the message itself.
    pub(crate) fn destination(&self) -> Option<Pubkey> {
        const DESTINATION: usize = 2;
        let transaction = WireTransaction::decode(&self.raw).ok()?;
        let transfer = transaction.instructions.get(self.inspected.transfer_instruction)?;
        let at = transfer.accounts.get(DESTINATION)?;
        transaction.keys.get(usize::from(*at)).copied()
    }

    pub(crate) fn inspected(&self) -> &Inspected {
        &self.inspected
    }

    pub(crate) fn message(&self) -> &[u8] {
        self.raw.get(self.places.message()).unwrap_or_default()
    }

    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The payer's bytes with our signature in slot 0.
    pub(crate) fn with_signature(&self, signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
        let mut raw = self.raw.clone();
        if let Some(slot) = raw.get_mut(self.places.signature(FEE_PAYER)) {
            slot.copy_from_slice(signature);
        }
        raw
    }
}

/// A payment whose outcome is looked for on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SolanaWatch {
    /// The payment's key, given back with its evidence.
    pub key: PaymentKey,
    /// The inspected payment.
    pub payment: SolanaPayment,
    /// Our signature, base58: the transaction's id. None before it was made:
    /// then nothing can land, and only the deadline is waited for.
    pub transaction: Option<String>,
    /// Where somebody else signs as fee payer: a transaction that is said to carry the payment.
    pub named: Option<String>,
    /// Last valid block height of the payer's blockhash, or above.
    pub deadline: Deadline,
    /// Slot of the state that showed it unused; its landing can only be later.
    pub from_slot: u64,
}

impl SolanaWatch {
    /// The transaction's id; empty before there is one.
    pub(crate) fn id(&self) -> &str {
        self.transaction.as_deref().unwrap_or_default()
    }
}
