//! The way of a request up to the payment: route, credentials, body, price.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, rt};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use quittance_facilitator::{Connection, NoPlace, PayOutcome, Place, Presented, Sale};
use quittance_protocol::{Amount, ErrorCode, Fingerprint, PaymentPayload, ResourceRef};
use quittance_quote::{Price, Route};
use tokio::sync::oneshot;

use crate::answers::{self, PAYMENT_REQUIRED_MESSAGE, PAYMENT_REQUIRED_TEXT};
use crate::bytes::{Held, Sender};
use crate::gate::Shared;
use crate::intake::Names;
use crate::paid::Bypassed;
use crate::pricing::{self, NoPrice};
use crate::{GateError, body, discovery, intake, replay, run, unserved};

/// Room for an offer on two networks and its reason; a longer one grows.
const OFFER_BYTES: usize = 2_048;

/// The gate as actix-web middleware; see [`crate::Gate::middleware`].
#[derive(Clone)]
pub struct GateMiddleware {
    shared: Arc<Shared>,
}

impl GateMiddleware {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S, B> Transform<S, ServiceRequest> for GateMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = GateService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(GateService { service: Rc::new(service), shared: Arc::clone(&self.shared) }))
    }
}

/// One worker's gate around one service.
pub struct GateService<S> {
    service: Rc<S>,
    shared: Arc<Shared>,
}

impl<S, B> Service<ServiceRequest> for GateService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, Error>>;

    forward_ready!(service);

    fn call(&self, req: ServiceRequest) -> Self::Future {
        let service = Rc::clone(&self.service);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let cors = shared.cors.verdict(req.headers());
            let mut served = admit(&shared, service, req).await?;
            cors.apply(served.response.headers_mut());
            served.deliver()
        })
    }
}

/// An answer, with the request it belongs to unless that was lost with a
/// handler that panicked.
pub(crate) struct Served {
    pub(crate) request: Option<HttpRequest>,
    pub(crate) response: HttpResponse<BoxBody>,
}

impl Served {
    pub(crate) fn early(req: ServiceRequest, response: HttpResponse<BoxBody>) -> Self {
        Self { request: Some(req.into_parts().0), response }
    }

    fn deliver(self) -> Result<ServiceResponse<BoxBody>, Error> {
        match self.request {
            Some(request) => Ok(ServiceResponse::new(request, self.response)),
            None => Err(InternalError::from_response(GateError::HandlerFailed, self.response).into()),
        }
    }
}

/// Decides which way the request goes.
async fn admit<S, B>(shared: &Arc<Shared>, service: Rc<S>, mut req: ServiceRequest) -> Result<Served, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    if let Some(answer) = shared.cors.preflight(&req) {
        return Ok(Served::early(req, answer));
    }
    let path = intake::canonical_path(req.match_info().as_str()).map(str::to_owned);
    let Some(path) = path else {
        return Ok(Served::early(req, answers::trouble(&GateError::UnknownEndpoint)));
    };
    // Monitors and load balancers ask with HEAD what they would GET.
    let asked = if req.method() == Method::HEAD { Method::GET } else { req.method().clone() };
    if asked == Method::GET
        && let Some(document) = discovery::document_at(shared, &path)
    {
        return Ok(Served::early(req, discovery::answer(shared, document)));
    }
    let route = match shared.pricer.route(req.method().as_str(), &path) {
        Route::Unknown if *req.method() != asked => match shared.pricer.route(asked.as_str(), &path) {
            Route::Free => Route::Free,
            // What is sold is sold to those who take it.
            Route::Paid(_) | Route::Unknown => Route::Unknown,
        },
        route => route,
    };
    match route {
        // What is listed no more may have been sold.
        Route::Unknown if intake::has_payment(req.headers()) => {
            let answer = unserved::answer(shared, &mut req, &path, &GateError::UnknownEndpoint).await;
            Ok(Served::early(req, answer))
        }
        Route::Unknown => Ok(Served::early(req, answers::trouble(&GateError::UnknownEndpoint))),
        Route::Free => pass(service, req).await,
        Route::Paid(endpoint) => {
            let paying = intake::has_payment(req.headers());
            if !paying {
                let method = req.method().as_str();
                if let Some(identity) = shared.authenticate(method, &path, req.headers()).await {
                    req.extensions_mut().insert(Bypassed(identity));
                    return pass(service, req).await;
                }
            }
            match quote(shared, &mut req, &path, endpoint, paying).await {
                Ok(asked) => sell(shared, service, req, asked).await,
                Err(answer) => Ok(Served::early(req, answer)),
            }
        }
    }
}

