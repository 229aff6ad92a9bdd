//! The finality watch: the chain's evidence for a settled payment is watched
//! until it is final (I6).
//!
//! A landing that vanishes is broadcast again with the bytes it landed with; one
//! that can come back no more is booked as `reorged_loss`. The grant stands
//! either way: who was served once is never asked to pay again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quittance_ledger::{CostEntry, Payment};
use quittance_protocol::{DurableAttempt as _, Evidence, Landing, PaymentId, blocks_in};

use crate::Inner;
use crate::chain::{Heights, Landed};
use crate::context::Context;
use crate::context::look::LookFault;
use crate::dispatch::Dispatch;
use crate::metrics::trouble::Trouble;
use crate::network::configured::ConfiguredNetwork;
use crate::settle::engine::{Aftermath, after_settlement};
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

/// Pause between two looks at one chain's landings.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a landing is looked at each time: a reorganisation on Base rarely
/// reaches further back, and what is older is looked at when it becomes final.
const RECENT_SECONDS: u64 = 120;

/// One chain's watch.
struct FinalityWatch {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
    dispatch: Dispatch,
    heights: Heights,
    /// Landings that are gone at the moment, each alerted once.
    missing: BTreeSet<PaymentId>,
}

impl Inner {
    /// One watch for each network.
    pub(crate) fn start_finality_watches(self: &Arc<Self>) {
        for net in &self.networks {
            let (context, net, dispatch) = (Arc::clone(&self.context), Arc::clone(net), self.dispatch(net));
            let kind = Kind::of("finality", net.chain.network(), PAUSE);
            self.upkeep.start(kind, move || FinalityWatch {
                context: Arc::clone(&context),
                net: Arc::clone(&net),
                dispatch: dispatch.clone(),
                heights: Heights { latest: 0, finalized: 0 },
                missing: BTreeSet::new(),
            });
        }
    }
}

impl Task for FinalityWatch {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            self.look().await.map_err(|fault| TurnFailed::new(Trouble::Finality, &fault))?;
            Ok(Next::Period)
        })
    }
}

impl FinalityWatch {
    /// One look: reads of the ledger, and calls only while something is not final.
    async fn look(&mut self) -> Result<(), LookFault> {
        let network = self.net.chain.network();
        if !self.context.ledger.has_unfinal(network).await? {
            self.missing.clear();
            return Ok(());
        }
        let now_ms = self.context.clock.now_ms();
        self.heights = self.net.chain.watch()?.heights(now_ms).await?;
        self.net.seen.note_heights(&self.heights, now_ms);
        let payments = self.due().await?;
        let landed: Vec<Landed> = payments.iter().filter_map(|payment| self.landed(payment)).collect();
        if landed.is_empty() {
            return Ok(());
        }
        let mut finalized = Vec::new();
        for (key, standing) in self.net.chain.watch()?.standing(&landed).await? {
            let Some(payment) = payments.iter().find(|payment| payment.key == key) else { continue };
            let Some(known) = &payment.landing else { continue };
            match after_settlement(known, standing) {
                Aftermath::Finalize(landing) => {
                    // First, so that a crash in between does both again.
                    self.book_cost(payment, &landing).await?;
                    finalized.push((payment.id.clone(), landing));
                }
                Aftermath::Move(landing) => self.moved(payment, &landing).await?,
                Aftermath::Keep => {
                    self.missing.remove(&payment.id);
                }
                Aftermath::Rebroadcast => self.rebroadcast(payment).await?,
                Aftermath::BookLoss(evidence) => self.lost(payment, &evidence).await?,
            }
        }
        if !finalized.is_empty() {
            for (id, _) in &finalized {
                self.missing.remove(id);
            }
            self.context.ledger.finalize(finalized, self.context.clock.now_ms()).await?;
        }
        Ok(())
    }

    /// The driver books what a landing cost in the background, and a crash right
    /// after the verdict loses that; what is booked already stays as it is.
    async fn book_cost(&self, payment: &Payment, landing: &Landing) -> Result<(), LookFault> {
        if !landing.paid_by_us {
            return Ok(());
        }
        let now_ms = self.context.clock.now_ms();
        let usdc = self.net.cost_usdc(landing.cost_native, now_ms);
        let entry = CostEntry {
            network: payment.network.clone(),
            transaction: landing.transaction.clone(),
            payment: Some(payment.id.clone()),
            native: landing.cost_native,
            usdc,
            earned: true,
        };
        let share = self.context.ledger.book_cost(entry, now_ms).await?;
        if let Some(usdc) = share.and_then(|share| share.usdc) {
            self.context.metrics.spent(&payment.network, usdc, true);
            self.net.spending.add(usdc);
        }
        Ok(())
    }

    /// What may have become final, and what may still move.
    async fn due(&self) -> Result<Vec<Payment>, LookFault> {
        let network = self.net.chain.network();
        let blocks = blocks_in(RECENT_SECONDS, self.net.chain.watch()?.block_ms());
        let recent = self.heights.latest.saturating_sub(blocks).max(self.heights.finalized);
        let mut payments = self.context.ledger.unfinal(network, 0..=self.heights.finalized).await?;
        payments.extend(self.context.ledger.unfinal(network, recent.saturating_add(1)..=u64::MAX).await?);
        Ok(payments)
    }

    fn landed(&self, payment: &Payment) -> Option<Landed> {
        let landing = payment.landing.clone()?;
        Some(Landed {
            key: payment.key,
            payment: self.context.stored.revive(self.net.chain.decode(), payment)?,
            landing,
            watch_from: payment.watch_from,
            deadline: payment.deadline,
        })
    }

    async fn moved(&mut self, payment: &Payment, landing: &Landing) -> Result<(), LookFault> {
        self.missing.remove(&payment.id);
        if self.context.ledger.move_landing(&payment.id, landing, self.context.clock.now_ms()).await? {
            tracing::info!(payment = %payment.id, block = landing.block, transaction = landing.transaction, "a landing moved");
        }
        Ok(())
    }

    /// The same bytes again, so that it lands again while it can. A landing by a
    /// stranger has no bytes of ours.
    async fn rebroadcast(&mut self, payment: &Payment) -> Result<(), LookFault> {
        let network = self.net.chain.network();
        if self.missing.insert(payment.id.clone()) {
            self.context.metrics.alert(network, "reorganised");
            tracing::warn!(payment = %payment.id, transaction = payment.transaction, "a landing vanished; broadcasting again");
        }
        let attempts = self.context.ledger.recorded_attempts(&payment.id).await?;
        let landed =
            attempts.iter().position(|attempt| Some(attempt.transaction()) == payment.transaction.as_deref());
        let newest = attempts.len().checked_sub(1);
        if let Some(recorded) = landed.or(newest).and_then(|at| attempts.into_iter().nth(at)) {
            self.dispatch.again(recorded).await;
        }
        Ok(())
    }

    async fn lost(&mut self, payment: &Payment, evidence: &Evidence) -> Result<(), LookFault> {
        self.missing.remove(&payment.id);
        if self.context.ledger.book_reorged_loss(&payment.id, evidence, self.context.clock.now_ms()).await? {
            self.context.metrics.alert(self.net.chain.network(), "reorged_loss");
            tracing::error!(payment = %payment.id, amount = %payment.amount, "a reorganisation took a settled payment for good; the grant stands");
        }
        Ok(())
    }
}
