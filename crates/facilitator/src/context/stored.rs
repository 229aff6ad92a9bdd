//! Payments as the ledger kept them, typed again.
//!
//! A stored form that cannot be read leaves a payment that nobody can sign for, look for
//! or send again, though its money may move. So somebody is told, once in a process's
//! life; the payment stays as it is, and goes on under a release that can read it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use quittance_ledger::Payment;
use quittance_protocol::PaymentId;

use crate::chain::{Decode, Unreadable, Verified};
use crate::metrics::Metrics;

/// Payments that are told of once each; further ones are told of at every look.
const TOLD_MAX: usize = 10_000;

/// Reads payments of the ledger, and remembers which of them it could not.
pub(crate) struct Stored {
    metrics: Arc<Metrics>,
    told: Mutex<BTreeSet<PaymentId>>,
}

impl Stored {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, told: Mutex::default() }
    }

    /// The payment as its chain verified it, or an alert. Of one that was pruned nothing is
    /// left to read, and that is no damage.
    pub(crate) fn revive(&self, decode: &dyn Decode, payment: &Payment) -> Option<Verified> {
        if payment.pruned_at_ms.is_some() {
            return None;
        }
        match revive(decode, payment) {
            Ok(verified) => Some(verified),
            Err(error) => {
                self.unreadable(payment, &error);
                None
            }
        }
    }

    fn unreadable(&self, payment: &Payment, error: &Unreadable) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&payment.id) {
            return;
        }
        if told.len() < TOLD_MAX {
            told.insert(payment.id.clone());
        }
        self.metrics.alert(&payment.network, "unreadable_payment");
        tracing::error!(
            payment = %payment.id, network = %payment.network, state = %payment.state, %error,
            "nobody can work on this payment; run the release that stored it, or restore the ledger"
        );
    }
}

/// Only ever the payment under whose key it stands: anything else would be signed, or
/// looked for, in its place.
fn revive(decode: &dyn Decode, payment: &Payment) -> Result<Verified, Unreadable> {
    let verified = decode.revive(&payment.payload)?;
    match verified.key == payment.key {
        true => Ok(verified),
        false => Err(Unreadable("it is of another payment".to_owned())),
    }
}