/// Straight to the handler, tied to the connection as ever.
async fn pass<S, B>(service: Rc<S>, req: ServiceRequest) -> Result<Served, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let (request, response) = service.call(req).await?.into_parts();
    Ok(Served { request: Some(request), response: response.map_into_boxed_body() })
}

/// A request that carries a payment for a known price.
pub(crate) struct Job {
    pub(crate) payment: PaymentPayload,
    pub(crate) sale: Sale,
    pub(crate) price: Price,
    /// What a fresh offer would be for, if this payment is refused.
    pub(crate) resource: Resource,
}

/// A [`Job`] that has no place yet.
struct Asked {
    job: Job,
    /// Whose place; `None` where the payment can be on no record and is refused at once.
    presented: Option<Presented>,
    body: SharedBody,
}

/// A body that waits for its handler, with the bytes that it is counted for. Copies
/// of one payment share one.
#[derive(Clone)]
pub(crate) struct SharedBody {
    fingerprint: Fingerprint,
    bytes: Bytes,
    _held: Arc<Held>,
}

impl SharedBody {
    /// The one that the copies in this place have, if it is the same.
    fn in_place(self, place: &Place<Self>) -> Self {
        let mut shared = place.shared();
        match &*shared {
            Some(first) if first.fingerprint == self.fingerprint => first.clone(),
            Some(_) => self,
            None => shared.insert(self).clone(),
        }
    }
}

/// What the offer says is sold.
pub(crate) struct Resource {
    url: String,
    /// Index into [`Shared::listed`].
    endpoint: usize,
}

/// From the request to its price and payment, or to the answer it gets without
/// either. Does no I/O but reading the body (P4).
async fn quote(
    shared: &Arc<Shared>,
    req: &mut ServiceRequest,
    path: &str,
    endpoint: usize,
    paying: bool,
) -> Result<Asked, HttpResponse<BoxBody>> {
    if let Err(error) = intake::check_head(req, &shared.limits) {
        return Err(refused_unread(shared, req, path, paying, &error).await);
    }
    let payment = intake::payment(req.headers());
    let presented = match &payment {
        Ok(Some(payment)) => shared.till.presented(payment),
        Ok(None) | Err(_) => None,
    };
    let sender = match presented {
        Some(Presented { is_signed: true, has_history: true, .. }) => Sender::Customer,
        Some(Presented { is_signed: true, .. }) => Sender::Signed,
        _ => Sender::Unpaid,
    };
    let mut held = Held::of(intake::caller(req, &shared.callers));
    let room = |more| shared.bodies.take(sender, &mut held, more);
    let body = match intake::read_body(req, &shared.limits, room).await {
        Ok(body) => body,
        Err(error) => return Err(refused_unread(shared, req, path, paying, &error).await),
    };
    let held = Arc::new(held);
    let resource = Resource { url: intake::resource_url(req, shared.public_url.as_deref()), endpoint };
    if !paying {
        // Without a payment only the sum is of use.
        let service = pricing::price(shared, req, path, &body, (sender, &held), |pricer, request| {
            pricer.service(request).map_err(NoPrice::from)
        });
        let service = service.await.map_err(NoPrice::answer)?;
        return Err(match payment {
            Err(error) => unpaid_because(shared, service, &resource, &error),
            Ok(_) => unpaid(shared, service, &resource, None, PAYMENT_REQUIRED_MESSAGE),
        });
    }
    // The price comes first even when a payment is there: a request that would
    // be refused must get the host's 400 before anything is claimed.
    let price = pricing::price(shared, req, path, &body, (sender, &held), |pricer, request| {
        pricer.price(request).map_err(NoPrice::from)
    });
    let price = match price.await {
        Ok(price) => price,
        Err(none) => {
            // A catalogue that no longer sells this may have sold it.
            return Err(match on_record(shared, req, path, &body).await {
                Some(known) => known,
                None => unserved::refused(shared, req, none.answer()).await,
            });
        }
    };
    let payment = match payment {
        Ok(Some(payment)) => payment,
        Ok(None) => return Err(unpaid(shared, price.service, &resource, None, PAYMENT_REQUIRED_MESSAGE)),
        Err(error) => return Err(unpaid_because(shared, price.service, &resource, &error)),
    };
    let sale = sale(shared, req, path, &body, (price.service, &payment));
    let body = SharedBody { fingerprint: sale.fingerprint, bytes: body, _held: held };
    Ok(Asked { job: Job { payment, sale, price, resource }, presented, body })
}

