//! One paid request: take the payment, run the handler once, book the answer,
//! then release it. Detached from the client's connection.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, IF_RANGE, RANGE};
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse};
use bytes::Bytes;
use futures::FutureExt as _;
use quittance_facilitator::{Draft, Grant, PayOutcome, Sealed, Step, Waiting};
use quittance_protocol::{PAYMENT_SIGNATURE, PaymentId, RetryAction, SettleResponse};
use quittance_quote::Price;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::body::OnSent;
use crate::gate::Shared;
use crate::head::Head;
use crate::middleware::{Job, Served, unpaid};
use crate::paid::{Paid, Ticket};
use crate::till::Till;
use crate::{GateError, answers, receipt, replay};

/// Where the answer goes; closed when the client is gone.
pub(crate) type Client = oneshot::Sender<Served>;

/// Takes the payment and does what its outcome allows.
pub(crate) async fn serve<S, B>(
    shared: Arc<Shared>,
    service: Rc<S>,
    req: ServiceRequest,
    job: Job,
    client: Client,
    waiting: Waiting,
) where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let Job { payment, sale, price, resource } = job;
    let answer = match shared.till.pay(payment, sale, waiting).await {
        PayOutcome::Granted(grant) => {
            return Run::new(shared, grant, price).start(service, req, client).await;
        }
        PayOutcome::Answered { payment, answer, receipt } => {
            replay::replay(&shared, req.headers(), payment, answer, &receipt).await
        }
        PayOutcome::Pending { receipt, retry_after_seconds } => {
            answers::pending(&receipt, retry_after_seconds)
        }
        PayOutcome::Refused(rejection) if rejection.retry_action != RetryAction::Pay => {
            answers::later(&rejection)
        }
        PayOutcome::Refused(rejection) => {
            let message = answers::rejection_message(&rejection);
            unpaid(&shared, price.service, &resource, Some(rejection.code), &message)
        }
        PayOutcome::Conflict { code, message, receipt } => {
            answers::conflict(code, &message, receipt.as_ref())
        }
        PayOutcome::Unavailable { retry_after_seconds, reason } => {
            answers::unavailable(retry_after_seconds, reason)
        }
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
    /// What is left of the handler's own time. Waiting for the store, or for a
    /// reader, is not the handler's.
    left: Duration,
}

/// How the handler's body went on.
enum Next {
    Chunk(Bytes),
    End,
    Failed(GateError),
}

impl Run {
    fn new(shared: Arc<Shared>, grant: Grant, price: Price) -> Self {
        let left = shared.limits.run();
        let receipt = grant.receipt().clone();
        let payment = grant.paid().payment_id.clone();
        let ticket = Arc::new(Ticket::new(grant.paid().clone(), price));
        Self { shared, grant, receipt, payment, ticket, left }
    }

    async fn start<S, B>(mut self, service: Rc<S>, mut req: ServiceRequest, client: Client)
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        B: MessageBody + 'static,
    {
        // Nothing behind the gate needs the payment itself, and a log or an
        // upstream that kept it could ask for the stored answer. What is kept is
        // the whole answer, of which a replay may ask for a part.
        for name in [PAYMENT_SIGNATURE, RANGE.as_str(), IF_RANGE.as_str()] {
            req.headers_mut().remove(name);
        }
        req.extensions_mut().insert(Paid(Arc::clone(&self.ticket)));
        let handler = AssertUnwindSafe(async move { service.call(req).await }).catch_unwind();
        let begun = Instant::now();
        let handled = tokio::select! {
            biased;
            () = self.grant.revoked() => return self.fail(None, GateError::RunRevoked, client).await,
            handled = timeout(self.left, handler) => handled,
        };
        self.left = self.left.saturating_sub(begun.elapsed());
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
        let (mut response, body) = response.into_parts();
        let size = body.size();
        receipt::tag(&mut response, self.grant.paid());
        let (draft, reader) = self.shared.till.draft(&self.grant);
        let held = match size {
            BodySize::None => true,
            BodySize::Sized(n) => {
                n <= self.shared.limits.answer_body_bytes_max as u64 && !is_event_stream(response.headers())
            }
            BodySize::Stream => false,
        };
        let stored = (response.status(), response.headers().clone());
        let mut head =
            Head::new(request, response, client, reader, on_sent(&self.shared.till, self.payment.clone()));
        if !held {
            head.release(&self.receipt, self.passing_state(stored.0), size);
        }
        self.drain(Box::pin(body), size, draft, head, stored).await;
    }

