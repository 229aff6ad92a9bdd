//! Behaviour of the gate over a facilitator that fails on command, without any server.

mod bypass;
mod closed;
mod cors;
mod crowd;
mod discovery;
mod intake;
mod lines;
mod outcomes;
mod page;
mod paths;
mod person;
mod receipts;
mod reply;
mod runs;
mod several;
mod streams;
mod usage;
mod version_1;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use crate::testing::{payment, signed};
use crate::{Arrival, Body, Gate, GateBuilder, HandlerError};
use reply::Reply;

/// A body of a test's, coming or going.
type Piped = UnsyncBoxBody<Bytes, HandlerError>;

fn whole(bytes: impl Into<Bytes>) -> Piped {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A request in the making.
struct Ask {
    request: Request<Piped>,
    peer: Option<IpAddr>,
}

impl Ask {
    fn new(method: &str, uri: &str) -> Self {
        let mut request = Request::new(whole(""));
        *request.method_mut() = method.parse::<Method>().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        Self { request, peer: None }
    }

    fn post(uri: &str) -> Self {
        Self::new("POST", uri)
    }

    fn get(uri: &str) -> Self {
        Self::new("GET", uri)
    }

    /// One line more.
    fn header(mut self, (name, value): (&str, impl AsRef<str>)) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_str(value.as_ref()).unwrap();
        let headers = self.request.headers_mut();
        if name == CONTENT_LENGTH {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
        self
    }

    /// With its length, as clients say it.
    fn body(self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        self.header(("content-length", bytes.len().to_string())).piped(whole(bytes))
    }

    fn piped(mut self, body: Piped) -> Self {
        *self.request.body_mut() = body;
        self
    }

    fn from(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().unwrap());
        self
    }
}

/// `POST path` with a payment.
fn paid(path: &str) -> Ask {
    Ask::post(path).header(signed(&payment())).body("{}")
}

/// How often a handler ran.
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

type Answered = BoxFuture<'static, Response<Piped>>;

/// A handler behind a gate.
struct App {
    gate: Gate,
    handler: Arc<dyn Fn(Request<Bytes>) -> Answered + Send + Sync>,
}

fn app<F, A>(gate: GateBuilder, handler: F) -> App
where
    F: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Piped>> + Send + 'static,
{
    App { gate: gate.build(), handler: Arc::new(move |request| handler(request).boxed()) }
}

/// Every request that gets through counts a run.
fn counting(gate: GateBuilder, runs: &Runs) -> App {
    let runs = runs.clone();
    app(gate, move |_| {
        runs.count();
        std::future::ready(Reply::ok().body("served"))
    })
}

/// Answers the same to everybody.
fn saying(gate: GateBuilder, reply: impl Fn() -> Response<Piped> + Send + Sync + 'static) -> App {
    app(gate, move |_| std::future::ready(reply()))
}

/// One call, its answer's body yet to be read.
async fn open(app: &App, ask: Ask) -> Response<Body> {
    let arrival = Arrival { peer: ask.peer, host: "localhost:8080", ..Arrival::default() };
    let (passing, running) = (Arc::clone(&app.handler), Arc::clone(&app.handler));
    let pass = |request: Request<Piped>| async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, HandlerError>(passing(Request::from_parts(head, body)).await)
    };
    let run = move |request| async move { Ok::<_, HandlerError>(running(request).await) };
    app.gate.call(ask.request, &arrival, pass, run).await.unwrap()
}

/// Status, headers and body of one call.
struct Answer {
    status: u16,
    headers: HeaderMap,
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

async fn call(app: &App, ask: Ask) -> Answer {
    let (head, body) = open(app, ask).await.into_parts();
    Answer { status: head.status.as_u16(), headers: head.headers, body: read(body).await.unwrap() }
}

/// All of a body; an error where it broke off.
async fn read(body: Body) -> Result<Bytes, crate::BrokenOff> {
    body.collect().await.map(http_body_util::Collected::to_bytes)
}
