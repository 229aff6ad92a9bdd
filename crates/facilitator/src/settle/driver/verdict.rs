//! A verdict's commit, and whom it wakes.

use std::time::Duration;

use quittance_ledger::{DeliveryState, LedgerError, Payment, PaymentState};
use quittance_protocol::{Deadline, Evidence};

use super::{COMMIT_RETRY, Driver};
use crate::context::failpoint;
use crate::metrics::trouble::{self, Trouble};
use crate::network::used;
use crate::settle::engine::{Event, Verdict, is_owed};

impl Driver {
    pub(super) async fn commit(&mut self, verdict: Verdict) -> Event {
        // I5, whatever a chain crate says: nothing expires before its deadline.
        if let Verdict::Expired(evidence) = &verdict {
            assert!(is_past(self.payment.deadline, evidence), "expired before its deadline");
        }
        let owed = match self.is_owed(&verdict).await {
            Ok(owed) => owed,
            Err(error) => {
                trouble::note(Trouble::Attempts, self.payment.network.as_str(), &error);
                tokio::time::sleep(COMMIT_RETRY).await;
                return Event::CommitFailed;
            }
        };
        failpoint::hit("before_verdict").await;
        let (ledger, id, now_ms) = (&self.context.ledger, &self.payment.id, self.context.clock.now_ms());
        let result = match &verdict {
            Verdict::Settled(landing) if owed => ledger.settle_owed(id, landing, now_ms).await,
            Verdict::Settled(landing) => ledger.settle(id, landing, now_ms).await,
            Verdict::Refused { code, reason, evidence } => {
                let earlier = matches!(evidence, Some(Evidence::Earlier(_)));
                let code = if earlier { used::code(self.payment.deadline) } else { *code };
                ledger.refuse(id, code, reason, evidence.as_ref(), now_ms).await
            }
            Verdict::Expired(evidence) => ledger.expire(id, evidence, now_ms).await,
        };
        failpoint::hit("after_verdict").await;
        match result {
            Ok(payment) => {
                // I6: the ledger keeps the verdict that was given.
                assert!(says(&payment, &verdict), "the ledger keeps another verdict");
                self.verdict_is_durable(payment, now_ms)
            }
            // An earlier try of this commit worked although its answer was lost.
            Err(LedgerError::Transition { payment, .. }) if says(&payment, &verdict) => {
                self.verdict_is_durable(*payment, now_ms)
            }
            Err(error) => {
                trouble::note(Trouble::Verdict, self.payment.network.as_str(), &error);
                tokio::time::sleep(COMMIT_RETRY).await;
                Event::CommitFailed
            }
        }
    }

    /// An attempt whose commit lost its answer, or an earlier life's, is ours as
    /// well: the ledger is asked before a landing is taken for another's.
    async fn is_owed(&mut self, verdict: &Verdict) -> Result<bool, LedgerError> {
        let Verdict::Settled(landing) = verdict else { return Ok(false) };
        if !is_owed(self.net.shared_pay_to, landing, &self.transactions) {
            return Ok(false);
        }
        self.load_attempts().await?;
        Ok(is_owed(self.net.shared_pay_to, landing, &self.transactions))
    }

    fn verdict_is_durable(&mut self, payment: Payment, now_ms: i64) -> Event {
        let took = u64::try_from(now_ms.saturating_sub(payment.created_at_ms)).unwrap_or(0);
        let metrics = &self.context.metrics;
        metrics.reached(&payment.network, payment.state.as_str());
        metrics.verdict(&payment.network, payment.state.as_str(), Duration::from_millis(took));
        if payment.state == PaymentState::Settled {
            metrics.charged(&payment.network, payment.due());
        }
        if payment.delivery == DeliveryState::Owed {
            metrics.delivery("owed");
            metrics.alert(&payment.network, "owed");
            tracing::error!(payment = %payment.id, amount = %payment.amount, transaction = payment.transaction, "another ledger landed this payment at the shared pay_to; it buys nothing here: refund it (quittance payments list --delivery owed)");
        }
        tracing::info!(payment = %payment.id, state = %payment.state, transaction = payment.transaction, took_ms = took, "verdict");
        self.payment = payment;
        self.net.free();
        Event::Committed
    }
}

fn says(payment: &Payment, verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Settled(_) => payment.state == PaymentState::Settled,
        Verdict::Refused { .. } => payment.state == PaymentState::Refused,
        Verdict::Expired(_) => payment.state == PaymentState::Expired,
    }
}

/// Whether the evidence lies at or behind the deadline (I5): on Base block time
/// against `validBefore`, on Solana block height beyond the last valid one.
fn is_past(deadline: Deadline, evidence: &Evidence) -> bool {
    match (deadline, evidence) {
        (Deadline::UnixSeconds(valid_before), Evidence::Expired { clock, .. }) => *clock >= valid_before,
        (Deadline::BlockHeight(last_valid), Evidence::Expired { clock, .. }) => *clock > last_valid,
        (_, Evidence::Settled(_) | Evidence::Reverted(_) | Evidence::Canceled(_) | Evidence::Earlier(_)) => {
            false
        }
    }
}
