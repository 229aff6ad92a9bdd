//! The way of a request up to the payment: route, credentials, body, price.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, rt};
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use quittance_facilitator::Sale;
use quittance_protocol::{ErrorCode, Fingerprint, IdentifierHash, PaymentPayload, ResourceInfo};
use quittance_quote::{Price, PriceRequest, Route};
use tokio::sync::oneshot;

use crate::answers::{self, PAYMENT_REQUIRED_TEXT};
use crate::gate::Shared;
use crate::paid::Bypassed;
use crate::{GateError, discovery, intake, run};

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
    if req.method() == Method::GET
        && let Some(document) = discovery::document_at(shared, &path)
    {
        return Ok(Served::early(req, discovery::answer(shared, document)));
    }
    match shared.pricer.route(req.method().as_str(), &path) {
        Route::Unknown => Ok(Served::early(req, answers::trouble(&GateError::UnknownEndpoint))),
        Route::Free => pass(service, req).await,
        Route::Paid(endpoint) => {
            if !intake::has_payment(req.headers()) {
                let method = req.method().as_str().to_owned();
                if let Some(identity) = shared.authenticate(&method, &path, req.headers()).await {
                    req.extensions_mut().insert(Bypassed(identity));
                    return pass(service, req).await;
                }
            }
            match quote(shared, &mut req, &path, endpoint).await {
                Ok(job) => sell(shared, service, req, job).await,
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
    pub(crate) resource: ResourceInfo,
}

/// From the request to its price and payment, or to the answer it gets without
/// either. Does no I/O but reading the body (P4).
async fn quote(
    shared: &Arc<Shared>,
    req: &mut ServiceRequest,
    path: &str,
    endpoint: usize,
) -> Result<Job, HttpResponse<BoxBody>> {
    intake::check_head(req, &shared.limits).map_err(|error| answers::trouble(&error))?;
    let body = intake::read_body(req, &shared.limits).await.map_err(|error| answers::trouble(&error))?;
    // The price comes first even when a payment is there: a request that would
    // be refused must get the host's 400 before anything is claimed.
    let price = price(shared, req, path, &body)?;
    let resource = resource(shared, req, endpoint);
    let payment = match intake::payment(req.headers()) {
        Ok(Some(payment)) => payment,
        Ok(None) => {
            let message = "sign one of `accepts` and repeat the request with PAYMENT-SIGNATURE";
            return Err(unpaid(shared, &price, resource, None, message));
        }
        Err(error) => {
            let code = error.wire_code().unwrap_or(ErrorCode::InvalidPayload);
            return Err(unpaid(shared, &price, resource, Some(code), &error.to_string()));
        }
    };
    let method = req.method().as_str();
    let sale = Sale {
        service: price.service,
        fingerprint: Fingerprint::of_request(method, path, req.query_string(), &body),
        resource: format!("{method} {path}"),
        identifier: payment.payment_identifier().map(IdentifierHash::of),
    };
    Ok(Job { payment, sale, price, resource })
}

#[allow(clippy::result_large_err)] // an answer, not a rare error
fn price(
    shared: &Shared,
    req: &ServiceRequest,
    path: &str,
    body: &Bytes,
) -> Result<Price, HttpResponse<BoxBody>> {
    let request = PriceRequest {
        method: req.method().as_str(),
        path,
        query: req.query_string(),
        content_type: req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()),
        body,
    };
    shared.pricer.price(&request).map_err(answers::refusal)
}

/// What the offer says is sold.
fn resource(shared: &Shared, req: &ServiceRequest, endpoint: usize) -> ResourceInfo {
    let origin = shared.public_url.clone().unwrap_or_else(|| {
        let connection = req.connection_info();
        format!("{}://{}", connection.scheme(), connection.host())
    });
    let target = req.uri().path_and_query().map_or("/", |target| target.as_str());
    let endpoint = shared.pricer.endpoints().into_iter().nth(endpoint);
    let (description, mime_type) =
        endpoint.map_or((None, None), |endpoint| (Some(endpoint.description), Some(endpoint.mime_type)));
    ResourceInfo { url: format!("{origin}{target}"), description, mime_type, ..ResourceInfo::default() }
}

/// A fresh offer (402), or 503 when there is none.
///
/// `code` is the reason a payment was refused; `None` when there was none.
pub(crate) fn unpaid(
    shared: &Shared,
    price: &Price,
    resource: ResourceInfo,
    code: Option<ErrorCode>,
    message: &str,
) -> HttpResponse<BoxBody> {
    let error = code.map_or(PAYMENT_REQUIRED_TEXT, ErrorCode::as_str);
    match shared.till.offer(price.service, resource, error) {
        Ok(offer) => answers::offer(&offer, code.unwrap_or(ErrorCode::PaymentRequired), message),
        Err(nothing) => answers::nothing_to_offer(nothing),
    }
}

/// Takes the payment and runs the handler in a task of its own: actix drops
/// this future when the client hangs up, and neither a settlement under way nor
/// a paid generation may end with it.
async fn sell<S, B>(
    shared: &Arc<Shared>,
    service: Rc<S>,
    req: ServiceRequest,
    job: Job,
) -> Result<Served, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let Ok(permit) = Arc::clone(&shared.in_flight).try_acquire_owned() else {
        let seconds = shared.limits.retry_after_seconds;
        return Ok(Served::early(
            req,
            answers::trouble_after(&GateError::TooManyInFlight, None, Some(seconds)),
        ));
    };
    let (client, answer) = oneshot::channel();
    let shared = Arc::clone(shared);
    rt::spawn(async move {
        run::serve(shared, service, req, job, client).await;
        drop(permit);
    });
    Ok(answer
        .await
        .unwrap_or_else(|_| Served { request: None, response: answers::trouble(&GateError::Gate) }))
}
