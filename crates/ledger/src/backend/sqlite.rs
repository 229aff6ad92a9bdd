//! SQLite: one writer task with group commit, and a pool of readers.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::{Commits, LOCK_POLL_MS, Op, guarded, migrator};
use crate::conn::{Conn, Tx};
use crate::error::{LedgerError, cause};
use crate::types::LedgerOptions;

/// Most operations in one SQL transaction; bounds how long the first of them waits.
pub(crate) const GROUP_OPERATIONS_MAX: usize = 256;
/// Operations that may wait for the writer; more callers wait for a place.
const QUEUE_MAX: usize = 4_096;
/// How long a statement waits for a lock of another connection (a backup, say).
const BUSY_TIMEOUT_MS: u64 = 5_000;
/// Prepared statements that the writer keeps: more than there are, alone and joined.
const STATEMENTS_MAX: usize = 512;

pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../../../../migrations/sqlite/0001_ledger.sql")),
    (2, "costs recent", include_str!("../../../../migrations/sqlite/0002_costs_recent.sql")),
    (3, "finality", include_str!("../../../../migrations/sqlite/0003_finality.sql")),
    (4, "usages", include_str!("../../../../migrations/sqlite/0004_usages.sql")),
    (5, "merchant answers", include_str!("../../../../migrations/sqlite/0005_merchant_answers.sql")),
    (7, "exposure", include_str!("../../../../migrations/sqlite/0007_exposure.sql")),
    (8, "answer objects", include_str!("../../../../migrations/sqlite/0008_answer_objects.sql")),
    (9, "aliases", include_str!("../../../../migrations/sqlite/0009_aliases.sql")),
    (11, "owed", include_str!("../../../../migrations/sqlite/0011_owed.sql")),
    (12, "look-ups", include_str!("../../../../migrations/sqlite/0012_look_ups.sql")),
    (13, "pruning", include_str!("../../../../migrations/sqlite/0013_pruning.sql")),
    (14, "runs", include_str!("../../../../migrations/sqlite/0014_runs.sql")),
    (15, "check leases", include_str!("../../../../migrations/sqlite/0015_check_leases.sql")),
    (17, "merchants", include_str!("../../../../migrations/sqlite/0017_merchants.sql")),
    (18, "merchant payments", include_str!("../../../../migrations/sqlite/0018_merchant_payments.sql")),
    (20, "replaced slots", include_str!("../../../../migrations/sqlite/0020_replaced_slots.sql")),
    (22, "account rents", include_str!("../../../../migrations/sqlite/0022_account_rents.sql")),
];

/// An operation in the writer's queue, its result type erased.
#[async_trait]
trait Job: Send {
    /// Runs it inside its savepoint; says whether to keep what it did.
    async fn run(&mut self, tx: &mut Tx) -> bool;
    /// Answers the caller, after COMMIT or after it failed.
    fn answer(self: Box<Self>, group: &Group);
}

/// How a group of operations ended.
enum Group {
    Committed,
    /// Rolled back; nothing is stored.
    RolledBack(String),
    /// COMMIT itself failed: after a failed flush the bytes may still be in the log.
    Unknown(String),
}

struct Queued<T> {
    op: Option<Op<T>>,
    result: Option<Result<T, LedgerError>>,
    reply: Option<oneshot::Sender<Result<T, LedgerError>>>,
}

