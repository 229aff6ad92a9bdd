//! One request to its upstream, and the answer back. The gate stands before it: what comes here was
//! paid for, is free, or shows credentials that the upstream checks itself.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BodySize;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, dev};
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::body::{Body as _, Incoming};
use quittance_actix::{Callers, Identity, Paid};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use crate::gateway::answer::{Along, Answer, PaidRun, Watch};
use crate::gateway::headers::{self, Peer, Shows};
use crate::gateway::metrics::{Metrics, Outcome};
use crate::gateway::pricer::Catalogues;
use crate::gateway::upload::{self, Reading, Upload};
use crate::gateway::upstream::{Failed, Upstream};
use crate::gateway::usage::{Meter, capped};
use crate::gateway::words::Trouble;

/// What all workers share.
pub(crate) struct Forwarding {
    pub(crate) catalogues: Arc<Catalogues>,
    pub(crate) callers: Callers,
    pub(crate) metrics: Metrics,
    /// Of a body that nobody paid for.
    pub(crate) upload: upload::Limits,
}

/// Why it is served.
enum Standing {
    Paid(Paid),
    /// The upstream's own customer.
    Account,
    Free,
}

/// One request on its way.
struct Passage<'a> {
    shared: &'a Forwarding,
    upstream: &'a Arc<Upstream>,
    request: &'a HttpRequest,
    standing: Standing,
    /// Bytes of the body as it was priced.
    priced: Cell<usize>,
}

pub(crate) async fn forward(
    request: HttpRequest,
    payload: Payload,
    shared: Data<Forwarding>,
) -> HttpResponse {
    let Some(upstream) = shared.catalogues.upstream(request.method().as_str(), request.path()) else {
        return Trouble::NotPassedOn.answer(false);
    };
    let standing = standing(&request, upstream).await;
    let passage = Passage { shared: &shared, upstream, request: &request, standing, priced: Cell::new(0) };
    passage.pass(payload).await
}

async fn standing(request: &HttpRequest, upstream: &Upstream) -> Standing {
    if let Ok(paid) = Paid::from_request(request, &mut dev::Payload::None).await {
        return Standing::Paid(paid);
    }
    let known = Identity::from_request(request, &mut dev::Payload::None).await.is_ok();
    let theirs =
        || shows_account(&upstream.config.account_headers, |name| request.headers().contains_key(name));
    if known || theirs() { Standing::Account } else { Standing::Free }
}

/// Whether a request shows credentials of an account with the upstream.
pub(crate) fn shows_account(names: &[String], has: impl Fn(&str) -> bool) -> bool {
    names.iter().any(|name| has(&name.to_ascii_lowercase()))
}

impl Standing {
    fn kind(&self) -> &'static str {
        match self {
            Self::Paid(_) => "paid",
            Self::Account => "account",
            Self::Free => "free",
        }
    }

    fn paid(&self) -> Option<&Paid> {
        match self {
            Self::Paid(paid) => Some(paid),
            Self::Account | Self::Free => None,
        }
    }
}

