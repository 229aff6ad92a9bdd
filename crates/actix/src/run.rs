//! One paid request: take the payment, run the handler once, book the answer,
//! then release it. Detached from the client's connection.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use quittance_facilitator::{Grant, PayOutcome};
use quittance_protocol::{PAYMENT_SIGNATURE, PaymentId, RetryAction, SettleResponse};
use quittance_quote::Price;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{OnSent, Piece, Relay, Whole};
use crate::gate::Shared;
use crate::middleware::{Job, Served, unpaid};
use crate::paid::{Paid, Ticket};
use crate::till::Till;
use crate::{GateError, answers, receipt};

/// Where the answer goes; closed when the client is gone.
type Client = oneshot::Sender<Served>;

/// Takes the payment and does what its outcome allows.
pub(crate) async fn serve<S, B>(
    shared: Arc<Shared>,
    service: Rc<S>,
    req: ServiceRequest,
    job: Job,
    client: Client,
) where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let Job { payment, sale, price, resource } = job;
    let answer = match shared.till.pay(payment, sale).await {
        PayOutcome::Granted(grant) => {
            return Run::new(shared, grant, price).start(service, req, client).await;
        }
        PayOutcome::Answered { answer, receipt } => receipt::replay(answer, &receipt),
        PayOutcome::Pending { receipt, retry_after_seconds } => {
            answers::pending(&receipt, retry_after_seconds)
        }
        PayOutcome::Refused(rejection) if rejection.retry_action == RetryAction::RetrySamePayment => {
            answers::later(&rejection)
        }
        PayOutcome::Refused(rejection) => {
            let message = answers::rejection_message(&rejection);
            unpaid(&shared, price.service, &resource, Some(rejection.code), &message)
        }
        PayOutcome::Conflict { code, message, receipt } => {
            answers::conflict(code, &message, receipt.as_ref())
        }
        PayOutcome::Unavailable { retry_after_seconds } => answers::unavailable(retry_after_seconds),
    };
    send(client, Served::early(req, answer));
}

/// A client that hung up gets its answer when it comes back with the payment.
fn send(client: Client, served: Served) -> bool {
    client.send(served).is_ok()
}

/// One grant on its way to exactly one of `finish` and `credit` (P1, P6).
struct Run {
    shared: Arc<Shared>,
    grant: Grant,
    receipt: SettleResponse,
    payment: PaymentId,
    ticket: Arc<Ticket>,
    deadline: Instant,
}

/// How the handler's body went on.
enum Next {
    Chunk(Bytes),
    End,
    Failed(GateError),
}

impl Run {
    fn new(shared: Arc<Shared>, grant: Grant, price: Price) -> Self {
        let deadline = Instant::now() + shared.limits.run();
        let receipt = grant.receipt().clone();
        let payment = grant.paid().payment_id.clone();
        let ticket = Arc::new(Ticket::new(grant.paid().clone(), price));
        Self { shared, grant, receipt, payment, ticket, deadline }
    }

    async fn start<S, B>(self, service: Rc<S>, mut req: ServiceRequest, client: Client)
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        B: MessageBody + 'static,
    {
        // Nothing behind the gate needs the payment itself, and a log or an
        // upstream that kept it could ask for the stored answer.
        req.headers_mut().remove(PAYMENT_SIGNATURE);
        req.extensions_mut().insert(Paid(Arc::clone(&self.ticket)));
        let handler = AssertUnwindSafe(async move { service.call(req).await }).catch_unwind();
        let handled = tokio::select! {
            biased;
            () = self.grant.revoked() => return self.fail(None, GateError::RunRevoked, client).await,
            handled = timeout_at(self.deadline, handler) => handled,
        };
        match handled {
            Err(_elapsed) => self.fail(None, GateError::HandlerTooSlow, client).await,
            Ok(Err(_panic)) => self.fail(None, GateError::HandlerFailed, client).await,
            Ok(Ok(Err(error))) => self.answer(None, error.error_response(), client).await,
            Ok(Ok(Ok(response))) => {
                let (request, response) = ServiceResponse::into_parts(response);
                self.answer(Some(request), response, client).await;
            }
        }
    }

