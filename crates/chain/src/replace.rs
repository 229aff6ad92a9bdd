//! What goes out at a wallet's nonce instead of bytes that do not move.

use async_trait::async_trait;
use quittance_protocol::{DurableAttempt, SignedBytes};

use crate::{ChainFault, SignRefused, Verified};

/// What replaces an attempt at its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Successor {
    /// The same transaction at higher fees, whatever payments it holds.
    Same,
    /// One that does nothing but use the nonce.
    Nothing,
}

/// What a replacement may cost at most, in the gas coin's smallest unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacementBound {
    /// All of it.
    pub native: u128,
    /// The part that its payments were charged for (I10): it may be reserved for them.
    pub charged_native: u128,
}

/// Replaces attempts at their own nonces (I2), where attempts take one.
#[async_trait]
pub trait Replace: Send + Sync + 'static {
    /// The most that [`Self::sign_replacement`] would let it cost now. `charged_native` is what
    /// the payments were charged that can still land. Refused while no fee under the operator's
    /// cap (I8) is both what a block asks for and enough above the replaced one. No I/O.
    fn replacement_bound(
        &self,
        replaced: &dyn DurableAttempt,
        by: Successor,
        charged_native: u128,
    ) -> Result<ReplacementBound, SignRefused>;

    /// Signs what replaces it at its nonce: never beyond `bound_native`, never above the cap. No I/O.
    fn sign_replacement(
        &self,
        replaced: &dyn DurableAttempt,
        wallet: &str,
        by: Successor,
        bound_native: u128,
    ) -> Result<SignedBytes, SignRefused>;

    /// Which of these payments can still land: neither used nor past their end at the newest block.
    /// That one cannot needs the word of a second endpoint, where there is one.
    async fn living(&self, payments: &[Verified]) -> Result<Vec<bool>, ChainFault>;

    /// How many of the wallet's nonces are used for good.
    async fn used_finally(&self, wallet: &str) -> Result<u64, ChainFault>;
}
