//! One paid request: take the payment, run the handler once, book the answer,
//! then release it. Detached from the client's connection.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use quittance_facilitator::{Draft, Grant, PayOutcome, Sealed, Step, Trouble, Waiting, note_trouble};
use quittance_protocol::{PAYMENT_SIGNATURE, PaymentId, RetryAction, SettleResponse, v1};
use quittance_quote::Price;
use tokio::time::{Instant, timeout};

use crate::body::{Body, HandlerBody, HandlerError, OnSent};
use crate::facilitate::Facilitate;
use crate::paid::{Paid, Ticket};
use crate::quote::{Job, unpaid};
use crate::release::{Client, Release};
use crate::shared::Shared;
use crate::{GateError, answers, intake, receipt, replay, signing};

/// Headers of a paid request that its handler does not get. Nothing behind the gate needs
/// the payment itself, and a log or an upstream that kept it could ask for the stored
/// answer. What is kept is the whole answer, of which a replay may ask for a part.
pub const WITHHELD: [&str; 4] = [PAYMENT_SIGNATURE, v1::X_PAYMENT, "range", "if-range"];

/// What runs the handler, once or never.
pub(crate) type Handler =
    Box<dyn FnOnce(Request<Bytes>) -> BoxFuture<'static, Result<Response<HandlerBody>, HandlerError>> + Send>;

