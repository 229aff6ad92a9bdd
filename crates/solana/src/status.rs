//! `getSignatureStatuses`: what one endpoint knows of many transactions.

use serde::Deserialize;
use serde_json::{Value, json};
use solana_client::rpc_config::{CommitmentConfig, RpcSignatureStatusConfig};
use solana_client::rpc_request::RpcRequest;

use crate::commitment::Commitment;
use crate::error::SolanaError;
use crate::node::Node;
use crate::rpc::RpcFailure;

/// Signatures in one `getSignatureStatuses` call; the node's own limit.
pub const STATUSES_PER_CALL: usize = 256;

/// How far back a status is known without a history search, in slots: half of what
/// a validator keeps (300 rooted slots), since its roots trail its newest slot and
/// an endpoint may stand for several validators.
pub const STATUS_CACHE_SLOTS: u64 = 150;

/// Base58 of 64 bytes is no longer.
const SIGNATURE_CHARS_MAX: usize = 88;

const STATUSES: RpcRequest = RpcRequest::GetSignatureStatuses;

/// A finalized bank, as far as `getEpochInfo` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct FinalizedHeight {
    #[serde(rename = "absoluteSlot")]
    pub(crate) slot: u64,
    #[serde(rename = "blockHeight")]
    pub(crate) height: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No status at all.
    Nowhere,
    /// Processed only, or confirmed while finalized is asked for.
    Shallow,
    Landed {
        finalized: bool,
        /// It was executed and moved nothing; its message is used up.
        failed: bool,
        slot: u64,
    },
}

impl Seen {
    /// Nothing there, or a failure that is final: it cannot land any more
    /// once its deadline has passed.
    pub(crate) fn is_without_landing(self) -> bool {
        matches!(self, Self::Nowhere | Self::Landed { finalized: true, failed: true, .. })
    }
}

pub(crate) async fn finalized_height(endpoint: &Node) -> Result<FinalizedHeight, RpcFailure> {
    endpoint.ask(RpcRequest::GetEpochInfo, json!([CommitmentConfig::finalized()])).await
}

/// Statuses in the order of `ids`, and the lowest slot they were answered at.
///
/// With `witness`, a transaction that is known to have landed, they come from the
/// history, and each call asks for that one too: whether every call knew it is the
/// third part of the answer. Who does not know what landed keeps no history, and
/// "nowhere" says nothing there.
pub(crate) async fn statuses(
    endpoint: &Node,
    ids: &[&str],
    source: Source<'_>,
    commitment: Commitment,
) -> Result<Statuses, SolanaError> {
    let witness = match source {
        Source::History { witness } => witness,
        Source::Cache => None,
    };
    let room = STATUSES_PER_CALL.saturating_sub(usize::from(witness.is_some()));
    let mut all = Statuses { slot: u64::MAX, seen: Vec::with_capacity(ids.len()), remembers: true };
    for chunk in ids.chunks(room) {
        let asked: Vec<&str> = chunk.iter().copied().chain(witness).collect();
        let search_transaction_history = matches!(source, Source::History { .. });
        let params = json!([asked, RpcSignatureStatusConfig { search_transaction_history }]);
        let answer: Value = endpoint.ask(STATUSES, params).await?;
        let malformed = || RpcFailure::Malformed { method: STATUSES.as_str() };
        let values = answer.get("value").and_then(Value::as_array).ok_or_else(malformed)?;
        if values.len() != asked.len() {
            return Err(malformed().into());
        }
        let slot = answer.pointer("/context/slot").and_then(Value::as_u64).ok_or_else(malformed)?;
        all.slot = all.slot.min(slot);
        all.seen.extend(values.iter().take(chunk.len()).map(|status| seen_of(status, commitment)));
        all.remembers &= witness.is_none() || values.last().is_some_and(|status| !status.is_null());
    }
    Ok(all)
}

/// Where an endpoint looks for statuses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Its memory of the last [`STATUS_CACHE_SLOTS`]: cheap.
    Cache,
    /// All that it has kept.
    History {
        /// A transaction that is known to have landed.
        witness: Option<&'a str>,
    },
}

/// See [`statuses`].
pub(crate) struct Statuses {
    /// The lowest slot of the answers.
    pub(crate) slot: u64,
    /// In the order in which they were asked for.
    pub(crate) seen: Vec<Seen>,
    /// Whether the witness was known in each call.
    pub(crate) remembers: bool,
}

fn seen_of(status: &Value, commitment: Commitment) -> Seen {
    if status.is_null() {
        return Seen::Nowhere;
    }
    let slot = status.get("slot").and_then(Value::as_u64).unwrap_or(0);
    let failed = status.get("err").is_some_and(|err| !err.is_null());
    match (status.get("confirmationStatus").and_then(Value::as_str), commitment) {
        (Some("finalized"), _) => Seen::Landed { finalized: true, failed, slot },
        (Some("confirmed"), Commitment::Confirmed) => Seen::Landed { finalized: false, failed, slot },
        _ => Seen::Shallow,
    }
}

/// Base58 of 64 bytes: a node's words do not pass for a signature.
pub(crate) fn is_signature(text: &str) -> bool {
    text.len() <= SIGNATURE_CHARS_MAX && bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == 64)
}
