//! PostgreSQL: one SQL transaction per operation, flushes grouped by the server.

use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Commits, LOCK_POLL_MS, Op, guarded, migrator};
use crate::conn::{Conn, Tx};
use crate::error::{LedgerError, cause};
use crate::types::LedgerOptions;

/// Operations that may wait out their time limit one after the other within a
/// lease: what a dead connection costs must leave time for the next heartbeat.
const TIMEOUTS_PER_LEASE: i64 = 6;
/// Shortest and longest time limit of one operation.
const OPERATION_MS: std::ops::RangeInclusive<i64> = 500..=5_000;
/// How long a reader without a limit waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle time after which the server asks a silent client whether it still lives,
/// and the pause between its questions, in seconds: a host that vanished without a
/// word must not keep its instance's name or its row locks.
const KEEPALIVE_SECONDS: &str = "5";
/// Unanswered questions after which the server gives a client up.
const KEEPALIVE_COUNT: &str = "3";
/// A connection that nobody used for longer is asked before it is used again: the
/// server may have restarted, or ended the session.
const IDLE_UNASKED: Duration = Duration::from_secs(1);
/// Above any time limit: the driver logs nothing by itself.
const NEVER_SLOW: Duration = Duration::from_secs(86_400);
/// First half of the advisory lock key of an instance name ("quit").
const NAME_LOCK_CLASS: i32 = 0x7175_6974;

pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../../../../migrations/postgres/0001_ledger.sql")),
    (2, "costs recent", include_str!("../../../../migrations/postgres/0002_costs_recent.sql")),
    (3, "finality", include_str!("../../../../migrations/postgres/0003_finality.sql")),
    (4, "usages", include_str!("../../../../migrations/postgres/0004_usages.sql")),
    (5, "merchant answers", include_str!("../../../../migrations/postgres/0005_merchant_answers.sql")),
    (7, "exposure", include_str!("../../../../migrations/postgres/0007_exposure.sql")),
    (8, "answer objects", include_str!("../../../../migrations/postgres/0008_answer_objects.sql")),
    (9, "aliases", include_str!("../../../../migrations/postgres/0009_aliases.sql")),
    (11, "owed", include_str!("../../../../migrations/postgres/0011_owed.sql")),
    (12, "look-ups", include_str!("../../../../migrations/postgres/0012_look_ups.sql")),
    (13, "pruning", include_str!("../../../../migrations/postgres/0013_pruning.sql")),
    (14, "runs", include_str!("../../../../migrations/postgres/0014_runs.sql")),
    (15, "check leases", include_str!("../../../../migrations/postgres/0015_check_leases.sql")),
    (17, "merchants", include_str!("../../../../migrations/postgres/0017_merchants.sql")),
    (18, "merchant payments", include_str!("../../../../migrations/postgres/0018_merchant_payments.sql")),
    (20, "replaced slots", include_str!("../../../../migrations/postgres/0020_replaced_slots.sql")),
    (22, "account rents", include_str!("../../../../migrations/postgres/0022_account_rents.sql")),
    (23, "cost shares", include_str!("../../../../migrations/postgres/0023_cost_shares.sql")),
];

pub(crate) struct PostgresBackend {
    pool: PgPool,
    connect: PgConnectOptions,
    options: LedgerOptions,
    /// The session that holds the advisory lock on our instance name.
    name_lock: Mutex<Option<PgConnection>>,
    limit: Limit,
    pub(crate) commits: Commits,
}

/// How long one operation may take, and what is known of connections that took longer.
///
/// A database that fails over, or a firewall that forgets a connection, answers
/// nothing at all: without a limit every operation would wait for the kernel to
/// give up, which takes a quarter of an hour, while the lease runs out.
#[derive(Clone)]
struct Limit {
    /// None for who only reads: an operator's sum over a year may take its time.
    operation: Option<Duration>,
    /// When an operation last ran into the limit: connections older than that are
    /// not used again, or each of them would cost its own time-out.
    silent_at: Arc<SyncMutex<Option<Instant>>>,
    /// The newest connection leads to a standby.
    is_standby: Arc<AtomicBool>,
}

