//! What is sold here, and on which networks.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::header::CACHE_CONTROL;
use quittance_facilitator::NetworkInfo;
use quittance_protocol::X402_VERSION;
use quittance_quote::EndpointInfo;
use serde::Serialize;

use crate::gate::Shared;

/// Where discovery is answered.
pub(crate) const PATHS: [&str; 2] = ["/v1/x402", "/.well-known/x402"];

#[derive(Serialize)]
struct Discovery {
    #[serde(rename = "x402Version")]
    x402_version: u64,
    networks: Vec<NetworkInfo>,
    endpoints: Vec<EndpointInfo>,
}

/// The same document for both paths. The settlement surcharge in it moves with
/// the network, so caches must ask again.
pub(crate) fn answer(shared: &Shared) -> HttpResponse<BoxBody> {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-cache")).json(Discovery {
        x402_version: X402_VERSION,
        networks: shared.till.networks(),
        endpoints: shared.pricer.endpoints(),
    })
}
