//! Who asks at `/verify` and `/settle`: a foreign server, and for which merchant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Caller;
use crate::config::MerchantsConfig;
use crate::in_flight::places::Places;

/// A foreign server and whom it sells for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The merchant's name in the ledger.
    pub merchant: String,
    /// Where the server calls from.
    pub caller: Caller,
}

impl From<&str> for Asker {
    fn from(merchant: &str) -> Self {
        Self { merchant: merchant.to_owned(), caller: Caller::default() }
    }
}

/// The places of each merchant's payments: one merchant's customers cannot take
/// another's.
pub(crate) struct Merchants {
    places_max: usize,
    copies_max: usize,
    /// As many as the host names.
    places: Mutex<BTreeMap<String, Arc<Places>>>,
}

impl Merchants {
    pub(crate) fn new(config: &MerchantsConfig) -> Self {
        Self { places_max: config.concurrency_max, copies_max: config.copies_max, places: Mutex::default() }
    }

    pub(super) fn places(&self, merchant: &str) -> Arc<Places> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get(merchant) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(Places::new(self.places_max, self.copies_max));
        places.insert(merchant.to_owned(), Arc::clone(&fresh));
        fresh
    }
}
