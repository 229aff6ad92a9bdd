//! Copies of one payment share a simulation; different payments do not.
//!
//! `simulateTransaction` runs one transaction, and nothing else is as strong: `getMultipleAccounts` shows
//! who holds how much, but not whether the payer's blockhash is known, whether the message has been used,
//! or what guards and the token program say of it.

use std::sync::Arc;

use futures::future::BoxFuture;
use quittance_rpc::{CallFailed, Query, Shared};

use crate::chain::{SolanaChain, SolanaView};
use crate::error::SolanaError;
use crate::payment::SolanaPayment;

/// What the cluster says of one payment.
type Checked = Result<SolanaView, SolanaError>;

/// The chain checks of one cluster.
pub(crate) struct Checks(pub(crate) Arc<SolanaChain>);

impl Query for Checks {
    type Item = SolanaPayment;
    type Answer = Checked;

    fn is_copy(&self, one: &SolanaPayment, other: &SolanaPayment) -> bool {
        one == other
    }

    fn may_join(&self, _: &[Arc<SolanaPayment>], _: &SolanaPayment) -> bool {
        false
    }

    fn items_max(&self) -> usize {
        1
    }

    fn together<'a>(&'a self, _: &'a [Arc<SolanaPayment>]) -> BoxFuture<'a, Shared<Checked>> {
        Box::pin(async { Err(CallFailed::AskAlone) })
    }

    fn alone<'a>(&'a self, item: &'a SolanaPayment) -> BoxFuture<'a, Checked> {
        Box::pin(self.0.check_chain(item))
    }
}
