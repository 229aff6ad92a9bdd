//! Transfers to one address, as far back as nodes show them: what books are held against.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use quittance_protocol::UnixSeconds;

use crate::ChainFault;

/// Money that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Block (or slot).
    pub block: u64,
    /// Transaction hash (or signature).
    pub transaction: String,
    /// Whose money it was, where the chain says it.
    pub payer: Option<String>,
    /// Atomic units of the token.
    pub amount: u64,
    /// What the transaction cost its fee payer, where that was asked for.
    pub cost_native: Option<u128>,
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferPage {
    /// Newest block first.
    pub transfers: Vec<Transfer>,
    /// Where the next page begins; `None` where none is left.
    pub next: Option<String>,
}

/// Which transfers.
#[derive(Clone, Debug)]
pub struct TransferQuery {
    /// Who is paid (the owner, on Solana).
    pub pay_to: String,
    /// Blocks (or slots).
    pub blocks: RangeInclusive<u64>,
    /// Whether costs are wanted: on an EVM network one more call for each transaction.
    pub with_costs: bool,
}

/// A chain's past.
#[async_trait]
pub trait TransferHistory: Send + Sync + 'static {
    /// The newest block that cannot vanish.
    async fn final_block(&self) -> Result<u64, ChainFault>;

    /// The newest block that was not made after a moment.
    async fn block_at(&self, at: UnixSeconds) -> Result<u64, ChainFault>;

    /// One page, newest block first; `from` is what the page before named. A bounded number of calls.
    async fn transfers(&self, query: &TransferQuery, from: Option<&str>) -> Result<TransferPage, ChainFault>;
}
