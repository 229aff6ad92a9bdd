//! Copies of a SQLite ledger: made beside the program that works on it, and put in its place again.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::backend::sqlite::{create_new_private, lock_file};
use crate::error::{LedgerError, cause};
use crate::ledger::Ledger;
use crate::types::Restored;

/// What SQLite says of a database that is whole.
const WHOLE: &str = "ok";

fn unavailable(error: &(dyn std::error::Error + 'static)) -> LedgerError {
    LedgerError::Unavailable(cause(error))
}

/// Only for reading.
fn sqlite(url: &str) -> Result<SqliteConnectOptions, LedgerError> {
    if !url.starts_with("sqlite:") || url.contains(":memory:") || url.contains("mode=memory") {
        return Err(LedgerError::Url("only a SQLite file is copied and put back as a file".to_owned()));
    }
    let connect =
        SqliteConnectOptions::from_str(url).map_err(|_| LedgerError::Url("not a SQLite URL".to_owned()))?;
    Ok(connect.read_only(true).disable_statement_logging())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Writes a copy of one moment to a new file that only its owner can read, and looks whether it is
/// whole; says how many bytes it has. Nothing of a copy that failed stays.
pub async fn back_up(url: &str, to: &Path) -> Result<u64, LedgerError> {
    let connect = sqlite(url)?;
    create_new_private(to).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => LedgerError::InUse(format!("{} is there already", to.display())),
        _ => unavailable(&error),
    })?;
    let copied = copy(&connect, to).await;
    if copied.is_err() {
        let _ = std::fs::remove_file(to);
    }
    copied
}

async fn copy(connect: &SqliteConnectOptions, to: &Path) -> Result<u64, LedgerError> {
    let mut session = connect.connect().await?;
    let name = to.to_str().ok_or_else(|| LedgerError::Url("a file name that is no text".to_owned()))?;
    // SQLite's own way: one reader's transaction, so the program goes on writing meanwhile.
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut session).await?;
    session.close().await?;
    look(to).await?;
    durable(to)
}

/// Whether the file is a whole database.
async fn look(path: &Path) -> Result<(), LedgerError> {
    let connect = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut session = connect.connect().await?;
    let found: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut session).await?;
    let unresolved = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut session).await?;
    session.close().await?;
    match found == WHOLE && unresolved.is_none() {
        true => Ok(()),
        false => Err(LedgerError::Corrupt { field: "integrity_check" }),
    }
}

fn durable(path: &Path) -> Result<u64, LedgerError> {
    let written = (|| {
        let file = File::open(path)?;
        file.sync_all()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        file.metadata().map(|about| about.len())
    })();
    written.map_err(|error: std::io::Error| unavailable(&error))
}

/// Puts a copy where the ledger's file was, marked as restored ([`Ledger::mark_restored`]) before any
/// program can find it there. Refused where a ledger is, or a program that waits for one.
pub async fn restore(url: &str, from: &Path, now_ms: i64) -> Result<Restored, LedgerError> {
    let connect = sqlite(url)?;
    let target = connect.get_filename().to_owned();
    let _lock = lock_file(&target, 0).await?;
    for there in [target.clone(), beside(&target, "-wal"), beside(&target, "-journal")] {
        if there.exists() {
            return Err(LedgerError::InUse(format!(
                "{} is there: a ledger is never written over",
                there.display()
            )));
        }
    }
    look(from).await?;
    let draft = beside(&target, ".restoring");
    let restored = place(from, &draft, &target, now_ms).await;
    for rest in [draft.clone(), beside(&draft, "-wal"), beside(&draft, "-shm")] {
        let _ = std::fs::remove_file(rest);
    }
    restored
}

async fn place(from: &Path, draft: &Path, target: &Path, now_ms: i64) -> Result<Restored, LedgerError> {
    let io = |error: std::io::Error| unavailable(&error);
    create_new_private(draft).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            LedgerError::InUse(format!("{} is left of an earlier try: remove it", draft.display()))
        }
        _ => io(error),
    })?;
    // Into what is there, so that it keeps its mode.
    std::io::copy(
        &mut File::open(from).map_err(io)?,
        &mut File::options().write(true).open(draft).map_err(io)?,
    )
    .map_err(io)?;
    let name = draft.to_str().ok_or_else(|| LedgerError::Url("a file name that is no text".to_owned()))?;
    let ledger = Ledger::open_beside(&format!("sqlite://{name}"), "restore").await?;
    let marked = ledger.mark_restored(now_ms).await;
    let flushed = ledger.flush_log().await;
    ledger.close().await;
    let marked = marked?;
    if !flushed? {
        return Err(LedgerError::InUse(draft.display().to_string()));
    }
    durable(draft)?;
    std::fs::rename(draft, target).map_err(io)?;
    durable(target)?;
    Ok(marked)
}
