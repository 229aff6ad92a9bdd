//! What all workers of one process share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::CONTENT_TYPE;
use quittance_quote::{Body, Catalogue, Price, PriceRequest};

use crate::call::Call;
use crate::error::ApiError;
use crate::jobs::Jobs;
use crate::keys::ApiKeys;
use crate::priced_hooks;
use crate::pricing::HostPricer;
use crate::runs::Runs;

/// What all workers of one process share.
pub struct Host {
    /// Prices and models.
    pub catalogue: Arc<Catalogue>,
    /// The same with this host's own rules and endpoints; the gate asks this one.
    pub pricer: Arc<HostPricer>,
    /// Accounts.
    pub keys: Arc<ApiKeys>,
    /// Images and films that were asked for.
    pub jobs: Jobs,
    /// The counter that tests read.
    pub runs: Runs,
    /// Longest request body.
    pub body_bytes_max: usize,
    pub(crate) test_hooks: bool,
}

impl Host {
    /// A host that sells what `catalogue` lists.
    ///
    /// # Errors
    /// With `test_hooks`, when the catalogue has no price for them.
    pub fn new(
        catalogue: Arc<Catalogue>,
        keys: ApiKeys,
        test_hooks: bool,
        body_bytes_max: usize,
    ) -> Result<Self, ApiError> {
        let pricer = Arc::new(HostPricer::new(catalogue.clone(), test_hooks));
        if test_hooks {
            catalogue.price(&priced_hooks::priced_as())?;
        }
        Ok(Self {
            catalogue,
            pricer,
            keys: Arc::new(keys),
            jobs: Jobs::default(),
            runs: Runs::default(),
            body_bytes_max,
            test_hooks,
        })
    }

    /// The price of a request as it reached a handler, or the refusal.
    pub(crate) fn price(&self, call: &Call, body: &Body<'_>) -> Result<Price, ApiError> {
        let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let request = PriceRequest {
            method: call.method.as_str(),
            path: &call.path,
            query: &call.query,
            content_type,
            body: body.bytes(),
        };
        Ok(self.pricer.price_body(&request, body)?)
    }
}

/// Sixteen bytes from the operating system, for ids.
///
/// # Errors
/// 500 when it has none: a guessable id would hand out somebody's answer.
pub(crate) fn random() -> Result<[u8; 16], ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| ApiError::internal("no_randomness"))?;
    Ok(bytes)
}

/// The wall clock, for `created` fields.
#[allow(clippy::disallowed_methods, reason = "the sample has no injected clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
