//! One transaction for several payments, where a chain has such a thing.

use async_trait::async_trait;
use quittance_protocol::SignedBytes;

use crate::{ChainFault, SignRefused, Verified};

/// One payment of a transaction that settles several.
#[derive(Clone, Debug)]
pub struct BatchItem {
    /// What was verified. One whose payer's own key is not known to have made the signature
    /// ([`crate::PaymentFacts::is_signed`]) never shares a transaction.
    pub payment: Verified,
    /// What it was charged for its settlement, and the operator's budget: what it would cost alone at
    /// the fee cap fits that, so its share does too (I10).
    pub charged_native: u128,
}

/// What one item of a rehearsed batch would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// It moves its payment.
    Moves,
    /// Code of the payer's would run beside other payments and may use up their gas: it goes alone.
    HasCode,
    /// It moves nothing; why is found out when it is asked about alone.
    Fails,
}

/// Transactions that settle several payments, each of which is judged by its own logs (I4, I9):
/// that one of them fails says nothing of the others.
#[async_trait]
pub trait Batch: Send + Sync + 'static {
    /// Most payments that one transaction may hold; fewer than two: each goes alone. No I/O.
    fn items_max(&self) -> usize;

    /// The most that [`Self::sign_batch`] would let the transaction cost now, in the gas coin's
    /// smallest unit. No I/O.
    fn batch_bound(&self, items: &[BatchItem]) -> Result<u128, SignRefused>;

    /// Runs the whole batch in one call, from the wallet, at the gas limit and the fee cap that its
    /// transaction would carry now, and looks at the payers' code in the same block; says of each
    /// item, in order, what it would do. An error says nothing about any of them.
    ///
    /// What moves beside one that fails, or has code, moves without it as well: the first undoes all
    /// that it did, and nothing of the second is run.
    async fn rehearse(&self, items: &[BatchItem], wallet: &str) -> Result<Vec<Rehearsal>, ChainFault>;

    /// Signs one transaction for all of them with one of [`crate::Facts::all_wallets`]. Its fee cap is
    /// the lowest that one of the items would have alone (I10), within the operator's (I8); all that it
    /// can cost fits `reserved_native`, what is reserved for the items together (P3). Pure.
    fn sign_batch(
        &self,
        items: &[BatchItem],
        wallet: &str,
        nonce: u64,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused>;
}