    /// What is said of an answer whose end is not known yet.
    fn passing_state(&self, status: StatusCode) -> &'static str {
        if status.is_client_error() { "refundable" } else { "running" }
    }

    /// Takes all that the handler makes, whatever its reader does; books it at
    /// the end, and only then lets the reader see the end.
    async fn drain<B: MessageBody>(
        mut self,
        mut body: Pin<Box<B>>,
        size: BodySize,
        mut draft: Draft,
        mut head: Head,
        stored: (StatusCode, HeaderMap),
    ) {
        loop {
            let step = match self.next(&mut body).await {
                Next::Chunk(chunk) => self.unless_revoked(draft.push(chunk)).await,
                Next::End => break,
                Next::Failed(error) => return self.break_off(error, draft, head).await,
            };
            match step {
                Ok(Step::Kept | Step::PassedOn) => {}
                // What is not kept has to go on: there is no room to hold it back.
                Ok(Step::Lost(loss)) => {
                    tracing::warn!(payment = %self.payment, loss = loss.as_str(), "the answer is not kept");
                    head.release(&self.receipt, self.passing_state(stored.0), size);
                }
                Err(error) => return self.break_off(error, draft, head).await,
            }
            // A body longer than it said: never book what the client cannot get.
            if matches!(size, BodySize::Sized(n) if draft.bytes() > n) {
                return self.break_off(GateError::HandlerFailed, draft, head).await;
            }
        }
        // One that fell short of what its head said is not complete either.
        if head.is_released() && matches!(size, BodySize::Sized(n) if draft.bytes() < n) {
            return self.break_off(GateError::HandlerFailed, draft, head).await;
        }
        match self.unless_revoked(draft.seal()).await {
            Ok(sealed) => self.book(sealed, draft, head, stored).await,
            Err(error) => self.break_off(error, draft, head).await,
        }
    }

    /// The answer is complete: into the books, then to its reader.
    async fn book(self, sealed: Sealed, draft: Draft, mut head: Head, stored: (StatusCode, HeaderMap)) {
        let kept = !matches!(sealed, Sealed::NotKept { .. });
        let bytes = draft.bytes();
        let (status, headers) = stored;
        let stored = receipt::store(status, &headers, sealed, self.ticket.usage());
        let state = match (kept, status.is_client_error()) {
            (_, true) => "refundable",
            (true, false) => "delivered",
            (false, false) => "running",
        };
        let Self { shared, grant, receipt, payment, .. } = self;
        if let Err(source) = shared.till.finish(grant, stored).await {
            let answer = not_booked(&shared, &payment, &receipt, source);
            return head.replace(answer);
        }
        head.release(&receipt, state, BodySize::Sized(bytes));
        head.give_up_after(shared.till.reader_max());
        draft.complete();
    }

    /// The run ended without an answer; a reader who has its head already is cut off.
    async fn break_off(self, error: GateError, draft: Draft, head: Head) {
        match head.take_back() {
            Some((request, client)) => {
                drop(draft);
                self.fail(request, error, client).await;
            }
            None => {
                self.credit(&error).await;
                drop(draft);
            }
        }
    }

    /// This process may lose the run while it waits for a store or a reader, too.
    async fn unless_revoked<T>(&self, wait: impl Future<Output = T>) -> Result<T, GateError> {
        tokio::select! {
            biased;
            () = self.grant.revoked() => Err(GateError::RunRevoked),
            done = wait => Ok(done),
        }
    }

    /// The next chunk of the handler's body, which may hang, fail or panic.
    async fn next<B: MessageBody>(&mut self, body: &mut Pin<Box<B>>) -> Next {
        let chunk = std::future::poll_fn(|cx| body.as_mut().poll_next(cx));
        let begun = Instant::now();
        let next = tokio::select! {
            biased;
            () = self.grant.revoked() => return Next::Failed(GateError::RunRevoked),
            next = timeout(self.left, AssertUnwindSafe(chunk).catch_unwind()) => next,
        };
        self.left = self.left.saturating_sub(begun.elapsed());
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
