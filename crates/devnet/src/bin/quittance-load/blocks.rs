//! When each block first showed at the node itself, and which block holds which
//! transaction. Block times have seconds only; this clock has milliseconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quittance_protocol::{Family, Network};
use serde_json::{Value, json};

use crate::Failure;
use crate::http::{Connection, Target};
use crate::tally::now_ms;

/// Pause between two looks: the resolution of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// Signatures in one status call; the node's own limit.
const STATUSES_PER_CALL: usize = 256;

/// Watches one chain.
#[derive(Clone)]
pub(crate) struct Blocks {
    rpc: Target,
    evm: bool,
    seen: Arc<Mutex<BTreeMap<u64, u64>>>,
}

impl Blocks {
    pub(crate) fn new(network: &str, rpc: &Target) -> Result<Self, Failure> {
        let evm = match network.parse::<Network>()?.family() {
            Family::Eip155(_) => true,
            Family::Solana => false,
        };
        Ok(Self { rpc: rpc.clone(), evm, seen: Arc::default() })
    }

    /// Looks until the task is dropped.
    pub(crate) async fn watch(self) {
        let mut connection = Connection::new(&self.rpc, false);
        let mut newest: Option<u64> = None;
        loop {
            match self.height(&mut connection).await {
                Ok(height) if newest.is_none_or(|before| height > before) => {
                    let at = now_ms();
                    let first = newest.map_or(height, |before| before.saturating_add(1));
                    let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.extend((first..=height).map(|number| (number, at)));
                    newest = Some(height);
                }
                Ok(_) => {}
                Err(error) => eprintln!("load: cannot look at the chain: {error}"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn height(&self, connection: &mut Connection) -> Result<u64, Failure> {
        if self.evm {
            quantity(&connection.call("eth_blockNumber", json!([])).await?)
        } else {
            let slot = connection.call("getSlot", json!([{"commitment": "confirmed"}])).await?;
            Ok(slot.as_u64().ok_or("no slot")?)
        }
    }

    /// For each transaction its block, and when that block first showed.
    pub(crate) async fn places(
        &self,
        transactions: &[String],
    ) -> Result<HashMap<String, (u64, u64)>, Failure> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = Connection::new(&self.rpc, false);
        let mut places = HashMap::new();
        if self.evm {
            for (number, at) in &seen {
                let params = json!([format!("{number:#x}"), false]);
                let block = connection.call("eth_getBlockByNumber", params).await?;
                for hash in block.get("transactions").and_then(Value::as_array).into_iter().flatten() {
                    if let Some(hash) = hash.as_str() {
                        places.insert(hash.to_owned(), (*number, *at));
                    }
                }
            }
            return Ok(places);
        }
        for chunk in transactions.chunks(STATUSES_PER_CALL) {
            let params = json!([chunk, {"searchTransactionHistory": true}]);
            let answer = connection.call("getSignatureStatuses", params).await?;
            let statuses = answer.get("value").and_then(Value::as_array).ok_or("no statuses")?;
            for (transaction, status) in chunk.iter().zip(statuses) {
                let slot = status.get("slot").and_then(Value::as_u64);
                if let Some((slot, at)) = slot.and_then(|slot| seen.get_key_value(&slot)) {
                    places.insert(transaction.clone(), (*slot, *at));
                }
            }
        }
        Ok(places)
    }
}

fn quantity(value: &Value) -> Result<u64, Failure> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or("not a quantity")?;
    Ok(u64::from_str_radix(digits, 16)?)
}