/// What is said where nothing is known of the body.
async fn refused_unread(
    shared: &Arc<Shared>,
    req: &mut ServiceRequest,
    path: &str,
    paying: bool,
    error: &GateError,
) -> HttpResponse<BoxBody> {
    match error {
        GateError::BodyTooLarge { .. } | GateError::UrlTooLong { .. } if paying => {
            unserved::answer(shared, req, path, error).await
        }
        // Only others are in its way, for a moment.
        GateError::TooManyBytes { .. } => {
            answers::trouble_after(error, None, Some(shared.limits.retry_after_seconds))
        }
        _ => answers::trouble(error),
    }
}

fn sale(
    shared: &Shared,
    req: &ServiceRequest,
    path: &str,
    body: &Bytes,
    sold: (Amount, &PaymentPayload),
) -> Sale {
    let fingerprint = Fingerprint::of_request(req.method().as_str(), path, req.query_string(), body);
    sale_of(shared, req, path, fingerprint, sold)
}

pub(crate) fn sale_of(
    shared: &Shared,
    req: &ServiceRequest,
    path: &str,
    fingerprint: Fingerprint,
    (service, payment): (Amount, &PaymentPayload),
) -> Sale {
    let method = req.method().as_str();
    let Names { identifier, idempotency, malformed } = intake::names(payment, req.headers());
    Sale {
        service,
        fingerprint,
        resource: format!("{method} {path}"),
        identifier,
        idempotency,
        malformed,
        caller: intake::caller(req, &shared.callers),
    }
}

/// What a request without a price any more bought earlier: the books come before
/// the catalogue. Runs nothing and claims nothing.
async fn on_record(
    shared: &Arc<Shared>,
    req: &ServiceRequest,
    path: &str,
    body: &Bytes,
) -> Option<HttpResponse<BoxBody>> {
    let payment = intake::payment(req.headers()).ok()??;
    let sale = sale(shared, req, path, body, (Amount::ZERO, &payment));
    recalled(shared, req, &payment, &sale).await
}

/// What the books say of a payment whose request cannot be sold now.
pub(crate) async fn recalled(
    shared: &Arc<Shared>,
    req: &ServiceRequest,
    payment: &PaymentPayload,
    sale: &Sale,
) -> Option<HttpResponse<BoxBody>> {
    match shared.till.recall(payment, sale).await? {
        PayOutcome::Answered { payment, answer, receipt } => {
            Some(replay::replay(shared, req.headers(), payment, answer, &receipt).await)
        }
        PayOutcome::Pending { receipt, retry_after_seconds } => {
            Some(answers::pending(&receipt, retry_after_seconds))
        }
        PayOutcome::Conflict { code, message, receipt } => {
            Some(answers::conflict(code, &message, receipt.as_ref()))
        }
        PayOutcome::Unavailable { retry_after_seconds, reason } => {
            Some(answers::unavailable(retry_after_seconds, reason))
        }
        PayOutcome::Granted(_) | PayOutcome::Refused(_) => None,
    }
}

