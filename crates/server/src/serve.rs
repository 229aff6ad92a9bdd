//! `quittance serve`: the facilitator API over HTTP.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::header::{ALLOW, CACHE_CONTROL, ContentType, RETRY_AFTER};
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer};
use quittance_actix::{Connections, ReadOn};
use quittance_facilitator::config::Config;
use quittance_facilitator::{Asker, Callers, Facilitator, Unknown};
use quittance_protocol::ErrorCode;
use serde_json::json;

use crate::bodies::Bodies;
use crate::intake::{self, BODY_BYTES_MAX};
use crate::monitor::Monitor;
use crate::status;
use crate::success::{Success, watchful};
use crate::{CommandError, say_listening};
use crate::{admin, api_key, doctor};

/// What all workers share.
struct Shared {
    facilitator: Facilitator,
    callers: Callers,
    body_max: Duration,
    bodies: Bodies,
    monitor: Monitor,
    /// Monitors have a port of their own.
    has_admin: bool,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(path: &Path) -> Result<ExitCode, CommandError> {
    let config = Config::load(path)?;
    if config.facilitator.is_some() {
        return Err("[facilitator] is for gates, which have payments settled elsewhere; `serve` settles \
                    them itself: take the section out, or run `quittance gateway`"
            .into());
    }
    doctor::at_start(&config);
    actix_web::rt::System::new().block_on(async move {
        let facilitator = Facilitator::start(&config).await?;
        facilitator.serve_merchants(&config.merchants).await?;
        let shared = Shared {
            facilitator: facilitator.clone(),
            callers: Callers::new(&config.server)?,
            body_max: Duration::from_secs(config.merchants.body_seconds_max),
            bodies: Bodies::default(),
            monitor: Monitor::new(facilitator.clone(), &config, None)?,
            has_admin: config.admin_listen().is_some(),
        };
        let admin = admin::server(&config, &shared.monitor)?;
        let admin = admin.map(|server| (server.handle(), actix_web::rt::spawn(server)));
        let shared = Data::new(shared);
        let connections = Connections::new(&config.server)?;
        let server = watchful!(HttpServer::new(move || app(shared.clone())))
            .workers(config.server.workers.max(1))
            .max_connections(connections.per_worker())
            .on_connect(connections.counter())
            .client_request_timeout(Duration::from_secs(config.server.header_seconds_max))
            .keep_alive(Duration::from_secs(config.server.keep_alive_seconds))
            .client_disconnect_timeout(Duration::ZERO)
            .shutdown_timeout(config.server.shutdown_seconds)
            .bind(&config.server.listen)
            .map_err(|e| format!("cannot listen on server.listen: {e}"))?;
        if server.addrs().iter().any(|address| !address.ip().is_loopback()) {
            facilitator.listens_to_others();
        }
        say_listening(&server.addrs());
        server.run().await?;
        if let Some((handle, running)) = admin {
            handle.stop(true).await;
            running.await??;
        }
        facilitator.shutdown().await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

fn app(
    shared: Data<Shared>,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .wrap(ReadOn)
        .app_data(shared)
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .route("/verify", web::post().to(verify))
        .route("/settle", web::post().to(settle))
        .route("/accepts", web::post().to(accepts))
        .route("/supported", web::get().to(supported))
        .route("/supported", web::head().to(supported))
        .route("/metrics", web::get().to(metrics))
        .route("/metrics", web::head().to(metrics))
        .route("/status", web::get().to(status))
        .route("/status/{page:.*}", web::get().to(status))
        .route("/healthz", web::get().to(healthz))
        .route("/healthz", web::head().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/readyz", web::head().to(readyz))
        .default_service(web::to(otherwise))
}

impl Shared {
    /// Who calls, before anything of the body is read.
    fn known(&self, req: &HttpRequest) -> Result<Asker, Unknown> {
        let peer = req.peer_addr().map(|address| address.ip());
        let name = self.callers.header().name();
        let lines: Vec<_> = req.headers().get_all(name).filter_map(|value| value.to_str().ok()).collect();
        let caller = self.callers.caller(peer, lines.into_iter());
        self.facilitator.asker(api_key::shown(req.headers()), caller)
    }

    /// The same, or the answer to whom nobody knows.
    fn asker(&self, req: &HttpRequest) -> Result<Asker, Box<HttpResponse>> {
        self.known(req).map_err(|unknown| Box::new(api_key::refused(req.path(), unknown.why)))
    }
}

async fn verify(shared: Data<Shared>, req: HttpRequest, payload: web::Payload) -> HttpResponse {
    let asker = match shared.asker(&req) {
        Ok(asker) => asker,
        Err(answer) => return *answer,
    };
    let held = shared.bodies.begin(asker.caller);
    let (request, dialect) = match intake::read(&req, payload, held, shared.body_max).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let answer = shared.facilitator.verify(request, asker).await;
    let seconds = answer.other.get("retry_after_seconds").and_then(serde_json::Value::as_u64);
    said(answer.invalid_reason, seconds).json(dialect.verified(answer))
}

async fn settle(shared: Data<Shared>, req: HttpRequest, payload: web::Payload) -> HttpResponse {
    let (asker, unknown) = match shared.known(&req) {
        Ok(asker) => (asker, None),
        Err(Unknown { why, former: Some(former) }) => (former, Some(why)),
        Err(Unknown { why, former: None }) => return api_key::refused(req.path(), why),
    };
    let held = shared.bodies.begin(asker.caller);
    let (request, dialect) = match intake::read(&req, payload, held, shared.body_max).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let answer = match unknown {
        None => shared.facilitator.settle(request, asker).await,
        // It may have been told that the outcome is open, before its key ended.
        Some(why) => match shared.facilitator.settle_on_record(&request, &asker).await {
            Some(answer) => answer,
            None => return api_key::refused(req.path(), why),
        },
    };
    let (code, seconds) = (answer.response.error_reason, answer.response.retry_after_seconds);
    let response = dialect.settled(answer.response);
    let Some(telling) = answer.telling else {
        return said(code, seconds).json(response);
    };
    match serde_json::to_vec(&response) {
        Ok(bytes) => {
            said(None, None).content_type(ContentType::json()).body(Success::new(bytes.into(), telling))
        }
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// Everything about a payment is 200 with a code, but for who asked too often: 429.
fn said(code: Option<ErrorCode>, retry_after_seconds: Option<u64>) -> HttpResponseBuilder {
    let mut answer = match code {
        Some(ErrorCode::TooManyRequests) => HttpResponse::TooManyRequests(),
        _ => HttpResponse::Ok(),
    };
    answer.insert_header((CACHE_CONTROL, "no-store"));
    if let Some(seconds) = retry_after_seconds {
        answer.insert_header((RETRY_AFTER, seconds));
    }
    answer
}

async fn accepts(shared: Data<Shared>, req: HttpRequest, payload: web::Payload) -> HttpResponse {
    let asker = match shared.asker(&req) {
        Ok(asker) => asker,
        Err(answer) => return *answer,
    };
    let held = shared.bodies.begin(asker.caller);
    let asked = match intake::read_object(&req, payload, held, shared.body_max).await {
        Ok(asked) => asked,
        Err(answer) => return *answer,
    };
    match shared.facilitator.accepts_for(asked, &asker) {
        Ok(answer) => said(None, None).json(answer),
        Err(error) => *intake::bad(error.to_string()),
    }
}

/// For everybody, and with a key on the merchant's own terms.
async fn supported(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    if api_key::shown(req.headers()).is_none() {
        return HttpResponse::Ok().json(shared.facilitator.supported());
    }
    match shared.asker(&req) {
        Ok(asker) => said(None, None).json(shared.facilitator.supported_for(&asker)),
        Err(answer) => *answer,
    }
}

/// They name merchants and what they sell: where others can call and need a key, this host's alone.
async fn metrics(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    let may = !shared.facilitator.is_for_known_only() || status::is_of_this_host(&req);
    match may && !shared.has_admin {
        true => shared.monitor.metrics(),
        false => not_found().await,
    }
}

/// How everything stands, for `quittance status` and browsers on this host; others find nothing.
async fn status(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    match status::is_of_this_host(&req) && !shared.has_admin {
        true => shared.monitor.status(&req).await,
        false => not_found().await,
    }
}

/// What is asked of a path by a method that it does not take, or of no path of ours. `/metrics` and
/// `/status` are there for this host only, so nobody is told of them.
async fn otherwise(req: HttpRequest) -> HttpResponse {
    let allowed = match req.path() {
        "/verify" | "/settle" | "/accepts" => "POST",
        "/supported" | "/healthz" | "/readyz" => "GET, HEAD",
        _ => return not_found().await,
    };
    let error = json!({ "error": format!("this path takes {allowed}; see GET /supported") });
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).json(error)
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": "not found; see GET /supported" }))
}

async fn healthz(shared: Data<Shared>) -> HttpResponse {
    shared.monitor.healthz()
}

async fn readyz(shared: Data<Shared>) -> HttpResponse {
    shared.monitor.readyz().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn what_takes_another_method_is_405_and_names_it() {
        let app = actix_web::App::new().default_service(web::to(otherwise));
        let app = actix_web::test::init_service(app).await;
        for (method, path, status, allowed) in [
            ("GET", "/verify", 405, Some("POST")),
            ("PUT", "/settle", 405, Some("POST")),
            ("HEAD", "/accepts", 405, Some("POST")),
            ("POST", "/supported", 405, Some("GET, HEAD")),
            ("DELETE", "/healthz", 405, Some("GET, HEAD")),
            ("POST", "/metrics", 404, None),
            ("POST", "/status", 404, None),
            ("GET", "/verify/", 404, None),
        ] {
            let request = actix_web::test::TestRequest::default().method(method.parse().unwrap()).uri(path);
            let answer = actix_web::test::call_service(&app, request.to_request()).await;
            let said = answer.headers().get(ALLOW).map(|allow| allow.to_str().unwrap());
            assert_eq!((answer.status().as_u16(), said), (status, allowed), "{method} {path}");
        }
    }

    /// A status alone is what `intake` says of a request that is none.
    #[test]
    fn the_statuses_are_those_of_the_page_of_error_codes() {
        let page = include_str!("../../../docs/errors.md");
        for code in ErrorCode::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{code}` |"))).unwrap();
            let cell = row.split(" | ").nth(2).unwrap();
            for (status, _) in cell.split("; ").filter_map(|answer| answer.split_once(' ')) {
                let said = said(Some(*code), None).finish().status();
                assert_eq!(status, said.as_str(), "docs/errors.md, {code}");
            }
        }
    }
}
