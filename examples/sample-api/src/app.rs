//! The routes in actix-web.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use quittance_actix::Paid;

use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::host::Host;
use crate::route::Handler;
use crate::routes::{routes, unknown};

impl Host {
    /// Mounts every route on an application.
    pub fn configure(self: &Arc<Self>, config: &mut web::ServiceConfig) {
        config.app_data(web::Data::from(self.clone())).app_data(web::PayloadConfig::new(self.body_bytes_max));
        for route in routes(self.test_hooks) {
            let handler = route.handler;
            if route.method == http::Method::POST {
                let posted = move |host, req, paid, body| respond(handler, host, req, paid, body);
                config.route(route.path, web::post().to(posted));
            } else {
                let asked = move |host, req, paid| respond(handler, host, req, paid, Bytes::new());
                config.route(route.path, web::get().to(asked));
                config.route(route.path, web::head().to(asked));
            }
        }
        config.default_service(web::to(async || response(unknown())));
    }
}

async fn respond(
    handler: Handler,
    host: web::Data<Host>,
    req: HttpRequest,
    paid: Option<Paid>,
    body: Bytes,
) -> HttpResponse {
    let call = Call {
        method: req.method().as_str().parse().unwrap_or_default(),
        path: req.path().to_owned(),
        query: req.query_string().to_owned(),
        headers: quittance_actix::headers(req.headers()),
        body,
        paid: paid.map(|paid| (*paid).clone()),
    };
    match handler(host.into_inner(), call).await {
        Ok(answer) => response(answer),
        Err(error) => response(error.answer()),
    }
}

fn response(answer: Answer) -> HttpResponse {
    let (head, content) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in &head.headers {
        response.insert_header((name.as_str(), value.as_bytes()));
    }
    match content {
        Content::Whole(bytes) => response.body(bytes),
        Content::Pieces(pieces) => response.streaming(pieces),
    }
}
