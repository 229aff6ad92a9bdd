//! The payout keeper: one ledger per payout address.
//!
//! On Base nothing in an authorization says who may land it, so two ledgers that
//! settle to one address can both grant the same payment. This keeper looks at
//! the transfers to the address now and then; one that no row of this ledger
//! explains was landed by somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::LedgerError;

use crate::Inner;
use crate::chain::{ChainFault, NotConnected};
use crate::desk::Desk;
use crate::settle::Tools;
use crate::trouble::{self, Trouble};

/// Looks at a transfer that no endpoint can read, before it is left alone: everybody may send some.
const LOOKS_MAX: u32 = 5;

/// Transactions that one look judges at most; the rest of a flood is counted
/// in the log and not one by one.
const JUDGED_MAX: usize = 256;

#[derive(Debug, thiserror::Error)]
enum PayoutFault {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Chain(#[from] ChainFault),
}

impl From<NotConnected> for PayoutFault {
    fn from(error: NotConnected) -> Self {
        Self::Chain(error.into())
    }
}

/// One network's keeper.
struct Payout {
    tools: Arc<Tools>,
    desk: Arc<Desk>,
    pause: Duration,
    /// Not explained at the last look, and how often each could not be read: the
    /// verdict that explains a landing may come after the landing.
    suspects: BTreeMap<String, u32>,
}

impl Inner {
    /// One keeper for each payout address that this ledger should have to itself.
    pub(crate) fn start_payout_keepers(self: &Arc<Self>) {
        for desk in self.desks.iter().filter(|desk| !desk.shared_pay_to && !desk.retired) {
            let payout = Payout {
                tools: Arc::clone(&self.tools),
                desk: Arc::clone(desk),
                pause: desk.payout_look,
                suspects: BTreeMap::new(),
            };
            self.drivers.spawn(payout.keep());
        }
    }
}

impl Payout {
    async fn keep(mut self) {
        loop {
            if let Err(fault) = self.look().await {
                trouble::note(Trouble::Payout, self.desk.chain.network().as_str(), &fault);
            }
            tokio::select! {
                biased;
                () = self.tools.stop.cancelled() => return,
                () = tokio::time::sleep(self.pause) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), PayoutFault> {
        let network = self.desk.chain.network();
        let mut arrived = self.desk.chain.watch()?.arrivals().await?;
        if arrived.len() > JUDGED_MAX {
            tracing::warn!(%network, arrivals = arrived.len(), "more transfers than one look judges");
            arrived.truncate(JUDGED_MAX);
        }
        let asked: Vec<String> = self.suspects.keys().cloned().chain(arrived).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let unexplained = self.tools.ledger.unexplained(network, &asked).await?;
        let before = std::mem::take(&mut self.suspects);
        for transaction in unexplained {
            let Some(unread) = before.get(&transaction).copied() else {
                self.suspects.insert(transaction, 0);
                continue;
            };
            match self.desk.chain.watch()?.pays_in(&transaction).await {
                Ok(true) => self.tell(&transaction),
                Ok(false) => {}
                Err(fault) if unread < LOOKS_MAX => {
                    tracing::debug!(%fault, "a transfer cannot be read yet");
                    self.suspects.insert(transaction, unread.saturating_add(1));
                }
                Err(fault) => {
                    tracing::warn!(%network, transaction, %fault, "a transfer to pay_to that no endpoint can read");
                }
            }
        }
        Ok(())
    }

    fn tell(&self, transaction: &str) {
        let network = self.desk.chain.network();
        self.tools.metrics.alert(network, "unexplained_transfer");
        tracing::error!(
            %network,
            transaction,
            "a transfer to pay_to that no payment of this ledger explains: somebody sent money there, or another \
             facilitator settles to the same address and may grant the same payments; give each ledger an address \
             of its own, or set shared_pay_to = true"
        );
    }
}
