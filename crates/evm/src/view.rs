//! What a look at a chain read, and at which block.

use quittance_protocol::UnixSeconds;

/// The block at which a payment was found payable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChainView {
    /// Block number; [`crate::EvmWatch::from_block`] of a claim made on it.
    pub block: u64,
    /// Its time, Unix seconds.
    pub block_time: UnixSeconds,
}

/// What a chain check read, all of it at one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainCheck {
    /// Block number; [`crate::EvmWatch::from_block`] of a claim made on it.
    pub block: u64,
    /// Its time, Unix seconds.
    pub block_time: UnixSeconds,
    /// What the payer holds, in atomic units of the token.
    pub balance: u64,
    /// Whether the payer's address has code, an EIP-7702 delegation too: then that code decides
    /// whether the token takes the signature.
    pub has_code: bool,
}

/// The newest block.
pub type Head = ChainView;
