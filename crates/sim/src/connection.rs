//! The way from a process to the ledger: slow, broken now and then, and not
//! always able to say whether it committed.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use quittance_ledger::model::ModelLedger;
use quittance_ledger::{Attempts as _, LedgerError, NewAttempt, Operation, Slot};
use quittance_protocol::{PaymentId, PaymentKey};

use crate::canary::Canary;
use crate::plan::Crash;
use crate::stats::Fault;
use crate::world::World;
use crate::world::audit::Act;
use crate::world::link::Link;

/// A commit whose answer was lost comes so much later at most.
const LATE_MS_MAX: u64 = 8_000;

/// So many times likelier for a further attempt, of which there are few.
const LATE_FURTHER: u64 = 6;

/// Every other recording, where the ledger is made not to refuse one that comes late.
const LATE_OFTEN_PER_MILLE: u64 = 500;

/// The hook of one life of one process.
pub(crate) struct Faults {
    pub(crate) link: Arc<Link>,
    /// For what comes late.
    pub(crate) ledger: ModelLedger,
    /// When this life last asked for a key, which it does before it asks what
    /// the payer has burnt.
    pub(crate) asked: Mutex<BTreeMap<PaymentKey, u64>>,
}

/// What is kept of a call while it happens.
pub(crate) struct Kept {
    pub(crate) operation: Operation,
    /// For the hash of the run.
    pub(crate) code: u64,
    /// Which of the world's payments it is about.
    pub(crate) key: Option<usize>,
    /// Where a process may die before its commit, and after it.
    pub(crate) places: (Crash, Crash),
    pub(crate) act: Act,
    pub(crate) payment: Option<PaymentId>,
}

pub(crate) type Answer<T> = Result<T, LedgerError>;

pub(crate) fn unavailable() -> LedgerError {
    LedgerError::Unavailable("connection refused".into())
}

/// What the way to the database holds for one commit.
struct Transport {
    there_ms: u64,
    back_ms: u64,
    down_ms: Option<u64>,
    unknown: bool,
    stored: bool,
}

impl World {
    fn draw_transport(&mut self) -> Transport {
        let down = self.ledger_down_until > self.now();
        let slow = self.fault(self.plan.weather.slow / 4, Fault::Slow);
        let there_ms = if slow { self.random.range(100, 4_000) } else { self.random.range(1, 12) };
        let unknown =
            self.shared() && !down && self.fault(self.plan.weather.commit_unknown, Fault::CommitUnknown);
        Transport {
            there_ms,
            back_ms: self.random.range(1, 8),
            down_ms: down.then(|| self.random.range(50, 2_000)),
            unknown,
            // Half of those whose answer is lost were committed.
            stored: !unknown || self.random.chance(500),
        }
    }

    /// When a recording comes whose client hears at once that its answer is lost: it may have
    /// read by then that there is none. What has one writer has no such thing.
    fn draw_late(&mut self, is_first: bool) -> Option<u64> {
        if !self.shared() || self.calm || self.plan.forced.is_some() {
            return None;
        }
        let chance = match self.plan.canary {
            Some(Canary::SignedUnreserved) => LATE_OFTEN_PER_MILLE,
            _ if is_first => self.plan.weather.commit_unknown,
            _ => self.plan.weather.commit_unknown.saturating_mul(LATE_FURTHER),
        };
        let comes = self.lateness.chance(chance);
        comes.then(|| {
            self.report.count(Fault::CommitLate);
            self.lateness.range(1, LATE_MS_MAX)
        })
    }

    /// Whether this seed wants the recording of this payment to be lost sight of.
    pub(crate) fn loses_record(&self, key: Option<usize>) -> bool {
        let aims = key == Some(0) && !self.calm && self.plan.aim.is_some_and(|aim| aim.lost_record);
        aims && self.state_of(0).is_some_and(|state| !state.is_final())
    }

    pub(crate) fn key_of(&self, id: &PaymentId) -> Option<usize> {
        let key = self.database.with(|rows| rows.payments().find(|p| p.id == *id).map(|p| p.key))?;
        self.keys.get(&key).copied()
    }
}

