//! The gate as actix-web middleware.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpMessage as _, HttpRequest};
use futures::future::LocalBoxFuture;
use quittance_gate::drain::DrainBudget;
use quittance_gate::{Arrival, Body, Entry, Gate, GateError, PricedRequest, Verdict};

use crate::bridge::{FromHandler, Left, park};
use crate::convert::{self, Incoming};
use crate::extract::Bypassed;
use crate::unread_body::{self, UnreadBody};

/// Mounts a [`Gate`] in an actix-web application.
pub trait Mount {
    /// The middleware, for `Scope::wrap` or `App::wrap`. It also answers the
    /// discovery documents where its scope covers them.
    fn middleware(&self) -> GateMiddleware;

    /// The discovery routes, for an application whose gated scope does not
    /// cover them: `App::configure(gate.discovery())`.
    fn discovery(&self) -> impl FnOnce(&mut ServiceConfig);
}

impl Mount for Gate {
    fn middleware(&self) -> GateMiddleware {
        GateMiddleware { gate: self.clone() }
    }

    fn discovery(&self) -> impl FnOnce(&mut ServiceConfig) {
        let gate = self.clone();
        move |config| {
            for document in gate.documents().to_vec() {
                let gate = gate.clone();
                let answer = move |req: HttpRequest| {
                    let asked = convert::headers(req.headers());
                    ready(convert::response(gate.document(document, &asked)))
                };
                config.route(document.path(), web::get().to(answer));
            }
        }
    }
}

/// The gate as actix-web middleware; see [`Mount::middleware`].
#[derive(Clone)]
pub struct GateMiddleware {
    gate: Gate,
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
        ready(Ok(GateService { service: Rc::new(service), gate: self.gate.clone(), budget: Arc::default() }))
    }
}

/// One worker's gate around one service.
pub struct GateService<S> {
    service: Rc<S>,
    gate: Gate,
    budget: Arc<DrainBudget>,
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

    fn call(&self, mut req: ServiceRequest) -> Self::Future {
        let service = Rc::clone(&self.service);
        let gate = self.gate.clone();
        let budget = Arc::clone(&self.budget);
        Box::pin(async move {
            let unread = UnreadBody::watch(&mut req);
            unread_body::drain_behind(unread, admit(&gate, service, req).await, &budget).await
        })
    }
}

async fn admit<S, B>(
    gate: &Gate,
    service: Rc<S>,
    mut req: ServiceRequest,
) -> Result<ServiceResponse<BoxBody>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let Some(head) = convert::head(&req) else {
        return Ok(early(req, (&GateError::UnknownEndpoint).into()));
    };
    let arrival = Arrival {
        peer: req.peer_addr().map(|address| address.ip()),
        local: Some(req.app_config().local_addr().ip()),
        secure: req.app_config().secure(),
        host: req.app_config().host(),
        path: Some(req.match_info().as_str()),
    };
    match gate.enter(head, &arrival).await {
        Entry::Answered(answer) => Ok(early(req, answer)),
        Entry::Pass { identity, cors, .. } => {
            if let Some(identity) = identity {
                req.extensions_mut().insert(Bypassed::new(identity));
            }
            pass(service, req, cors).await
        }
        Entry::Unpriced(unpriced) => {
            let body = Incoming(req.take_payload());
            match unpriced.quote(body).await {
                Ok(priced) => sell(service, req, priced).await,
                Err(answer) => Ok(early(req, answer)),
            }
        }
    }
}

/// An answer without the handler.
fn early(req: ServiceRequest, answer: http::Response<Body>) -> ServiceResponse<BoxBody> {
    req.into_response(convert::response(answer))
}

/// Straight to the handler, tied to the connection as ever.
async fn pass<S, B>(
    service: Rc<S>,
    req: ServiceRequest,
    cors: Verdict,
) -> Result<ServiceResponse<BoxBody>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let mut response = service.call(req).await?.map_into_boxed_body();
    let headers = response.headers_mut();
    for (name, value) in cors.lines(headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)) {
        convert::append(headers, &name, &value);
    }
    Ok(response)
}

/// The handler, if the payment buys a run; in a task that goes on without the connection.
async fn sell<S, B>(
    service: Rc<S>,
    req: ServiceRequest,
    priced: Box<PricedRequest>,
) -> Result<ServiceResponse<BoxBody>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let (handler, left) = park(service, req);
    let answer = priced.settle_and_run(|request| handler.call(request)).await;
    let Left { request, head } = left.await.unwrap_or_default();
    let response = match head.filter(|_| answer.extensions().get::<FromHandler>().is_some()) {
        Some(mut own) => {
            let (head, body) = answer.into_parts();
            *own.headers_mut() = convert::headers_out(&head.headers);
            own.set_body(convert::body(body))
        }
        None => convert::response(answer),
    };
    match request {
        Some(request) => Ok(ServiceResponse::new(request, response)),
        // It was lost with a handler that panicked.
        None => Err(InternalError::from_response(GateError::HandlerFailed, response).into()),
    }
}
