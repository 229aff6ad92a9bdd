//! Behaviour of the gate over a fault-injecting double.

mod bypass;
mod cors;
mod crowd;
mod intake;
mod keeping;
mod outcomes;
mod runs;
mod server;
mod streams;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_http::Request;
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, Error, web};
use bytes::Bytes;
use serde_json::Value;

pub(super) use quittance_gate::testing::{gate, limits};
use quittance_gate::testing::{payment, signed};

use crate::{GateBuilder, Mount as _};

/// `POST path` with a payment.
fn paid(path: &str) -> TestRequest {
    TestRequest::post().uri(path).insert_header(signed(&payment())).set_payload("{}")
}

/// How often a handler ran; shared between the test and its application.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The application under test: `handlers` behind `gate`.
async fn app(
    gate: GateBuilder,
    handlers: impl FnOnce(&mut web::ServiceConfig),
) -> impl Service<Request, Response = ServiceResponse<BoxBody>, Error = Error> {
    init_service(App::new().service(web::scope("").wrap(gate.build().middleware()).configure(handlers))).await
}

/// Status, headers and body of one call.
struct Answer {
    status: u16,
    headers: actix_web::http::header::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn decoded(&self, name: &str) -> Value {
        quittance_protocol::decode_header(self.header(name).unwrap()).unwrap()
    }
}

async fn call<S>(app: &S, request: TestRequest) -> Answer
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let response = call_service(app, request.to_request()).await;
    let (_, response) = response.into_parts();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.unwrap();
    Answer { status, headers, body }
}
