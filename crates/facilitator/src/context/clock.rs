//! The clock, injected so that tests and simulators own it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use quittance_protocol::UnixSeconds;

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[allow(clippy::disallowed_methods, reason = "the one place that owns the time")]
    pub fn system() -> Self {
        Self(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }

    /// Any other clock; `read` gives milliseconds since the Unix epoch.
    pub fn from_fn(read: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }

    /// Seconds since the Unix epoch.
    pub fn now(&self) -> UnixSeconds {
        u64::try_from(self.now_ms() / 1_000).unwrap_or(0)
    }
}
