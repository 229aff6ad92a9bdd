//! Endpoints that serve another chain than the configured one, which the chain
//! crates ask nothing, and those that keep no history: here somebody is told.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::chain::Endpoints;
use crate::metrics::Metrics;
use crate::network::configured::ConfiguredNetwork;

/// Asks every endpoint for its chain, until told to stop. Apart from the tariff:
/// an endpoint that says nothing must not hold that up.
pub(crate) async fn run(
    net: Arc<ConfiguredNetwork>,
    pause: Duration,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let network = net.chain.network();
    let mut known: Vec<String> = Vec::new();
    let mut forgetful: Vec<usize> = Vec::new();
    loop {
        tell_of_history(&net, &metrics, &mut forgetful);
        let wrong = match net.chain.endpoints() {
            Some(endpoints) => endpoints.wrong_endpoints().await,
            None => Vec::new(),
        };
        metrics.wrong_endpoints(network, wrong.len());
        for endpoint in wrong.iter().filter(|endpoint| !known.contains(endpoint)) {
            tracing::error!(%network, endpoint, "an endpoint of another chain is left out; correct rpc_urls");
            metrics.alert(network, "wrong_chain");
        }
        for endpoint in known.iter().filter(|endpoint| !wrong.contains(endpoint)) {
            tracing::info!(%network, endpoint, "an endpoint is taken back");
        }
        known = wrong;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A payment that never landed ends by the word of two endpoints that keep a
/// history, or of one where no other does: whose word that is, people should know.
fn tell_of_history(net: &ConfiguredNetwork, metrics: &Metrics, known: &mut Vec<usize>) {
    let network = net.chain.network();
    let now = net.chain.endpoints().map(Endpoints::without_history).unwrap_or_default();
    let nobody = net.keeps_no_history();
    for endpoint in now.iter().filter(|endpoint| !known.contains(endpoint)) {
        match nobody {
            // What lands is settled as ever, so it is sold; a network that one lost transaction
            // could close would be a switch for whoever sends it.
            true => tracing::error!(
                %network,
                endpoint,
                "no endpoint keeps a history of transactions: a payment that never lands stays pending, with what \
                 is reserved for it, until one that keeps it is in rpc_urls"
            ),
            false => tracing::error!(
                %network,
                endpoint,
                "an endpoint keeps no history of transactions: payments that never land are ended by the others' \
                 word alone; put one that keeps it into rpc_urls"
            ),
        }
        metrics.alert(network, "no_history");
    }
    *known = now;
}
