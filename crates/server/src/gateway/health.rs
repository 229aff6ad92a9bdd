//! Looks at upstreams: whether they take connections, and what their health path says.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::time::{Instant, sleep};

use crate::gateway::metrics::Metrics;
use crate::gateway::pricer::Catalogues;
use crate::gateway::upload::Upload;
use crate::gateway::upstream::Upstream;

/// How long the answer to a look may take.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// How often an upstream that refused connections is tried again.
const KNOCK: Duration = Duration::from_secs(1);

/// Looks once at each before anybody can pay.
pub(crate) async fn first(catalogues: &Catalogues, metrics: &Metrics) {
    let looks = catalogues.upstreams().map(|upstream| async {
        let well = match &upstream.config.health_path {
            Some(path) => {
                let well = is_well(upstream, path).await;
                upstream.circuit.looked_first(well);
                well
            }
            None => {
                let well = upstream.is_taking().await;
                if !well {
                    upstream.circuit.refused_at_once(Instant::now());
                }
                well
            }
        };
        if !well {
            tracing::warn!(upstream = upstream.name, "does not answer; nothing of it is sold until it does");
        }
        metrics.set_closed(&upstream.name, !well);
    });
    futures::future::join_all(looks).await;
}

/// Looks for as long as the program runs.
pub(crate) async fn watch(upstream: Arc<Upstream>, metrics: Metrics) {
    let pause = Duration::from_secs(upstream.config.health_seconds);
    let mut was_closed = upstream.circuit.closed_for(Instant::now()).is_some();
    let mut looked = Instant::now();
    loop {
        sleep(pause.min(KNOCK)).await;
        knock(&upstream).await;
        if let Some(path) = upstream.config.health_path.as_deref().filter(|_| looked.elapsed() >= pause) {
            looked = Instant::now();
            upstream.circuit.looked(is_well(&upstream, path).await);
        }
        let closed = upstream.circuit.closed_for(Instant::now()).is_some();
        metrics.set_closed(&upstream.name, closed);
        if closed != was_closed {
            match closed {
                true => tracing::warn!(
                    upstream = upstream.name,
                    "nothing of it is sold: it does not answer, or fails"
                ),
                false => tracing::info!(upstream = upstream.name, "sold again"),
            }
        }
        was_closed = closed;
    }
}

/// What refused connections closed, a connection opens: a restart is over when it is over.
async fn knock(upstream: &Upstream) {
    if !upstream.circuit.is_closed_by_refusal(Instant::now()) {
        return;
    }
    match upstream.is_taking().await {
        true => upstream.circuit.taken(),
        false => upstream.circuit.refused_at_once(Instant::now()),
    }
}

async fn is_well(upstream: &Upstream, path: &str) -> bool {
    let Some(uri) = upstream.uri(path) else { return false };
    let mut request = Request::new(Upload::Whole(None));
    *request.uri_mut() = uri;
    let wait = LOOK_MAX.min(Duration::from_secs(upstream.config.health_seconds).max(Duration::from_secs(1)));
    upstream.send(request, wait, false).await.is_ok_and(|answer| answer.status().is_success())
}
