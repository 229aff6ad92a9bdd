//! Why a look of background work came to nothing.

use std::any::Any;

use quittance_ledger::LedgerError;
use quittance_protocol::foreign_words;

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

/// What a panic said, without keys.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    foreign_words(text.unwrap_or("no words"))
}
