//! The payout watch: one ledger per payout address.
//!
//! On Base nothing in an authorization says who may land it, so two ledgers that
//! settle to one address can both grant the same payment. This watch looks at
//! the transfers to the address now and then; one that no row of this ledger
//! explains was landed by somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::Inner;
use crate::context::Context;
use crate::context::look::LookFault;
use crate::metrics::trouble::Trouble;
use crate::network::configured::ConfiguredNetwork;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

/// Looks at a transfer that no endpoint can read, before it is left alone: everybody may send some.
const LOOKS_MAX: u32 = 5;

/// Transactions that one look judges at most; the rest of a flood is counted
/// in the log and not one by one.
const JUDGED_MAX: usize = 256;

/// One network's watch.
struct Payout {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
    /// Not explained at the last look, and how often each could not be read: the
    /// verdict that explains a landing may come after the landing.
    suspects: BTreeMap<String, u32>,
}

/// What becomes of a transfer that nothing explains, once it was looked at.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It pays in.
    Tell,
    /// It does not.
    Nothing,
    /// It could not be read so many times.
    LookAgain(u32),
    /// It never could.
    GiveUp,
}

/// `pays_in` is `None` where no endpoint could read it.
fn fate(pays_in: Option<bool>, unread: u32) -> Fate {
    match pays_in {
        Some(true) => Fate::Tell,
        Some(false) => Fate::Nothing,
        None if unread < LOOKS_MAX => Fate::LookAgain(unread.saturating_add(1)),
        None => Fate::GiveUp,
    }
}

/// A look takes on no more than this of what came: everybody may send some.
fn take_on(arrived: &mut Vec<String>) {
    arrived.truncate(JUDGED_MAX);
}

impl Inner {
    /// One watch for each payout address that this ledger should have to itself.
    pub(crate) fn start_payout_watches(self: &Arc<Self>) {
        for net in self.networks.iter().filter(|net| !net.shared_pay_to && !net.retired) {
            let (context, net) = (Arc::clone(&self.context), Arc::clone(net));
            let kind = Kind::of("payout", net.chain.network(), net.payout_look);
            self.upkeep.start(kind, move || Payout {
                context: Arc::clone(&context),
                net: Arc::clone(&net),
                suspects: BTreeMap::new(),
            });
        }
    }
}

impl Task for Payout {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            self.look().await.map_err(|fault| TurnFailed::new(Trouble::Payout, &fault))?;
            Ok(Next::Period)
        })
    }
}

impl Payout {
    async fn look(&mut self) -> Result<(), LookFault> {
        let network = self.net.chain.network();
        let mut arrived = self.net.chain.watch()?.arrivals().await?;
        let came = arrived.len();
        take_on(&mut arrived);
        if came > arrived.len() {
            tracing::warn!(%network, arrivals = came, "more transfers than one look judges");
        }
        let asked: Vec<String> = self.suspects.keys().cloned().chain(arrived).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let unexplained = self.context.ledger.unexplained(network, &asked).await?;
        let before = std::mem::take(&mut self.suspects);
        for transaction in unexplained {
            let Some(unread) = before.get(&transaction).copied() else {
                self.suspects.insert(transaction, 0);
                continue;
            };
            let read = self.net.chain.watch()?.pays_in(&transaction).await;
            match fate(read.as_ref().ok().copied(), unread) {
                Fate::Tell => self.tell(&transaction),
                Fate::Nothing => {}
                Fate::LookAgain(unread) => {
                    self.suspects.insert(transaction, unread);
                }
                Fate::GiveUp => {
                    let fault = read.err().map(|fault| fault.to_string()).unwrap_or_default();
                    tracing::warn!(%network, transaction, fault, "a transfer to pay_to that no endpoint can read");
                }
            }
        }
        Ok(())
    }

    fn tell(&self, transaction: &str) {
        let network = self.net.chain.network();
        self.context.metrics.alert(network, "unexplained_transfer");
        tracing::error!(
            %network,
            transaction,
            "a transfer to pay_to that no payment of this ledger explains: somebody sent money there, or another \
             facilitator settles to the same address and may grant the same payments; give each ledger an address \
             of its own, or set shared_pay_to = true"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transfers that no endpoint can read cost their sender next to nothing: each is asked for a
    /// bounded number of times, and a flood of them is held in a bounded number of rows.
    #[test]
    fn a_flood_of_transfers_that_nobody_can_read_is_looked_at_a_bounded_number_of_times() {
        let mut suspects: BTreeMap<String, u32> = BTreeMap::new();
        let (mut asked, mut most) = (0, 0);
        for look in 0..100 {
            let before = std::mem::take(&mut suspects);
            for (transaction, unread) in before {
                asked += 1;
                match fate(None, unread) {
                    Fate::LookAgain(unread) => drop(suspects.insert(transaction, unread)),
                    other => assert_eq!(other, Fate::GiveUp),
                }
            }
            let mut arrived: Vec<String> = (0..1_000).map(|number| format!("{look}/{number}")).collect();
            if look >= 50 {
                arrived.clear();
            }
            take_on(&mut arrived);
            suspects.extend(arrived.into_iter().map(|transaction| (transaction, 0)));
            most = most.max(suspects.len());
        }
        let looks = usize::try_from(LOOKS_MAX).unwrap() + 1;
        assert!(suspects.is_empty());
        assert_eq!(asked, 50 * JUDGED_MAX * looks);
        assert_eq!(most, JUDGED_MAX * looks);
    }

    #[test]
    fn what_can_be_read_is_judged_at_once() {
        for unread in [0, LOOKS_MAX, u32::MAX] {
            assert_eq!(fate(Some(true), unread), Fate::Tell);
            assert_eq!(fate(Some(false), unread), Fate::Nothing);
        }
    }
}