#[async_trait]
impl<T: Send> Job for Queued<T> {
    async fn run(&mut self, tx: &mut Tx) -> bool {
        let Some(op) = self.op.take() else { return false };
        let result = match guarded(op, tx).await {
            Ok(value) => tx.flush().await.map(|()| value),
            Err(error) => Err(error),
        };
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(mut self: Box<Self>, group: &Group) {
        let result = match (group, self.result.take()) {
            (Group::Committed, Some(result)) => result,
            // A refused operation stored nothing, whatever became of the others.
            (_, Some(Err(error))) => Err(error),
            (Group::Unknown(why), _) => Err(LedgerError::CommitUnknown(why.clone().into())),
            (Group::RolledBack(why), _) => Err(LedgerError::Unavailable(why.clone().into())),
            (Group::Committed, None) => Err(LedgerError::Closed),
        };
        if let Some(reply) = self.reply.take() {
            // The caller may have gone away; what it asked for is stored all the same.
            let _ = reply.send(result);
        }
    }
}

enum Message {
    Run(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

pub(crate) struct SqliteBackend {
    /// None when opened for reading.
    writer: Option<mpsc::Sender<Message>>,
    /// None for an in-memory database, which only its one connection can see.
    readers: Option<SqlitePool>,
    pub(crate) commits: Commits,
    connect: Option<Box<SqliteConnectOptions>>,
}

/// The ledger holds answers and the keys of kept ones: nobody else on this machine may read them,
/// whatever the umask. SQLite gives its log the mode of the database. A file that is there keeps its
/// own: its mode is the operator's.
pub(crate) fn create_private(path: &Path) -> Result<(), LedgerError> {
    match create_new_private(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(LedgerError::Unavailable(cause(&error))),
    }
}

/// The same of a file that must not be there: in a folder that others write to, it would be theirs, or
/// a link to wherever they like.
pub(crate) fn create_new_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

impl SqliteBackend {
    pub(crate) async fn open(url: &str, options: &LedgerOptions) -> Result<Self, LedgerError> {
        let bad_url = |_| LedgerError::Url("not a SQLite URL".to_owned());
        let connect = SqliteConnectOptions::from_str(url)
            .map_err(bad_url)?
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
            // An answer that was erased or pruned leaves no trace in free pages.
            .pragma("secure_delete", "ON")
            .disable_statement_logging();
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let reader_options =
            SqlitePoolOptions::new().max_connections(options.connections_max.max(1)).idle_timeout(None);
        if options.read_only {
            let readers = reader_options.connect_with(connect.read_only(true)).await?;
            return Ok(Self {
                writer: None,
                readers: Some(readers),
                commits: Commits::default(),
                connect: None,
            });
        }
        let lock = if in_memory || options.beside {
            None
        } else {
            Some(lock_file(connect.get_filename(), options.open_wait_ms).await?)
        };
        if !in_memory && !options.beside {
            create_private(connect.get_filename())?;
        }
        let connect = connect
            .create_if_missing(!options.beside)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(connect.clone().statement_cache_capacity(STATEMENTS_MAX))
            .await?;
        if !options.beside {
            migrator(MIGRATIONS).run(&pool).await.map_err(|e| LedgerError::Migration(cause(&e)))?;
        }
        let readers = match in_memory {
            true => None,
            false => Some(reader_options.connect_with(connect.clone().read_only(true)).await?),
        };
        let tx = Tx::new(Conn::Sqlite(pool.acquire().await?));
        let commits = Commits::default();
        let (writer, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(Writer { tx, pool, queue, commits: commits.clone(), _lock: lock }.run());
        Ok(Self { writer: Some(writer), readers, commits, connect: Some(Box::new(connect)) })
    }

    /// See [`Ledger::flush_log`](crate::Ledger::flush_log).
    pub(crate) async fn flush_log(&self) -> Result<bool, LedgerError> {
        let connect = self.connect.as_ref().ok_or(LedgerError::ReadOnly)?;
        let mut session = connect.connect().await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut session).await?;
        session.close().await?;
        let busy: i64 = row.try_get(0).map_err(|_| LedgerError::Corrupt { field: "wal_checkpoint" })?;
        Ok(busy == 0)
    }

    pub(crate) async fn write<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        let writer = self.writer.as_ref().ok_or(LedgerError::ReadOnly)?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Queued { op: Some(op), result: None, reply: Some(reply) });
        writer.send(Message::Run(job)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    pub(crate) async fn read<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        let Some(readers) = &self.readers else { return self.write(op).await };
        let mut tx = Tx::new(Conn::Sqlite(readers.acquire().await?));
        op(&mut tx).await
    }

    /// A reader's transaction: the log keeps what it shows until it ends, the writer goes on.
    pub(crate) async fn snapshot<T: Send + 'static>(&self, op: Op<T>) -> Result<T, LedgerError> {
        let Some(readers) = &self.readers else { return self.write(op).await };
        let mut tx = Tx::new(Conn::Sqlite(readers.acquire().await?));
        tx.control("BEGIN").await?;
        let result = op(&mut tx).await;
        if tx.control("ROLLBACK").await.is_err()
            && let Conn::Sqlite(conn) = &mut tx.conn
        {
            conn.close_on_drop();
        }
        result
    }

