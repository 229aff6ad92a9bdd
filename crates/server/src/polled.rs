//! What monitors poll: one answer for all who ask within a moment, so that polling,
//! by whomever, costs settlement nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::web::Bytes;
use prometheus::{Encoder as _, TextEncoder};
use quittance_facilitator::Facilitator;
use tokio::time::Instant;

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// The last answers.
#[derive(Default)]
pub(crate) struct Polled {
    ready: tokio::sync::Mutex<Option<Dated<Result<(), String>>>>,
    metrics: Mutex<Option<Dated<(String, Bytes)>>>,
}

struct Dated<T> {
    at: Instant,
    value: T,
}

impl<T: Clone> Dated<T> {
    fn of(value: T) -> Self {
        Self { at: Instant::now(), value }
    }

    fn if_good(&self) -> Option<T> {
        (self.at.elapsed() < GOOD_FOR).then(|| self.value.clone())
    }
}

impl Polled {
    /// Whether payments can be taken. Who asks while the ledger is being asked waits
    /// for that answer.
    pub(crate) async fn ready(&self, facilitator: &Facilitator) -> Result<(), String> {
        let mut last = self.ready.lock().await;
        if let Some(good) = last.as_ref().and_then(Dated::if_good) {
            return good;
        }
        last.insert(Dated::of(facilitator.ready().await)).value.clone()
    }

    /// Content type and text of all metrics.
    pub(crate) fn metrics(&self, facilitator: &Facilitator) -> Result<(String, Bytes), prometheus::Error> {
        let mut last = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(good) = last.as_ref().and_then(Dated::if_good) {
            return Ok(good);
        }
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&facilitator.registry().gather(), &mut text)?;
        let fresh = (encoder.format_type().to_owned(), Bytes::from(text));
        Ok(last.insert(Dated::of(fresh)).value.clone())
    }
}
