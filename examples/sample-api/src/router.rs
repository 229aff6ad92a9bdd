//! The routes in axum.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::request::Parts;
use quittance_tower::Paid;

use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::host::Host;
use crate::route::Handler;
use crate::routes::{routes, unknown};

impl Host {
    /// Every route, as a router.
    pub fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::new().fallback(async || response(unknown()));
        for route in routes(self.test_hooks) {
            let handler = route.handler;
            let routed = if route.method == http::Method::POST {
                let posted =
                    move |State(host): State<Arc<Host>>, paid: Option<Paid>, head: Parts, body: Bytes| {
                        respond(handler, host, paid, head, body)
                    };
                on(MethodFilter::POST, posted)
            } else {
                let asked = move |State(host): State<Arc<Host>>, paid: Option<Paid>, head: Parts| {
                    respond(handler, host, paid, head, Bytes::new())
                };
                on(MethodFilter::GET, asked)
            };
            router = router.route(route.path, routed);
        }
        router.layer(DefaultBodyLimit::max(self.body_bytes_max)).with_state(Arc::clone(self))
    }
}

async fn respond(
    handler: Handler,
    host: Arc<Host>,
    paid: Option<Paid>,
    head: Parts,
    body: Bytes,
) -> Response {
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        paid: paid.map(|paid| (*paid).clone()),
    };
    match handler(host, call).await {
        Ok(answer) => response(answer),
        Err(error) => response(error.answer()),
    }
}

fn response(answer: Answer) -> Response {
    answer.map(|content| match content {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Pieces(pieces) => Body::from_stream(pieces),
    })
}
