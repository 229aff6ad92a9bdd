//! What the gate does behind an early answer, for whatever else a server mounts.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use futures::future::LocalBoxFuture;
use quittance_gate::drain::DrainBudget;

use crate::unread_body::{self, UnreadBody};

/// Middleware that reads on, at a bounded rate and for some seconds, where an answer is there
/// before its request's body: who still writes is not cut off before it reads why it was
/// refused, and a crowd of those takes no server's time from the others. The gate does so by
/// itself.
///
/// It ends with the connection closed. Where all of an `HttpServer` is behind it or the gate,
/// `.client_disconnect_timeout(Duration::ZERO)` leaves out what actix would read after that, as
/// fast as it comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOn;

impl<S, B> Transform<S, ServiceRequest> for ReadOn
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = ReadOnService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(ReadOnService { service: Rc::new(service), budget: Arc::default() }))
    }
}

/// One worker's [`ReadOn`] around one service.
pub struct ReadOnService<S> {
    service: Rc<S>,
    budget: Arc<DrainBudget>,
}

impl<S, B> Service<ServiceRequest> for ReadOnService<S>
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
        let budget = Arc::clone(&self.budget);
        Box::pin(async move {
            let unread = UnreadBody::watch(&mut req);
            let answer = service.call(req).await.map(ServiceResponse::map_into_boxed_body);
            unread_body::drain_behind(unread, answer, &budget).await
        })
    }
}
