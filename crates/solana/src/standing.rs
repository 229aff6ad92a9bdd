//! Where landings stand after their verdict (invariant I6), many per call.

use std::future::Future;

use quittance_chain::Heights;
use quittance_protocol::{Deadline, Evidence, Landing, PaymentKey, Standing};

use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::history::{LookBack, Scope};
use crate::node::Node;
use crate::payment::{SolanaPayment, SolanaWatch};
use crate::status::{Seen, Source, finalized_height, statuses};

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
        let read = |_, endpoint| self.heights_of(endpoint);
        self.first_serving(read).await
    }

    /// Where these landings stand now, in their order: one status call per
    /// [`STATUSES_PER_CALL`](crate::STATUSES_PER_CALL) of them, with a history search,
    /// all of it from one endpoint; `Lost` only if a second one agrees, where there is
    /// one (I7). What no endpoint with a history can say is left out.
    pub async fn standing(
        &self,
        landed: &[SolanaLanded],
    ) -> Result<Vec<(PaymentKey, Standing)>, SolanaError> {
        self.first_serving(|at, _| self.standing_at(at, landed)).await
    }

    async fn heights_of(&self, endpoint: &Node) -> Result<Heights, SolanaError> {
        let latest = endpoint.slot(self.commitment.into()).await?;
        let finalized = finalized_height(endpoint).await?.slot;
        Ok(Heights { latest, finalized })
    }

    /// A read that moves as a whole to the next healthy endpoint.
    async fn first_serving<'a, T, Fut>(
        &'a self,
        read: impl Fn(usize, &'a Node) -> Fut,
    ) -> Result<T, SolanaError>
    where
        Fut: Future<Output = Result<T, SolanaError>>,
    {
        let places = self.endpoints.serving();
        let (_, found) =
            self.endpoints.first_that_answers(places, SolanaError::NoEndpoint, read, |_| true).await?;
        Ok(found)
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
        named: None,
        deadline: landed.deadline,
        // Where it was is behind the block of its claim.
        from_slot: 0,
    }
}

#[cfg(test)]
mod tests;
