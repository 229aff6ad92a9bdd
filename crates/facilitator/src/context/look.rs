//! Why a look of background work came to nothing.

use quittance_ledger::LedgerError;

use crate::chain::{ChainFault, NotConnected};

/// The ledger or the chain did not answer; the next look does all of it again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookFault {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Chain(#[from] ChainFault),
}

impl From<NotConnected> for LookFault {
    fn from(error: NotConnected) -> Self {
        Self::Chain(error.into())
    }
}
