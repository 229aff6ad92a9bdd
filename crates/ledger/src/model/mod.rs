//! A ledger in memory (feature `model`): what the SQL does, in as few words as
//! possible. For simulators, which need thousands of ledgers a second, and for
//! the test that holds it and both databases to the same answers.
//!
//! It keeps nothing: a [`ModelDatabase`] lives as long as somebody holds it.

mod account_rents;
mod accounts;
mod aliases;
mod books;
mod checks;
mod deliveries;
mod exposure;
mod finality;
mod instances;
mod merchant_books;
mod merchants;
mod objects;
mod open_work;
mod payments;
mod pruning;
mod reading;
mod replaced;
mod rows;
mod search;
mod store;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::LedgerError;
use crate::ledger::Me;
use crate::types::{LedgerOptions, RunEnd};

pub use rows::{Attempt, CheckLease, Cost, Database, Defect, Replaced, Reservation};

/// A database that several [`ModelLedger`]s may share.
#[derive(Clone, Debug)]
pub struct ModelDatabase {
    rows: Arc<Mutex<Database>>,
    /// As PostgreSQL: several instances with leases. As SQLite: one, for ever.
    shared: bool,
    clock: Option<DatabaseClock>,
}

/// The database's own clock, in Unix milliseconds.
#[derive(Clone)]
struct DatabaseClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl std::fmt::Debug for DatabaseClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseClock").finish_non_exhaustive()
    }
}

impl ModelDatabase {
    /// An empty database for several instances, as PostgreSQL is.
    pub fn shared() -> Self {
        Self { rows: Arc::default(), shared: true, clock: None }
    }

    /// An empty database for one instance, as SQLite is.
    pub fn embedded() -> Self {
        Self { rows: Arc::default(), shared: false, clock: None }
    }

    /// Leases are kept by this clock, as with
    /// [`LeaseClock::Database`](crate::LeaseClock::Database); without one by each
    /// caller's own.
    pub fn keeping_leases_by(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Some(DatabaseClock(Arc::new(clock)));
        self
    }

    /// The time by which leases are kept and judged: as `ops::lease_clock::lease_now`.
    fn lease_now(&self, caller_ms: i64) -> i64 {
        self.clock.as_ref().filter(|_| self.shared).map_or(caller_ms, |clock| clock.0())
    }

    /// Opens it as [`Ledger::open`](crate::Ledger::open) does: a new life of
    /// this instance begins, and takes over what earlier ones left.
    pub fn open(&self, options: &LedgerOptions, now_ms: i64) -> Result<ModelLedger, LedgerError> {
        let instance: Arc<str> = options.instance.as_str().into();
        let lease_until_ms = now_ms.saturating_add(options.lease_ms);
        let kept_until_ms = self.lease_now(now_ms).saturating_add(options.lease_ms);
        let epoch = self.with(|rows| {
            rows.enter(Arc::clone(&instance), kept_until_ms, self.shared, RunEnd::Crashed, now_ms)
        })?;
        Ok(ModelLedger {
            database: self.clone(),
            instance,
            epoch: Arc::new(AtomicI64::new(epoch)),
            lease_until_ms: Arc::new(AtomicI64::new(if self.shared { lease_until_ms } else { i64::MAX })),
            lease_ms: options.lease_ms,
            answer_body_bytes_max: options.answer_body_bytes_max,
            closed: Arc::default(),
        })
    }

    /// Looks at the rows, or breaks them on purpose.
    pub fn with<T>(&self, look: impl FnOnce(&mut Database) -> T) -> T {
        look(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One instance's access to a [`ModelDatabase`]; a [`Store`](crate::Store). Clones are one.
#[derive(Clone, Debug)]
pub struct ModelLedger {
    database: ModelDatabase,
    instance: Arc<str>,
    epoch: Arc<AtomicI64>,
    lease_until_ms: Arc<AtomicI64>,
    lease_ms: i64,
    answer_body_bytes_max: usize,
    closed: Arc<AtomicBool>,
}

impl ModelLedger {
    /// As it is now, for ever: what a client sent and the database carries out later, whether
    /// that client still waits or has joined again since.
    #[must_use]
    pub fn as_it_is(&self) -> Self {
        let now = |value: &AtomicI64| Arc::new(AtomicI64::new(value.load(Ordering::Relaxed)));
        Self { epoch: now(&self.epoch), lease_until_ms: now(&self.lease_until_ms), ..self.clone() }
    }

    fn me(&self) -> Me {
        Me { instance: Arc::clone(&self.instance), epoch: self.epoch.load(Ordering::Relaxed) }
    }

    fn read<T>(&self, op: impl FnOnce(&mut Database) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(LedgerError::Closed);
        }
        self.database.with(op)
    }

    fn write<T>(
        &self,
        now_ms: i64,
        op: impl FnOnce(&mut Database, &Me) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if now_ms > self.lease_until_ms.load(Ordering::Relaxed) {
            return Err(LedgerError::LeaseLost);
        }
        let me = self.me();
        self.read(|rows| op(rows, &me))
    }

    fn renewed_until(&self, lease_until_ms: i64) {
        if self.database.shared {
            self.lease_until_ms.store(lease_until_ms, Ordering::Relaxed);
        }
    }
}
