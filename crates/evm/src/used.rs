//! Which transaction used up an authorization that was never claimed here.
//!
//! Anybody can make us look: whoever holds a used authorization has a correct signature. So the
//! search is bounded in calls, in time and in how many run at once, and what is not found stays
//! unnamed.

use std::time::Duration;

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::sol_types::{SolCall, SolEvent};
use quittance_rpc::Budget;
use serde_json::json;

use crate::abi::IToken;
use crate::chain::EvmChain;
use crate::classify;
use crate::config::READ_GAS;
use crate::failure::RpcError;
use crate::logs::read_range;
use crate::node::Node;
use crate::payment::EvmPayment;
use crate::proof::{TokenEvent, parse_event};
use crate::simulate::call;
use crate::text;

/// Most `eth_getLogs` calls of one search that are answered; refusals teach the range and do not count.
pub const USE_SEARCH_CALLS_MAX: usize = 8;
/// How far back the state is asked where logs come in short ranges: an hour of blocks at five a second.
const STATE_BLOCKS_MAX: u64 = 18_000;
/// First step back; each further one is twice as long.
const STATE_BLOCKS_FIRST: u64 = 64;
/// Longest search.
const USE_SEARCH_MAX: Duration = Duration::from_secs(4);

/// What became of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationUse {
    /// The transaction's hash.
    pub transaction: String,
    /// Whether the payer cancelled it; else it was used.
    pub canceled: bool,
}

impl EvmChain {
    /// The transaction that used or cancelled the authorization, the newest blocks first. `None` if
    /// it is not found within bounds, or too many search already.
    pub async fn find_use(&self, payment: &EvmPayment) -> Option<AuthorizationUse> {
        let _place = self.use_searches().try_acquire().ok()?;
        let search = self.read(|rpc| async move { Ok(search(rpc, payment).await?) });
        match tokio::time::timeout(USE_SEARCH_MAX, search).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(%error, "what used an authorization could not be looked for");
                None
            }
            Err(_) => None,
        }
    }
}

/// The newest logs first. Where the endpoint allows only short ranges that reaches back seconds, so
/// the block is found by the token's own word at earlier blocks, and its logs alone are read.
async fn search(rpc: &Node, payment: &EvmPayment) -> Result<Option<AuthorizationUse>, RpcError> {
    let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
    let mut logs = Newest { rpc, payment, range: rpc.log_range().blocks(), next: Some(head.number) };
    if let Some(found) = logs.look().await? {
        return Ok(Some(found));
    }
    let Some(unsearched) = logs.next else { return Ok(None) };
    // Nodes keep the state of a bounded number of blocks; some of none.
    if let Ok(Some(block)) = block_of_use(rpc, payment, unsearched).await {
        let found = read_range(rpc, &filter_of(payment), block, block).await?;
        return use_in(&found, payment);
    }
    let mut budget = Budget::new(USE_SEARCH_CALLS_MAX.saturating_sub(1));
    while budget.take() {
        if let Some(found) = logs.look().await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Logs from the newest block down.
struct Newest<'a> {
    rpc: &'a Node,
    payment: &'a EvmPayment,
    range: u64,
    /// The newest block that was not looked at.
    next: Option<u64>,
}

impl Newest<'_> {
    /// One answer's worth of blocks.
    async fn look(&mut self) -> Result<Option<AuthorizationUse>, RpcError> {
        let Some(last) = self.next else { return Ok(None) };
        loop {
            let first = last.saturating_sub(self.range.saturating_sub(1));
            match read_range(self.rpc, &filter_of(self.payment), first, last).await {
                Ok(logs) => {
                    if self.range < self.rpc.log_range().blocks() {
                        self.rpc.log_range().learn(self.range);
                    }
                    self.next = first.checked_sub(1);
                    return use_in(&logs, self.payment);
                }
                Err(error) => match self.rpc.log_range().smaller(self.range) {
                    Some(fewer) if classify::may_be_a_range(&error) => self.range = fewer,
                    _ => return Err(error),
                },
            }
        }
    }
}

fn filter_of(payment: &EvmPayment) -> serde_json::Value {
    json!({
        "address": payment.token,
        "topics": [
            [IToken::AuthorizationUsed::SIGNATURE_HASH, IToken::AuthorizationCanceled::SIGNATURE_HASH],
            [payment.from.into_word()], [payment.nonce],
        ],
    })
}

fn use_in(logs: &[serde_json::Value], payment: &EvmPayment) -> Result<Option<AuthorizationUse>, RpcError> {
    let of_it = |log: &&serde_json::Value| {
        parse_event(log, payment.token).and_then(|event| event.authorization())
            == Some((payment.from, payment.nonce))
    };
    let Some(log) = logs.iter().find(of_it) else { return Ok(None) };
    let hash = log["transactionHash"].as_str().and_then(text::word);
    Ok(Some(AuthorizationUse {
        transaction: format!("{:#x}", hash.ok_or(RpcError::BadAnswer("log"))?),
        canceled: matches!(parse_event(log, payment.token), Some(TokenEvent::Canceled { .. })),
    }))
}

/// The block that used the authorization, at `newest` or below; `None` if it lies beyond
/// [`STATE_BLOCKS_MAX`].
async fn block_of_use(rpc: &Node, payment: &EvmPayment, newest: u64) -> Result<Option<u64>, RpcError> {
    if !is_used_at(rpc, payment, newest).await? {
        return Ok(None);
    }
    let (mut used, mut step) = (newest, STATE_BLOCKS_FIRST);
    let mut unused = loop {
        if step > STATE_BLOCKS_MAX || used == 0 {
            return Ok(None);
        }
        let below = used.saturating_sub(step);
        if !is_used_at(rpc, payment, below).await? {
            break below;
        }
        (used, step) = (below, step.saturating_mul(2));
    };
    while used.saturating_sub(unused) > 1 {
        let middle = unused.midpoint(used);
        match is_used_at(rpc, payment, middle).await? {
            true => used = middle,
            false => unused = middle,
        }
    }
    Ok(Some(used))
}

async fn is_used_at(rpc: &Node, payment: &EvmPayment, block: u64) -> Result<bool, RpcError> {
    let asked = IToken::authorizationStateCall { authorizer: payment.from, nonce: payment.nonce };
    let answer = call(rpc, payment.from, payment.token, READ_GAS, &asked.abi_encode(), block.into()).await?;
    IToken::authorizationStateCall::abi_decode_returns(&answer)
        .map_err(|_| RpcError::BadAnswer("authorizationState"))
}

#[cfg(test)]
mod tests;
