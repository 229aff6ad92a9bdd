//! The customer's side: building and signing a payment, for `quittance pay` and tests.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{PaymentRequirements, Secret, SvmExactPayload};
use quittance_rpc::Endpoints;
use solana_sdk::hash::Hash;
use solana_sdk::signature::{Keypair, Signer};

use crate::ask::{read_account, read_any_mint, read_blockhash};
use crate::commitment::Commitment;
use crate::error::{MalformedTransaction, SolanaError};
use crate::inspect::MEMO_BYTES_MAX;
use crate::instructions as layout;
use crate::key;
use crate::message::{SIGNATURE_BYTES, TRANSACTION_BYTES_MAX};
use crate::node::Node;
use crate::rpc::{HttpRpc, Rpc};
use crate::token::TokenProgram;

/// Enough for the transfer and a memo; what the official client sets is 20,000.
const UNIT_LIMIT: u32 = 40_000;
/// With the creation of the recipient's token account on top.
const UNIT_LIMIT_WITH_CREATION: u32 = 100_000;
const UNIT_PRICE_MICRO_LAMPORTS: u64 = 1;

/// Everything a payment transaction is made of.
#[derive(Clone, Debug)]
pub struct PaymentParts<'a> {
    /// Who pays the fees and signs later, base58.
    pub fee_payer: &'a str,
    /// Owner of the receiving token account, base58.
    pub pay_to: &'a str,
    /// The token's mint, base58.
    pub mint: &'a str,
    /// Whose mint that is.
    pub token_program: TokenProgram,
    /// Its decimals.
    pub decimals: u8,
    /// Atomic units.
    pub amount: u64,
    /// A recent blockhash, base58.
    pub recent_blockhash: &'a str,
    /// Compute unit limit, if one is set.
    pub compute_unit_limit: Option<u32>,
    /// Micro-lamports per compute unit, if a price is set.
    pub compute_unit_price_micro_lamports: Option<u64>,
    /// Whether to create the receiving token account, funded by the fee payer.
    pub create_token_account: bool,
    /// Makes two payments of one amount and blockhash differ.
    pub memo: Option<&'a str>,
}

/// Builds a version 0 transaction signed by the payer, with an empty slot for
/// the fee payer. Pure: the same parts give the same bytes.
pub fn build_payment(payer: &Secret, parts: &PaymentParts<'_>) -> Result<Vec<u8>, SolanaError> {
    build(&key::keypair(payer)?, parts)
}

fn build(payer: &Keypair, parts: &PaymentParts<'_>) -> Result<Vec<u8>, SolanaError> {
    let fee_payer = key::address("fee_payer", parts.fee_payer)?;
    let owner = key::address("pay_to", parts.pay_to)?;
    let mint = key::address("mint", parts.mint)?;
    let blockhash: Hash =
        parts.recent_blockhash.parse().map_err(|_| SolanaError::BadAddress { field: "recent_blockhash" })?;
    let mut instructions = Vec::new();
    instructions.extend(parts.compute_unit_limit.map(layout::set_unit_limit));
    instructions.extend(parts.compute_unit_price_micro_lamports.map(layout::set_unit_price));
    if parts.create_token_account {
        instructions.push(layout::create_token_account_of(&fee_payer, &owner, &mint, parts.token_program));
    }
    let source = layout::token_account_of(&payer.pubkey(), &mint, parts.token_program);
    let destination = layout::token_account_of(&owner, &mint, parts.token_program);
    let accounts = [&source, &mint, &destination, &payer.pubkey()];
    let moved = (parts.amount, parts.decimals);
    instructions.push(layout::transfer_checked_of(parts.token_program, accounts, moved));
    instructions.extend(parts.memo.map(layout::memo));
    let message =
        layout::compile_v0(&fee_payer, &instructions, blockhash).ok_or(MalformedTransaction::Header)?;
    if payer.pubkey() == fee_payer {
        // One signer only: such a payment would be refused, as the fee payer must not be the owner.
        return Err(SolanaError::FeePayerTransferring);
    }
    let mut raw = vec![2];
    raw.extend_from_slice(&[0; SIGNATURE_BYTES]);
    raw.extend_from_slice(payer.sign_message(&message).as_ref());
    raw.extend_from_slice(&message);
    if raw.len() > TRANSACTION_BYTES_MAX {
        return Err(MalformedTransaction::TooLarge { bytes: raw.len() }.into());
    }
    Ok(raw)
}

