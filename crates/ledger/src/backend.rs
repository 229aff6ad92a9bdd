//! Where operations run: the SQLite writer task, or a PostgreSQL pool.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::conn::Tx;
use crate::error::LedgerError;

pub(crate) mod postgres;
pub(crate) mod sqlite;

/// How often opening looks whether an earlier process has ended.
const LOCK_POLL_MS: u64 = 20;

/// One operation: everything inside happens in one SQL transaction, or not at all.
pub(crate) type Op<T> = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, LedgerError>> + Send>;

/// Durable commits so far; for tests and metrics.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<AtomicU64>);

impl Commits {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) enum Backend {
    Sqlite(sqlite::SqliteBackend),
    Postgres(Box<postgres::PostgresBackend>),
}

impl Backend {
    /// Runs an operation that writes; answers after COMMIT.
    pub(crate) async fn write<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        match self {
            Self::Sqlite(backend) => backend.write(op).await,
            Self::Postgres(backend) => backend.write(op).await,
        }
    }

    /// Runs an operation that only reads.
    pub(crate) async fn read<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        match self {
            Self::Sqlite(backend) => backend.read(op).await,
            Self::Postgres(backend) => backend.read(op).await,
        }
    }

    /// Runs an operation that only reads, all of it at one moment of the ledger.
    pub(crate) async fn snapshot<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        match self {
            Self::Sqlite(backend) => backend.snapshot(op).await,
            Self::Postgres(backend) => backend.snapshot(op).await,
        }
    }

    /// Checks the lock that keeps other processes from being us.
    pub(crate) async fn keep_name(&self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(backend) => backend.keep_name().await,
        }
    }

    pub(crate) fn commits(&self) -> u64 {
        match self {
            Self::Sqlite(backend) => backend.commits.get(),
            Self::Postgres(backend) => backend.commits.get(),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(backend) => backend.close().await,
            Self::Postgres(backend) => backend.close().await,
        }
    }
}

/// A panicking signer must not take the writer (and with it every payment) down.
async fn guarded<T>(op: Op<T>, tx: &mut Tx) -> Result<T, LedgerError> {
    AssertUnwindSafe(async move { op(tx).await }).catch_unwind().await.unwrap_or(Err(LedgerError::Panicked))
}

/// The schema, applied in order. A released file never changes: the checksum is stored.
pub(crate) fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> sqlx::migrate::Migrator {
    use sqlx::SqlSafeStr as _;
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    Migrator::with_migrations(
        migrations
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(*version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
            })
            .collect(),
    )
}
