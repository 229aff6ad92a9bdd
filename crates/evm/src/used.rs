//! Which transaction used up an authorization that was never claimed here.
//!
//! Anybody can make us look: whoever holds a used authorization has a correct signature. So the
//! search is bounded in calls, in time and in how many run at once, and what is not found stays
//! unnamed.

use std::time::Duration;

use alloy::sol_types::SolEvent;
use serde_json::json;

use crate::abi::IToken;
use crate::chain::{EvmChain, read_block};
use crate::classify;
use crate::logs::{read_range, smaller};
use crate::payment::EvmPayment;
use crate::proof::{TokenEvent, parse_event};
use crate::rpc::{Rpc, RpcError};
use crate::text;

/// Most `eth_getLogs` calls of one search: an hour of blocks at five a second where the endpoint
/// answers for 2,000 at once, where an authorization lives for minutes.
pub const USE_SEARCH_CALLS_MAX: usize = 8;
/// Most searches at once on one chain.
pub const USE_SEARCHES_MAX: usize = 4;
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
    /// it is not found within [`USE_SEARCH_CALLS_MAX`] calls, or too many search already.
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

async fn search(rpc: &dyn Rpc, payment: &EvmPayment) -> Result<Option<AuthorizationUse>, RpcError> {
    let head = read_block(rpc, json!("latest")).await?.ok_or(RpcError::BadAnswer("block"))?;
    let filter = json!({
        "address": payment.token,
        "topics": [
            [IToken::AuthorizationUsed::SIGNATURE_HASH, IToken::AuthorizationCanceled::SIGNATURE_HASH],
            [payment.from.into_word()], [payment.nonce],
        ],
    });
    let mut last = head.number;
    let mut range = rpc.log_range().blocks();
    for _ in 0..USE_SEARCH_CALLS_MAX {
        let first = last.saturating_sub(range.saturating_sub(1));
        match read_range(rpc, &filter, first, last).await {
            Ok(logs) => {
                let of_it = |log: &&serde_json::Value| {
                    parse_event(log, payment.token).and_then(|event| event.authorization())
                        == Some((payment.from, payment.nonce))
                };
                if let Some(log) = logs.iter().find(of_it) {
                    let hash = log["transactionHash"].as_str().and_then(text::word);
                    return Ok(Some(AuthorizationUse {
                        transaction: format!("{:#x}", hash.ok_or(RpcError::BadAnswer("log"))?),
                        canceled: matches!(
                            parse_event(log, payment.token),
                            Some(TokenEvent::Canceled { .. })
                        ),
                    }));
                }
                let Some(below) = first.checked_sub(1) else { break };
                last = below;
            }
            Err(error) => match smaller(range) {
                Some(fewer) if classify::may_be_a_range(&error) => range = fewer,
                _ => return Err(error),
            },
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
