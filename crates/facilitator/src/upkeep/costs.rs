//! What lower modules know how to do once, done again and again: costs come into the
//! books, and objects that nobody needs go.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::Inner;
use crate::delivery::answers::LEFTOVER_PAUSE;
use crate::dispatch::costs::{self, CostMeter};
use crate::metrics::trouble::Trouble;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

struct Costs(CostMeter);

impl Task for Costs {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            self.0.look().await.map_err(|fault| TurnFailed::new(Trouble::Accounts, &fault))?;
            Ok(Next::Period)
        })
    }
}

struct Leftovers(Arc<Inner>);

impl Task for Leftovers {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            let cleared = self.0.clear_leftovers().await;
            cleared.map_err(|error| TurnFailed::new(Trouble::Leftovers, &error))?;
            Ok(Next::Period)
        })
    }
}

impl Inner {
    /// One cost meter for each network.
    pub(crate) fn start_cost_meters(self: &Arc<Self>) {
        for net in &self.networks {
            let (context, net) = (Arc::clone(&self.context), Arc::clone(net));
            let kind = Kind::of("accounts", net.chain.network(), costs::PAUSE);
            let make = move || Costs(CostMeter::new(Arc::clone(&context), Arc::clone(&net)));
            self.upkeep.start(kind, make);
        }
    }

    pub(crate) fn start_clearing(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        self.upkeep.start(Kind::new("leftovers", LEFTOVER_PAUSE), move || Leftovers(Arc::clone(&inner)));
    }
}
