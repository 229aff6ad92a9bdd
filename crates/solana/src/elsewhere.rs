//! Payments whose fee payer is somebody else's: another facilitator signs and sends, and we look.
//!
//! A transaction is known by its fee payer's signature, which is not ours to make here. So where it
//! landed is named by somebody, which proves nothing until the very message stands there, or it is
//! looked for among the payer's own transactions, once it can land no more: without that search
//! nothing expires (I5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{Deadline, Evidence, PaymentKey};
use quittance_rpc::Budget;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::signature::Keypair;

use crate::chain::{SolanaChain, SolanaConfig};
use crate::error::SolanaError;
use crate::inspect::OwnWallet;
use crate::key;
use crate::message::WireTransaction;
use crate::payment::SolanaWatch;
use crate::rpc::RpcFailure;
use crate::scan::judge_landing;
use crate::status::{FinalizedHeight, Seen, Source, is_signature, statuses};

/// Transactions in one page of a payer's, and pages that one search reads.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 3;
/// Transactions of a payer that one search reads whole: since its claim, and until it could land no
/// more. Whoever makes more of them keeps a payment of their own open.
const READS_MAX: usize = 256;

/// What a node answers about a transaction of a later version than was asked for (Solana JSON-RPC).
const UNSUPPORTED_VERSION: i64 = -32_015;

const SIGNATURES: RpcRequest = RpcRequest::GetSignaturesForAddress;
const TRANSACTION: RpcRequest = RpcRequest::GetTransaction;

impl SolanaChain {
    /// Connects to look only: these pay the fees, with keys that are not ours. Nothing is signed,
    /// and no account is created.
    pub async fn watching(config: SolanaConfig, fee_payers: &[String]) -> Result<Self, SolanaError> {
        let stand_in = quittance_protocol::Secret::new(Keypair::new().to_base58_string());
        let mut chain = Self::connect(SolanaConfig { retired: true, ..config }, &stand_in).await?;
        let mint = chain.rules.mint;
        let program = chain.rules.program;
        let own = |text: &String| Ok(OwnWallet::of(key::address("fee payer", text)?, &mint, program));
        chain.rules.wallets = fee_payers.iter().map(own).collect::<Result<_, SolanaError>>()?;
        chain.elsewhere = Some(fee_payers.to_vec());
        chain.paying = fee_payers.len();
        chain.state().await?;
        Ok(chain)
    }

    /// Whether somebody else pays the fees and signs for them.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// The landings among what was named, each read whole: a status alone would prove a landing of
    /// any transaction.
    pub(crate) async fn named_landings(
        &self,
        at: usize,
        watched: &[&SolanaWatch],
    ) -> Result<Vec<(PaymentKey, Evidence)>, SolanaError> {
        let named: Vec<SolanaWatch> = watched.iter().filter_map(|watch| watch.as_named()).collect();
        let named: Vec<&SolanaWatch> =
            named.iter().filter(|watch| is_signature(watch.id()) && !self.memory.is_refuted(watch)).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = named.iter().map(|watch| watch.id()).collect();
        let source = Source::History { witness: None };
        let answer = statuses(self.endpoint(at)?, &ids, source, self.commitment).await?;
        let mut found = Vec::new();
        for (watch, seen) in named.into_iter().zip(answer.seen) {
            let Seen::Landed { failed: false, finalized, .. } = seen else { continue };
            match self.read_landing(at, watch).await {
                Ok(Some(evidence @ Evidence::Settled(_))) => found.push((watch.key, evidence)),
                // What takes a payment away must be final (I5).
                Ok(Some(evidence @ Evidence::Earlier(_))) if finalized => found.push((watch.key, evidence)),
                Ok(_) => {}
                Err(SolanaError::EvidenceMismatch { .. }) => {
                    tracing::warn!(
                        transaction = watch.id(),
                        "a transaction that was named carries another message"
                    );
                    self.memory.refute(watch);
                }
                Err(error) => tracing::debug!(%error, "a named transaction cannot be read"),
            }
        }
        Ok(found)
    }

