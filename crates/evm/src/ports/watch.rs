//! What the chain says of payments, and which endpoints say it.

use std::time::Duration;

use async_trait::async_trait;
use quittance_chain::{ChainFault, Endpoints, Heights, Landed, Watch, Watched};
use quittance_protocol::{EndpointReport, Evidence, PaymentKey, Standing};

use super::{EvmPorts, fault, ours};
use crate::payment::EvmWatch;
use crate::standing::EvmLanded;

fn watch_of(watched: &Watched) -> Result<EvmWatch, ChainFault> {
    Ok(EvmWatch {
        payment: ours(&watched.payment).map_err(|why| ChainFault(why.to_owned()))?.clone(),
        attempts: watched.transactions.clone(),
        named: watched.named.clone(),
        attempt_nonce: watched.nonce,
        attempt_wallet: watched.wallet.clone(),
        from_block: watched.watch_from,
    })
}

fn landed_of(landed: &Landed) -> Result<EvmLanded, ChainFault> {
    Ok(EvmLanded {
        payment: ours(&landed.payment).map_err(|why| ChainFault(why.to_owned()))?.clone(),
        landing: landed.landing.clone(),
        from_block: landed.watch_from,
    })
}

#[async_trait]
impl Watch for EvmPorts {
    async fn scan(&self, watched: &[Watched], _: i64) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        let watches = watched.iter().map(watch_of).collect::<Result<Vec<_>, _>>()?;
        let mut cursor = self.scan.lock().await;
        self.chain.scan(&watches, &mut cursor).await.map_err(fault)
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        let landed = landed.iter().map(landed_of).collect::<Result<Vec<_>, _>>()?;
        self.chain.standing(&landed).await.map_err(fault)
    }

    async fn heights(&self, _: i64) -> Result<Heights, ChainFault> {
        self.chain.heights().await.map_err(fault)
    }

    fn block_ms(&self) -> u64 {
        self.chain.block_ms()
    }

    async fn arrivals(&self) -> Result<Vec<String>, ChainFault> {
        let mut cursor = self.arrivals.lock().await;
        self.chain.arrivals(&mut cursor).await.map_err(fault)
    }
}

#[async_trait]
impl Endpoints for EvmPorts {
    async fn wrong_endpoints(&self) -> Vec<String> {
        let told = |(at, chain): (usize, u64)| format!("rpc_urls[{at}] serves chain {chain}");
        self.chain.wrong_endpoints().await.into_iter().map(told).collect()
    }

    async fn look_at_endpoints(&self, now_ms: i64) -> Vec<EndpointReport> {
        self.chain.look_at_endpoints(now_ms).await
    }

    fn pause(&self) -> Option<Duration> {
        self.chain.endpoints().pause()
    }
}
