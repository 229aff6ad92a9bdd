//! What is answered before the gate: monitors, and requests for another protocol.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::UPGRADE;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use quittance_quote::{Pricer as _, Route};

use crate::admin::is_status;
use crate::gateway::forward::Forwarding;
use crate::gateway::watch::watch;
use crate::gateway::words::Trouble;
use crate::monitor::Monitor;
use crate::status;

/// Which monitors are answered beside the API.
pub(crate) struct Front {
    pub(crate) monitor: Monitor,
    /// Whether `/metrics` and `/status` are, to this host only: they have no port of their own.
    pub(crate) shows_all: bool,
}

/// Before a body is read and before any price: a connection that changes its protocol cannot be
/// paid by the call.
pub(crate) async fn front(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if wants_websocket(&request) {
        return Ok(request.into_response(Trouble::UpgradeNotSupported.answer_and_close()));
    }
    match monitored(&request).await {
        Some(answer) => Ok(request.into_response(answer)),
        None => watch(request, next).await,
    }
}

fn wants_websocket(request: &ServiceRequest) -> bool {
    let values = request.headers().get_all(UPGRADE).filter_map(|value| value.to_str().ok());
    values.flat_map(|line| line.split(',')).any(|word| word.trim().eq_ignore_ascii_case("websocket"))
}

/// The API's own paths come first: what a catalogue lists is never shadowed.
async fn monitored(request: &ServiceRequest) -> Option<HttpResponse> {
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") && !is_status(path) {
        return None;
    }
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return None;
    }
    let front = request.app_data::<Data<Front>>()?;
    let forwarding = request.app_data::<Data<Forwarding>>()?;
    if forwarding.catalogues.route("GET", path) != Route::Unknown {
        return None;
    }
    let is_here = || front.shows_all && status::is_of_this_host(request.request());
    match path {
        "/healthz" => Some(front.monitor.healthz()),
        "/readyz" => Some(front.monitor.readyz().await),
        "/metrics" if is_here() => Some(front.monitor.metrics()),
        path if is_status(path) && is_here() => Some(front.monitor.status(request.request()).await),
        _ => None,
    }
}
