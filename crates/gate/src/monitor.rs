//! What monitors ask: the process, the ledger, the metrics. One answer for all who ask within
//! a moment, so that polling, by whomever, costs settlement nothing.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, FORWARDED, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use prometheus::{Encoder as _, TextEncoder};
use quittance_facilitator::Facilitator;
use quittance_protocol::Network;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::answers;
use crate::body::Body;
use crate::head::Arrival;

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// When to ask again whether payments can be taken.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Set by whatever stands in front of the program; a request of this host has none.
const FORWARDING_HEADERS: [&str; 3] = ["x-forwarded-for", "x-real-ip", "via"];

/// Answers of a program that takes payments.
#[derive(Clone)]
pub struct Monitor {
    facilitator: Facilitator,
    polled: Arc<Polled>,
}

/// The last answers.
#[derive(Default)]
struct Polled {
    ready: tokio::sync::Mutex<Option<Dated<Result<(), String>>>>,
    metrics: Mutex<Option<Dated<(String, Bytes)>>>,
}

struct Dated<T> {
    at: Instant,
    value: T,
}

impl<T: Clone> Dated<T> {
    fn of(value: T) -> Self {
        Self { at: Instant::now(), value }
    }

    fn if_good(&self) -> Option<T> {
        (self.at.elapsed() < GOOD_FOR).then(|| self.value.clone())
    }
}

impl Monitor {
    /// Of this facilitator.
    pub fn new(facilitator: Facilitator) -> Self {
        Self { facilitator, polled: Arc::default() }
    }

    /// The process answers.
    pub fn healthz(&self) -> Response<Body> {
        answers::json(StatusCode::OK, &json!({ "status": "ok" }))
    }

    /// Payments can be taken; which networks are not offered, and why: the others may still
    /// sell.
    pub async fn readyz(&self) -> Response<Body> {
        let by_network = |named: Vec<(Network, &'static str)>| -> Map<String, Value> {
            named.into_iter().map(|(network, reason)| (network.to_string(), json!(reason))).collect()
        };
        let closed = by_network(self.facilitator.closed());
        let warnings = by_network(self.facilitator.warnings());
        match self.ready().await {
            Ok(()) => {
                let ready = json!({ "status": "ready", "closed": closed, "warnings": warnings });
                answers::json(StatusCode::OK, &ready)
            }
            Err(reason) => {
                let not_ready = json!({
                    "status": "not ready", "reason": reason, "closed": closed, "warnings": warnings,
                });
                let mut answer = answers::json(StatusCode::SERVICE_UNAVAILABLE, &not_ready);
                answer.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
                answer
            }
        }
    }

    /// All metrics, as Prometheus reads them.
    pub fn metrics(&self) -> Response<Body> {
        match self.gathered() {
            Ok((format, text)) => {
                let mut answer = Response::new(Body::from(text));
                if let Ok(format) = HeaderValue::from_str(&format) {
                    answer.headers_mut().insert(CONTENT_TYPE, format);
                }
                answer
            }
            Err(error) => {
                let mut answer = Response::new(Body::from(error.to_string().into_bytes()));
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            }
        }
    }

    /// Whether a request is a monitor's.
    pub(crate) fn is_asked(method: &Method, path: &str) -> bool {
        matches!(path, "/healthz" | "/readyz" | "/metrics")
            && (method == Method::GET || method == Method::HEAD)
    }

    /// Whether anybody may know of it: to strangers `/metrics` is not there, by whichever method.
    pub(crate) fn is_for_all(path: &str) -> bool {
        matches!(path, "/healthz" | "/readyz")
    }

    /// The answer to one: `/healthz` and `/readyz` to anybody, `/metrics` to who asks from this
    /// host.
    pub(crate) async fn answer(
        &self,
        path: &str,
        headers: &HeaderMap,
        arrival: &Arrival<'_>,
    ) -> Option<Response<Body>> {
        match path {
            "/healthz" => Some(self.healthz()),
            "/readyz" => Some(self.readyz().await),
            "/metrics" if is_of_this_host(headers, arrival.peer, arrival.local) => Some(self.metrics()),
            _ => None,
        }
    }

    /// Who asks while the ledger is being asked waits for that answer.
    async fn ready(&self) -> Result<(), String> {
        let mut last = self.polled.ready.lock().await;
        if let Some(good) = last.as_ref().and_then(Dated::if_good) {
            return good;
        }
        last.insert(Dated::of(self.facilitator.ready().await)).value.clone()
    }

    fn gathered(&self) -> Result<(String, Bytes), prometheus::Error> {
        let mut last = self.polled.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(good) = last.as_ref().and_then(Dated::if_good) {
            return Ok(good);
        }
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.facilitator.registry().gather(), &mut text)?;
        let fresh = (encoder.format_type().to_owned(), Bytes::from(text));
        Ok(last.insert(Dated::of(fresh)).value.clone())
    }
}

/// Whether a request comes from a program on this host and not through a proxy on it: some
/// words are the operator's. `local` is the address that it came to.
pub fn is_of_this_host(headers: &HeaderMap, peer: Option<IpAddr>, local: Option<IpAddr>) -> bool {
    let forwarded =
        headers.contains_key(FORWARDED) || FORWARDING_HEADERS.iter().any(|name| headers.contains_key(*name));
    // A program that listens on one address of its host is asked from that address.
    let local = local.map(|local| local.to_canonical());
    let is_here = |peer: IpAddr| peer.is_loopback() || Some(peer) == local;
    !forwarded && peer.is_some_and(|peer| is_here(peer.to_canonical()))
}
