//! Proof where no endpoint shows receipts: the logs of the block say the same.
//!
//! A log exists only of a transaction that did not fail, and all logs of the token in one block, in
//! their order, are what its receipts would hold. Only the cost is not there: the transaction's gas
//! limit at the price that it paid is its upper bound, and is what is booked.

use std::collections::HashMap;

use alloy::primitives::{Address, B256};
use serde_json::Value;

use super::Watched;
use super::search::{Search, log_word};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::logs::read_block_logs;
use crate::proof::{Receipt, events_of};
use crate::text;

const TRANSACTION: &str = "eth_getTransactionByHash";

/// Who sent a transaction, and the most that it cost.
#[derive(Clone, Copy)]
struct Sender {
    from: Address,
    cost_wei: u128,
}

impl Search<'_> {
    /// What the receipts of these transactions (hash and block hash) would say.
    pub(super) async fn receipts_from_logs(
        &self,
        places: &[(B256, B256)],
        watched: &[Watched<'_>],
    ) -> Result<Vec<Receipt>, EvmError> {
        let mut blocks: HashMap<B256, Vec<Value>> = HashMap::new();
        let mut receipts = Vec::with_capacity(places.len());
        for (transaction, block_hash) in places {
            if !blocks.contains_key(block_hash) {
                let found = read_block_logs(self.rpc, self.token, block_hash).await?;
                blocks.insert(*block_hash, found);
            }
            let all = blocks.get(block_hash).map(Vec::as_slice).unwrap_or_default();
            let of_it =
                |log: &&Value| log_word(log, "transactionHash").is_ok_and(|hash| hash == *transaction);
            let own: Vec<&Value> = all.iter().filter(of_it).collect();
            let first = own.first().ok_or(RpcError::BadAnswer("log of a transaction that it has logs of"))?;
            let sender = self.sender(*transaction, watched).await;
            let (events, log_indices) = events_of(own.iter().copied(), self.token);
            receipts.push(Receipt {
                transaction: *transaction,
                from: sender.from,
                block: text::quantity64(&first["blockNumber"])?,
                block_hash: *block_hash,
                cost_wei: sender.cost_wei,
                events,
                log_indices,
            });
        }
        Ok(receipts)
    }

    /// From the transaction itself; where that is not shown either, ours are known by their hash.
    async fn sender(&self, transaction: B256, watched: &[Watched<'_>]) -> Sender {
        let answer = self.rpc.ask(TRANSACTION, [&transaction]).await;
        if let Some(sender) = answer.ok().and_then(|value| parse_sender(&value)) {
            return sender;
        }
        let hash = format!("{transaction:#x}");
        let mut ours = watched.iter().filter(|w| w.watch.attempts.contains(&hash));
        let Some(first) = ours.next() else { return Sender { from: Address::ZERO, cost_wei: 0 } };
        let wallet = first.watch.attempt_wallet.as_deref().and_then(text::address);
        // Payments that share a transaction cost no more together than each alone.
        let payments = u128::try_from(ours.count()).unwrap_or(u128::MAX).saturating_add(1);
        Sender { from: wallet.unwrap_or(self.wallet), cost_wei: self.cost_max_wei.saturating_mul(payments) }
    }
}

fn parse_sender(value: &Value) -> Option<Sender> {
    let gas = text::quantity(&value["gas"]).ok()?;
    // Of a transaction in a block this is what it paid, not what it offered.
    let price = text::quantity(&value["gasPrice"]).ok()?;
    let from = value["from"].as_str().and_then(text::address)?;
    Some(Sender { from, cost_wei: gas.checked_mul(price)? })
}