    /// The handler answered; what the answer is worth depends on its status.
    async fn answer<B: MessageBody + 'static>(
        self,
        request: Option<HttpRequest>,
        response: HttpResponse<B>,
        client: Client,
    ) {
        if response.status().is_server_error() {
            return self.pass_failure(request, response.map_into_boxed_body(), client).await;
        }
        let kept_max = self.shared.limits.answer_body_bytes_max;
        match response.body().size() {
            BodySize::None => self.buffered(request, response, client).await,
            BodySize::Sized(n) if n <= kept_max as u64 && !is_event_stream(response.headers()) => {
                self.buffered(request, response, client).await;
            }
            _ => self.streamed(request, response, client).await,
        }
    }

    /// Collects, books, and only then releases the answer.
    async fn buffered<B: MessageBody + 'static>(
        self,
        request: Option<HttpRequest>,
        response: HttpResponse<B>,
        client: Client,
    ) {
        let (response, body) = response.into_parts();
        let mut body = Box::pin(body);
        let mut collected = BytesMut::new();
        loop {
            match self.next(&mut body).await {
                Next::Chunk(chunk) => collected.extend_from_slice(&chunk),
                Next::End => break,
                Next::Failed(error) => return self.fail(request, error, client).await,
            }
            // A body longer than it said: never book what the client cannot get.
            if collected.len() > self.shared.limits.answer_body_bytes_max {
                return self.fail(request, GateError::HandlerFailed, client).await;
            }
        }
        let collected = collected.freeze();
        let usage = self.ticket.usage();
        let stored = receipt::store(response.status(), response.headers(), Some(&collected), usage);
        let state = if stored.refundable { "refundable" } else { "delivered" };
        let Self { shared, grant, receipt, payment, .. } = self;
        if let Err(source) = shared.till.finish(grant, stored).await {
            let answer = not_booked(&shared, &payment, &receipt, source);
            send(client, Served { request, response: answer });
            return;
        }
        let on_sent = on_sent(&shared.till, payment);
        let mut response = response.set_body(BoxBody::new(()));
        receipt::stamp(response.status(), response.headers_mut(), &receipt, state);
        if collected.is_empty() {
            // An empty body is never asked for its end.
            if send(client, Served { request, response }) {
                on_sent();
            }
            return;
        }
        let response = response.set_body(BoxBody::new(Whole::new(collected, on_sent)));
        send(client, Served { request, response });
    }

    /// Passes chunks on as they come, keeps a bounded copy, books at the end.
    async fn streamed<B: MessageBody + 'static>(
        self,
        request: Option<HttpRequest>,
        response: HttpResponse<B>,
        client: Client,
    ) {
        let (mut response, body) = response.into_parts();
        let mut body = Box::pin(body);
        let status = response.status();
        let stored_headers = response.headers().clone();
        let (pieces, relay) = mpsc::channel(self.shared.limits.stream_chunks_max.max(1));
        let relay = Relay::new(relay, body.size(), on_sent(&self.shared.till, self.payment.clone()));
        let state = if status.is_client_error() { "refundable" } else { "running" };
        receipt::stamp(response.status(), response.headers_mut(), &self.receipt, state);
        send(client, Served { request, response: response.set_body(BoxBody::new(relay)) });

        let mut reader = Reader { pieces: Some(pieces), stall: self.shared.limits.stream_stall() };
        let mut tee = Tee { kept: Some(BytesMut::new()), max: self.shared.limits.answer_body_bytes_max };
        loop {
            match self.next(&mut body).await {
                Next::Chunk(chunk) => {
                    tee.push(&chunk);
                    reader.send(Piece::Chunk(chunk)).await;
                }
                Next::End => break,
                Next::Failed(error) => {
                    self.credit(&error).await;
                    return reader.send(Piece::Broken).await;
                }
            }
        }
        let kept = tee.kept.map(BytesMut::freeze);
        let stored = receipt::store(status, &stored_headers, kept.as_ref(), self.ticket.usage());
        match self.shared.till.finish(self.grant, stored).await {
            Ok(()) => reader.send(Piece::End).await,
            Err(source) => {
                not_booked(&self.shared, &self.payment, &self.receipt, source);
                reader.send(Piece::Broken).await;
            }
        }
    }

    /// The next chunk of the handler's body, which may hang, fail or panic.
    async fn next<B: MessageBody>(&self, body: &mut Pin<Box<B>>) -> Next {
        let chunk = std::future::poll_fn(|cx| body.as_mut().poll_next(cx));
        let next = tokio::select! {
            biased;
            () = self.grant.revoked() => return Next::Failed(GateError::RunRevoked),
            next = timeout_at(self.deadline, AssertUnwindSafe(chunk).catch_unwind()) => next,
        };
        match next {
            Err(_elapsed) => Next::Failed(GateError::HandlerTooSlow),
            Ok(Err(_panic)) => Next::Failed(GateError::HandlerFailed),
            Ok(Ok(None)) => Next::End,
            Ok(Ok(Some(Ok(chunk)))) => Next::Chunk(chunk),
            Ok(Ok(Some(Err(error)))) => {
                let error = error.into();
                tracing::warn!(payment = %self.payment, %error, "the handler's answer broke off");
                Next::Failed(GateError::HandlerFailed)
            }
        }
    }

    /// The handler said 5xx: its answer stands, and the payment is a credit.
    async fn pass_failure(
        self,
        request: Option<HttpRequest>,
        mut response: HttpResponse<BoxBody>,
        client: Client,
    ) {
        let reason = format!("handler answered {}", response.status().as_u16());
        let (receipt, state) = self.credit_because(&reason).await;
        receipt::stamp(response.status(), response.headers_mut(), &receipt, state);
        send(client, Served { request, response });
    }

    /// The handler left no answer: the gate words one.
    async fn fail(self, request: Option<HttpRequest>, error: GateError, client: Client) {
        let seconds = self.shared.limits.retry_after_seconds;
        let (receipt, state) = self.credit(&error).await;
        let mut response = answers::trouble_after(&error, Some(&receipt), Some(seconds));
        receipt::stamp(response.status(), response.headers_mut(), &receipt, state);
        send(client, Served { request, response });
    }

    async fn credit(self, error: &GateError) -> (SettleResponse, &'static str) {
        self.credit_because(error.code()).await
    }

    /// Turns the grant into a credit; says what the client may be told.
    async fn credit_because(self, reason: &str) -> (SettleResponse, &'static str) {
        let Self { shared, grant, mut receipt, payment, .. } = self;
        tracing::warn!(%payment, reason, "handler run failed, the payment becomes a credit");
        let state = match shared.till.credit(grant, reason).await {
            Ok(()) => "credited",
            Err(error) => {
                // The ledger still says `running`; the next boot credits it.
                tracing::error!(%payment, %error, "the credit could not be recorded");
                "running"
            }
        };
        receipt.payment_state = Some(state.to_owned());
        receipt.retry_action = Some(RetryAction::RetrySamePayment);
        (receipt, state)
    }
}