impl Passage<'_> {
    async fn pass(self, payload: Payload) -> HttpResponse {
        let mut along = Along::default();
        if self.standing.paid().is_none() {
            match Arc::clone(&self.upstream.free).try_acquire_owned() {
                Ok(place) => along.place = Some(place),
                Err(_) => return Trouble::TooManyFree.answer(false),
            }
        }
        let (body, reading) = match self.body(payload).await {
            Ok(body) => body,
            Err(trouble) => return trouble.answer(self.standing.paid().is_some()),
        };
        let Some(outgoing) = self.outgoing(body) else {
            return Trouble::NotPassedOn.answer(self.standing.paid().is_some());
        };
        match self.upstream.send(outgoing, self.wait(), self.standing.paid().is_some()).await {
            Ok(answer) => {
                along.reading = reading;
                self.answer(answer, along)
            }
            Err(failed) => self.failed(failed, reading.as_ref()),
        }
    }

    /// The body that goes out: what was priced, in memory, or what comes as it comes.
    async fn body(&self, mut payload: Payload) -> Result<(Upload, Option<Reading>), Trouble> {
        let Some(paid) = self.standing.paid() else {
            let length = self.request.headers().get(CONTENT_LENGTH);
            let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
            let limits = self.shared.upload;
            if length.is_some_and(|length| length > limits.bytes_max as u64) {
                return Err(Trouble::BodyTooLarge);
            }
            let is_chunked = self.request.headers().contains_key("transfer-encoding");
            if length.unwrap_or(0) == 0 && !is_chunked {
                return Ok((Upload::whole(Bytes::new()), None));
            }
            let total = Duration::from_secs(self.upstream.config.upload_seconds_max);
            let (upload, reading) = Upload::begin(payload, length, limits, total);
            return Ok((upload, Some(reading)));
        };
        let mut whole = BytesMut::new();
        while let Some(piece) = payload.next().await {
            whole.extend_from_slice(&piece.map_err(|_| Trouble::BodyBroken)?);
        }
        let whole = whole.freeze();
        self.priced.set(whole.len());
        let reserve = paid.price().reserve.as_ref();
        let capped = reserve.and_then(|reserve| capped(&whole, reserve.output_tokens_max));
        Ok((Upload::whole(capped.unwrap_or(whole)), None))
    }

    fn outgoing(&self, body: Upload) -> Option<http::Request<Upload>> {
        let target = self.request.uri().path_and_query()?.as_str();
        let mut outgoing = http::Request::new(body);
        *outgoing.method_mut() = http::Method::from_bytes(self.request.method().as_str().as_bytes()).ok()?;
        *outgoing.uri_mut() = self.upstream.uri(target)?;
        let address = self.request.peer_addr().map(|address| address.ip().to_canonical());
        let text = address.map(|address| address.to_string());
        let is_trusted = address.is_some_and(|address| self.shared.callers.is_trusted(address));
        let peer = Peer { address: text.as_deref(), is_trusted };
        let incoming = quittance_actix::headers(self.request.headers());
        let mut headers = headers::outgoing(&incoming, peer, &self.shows());
        if let Some(paid) = self.standing.paid() {
            headers::say_paid(&mut headers, paid, paid.price().reserve.is_some());
        }
        *outgoing.headers_mut() = headers;
        Some(outgoing)
    }

    /// The gateway's credentials go with what was paid for, and with what is free where the operator
    /// says so; never with a request that shows its own.
    fn shows(&self) -> Shows<'_> {
        let config = &self.upstream.config;
        let ours =
            Shows::Ours { credentials: &self.upstream.credentials, account_headers: &config.account_headers };
        match self.standing {
            Standing::Paid(_) => ours,
            Standing::Free if config.credentials_on_free_routes => ours,
            Standing::Account | Standing::Free => Shows::Theirs,
        }
    }

    fn wait(&self) -> Duration {
        let answer = Duration::from_secs(self.upstream.config.answer_seconds_max);
        match self.standing {
            Standing::Paid(_) => answer,
            // The client's own pace is not the upstream's.
            Standing::Account | Standing::Free => answer.saturating_add(self.shared.upload.silence_max),
        }
    }

    fn watch(&self) -> Watch {
        Watch {
            upstream: Arc::clone(self.upstream),
            metrics: Rc::new(self.shared.metrics.clone()),
            run: self
                .standing
                .paid()
                .map(|paid| PaidRun { payment: paid.payment_id.to_string(), payer: paid.payer.clone() }),
            kind: self.standing.kind(),
            is_success: false,
            is_over: false,
        }
    }

    fn failed(&self, failed: Failed, reading: Option<&Reading>) -> HttpResponse {
        // It was the client's body that ended.
        if let Some(fault) = reading.and_then(Reading::fault) {
            return fault.answer(false);
        }
        let Failed { trouble, unbegun, why } = failed;
        tracing::warn!(upstream = self.upstream.name, kind = self.standing.kind(), "{trouble}: {why}");
        self.watch().ended(match trouble {
            Trouble::Unreachable => Outcome::Unreachable,
            Trouble::TooSlow => Outcome::TooSlow,
            _ => Outcome::BrokeOff,
        });
        let Some(paid) = self.standing.paid() else { return trouble.answer(false) };
        if unbegun {
            paid.note_unbegun();
        }
        trouble.answer_after(true, self.closed_for())
    }

    fn closed_for(&self) -> Option<u64> {
        self.upstream.circuit.closed_for(Instant::now())
    }

    fn answer(&self, answer: http::Response<Incoming>, mut along: Along) -> HttpResponse {
        let (mut head, body) = answer.into_parts();
        let status = head.status.as_u16();
        let mut watch = self.watch();
        // Nothing was asked to be upgraded.
        if head.status.is_informational() {
            watch.ended(Outcome::BrokeOff);
            return Trouble::BrokeOff.answer(self.standing.paid().is_some());
        }
        if let Some(paid) = self.standing.paid() {
            let pause = retry_after(&head.headers);
            // A redirect to nowhere is nothing, whatever the configuration says of its status.
            let is_nothing = head.status.is_redirection() && !head.headers.contains_key(LOCATION);
            if is_nothing || self.upstream.config.credit_statuses.contains(&status) {
                tracing::warn!(upstream = self.upstream.name, status, "a paid run was refused");
                let pause = pause.filter(|_| !head.status.is_redirection());
                self.ended_badly(&mut watch, pause);
                return self.credit(head.status, pause);
            }
            if head.status.is_server_error() {
                self.ended_badly(&mut watch, pause.filter(|_| status == 503));
            }
            if head.status == http::StatusCode::PAYLOAD_TOO_LARGE {
                self.too_large();
            }
            watch.is_success = !head.status.is_client_error();
            if paid.price().reserve.is_some() && head.status.is_success() {
                let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                along.meter = Some(Meter::new(paid.clone(), content_type));
            }
        }
        let size = self.size(&head, &body);
        let shown = match self.shows() {
            Shows::Ours { credentials, .. } => Some(credentials),
            Shows::Theirs => None,
        };
        headers::returning(&mut head.headers, (&self.upstream.origin, &self.upstream.base), shown);
        let status =
            actix_web::http::StatusCode::from_u16(status).unwrap_or(actix_web::http::StatusCode::BAD_GATEWAY);
        let answer = Answer::new(body, size, watch, along);
        let mut response = HttpResponse::new(status).set_body(answer).map_into_boxed_body();
        *response.headers_mut() = native(&head.headers);
        response
    }

    /// What is as long is sold to nobody for a while.
    fn too_large(&self) {
        let (upstream, bytes) = (self.upstream.name.as_str(), self.priced.get());
        tracing::warn!(upstream, bytes, "a paid body was too large for it; lower gate.body_bytes_max");
        let (method, path) = (self.request.method().as_str(), self.request.path());
        self.shared.catalogues.refused_for_its_length(method, path, bytes);
    }

    /// A paid run that bought nothing, and for how long the upstream asks to be left alone.
    fn ended_badly(&self, watch: &mut Watch, pause: Option<u64>) {
        if let Some((run, seconds)) = watch.run.as_ref().zip(pause) {
            self.upstream.circuit.asked_to_pause(&run.payment, seconds, Instant::now());
        }
        watch.ended(Outcome::Failed);
    }

    /// An answer that is about the gateway's account, or none: the customer's payment is a credit.
    fn credit(&self, status: http::StatusCode, pause: Option<u64>) -> HttpResponse {
        let seconds = pause.or_else(|| self.closed_for());
        if status.is_redirection() {
            return Trouble::Redirected.answer_after(true, seconds);
        }
        if status == http::StatusCode::TOO_MANY_REQUESTS || pause.is_some() {
            return Trouble::AskedToPause.answer_after(true, seconds);
        }
        Trouble::RefusedGateway.answer_after(true, seconds)
    }

    /// How long the answer is; to HEAD it is as long as it would be.
    fn size(&self, head: &http::response::Parts, body: &Incoming) -> BodySize {
        if head.status == http::StatusCode::NO_CONTENT || head.status == http::StatusCode::NOT_MODIFIED {
            return BodySize::None;
        }
        if self.request.method() == actix_web::http::Method::HEAD {
            let length = head.headers.get(http::header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            return length.map_or(BodySize::None, BodySize::Sized);
        }
        body.size_hint().exact().map_or(BodySize::Stream, BodySize::Sized)
    }
}

/// For how long an answer asks to be left alone: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &http::HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    u64::try_from((date - OffsetDateTime::now_utc()).whole_seconds()).ok()
}

/// Headers as actix has them.
fn native(headers: &http::HeaderMap) -> HeaderMap {
    let mut native = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            native.append(name, value);
        }
    }
    native
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_come_back_are_seconds_or_dates() {
        let of = |text: &str| {
            let value = http::HeaderValue::from_str(text).unwrap();
            retry_after(&http::HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(of("9"), Some(9));
        assert_eq!(of("0"), Some(0));
        for text in ["-9", "soon", "1.5", "", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert!(of("Sun, 06 Nov 2095 08:49:37 GMT").is_some_and(|seconds| seconds > 1_000_000));
    }
}