impl Limit {
    fn new(options: &LedgerOptions) -> Self {
        let ms = (options.lease_ms / TIMEOUTS_PER_LEASE).clamp(*OPERATION_MS.start(), *OPERATION_MS.end());
        let operation = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
        let operation = (!options.read_only).then_some(operation);
        Self { operation, silent_at: Arc::default(), is_standby: Arc::default() }
    }

    /// `work`, or [`LedgerError::Unavailable`] when it takes too long. Whoever
    /// calls drops the connection then: an answer may still be on its way.
    async fn within<T>(&self, work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
        let Some(operation) = self.operation else { return work.await };
        match timeout(operation, work).await {
            Ok(result) => result,
            Err(_) => {
                *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Err(LedgerError::Unavailable("the database did not answer in time".into()))
            }
        }
    }

    /// The same limit for what runs on the server, so that nothing that we called
    /// failed goes on behind our back, or holds a row that others wait for.
    fn told_to_the_server(&self, connect: PgConnectOptions) -> PgConnectOptions {
        let Some(operation) = self.operation else { return connect };
        let ms = format!("{}ms", operation.as_millis());
        connect.options([
            ("lock_timeout", ms.as_str()),
            ("statement_timeout", ms.as_str()),
            ("idle_in_transaction_session_timeout", ms.as_str()),
        ])
    }

    /// Whether a connection that was idle answers still. Within half the limit: whoever
    /// waits for a connection waits no longer than the whole.
    async fn answers(&self, session: &mut PgConnection) -> bool {
        let Some(operation) = self.operation else { return session.ping().await.is_ok() };
        match timeout(operation / 2, session.ping()).await {
            Ok(answered) => answered.is_ok(),
            Err(_) => {
                *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                false
            }
        }
    }

    /// After a failover a name may lead to a standby for a while. It shows a past in
    /// which what is under way is not there yet (P5), so nothing is read from it: its
    /// session finds no table.
    async fn refuse_standby(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let is_standby: bool =
            sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *session).await?;
        self.is_standby.store(is_standby, Ordering::Relaxed);
        if is_standby {
            sqlx::query("SET search_path = pg_temp").execute(session).await?;
        }
        Ok(())
    }

    /// The error of an operation, in words that say where it was asked.
    fn of_standby(&self, error: LedgerError) -> LedgerError {
        let asked = matches!(error, LedgerError::Database(_) | LedgerError::Unavailable(_));
        match asked && self.is_standby.load(Ordering::Relaxed) {
            true => LedgerError::Unavailable("the database is a standby, which only reads".into()),
            false => error,
        }
    }

    /// Whether a connection of this age was there when the database fell silent.
    fn is_suspect(&self, age: Duration) -> bool {
        let silent_at = *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner);
        silent_at.is_some_and(|at| at.elapsed() <= age)
    }
}

