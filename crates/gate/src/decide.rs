//! What becomes of a request, from its head alone. Pure but for the catalogue's look-up:
//! nothing is read, nothing is written, nobody is asked.

use http::header::HeaderMap;
use http::{Method, Response};
use quittance_quote::Route;

use crate::body::Body;
use crate::shared::Shared;
use crate::{GateError, answers, discovery, head, person};

/// What is decided.
pub(crate) enum Decision {
    /// Answered from the head.
    Answered(Response<Body>),
    /// To the handler, unpaid.
    Free,
    /// What is listed no more, and may have been sold: it comes with a payment.
    Unserved { path: String },
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
        Route::Unknown if person::is_asking(method, headers) => {
            person::of_other_method(shared, path).map_or_else(unknown, Decision::Answered)
        }
        Route::Unknown => unknown(),
        Route::Free => Decision::Free,
        Route::Paid(endpoint) => Decision::Paid { path: path.to_owned(), endpoint, paying },
    }
}
