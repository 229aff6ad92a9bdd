//! The handle: leases, and the way every operation takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use quittance_protocol::PaymentId;
use serde_json::Value as Json;

use crate::backend::{Backend, Op};
use crate::conn::{Tx, params};
use crate::error::LedgerError;
use crate::types::{LeaseClock, LedgerOptions};

/// The durable record of payments; see the crate documentation. Clones share one ledger.
///
/// A mutation that was started is finished even if its caller stops waiting for it.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    options: LedgerOptions,
    instance: Arc<str>,
    /// Counts the lives of this instance; moves on when it comes back after a lost lease.
    epoch: AtomicI64,
    /// Until when this instance may act; `i64::MAX` where no other can exist (SQLite).
    lease_until_ms: AtomicI64,
    /// This host's clock ahead of the database's, at the last heartbeat.
    skew_ms: AtomicI64,
}

/// Who acts: this process in this life.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) instance: Arc<str>,
    pub(crate) epoch: i64,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}

impl Ledger {
    /// In its first life, or in none that the database knows of.
    pub(crate) fn new(backend: Backend, options: LedgerOptions, epoch: i64, lease_until_ms: i64) -> Self {
        let instance: Arc<str> = options.instance.as_str().into();
        let (epoch, lease_until_ms) = (AtomicI64::new(epoch), AtomicI64::new(lease_until_ms));
        let skew_ms = AtomicI64::new(0);
        Self { inner: Arc::new(Inner { backend, options, instance, epoch, lease_until_ms, skew_ms }) }
    }

    /// Moves what SQLite's log still holds into the database and empties the log,
    /// so that what was erased is in neither. `false`: somebody was reading. On
    /// PostgreSQL this is `VACUUM`'s and the archive's business; always `true`.
    pub async fn flush_log(&self) -> Result<bool, LedgerError> {
        match &self.inner.backend {
            Backend::Sqlite(backend) => backend.flush_log().await,
            Backend::Postgres(_) => Ok(true),
        }
    }

    /// Durable commits since this ledger was opened, its own opening included.
    pub fn commits(&self) -> u64 {
        self.inner.backend.commits()
    }

    /// Finishes what is queued, releases the database; other clones get
    /// [`LedgerError::Closed`] from then on.
    pub async fn close(self) {
        self.inner.backend.close().await;
    }

    pub(crate) fn options(&self) -> &LedgerOptions {
        &self.inner.options
    }

    pub(crate) fn me(&self) -> Me {
        Me { instance: Arc::clone(&self.inner.instance), epoch: self.inner.epoch.load(Ordering::Relaxed) }
    }

    pub(crate) async fn keep_name(&self) -> Result<(), LedgerError> {
        self.inner.backend.keep_name().await
    }

    pub(crate) fn began_life(&self, epoch: i64) {
        self.inner.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Whether other instances may work on the same payments.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.inner.backend, Backend::Postgres(_))
    }

    pub(crate) fn renewed_until(&self, lease_until_ms: i64) {
        if self.is_shared() {
            self.inner.lease_until_ms.store(lease_until_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn measured_skew(&self, skew_ms: i64) {
        self.inner.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// How far this host's clock is ahead of the database's, in milliseconds, at
    /// the last heartbeat; none where leases are not kept by the database's clock.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        let known = self.is_shared() && self.inner.options.lease_clock == LeaseClock::Database;
        known.then(|| self.inner.skew_ms.load(Ordering::Relaxed))
    }

    /// One mutation. An instance whose lease has passed stops by itself:
    /// somebody else may have its payments by now.
    pub(crate) async fn write<T, F>(&self, now_ms: i64, op: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, LedgerError>> + Send + 'static,
    {
        if now_ms > self.inner.lease_until_ms.load(Ordering::Relaxed) && !self.inner.options.read_only {
            return Err(LedgerError::LeaseLost);
        }
        self.write_unleased(Box::new(op)).await
    }

    pub(crate) async fn write_unleased<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        self.inner.backend.write(op).await
    }

    pub(crate) async fn read<T, F>(&self, op: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, LedgerError>> + Send + 'static,
    {
        self.inner.backend.read(Box::new(op)).await
    }

    /// Reads of one moment, however many statements they are and however long they take.
    pub(crate) async fn snapshot<T, F>(&self, op: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, LedgerError>> + Send + 'static,
    {
        self.inner.backend.snapshot(Box::new(op)).await
    }
}

/// Appends a line to the journal, in the transaction of what it tells about.
pub(crate) async fn journal(
    tx: &mut Tx,
    me: &Me,
    now_ms: i64,
    payment: Option<&PaymentId>,
    event: &'static str,
    detail: Json,
) -> Result<(), LedgerError> {
    tx.later(
        "INSERT INTO journal (payment, at_ms, instance, event, detail) VALUES ($1, $2, $3, $4, $5)",
        params![payment.map(|id| id.as_str().to_owned()), now_ms, &*me.instance, event, detail.to_string()],
    )
    .await
}
