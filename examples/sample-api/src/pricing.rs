//! The host's half of the price: the catalogue, plus what this host cannot make.
//!
//! Whatever a handler would refuse is refused here first, before a 402: nobody
//! pays for a refusal that could be foreseen.

use std::sync::Arc;

use quittance_protocol::Amount;
use quittance_quote::{Body, Catalogue, EndpointInfo, Price, PriceRequest, Pricer, Pricing, Refusal, Route};

use crate::body::read;
use crate::chat::question::Question;
use crate::error::ApiError;
use crate::generation::order::{Order, Wait};
use crate::paths::{CHAT_PATH, GENERATION_PATH};
use crate::priced_hooks::{self as hooks, endpoint};

/// A catalogue wrapped in this host's own rules and endpoints.
pub struct HostPricer {
    catalogue: Arc<Catalogue>,
    test_hooks: bool,
    /// Endpoints of the host itself, listed after the catalogue's.
    own: Vec<EndpointInfo>,
    /// How many the catalogue lists.
    before: usize,
}

impl HostPricer {
    /// Wraps `catalogue`; `test_hooks` adds the `/test/` endpoints.
    pub fn new(catalogue: Arc<Catalogue>, test_hooks: bool) -> Self {
        let mut own = vec![endpoint("GET", "/healthz", Pricing::Free, "free", "Whether the process answers")];
        if test_hooks {
            own.extend(hooks::endpoints());
        }
        Self { before: catalogue.endpoints().len(), catalogue, test_hooks, own }
    }

    /// The price by the catalogue and by this host's own rules.
    ///
    /// # Errors
    /// Whatever either refuses.
    #[allow(clippy::result_large_err)] // a refusal is an answer, not a rare error
    pub fn price_body(&self, request: &PriceRequest<'_>, body: &Body<'_>) -> Result<Price, Refusal> {
        let price = self.catalogue.price_body(request, body)?;
        rules(request, body)?;
        Ok(price)
    }
}

impl Pricer for HostPricer {
    fn route(&self, method: &str, path: &str) -> Route {
        let ours = self.own.iter().enumerate().find(|(_, own)| own.method == method && own.path == path);
        match ours {
            None => self.catalogue.route(method, path),
            Some((_, endpoint)) if endpoint.pricing == Pricing::Free => Route::Free,
            Some((place, _)) => Route::Paid(self.before.saturating_add(place)),
        }
    }

    fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal> {
        if self.test_hooks && hooks::is_paid(request.method, request.path) {
            return self.catalogue.price(&hooks::priced_as());
        }
        self.price_body(request, &Body::new(request.body))
    }

    fn service(&self, request: &PriceRequest<'_>) -> Result<Amount, Refusal> {
        if self.test_hooks && hooks::is_paid(request.method, request.path) {
            return self.price(request).map(|price| price.service);
        }
        let body = Body::new(request.body);
        let service = self.catalogue.service_body(request, &body)?;
        rules(request, &body)?;
        Ok(service)
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        let mut all = self.catalogue.endpoints();
        all.extend(self.own.iter().cloned());
        all
    }
}

/// What this host cannot make, although the catalogue has a price for it.
fn rules(request: &PriceRequest<'_>, body: &Body<'_>) -> Result<(), ApiError> {
    match request.path {
        GENERATION_PATH => {
            Wait::parse(request.query)?;
            Order::check(read(body)?)
        }
        CHAT_PATH => Question::check(read(body)?),
        _ => Ok(()),
    }
}
