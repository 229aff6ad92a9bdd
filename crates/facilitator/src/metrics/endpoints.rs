//! How each RPC endpoint does: labelled by its position in `rpc_urls`, never by its
//! URL, which may hold a key.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use quittance_protocol::{EndpointReport, EndpointState, Network};

/// Why an endpoint is asked only when no other answers.
const LEFT_OUT: [EndpointState; 4] =
    [EndpointState::Behind, EndpointState::Silent, EndpointState::Ahead, EndpointState::Paused];

/// See the module.
pub(crate) struct EndpointMetrics {
    head_age: IntGaugeVec,
    left_out: IntGaugeVec,
    failing: IntGaugeVec,
    failures: IntCounterVec,
}

impl EndpointMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let failures = IntCounterVec::new(
            Opts::new("quittance_endpoint_failures_total", "Calls that an RPC endpoint failed, by method"),
            &["network", "endpoint", "method"],
        )?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self {
            head_age: gauge(
                "quittance_endpoint_head_age_seconds",
                "How long ago an RPC endpoint's newest block was made, by our clock",
                &["network", "endpoint"],
            )?,
            left_out: gauge(
                "quittance_endpoint_left_out",
                "1 while an RPC endpoint is asked only when no other answers, by reason",
                &["network", "endpoint", "reason"],
            )?,
            failing: gauge(
                "quittance_endpoint_failing",
                "1 while a method of an RPC endpoint fails and none of its answers comes",
                &["network", "endpoint", "method"],
            )?,
            failures,
        })
    }

    /// What the last look at one endpoint found. `head_age_seconds`: since its newest
    /// block, also while it says nothing.
    pub(crate) fn looked(&self, network: &Network, report: &EndpointReport, head_age_seconds: Option<i64>) {
        let (network, endpoint) = (network.as_str(), report.endpoint.to_string());
        if let Some(seconds) = head_age_seconds {
            self.head_age.with_label_values(&[network, &endpoint]).set(seconds);
        }
        for state in LEFT_OUT {
            let value = i64::from(report.state == state);
            self.left_out.with_label_values(&[network, &endpoint, state.as_str()]).set(value);
        }
        for count in &report.methods {
            let failures = self.failures.with_label_values(&[network, &endpoint, &count.method]);
            failures.inc_by(count.failed.saturating_sub(failures.get()));
        }
    }

    /// Whether a method of an endpoint fails now.
    pub(crate) fn failing(&self, network: &Network, endpoint: usize, method: &str, fails: bool) {
        let endpoint = endpoint.to_string();
        self.failing.with_label_values(&[network.as_str(), &endpoint, method]).set(i64::from(fails));
    }
}
