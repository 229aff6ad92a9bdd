//! The ports of a chain on which somebody else signs and sends: nothing costs us anything, and
//! nothing of ours is ever signed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use quittance_protocol::{DurableAttempt, SendOutcome, SignedBytes};

use super::look::InTheWay;
use super::{Remote, Sold};
use crate::chain::{
    Broadcast, ChainFault, CostAllowed, CostSnapshot, Costs, Sent, Sign, SignRefused, Verified,
};

/// Why nothing is signed or sent here.
const NOT_HERE: &str = "[facilitator] settles: nothing is signed or sent here";

/// See the module.
pub(crate) struct SettledElsewhere {
    remote: Arc<Remote>,
    sold: Sold,
    costs: Arc<dyn Costs>,
    /// What was said of it last, so that the log hears it once.
    told: Mutex<Option<InTheWay>>,
}

impl SettledElsewhere {
    pub(crate) fn new(remote: Arc<Remote>, sold: Sold, costs: Arc<dyn Costs>) -> Self {
        Self { remote, sold, costs, told: Mutex::default() }
    }

    fn tell(&self, found: Option<&InTheWay>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != found {
            let network = &self.sold.network;
            match found {
                Some(InTheWay { why, .. }) => {
                    tracing::warn!(%network, why, "the facilitator takes no payments");
                }
                None => tracing::info!(%network, "the facilitator takes payments"),
            }
            *told = found.cloned();
        }
    }
}

impl Sign for SettledElsewhere {
    fn cost_bound(&self, _: &Verified, _: u128) -> Result<u128, SignRefused> {
        Ok(0)
    }

    fn settlement_bound(&self, _: u128) -> Option<u128> {
        Some(0)
    }

    fn sign(
        &self,
        _: &Verified,
        _: &str,
        _: Option<u64>,
        _: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        Err(SignRefused::never(NOT_HERE))
    }
}

#[async_trait]
impl Broadcast for SettledElsewhere {
    async fn broadcast(&self, _: &dyn DurableAttempt) -> Sent {
        SendOutcome::Unknown { reason: NOT_HERE.to_owned() }.into()
    }
}

#[async_trait]
impl Costs for SettledElsewhere {
    /// The chain's own obstacles come first: they are everybody's.
    async fn refresh(&self, now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let (costs, looked) = tokio::join!(self.costs.refresh(now_ms), self.remote.look(&self.sold));
        let found = looked.err();
        self.tell(found.as_ref());
        let costs = costs?;
        Ok(CostSnapshot {
            cost_native: 0,
            rent_native: 0,
            wallets_native: Vec::new(),
            floor_native: 0,
            bound_native: 0,
            owed_account: None,
            obstacle: costs.obstacle.or(found.map(|found| found.obstacle)),
            ..costs
        })
    }
}
