//! The driver: performs the engine's effects for one payment.
//!
//! One detached task per unfinished payment, so that a client that goes away,
//! or a handler that panics, cannot stop a settlement half-way.
//!
//! Owns the one payment that it drives, until its verdict is durable.
//! May touch: `chain`, `metrics`, `context`, `in_flight`, `remote`, `network`, `dispatch`.
//! A payment is stuck while neither poller nor lane tells its driver anything; one whose driver is
//! gone is found by `upkeep`.

mod costs;
mod verdict;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{Balance, LedgerError, Payment, PaymentState, Recorded};
use quittance_protocol::{DurableAttempt as _, Evidence, Network};
use tokio::sync::mpsc;

use crate::chain::{Verified, Watched};
use crate::context::Context;
use crate::dispatch::step::Seen;
use crate::dispatch::{Dispatch, Heard, Ticket};
use crate::in_flight::entries::PaymentEntry;
use crate::metrics::Metrics;
use crate::network::configured::ConfiguredNetwork;
use crate::remote::Named;
use crate::settle::engine::{Alert, Effect, Event, State, step};

/// Pause before a ledger commit that failed is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// One payment under way.
pub(crate) struct Driver {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
    dispatch: Dispatch,
    payment: Payment,
    /// The same as its chain verified it.
    verified: Verified,
    entry: Arc<PaymentEntry>,
    state: State,
    /// What the claim reserved for the first signature.
    reserved: u128,
    /// Attempts that were there when the payment was found unfinished.
    found: Option<Vec<Arc<Recorded>>>,
    newest: Option<Arc<Recorded>>,
    /// Of all attempts, oldest first.
    transactions: Vec<String>,
    /// What another facilitator says has settled it.
    named: Option<String>,
    /// Nonces that they have, or attempts where they take none.
    slots: u32,
    /// What the chain showed of the payer last.
    seen: Seen,
    evidence: Option<mpsc::Receiver<Evidence>>,
    wake_at: Option<tokio::time::Instant>,
    first: Event,
    /// Somebody else owns the payment now, or it has its verdict already.
    ended: bool,
}

impl Driver {
    /// Takes over a payment that was just claimed; the claim reserved so much for its first
    /// signature, and found code of the payer's or none.
    pub(crate) fn claimed(
        context: Arc<Context>,
        (net, dispatch): (Arc<ConfiguredNetwork>, Dispatch),
        payment: Payment,
        verified: Verified,
        (reserved, by_code): (u128, bool),
        entry: Arc<PaymentEntry>,
    ) -> Self {
        Self {
            context,
            net,
            dispatch,
            payment,
            verified,
            entry,
            state: State::claimed(),
            reserved,
            found: None,
            newest: None,
            transactions: Vec::new(),
            named: None,
            slots: 0,
            seen: Seen { balance: None, by_code },
            evidence: None,
            wake_at: None,
            first: Event::Started,
            ended: false,
        }
    }

    /// Takes over a payment found unfinished in the ledger.
    pub(crate) async fn resumed(
        context: Arc<Context>,
        of: (Arc<ConfiguredNetwork>, Dispatch),
        payment: Payment,
        verified: Verified,
        entry: Arc<PaymentEntry>,
    ) -> Result<Self, LedgerError> {
        let mut driver = Self::claimed(context, of, payment, verified, (0, false), entry);
        driver.found = Some(driver.load_attempts().await?);
        driver.first = Event::Found;
        // A commit may have come after the payment was read: what is signed is sent.
        if driver.payment.state == PaymentState::Recorded || driver.newest.is_some() {
            driver.state = State::recorded(driver.attempts());
        }
        Ok(driver)
    }

    /// At how many nonces it was signed: of what was replaced at one of them one lands.
    fn attempts(&self) -> u32 {
        self.slots
    }

    /// Runs until there is a verdict, or the process stops.
    pub(crate) async fn run(mut self) {
        let Some(_driving) = self.entry.drive() else { return };
        let _open = Open::count(&self.context.metrics, &self.payment.network);
        let (verified, found) = (self.verified.clone(), self.found.take());
        let ticket = self.dispatch.take(&self.payment, verified, self.reserved, found).await;
        // Its network is not configured: nobody drives it here.
        let Some(mut ticket) = ticket else { return };
        let mut events = VecDeque::from([self.first.clone()]);
        while !self.state.is_done() && !self.ended {
            let event = match events.pop_front() {
                Some(event) => Some(event),
                None => tokio::select! {
                    biased;
                    () = self.context.stop.cancelled() => break,
                    event = next_event(&mut self.evidence, self.wake_at) => {
                        if matches!(event, Event::Due) {
                            self.wake_at = None;
                        }
                        Some(event)
                    }
                    heard = ticket.heard() => self.hear(heard).await,
                },
            };
            let Some(event) = event else { continue };
            // The ledger may be away for longer than anybody waits for a process to
            // end; the verdict is found again at the next start.
            if matches!(event, Event::CommitFailed) && self.context.stop.is_cancelled() {
                break;
            }
            tracing::debug!(payment = %self.payment.id, ?event, "step");
            for effect in step(&mut self.state, event) {
                if let Some(event) = self.perform(effect, &mut ticket).await {
                    events.push_back(event);
                }
            }
        }
        if self.state.is_done() {
            ticket.over().await;
        }
    }

