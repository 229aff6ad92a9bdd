//! Opening a ledger: which database, and what an earlier life left.

use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::postgres::PostgresBackend;
use crate::backend::sqlite::SqliteBackend;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::ops::instances;
use crate::types::{LedgerOptions, RunEnd};

impl Ledger {
    /// Opens (and creates or migrates) a ledger: `sqlite://PATH`,
    /// `sqlite::memory:` (for tests), `postgres://…`.
    ///
    /// What an earlier life of this instance left unfinished becomes ours, on
    /// SQLite whatever anybody left: see [`unfinished`](Self::unfinished).
    /// Handler runs that were cut off become credits.
    pub async fn open(url: &str, options: LedgerOptions, now_ms: i64) -> Result<Self, LedgerError> {
        let backend = backend(url, &options).await?;
        let instance: Arc<str> = options.instance.as_str().into();
        let shared = matches!(backend, Backend::Postgres(_));
        let lease_until_ms = now_ms.saturating_add(options.lease_ms);
        let epoch = match options.read_only {
            true => 0,
            false => {
                let (name, options) = (instance.clone(), options.clone());
                backend
                    .write(Box::new(move |tx| {
                        Box::pin(async move {
                            instances::enter(tx, name, &options, shared, RunEnd::Crashed, now_ms).await
                        })
                    }))
                    .await?
            }
        };
        Ok(Self::new(backend, options, epoch, if shared { lease_until_ms } else { i64::MAX }))
    }

    /// Opens a ledger beside the process that works on it, for an operator's
    /// [`Self::erase_answer`]: no migration, no lock, no lease, nothing is taken
    /// over. The database must exist and have this version's tables.
    pub async fn open_beside(url: &str, name: &str) -> Result<Self, LedgerError> {
        let options = LedgerOptions { beside: true, ..LedgerOptions::new(name) };
        let backend = backend(url, &options).await?;
        Ok(Self::new(backend, options, 0, i64::MAX))
    }
}

/// Brings a database to this version's tables, and creates it if it is not there: for who
/// comes before the program has ever run. Nobody may have it open.
pub async fn migrate(url: &str, name: &str) -> Result<(), LedgerError> {
    backend(url, &LedgerOptions::new(name)).await?.close().await;
    Ok(())
}

async fn backend(url: &str, options: &LedgerOptions) -> Result<Backend, LedgerError> {
    if url.starts_with("sqlite:") {
        Ok(Backend::Sqlite(SqliteBackend::open(url, options).await?))
    } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        Ok(Backend::Postgres(Box::new(PostgresBackend::open(url, options).await?)))
    } else {
        // The text may be a mistyped URL with a password in it.
        Err(LedgerError::Url("unknown scheme".to_owned()))
    }
}