impl Faults {
    /// The client's connection broke while it committed, and the database commits all the same.
    pub(crate) fn comes_late(&self, attempt: &mut NewAttempt, now_ms: i64) -> Answer<()> {
        let Some(in_ms) = self.link.world.with(|w| w.draw_late(attempt.is_first())) else { return Ok(()) };
        let nothing = NewAttempt::again(&[], Slot::Unnumbered, Box::new(|_| Err(String::new())));
        let attempt = std::mem::replace(attempt, nothing);
        let (ledger, world) = (self.ledger.as_it_is(), self.link.world.clone());
        tokio::spawn(async move {
            world.sleep(in_ms, in_ms).await;
            let came = ledger.record(attempt, now_ms).await;
            world.with(|w| {
                w.say(|| format!("late commit: {:?}", came.as_ref().map(|made| made.attempt())));
                w.audit_rows();
                w.tell_change();
            });
        });
        Err(LedgerError::CommitUnknown("connection reset".into()))
    }

    /// One commit, with a place to die before it and one after it.
    pub(crate) async fn write<T: Send>(
        &self,
        kept: &Kept,
        effect: impl Future<Output = Answer<T>> + Send,
    ) -> Answer<T> {
        let Kept { code, key, places, act, .. } = kept;
        let (code, key) = (*code, *key);
        let world = &self.link.world;
        let transport = world.with(|w| {
            w.count_call(code, key);
            let mut transport = w.draw_transport();
            if matches!(code, 7 | 8) && w.loses_record(key) {
                transport = Transport { down_ms: None, unknown: true, stored: true, ..transport };
            }
            transport
        });
        if self.link.dies_at(places.0, key).await {
            // A shared database finishes what a dead client asked for; an
            // embedded one dies with its process.
            let late = world.with(|w| w.shared() && w.plan.forced.is_none() && w.random.chance(300));
            if late {
                world.sleep(1, 6_000).await;
                self.commit(act, effect).await.ok();
            }
            return std::future::pending().await;
        }
        if let Some(wait) = transport.down_ms {
            world.sleep(wait, wait).await;
            self.link.alive().await;
            return Err(unavailable());
        }
        world.sleep(transport.there_ms, transport.there_ms).await;
        if self.link.is_dead() && world.with(|w| !w.shared()) {
            return std::future::pending().await;
        }
        if !transport.stored {
            world.sleep(200, 3_000).await;
            self.link.alive().await;
            return Err(LedgerError::CommitUnknown("connection reset".into()));
        }
        let result = self.commit(act, effect).await;
        world.with(|w| {
            let (process, failed) = (self.link.process, result.as_ref().err());
            w.say(|| match failed {
                None => format!("process {process}: commit {}, key {key:?}", kept.operation.name()),
                Some(error) => {
                    format!("process {process}: no commit {}, key {key:?}: {error}", kept.operation.name())
                }
            });
        });
        if result.is_ok() && self.link.dies_at(places.1, key).await {
            return std::future::pending().await;
        }
        world.sleep(transport.back_ms, transport.back_ms).await;
        self.link.alive().await;
        if transport.unknown {
            return Err(LedgerError::CommitUnknown("connection reset".into()));
        }
        result
    }

    /// The effect itself, judged by the auditor before and after.
    async fn commit<T>(&self, act: &Act, effect: impl Future<Output = Answer<T>> + Send) -> Answer<T> {
        let world = &self.link.world;
        let (over, epochs) =
            world.with(|w| (w.audit_act(act), matches!(act, Act::Adopt).then(|| w.epochs())));
        let result = effect.await;
        world.with(|w| {
            if let Some(before) = epochs {
                w.audit_fenced(self.link.process, &before);
            }
            if matches!(act, Act::KeepLease) && result.is_ok() {
                w.note_lease(self.link.process);
            }
            if over && result.is_ok() {
                w.broken("I6", "a verdict was written over a verdict".to_owned());
            }
            w.audit_rows();
            w.tell_change();
        });
        result
    }

    pub(crate) async fn read<T>(
        &self,
        kept: &Kept,
        effect: impl Future<Output = Answer<T>> + Send,
    ) -> Answer<T> {
        let (code, key) = (kept.code, kept.key);
        if self.link.dies_at(Crash::Elsewhere, key).await {
            return std::future::pending().await;
        }
        let world = &self.link.world;
        let (down, takes) = world.with(|w| {
            w.count_call(code, key);
            let down = w.ledger_down_until > w.now();
            (down, if w.random.chance(300) { w.random.range(1, 5) } else { 0 })
        });
        if down {
            world.sleep(50, 1_500).await;
            self.link.alive().await;
            return Err(unavailable());
        }
        if takes > 0 {
            world.sleep(takes, takes).await;
        }
        let result = effect.await;
        if let Some(key) = key {
            world.with(|w| w.audit.reads.insert((self.link.process, key), w.calls));
        }
        self.link.alive().await;
        result
    }
}
