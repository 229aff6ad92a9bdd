//! Who asks at `/verify` and `/settle`: a foreign server, and for which merchant.

use std::sync::Arc;

use quittance_ledger::Merchant;

use crate::Caller;

/// A foreign server and whom it sells for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The merchant's name in the ledger.
    pub merchant: String,
    /// Where the server calls from.
    pub caller: Caller,
    /// The merchant's row, if it has one: its own terms and limits. Without one the
    /// configuration's terms are its.
    pub row: Option<Arc<Merchant>>,
}

impl From<&str> for Asker {
    fn from(merchant: &str) -> Self {
        Self { merchant: merchant.to_owned(), caller: Caller::default(), row: None }
    }
}
