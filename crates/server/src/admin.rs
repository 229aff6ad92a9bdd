//! Monitors and the operator's pages on a port of their own.

use actix_web::dev::Server;
use actix_web::http::Method;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use quittance_facilitator::AdminFrom;
use quittance_facilitator::config::Config;

use crate::monitor::Monitor;
use crate::{CommandError, page, status};

struct Admin {
    monitor: Monitor,
    from: AdminFrom,
}

/// A server where the configuration names an address for one; it stops when it is told to.
pub(crate) fn server(config: &Config, monitor: &Monitor) -> Result<Option<Server>, CommandError> {
    let Some(listen) = config.admin_listen() else { return Ok(None) };
    let admin = Data::new(Admin { monitor: monitor.clone(), from: AdminFrom::new(&config.server)? });
    let server = HttpServer::new(move || App::new().app_data(admin.clone()).default_service(web::to(answer)))
        .workers(1)
        .disable_signals()
        .bind(listen)
        .map_err(|error| format!("cannot listen on admin_listen: {error}"))?;
    for address in server.addrs() {
        tracing::info!("monitors are answered on http://{address}");
    }
    Ok(Some(server.run()))
}

async fn answer(request: HttpRequest, admin: Data<Admin>) -> HttpResponse {
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return HttpResponse::MethodNotAllowed().finish();
    }
    match request.uri().path() {
        "/healthz" => admin.monitor.healthz(),
        "/readyz" => admin.monitor.readyz().await,
        "/metrics" => admin.monitor.metrics(),
        path if is_status(path) && may_see(&request, &admin.from) => admin.monitor.status(&request).await,
        _ => HttpResponse::NotFound().finish(),
    }
}

/// Whether it is [`Monitor::status`] that answers.
pub(crate) fn is_status(path: &str) -> bool {
    path == "/status" || page::is_page(path)
}

/// Payers and the words of failures are the operator's: this host's, and theirs whom the operator names.
/// Nobody's who comes through a proxy: whom that lets in is not known here.
fn may_see(request: &HttpRequest, from: &AdminFrom) -> bool {
    let peer = request.peer_addr().map(|peer| peer.ip());
    status::is_of_this_host(request) || (from.contains(peer) && !status::is_forwarded(request))
}
