//! The way from a process to the ledger: slow, broken now and then, and not
//! always able to say whether it committed.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use quittance_ledger::model::ModelLedger;
use quittance_ledger::{LedgerError, Payment, Reserve};
use quittance_protocol::{Amount, PaymentId, PaymentKey};

use crate::audit::Act;
use crate::canary::Canary;
use crate::link::Link;
use crate::plan::Crash;
use crate::stats::Fault;
use crate::world::World;

/// A [`Store`] of one life of one process.
pub(crate) struct FaultyStore {
    pub(crate) link: Arc<Link>,
    pub(crate) inner: ModelLedger,
    /// When this life last asked for a key, which it does before it asks what
    /// the payer has burnt.
    pub(crate) asked: Mutex<BTreeMap<PaymentKey, u64>>,
}

pub(crate) type Answer<T> = Result<T, LedgerError>;

pub(crate) fn unavailable() -> LedgerError {
    LedgerError::Unavailable("connection refused".into())
}

/// What the way to the database holds for one commit.
struct Way {
    there_ms: u64,
    back_ms: u64,
    down_ms: Option<u64>,
    unknown: bool,
    stored: bool,
}

impl World {
    fn draw_way(&mut self) -> Way {
        let down = self.ledger_down_until > self.now();
        let slow = self.fault(self.plan.weather.slow / 4, Fault::Slow);
        let there_ms = if slow { self.random.range(100, 4_000) } else { self.random.range(1, 12) };
        let unknown =
            self.shared() && !down && self.fault(self.plan.weather.commit_unknown, Fault::CommitUnknown);
        Way {
            there_ms,
            back_ms: self.random.range(1, 8),
            down_ms: down.then(|| self.random.range(50, 2_000)),
            unknown,
            // Half of those whose answer is lost were committed.
            stored: !unknown || self.random.chance(500),
        }
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

impl FaultyStore {
    pub(crate) fn key_of(&self, id: &PaymentId) -> Option<usize> {
        self.link.world.with(|w| w.key_of(id))
    }

    /// The ceilings, or none for payers.
    pub(crate) fn limited(&self, mut wanted: Reserve) -> Reserve {
        if self.has(Canary::CeilingsForgotten) {
            wanted.limits.payer_day = Amount::new(u64::MAX);
            wanted.limits.payer_unearned_in_flight = u32::MAX;
        }
        wanted
    }

    pub(crate) fn has(&self, canary: Canary) -> bool {
        self.link.world.with(|w| w.plan.canary == Some(canary))
    }

    /// The old rules: who shows an identifier, or was told to come back, hears it
    /// again; or everybody does.
    pub(crate) fn tells_again(&self, id: &PaymentId) -> bool {
        if self.has(Canary::MerchantToldAgain) {
            return true;
        }
        let row = self.link.world.with(|w| w.row_by_id(id));
        self.has(Canary::MerchantToldByWord)
            && row.is_some_and(|(_, row)| row.identifier.is_some() || row.pending_answer_at_ms.is_some())
    }

    /// What such a rule must not know.
    pub(crate) fn untold(&self, payment: Payment) -> Payment {
        match self.tells_again(&payment.id) {
            true => Payment { merchant_answer_at_ms: None, ..payment },
            false => payment,
        }
    }

    /// What renews this process's lease, noted by the world's clock.
    pub(crate) async fn keeps_lease(&self, effect: impl Future<Output = Answer<()>> + Send) -> Answer<()> {
        effect.await?;
        self.link.world.with(|w| w.note_lease(self.link.process));
        Ok(())
    }

    /// One commit, with a place to die before it and one after it.
    pub(crate) async fn write<T: Send>(
        &self,
        code: u64,
        places: (Crash, Crash),
        key: Option<usize>,
        act: Act<'_>,
        effect: impl Future<Output = Answer<T>> + Send,
    ) -> Answer<T> {
        let world = &self.link.world;
        let way = world.with(|w| {
            w.count_call(code, key);
            let mut way = w.draw_way();
            if matches!(code, 7 | 8) && w.loses_record(key) {
                way = Way { down_ms: None, unknown: true, stored: true, ..way };
            }
            way
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
        if let Some(wait) = way.down_ms {
            world.sleep(wait, wait).await;
            self.link.alive().await;
            return Err(unavailable());
        }
        world.sleep(way.there_ms, way.there_ms).await;
        if self.link.is_dead() && world.with(|w| !w.shared()) {
            return std::future::pending().await;
        }
        if !way.stored {
            world.sleep(200, 3_000).await;
            self.link.alive().await;
            return Err(LedgerError::CommitUnknown("connection reset".into()));
        }
        let result = self.commit(act, effect).await;
        world.with(|w| {
            let (process, failed) = (self.link.process, result.as_ref().err());
            w.say(|| match failed {
                None => format!("process {process}: commit {}, key {key:?}", name_of(code)),
                Some(error) => {
                    format!("process {process}: no commit {}, key {key:?}: {error}", name_of(code))
                }
            });
        });
        if result.is_ok() && self.link.dies_at(places.1, key).await {
            return std::future::pending().await;
        }
        world.sleep(way.back_ms, way.back_ms).await;
        self.link.alive().await;
        if way.unknown {
            return Err(LedgerError::CommitUnknown("connection reset".into()));
        }
        result
    }

    /// The effect itself, judged by the auditor before and after.
    async fn commit<T>(&self, act: Act<'_>, effect: impl Future<Output = Answer<T>> + Send) -> Answer<T> {
        let world = &self.link.world;
        let over = world.with(|w| w.audit_act(&act));
        let result = effect.await;
        world.with(|w| {
            if over && result.is_ok() {
                w.broken("I6", "a verdict was written over a verdict".to_owned());
            }
            w.audit_rows();
            w.tell_change();
        });
        result
    }

    /// A commit that no table names.
    pub(crate) async fn plain<T: Send>(
        &self,
        code: u64,
        key: Option<usize>,
        effect: impl Future<Output = Answer<T>> + Send,
    ) -> Answer<T> {
        self.write(code, (Crash::Elsewhere, Crash::Elsewhere), key, Act::Other, effect).await
    }

    pub(crate) async fn read<T>(
        &self,
        code: u64,
        key: Option<usize>,
        effect: impl Future<Output = Answer<T>> + Send,
    ) -> Answer<T> {
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

/// For the trace.
fn name_of(code: u64) -> &'static str {
    match code {
        1 => "claim",
        6..=8 => "record",
        9 => "journal_send",
        12 => "settle",
        13 => "refuse",
        14 => "expire",
        16 => "finalize",
        17 => "move_landing",
        18 => "book_reorged_loss",
        19 => "start_delivery",
        20 => "finish_delivery",
        21 => "credit_delivery",
        22 => "mark_answer_sent",
        24 => "begin_merchant_answer",
        25 => "note_pending_answer",
        26 => "book_cost",
        34 => "adopt_orphans",
        35 => "heartbeat",
        36 => "rejoin",
        50 => "claim_alias",
        41 => "end_merchant_answer",
        42 => "lease_merchant_check",
        71 => "lease_new_check",
        _ => "of the background",
    }
}