    async fn perform(&mut self, effect: Effect, ticket: &mut Ticket) -> Option<Event> {
        match effect {
            Effect::Dispatch => {
                let heard = ticket.want(self.seen).await;
                self.hear(heard).await
            }
            Effect::Resume => {
                ticket.resume().await;
                None
            }
            Effect::Watch => {
                self.watch().await;
                None
            }
            Effect::Wake(ms) => {
                self.wake_at = Some(tokio::time::Instant::now() + Duration::from_millis(ms));
                None
            }
            Effect::Recheck => Some(self.recheck(ticket).await),
            Effect::Commit(verdict) => Some(self.commit(verdict).await),
            Effect::BookCost { landing, earned: true } => {
                self.book_earned(landing);
                None
            }
            Effect::BookCost { landing, earned: false } => {
                let transaction = landing.transaction.clone();
                self.book_burnt(landing).await;
                ticket.failed(transaction).await;
                None
            }
            Effect::Announce => {
                self.entry.announce();
                None
            }
            // Where another facilitator settles, every landing is by another's wallet.
            Effect::Alert(Alert::ForeignLanding(_)) if self.net.remote.is_some() => None,
            Effect::Alert(alert) => {
                self.alert(&alert);
                None
            }
        }
    }

    /// What the lane says, asked or not. After `None` the driver has ended: the process stops, the
    /// lane broke, or the payment is another's; the sweep finds whose it is.
    async fn hear(&mut self, heard: Option<Heard>) -> Option<Event> {
        match heard {
            Some(Heard::Recorded(attempts)) => {
                self.keep(&attempts);
                self.watch().await;
                Some(Event::Recorded { attempts: self.attempts() })
            }
            Some(Heard::Asked) => None,
            Some(Heard::Named(named)) => {
                self.look_for(named).await;
                None
            }
            Some(Heard::Waiting { retry, reason }) => Some(Event::Waiting { retry, reason }),
            Some(Heard::Refused) => {
                self.ended = true;
                self.entry.announce();
                None
            }
            None => {
                self.ended = true;
                None
            }
        }
    }

    /// Only where to look: what stands there is judged as anything else is (I4).
    async fn look_for(&mut self, Named { transaction, to_others }: Named) {
        if to_others {
            self.alert(&Alert::ForeignLanding(transaction.clone()));
        }
        if self.named.as_ref() != Some(&transaction) {
            self.named = Some(transaction);
            self.watch().await;
        }
    }

    async fn load_attempts(&mut self) -> Result<Vec<Arc<Recorded>>, LedgerError> {
        let attempts = self.context.ledger.recorded_attempts(&self.payment.id).await?;
        let attempts: Vec<_> = attempts.into_iter().map(Arc::new).collect();
        self.keep(&attempts);
        Ok(attempts)
    }

    fn keep(&mut self, attempts: &[Arc<Recorded>]) {
        self.transactions = attempts.iter().map(|one| one.transaction().to_owned()).collect();
        self.slots = slots_of(attempts.iter().map(|one| one.nonce()));
        self.newest = attempts.last().cloned();
    }

    async fn watch(&mut self) {
        let watched = Watched {
            key: self.payment.key,
            payment: self.verified.clone(),
            transactions: self.transactions.clone(),
            named: self.named.clone(),
            nonce: self.newest.as_ref().and_then(|newest| newest.nonce()),
            wallet: self.newest.as_ref().and_then(|newest| newest.wallet()).map(str::to_owned),
            watch_from: self.payment.watch_from,
            deadline: self.payment.deadline,
        };
        self.evidence = Some(self.net.poller.watch(watched).await);
    }

    async fn recheck(&mut self, ticket: &Ticket) -> Event {
        if !self.net.chain.facts().takes_nonce {
            // Bytes that cannot land cost nothing here, their expiry is found
            // through them, and signing again would make the same bytes.
            return Event::Rechecked { still_good: self.newest.is_none() };
        }
        let seen = match self.net.chain.verify() {
            Ok(chain) => chain.check_chain(&self.verified).await,
            Err(error) => Err(error.into()),
        };
        if let Ok(view) = &seen {
            let balance = view.balance.map(|amount| Balance { amount, at: view.watch_from });
            self.seen = Seen { balance, by_code: view.by_code };
        } else {
            ticket.unwell().await;
        }
        Event::Rechecked { still_good: seen.is_ok() }
    }

    fn alert(&self, alert: &Alert) {
        let (kind, text) = match alert {
            Alert::Waiting(reason) => ("waiting", reason.clone()),
            Alert::Contradiction(evidence) => ("contradiction", format!("{evidence:?}")),
            Alert::ForeignLanding(transaction) => ("foreign_landing", transaction.clone()),
        };
        self.context.metrics.alert(&self.payment.network, kind);
        tracing::warn!(payment = %self.payment.id, kind, reason = text, "needs attention");
    }
}

/// How many of these can each be included.
fn slots_of(nonces: impl Iterator<Item = Option<u64>>) -> u32 {
    let (mut numbered, mut others) = (BTreeSet::new(), 0_usize);
    for nonce in nonces {
        match nonce {
            Some(nonce) => drop(numbered.insert(nonce)),
            None => others = others.saturating_add(1),
        }
    }
    u32::try_from(numbered.len().saturating_add(others)).unwrap_or(u32::MAX)
}

/// One open payment in the metrics; also when the driver ends in a panic.
struct Open {
    metrics: Arc<Metrics>,
    network: Network,
}

impl Open {
    fn count(metrics: &Arc<Metrics>, network: &Network) -> Self {
        metrics.open_add(network, 1);
        Self { metrics: Arc::clone(metrics), network: network.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.open_add(&self.network, -1);
    }
}

async fn next_event(
    evidence: &mut Option<mpsc::Receiver<Evidence>>,
    wake_at: Option<tokio::time::Instant>,
) -> Event {
    let seen = async {
        match evidence {
            Some(receiver) => match receiver.recv().await {
                Some(evidence) => evidence,
                // The poller is gone: the process stops.
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    };
    let due = async {
        match wake_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        evidence = seen => Event::Seen(evidence),
        () = due => Event::Due,
    }
}
