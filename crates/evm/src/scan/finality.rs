//! Endings that need a finalized block: expired and cancelled (I5), and the second opinion (I7).

use std::collections::HashSet;

use alloy::eips::BlockNumberOrTag::{Finalized, Latest};
use alloy::sol_types::{SolCall, SolValue};
use futures::stream::{self, StreamExt, TryStreamExt};
use quittance_protocol::{Evidence, Landing, PaymentKey};
use quittance_rpc::Opinion;
use serde_json::Value;

use super::{ScanCursor, Watched};
use crate::abi::IToken;
use crate::chain::EvmChain;
use crate::config::PARALLEL_CALLS_MAX;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::header::Block;
use crate::logs::read_block_logs;
use crate::node::Node;
use crate::proof::{Finding, find, parse_event, parse_receipt};
use crate::simulate::call;

/// Gas for reading one authorization's state.
const STATE_GAS: u64 = 200_000;

impl EvmChain {
    /// Asks for the finalized block only while a deadline has passed or a nonce is gone.
    pub(super) async fn finality(
        &self,
        rpc: &Node,
        watched: &[Watched<'_>],
        head: &Block,
        cursor: &mut ScanCursor,
        found: &[(PaymentKey, Evidence)],
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        let settled: HashSet<PaymentKey> =
            found.iter().filter(|(_, e)| matches!(e, Evidence::Settled(_))).map(|(key, _)| *key).collect();
        let open: Vec<&Watched<'_>> = watched.iter().filter(|w| !settled.contains(&w.key)).collect();
        let late = open.iter().any(|w| w.watch.payment.valid_before <= head.timestamp);
        if !late && cursor.burned.is_empty() {
            return Ok(Vec::new());
        }
        let Some(finalized) = finalized(rpc).await? else { return Ok(Vec::new()) };
        let mut out = self.canceled(rpc, &open, &finalized, cursor).await?;
        // What this look took was long enough for blocks to come and be final: unused at an older
        // block proves nothing about those.
        let mut newest = head.number;
        if newest < finalized.number {
            let now = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
            if now.number < finalized.number {
                return Ok(out);
            }
            newest = now.number;
        }
        let late: Vec<&Watched<'_>> = open
            .into_iter()
            .filter(|w| w.watch.payment.valid_before <= finalized.timestamp)
            .filter(|w| !cursor.burned.contains_key(&w.key))
            .collect();
        // Collected first: a closure held across an await would not be `Send`.
        let reads: Vec<_> = late
            .into_iter()
            .map(
                |w| async move { Ok::<_, EvmError>((w.key, self.authorization_used(rpc, w, newest).await?)) },
            )
            .collect();
        let states: Vec<(PaymentKey, bool)> =
            stream::iter(reads).buffer_unordered(PARALLEL_CALLS_MAX).try_collect().await?;
        for (key, used) in states {
            if used {
                // It landed or was cancelled, and no log of it was seen: search for it again,
                // once the search under way has come to its end.
                if let Some(watched) = watched.iter().find(|w| w.key == key && cursor.is_searched(w)) {
                    cursor.search_lower(watched);
                }
            } else {
                out.push((key, Evidence::Expired { block: finalized.number, clock: finalized.timestamp }));
            }
        }
        Ok(out)
    }

    /// Nonces found gone whose block is final and still in the chain.
    async fn canceled(
        &self,
        rpc: &Node,
        open: &[&Watched<'_>],
        finalized: &Block,
        cursor: &mut ScanCursor,
    ) -> Result<Vec<(PaymentKey, Evidence)>, EvmError> {
        let mut out = Vec::new();
        for watched in open {
            let Some(landing) = cursor.burned.get(&watched.key) else { continue };
            if landing.block > finalized.number {
                continue;
            }
            let finding = match self.finding_at(rpc, watched, landing).await {
                Ok(finding) => finding,
                // One that cannot be read keeps no other from its end; the next look asks again.
                Err(error) => {
                    tracing::debug!(%error, "a nonce that is gone cannot be looked at");
                    continue;
                }
            };
            match finding {
                Some(Finding::Burned) => out.push((watched.key, Evidence::Canceled(landing.clone()))),
                Some(Finding::Paid) if !watched.counts(landing) => {
                    out.push((watched.key, Evidence::Earlier(landing.clone())));
                }
                _ => {
                    cursor.burned.remove(&watched.key);
                    cursor.progress.remove(&watched.key);
                }
            }
        }
        Ok(out)
    }

    /// What this endpoint's receipt shows, if it stands in the very block; where it shows none, the
    /// logs of that block say the same.
    async fn finding_at(
        &self,
        rpc: &Node,
        watched: &Watched<'_>,
        landing: &Landing,
    ) -> Result<Option<Finding>, EvmError> {
        let token = watched.watch.payment.token;
        let answer = rpc.receipt(&landing.transaction).await;
        if let Ok(value) = &answer
            && let Some(receipt) = parse_receipt(value, token)?
        {
            let here = format!("{:#x}", receipt.block_hash) == landing.block_hash;
            return Ok(here.then(|| find(&receipt.events, &watched.expected)));
        }
        let logs = match (read_block_logs(rpc, token, &landing.block_hash).await, answer) {
            (Ok(logs), _) => logs,
            // Neither a receipt nor such a block: it vanished.
            (Err(_), Ok(_)) => return Ok(None),
            (Err(_), Err(refused)) => return Err(refused.into()),
        };
        let of_it = |log: &&Value| {
            log["transactionHash"]
                .as_str()
                .is_some_and(|hash| hash.eq_ignore_ascii_case(&landing.transaction))
        };
        let events: Vec<_> = logs.iter().filter(of_it).filter_map(|log| parse_event(log, token)).collect();
        Ok((!events.is_empty()).then(|| find(&events, &watched.expected)))
    }

    /// `authorizationState` at a block not older than the finalized one. Unused there proves unused
    /// at the finalized block, since a used nonce stays used; and after a finalized block at or past
    /// `validBefore` the token lets it be used no more. The head is asked because many nodes no
    /// longer have the state of a finalized block.
    async fn authorization_used(
        &self,
        rpc: &Node,
        watched: &Watched<'_>,
        block: u64,
    ) -> Result<bool, EvmError> {
        let (authorizer, nonce) = (watched.expected.from, watched.expected.nonce);
        let input = IToken::authorizationStateCall { authorizer, nonce }.abi_encode();
        let (from, token) = (self.asker(), watched.watch.payment.token);
        let answer = call(rpc, from, token, STATE_GAS, &input, block.into()).await?;
        Ok(bool::abi_decode(&answer).map_err(|_| RpcError::BadAnswer("authorization state"))?)
    }

    /// Keeps endings that take a payment away, and landings of large amounts, only if another
    /// endpoint says the same (I7). With one endpoint its word has to do. What found no agreement is
    /// looked for again by the next scan.
    pub(crate) async fn with_second_opinion(
        &self,
        first: usize,
        watched: &[Watched<'_>],
        found: Vec<(PaymentKey, Evidence)>,
        cursor: &mut ScanCursor,
    ) -> Vec<(PaymentKey, Evidence)> {
        if self.endpoints().all().len() < 2 {
            return found;
        }
        let mut out = Vec::new();
        for (key, evidence) in found {
            let agreed = match watched.iter().find(|w| w.key == key) {
                Some(watched) if self.needs_another(watched, &evidence) => {
                    self.another_agrees(first, watched, &evidence).await
                }
                _ => true,
            };
            if agreed {
                out.push((key, evidence));
            } else {
                cursor.progress.remove(&key);
            }
        }
        out
    }

    fn needs_another(&self, watched: &Watched<'_>, evidence: &Evidence) -> bool {
        match evidence {
            Evidence::Expired { .. } | Evidence::Canceled(_) | Evidence::Earlier(_) => true,
            Evidence::Settled(_) => watched.expected.value >= self.config().second_opinion_value,
            Evidence::Reverted(_) => false,
        }
    }

    /// Asks any other endpoint, healthy ones first, until one says yes or contradicts. One that has
    /// not come so far, or does not answer, says nothing.
    async fn another_agrees(&self, first: usize, watched: &Watched<'_>, evidence: &Evidence) -> bool {
        let opinion = |rpc| async move {
            Ok::<_, EvmError>(match self.agrees(rpc, watched, evidence).await? {
                Some(true) => Opinion::Agrees,
                Some(false) => Opinion::Contradicts,
                None => Opinion::Silent,
            })
        };
        self.endpoints().second_opinion(first, opinion).await
    }

    /// `None`: this endpoint cannot say.
    async fn agrees(
        &self,
        rpc: &Node,
        watched: &Watched<'_>,
        evidence: &Evidence,
    ) -> Result<Option<bool>, EvmError> {
        if let Evidence::Settled(landing) = evidence {
            return Ok(self.finding_at(rpc, watched, landing).await?.map(|found| found == Finding::Paid));
        }
        let Some(finalized) = finalized(rpc).await? else { return Ok(None) };
        let wanted = match evidence {
            Evidence::Expired { .. } => {
                if finalized.timestamp < watched.watch.payment.valid_before {
                    return Ok(None);
                }
                let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
                if head.number < finalized.number {
                    return Ok(None);
                }
                return Ok(Some(!self.authorization_used(rpc, watched, head.number).await?));
            }
            Evidence::Canceled(landing) => (landing, Finding::Burned),
            Evidence::Earlier(landing) => (landing, Finding::Paid),
            Evidence::Settled(_) | Evidence::Reverted(_) => return Ok(Some(true)),
        };
        let (landing, finding) = wanted;
        if landing.block > finalized.number {
            return Ok(None);
        }
        Ok(self.finding_at(rpc, watched, landing).await?.map(|found| found == finding))
    }
}

/// The finalized block, or `None` from a node that knows of none (yet).
pub(crate) async fn finalized(rpc: &Node) -> Result<Option<Block>, EvmError> {
    match rpc.header(Finalized).await {
        Err(RpcError::JsonRpc { message, .. }) => {
            tracing::debug!(%message, "no finalized block");
            Ok(None)
        }
        other => Ok(other?),
    }
}
