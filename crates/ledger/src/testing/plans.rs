//! What the ledger asks its database, and how the database answers it.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::value::Value;

/// Every statement that was run, by database kind and text, with its newest values.
static SEEN: Mutex<BTreeMap<(bool, &'static str), Vec<Value>>> = Mutex::new(BTreeMap::new());

static SILENT: AtomicBool = AtomicBool::new(false);

/// Notes nothing from here on: what is measured is the ledger alone.
pub fn stop_noting() {
    SILENT.store(true, Ordering::Relaxed);
}

pub(crate) fn note(postgres: bool, sql: &'static str, params: &[Value]) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.insert((postgres, sql), params.to_vec());
}

/// About what PostgreSQL counts for planning a statement once more, in hundredths.
const PLANNING_COST: u64 = 2_000;

/// A statement that the ledger ran, with the values that it ran with last.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its text.
    pub sql: &'static str,
    params: Vec<Value>,
}

/// What was run since the last call, on PostgreSQL or on SQLite, by all ledgers of
/// this process.
pub fn statements(postgres: bool) -> Vec<Statement> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mine: Vec<_> = seen.extract_if(.., |(kind, _), _| *kind == postgres).collect();
    mine.into_iter().map(|((_, sql), params)| Statement { sql, params }).collect()
}

/// A session beside the ledger that explains its statements.
#[derive(Debug)]
pub enum Explainer {
    /// SQLite, and how many steps its machine has taken.
    Sqlite(Box<SqliteConnection>, Arc<AtomicU64>),
    /// PostgreSQL.
    Postgres(Box<PgConnection>),
}

impl Explainer {
    /// Connects; SQLite counts from here on.
    pub async fn open(url: &str) -> Result<Self> {
        if url.starts_with("postgres") {
            let session = PgConnection::connect(url).await.map_err(Error::other)?;
            return Ok(Self::Postgres(Box::new(session)));
        }
        let mut session = SqliteConnection::connect(url).await.map_err(Error::other)?;
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let mut handle = session.lock_handle().await.map_err(Error::other)?;
        handle.set_progress_handler(1, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        });
        drop(handle);
        Ok(Self::Sqlite(Box::new(session), steps))
    }

    /// Runs SQL of a test's own: to fill tables, to gather statistics.
    pub async fn run(&mut self, sql: String) -> Result<()> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(session, _) => sqlx::raw_sql(sql).execute(&mut **session).await.map(drop),
            Self::Postgres(session) => sqlx::raw_sql(sql).execute(&mut **session).await.map(drop),
        }
        .map_err(Error::other)
    }

    /// The plan, a line each: of SQLite the one there is, of PostgreSQL the one for
    /// these values, and the one for any where the server would keep that.
    pub async fn plan(&mut self, statement: &Statement) -> Result<Vec<String>> {
        match self {
            Self::Sqlite(session, _) => {
                let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.sql));
                let rows = bind(sqlx::query(sql), &statement.params).fetch_all(&mut **session).await;
                let rows = rows.map_err(Error::other)?;
                rows.iter().map(|row| row.try_get("detail").map_err(Error::other)).collect()
            }
            Self::Postgres(_) => {
                let custom = self.explained(statement, "force_custom_plan", "EXPLAIN").await?;
                let generic = self.explained(statement, "force_generic_plan", "EXPLAIN").await?;
                // The server keeps planning for the values at hand while that is cheaper.
                let kept = cost_of(&generic) < cost_of(&custom).saturating_add(PLANNING_COST);
                Ok(if kept { custom.into_iter().chain(generic).collect() } else { custom })
            }
        }
    }

    /// What running it costs: steps of SQLite's machine, or blocks that PostgreSQL
    /// looks at. What it changes is undone.
    pub async fn cost(&mut self, statement: &Statement) -> Result<u64> {
        match self {
            Self::Sqlite(session, steps) => {
                sqlx::raw_sql("BEGIN").execute(&mut **session).await.map_err(Error::other)?;
                let before = steps.load(Ordering::Relaxed);
                let ran = bind(sqlx::query(statement.sql), &statement.params).fetch_all(&mut **session).await;
                let after = steps.load(Ordering::Relaxed);
                sqlx::raw_sql("ROLLBACK").execute(&mut **session).await.map_err(Error::other)?;
                // A constraint that refuses it now costs what it costs.
                drop(ran);
                Ok(after.saturating_sub(before))
            }
            Self::Postgres(_) => {
                let how = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS OFF)";
                match self.explained(statement, "force_custom_plan", how).await {
                    Ok(lines) => Ok(blocks(&lines)),
                    Err(_) => Ok(0),
                }
            }
        }
    }

    async fn explained(&mut self, statement: &Statement, mode: &str, how: &str) -> Result<Vec<String>> {
        let Self::Postgres(session) = self else { return Ok(Vec::new()) };
        let (types, values): (Vec<_>, Vec<_>) = statement.params.iter().map(literal).unzip();
        let listed = |list: Vec<String>| match list.is_empty() {
            true => String::new(),
            false => format!("({})", list.join(", ")),
        };
        let types = listed(types.into_iter().map(str::to_owned).collect());
        let prepare =
            format!("SET plan_cache_mode = {mode}; BEGIN; PREPARE explained {types} AS {}", statement.sql);
        let explain = format!("{how} EXECUTE explained {}", listed(values));
        let result = async {
            sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut **session).await?;
            sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut **session).await
        };
        let result = result.await;
        sqlx::raw_sql("ROLLBACK; DEALLOCATE ALL").execute(&mut **session).await.map_err(Error::other)?;
        let rows = result.map_err(|error| Error::other(format!("{error}: {}", statement.sql)))?;
        rows.iter().map(|row| row.try_get::<String, _>(0).map_err(Error::other)).collect()
    }
}

/// A value as a statement's text can hold it.
fn literal(value: &Value) -> (&'static str, String) {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let or_null = |text: Option<String>| text.unwrap_or_else(|| "NULL".to_owned());
    match value {
        Value::Int(value) => ("bigint", or_null(value.map(|value| value.to_string()))),
        Value::Text(value) => ("text", or_null(value.as_deref().map(quoted))),
        Value::Blob(value) => {
            ("bytea", or_null(value.as_ref().map(|value| format!("'\\x{}'", hex::encode(value)))))
        }
        Value::Bool(value) => ("boolean", value.to_string()),
    }
}

fn bind<'q>(
    mut query: sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    params: &[Value],
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    for value in params.iter().cloned() {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
        };
    }
    query
}

/// The cost that a plan's first line says, in hundredths.
fn cost_of(lines: &[String]) -> u64 {
    let cost =
        lines.first().and_then(|line| line.split_once("..")).and_then(|(_, rest)| rest.split(' ').next());
    cost.and_then(|cost| cost.replace('.', "").parse().ok()).unwrap_or(u64::MAX)
}

/// Blocks that the plan's top node looked at, and with it all below it.
fn blocks(lines: &[String]) -> u64 {
    let Some(line) = lines.iter().find(|line| line.trim_start().starts_with("Buffers: shared")) else {
        return 0;
    };
    let count = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split(' ').next()?.parse::<u64>().ok()
    };
    count("hit=").unwrap_or_default().saturating_add(count("read=").unwrap_or_default())
}
