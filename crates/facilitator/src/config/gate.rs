//! `[gate]` of the configuration.

use std::path::PathBuf;

use quittance_ledger::RunLimits;
use serde::Deserialize;

/// `[gate]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// Price catalogue (TOML).
    pub catalogue: Option<PathBuf>,
    /// Longest request body.
    pub body_bytes_max: usize,
    /// Longest answer of known length that is collected and recorded before its
    /// first byte is released; a longer one, and a stream, is passed on while it is
    /// made. All are kept: see `[answers]`, whose `ledger_bytes_max` this bounds too.
    pub answer_body_bytes_max: usize,
    /// How long a request waits for a verdict before it is told `settlement_pending`.
    pub pending_wait_seconds: u64,
    /// How long an answer is replayed to who shows no `payment-identifier`.
    pub replay_seconds: u64,
    /// How often one payment may start the handler, if each run fails.
    pub runs_max: u32,
    /// How often it may start it, if each run ends with its process.
    pub runs_interrupted_max: u32,
    /// Payments in flight. Copies of one payment share its place.
    pub concurrency_max: usize,
    /// Copies of one payment that wait for its outcome at once.
    pub copies_max: usize,
    /// How long a request may take to send its body.
    pub body_seconds_max: u64,
    /// Bytes of bodies in memory at once that came without a payment; the longest body always fits.
    pub unpaid_bytes_max: usize,
    /// Bytes of bodies in memory at once that came with a signed payment; the longest body always fits.
    pub paid_bytes_max: usize,
}

impl GateConfig {
    /// The runs that a payment may buy.
    pub const fn run_limits(&self) -> RunLimits {
        RunLimits { failed_max: self.runs_max, crashed_max: self.runs_interrupted_max }
    }
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            catalogue: None,
            body_bytes_max: 8 * 1024 * 1024,
            answer_body_bytes_max: 4 * 1024 * 1024,
            pending_wait_seconds: 20,
            replay_seconds: 120,
            runs_max: 3,
            runs_interrupted_max: 10,
            concurrency_max: 1_024,
            copies_max: 64,
            body_seconds_max: 30,
            unpaid_bytes_max: 32 * 1024 * 1024,
            paid_bytes_max: 256 * 1024 * 1024,
        }
    }
}
