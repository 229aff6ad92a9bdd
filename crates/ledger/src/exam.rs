//! A database looked at before it is relied on, for an operator. Reads, and writes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::backend::{migrator, postgres, sqlite};
use crate::error::{LedgerError, cause};

/// What PostgreSQL is asked for; each decides whether a commit is what it says.
const SETTINGS: [&str; 5] =
    ["server_version", "fsync", "full_page_writes", "synchronous_commit", "default_transaction_isolation"];

/// How a database's tables stand to this version's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaExam {
    /// Migrations of this version that were applied.
    pub applied: usize,
    /// Those that a start would apply.
    pub missing: Vec<i64>,
    /// Those that this version does not know: a newer one was here.
    pub unknown: Vec<i64>,
    /// Those whose text is not this version's, or that broke off half-way.
    pub changed: Vec<i64>,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerExam {
    /// SQLite: its file.
    pub file: Option<PathBuf>,
    /// Its tables; `None` where nothing is there yet.
    pub schema: Option<SchemaExam>,
    /// PostgreSQL: its clock, Unix milliseconds.
    pub clock_ms: Option<i64>,
    /// PostgreSQL: it only reads.
    pub is_standby: bool,
    /// PostgreSQL: connections that are left for this user.
    pub connections_left: Option<i64>,
    /// Settings by name, in our own session.
    pub settings: BTreeMap<String, String>,
}

/// Looks at the database that a URL names.
pub async fn examine(url: &str) -> Result<LedgerExam, LedgerError> {
    if url.starts_with("sqlite:") {
        examine_sqlite(url).await
    } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        examine_postgres(url).await
    } else {
        Err(LedgerError::Url("unknown scheme".to_owned()))
    }
}

async fn examine_sqlite(url: &str) -> Result<LedgerExam, LedgerError> {
    let connect = SqliteConnectOptions::from_str(url)
        .map_err(|_| LedgerError::Url("not a SQLite URL".to_owned()))?
        .read_only(true)
        .disable_statement_logging();
    let file = connect.get_filename().to_owned();
    let mut exam = LedgerExam {
        schema: None,
        clock_ms: None,
        is_standby: false,
        connections_left: None,
        settings: BTreeMap::new(),
        file: Some(file.clone()),
    };
    if !file.exists() {
        return Ok(exam);
    }
    let unavailable = |error: sqlx::Error| LedgerError::Unavailable(cause(&error));
    let mut session = connect.connect().await.map_err(unavailable)?;
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut session).await.map_err(unavailable)?;
    exam.settings.insert("journal_mode".to_owned(), mode);
    let tables = "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut session).await.map_err(unavailable)?;
    if tables > 0 {
        let rows = sqlx::query("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version");
        let rows = rows.fetch_all(&mut session).await.map_err(unavailable)?;
        let rows =
            rows.iter().map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?)));
        exam.schema = Some(compare(rows.flatten().collect(), sqlite::MIGRATIONS));
    }
    let _ = session.close().await;
    Ok(exam)
}

async fn examine_postgres(url: &str) -> Result<LedgerExam, LedgerError> {
    let connect = PgConnectOptions::from_str(url)
        // The URL holds a password: never repeated in an error.
        .map_err(|_| LedgerError::Url("not a PostgreSQL URL".to_owned()))?
        .application_name("quittance doctor")
        // As the program's own sessions ask for it; a pooler in between may not pass it on.
        .options([
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "on"),
            ("client_min_messages", "error"),
        ])
        .disable_statement_logging();
    let unavailable = |error: sqlx::Error| LedgerError::Unavailable(cause(&error));
    let mut session = connect.connect().await.map_err(unavailable)?;
    let mut settings = BTreeMap::new();
    for name in SETTINGS {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut session)
            .await
            .map_err(unavailable)?;
        settings.insert(name.to_owned(), value);
    }
    let row = sqlx::query(
        "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT), pg_is_in_recovery(), \
         current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint \
         - (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
         to_regclass('_sqlx_migrations') IS NOT NULL",
    )
    .fetch_one(&mut session)
    .await
    .map_err(unavailable)?;
    let has_tables: bool = row.try_get(3).map_err(unavailable)?;
    let schema = match has_tables {
        true => {
            let rows =
                sqlx::query("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version");
            let rows = rows.fetch_all(&mut session).await.map_err(unavailable)?;
            let rows = rows
                .iter()
                .map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?, row.try_get(2).ok()?)));
            Some(compare(rows.flatten().collect(), postgres::MIGRATIONS))
        }
        false => None,
    };
    let exam = LedgerExam {
        file: None,
        schema,
        clock_ms: row.try_get(0).ok(),
        is_standby: row.try_get(1).map_err(unavailable)?,
        connections_left: row.try_get(2).ok(),
        settings,
    };
    let _ = session.close().await;
    Ok(exam)
}

fn compare(found: Vec<(i64, Vec<u8>, bool)>, ours: &[(i64, &'static str, &'static str)]) -> SchemaExam {
    let ours = migrator(ours);
    let mut exam = SchemaExam::default();
    for (version, checksum, success) in &found {
        match ours.iter().find(|migration| migration.version == *version) {
            None => exam.unknown.push(*version),
            Some(migration) if !success || *migration.checksum != **checksum => exam.changed.push(*version),
            Some(_) => exam.applied = exam.applied.saturating_add(1),
        }
    }
    let is_found = |version: i64| found.iter().any(|(found, ..)| *found == version);
    exam.missing = ours.iter().map(|migration| migration.version).filter(|one| !is_found(*one)).collect();
    exam
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, LedgerOptions};

    #[tokio::test]
    async fn a_ledger_is_looked_at_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.sqlite").display());
        let exam = examine(&url).await.unwrap();
        assert_eq!(exam.schema, None);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
        let ledger = Ledger::open(&url, LedgerOptions::new("a"), 1).await.unwrap();
        let exam = examine(&url).await.unwrap();
        let schema = exam.schema.unwrap();
        assert_eq!(schema.applied, sqlite::MIGRATIONS.len());
        assert!(schema.missing.is_empty() && schema.unknown.is_empty() && schema.changed.is_empty());
        assert_eq!(exam.settings["journal_mode"], "wal");
        ledger.close().await;
    }

    #[test]
    fn what_a_newer_version_left_and_what_was_changed_is_told_apart() {
        let ours = migrator(sqlite::MIGRATIONS);
        let row = |at: usize| {
            let one = ours.iter().nth(at).unwrap();
            (one.version, one.checksum.to_vec(), true)
        };
        let broken = (2, row(1).1, false);
        let exam = compare(vec![row(0), broken, (999, vec![1], true)], sqlite::MIGRATIONS);
        assert_eq!((exam.applied, exam.changed, exam.unknown), (1, vec![2], vec![999]));
        assert!(exam.missing.contains(&3));
    }
}
