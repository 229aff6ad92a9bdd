//! How seldom the finalized height is read.

use std::sync::Mutex;

/// The finalized height is read, and histories are searched, at most this often, and
/// only while something is missing.
pub const HEIGHT_READ_INTERVAL_MS: i64 = 2_000;

/// When the finalized height was read last.
#[derive(Default)]
pub(crate) struct HeightGate {
    last_read_ms: Mutex<Option<i64>>,
}

impl HeightGate {
    /// Whether it may be read now; if so, the next time is an interval away.
    pub(crate) fn open(&self, now_ms: i64) -> bool {
        let Ok(mut last) = self.last_read_ms.lock() else { return true };
        let due =
            last.is_none_or(|last| now_ms < last || now_ms.saturating_sub(last) >= HEIGHT_READ_INTERVAL_MS);
        if due {
            *last = Some(now_ms);
        }
        due
    }
}
