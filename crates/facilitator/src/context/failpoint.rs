//! Places where a test may kill the process.
//!
//! Built only with the `failpoints` feature; otherwise every call is empty.
//! `QUITTANCE_FAILPOINT=NAME` or `NAME:N` aborts the process at the N-th time
//! the place is reached, as SIGKILL would: no destructor runs, nothing is flushed.

/// Marks a place between two durable effects.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) async fn hit(_name: &str) {}

/// Marks a place between two durable effects.
#[cfg(feature = "failpoints")]
pub(crate) async fn hit(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static HITS: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("QUITTANCE_FAILPOINT") else { return };
    let (place, count) = match wanted.split_once(':') {
        Some((place, count)) => (place, count.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    if place == name && HITS.fetch_add(1, Ordering::SeqCst) + 1 == count {
        std::process::abort();
    }
}
