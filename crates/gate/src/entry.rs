//! The gate's steps, for whoever mounts it in a server: three, with the host's own
//! handler between the second and the third, or [`Gate::call`] for all of them.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use quittance_facilitator::{Connection, NoPlace, PayOutcome, Place};
use quittance_protocol::PaymentPayload;
use quittance_quote::Route;
use tokio::sync::oneshot;

use crate::body::{Body, HandlerError};
use crate::bytes::SharedBody;
use crate::cors::Verdict;
use crate::decide::{Decision, decide};
use crate::discovery::listed::Document;
use crate::error::GateError;
use crate::gate::Gate;
use crate::head::{self, Arrival};
use crate::monitor::Monitor;
use crate::paid::Identity;
use crate::quote::{Asked, Resource, quote};
use crate::run::{self, Handler};
use crate::shared::Shared;
use crate::shown::shown;
use crate::visit::Visit;
use crate::{answers, discovery, person, receipt, unserved};

/// What becomes of a request, as far as its head says.
pub enum Entry {
    /// Answered; its body is not looked at.
    Answered(Response<Body>),
    /// To its handler as it came, unpaid and tied to its connection; its answer gets
    /// what `cors` says.
    Pass {
        /// The head.
        head: Box<Parts>,
        /// Whom a hook recognised.
        identity: Option<Identity>,
        /// For the handler's answer.
        cors: Verdict,
    },
    /// Something is sold here: the body comes next.
    Unpriced(Box<UnpricedRequest>),
}

/// A request whose price its body makes.
pub struct UnpricedRequest {
    shared: Arc<Shared>,
    visit: Visit,
    sold: Option<Resource>,
    paying: bool,
    cors: Verdict,
}

/// A request that carries a payment for its price. Nothing has been taken yet.
pub struct PricedRequest {
    shared: Arc<Shared>,
    visit: Visit,
    asked: Asked,
    cors: Verdict,
}

impl Gate {
    /// Looks at a request's head. Does no I/O unless a hook of the host's does.
    pub async fn enter(&self, head: Parts, arrival: &Arrival<'_>) -> Entry {
        let shared = &self.shared;
        let cors = shared.cors.verdict(&head.headers);
        let decoded;
        let path = match arrival.path {
            _ if shared.exact_paths && head.uri.path().contains('%') => None,
            Some(path) => Some(path),
            None => {
                let raw = head.uri.path();
                let route = |path: &str| shared.pricer.route(head.method.as_str(), path);
                decoded =
                    head::decoded_path(raw).filter(|decoded| head::routes_as_it_stands(raw, decoded, route));
                decoded.as_deref()
            }
        };
        if let Some(answer) = self.monitored(&head, path, arrival).await {
            return Entry::Answered(with(cors, answer));
        }
        let (path, sold, paying) = match decide(shared, &head.method, path, &head.headers) {
            Decision::Answered(answer) => return Entry::Answered(with(cors, answer)),
            Decision::Free => return Entry::Pass { head: Box::new(head), identity: None, cors },
            Decision::OtherMethod { path, allowed } => {
                let answer = self.other_method(&head, arrival, &path, allowed);
                return Entry::Answered(with(cors, answer));
            }
            Decision::Unserved { path } => (path, None, true),
            Decision::Paid { path, endpoint, paying } => {
                if !paying {
                    let asked = shared.hooks.authenticate(head.method.as_str(), &path, &head.headers);
                    if let Some(identity) = asked.await {
                        return Entry::Pass { head: Box::new(head), identity: Some(identity), cors };
                    }
                }
                let url = self.url(&head, arrival);
                (path, Some(Resource { url, endpoint }), paying)
            }
        };
        let caller = head::caller(&head.headers, arrival.peer, &shared.callers);
        let visit = Visit { head, path, caller };
        Entry::Unpriced(Box::new(UnpricedRequest { shared: Arc::clone(shared), visit, sold, paying, cors }))
    }

