//! Keeps the tariffs, and looks at closed ceilings in between.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::context::Context;
use crate::metrics::trouble::Trouble;
use crate::network::configured::ConfiguredNetwork;
use crate::network::tariffs::{self, CEILING_PAUSE, TariffPolicy};
use crate::upkeep::registry::{Next, Task, TurnFailed};

/// One network's.
pub(crate) struct Tariffs {
    context: Arc<Context>,
    net: Arc<ConfiguredNetwork>,
    policy: TariffPolicy,
    due: Instant,
}

impl Tariffs {
    /// The first tariff was made by whoever starts this.
    pub(crate) fn new(context: Arc<Context>, net: Arc<ConfiguredNetwork>, policy: TariffPolicy) -> Self {
        let due = Instant::now() + policy.refresh;
        Self { context, net, policy, due }
    }

    /// The pause before the first turn.
    pub(crate) fn first_pause(policy: &TariffPolicy) -> Duration {
        policy.refresh.min(CEILING_PAUSE)
    }

    fn pause(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now()).min(CEILING_PAUSE)
    }
}

impl Task for Tariffs {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            let Context { ledger, metrics, clock, .. } = &*self.context;
            if self.net.spending.closed(&self.net.limits, clock.now_ms()).is_some() {
                tariffs::refresh_exposure(&self.net, &**ledger, metrics, clock.now_ms()).await;
            }
            if Instant::now() < self.due {
                return Ok(Next::NotDue(self.pause()));
            }
            let made = tariffs::refresh(&self.net, &**ledger, &self.policy, metrics, clock.now_ms()).await;
            self.due = Instant::now() + self.policy.refresh;
            match made {
                Ok(()) => Ok(Next::After(self.pause())),
                // A closed ceiling is looked at meanwhile.
                Err(error) => Err(TurnFailed::new(Trouble::Tariff, &error).after(self.pause())),
            }
        })
    }
}