    /// The landing of a payment that can land no more, among all that its payer had a part in since
    /// its claim. `None`: it never landed, by all that this endpoint keeps. An error says nothing.
    pub(crate) async fn landing_by_others(
        &self,
        at: usize,
        watch: &SolanaWatch,
        reading: FinalizedHeight,
    ) -> Result<Option<Evidence>, SolanaError> {
        let no_history = || SolanaError::NoHistory { endpoint: at };
        if self.endpoint(at)?.first_block().await? > watch.from_slot {
            return Err(no_history());
        }
        let candidates = self.transactions_since(at, watch, reading).await?;
        if candidates.len() > READS_MAX {
            return Err(no_history());
        }
        for signature in candidates {
            let options = json!({
                "encoding": "base64", "commitment": "finalized", "maxSupportedTransactionVersion": 1,
            });
            let answer = self.endpoint(at)?.ask(TRANSACTION, json!([signature, options])).await;
            let answer: Value = match answer {
                // Of a version that none of ours is.
                Err(RpcFailure::Node { code: UNSUPPORTED_VERSION, .. }) => continue,
                answer => answer?,
            };
            // One that is listed and not shown may be the one.
            let raw = raw_of(&answer).ok_or_else(no_history)?;
            // One that does not read is not: ours did. It may well have a lookup table, and be anybody's
            // who mentions this payer.
            let Ok(other) = WireTransaction::decode(&raw) else { continue };
            if other.message == watch.payment.message() {
                let judged = judge_landing(&self.rules, &watch.at(signature), &answer)?;
                return Ok(self.by_whom(judged));
            }
        }
        Ok(None)
    }

    /// Those of the payer that did not fail, newest first, all between the claim and the last slot that
    /// the payment could land in; an error where not all of them are listed. Later ones are anybody's
    /// to make, by the hundred: whoever mentions the payer.
    async fn transactions_since(
        &self,
        at: usize,
        watch: &SolanaWatch,
        reading: FinalizedHeight,
    ) -> Result<Vec<String>, SolanaError> {
        let malformed = || SolanaError::from(RpcFailure::Malformed { method: SIGNATURES.as_str() });
        // Behind a load balancer another node may answer. It has to have come to where the payment could
        // land last; not to the finalized slot: a node may name one above its own bank.
        let reached = last_slot(watch, reading).max(watch.from_slot);
        let (mut found, mut before): (Vec<String>, Option<String>) = (Vec::new(), None);
        let mut budget = Budget::new(PAGES_MAX);
        while budget.take() {
            let mut options = json!({
                "limit": PAGE, "commitment": "finalized", "minContextSlot": reached,
            });
            if let Some(before) = &before {
                options["before"] = json!(before);
            }
            let params = json!([watch.payment.payer(), options]);
            let answer: Value = self.endpoint(at)?.ask(SIGNATURES, params).await?;
            let page = answer.as_array().ok_or_else(malformed)?;
            let mut is_whole = page.len() < PAGE;
            for entry in page {
                let slot = entry.get("slot").and_then(Value::as_u64).ok_or_else(malformed)?;
                is_whole |= slot < watch.from_slot;
                let signature = entry.get("signature").and_then(Value::as_str).ok_or_else(malformed)?;
                before = Some(signature.to_owned());
                let succeeded = entry.get("err").is_none_or(Value::is_null);
                if (watch.from_slot..=reached).contains(&slot) && succeeded && is_signature(signature) {
                    found.push(signature.to_owned());
                }
            }
            if is_whole {
                return Ok(found);
            }
        }
        Err(SolanaError::NoHistory { endpoint: at })
    }
}

impl SolanaWatch {
    /// The same at a transaction that may carry it.
    fn at(&self, transaction: String) -> Self {
        Self { transaction: Some(transaction), ..self.clone() }
    }

    fn as_named(&self) -> Option<Self> {
        self.named.clone().map(|named| self.at(named))
    }
}

/// The last slot in which a payment could land: each block behind its last one took a slot at least.
fn last_slot(watch: &SolanaWatch, reading: FinalizedHeight) -> u64 {
    let Deadline::BlockHeight(last) = watch.deadline else { return reading.slot };
    reading.slot.saturating_sub(reading.height.saturating_sub(last))
}

fn raw_of(answer: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(answer.pointer("/transaction/0")?.as_str()?).ok()
}

#[cfg(test)]
mod tests;