/// An answer that is not in the books is not released: a crash would let the
/// payment buy a second one (P1).
fn not_booked(
    shared: &Shared,
    payment: &PaymentId,
    receipt: &SettleResponse,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> HttpResponse<BoxBody> {
    tracing::error!(%payment, error = %source, "the answer could not be recorded and is withheld");
    let mut receipt = receipt.clone();
    receipt.payment_state = Some("running".to_owned());
    receipt.retry_action = Some(RetryAction::RetrySamePayment);
    let seconds = shared.limits.retry_after_seconds;
    let mut answer = answers::trouble_after(&GateError::NotBooked(source), Some(&receipt), Some(seconds));
    receipt::stamp(answer.status(), answer.headers_mut(), &receipt, "running");
    answer
}

fn on_sent(till: &Arc<dyn Till>, payment: PaymentId) -> OnSent {
    let till = Arc::clone(till);
    Box::new(move || till.answer_sent(&payment))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

/// The client of a streamed answer, while there is one.
struct Reader {
    pieces: Option<mpsc::Sender<Piece>>,
    stall: std::time::Duration,
}

impl Reader {
    /// Sends, or gives the client up: neither one that hung up nor one that
    /// reads nothing may hold a paid run.
    async fn send(&mut self, piece: Piece) {
        if let Some(pieces) = &self.pieces
            && !matches!(timeout(self.stall, pieces.send(piece)).await, Ok(Ok(())))
        {
            self.pieces = None;
        }
    }
}

/// A copy of a stream up to a limit; beyond it nothing is kept.
struct Tee {
    kept: Option<BytesMut>,
    max: usize,
}

impl Tee {
    fn push(&mut self, chunk: &[u8]) {
        if let Some(kept) = &mut self.kept {
            if chunk.len() > self.max.saturating_sub(kept.len()) {
                self.kept = None;
            } else {
                kept.extend_from_slice(chunk);
            }
        }
    }
}
