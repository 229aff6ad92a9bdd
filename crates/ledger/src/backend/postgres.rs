//! PostgreSQL: one SQL transaction per operation, flushes grouped by the server.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;

use super::{Commits, LOCK_POLL_MS, Op, guarded, migrator};
use crate::conn::{Conn, Tx};
use crate::error::LedgerError;
use crate::types::LedgerOptions;

/// How long an operation waits for a connection.
const ACQUIRE_TIMEOUT_MS: u64 = 10_000;
/// How long a statement waits for a row of another transaction.
const LOCK_TIMEOUT: &str = "5s";
/// First half of the advisory lock key of an instance name ("quit").
const NAME_LOCK_CLASS: i32 = 0x7175_6974;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../../../../migrations/postgres/0001_ledger.sql")),
    (2, "costs recent", include_str!("../../../../migrations/postgres/0002_costs_recent.sql")),
    (3, "finality", include_str!("../../../../migrations/postgres/0003_finality.sql")),
    (4, "usages", include_str!("../../../../migrations/postgres/0004_usages.sql")),
];

pub(crate) struct PostgresBackend {
    pool: PgPool,
    connect: PgConnectOptions,
    options: LedgerOptions,
    /// The session that holds the advisory lock on our instance name.
    name_lock: Mutex<Option<PgConnection>>,
    pub(crate) commits: Commits,
}

impl PostgresBackend {
    pub(crate) async fn open(url: &str, options: &LedgerOptions) -> Result<Self, LedgerError> {
        let connect = PgConnectOptions::from_str(url)
            // The URL holds a password: never repeated in an error.
            .map_err(|_| LedgerError::Url("not a PostgreSQL URL".to_owned()))?
            .application_name("quittance")
            .options([
                ("synchronous_commit", "on"),
                ("lock_timeout", LOCK_TIMEOUT),
                ("default_transaction_isolation", "read committed"),
                ("default_transaction_read_only", if options.read_only { "on" } else { "off" }),
            ])
            .disable_statement_logging();
        let name_lock = match options.read_only {
            true => None,
            false => Some(lock_name(&connect, options).await?),
        };
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max.max(1))
            .acquire_timeout(Duration::from_millis(ACQUIRE_TIMEOUT_MS))
            .test_before_acquire(false)
            .connect_with(connect.clone())
            .await?;
        if !options.read_only {
            migrator(MIGRATIONS).run(&pool).await.map_err(|e| LedgerError::Migration(Box::new(e)))?;
        }
        Ok(Self {
            pool,
            connect,
            options: options.clone(),
            name_lock: Mutex::new(name_lock),
            commits: Commits::default(),
        })
    }

    /// On a task of its own: a caller that goes away (its HTTP client hung up)
    /// must not leave a connection inside an open transaction.
    pub(crate) async fn write<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        if self.options.read_only {
            return Err(LedgerError::ReadOnly);
        }
        let (pool, commits) = (self.pool.clone(), self.commits.clone());
        tokio::spawn(async move { transaction(&pool, &commits, op).await })
            .await
            .unwrap_or(Err(LedgerError::Closed))
    }

    pub(crate) async fn read<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        let mut tx = Tx::new(Conn::Postgres(self.pool.acquire().await?));
        op(&mut tx).await
    }

    /// Makes sure that the name is still ours: a broken connection drops the
    /// lock, and another process may have taken the name since.
    pub(crate) async fn keep_name(&self) -> Result<(), LedgerError> {
        if self.options.read_only {
            return Err(LedgerError::ReadOnly);
        }
        let mut session = self.name_lock.lock().await;
        if let Some(held) = session.as_mut()
            && held.ping().await.is_ok()
        {
            return Ok(());
        }
        *session = None;
        *session = match lock_name(&self.connect, &self.options).await {
            Ok(held) => Some(held),
            Err(LedgerError::InUse(_)) => return Err(LedgerError::LeaseLost),
            Err(error) => return Err(error),
        };
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
        if let Some(lock) = self.name_lock.lock().await.take() {
            let _ = lock.close().await;
        }
    }
}

/// Two processes with one name would share an epoch's worth of payments; the
/// lock dies with the session, so a crashed process frees its name at once.
async fn lock_name(connect: &PgConnectOptions, options: &LedgerOptions) -> Result<PgConnection, LedgerError> {
    let mut session = connect.connect().await?;
    let mut waited_ms = 0;
    loop {
        let got: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
            .bind(NAME_LOCK_CLASS)
            .bind(options.instance.as_str())
            .fetch_one(&mut session)
            .await?;
        if got {
            return Ok(session);
        }
        if waited_ms >= options.open_wait_ms {
            return Err(LedgerError::InUse(format!("instance name {}", options.instance)));
        }
        tokio::time::sleep(Duration::from_millis(LOCK_POLL_MS)).await;
        waited_ms += LOCK_POLL_MS;
    }
}

async fn transaction<T: Send + 'static>(
    pool: &PgPool,
    commits: &Commits,
    op: Op<T>,
) -> Result<T, LedgerError> {
    let mut tx = Tx::new(Conn::Postgres(pool.acquire().await?));
    if let Err(error) = tx.control("BEGIN").await {
        discard(&mut tx);
        return Err(error);
    }
    match guarded(op, &mut tx).await {
        Ok(value) => match tx.control("COMMIT").await {
            Ok(()) => {
                if tx.wrote {
                    commits.count();
                }
                Ok(value)
            }
            Err(error) => {
                discard(&mut tx);
                Err(LedgerError::CommitUnknown(Box::new(error)))
            }
        },
        Err(error) => {
            if tx.control("ROLLBACK").await.is_err() {
                discard(&mut tx);
            }
            Err(error)
        }
    }
}

/// A connection in an unknown state is not reused.
fn discard(tx: &mut Tx) {
    if let Conn::Postgres(conn) = &mut tx.conn {
        conn.close_on_drop();
    }
}
