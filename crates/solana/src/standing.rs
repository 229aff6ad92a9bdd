//! Where landings stand after their verdict (invariant I6), many per call.

use quittance_chain::Heights;
use quittance_protocol::{Deadline, Evidence, Landing, PaymentKey, Standing};
use serde_json::json;

use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::history::{LookBack, Scope};
use crate::payment::{SolanaPayment, SolanaWatch};
use crate::rpc::RpcFailure;
use crate::status::{Seen, Source, finalized_height, statuses};

const SLOT: &str = "getSlot";

/// A payment that has landed, and where.
#[derive(Clone, Debug)]
pub struct SolanaLanded {
    /// Which payment.
    pub key: PaymentKey,
    /// What was to be paid.
    pub payment: SolanaPayment,
    /// Where it was seen last.
    pub landing: Landing,
    /// When it could land no more.
    pub deadline: Deadline,
}

impl SolanaChain {
    /// Newest and newest finalized slot of one endpoint.
    pub async fn heights(&self) -> Result<Heights, SolanaError> {
        let mut failure = SolanaError::NoEndpoint;
        for at in self.fleet.serving() {
            let endpoint = self.endpoint(at)?;
            let newest = endpoint.call(SLOT, json!([{"commitment": self.commitment.as_str()}])).await;
            let heights = match (newest, finalized_height(endpoint).await) {
                (Ok(slot), Ok(finalized)) => {
                    slot.as_u64().map(|latest| Heights { latest, finalized: finalized.slot })
                }
                (Err(error), _) | (_, Err(error)) => {
                    failure = error.into();
                    continue;
                }
            };
            match heights {
                Some(heights) => return Ok(heights),
                None => failure = RpcFailure::Malformed { method: SLOT }.into(),
            }
        }
        Err(failure)
    }

    /// Where these landings stand now, in their order: one status call per
    /// [`STATUSES_PER_CALL`](crate::STATUSES_PER_CALL) of them, with a history search,
    /// all of it from one endpoint; `Lost` only if a second one agrees, where there is
    /// one (I7). What no endpoint with a history can say is left out.
    pub async fn standing(
        &self,
        landed: &[SolanaLanded],
    ) -> Result<Vec<(PaymentKey, Standing)>, SolanaError> {
        let mut failure = SolanaError::NoEndpoint;
        for at in self.fleet.serving() {
            match self.standing_at(at, landed).await {
                Ok(found) => return Ok(found),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn standing_at(
        &self,
        at: usize,
        landed: &[SolanaLanded],
    ) -> Result<Vec<(PaymentKey, Standing)>, SolanaError> {
        let endpoint = self.endpoint(at)?;
        let ids: Vec<&str> = landed.iter().map(|landed| landed.landing.transaction.as_str()).collect();
        let source = Source::History { witness: None };
        let answer = statuses(endpoint, &ids, source, self.commitment).await?;
        let missing: Vec<SolanaWatch> = landed
            .iter()
            .zip(&answer.seen)
            .filter(|(_, seen)| seen.is_without_landing())
            .map(|(landed, _)| watch(landed))
            .collect();
        let back = match missing.is_empty() {
            true => LookBack::default(),
            false => self.look_back(at, &missing.iter().collect::<Vec<_>>(), Scope::All).await,
        };
        let standing = |(landed, seen): (&SolanaLanded, Seen)| {
            let standing = match seen {
                Seen::Landed { finalized: true, failed: false, .. } => {
                    Standing::Finalized(landed.landing.clone())
                }
                Seen::Landed { finalized: false, failed: false, .. } => {
                    Standing::Landed(landed.landing.clone())
                }
                Seen::Shallow => Standing::Missing,
                Seen::Nowhere => return Some((landed.key, back.standing(landed.key)?)),
                Seen::Landed { failed: true, .. } => back.standing(landed.key).unwrap_or(Standing::Missing),
            };
            Some((landed.key, standing))
        };
        Ok(landed.iter().zip(answer.seen).filter_map(standing).collect())
    }
}

impl LookBack {
    /// Where a landing stands that its endpoint did not show. `None`: no endpoint
    /// with a history could say, and "missing" would be no more than a guess.
    fn standing(&self, key: PaymentKey) -> Option<Standing> {
        let found = self.found.iter().find(|(of, evidence)| *of == key && !is_reverted(evidence));
        match found.map(|(_, evidence)| evidence.clone()) {
            Some(Evidence::Settled(landing) | Evidence::Earlier(landing)) => Some(Standing::Landed(landing)),
            Some(evidence) => Some(Standing::Lost(evidence)),
            None => self.absent.contains(&key).then_some(Standing::Missing),
        }
    }
}

fn is_reverted(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Reverted(_))
}

fn watch(landed: &SolanaLanded) -> SolanaWatch {
    SolanaWatch {
        key: landed.key,
        payment: landed.payment.clone(),
        transaction: Some(landed.landing.transaction.clone()),
        deadline: landed.deadline,
        // Where it was is behind the block of its claim.
        from_slot: 0,
    }
}

#[cfg(test)]
mod tests;