    /// What an offer names.
    fn url(&self, head: &Parts, arrival: &Arrival<'_>) -> String {
        let Shared { public_url, callers, .. } = &*self.shared;
        let trusted = arrival.peer.is_some_and(|peer| callers.is_trusted(peer));
        head::resource_url(head, arrival, public_url.as_deref(), trusted)
    }

    /// What is said of a path that takes other methods.
    fn other_method(
        &self,
        head: &Parts,
        arrival: &Arrival<'_>,
        path: &str,
        allowed: String,
    ) -> Response<Body> {
        let shared = &*self.shared;
        let methods = HeaderValue::from_str(&allowed);
        let mut answer = answers::trouble(&GateError::OtherMethod { allowed });
        if let Ok(methods) = methods {
            answer.headers_mut().insert(ALLOW, methods);
        }
        if !person::is_asking(&head.method, &head.headers) {
            return answer;
        }
        let url = self.url(head, arrival);
        let target = head.uri.path_and_query().map_or(path, |target| target.as_str());
        person::of_other_method(shared, path, person::Target { path: target, url: &url }, answer)
    }

    /// What a monitor hears, unless the host has something of its own there.
    async fn monitored(
        &self,
        head: &Parts,
        path: Option<&str>,
        arrival: &Arrival<'_>,
    ) -> Option<Response<Body>> {
        let (monitor, path) = (self.shared.monitor.as_ref()?, path?);
        if !Monitor::is_asked(&head.method, path) || self.shared.pricer.route("GET", path) != Route::Unknown {
            return None;
        }
        monitor.answer(path, &head.headers, arrival).await
    }

    /// One of the documents that [`Gate::enter`] answers, for a host whose gated scope
    /// does not cover their paths; `request` says whose page is asking.
    pub fn document(&self, document: Document, request: &http::HeaderMap) -> Response<Body> {
        with(self.shared.cors.verdict(request), discovery::answer(&self.shared, document))
    }

    /// The documents that this gate answers.
    pub fn documents(&self) -> &[Document] {
        &self.shared.documents
    }

    /// All steps of a request, for servers whose handlers can be sent between
    /// threads: `pass` gets what goes through unpaid, `run` what is paid.
    ///
    /// Drop the future when the client hangs up: what is paid goes on without it.
    pub async fn call<B, P, G, H, F, R>(
        &self,
        request: Request<B>,
        arrival: &Arrival<'_>,
        pass: P,
        run: H,
    ) -> Result<Response<Body>, HandlerError>
    where
        B: HttpBody<Data = Bytes>,
        P: FnOnce(Request<B>) -> G,
        G: Future<Output = Result<Response<R>, HandlerError>>,
        H: FnOnce(Request<Bytes>) -> F + Send + 'static,
        F: Future<Output = Result<Response<R>, HandlerError>> + Send + 'static,
        R: HttpBody<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
    {
        let (head, body) = request.into_parts();
        match self.enter(head, arrival).await {
            Entry::Answered(answer) => Ok(answer),
            Entry::Pass { mut head, identity, cors } => {
                head.extensions.remove::<Identity>();
                if let Some(identity) = identity {
                    head.extensions.insert(identity);
                }
                let answer = pass(Request::from_parts(*head, body)).await?;
                Ok(with(cors, answer.map(boxed)))
            }
            Entry::Unpriced(unpriced) => match unpriced.quote(body).await {
                Err(answer) => Ok(answer),
                Ok(priced) => Ok(priced.settle_and_run(run).await),
            },
        }
    }
}

fn boxed<R>(body: R) -> Body
where
    R: HttpBody<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync().into()
}

fn with(cors: Verdict, mut answer: Response<Body>) -> Response<Body> {
    cors.apply(answer.headers_mut());
    answer
}

/// The answer as its asker reads it.
fn spoken(in_version_1: bool, mut answer: Response<Body>) -> Response<Body> {
    if in_version_1 {
        receipt::say_in_version_1(answer.headers_mut());
    }
    answer
}

