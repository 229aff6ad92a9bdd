//! What a process keeps of its merchants: the places of their payments, who they are, and where
//! they can be paid.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::payouts::Payouts;
use super::roster::Known;
use crate::config::MerchantsConfig;
use crate::in_flight::places::Places;

/// The places of each merchant's payments: one merchant's customers cannot take
/// another's.
pub(crate) struct Merchants {
    places_max: usize,
    copies_max: usize,
    /// As many as the host names, and the ledger knows.
    places: Mutex<BTreeMap<String, Arc<Places>>>,
    /// Who calls.
    pub(crate) known: Known,
    /// Where they can be paid.
    pub(crate) payouts: Payouts,
}

impl Merchants {
    pub(crate) fn new(config: &MerchantsConfig) -> Self {
        Self {
            places_max: config.concurrency_max,
            copies_max: config.copies_max,
            places: Mutex::default(),
            known: Known::new(config),
            payouts: Payouts::default(),
        }
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
