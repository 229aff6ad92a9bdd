//! What `pay` is told to do.

use quittance_protocol::PaymentRequirements;
use serde::Deserialize;

/// Where payments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// To `/verify`; all signed before the clock starts.
    Verify,
    /// To `/settle`.
    Settle,
    /// Through a gate: an unpaid request, then the paid one.
    Gate,
}

/// One run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    /// `/verify`, `/settle` or the paid endpoint.
    pub(crate) url: String,
    pub(crate) connections: usize,
    /// Payments at most.
    pub(crate) count: usize,
    /// No payment starts later than this.
    pub(crate) seconds: u64,
    /// CAIP-2 network.
    pub(crate) network: String,
    /// The server's terms, for `/verify` and `/settle`.
    #[serde(default)]
    pub(crate) requirements: Option<PaymentRequirements>,
    /// The request to buy, for a gate.
    #[serde(default)]
    pub(crate) body: String,
    /// Keys of funded payers, used in turn.
    pub(crate) payers: Vec<String>,
    /// The chain itself, without any delay in between.
    pub(crate) rpc_url: String,
    /// Whether to note when each block first shows.
    #[serde(default)]
    pub(crate) watch_blocks: bool,
}

/// Payments to be signed and not sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignPlan {
    /// What each of them pays; of a network of accounts with keys of 32 bytes.
    pub(crate) offer: PaymentRequirements,
    pub(crate) count: usize,
    /// Wallets, each of which signs as many as the others.
    pub(crate) wallets: usize,
    /// Keys to sign with instead; `wallets` are drawn where there is none.
    #[serde(default)]
    pub(crate) payers: Vec<String>,
}
