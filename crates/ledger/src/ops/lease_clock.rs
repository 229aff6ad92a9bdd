//! The clock by which leases are kept.

use crate::conn::Tx;
use crate::error::LedgerError;
use crate::types::LeaseClock;

/// The time by which leases are kept and judged, in Unix milliseconds.
pub(crate) async fn lease_now(tx: &mut Tx, clock: LeaseClock, caller_ms: i64) -> Result<i64, LedgerError> {
    if clock == LeaseClock::Caller || !tx.is_postgres() {
        return Ok(caller_ms);
    }
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms";
    tx.one(sql, Vec::new()).await?.ok_or(LedgerError::Corrupt { field: "clock" })?.int("now_ms")
}
