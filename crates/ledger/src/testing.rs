//! A PostgreSQL cluster of one's own, for tests (feature `testing`).
//!
//! `initdb` and `pg_ctl` must be on the PATH. The cluster listens on a Unix
//! socket in a temporary folder only. A watchdog process stops it and removes
//! the folder when the process that started it ends, however it ends.

pub mod migrations;
pub mod plans;
pub mod planted;

use std::io::{Error, Result};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Connection as _;

/// Set to `1` to leave the PostgreSQL half of the tests out.
pub const SKIP_VARIABLE: &str = "QUITTANCE_SKIP_POSTGRES";
/// PostgreSQL refuses to run as root; these users can run it instead.
const UNPRIVILEGED_USERS: [&str; 2] = ["postgres", "nobody"];
/// Clients of all tests of one process together.
const CONNECTIONS_MAX: u32 = 300;

/// A running cluster; ends with the process that started it, or when dropped.
#[derive(Debug)]
pub struct PostgresCluster {
    folder: PathBuf,
    databases: AtomicU32,
    /// Its standard input is a pipe from us: when that closes, it cleans up.
    watchdog: Child,
}

/// Whether the environment asks to leave PostgreSQL out.
pub fn postgres_is_skipped() -> bool {
    std::env::var(SKIP_VARIABLE).is_ok_and(|value| value == "1")
}

impl PostgresCluster {
    /// Starts a cluster. `durable` keeps `fsync` on: for measuring and crash
    /// tests; without it tests are faster.
    pub fn start(durable: bool) -> Result<Self> {
        let user = unprivileged()?;
        let folder = tempfile::Builder::new().prefix("quittance-pg-").tempdir()?.keep();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
        let data = folder.join("data");
        run(as_user("initdb", user)
            .args(["-U", "quittance", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(&data))?;
        // The watchdog first, so that nothing is left behind if starting fails.
        let watchdog = as_user("sh", user)
            .arg("-c")
            .arg("read -r _; pg_ctl -D \"$1/data\" -m immediate stop; rm -rf \"$1\"")
            .arg("watchdog")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .current_dir("/")
            .spawn()?;
        let settings = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync={} -c max_connections={CONNECTIONS_MAX}",
            folder.display(),
            if durable { "on" } else { "off" },
        );
        let log = folder.join("log");
        run(as_user("pg_ctl", user)
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(&log)
            .args(["-w", "-o", &settings, "start"]))?;
        Ok(Self { folder, databases: AtomicU32::new(0), watchdog })
    }

    /// Creates an empty database and returns its URL.
    pub async fn fresh_database(&self) -> Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        // The number alone: nothing from outside reaches this statement.
        let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE test_{number}"));
        let mut session = sqlx::PgConnection::connect(&self.url("postgres")).await.map_err(Error::other)?;
        sqlx::raw_sql(statement).execute(&mut session).await.map_err(Error::other)?;
        session.close().await.map_err(Error::other)?;
        Ok(self.url(&format!("test_{number}")))
    }

    /// The process id of the server, whose children are its sessions.
    pub fn postmaster(&self) -> Result<u32> {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid"))?;
        let id = file.lines().next().and_then(|id| id.trim().parse().ok());
        id.ok_or_else(|| Error::other("postmaster.pid names no process"))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://quittance@localhost/{database}?host={}", self.folder.display())
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Runs SQL behind the ledger's back: to see what the schema itself refuses.
/// The error is the database's own text.
pub async fn tamper(url: &str, sql: &'static str) -> std::result::Result<(), String> {
    let text = |e: sqlx::Error| e.to_string();
    if url.starts_with("postgres") {
        let mut session = sqlx::PgConnection::connect(url).await.map_err(text)?;
        sqlx::raw_sql(sql).execute(&mut session).await.map(drop).map_err(text)
    } else {
        let mut session = sqlx::SqliteConnection::connect(url).await.map_err(text)?;
        sqlx::raw_sql(sql).execute(&mut session).await.map(drop).map_err(text)
    }
}

/// The database's own time, Unix milliseconds.
pub async fn database_now_ms(url: &str) -> i64 {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let read = async {
        let mut session = sqlx::PgConnection::connect(url).await?;
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut session).await
    };
    read.await.unwrap_or_default()
}

fn run(command: &mut Command) -> Result<()> {
    // pg_ctl leaves the server behind: pipes it inherited would never close.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let program = command.get_program().to_string_lossy().into_owned();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::other(format!("{program} failed: {status}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::other(format!(
            "{program} is not on the PATH: install PostgreSQL 15 or newer, or set {SKIP_VARIABLE}=1"
        ))),
        Err(error) => Err(error),
    }
}

fn as_user(program: &str, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(Path::new("/"));
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// As root, the user and group to run as instead.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if id(&["-u"])? != Some(0) {
        return Ok(None);
    }
    for user in UNPRIVILEGED_USERS {
        if let (Some(uid), Some(gid)) = (id(&["-u", user])?, id(&["-g", user])?) {
            return Ok(Some((uid, gid)));
        }
    }
    Err(Error::other("PostgreSQL refuses root, and there is neither a user postgres nor nobody"))
}

fn id(arguments: &[&str]) -> Result<Option<u32>> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
