//! What the cluster says of payments, and which endpoints say it.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use quittance_chain::{ChainFault, Endpoints, Heights, Landed, Watch, Watched};
use quittance_protocol::{EndpointReport, Evidence, PaymentKey, Standing};

use super::{SolanaPorts, fault, ours};
use crate::payment::SolanaWatch;
use crate::standing::SolanaLanded;

fn watch_of(watched: &Watched) -> Result<SolanaWatch, ChainFault> {
    Ok(SolanaWatch {
        key: watched.key,
        payment: ours(&watched.payment).map_err(|why| ChainFault(why.to_owned()))?.clone(),
        transaction: watched.transactions.last().cloned(),
        named: watched.named.clone(),
        deadline: watched.deadline,
        from_slot: watched.watch_from,
    })
}

fn landed_of(landed: &Landed) -> Result<SolanaLanded, ChainFault> {
    Ok(SolanaLanded {
        key: landed.key,
        payment: ours(&landed.payment).map_err(|why| ChainFault(why.to_owned()))?.clone(),
        landing: landed.landing.clone(),
        deadline: landed.deadline,
    })
}

#[async_trait]
impl Watch for SolanaPorts {
    async fn scan(
        &self,
        watched: &[Watched],
        now_ms: i64,
    ) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        let watches = watched.iter().map(watch_of).collect::<Result<Vec<_>, _>>()?;
        self.chain.scan(&watches, now_ms).await.map_err(fault)
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        let landed = landed.iter().map(landed_of).collect::<Result<Vec<_>, _>>()?;
        self.chain.standing(&landed).await.map_err(fault)
    }

    async fn heights(&self, now_ms: i64) -> Result<Heights, ChainFault> {
        let heights = self.chain.heights().await.map_err(fault)?;
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        let mut slot_time = self.slot_time.write().unwrap_or_else(PoisonError::into_inner);
        slot_time.observe(heights.latest, now_ms);
        Ok(heights)
    }

    fn block_ms(&self) -> u64 {
        self.slot_time.read().unwrap_or_else(PoisonError::into_inner).ms()
    }

    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        let mut cursor = self.arrivals.lock().await;
        self.chain.arrivals(&mut cursor).await.map_err(fault)
    }

    async fn pays_in(&self, transaction: &str) -> Result<bool, ChainFault> {
        self.chain.pays_in(transaction).await.map_err(fault)
    }
}

#[async_trait]
impl Endpoints for SolanaPorts {
    async fn wrong_endpoints(&self) -> Vec<String> {
        let told = |(at, genesis): (usize, String)| {
            format!("rpc_urls[{at}] serves the cluster of genesis {genesis}")
        };
        self.chain.wrong_endpoints().await.into_iter().map(told).collect()
    }

    async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        self.chain.look_at_endpoints(now_ms).await
    }

    fn pause(&self) -> Option<Duration> {
        self.chain.endpoints_pause()
    }

    fn without_history(&self) -> Vec<usize> {
        self.chain.endpoints_without_history()
    }

    fn keeps_no_history(&self) -> bool {
        self.chain.keeps_no_history()
    }
}