impl UnpricedRequest {
    /// Reads the body and prices it: the request with its price, or what a request hears that is
    /// refused or does not pay. Without a payment it does no I/O besides (P4).
    pub async fn quote<B: HttpBody<Data = Bytes>>(
        self: Box<Self>,
        body: B,
    ) -> Result<Box<PricedRequest>, Response<Body>> {
        let Self { shared, visit, sold, paying, cors } = *self;
        let in_version_1 = head::pays_in_version_1(&visit.head.headers);
        let asked = match sold {
            Some(resource) => quote(&shared, &visit, resource, paying, body).await,
            None => {
                let shown = shown(&visit.head.headers, &*shared.facilitator);
                let error = GateError::UnknownEndpoint;
                Err(unserved::answer(&shared, &visit, &shown, Some(body), &error).await)
            }
        };
        match asked {
            Ok(asked) => Ok(Box::new(PricedRequest { shared, visit, asked, cors })),
            Err(answer) => Err(with(cors, spoken(in_version_1, answer))),
        }
    }
}

impl PricedRequest {
    /// Takes the payment and runs the handler in a task of its own: servers drop
    /// this future when the client hangs up, and neither a settlement under way nor
    /// a paid generation may end with it.
    ///
    /// `handler` is called once, or dropped before this returns. What it answers is
    /// drained whatever becomes of the client; one that fails, or panics, leaves the
    /// payment as a credit. Its future is dropped where the run ends before it does.
    pub async fn settle_and_run<H, F, R>(self: Box<Self>, handler: H) -> Response<Body>
    where
        H: FnOnce(Request<Bytes>) -> F + Send + 'static,
        F: Future<Output = Result<Response<R>, HandlerError>> + Send + 'static,
        R: HttpBody<Data = Bytes, Error: Into<HandlerError>> + Send + 'static,
    {
        let Self { shared, visit, asked, cors } = *self;
        let in_version_1 = head::pays_in_version_1(&visit.head.headers);
        let handler: Handler = Box::new(move |request| {
            let answered = handler(request);
            async move { Ok(answered.await?.map(|body| body.map_err(Into::into).boxed_unsync())) }.boxed()
        });
        with(cors, spoken(in_version_1, sell(&shared, visit, asked, handler).await))
    }
}

async fn sell(shared: &Arc<Shared>, visit: Visit, asked: Asked, handler: Handler) -> Response<Body> {
    let Asked { job, presented, body } = asked;
    // What can be on no record is refused without waiting for anything.
    let place: Option<Place<SharedBody>> =
        match presented.map(|presented| shared.places.enter(&presented, job.sale.caller)) {
            Some(Err(none)) => return no_place(shared, &job.payment, none).await,
            Some(Ok(place)) => Some(place),
            None => None,
        };
    let body = match &place {
        Some(place) => body.in_place(place),
        None => body,
    };
    let (client, answer) = oneshot::channel();
    // Held here, and by the answer's body afterwards: both go with the connection.
    let (connection, waiting) = Connection::new();
    let running = Arc::clone(shared);
    tokio::spawn(async move {
        let request = (visit.head, body.bytes.clone());
        run::serve(running, handler, request, job, client, waiting).await;
        drop((place, body));
    });
    let answer = answer.await.unwrap_or_else(|_| answers::trouble(&GateError::Gate));
    answer.map(|body| body.attended(connection))
}

/// What is said to a payment that no place was found for.
async fn no_place(shared: &Shared, payment: &PaymentPayload, none: NoPlace) -> Response<Body> {
    let too_many = || {
        let seconds = shared.limits.retry_after_seconds;
        answers::trouble_after(&GateError::TooManyInFlight, None, Some(seconds))
    };
    match none {
        NoPlace::Full => too_many(),
        NoPlace::Copies => match shared.facilitator.copy_too_many(payment).await {
            PayOutcome::Pending { receipt, retry_after_seconds } => {
                answers::pending(&receipt, retry_after_seconds)
            }
            _ => too_many(),
        },
    }
}
