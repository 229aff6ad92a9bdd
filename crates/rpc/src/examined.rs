//! What examinations of endpoints have in common, whichever chain they are of.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Answers of one examination that may each take as long as an answer may; who is slower is given up.
pub const SLOW_ANSWERS_MAX: u32 = 10;

/// JSON-RPC 2.0: a method that is there was called without what it wants.
pub const WRONG_PARAMS: i64 = -32_602;

/// JSON-RPC 2.0: no such method.
const NO_METHOD: i64 = -32_601;

/// What gateways say of a method that a plan leaves out (-32600 and -32004 are theirs).
const NOT_IN_PLAN: [i64; 2] = [-32_600, -32_004];

/// Whether an error code says that a method is not to be had.
pub fn is_not_offered(code: i64) -> bool {
    code == NO_METHOD || NOT_IN_PLAN.contains(&code)
}

/// How long one endpoint took at most.
#[derive(Debug, Default)]
pub struct Slowest(AtomicU64);

impl Slowest {
    /// Waits for an answer.
    pub async fn timed<T>(&self, question: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = question.await;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_max(took, Ordering::Relaxed);
        answer
    }

    /// The longest so far, milliseconds.
    pub fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
