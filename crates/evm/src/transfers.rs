//! Transfers of the token to one address, as far back as logs are shown.

use alloy::eips::BlockNumberOrTag::{Finalized, Latest};
use alloy::primitives::B256;
use alloy::sol_types::SolEvent;
use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use quittance_chain::{ChainFault, Transfer, TransferHistory, TransferPage, TransferQuery};
use quittance_protocol::UnixSeconds;
use serde_json::json;

use crate::abi::IToken;
use crate::chain::EvmChain;
use crate::config::PARALLEL_CALLS_MAX;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::logs::read_logs;
use crate::node::Node;
use crate::proof::{TokenEvent, parse_event};
use crate::text;

/// `eth_getLogs` that one page plans.
const PAGE_CALLS: u64 = 8;

/// Answers that one page may become at an endpoint that allows less than it was planned for.
const PAGE_ANSWERS_MAX: usize = 64;

fn fault(error: impl std::fmt::Display) -> ChainFault {
    ChainFault(error.to_string())
}

#[async_trait]
impl TransferHistory for EvmChain {
    async fn final_block(&self) -> Result<u64, ChainFault> {
        let read = self.read(|rpc| async move {
            let block = rpc.header(Finalized).await?.ok_or(RpcError::BadAnswer("block"))?;
            Ok(block.number)
        });
        read.await.map_err(fault)
    }

    async fn block_at(&self, at: UnixSeconds) -> Result<u64, ChainFault> {
        self.read(|rpc| async move { Ok(newest_until(rpc, at).await?) }).await.map_err(fault)
    }

    async fn transfers(&self, query: &TransferQuery, from: Option<&str>) -> Result<TransferPage, ChainFault> {
        let last = match from {
            Some(from) => from.parse().map_err(|_| ChainFault("no place to go on from".to_owned()))?,
            None => *query.blocks.end(),
        };
        self.read(|rpc| self.page(rpc, query, last)).await.map_err(fault)
    }
}

impl EvmChain {
    /// The newest blocks up to `last` that a few calls show.
    async fn page(&self, rpc: &Node, query: &TransferQuery, last: u64) -> Result<TransferPage, EvmError> {
        let first = *query.blocks.start();
        if last < first {
            return Ok(TransferPage::default());
        }
        let reach = rpc.log_range().reach(PAGE_CALLS);
        let low = last.saturating_sub(reach.saturating_sub(1)).max(first);
        let token = self.terms().token;
        let pay_to = text::address(&query.pay_to)
            .ok_or(EvmError::Config { field: "pay_to", problem: "must be 0x and 40 hex digits" })?;
        let filter = json!({
            "address": token,
            "topics": [[IToken::Transfer::SIGNATURE_HASH], null, [pay_to.into_word()]],
        });
        let (logs, reached) = read_logs(rpc, &filter, (low, last), PAGE_ANSWERS_MAX).await?;
        if reached < last {
            // The range that was learnt plans the next page; what was not reached must not be skipped.
            return Err(RpcError::BadAnswer("list of logs within the calls of a page").into());
        }
        let mut transfers = Vec::new();
        for log in &logs {
            let Some(TokenEvent::Transfer { from, to, value }) = parse_event(log, token) else { continue };
            // Anybody moves nothing from anybody to anybody.
            if to != pay_to || value.is_zero() {
                continue;
            }
            let transaction = log["transactionHash"].as_str().and_then(text::word);
            let transaction = transaction.ok_or(RpcError::BadAnswer("log"))?;
            transfers.push(Transfer {
                block: text::quantity64(&log["blockNumber"])?,
                transaction: format!("{transaction:#x}"),
                payer: Some(from.to_string()),
                amount: u64::try_from(value).map_err(|_| EvmError::Overflow)?,
                cost_native: None,
            });
        }
        if query.with_costs {
            add_costs(rpc, token, &mut transfers).await?;
        }
        transfers.sort_by_key(|transfer| std::cmp::Reverse(transfer.block));
        let next = (low > first).then(|| low.saturating_sub(1).to_string());
        Ok(TransferPage { transfers, next })
    }
}

async fn add_costs(
    rpc: &Node,
    token: alloy::primitives::Address,
    transfers: &mut [Transfer],
) -> Result<(), EvmError> {
    let reads = transfers.iter().map(|transfer| transfer.transaction.clone()).collect::<Vec<_>>();
    let costs: Vec<u128> = stream::iter(reads.into_iter().map(|transaction| async move {
        let hash: B256 = text::word(&transaction).ok_or(RpcError::BadAnswer("log"))?;
        let receipt = crate::proof::parse_receipt(&rpc.receipt(hash).await?, token)?;
        Ok::<_, RpcError>(receipt.ok_or(RpcError::BadAnswer("receipt of a log"))?.cost_wei)
    }))
    .buffered(PARALLEL_CALLS_MAX)
    .try_collect()
    .await?;
    for (transfer, cost) in transfers.iter_mut().zip(costs) {
        transfer.cost_native = Some(cost);
    }
    Ok(())
}

/// By halves: times of blocks never fall.
async fn newest_until(rpc: &Node, at: UnixSeconds) -> Result<u64, RpcError> {
    let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
    if head.timestamp <= at {
        return Ok(head.number);
    }
    let (mut low, mut high) = (0, head.number);
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        let block = rpc.header(middle.into()).await?.ok_or(RpcError::BadAnswer("block"))?;
        match block.timestamp <= at {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(low)
}
