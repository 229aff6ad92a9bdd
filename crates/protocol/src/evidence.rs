//! What a chain shows about one payment.

/// A chain's answer about one watched payment. Each value comes from one
/// endpoint and one block (invariant I7); deciding what it means for the
/// payment is the engine's work, not the chain crate's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Evidence {
    /// The payment's own transfer is in the chain at the configured depth
    /// (invariant I4), whoever submitted it.
    Settled(Landing),
    /// A transaction of ours was included but did not move the money. Not a
    /// refusal (invariant I5): the authorization may still be used.
    Reverted(Landing),
    /// The payer cancelled the authorization, in a finalized block.
    Canceled(Landing),
    /// It landed in a block in which it was not claimed here yet (invariant I4), and
    /// that block is final: whatever it bought, it bought it elsewhere.
    Earlier(Landing),
    /// The deadline has passed at a finalized block and nothing landed
    /// (invariant I5).
    Expired {
        /// The finalized block (or slot) that proves it.
        block: u64,
        /// What was compared with the deadline: block time in Unix seconds
        /// (Base) or block height (Solana).
        clock: u64,
    },
}

/// Where something was found on chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Landing {
    /// Transaction hash (Base) or first signature (Solana).
    pub transaction: String,
    /// Block number (Base) or slot (Solana).
    pub block: u64,
    /// Block hash, to notice a reorganisation; empty where the chain gives none.
    pub block_hash: String,
    /// Block time in Unix seconds; zero where unknown.
    pub block_time: u64,
    /// What the transaction cost its fee payer, all of it, in wei or lamports.
    pub cost_native: u128,
    /// Whether the fee payer is one of our wallets; a foreign landing costs us nothing.
    pub paid_by_us: bool,
    /// Which log of the block moved the money (Base): where one transaction settles several payments,
    /// each has its own. `None` where the chain has no logs, and in what earlier releases kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
}

/// Where a payment that has landed stands now (invariant I6): its verdict is
/// final, its evidence is watched until it is final too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In a finalized block; it cannot vanish.
    Finalized(Landing),
    /// In the chain, not final yet; perhaps elsewhere than it was seen first.
    Landed(Landing),
    /// Not in the chain. It may come back.
    Missing,
    /// It can land no more; what proves it.
    Lost(Evidence),
}

/// When a payment can no longer land.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(tag = "unit", content = "value", rename_all = "snake_case")]
pub enum Deadline {
    /// Base: `validBefore`, exclusive, in chain time.
    UnixSeconds(u64),
    /// Solana: the last valid block height of the payer's blockhash.
    BlockHeight(u64),
}

impl Deadline {
    /// Whether no attempt of a payment that expired can be included, and cost, any more: one over a
    /// blockhash cannot, one at a wallet's nonce fails at our cost.
    pub const fn ends_attempts(self) -> bool {
        match self {
            Self::UnixSeconds(_) => false,
            Self::BlockHeight(_) => true,
        }
    }
}
