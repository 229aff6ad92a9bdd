//! Our own transactions, by their hashes.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256};
use quittance_protocol::Evidence;
use quittance_rpc::Endpoint;

use super::search::Search;
use super::{Look, SHOWN, ScanCursor, Watched};
use crate::chain::EvmChain;
use crate::config::RECEIPT_AGAIN_SECONDS;
use crate::error::EvmError;
use crate::header::Block;
use crate::node::Node;
use crate::proof::{Finding, Receipt, find};
use crate::text;

impl EvmChain {
    /// Our own transactions, by hash: those whose nonce the chain has used.
    pub(super) async fn own_transactions(
        &self,
        search: &Search<'_>,
        watched: &[Watched<'_>],
        cursor: &mut ScanCursor,
        look: &mut Look,
    ) {
        let counts = match self.settled_nonces(search.rpc, watched, &search.target).await {
            Ok(counts) => counts,
            Err(error) => return look.misses(error),
        };
        let used = |w: &Watched<'_>| {
            let count = counts.get(&self.wallet_of(w)).copied();
            w.watch.attempt_nonce.zip(count).is_some_and(|(nonce, count)| nonce < count)
        };
        let silent: Vec<&Watched<'_>> =
            watched.iter().filter(|w| !cursor.burned.contains_key(&w.key) && used(w)).collect();
        self.attempts(search, &silent, cursor, look).await;
    }

    /// Whose nonce a payment's attempts use.
    fn wallet_of(&self, watched: &Watched<'_>) -> Address {
        let named = watched.watch.attempt_wallet.as_deref().and_then(text::address);
        named.unwrap_or_else(|| self.asker())
    }

    /// The nonces at the target block of the wallets that an attempt waits for.
    async fn settled_nonces(
        &self,
        rpc: &Node,
        watched: &[Watched<'_>],
        target: &Block,
    ) -> Result<HashMap<Address, u64>, EvmError> {
        let waiting = |w: &&Watched<'_>| w.watch.attempt_nonce.is_some() && !w.watch.attempts.is_empty();
        let wallets: HashSet<Address> = watched.iter().filter(waiting).map(|w| self.wallet_of(w)).collect();
        let mut counts = HashMap::new();
        for wallet in wallets {
            counts.insert(wallet, rpc.nonces(wallet, target.number.into()).await?);
        }
        Ok(counts)
    }

    /// Receipts of our own transactions whose nonce the chain has passed. Each is asked for once, and
    /// again now and then while the node has nothing.
    async fn attempts(
        &self,
        search: &Search<'_>,
        silent: &[&Watched<'_>],
        cursor: &mut ScanCursor,
        look: &mut Look,
    ) {
        let now = search.target.timestamp;
        let due: Vec<(&Watched<'_>, &String)> = silent
            .iter()
            .flat_map(|w| w.watch.attempts.iter().map(move |attempt| (*w, attempt)))
            .filter(|(_, attempt)| !cursor.reported.contains(*attempt))
            .filter(|(_, attempt)| {
                cursor.asked.get(*attempt).is_none_or(|at| now >= at.saturating_add(RECEIPT_AGAIN_SECONDS))
            })
            .collect();
        let mut hashes: Vec<B256> = due.iter().filter_map(|(_, attempt)| text::word(attempt)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut receipts: HashMap<B256, Receipt> = search.receipts_in_blocks(&hashes, cursor.block()).await;
        if let Some(tally) = search.rpc.tally().filter(|_| !receipts.is_empty()) {
            tally.answered(SHOWN);
        }
        hashes.retain(|hash| !receipts.contains_key(hash));
        for answer in search.receipts(&hashes).await {
            match answer {
                Ok((hash, receipt)) => {
                    if let Some(tally) = search.rpc.tally().filter(|_| receipt.is_some()) {
                        tally.answered(SHOWN);
                    }
                    receipts.extend(receipt.map(|receipt| (hash, receipt)));
                }
                Err(error) => look.misses(error),
            }
        }
        let known: Vec<Receipt> = receipts.values().cloned().collect();
        let times = match search.block_times(&known).await {
            Ok(times) => times,
            Err(error) => return look.misses(error),
        };
        for (watched, attempt) in due {
            let Some(receipt) = text::word(attempt).and_then(|hash| receipts.get(&hash)) else {
                cursor.asked.insert(attempt.clone(), now);
                continue;
            };
            if receipt.block > search.target.number {
                // Deeper blocks first; the receipt is due again at the next scan.
                continue;
            }
            let time = times.get(&receipt.block_hash).copied().unwrap_or_default();
            let landing = self.landing(receipt, time, watched);
            match find(&receipt.events, &watched.expected) {
                Finding::Paid => look.found.push((watched.key, Evidence::Settled(landing))),
                Finding::Burned => {
                    cursor.burned.insert(watched.key, landing);
                }
                Finding::Nothing => {
                    cursor.reported.insert(attempt.clone());
                    look.found.push((watched.key, Evidence::Reverted(landing)));
                }
            }
        }
    }
}
