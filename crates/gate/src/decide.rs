//! What becomes of a request, from its head alone. Pure but for the catalogue's look-up:
//! nothing is read, nothing is written, nobody is asked.

use http::header::HeaderMap;
use http::{Method, Response};
use quittance_quote::Route;

use crate::body::Body;
use crate::monitor::Monitor;
use crate::shared::Shared;
use crate::{GateError, answers, discovery, head};

/// What is decided.
pub(crate) enum Decision {
    /// Answered from the head.
    Answered(Response<Body>),
    /// To the handler, unpaid.
    Free,
    /// What is listed no more, and may have been sold: it comes with a payment.
    Unserved { path: String },
    /// Listed by other methods.
    OtherMethod { path: String, allowed: String },
    /// What is sold.
    Paid { path: String, endpoint: usize, paying: bool },
}

/// Decides. `path` is the router's view of it; see [`crate::Arrival::path`].
pub(crate) fn decide(shared: &Shared, method: &Method, path: Option<&str>, headers: &HeaderMap) -> Decision {
    if let Some(answer) = shared.cors.preflight(method, headers) {
        return Decision::Answered(answer);
    }
    let unknown = || Decision::Answered(answers::trouble(&GateError::UnknownEndpoint));
    let Some(path) = path.and_then(head::canonical_path) else { return unknown() };
    // Monitors and load balancers ask with HEAD what they would GET.
    let asked = if *method == Method::HEAD { &Method::GET } else { method };
    if *asked == Method::GET
        && let Some(document) = discovery::document_at(shared, path)
    {
        return Decision::Answered(discovery::answer(shared, document));
    }
    let route = match shared.pricer.route(method.as_str(), path) {
        Route::Unknown if method != asked => match shared.pricer.route(asked.as_str(), path) {
            Route::Free => Route::Free,
            // What is sold is sold to those who take it.
            Route::Paid(_) | Route::Unknown => Route::Unknown,
        },
        route => route,
    };
    let paying = head::has_payment(headers);
    match route {
        Route::Unknown if paying => Decision::Unserved { path: path.to_owned() },
        Route::Unknown => match allowed(shared, path) {
            Some(allowed) => Decision::OtherMethod { path: path.to_owned(), allowed },
            None => unknown(),
        },
        Route::Free => Decision::Free,
        Route::Paid(endpoint) => Decision::Paid { path: path.to_owned(), endpoint, paying },
    }
}

/// The methods that a path takes, as `Allow` lists them; `None` where it takes none.
fn allowed(shared: &Shared, path: &str) -> Option<String> {
    let mut allowed: Vec<&str> = Vec::new();
    let own = discovery::document_at(shared, path).is_some()
        || shared.monitor.is_some() && Monitor::is_for_all(path);
    if own || shared.pricer.route("GET", path) == Route::Free {
        allowed.extend(["GET", "HEAD"]);
    }
    for method in &shared.methods {
        let is_new = !allowed.contains(&method.as_str());
        if is_new && shared.pricer.route(method, path) != Route::Unknown {
            allowed.push(method);
        }
    }
    (!allowed.is_empty()).then(|| allowed.join(", "))
}
