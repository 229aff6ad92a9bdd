//! Where landings stand after their verdict (invariant I6), many per call.
//!
//! One log query over the blocks in question shows every landing that is still in the chain; only
//! one that is missing there is searched for by itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent;
use quittance_chain::Heights;
use quittance_protocol::{Evidence, Landing, PaymentKey, Standing};
use serde_json::json;

use crate::abi::IToken;
use crate::chain::{EvmChain, is_endpoint_fault, no_endpoint};
use crate::config::YOUNG_QUERIES_MAX;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::logs::read_logs;
use crate::node::Node;
use crate::payment::{EvmPayment, EvmWatch};
use crate::proof::{TokenEvent, parse_event};
use crate::scan::{ScanCursor, finalized};
use crate::text;

/// A payment that has landed, and where.
#[derive(Clone, Debug)]
pub struct EvmLanded {
    /// What was to be paid.
    pub payment: EvmPayment,
    /// Where it was seen last.
    pub landing: Landing,
    /// Block to search from, should it be gone.
    pub from_block: u64,
}

/// What identifies a payment's transfer in the logs of one transaction.
type Transfer = (B256, Address, U256);

/// Where the transfers to us stand now; several equal ones in a batch stand several times.
type Transfers = HashMap<Transfer, Vec<(u64, B256, Option<u64>)>>;

impl EvmChain {
    /// Newest and newest finalized block of one endpoint; the latter 0 from one that knows of none.
    pub async fn heights(&self) -> Result<Heights, EvmError> {
        self.read(heights_of).await
    }

    /// Where these landings stand now, all of it from one endpoint (I7); `Lost` only if a second
    /// one agrees, where there is one. Unknown order, every landing at most once: what lies above the
    /// endpoint's head is left out, and where the endpoint allows only short ranges of logs, those that are not final take turns
    /// ([`YOUNG_QUERIES_MAX`](crate::YOUNG_QUERIES_MAX)).
    pub async fn standing(&self, landed: &[EvmLanded]) -> Result<Vec<(PaymentKey, Standing)>, EvmError> {
        let places = self.endpoints().serving();
        let read = |index, rpc| self.standing_on(index, rpc, landed);
        let answer = self.endpoints().first_that_answers(places, no_endpoint(), read, is_endpoint_fault);
        answer.await.map(|(_, found)| found)
    }

    async fn standing_on(
        &self,
        index: usize,
        rpc: &Node,
        landed: &[EvmLanded],
    ) -> Result<Vec<(PaymentKey, Standing)>, EvmError> {
        let heights = heights_of(rpc).await?;
        // An endpoint that has not come so far says nothing: a head that went back is no
        // reorganisation, and comes again.
        let landed = landed.iter().filter(|l| l.landing.block <= heights.latest);
        let (old, young): (Vec<_>, Vec<_>) = landed.partition(|l| l.landing.block <= heights.finalized);
        let mut found = Vec::with_capacity(old.len().saturating_add(young.len()));
        let mut missing = Vec::new();
        let young = self.in_turn(young, rpc.log_range().blocks());
        // Two ranges: what has become final lies far below what may still move.
        for group in [old, young].into_iter().flat_map(by_recipient) {
            let mut transfers = transfers(rpc, &group, heights.latest).await?;
            for landed in group {
                match take(&mut transfers, landed) {
                    Some(landing) => found.push((landed.payment.key(), stands(landing, heights))),
                    None => missing.push(landed),
                }
            }
        }
        if !missing.is_empty() {
            found.extend(self.search_missing(index, rpc, &missing, heights).await?);
        }
        Ok(found)
    }

