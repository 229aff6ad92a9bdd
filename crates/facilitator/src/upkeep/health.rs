//! Looks at the endpoints of one network every few seconds: whose head stands still,
//! and which methods fail. The chain crates leave out who lies behind; here somebody
//! is told, once per episode.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use quittance_protocol::{EndpointReport, MethodCount};

use crate::api::networks::EndpointHealth;
use crate::context::clock::Clock;
use crate::metrics::Metrics;
use crate::network::configured::ConfiguredNetwork;
use crate::upkeep::registry::{Next, Task, TurnFailed};

mod episodes;

use episodes::{EndpointChange, Episodes};

/// See the module.
pub(crate) struct EndpointWatch {
    net: Arc<ConfiguredNetwork>,
    metrics: Arc<Metrics>,
    clock: Clock,
    episodes: BTreeMap<usize, Episodes>,
    /// When each endpoint's newest known block was made, Unix milliseconds.
    heads_ms: BTreeMap<usize, i64>,
}

impl Task for EndpointWatch {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            self.look().await;
            Ok(Next::Period)
        })
    }
}

impl EndpointWatch {
    pub(crate) fn new(net: Arc<ConfiguredNetwork>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { net, metrics, clock, episodes: BTreeMap::new(), heads_ms: BTreeMap::new() }
    }

    /// One look: a call per endpoint, all at once.
    pub(crate) async fn look(&mut self) {
        let began_ms = self.clock.now_ms();
        let reports = match self.net.chain.endpoints() {
            Some(endpoints) => endpoints.look_at_endpoints(began_ms).await,
            None => Vec::new(),
        };
        for report in reports {
            self.take(&report, began_ms);
        }
    }

    fn take(&mut self, report: &EndpointReport, now_ms: i64) {
        let network = self.net.chain.network();
        let (endpoint, host) = (report.endpoint, report.host.as_str());
        if let Some(age_ms) = report.head_age_ms {
            self.heads_ms.insert(endpoint, now_ms.saturating_sub(age_ms));
        }
        let age = self.heads_ms.get(&endpoint).map(|head| now_ms.saturating_sub(*head).max(0) / 1_000);
        let metrics = self.metrics.endpoints();
        metrics.looked(network, report, age);
        let episodes = self.episodes.entry(endpoint).or_default();
        for change in episodes.take(report, now_ms) {
            match change {
                EndpointChange::LeftOut(state) => tracing::warn!(
                    %network, endpoint, host, state = state.as_str(), head_age_seconds = age,
                    "an endpoint's head does not move with the others: it is asked only when no other answers"
                ),
                EndpointChange::TakenBack => {
                    tracing::info!(%network, endpoint, host, "an endpoint is asked again")
                }
                EndpointChange::Paused { looks } => tracing::warn!(
                    %network, endpoint, host, looks,
                    "an endpoint asks to be left alone (it was asked too much, or is unavailable): it is asked last"
                ),
                EndpointChange::PauseOver { looks, seconds } => tracing::info!(
                    %network, endpoint, host, looks, seconds, "an endpoint asks to be left alone no more"
                ),
                EndpointChange::Fails { method, words } => {
                    tracing::warn!(%network, endpoint, host, method, words, "an endpoint fails at a method");
                }
                EndpointChange::Answers { method, failures } => {
                    tracing::info!(%network, endpoint, host, method, failures, "a method answers again");
                }
            }
        }
        let mut failing = Vec::new();
        for (method, fails) in episodes.failing() {
            metrics.failing(network, endpoint, method, fails);
            if fails {
                failing.push(method.to_owned());
            }
        }
        self.net.seen.note_endpoint(health(report, failing, now_ms));
    }
}

/// As operators see it.
fn health(report: &EndpointReport, failing: Vec<String>, looked_at_ms: i64) -> EndpointHealth {
    let sum = |of: fn(&MethodCount) -> u64| report.methods.iter().map(of).fold(0, u64::saturating_add);
    EndpointHealth {
        endpoint: report.endpoint,
        host: report.host.clone(),
        state: report.state.as_str(),
        serves: report.state.serves(),
        head: report.head,
        head_age_ms: report.head_age_ms,
        looked_at_ms,
        calls: sum(|method| method.answered.saturating_add(method.failed)),
        failures: sum(|method| method.failed),
        failing,
    }
}