    pub(crate) async fn close(&self) {
        if let Some(writer) = &self.writer {
            let (done, stopped) = oneshot::channel();
            if writer.send(Message::Stop(done)).await.is_ok() {
                let _ = stopped.await;
            }
        }
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
    }
}

/// Keeps a second process out: two engines on one SQLite file would both
/// believe that they own every payment.
pub(crate) async fn lock_file(database: &Path, wait_ms: u64) -> Result<File, LedgerError> {
    let mut path = PathBuf::from(database).into_os_string();
    path.push(".lock");
    let unavailable = |e: std::io::Error| LedgerError::Unavailable(cause(&e));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unavailable)?;
    let mut waited_ms = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
            Err(TryLockError::WouldBlock) if waited_ms >= wait_ms => {
                return Err(LedgerError::InUse("the SQLite file is locked".to_owned()));
            }
            Err(TryLockError::WouldBlock) => {
                tokio::time::sleep(Duration::from_millis(LOCK_POLL_MS)).await;
                waited_ms += LOCK_POLL_MS;
            }
        }
    }
}

/// The only one who writes.
struct Writer {
    tx: Tx,
    pool: SqlitePool,
    queue: mpsc::Receiver<Message>,
    commits: Commits,
    /// Held until the last COMMIT is through.
    _lock: Option<File>,
}

impl Writer {
    async fn run(mut self) {
        let mut stop = None;
        while stop.is_none() {
            match self.queue.recv().await {
                Some(Message::Run(job)) => stop = self.group(job).await,
                Some(Message::Stop(done)) => stop = Some(done),
                None => break,
            }
        }
        self.queue.close();
        let Self { tx, pool, queue, _lock, .. } = self;
        drop(queue);
        drop(tx);
        pool.close().await;
        drop(_lock);
        if let Some(done) = stop {
            let _ = done.send(());
        }
    }

    /// Runs the first operation and all that wait behind it, commits once,
    /// then answers each. While the disk flushes, the next group gathers.
    async fn group(&mut self, first: Box<dyn Job>) -> Option<oneshot::Sender<()>> {
        let mut jobs: Vec<Box<dyn Job>> = Vec::new();
        let mut stop = None;
        let mut next = Some(first);
        self.tx.wrote = false;
        let mut failed = self.tx.control("BEGIN IMMEDIATE; SAVEPOINT operation").await.err();
        let began = failed.is_none();
        // Whether the savepoint holds nothing yet.
        let mut fresh = true;
        while let Some(mut job) = next.take() {
            if failed.is_none() {
                failed = self.under_savepoint(job.as_mut(), &mut fresh).await.err();
            }
            jobs.push(job);
            if failed.is_none() && jobs.len() < GROUP_OPERATIONS_MAX {
                match self.queue.try_recv() {
                    Ok(Message::Run(job)) => next = Some(job),
                    Ok(Message::Stop(done)) => stop = Some(done),
                    Err(_) => {}
                }
            }
        }
        if failed.is_some() && !began {
            // Another connection keeps the lock. Whoever queued meanwhile waited for it
            // too, and would wait as long again, one group after the other.
            while stop.is_none() {
                match self.queue.try_recv() {
                    Ok(Message::Run(job)) => jobs.push(job),
                    Ok(Message::Stop(done)) => stop = Some(done),
                    Err(_) => break,
                }
            }
        }
        let outcome = self.finish(failed).await;
        for job in jobs {
            job.answer(&outcome);
        }
        stop
    }

    /// An error here means that the whole transaction is no longer what we
    /// think it is: SQLite rolls all of it back on a full disk, for one.
    async fn under_savepoint(&mut self, job: &mut dyn Job, fresh: &mut bool) -> Result<(), LedgerError> {
        if !*fresh {
            self.tx.control("RELEASE operation; SAVEPOINT operation").await?;
        }
        let wrote = self.tx.wrote;
        *fresh = !job.run(&mut self.tx).await;
        if *fresh {
            self.tx.wrote = wrote;
            self.tx.forget();
            // The savepoint stays, for the next one. COMMIT releases the last.
            self.tx.control("ROLLBACK TO operation").await?;
        }
        Ok(())
    }

    async fn finish(&mut self, failed: Option<LedgerError>) -> Group {
        if let Some(error) = failed {
            // An error is expected where SQLite has rolled back by itself.
            let _ = self.tx.control("ROLLBACK").await;
            // Whoever is answered so says it; a full disk would say it for every group.
            tracing::debug!(%error, "ledger group rolled back");
            return Group::RolledBack(error.to_string());
        }
        match self.tx.control("COMMIT").await {
            Ok(()) => {
                if self.tx.wrote {
                    self.commits.count();
                }
                Group::Committed
            }
            Err(error) => {
                let _ = self.tx.control("ROLLBACK").await;
                tracing::debug!(%error, "ledger commit failed");
                Group::Unknown(error.to_string())
            }
        }
    }
}
