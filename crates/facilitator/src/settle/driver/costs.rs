//! What attempts really cost comes into the ledger (P3, I10).

use std::sync::Arc;

use quittance_ledger::CostEntry;
use quittance_protocol::Landing;

use super::{COMMIT_RETRY, Driver};
use crate::metrics::trouble::{self, Trouble};

impl Driver {
    /// In the background: whoever waits for the verdict need not wait for the
    /// ledger. What is lost here, the cost meter finds by its reservation.
    pub(super) fn book_earned(&self, landing: Landing) {
        let entry = self.cost(landing, true);
        let (context, now_ms) = (Arc::clone(&self.context), self.context.clock.now_ms());
        let (net, settling) = (Arc::clone(&self.net), self.payment.settling());
        tokio::spawn(async move {
            let network = entry.network.clone();
            match context.ledger.book_cost(entry, now_ms).await {
                Ok(share) => {
                    if let Some(share) = share {
                        let payments = usize::try_from(share.payments).unwrap_or(usize::MAX);
                        context.metrics.batches().landed(&network, payments, share.native);
                    }
                    if let Some(usdc) = share.and_then(|share| share.usdc) {
                        context.metrics.spent(&network, usdc, true);
                        context.metrics.cost_share(&network, usdc, settling);
                        net.spending.add(usdc);
                    }
                }
                Err(error) => trouble::note(Trouble::Cost, "", &error),
            }
            net.free();
        });
    }

    /// Before anything else happens to the payment: what was burnt must count
    /// before its reservation goes, or is made again for the next attempt (P3).
    pub(super) async fn book_burnt(&mut self, landing: Landing) {
        let entry = self.cost(landing, false);
        loop {
            match self.context.ledger.book_cost(entry.clone(), self.context.clock.now_ms()).await {
                Ok(share) => {
                    if let Some(usdc) = share.and_then(|share| share.usdc) {
                        self.context.metrics.spent(&self.payment.network, usdc, false);
                        self.net.spending.add(usdc);
                    }
                    break;
                }
                Err(error) => trouble::note(Trouble::Cost, "", &error),
            }
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return,
                () = tokio::time::sleep(COMMIT_RETRY) => {}
            }
        }
        self.net.free();
    }

    fn cost(&self, landing: Landing, earned: bool) -> CostEntry {
        CostEntry {
            network: self.payment.network.clone(),
            transaction: landing.transaction,
            payment: Some(self.payment.id.clone()),
            native: landing.cost_native,
            usdc: self.net.cost_usdc(landing.cost_native, self.context.clock.now_ms()),
            earned,
        }
    }
}