/// Takes the payment and does what its outcome allows.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    handler: Handler,
    (head, body): (Parts, Bytes),
    job: Job,
    client: Client,
    waiting: Waiting,
) {
    let Job { payment, sale, price, resource } = job;
    let answer = match shared.facilitator.pay(payment, sale, waiting).await {
        PayOutcome::Granted(grant) => {
            let request = Request::from_parts(head, body);
            return Run::new(shared, grant, price, resource.url).start(handler, request, client).await;
        }
        PayOutcome::Answered { payment, answer, receipt } => {
            replay::replay(&shared, &head.headers, payment, answer, &receipt).await
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
    // Before the answer: whoever mounted the gate waits for its request to come back.
    drop(handler);
    send(client, answer);
}

/// A client that hung up gets its answer when it comes back with the payment.
fn send(client: Client, answer: Response<Body>) {
    let _ = client.send(answer);
}

/// One grant on its way to exactly one of `finish` and `credit` (P1, P6).
struct Run {
    shared: Arc<Shared>,
    grant: Grant,
    receipt: SettleResponse,
    payment: PaymentId,
    /// As the receipt names it.
    url: String,
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
    fn new(shared: Arc<Shared>, grant: Grant, price: Price, url: String) -> Self {
        let left = shared.limits.run();
        let receipt = grant.receipt().clone();
        let payment = grant.paid().payment_id.clone();
        let ticket = Arc::new(Ticket::new(grant.paid().clone(), price));
        Self { shared, grant, receipt, payment, url, ticket, left }
    }

    async fn start(mut self, handler: Handler, mut request: Request<Bytes>, client: Client) {
        for name in WITHHELD {
            request.headers_mut().remove(name);
        }
        request.extensions_mut().insert(Paid(Arc::clone(&self.ticket)));
        let handler = AssertUnwindSafe(async move { handler(request).await }).catch_unwind();
        let begun = Instant::now();
        let handled = tokio::select! {
            biased;
            () = self.grant.revoked() => return self.fail(GateError::RunRevoked, client).await,
            handled = timeout(self.left, handler) => handled,
        };
        self.left = self.left.saturating_sub(begun.elapsed());
        match handled {
            Err(_elapsed) => self.fail(GateError::HandlerTooSlow, client).await,
            Ok(Err(_panic)) => self.fail(GateError::HandlerFailed, client).await,
            Ok(Ok(Err(error))) => {
                note_trouble(Trouble::HandlerBrokeOff, "", &format_args!("{}: {error}", self.payment));
                self.fail(GateError::HandlerFailed, client).await;
            }
            Ok(Ok(Ok(response))) => self.answer(response, client).await,
        }
    }

    /// The handler answered; what the answer is worth depends on its status.
    async fn answer(self, response: Response<HandlerBody>, client: Client) {
        if response.status().is_server_error() {
            return self.pass_failure(response.map(Body::from), client).await;
        }
        let (mut head, body) = response.into_parts();
        let size = body.size_hint().exact();
        receipt::tag(&mut head, self.grant.paid());
        let (draft, reader) = self.shared.facilitator.draft(&self.grant);
        let fits =
            |n| n <= self.shared.limits.answer_body_bytes_max as u64 && !is_event_stream(&head.headers);
        let held = size.is_some_and(|n| n == 0 || fits(n));
        let stored = (head.status, head.headers.clone());
        let on_sent = on_sent(&self.shared.facilitator, self.payment.clone());
        let mut release = Release::new(head, client, reader, on_sent);
        if !held {
            release.release(&self.receipt, self.passing_state(stored.0), size);
        }
        self.drain(body, size, draft, release, stored).await;
    }

    /// What is said of an answer whose end is not known yet.
    fn passing_state(&self, status: StatusCode) -> &'static str {
        if status.is_client_error() { "refundable" } else { "running" }
    }

    /// Takes all that the handler makes, whatever its reader does; books it at
    /// the end, and only then lets the reader see the end.
    async fn drain(
        mut self,
        body: HandlerBody,
        size: Option<u64>,
        mut draft: Draft,
        mut head: Release,
        stored: (StatusCode, HeaderMap),
    ) {
        let mut body = pin!(body);
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
                    let why = format_args!("{}: {}", self.payment, loss.as_str());
                    note_trouble(Trouble::AnswerUnkept, "", &why);
                    head.release(&self.receipt, self.passing_state(stored.0), size);
                }
                Err(error) => return self.break_off(error, draft, head).await,
            }
            // A body longer than it said: never book what the client cannot get.
            if size.is_some_and(|n| draft.bytes() > n) {
                return self.break_off(GateError::HandlerFailed, draft, head).await;
            }
        }
        // One that fell short of what its head said is not complete either.
        if head.is_released() && size.is_some_and(|n| draft.bytes() < n) {
            return self.break_off(GateError::HandlerFailed, draft, head).await;
        }
        match self.unless_revoked(draft.seal()).await {
            Ok(sealed) => self.book(sealed, draft, head, stored).await,
            Err(error) => self.break_off(error, draft, head).await,
        }
    }

    /// The answer is complete: into the ledger, then to its reader.
    async fn book(self, sealed: Sealed, draft: Draft, mut head: Release, stored: (StatusCode, HeaderMap)) {
        let kept = !matches!(sealed, Sealed::NotKept { .. });
        let bytes = draft.bytes();
        let (status, headers) = stored;
        let mut stored = receipt::store(status, &headers, sealed, self.ticket.usage());
        signing::sign(&self.shared, self.grant.paid(), &self.url, &mut stored);
        let state = match (kept, status.is_client_error()) {
            (_, true) => "refundable",
            (true, false) => "delivered",
            (false, false) => "running",
        };
        let Self { shared, grant, receipt, payment, .. } = self;
        let signed = signing::with_signed(&receipt, &stored).into_owned();
        if let Err(source) = shared.facilitator.finish(grant, stored).await {
            let answer = not_booked(&shared, &payment, &receipt, source);
            return head.replace(answer);
        }
        head.release(&signed, state, Some(bytes));
        head.give_up_after(shared.facilitator.reader_max());
        draft.complete();
    }

    /// The run ended without an answer; a reader who has its head already is cut off.
    async fn break_off(self, error: GateError, draft: Draft, head: Release) {
        match head.take_back() {
            Some(client) => {
                drop(draft);
                self.fail(error, client).await;
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
    async fn next(&mut self, body: &mut std::pin::Pin<&mut HandlerBody>) -> Next {
        let chunk = intake::next_piece(body);
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
                note_trouble(Trouble::HandlerBrokeOff, "", &format_args!("{}: {error}", self.payment));
                Next::Failed(GateError::HandlerFailed)
            }
        }
    }

    /// The handler said 5xx: its answer stands, and the payment is a credit.
    async fn pass_failure(self, mut response: Response<Body>, client: Client) {
        let reason = format!("handler answered {}", response.status().as_u16());
        let (receipt, state) = self.credit_because(&reason).await;
        receipt::stamp(response.status(), response.headers_mut(), &receipt, state);
        send(client, response);
    }

    /// The handler left no answer: the gate words one.
    async fn fail(self, error: GateError, client: Client) {
        let seconds = self.shared.limits.retry_after_seconds;
        let (receipt, state) = self.credit(&error).await;
        let mut response = answers::trouble_after(&error, Some(&receipt), Some(seconds));
        receipt::stamp(response.status(), response.headers_mut(), &receipt, state);
        send(client, response);
    }

    async fn credit(self, error: &GateError) -> (SettleResponse, &'static str) {
        self.credit_because(error.code()).await
    }

    /// Turns the grant into a credit; says what the client may be told.
    async fn credit_because(self, reason: &str) -> (SettleResponse, &'static str) {
        let Self { shared, grant, mut receipt, payment, ticket, .. } = self;
        // Thinned: a handler that is down fails every run, and each payment's journal says it.
        note_trouble(Trouble::HandlerFailed, "", &format_args!("{payment}: {reason}"));
        let credited = match ticket.is_unbegun() {
            true => shared.facilitator.credit_unbegun(grant, reason).await,
            false => shared.facilitator.credit(grant, reason).await,
        };
        let state = match credited {
            Ok(()) => "credited",
            Err(error) => {
                // The ledger still says `running`; the next boot credits it.
                note_trouble(Trouble::CreditUnrecorded, "", &format_args!("{payment}: {error}"));
                "running"
            }
        };
        receipt.payment_state = Some(state.to_owned());
        receipt.retry_action = Some(RetryAction::RetrySamePayment);
        (receipt, state)
    }
}

/// An answer that is not in the ledger is not released: a crash would let the
/// payment buy a second one (P1).
fn not_booked(
    shared: &Shared,
    payment: &PaymentId,
    receipt: &SettleResponse,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> Response<Body> {
    note_trouble(Trouble::AnswerWithheld, "", &format_args!("{payment}: {source}"));
    let mut receipt = receipt.clone();
    receipt.payment_state = Some("running".to_owned());
    receipt.retry_action = Some(RetryAction::RetrySamePayment);
    let seconds = shared.limits.retry_after_seconds;
    let mut answer = answers::trouble_after(&GateError::NotBooked(source), Some(&receipt), Some(seconds));
    receipt::stamp(answer.status(), answer.headers_mut(), &receipt, "running");
    answer
}

fn on_sent(facilitator: &Arc<dyn Facilitate>, payment: PaymentId) -> OnSent {
    let facilitator = Arc::clone(facilitator);
    Box::new(move || facilitator.answer_sent(&payment))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}
