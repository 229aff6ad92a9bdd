//! Endpoints that serve another chain than the configured one, which the chain
//! crates ask nothing, and those that keep no history: here somebody is told.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::chain::Endpoints;
use crate::metrics::Metrics;
use crate::network::configured::ConfiguredNetwork;
use crate::upkeep::registry::{Next, Task, TurnFailed};

/// Asks every endpoint for its chain. Apart from the tariff: an endpoint that says
/// nothing must not hold that up.
pub(crate) struct WrongEndpoints {
    net: Arc<ConfiguredNetwork>,
    metrics: Arc<Metrics>,
    known: Vec<String>,
    forgetful: Vec<usize>,
}

impl WrongEndpoints {
    pub(crate) fn new(net: Arc<ConfiguredNetwork>, metrics: Arc<Metrics>) -> Self {
        Self { net, metrics, known: Vec::new(), forgetful: Vec::new() }
    }

    async fn look(&mut self) {
        let (network, metrics) = (self.net.chain.network(), &self.metrics);
        tell_of_history(&self.net, metrics, &mut self.forgetful);
        let wrong = match self.net.chain.endpoints() {
            Some(endpoints) => endpoints.wrong_endpoints().await,
            None => Vec::new(),
        };
        metrics.wrong_endpoints(network, wrong.len());
        for endpoint in wrong.iter().filter(|endpoint| !self.known.contains(endpoint)) {
            tracing::error!(%network, endpoint, "an endpoint of another chain is left out; correct rpc_urls");
            metrics.alert(network, "wrong_chain");
        }
        for endpoint in self.known.iter().filter(|endpoint| !wrong.contains(endpoint)) {
            tracing::info!(%network, endpoint, "an endpoint is taken back");
        }
        self.known = wrong;
    }
}

impl Task for WrongEndpoints {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            self.look().await;
            Ok(Next::Period)
        })
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
