//! One small SQL surface over both drivers, so that every operation is written once.
//!
//! Statements use `$1` placeholders, `RETURNING` and `ON CONFLICT`, which mean
//! the same on SQLite and PostgreSQL.

use futures::TryStreamExt as _;
use quittance_protocol::{Amount, Network};
use serde_json::Value as Json;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Either, Executor as _, Postgres, Row as _, SqlSafeStr, Sqlite, SqliteConnection};

use crate::error::LedgerError;
use crate::value::Value;
pub(crate) use crate::value::params;

/// Longest free text (a reason, a node's words) that is stored.
pub(crate) const REASON_BYTES_MAX: usize = 512;

/// Statements that wait for the next one; so many are run without it.
const WAITING_MAX: usize = 8;

/// A stored amount.
pub(crate) fn amount(value: Amount, field: &'static str) -> Result<i64, LedgerError> {
    unsigned(value.atomic(), field)
}

/// An unsigned number that has to fit a BIGINT.
pub(crate) fn unsigned(value: u64, field: &'static str) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|_| LedgerError::OutOfRange { field })
}

/// PostgreSQL text cannot hold NUL, and a name with one means an attack on the log reader.
pub(crate) fn plain<'a>(value: &'a str, field: &'static str) -> Result<&'a str, LedgerError> {
    if value.contains('\0') { Err(LedgerError::OutOfRange { field }) } else { Ok(value) }
}

/// Free text from outside (a node, a handler), made storable.
pub(crate) fn reason(text: &str) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text[..end].replace('\0', "\u{fffd}")
}

/// A row of either driver.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! getter {
    ($name:ident, $type:ty) => {
        pub(crate) fn $name(&self, field: &'static str) -> Result<$type, LedgerError> {
            match self {
                Self::Sqlite(row) => row.try_get(field),
                Self::Postgres(row) => row.try_get(field),
            }
            .map_err(|_| LedgerError::Corrupt { field })
        }
    };
}

impl Row {
    getter!(int, i64);
    getter!(int_opt, Option<i64>);
    getter!(text, String);
    getter!(text_opt, Option<String>);
    getter!(blob, Vec<u8>);
    getter!(blob_opt, Option<Vec<u8>>);
    getter!(flag, bool);

    pub(crate) fn unsigned(&self, field: &'static str) -> Result<u64, LedgerError> {
        u64::try_from(self.int(field)?).map_err(|_| LedgerError::Corrupt { field })
    }

    pub(crate) fn amount(&self, field: &'static str) -> Result<Amount, LedgerError> {
        self.unsigned(field).map(Amount::new)
    }

    pub(crate) fn hash(&self, field: &'static str) -> Result<[u8; 32], LedgerError> {
        self.blob(field)?.try_into().map_err(|_| LedgerError::Corrupt { field })
    }

    pub(crate) fn network(&self) -> Result<Network, LedgerError> {
        self.text("network")?.parse().map_err(|_| LedgerError::Corrupt { field: "network" })
    }

    pub(crate) fn json(&self, field: &'static str) -> Result<Json, LedgerError> {
        serde_json::from_str(&self.text(field)?).map_err(|_| LedgerError::Corrupt { field })
    }
}

/// A connection of either driver, inside or outside a transaction.
pub(crate) enum Conn {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

macro_rules! bind_all {
    ($sql:expr, $params:expr) => {{
        let mut query = sqlx::query($sql);
        for value in $params {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
                Value::Bool(value) => query.bind(value),
            };
        }
        query
    }};
}

/// A connection plus what the operation on it has done.
pub(crate) struct Tx {
    pub(crate) conn: Conn,
    /// Statements that go with the next one, in this order; see [`Tx::later`].
    waiting: Vec<(&'static str, Vec<Value>)>,
    /// Whether a row changed, so that the COMMIT is a durable one.
    pub(crate) wrote: bool,
}

impl Tx {
    pub(crate) fn new(conn: Conn) -> Self {
        Self { conn, waiting: Vec::new(), wrote: false }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.conn, Conn::Postgres(_))
    }

    /// Statements pass here and nowhere else, so that tests see each of them.
    #[cfg(feature = "testing")]
    fn note(&self, sql: &'static str, params: &[Value]) {
        crate::testing::plans::note(self.is_postgres(), sql, params);
    }

    #[cfg(not(feature = "testing"))]
    #[allow(clippy::unused_self, reason = "tests only")]
    fn note(&self, _: &'static str, _: &[Value]) {}

    /// Runs a statement and says how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<u64, LedgerError> {
        self.note(sql, &params);
        let waiting = std::mem::take(&mut self.waiting);
        let rows = match &mut self.conn {
            Conn::Sqlite(conn) => on_sqlite(conn, waiting, sql, params).await?.1,
            Conn::Postgres(conn) => bind_all!(sql, params).execute(&mut **conn).await?.rows_affected(),
        };
        self.wrote |= rows > 0;
        Ok(rows)
    }

