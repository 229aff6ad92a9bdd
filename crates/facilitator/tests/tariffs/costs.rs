//! The chain double's endpoints, and what it says that settling costs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use quittance_facilitator::chain::{ChainFault, CostSnapshot, Costs, Endpoints, Obstacle};
use quittance_protocol::EndpointReport;
use serde_json::{Map, json};

use super::{COST_WEI, State};

#[async_trait]
impl Endpoints for State {
    async fn wrong_endpoints(&self) -> Vec<String> {
        Vec::new()
    }

    async fn look_at_endpoints(&self, _: i64) -> Vec<EndpointReport> {
        Vec::new()
    }

    fn without_history(&self) -> Vec<usize> {
        if self.keeps_no_history() { vec![0] } else { Vec::new() }
    }

    fn keeps_no_history(&self) -> bool {
        self.forgetful.load(Ordering::SeqCst)
    }

    fn pause(&self) -> Option<Duration> {
        let seconds = self.pause_seconds.load(Ordering::SeqCst);
        (seconds > 0).then_some(Duration::from_secs(seconds))
    }
}

#[async_trait]
impl Costs for State {
    async fn refresh(&self, _: i64) -> Result<CostSnapshot, ChainFault> {
        if self.silent.load(Ordering::SeqCst) {
            return Err(ChainFault("no answer".to_owned()));
        }
        Ok(CostSnapshot {
            cost_native: u128::from(self.cost_wei.load(Ordering::SeqCst)),
            rent_native: u128::from(self.rent_wei.load(Ordering::SeqCst)),
            wallets_native: self.wallets.lock().unwrap().clone(),
            floor_native: 0,
            bound_native: u128::from(COST_WEI),
            owed_account: None,
            obstacle: self.paused.load(Ordering::SeqCst).then_some(Obstacle::TokenPaused),
            detail: json!({}),
            offer_extra: Map::new(),
        })
    }
}
