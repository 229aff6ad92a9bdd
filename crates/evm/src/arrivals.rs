//! Transfers to the payout address, whoever made them: what no row of the ledger explains was landed
//! by somebody else who settles to the same address.

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::sol_types::SolEvent;
use serde_json::json;

use crate::abi::IToken;
use crate::chain::EvmChain;
use crate::config::{ARRIVAL_CALLS_MAX, ARRIVAL_SECONDS_MAX};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::logs::read_logs;
use crate::node::Node;
use crate::proof::{TokenEvent, parse_event};
use crate::text;

/// The first block that was not looked at yet. A new one begins at the head: what arrived before is
/// the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArrivalCursor {
    next: Option<u64>,
}

impl EvmChain {
    /// Hashes of the transactions that moved the token to `pay_to` since the last look, each once;
    /// one log query, and at most [`ARRIVAL_CALLS_MAX`] where the endpoint allows only short ranges:
    /// the next look goes on there, up to [`ARRIVAL_SECONDS_MAX`] behind.
    pub async fn arrivals(&self, cursor: &mut ArrivalCursor) -> Result<Vec<String>, EvmError> {
        let at = *cursor;
        let (found, next) = self.read(|rpc| self.arrivals_on(rpc, at)).await?;
        *cursor = next;
        Ok(found)
    }

    async fn arrivals_on(
        &self,
        rpc: &Node,
        cursor: ArrivalCursor,
    ) -> Result<(Vec<String>, ArrivalCursor), EvmError> {
        let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?.number;
        let newest = head.saturating_sub(self.config().confirmations);
        let Some(next) = cursor.next else {
            return Ok((Vec::new(), ArrivalCursor { next: Some(newest.saturating_add(1)) }));
        };
        if next > newest {
            return Ok((Vec::new(), cursor));
        }
        let first = next.max(newest.saturating_sub(self.blocks_in(ARRIVAL_SECONDS_MAX)));
        let reach = rpc.log_range().reach(ARRIVAL_CALLS_MAX);
        let last = newest.min(first.saturating_add(reach.saturating_sub(1)));
        if first > next
            && let Some(times) = self.told.again("arrivals")
        {
            tracing::warn!(
                from = next,
                to = first,
                times,
                "transfers to the payout address were not looked at"
            );
        }
        let (token, pay_to) = (self.terms().token, self.terms().pay_to);
        let filter = json!({
            "address": token,
            "topics": [[IToken::Transfer::SIGNATURE_HASH], null, [pay_to.into_word()]],
        });
        let mut found = Vec::new();
        let calls = usize::try_from(ARRIVAL_CALLS_MAX).unwrap_or(usize::MAX);
        let (logs, last) = read_logs(rpc, &filter, (first, last), calls).await?;
        for log in logs {
            let Some(TokenEvent::Transfer { to, value, .. }) = parse_event(&log, token) else { continue };
            // Anybody moves nothing from anybody to anybody, and spammers do, all day.
            if value.is_zero() {
                continue;
            }
            let transaction = log["transactionHash"].as_str().and_then(text::word);
            let transaction = format!("{:#x}", transaction.ok_or(RpcError::BadAnswer("log"))?);
            if to == pay_to && !found.contains(&transaction) {
                found.push(transaction);
            }
        }
        Ok((found, ArrivalCursor { next: Some(last.saturating_add(1)) }))
    }
}

#[cfg(test)]
mod tests;
