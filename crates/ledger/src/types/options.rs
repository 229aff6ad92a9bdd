//! How a ledger is opened.

/// Whose clock leases are kept and judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseClock {
    /// The database's own: hosts may disagree about the time without taking each
    /// other's payments (PostgreSQL; SQLite has no leases).
    Database,
    /// What the caller says, for a simulated world.
    Caller,
}

/// How to open a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// This process's name; processes that share a PostgreSQL ledger need different ones.
    pub instance: String,
    /// How long this process counts as alive after a heartbeat.
    pub lease_ms: i64,
    /// Whose clock says so.
    pub lease_clock: LeaseClock,
    /// Longest answer body that is kept.
    pub answer_body_bytes_max: usize,
    /// Connections at the same time (PostgreSQL), or readers (SQLite).
    pub connections_max: u32,
    /// How long opening waits for a process that is just ending and still
    /// holds the database (SQLite) or this instance's name (PostgreSQL).
    pub open_wait_ms: u64,
    /// Only look: no migration, no lock, no lease; mutations are errors.
    pub read_only: bool,
    /// Works beside the process that has the ledger: no migration, no lock, no
    /// lease. See [`Ledger::open_beside`](crate::Ledger::open_beside).
    pub beside: bool,
}

impl LedgerOptions {
    /// Defaults for a process of this name: a lease of 30 s, answers up to 1 MiB, 8 connections,
    /// 3 s for an earlier process to end.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            lease_ms: 30_000,
            lease_clock: LeaseClock::Caller,
            answer_body_bytes_max: 1 << 20,
            connections_max: 8,
            open_wait_ms: 3_000,
            read_only: false,
            beside: false,
        }
    }
}