    /// A statement that returns nothing and of which nobody asks how many rows it changed.
    /// On SQLite each statement is handed to the connection's own thread and back, so this
    /// one goes with the next, before it, or with the end of the operation.
    pub(crate) async fn later(&mut self, sql: &'static str, params: Vec<Value>) -> Result<(), LedgerError> {
        if self.is_postgres() {
            return self.execute(sql, params).await.map(drop);
        }
        self.note(sql, &params);
        self.wrote = true;
        self.waiting.push((sql, params));
        if self.waiting.len() < WAITING_MAX { Ok(()) } else { self.flush().await }
    }

    /// The end of an operation: what waits still is run.
    pub(crate) async fn flush(&mut self) -> Result<(), LedgerError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        match (&mut self.conn, waiting.pop()) {
            (Conn::Sqlite(conn), Some((sql, params))) => {
                on_sqlite(conn, waiting, sql, params).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// What an operation that failed left waiting is never run.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// Runs a statement that returns rows (`SELECT`).
    pub(crate) async fn all(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, LedgerError> {
        self.note(sql, &params);
        let waiting = std::mem::take(&mut self.waiting);
        Ok(match &mut self.conn {
            Conn::Sqlite(conn) => {
                on_sqlite(conn, waiting, sql, params).await?.0.into_iter().map(Row::Sqlite).collect()
            }
            Conn::Postgres(conn) => {
                bind_all!(sql, params).fetch_all(&mut **conn).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The only row, if there is one (`SELECT`).
    pub(crate) async fn one(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Option<Row>, LedgerError> {
        Ok(self.all(sql, params).await?.into_iter().next())
    }

    /// Rows changed by an `INSERT`/`UPDATE … RETURNING`.
    pub(crate) async fn change(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, LedgerError> {
        let rows = self.all(sql, params).await?;
        self.wrote |= !rows.is_empty();
        Ok(rows)
    }

    /// The only row changed, if one was.
    pub(crate) async fn change_one(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Option<Row>, LedgerError> {
        Ok(self.change(sql, params).await?.into_iter().next())
    }

    /// `BEGIN`, `COMMIT`, savepoints: through the statement cache, without parameters.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<(), LedgerError> {
        match &mut self.conn {
            Conn::Sqlite(conn) => sqlx::query(sql).execute(&mut **conn).await.map(drop)?,
            Conn::Postgres(conn) => sqlx::query(sql).execute(&mut **conn).await.map(drop)?,
        }
        Ok(())
    }
}

/// Several statements and a last one in one hand-over: the rows of all, which only the last
/// one has, and how many rows the last one changed.
async fn on_sqlite(
    conn: &mut SqliteConnection,
    waiting: Vec<(&'static str, Vec<Value>)>,
    sql: &'static str,
    params: Vec<Value>,
) -> Result<(Vec<sqlx::sqlite::SqliteRow>, u64), LedgerError> {
    if waiting.is_empty() {
        return rows_and_changes(conn, sql, params).await;
    }
    let mut joined = String::new();
    let mut all = Vec::new();
    for (sql, mut params) in waiting.into_iter().chain([(sql, params)]) {
        if !joined.is_empty() {
            joined.push_str("; ");
        }
        push_numbered(&mut joined, sql, all.len());
        all.append(&mut params);
    }
    // Joined of literals only, whatever was bound.
    rows_and_changes(conn, AssertSqlSafe(joined), all).await
}

async fn rows_and_changes(
    conn: &mut SqliteConnection,
    sql: impl SqlSafeStr,
    params: Vec<Value>,
) -> Result<(Vec<sqlx::sqlite::SqliteRow>, u64), LedgerError> {
    let (mut rows, mut changed) = (Vec::new(), 0);
    let mut steps = conn.fetch_many(bind_all!(sql, params));
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Left(done) => changed = done.rows_affected(),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok((rows, changed))
}

/// A statement whose `$1` is the parameter after `before` others.
fn push_numbered(joined: &mut String, sql: &str, before: usize) {
    let mut parts = sql.split('$');
    joined.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        joined.push('$');
        match number.parse::<usize>() {
            Ok(number) => joined.push_str(&number.saturating_add(before).to_string()),
            Err(_) => joined.push_str(number),
        }
        joined.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_statements_number_their_parameters_on() {
        let mut joined = "A $1, $2; ".to_owned();
        push_numbered(&mut joined, "B $1 || '$.x', $12", 2);
        assert_eq!(joined, "A $1, $2; B $3 || '$.x', $14");
    }
}