impl PostgresBackend {
    pub(crate) async fn open(url: &str, options: &LedgerOptions) -> Result<Self, LedgerError> {
        let connect = PgConnectOptions::from_str(url)
            // The URL holds a password: never repeated in an error.
            .map_err(|_| LedgerError::Url("not a PostgreSQL URL".to_owned()))?
            .application_name("quittance")
            .options([
                ("synchronous_commit", "on"),
                ("default_transaction_isolation", "read committed"),
                ("default_transaction_read_only", if options.read_only { "on" } else { "off" }),
                ("tcp_keepalives_idle", KEEPALIVE_SECONDS),
                ("tcp_keepalives_interval", KEEPALIVE_SECONDS),
                ("tcp_keepalives_count", KEEPALIVE_COUNT),
                // The driver would log what the server notices, line for line.
                ("client_min_messages", "error"),
            ])
            .disable_statement_logging();
        let limit = Limit::new(options);
        let name_lock = match options.read_only || options.beside {
            true => None,
            false => {
                let name_lock = lock_name(&connect, options).await?;
                // Without the limit: a new index over a large table takes its time.
                let mut session = connect.connect().await?;
                let migrated = migrator(MIGRATIONS).run(&mut session).await;
                migrated.map_err(|e| LedgerError::Migration(cause(&e)))?;
                Some(name_lock)
            }
        };
        let connect = limit.told_to_the_server(connect);
        let (silent, fresh) = (limit.clone(), limit.clone());
        let writes = !options.read_only;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max.max(1))
            .acquire_timeout(limit.operation.unwrap_or(ACQUIRE_TIMEOUT))
            .acquire_slow_threshold(NEVER_SLOW)
            .test_before_acquire(false)
            .after_connect(move |session, _| {
                let fresh = fresh.clone();
                Box::pin(async move {
                    match writes {
                        true => fresh.refuse_standby(session).await,
                        false => Ok(()),
                    }
                })
            })
            .before_acquire(move |session, known| {
                let silent = silent.clone();
                Box::pin(async move {
                    Ok(!silent.is_suspect(known.age)
                        && (known.idle_for < IDLE_UNASKED || silent.answers(session).await))
                })
            })
            .connect_with(connect.clone())
            .await?;
        Ok(Self {
            pool,
            connect,
            options: options.clone(),
            name_lock: Mutex::new(name_lock),
            limit,
            commits: Commits::default(),
        })
    }

    /// On a task of its own: a caller that goes away (its HTTP client hung up)
    /// must not leave a connection inside an open transaction.
    pub(crate) async fn write<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        if self.options.read_only {
            return Err(LedgerError::ReadOnly);
        }
        let (pool, commits, limit) = (self.pool.clone(), self.commits.clone(), self.limit.clone());
        tokio::spawn(async move { transaction(&pool, &commits, &limit, op).await })
            .await
            .unwrap_or(Err(LedgerError::Closed))
    }

    pub(crate) async fn read<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        let mut tx = Tx::new(Conn::Postgres(self.pool.acquire().await?));
        let read = self.limit.within(op(&mut tx)).await;
        read.map_err(|error| {
            if matches!(error, LedgerError::Unavailable(_) | LedgerError::Database(_)) {
                discard(&mut tx);
            }
            self.limit.of_standby(error)
        })
    }

    /// Makes sure that the name is still ours: a broken connection drops the
    /// lock, and another process may have taken the name since.
    pub(crate) async fn keep_name(&self) -> Result<(), LedgerError> {
        if self.options.read_only {
            return Err(LedgerError::ReadOnly);
        }
        let mut session = self.name_lock.lock().await;
        if let Some(held) = session.as_mut() {
            let ping = async { Ok(held.ping().await?) };
            if self.limit.within(ping).await.is_ok() {
                return Ok(());
            }
        }
        *session = None;
        *session = match self.limit.within(lock_name(&self.connect, &self.options)).await {
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
    limit: &Limit,
    op: Op<T>,
) -> Result<T, LedgerError> {
    let mut tx = Tx::new(Conn::Postgres(pool.acquire().await?));
    let begun = async {
        tx.control("BEGIN").await?;
        guarded(op, &mut tx).await
    };
    match limit.within(begun).await {
        Ok(value) => match limit.within(tx.control("COMMIT")).await {
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
            // What broke or ran out of time is not asked anything more: without a
            // COMMIT the server undoes the rest by itself.
            let broken = matches!(error, LedgerError::Unavailable(_) | LedgerError::Database(_));
            if broken || limit.within(tx.control("ROLLBACK")).await.is_err() {
                discard(&mut tx);
            }
            Err(limit.of_standby(error))
        }
    }
}

/// A connection in an unknown state is not reused.
fn discard(tx: &mut Tx) {
    if let Conn::Postgres(conn) = &mut tx.conn {
        conn.close_on_drop();
    }
}
