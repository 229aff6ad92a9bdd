//! Databases as earlier versions of this program left them.

use std::io::{Error, Result};
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::backend::{migrator, postgres, sqlite};

/// The numbers of the migrations that there are, oldest first.
pub fn versions() -> Vec<i64> {
    sqlite::MIGRATIONS.iter().map(|(version, ..)| *version).collect()
}

/// Brings an empty database to the schema that this migration was the newest of.
pub async fn migrate_to(url: &str, version: i64) -> Result<()> {
    let known = |all: &'static [(i64, &'static str, &'static str)]| {
        all.iter().filter(|(each, ..)| *each <= version).copied().collect::<Vec<_>>()
    };
    if url.starts_with("postgres") {
        let mut session = PgConnection::connect(url).await.map_err(Error::other)?;
        migrator(&known(postgres::MIGRATIONS)).run(&mut session).await.map_err(Error::other)?;
        return session.close().await.map_err(Error::other);
    }
    let options = SqliteConnectOptions::from_str(url).map_err(Error::other)?.create_if_missing(true);
    let mut session = options.connect().await.map_err(Error::other)?;
    migrator(&known(sqlite::MIGRATIONS)).run(&mut session).await.map_err(Error::other)?;
    session.close().await.map_err(Error::other)
}
