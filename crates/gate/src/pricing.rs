//! Prices of long bodies, apart from the workers.
//!
//! Reading a body of megabytes takes as long as a hundred other requests, and a
//! worker that does it answers nobody meanwhile. So long ones are priced on threads
//! of their own, one at a time, and those without a payment apart from the others.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use quittance_facilitator::{Trouble, note_trouble};
use quittance_quote::{PriceRequest, Pricer, Refusal};
use tokio::sync::Semaphore;

use crate::GateError;
use crate::answers;
use crate::body::Body;
use crate::bytes::{Held, Sender};
use crate::visit::Visit;

/// Bodies beyond this are priced apart.
const LONG_BYTES: usize = 64 * 1024;

/// Turns for pricing long bodies.
pub(crate) struct Pricing {
    unpaid: Arc<Semaphore>,
    paying: Arc<Semaphore>,
}

impl Default for Pricing {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self { unpaid: one(), paying: one() }
    }
}

/// Why there is no price.
pub(crate) enum NoPrice {
    /// The host refuses the request.
    Refused(Box<Refusal>),
    /// The pricer panicked.
    Failed,
}

impl From<Refusal> for NoPrice {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl NoPrice {
    pub(crate) fn answer(self) -> Response<Body> {
        match self {
            Self::Refused(refusal) => answers::refusal(*refusal),
            Self::Failed => answers::trouble(&GateError::Gate),
        }
    }
}

impl Pricing {
    /// What `ask` says of the request.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        pricer: &Arc<dyn Pricer>,
        visit: &Visit,
        body: &Bytes,
        (sender, held): (Sender, &Arc<Held>),
        ask: fn(&dyn Pricer, &PriceRequest<'_>) -> Result<T, NoPrice>,
    ) -> Result<T, NoPrice> {
        let content_type = visit.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if body.len() <= LONG_BYTES {
            let (method, path, query) = (visit.head.method.as_str(), visit.path.as_str(), visit.query());
            let request = PriceRequest { method, path, query, content_type, body };
            return ask(&**pricer, &request);
        }
        let turns = match sender {
            Sender::Unpaid => &self.unpaid,
            Sender::Signed | Sender::Customer => &self.paying,
        };
        let turn = Arc::clone(turns).acquire_owned().await;
        // With the work, and not with the request, which ends when its client hangs up.
        let kept = (turn, Arc::clone(held));
        let (pricer, body) = (Arc::clone(pricer), body.clone());
        let (method, query) = (visit.head.method.to_string(), visit.query().to_owned());
        let (path, content_type) = (visit.path.clone(), content_type.map(str::to_owned));
        let priced = tokio::task::spawn_blocking(move || {
            let _kept = kept;
            let (method, path, query) = (method.as_str(), path.as_str(), query.as_str());
            let content_type = content_type.as_deref();
            ask(&*pricer, &PriceRequest { method, path, query, content_type, body: &body })
        });
        match priced.await {
            Ok(priced) => priced,
            Err(error) => {
                note_trouble(Trouble::PriceFailed, "", &error);
                Err(NoPrice::Failed)
            }
        }
    }
}
