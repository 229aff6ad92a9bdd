//! Every number that bounds what a stranger, or a handler, can make the gate hold.

use std::time::Duration;

use quittance_facilitator::config::GateConfig;

/// The gate's limits. All are per process unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body on a paid route; a longer one is 413 before a price is made.
    pub body_bytes_max: usize,
    /// How long a request may take to send its body; slower is 408.
    pub body_read_ms: u64,
    /// Longest path and query on a paid route, because `resource.url` repeats them; longer is 414.
    pub url_bytes_max: usize,
    /// Longest answer of known length that is collected and recorded before its
    /// first byte is released. A longer one, and a stream, is passed on while it
    /// is made. How much of either is kept is the answer store's to say.
    pub answer_body_bytes_max: usize,
    /// Payments that are in flight at once, handler runs included; one more is 503. Copies of a
    /// payment share its place; a quarter is kept for payers with history.
    pub concurrency_max: usize,
    /// Copies of one payment that wait for its outcome at once; one more is 503 `settlement_pending`.
    pub copies_max: usize,
    /// Bytes of bodies without a payment that are held at once, until they are priced; what does not
    /// fit is 503. The longest body always fits.
    pub unpaid_bytes_max: usize,
    /// The same for bodies with a signed payment, until their handler is done; half of it is for
    /// payers with history.
    pub paid_bytes_max: usize,
    /// How long one handler run may take, its body included; a longer one is
    /// stopped and its payment becomes a credit. It is the handler's own time:
    /// waiting for the answer store or for a client does not count.
    pub run_seconds_max: u64,
    /// `Retry-After` where the gate itself is the reason.
    pub retry_after_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            body_read_ms: 30_000,
            url_bytes_max: 4 * 1024,
            answer_body_bytes_max: 4 * 1024 * 1024,
            concurrency_max: 1_024,
            copies_max: 64,
            unpaid_bytes_max: 32 * 1024 * 1024,
            paid_bytes_max: 256 * 1024 * 1024,
            run_seconds_max: 900,
            retry_after_seconds: 2,
        }
    }
}

impl From<&GateConfig> for Limits {
    fn from(config: &GateConfig) -> Self {
        Self {
            body_bytes_max: config.body_bytes_max,
            answer_body_bytes_max: config.answer_body_bytes_max,
            concurrency_max: config.concurrency_max,
            copies_max: config.copies_max,
            body_read_ms: config.body_seconds_max.saturating_mul(1_000),
            unpaid_bytes_max: config.unpaid_bytes_max,
            paid_bytes_max: config.paid_bytes_max,
            ..Self::default()
        }
    }
}

impl Limits {
    pub(crate) fn body_read(&self) -> Duration {
        Duration::from_millis(self.body_read_ms)
    }

    pub(crate) fn run(&self) -> Duration {
        Duration::from_secs(self.run_seconds_max)
    }
}