    /// As many landings as [`YOUNG_QUERIES_MAX`] log queries reach, others at each look: how many blocks
    /// a chain makes in two minutes must not decide how often its node is asked.
    fn in_turn<'a>(&self, mut young: Vec<&'a EvmLanded>, near: u64) -> Vec<&'a EvmLanded> {
        young.sort_by_key(|landed| landed.landing.block);
        let mut spans: Vec<Vec<&EvmLanded>> = Vec::new();
        for landed in young {
            let begins = |span: &Vec<&EvmLanded>| span.first().map(|first| first.landing.block);
            match spans.last_mut() {
                Some(span)
                    if begins(span).is_some_and(|at| landed.landing.block.saturating_sub(at) < near) =>
                {
                    span.push(landed);
                }
                _ => spans.push(vec![landed]),
            }
        }
        if spans.len() > YOUNG_QUERIES_MAX {
            let turn = self.turn.fetch_add(YOUNG_QUERIES_MAX, Ordering::Relaxed) % spans.len();
            spans.rotate_left(turn);
            spans.truncate(YOUNG_QUERIES_MAX);
        }
        spans.into_iter().flatten().collect()
    }

    /// What is not where it was: moved to another block or transaction, gone for good, or gone for now.
    async fn search_missing(
        &self,
        index: usize,
        rpc: &Node,
        missing: &[&EvmLanded],
        heights: Heights,
    ) -> Result<Vec<(PaymentKey, Standing)>, EvmError> {
        let watches: Vec<EvmWatch> = missing
            .iter()
            .map(|l| EvmWatch {
                payment: l.payment.clone(),
                // It counted when the verdict was given, wherever it stands now.
                attempts: vec![l.landing.transaction.clone()],
                named: None,
                attempt_nonce: None,
                attempt_wallet: None,
                from_block: l.from_block.min(l.landing.block),
            })
            .collect();
        let watched = self.watched(&watches);
        let mut cursor = ScanCursor::default();
        let evidence = self.scan_on(rpc, &watched, &mut cursor).await?;
        let evidence = self.with_second_opinion(index, &watched, evidence, &mut cursor).await;
        let mut open: HashSet<PaymentKey> = watched.iter().map(|w| w.key).collect();
        let mut found = Vec::with_capacity(missing.len());
        for (key, evidence) in evidence {
            let standing = match evidence {
                Evidence::Settled(landing) | Evidence::Earlier(landing) => stands(landing, heights),
                Evidence::Reverted(_) => continue,
                gone @ (Evidence::Canceled(_) | Evidence::Expired { .. }) => Standing::Lost(gone),
            };
            if open.remove(&key) {
                found.push((key, standing));
            }
        }
        found.extend(open.into_iter().map(|key| (key, Standing::Missing)));
        Ok(found)
    }
}

/// Landings by the token and recipient they were claimed with, which a query filters for.
fn by_recipient(landed: Vec<&EvmLanded>) -> Vec<Vec<&EvmLanded>> {
    let mut groups: BTreeMap<(Address, Address), Vec<&EvmLanded>> = BTreeMap::new();
    for one in landed {
        groups.entry((one.payment.token, one.payment.to)).or_default().push(one);
    }
    groups.into_values().collect()
}

/// The transfers of one token to one recipient in the blocks of these landings.
async fn transfers(rpc: &Node, group: &[&EvmLanded], latest: u64) -> Result<Transfers, EvmError> {
    let mut transfers = Transfers::new();
    let mut blocks: Vec<u64> = group.iter().map(|l| l.landing.block.min(latest)).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let Some(first) = group.first() else { return Ok(transfers) };
    let (token, pay_to) = (first.payment.token, first.payment.to);
    let filter = json!({
        "address": token,
        "topics": [[IToken::Transfer::SIGNATURE_HASH], null, [pay_to.into_word()]],
    });
    // Landings that are near each other share a query; never more queries than landings, also at an
    // endpoint that turns out to allow fewer blocks than were asked for.
    let mut rest = blocks.as_slice();
    while let Some(&first) = rest.first() {
        let near = rpc.log_range().blocks();
        let many = rest.partition_point(|block| block.saturating_sub(first) < near).max(1);
        let last = rest.get(many.saturating_sub(1)).copied().unwrap_or(first);
        let (logs, reached) = read_logs(rpc, &filter, (first, last), 1).await?;
        rest = rest.get(rest.partition_point(|block| *block <= reached)..).unwrap_or_default();
        for log in logs {
            let Some(TokenEvent::Transfer { from, value, .. }) = parse_event(&log, token) else {
                continue;
            };
            let word =
                |field: &str| log[field].as_str().and_then(text::word).ok_or(RpcError::BadAnswer("log"));
            let index = text::quantity64(&log["logIndex"]).ok();
            let place = (text::quantity64(&log["blockNumber"])?, word("blockHash")?, index);
            transfers.entry((word("transactionHash")?, from, value)).or_default().push(place);
        }
    }
    Ok(transfers)
}

async fn heights_of(rpc: &Node) -> Result<Heights, EvmError> {
    let latest = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?.number;
    let finalized = finalized(rpc).await?.map_or(0, |block| block.number);
    Ok(Heights { latest, finalized })
}

/// Takes the landing's own transfer out of what was found; block and hash are the chain's now.
fn take(transfers: &mut Transfers, landed: &EvmLanded) -> Option<Landing> {
    let transaction = text::word(&landed.landing.transaction)?;
    let transfer = (transaction, landed.payment.from, U256::from(landed.payment.value));
    let places = transfers.get_mut(&transfer)?;
    // Two payments of one payer in one transaction may be alike but for this.
    let own = places.iter().position(|(_, _, index)| *index == landed.landing.log_index);
    let (block, hash, index) = match own {
        Some(at) => places.remove(at),
        None => places.pop()?,
    };
    let kept = landed.landing.log_index;
    Some(Landing {
        block,
        block_hash: format!("{hash:#x}"),
        // One that an earlier release found has none, and does not move for that.
        log_index: kept.and(index).or(kept),
        ..landed.landing.clone()
    })
}

fn stands(landing: Landing, heights: Heights) -> Standing {
    if landing.block <= heights.finalized { Standing::Finalized(landing) } else { Standing::Landed(landing) }
}

#[cfg(test)]
mod tests;