/// How a payment is made.
#[derive(Clone, Debug, Default)]
pub struct PayerOptions {
    /// `None`: create the recipient's token account if it is missing, at the fee payer's cost.
    pub create_token_account: Option<bool>,
    /// Usually random text, so that no two payments are the same transaction.
    /// The offer's `extra.memo` goes first.
    pub memo: Option<String>,
}

/// A customer's wallet.
pub struct SolanaPayer {
    wallet: Keypair,
}

impl SolanaPayer {
    /// Reads the wallet's key: base58 of 64 bytes or a JSON array of 64 numbers.
    pub fn new(key: &Secret) -> Result<Self, SolanaError> {
        Ok(Self { wallet: key::keypair(key)? })
    }

    /// The wallet's address, base58.
    pub fn address(&self) -> String {
        self.wallet.pubkey().to_string()
    }

    /// Builds and signs a payment for an offer, asking `rpc_url` for mint,
    /// recipient's account and blockhash. Sends nothing. The fee payer is the
    /// offer's `extra.feePayer`, or `payTo` where the offer names none; the
    /// blockhash is the offer's `extra.recentBlockhash`, where it has one.
    pub async fn pay(
        &self,
        requirements: &PaymentRequirements,
        rpc_url: &str,
        rpc_timeout_ms: u64,
        options: &PayerOptions,
    ) -> Result<SvmExactPayload, SolanaError> {
        let rpc = HttpRpc::new(rpc_url, rpc_timeout_ms).ok_or(SolanaError::BadUrl { at: 0 })?;
        self.pay_with(requirements, Arc::new(rpc), options).await
    }

    /// As [`Self::pay`], with an endpoint of the caller's.
    pub async fn pay_with(
        &self,
        requirements: &PaymentRequirements,
        rpc: Arc<dyn Rpc>,
        options: &PayerOptions,
    ) -> Result<SvmExactPayload, SolanaError> {
        if requirements.scheme != "exact" {
            return Err(SolanaError::Scheme);
        }
        let amount = requirements.amount().ok_or(SolanaError::AmountMismatch)?;
        let hint = |name: &str| requirements.extra.get(name).and_then(serde_json::Value::as_str);
        let mint = key::address("asset", &requirements.asset)?;
        let owner = key::address("payTo", &requirements.pay_to)?;
        let endpoints = Endpoints::new(vec![Node::new(rpc)], u64::MAX);
        let (token_program, decimals) = read_any_mint(&endpoints, &mint).await?;
        let create = match options.create_token_account {
            Some(create) => create,
            None => {
                let destination = layout::token_account_of(&owner, &mint, token_program);
                read_account(&endpoints, &destination, Commitment::Confirmed).await?.is_none()
            }
        };
        let memo = hint("memo").or(options.memo.as_deref());
        if memo.is_some_and(|memo| memo.len() > MEMO_BYTES_MAX) {
            return Err(SolanaError::MemoMismatch);
        }
        let blockhash = match hint("recentBlockhash").and_then(|hint| hint.parse::<Hash>().ok()) {
            Some(hinted) => hinted,
            None => read_blockhash(&endpoints, Commitment::Confirmed).await?.hash,
        };
        let raw = build(
            &self.wallet,
            &PaymentParts {
                fee_payer: hint("feePayer").unwrap_or(&requirements.pay_to),
                pay_to: &requirements.pay_to,
                mint: &requirements.asset,
                token_program,
                decimals,
                amount: amount.atomic(),
                recent_blockhash: &blockhash.to_string(),
                compute_unit_limit: Some(if create { UNIT_LIMIT_WITH_CREATION } else { UNIT_LIMIT }),
                compute_unit_price_micro_lamports: Some(UNIT_PRICE_MICRO_LAMPORTS),
                create_token_account: create,
                memo,
            },
        )?;
        Ok(SvmExactPayload {
            transaction: STANDARD.encode(raw),
            payer: Some(self.address()),
            other: serde_json::Map::new(),
        })
    }
}

#[cfg(test)]
mod tests;
