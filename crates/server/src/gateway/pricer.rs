//! The catalogues of all upstreams as one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use quittance_protocol::Amount;
use quittance_quote::{Catalogue, EndpointInfo, Price, PriceRequest, Pricer, Pricing, Refusal, Route};
use tokio::time::Instant;

use crate::CommandError;
use crate::gateway::sizes::Sizes;
use crate::gateway::upstream::Upstream;

/// What is sold, and by whom.
pub(crate) struct Catalogues {
    parts: Vec<Part>,
    sizes: Sizes,
}

struct Part {
    upstream: Arc<Upstream>,
    catalogue: Catalogue,
    /// Where its endpoints begin among all.
    first: usize,
}

impl Catalogues {
    pub(crate) fn new(read: Vec<(Arc<Upstream>, Catalogue)>) -> Result<Self, CommandError> {
        let mut first = 0;
        let mut parts = Vec::new();
        for (upstream, catalogue) in read {
            let endpoints = catalogue.endpoints().len();
            parts.push(Part { upstream, catalogue, first });
            first = first.saturating_add(endpoints);
        }
        let all = Self { parts, sizes: Sizes::default() };
        all.check()?;
        Ok(all)
    }

    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.parts.iter().map(|part| &part.upstream)
    }

    /// Who serves a method and path that is listed.
    pub(crate) fn upstream(&self, method: &str, path: &str) -> Option<&Arc<Upstream>> {
        let asked = |method: &str| self.part(method, path).map(|(part, _)| &part.upstream);
        // HEAD is passed on where GET is free.
        asked(method).or_else(|| (method == "HEAD").then(|| asked("GET")).flatten())
    }

    fn part(&self, method: &str, path: &str) -> Option<(&Part, Route)> {
        self.parts.iter().find_map(|part| match part.catalogue.route(method, path) {
            Route::Unknown => None,
            route => Some((part, route)),
        })
    }

    /// A path that one catalogue sells may be listed by no other one, and by none as free in
    /// another spelling: servers that do not tell letter case apart would serve it unpaid.
    fn check(&self) -> Result<(), CommandError> {
        let listed = self.parts.iter().flat_map(|part| {
            let name = part.upstream.name.as_str();
            part.catalogue.endpoints().into_iter().map(move |endpoint| (name, endpoint))
        });
        let listed: Vec<_> = listed.collect();
        for (index, (name, one)) in listed.iter().enumerate() {
            for (other_name, other) in listed.iter().skip(index.saturating_add(1)) {
                let differs = name != other_name || one.pricing != other.pricing;
                if differs && overlap(one, other) {
                    return Err(format!(
                        "{} {} of {name} and {} {} of {other_name} could be one path to a server: \
                         list it once",
                        one.method, one.path, other.method, other.path
                    )
                    .into());
                }
            }
        }
        Ok(())
    }
}

/// Whether some path is one of both to a server that ignores letter case.
fn overlap(one: &EndpointInfo, other: &EndpointInfo) -> bool {
    let any = |segment: &str| segment.starts_with('{');
    let (mut a, mut b) = (one.path.split('/'), other.path.split('/'));
    one.method == other.method
        && loop {
            match (a.next(), b.next()) {
                (None, None) => break true,
                (Some(a), Some(b)) if any(a) || any(b) || a.eq_ignore_ascii_case(b) => {}
                _ => break false,
            }
        }
}

impl Pricer for Catalogues {
    fn route(&self, method: &str, path: &str) -> Route {
        match self.part(method, path) {
            Some((part, Route::Paid(index))) => Route::Paid(part.first.saturating_add(index)),
            Some((_, route)) => route,
            None => Route::Unknown,
        }
    }

    fn price(&self, request: &PriceRequest<'_>) -> Result<Price, Refusal> {
        let price = self.of(request).price(request)?;
        self.check_size(request).map_err(|refusal| *refusal)?;
        Ok(price)
    }

    fn service(&self, request: &PriceRequest<'_>) -> Result<Amount, Refusal> {
        let service = Pricer::service(self.of(request), request)?;
        self.check_size(request).map_err(|refusal| *refusal)?;
        Ok(service)
    }

    fn endpoints(&self) -> Vec<EndpointInfo> {
        self.parts.iter().flat_map(|part| part.catalogue.endpoints()).collect()
    }
}

impl Catalogues {
    /// The catalogue that lists a request; where none does, the first says so.
    fn of(&self, request: &PriceRequest<'_>) -> &Catalogue {
        let part = self.part(request.method, request.path).map(|(part, _)| part);
        &part.unwrap_or(&self.parts[0]).catalogue
    }

    /// An upstream refused the body of a paid request for its length.
    pub(crate) fn refused_for_its_length(&self, method: &str, path: &str, bytes: usize) {
        if let Route::Paid(endpoint) = self.route(method, path) {
            self.sizes.refused(endpoint, bytes, Instant::now());
        }
    }

    fn check_size(&self, request: &PriceRequest<'_>) -> Result<(), Box<Refusal>> {
        match self.route(request.method, request.path) {
            Route::Paid(endpoint) => self.sizes.check(endpoint, request.body.len(), Instant::now()),
            Route::Free | Route::Unknown => Ok(()),
        }
    }
}

/// Reads the catalogue of each upstream.
pub(crate) fn read(
    upstreams: BTreeMap<String, Arc<Upstream>>,
    only: Option<&Path>,
) -> Result<Catalogues, CommandError> {
    let alone = upstreams.len() == 1;
    let mut read = Vec::new();
    for (name, upstream) in upstreams {
        let own = upstream.config.catalogue.as_deref();
        let Some(path) = own.or(only.filter(|_| alone)) else {
            return Err(format!("gateway.upstreams.{name}.catalogue is missing: what is sold of it?").into());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the catalogue {} cannot be read: {}", path.display(), error.kind()))?;
        let catalogue =
            Catalogue::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        // How the upstream reads a name that nobody declared is not known here.
        let catalogue = catalogue.declared_queries_only();
        if !catalogue.endpoints().iter().any(|endpoint| endpoint.pricing == Pricing::Paid) {
            tracing::warn!("{} sells nothing", path.display());
        }
        read.push((upstream, catalogue));
    }
    Catalogues::new(read)
}
