//! What became of the requests that went to upstreams.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    /// 5xx, or a status that is about the gateway's own account.
    Failed,
    Unreachable,
    TooSlow,
    BrokeOff,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::BrokeOff => "broke_off",
        }
    }
}

/// Of all upstreams; names of upstreams are the operator's, so labels are bounded.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    closed: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        Ok(Self {
            requests: counter(
                "quittance_upstream_requests_total",
                "Requests to an upstream of the gateway, by who paid and how they ended",
                &["upstream", "kind", "outcome"],
            )?,
            closed: gauge(
                "quittance_upstream_closed",
                "Whether nothing of an upstream is sold because it does not answer or fails",
                &["upstream"],
            )?,
        })
    }

    pub(crate) fn count(&self, upstream: &str, kind: &str, outcome: Outcome) {
        self.requests.with_label_values(&[upstream, kind, outcome.as_str()]).inc();
    }

    pub(crate) fn set_closed(&self, upstream: &str, closed: bool) {
        self.closed.with_label_values(&[upstream]).set(i64::from(closed));
    }
}