/// A fresh offer because of what is wrong with the payment.
fn unpaid_because(
    shared: &Shared,
    service: Amount,
    resource: &Resource,
    error: &GateError,
) -> HttpResponse<BoxBody> {
    let code = error.wire_code().unwrap_or(ErrorCode::InvalidPayload);
    unpaid(shared, service, resource, Some(code), &error.to_string())
}

/// A fresh offer (402), or 503 when there is none.
///
/// `code` is the reason a payment was refused; `None` when there was none.
pub(crate) fn unpaid(
    shared: &Shared,
    service: Amount,
    resource: &Resource,
    code: Option<ErrorCode>,
    message: &str,
) -> HttpResponse<BoxBody> {
    let error = code.map_or(PAYMENT_REQUIRED_TEXT, ErrorCode::as_str);
    let listed = shared.listed.get(resource.endpoint).map(|listed| &listed.info);
    let resource = ResourceRef {
        url: &resource.url,
        description: listed.map(|info| info.description.as_str()),
        mime_type: listed.map(|info| info.mime_type.as_str()),
    };
    let mut offer = Vec::with_capacity(OFFER_BYTES);
    match shared.till.write_offer(service, resource, error, &mut offer) {
        Ok(()) => answers::offer(offer, code.unwrap_or(ErrorCode::PaymentRequired), message),
        Err(nothing) => answers::nothing_to_offer(&nothing, code.is_some()),
    }
}

/// Takes the payment and runs the handler in a task of its own: actix drops
/// this future when the client hangs up, and neither a settlement under way nor
/// a paid generation may end with it.
async fn sell<S, B>(
    shared: &Arc<Shared>,
    service: Rc<S>,
    mut req: ServiceRequest,
    asked: Asked,
) -> Result<Served, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let Asked { job, presented, body } = asked;
    // What can be on no record is refused without waiting for anything.
    let place = match presented.map(|presented| shared.places.enter(&presented, job.sale.caller)) {
        Some(Err(none)) => {
            let answer = no_place(shared, &job.payment, none).await;
            return Ok(Served::early(req, answer));
        }
        Some(Ok(place)) => Some(place),
        None => None,
    };
    // Only a request that may reach the handler gets its body back.
    let body = match &place {
        Some(place) => body.in_place(place),
        None => body,
    };
    intake::put_back(&mut req, &body.bytes);
    let (client, answer) = oneshot::channel();
    // Held here, and by the answer's body afterwards: both go with the connection.
    let (connection, waiting) = Connection::new();
    let shared = Arc::clone(shared);
    rt::spawn(async move {
        run::serve(shared, service, req, job, client, waiting).await;
        drop((place, body));
    });
    let Served { request, response } = answer
        .await
        .unwrap_or_else(|_| Served { request: None, response: answers::trouble(&GateError::Gate) });
    Ok(Served { request, response: body::attend(response, connection) })
}

/// What is said to a payment that no place was found for.
async fn no_place(shared: &Shared, payment: &PaymentPayload, none: NoPlace) -> HttpResponse<BoxBody> {
    match none {
        NoPlace::Full => {
            let seconds = shared.limits.retry_after_seconds;
            answers::trouble_after(&GateError::TooManyInFlight, None, Some(seconds))
        }
        NoPlace::Copies => match shared.till.copy_too_many(payment).await {
            PayOutcome::Pending { receipt, retry_after_seconds } => {
                answers::pending(&receipt, retry_after_seconds)
            }
            _ => {
                let seconds = shared.limits.retry_after_seconds;
                answers::trouble_after(&GateError::TooManyInFlight, None, Some(seconds))
            }
        },
    }
}
