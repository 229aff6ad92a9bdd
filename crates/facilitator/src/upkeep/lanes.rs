//! The lanes of the wallets ([`crate::dispatch`]) as background work.

use futures::future::{BoxFuture, join_all};

use crate::Inner;
use crate::dispatch::lane::{Lane, LaneParts, TURN};
use crate::metrics::trouble::Trouble;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

/// The lane that signs on a network, or those of the wallets that were replaced there.
struct Lanes(Vec<Lane>);

impl Task for Lanes {
    fn turn(&mut self) -> BoxFuture<'_, Result<Next, TurnFailed>> {
        Box::pin(async move {
            let turns = join_all(self.0.iter_mut().map(Lane::turn)).await;
            let gone: Result<(), _> = turns.into_iter().collect();
            // What is asked of a lane does not wait between two turns.
            gone.map_err(|fault| TurnFailed::new(Trouble::Lane, &fault).after(std::time::Duration::ZERO))?;
            Ok(Next::After(std::time::Duration::ZERO))
        })
    }
}

impl Inner {
    /// Those of one network, the one that signs first.
    pub(crate) fn start_lanes(&self, lanes: Vec<LaneParts>) {
        let (signing, replaced): (Vec<_>, Vec<_>) = lanes.into_iter().partition(LaneParts::signs);
        for (name, lanes) in [("lane", signing), ("replaced_lanes", replaced)] {
            let Some(network) = lanes.first().map(LaneParts::network) else { continue };
            let (kind, metrics) = (Kind::of(name, network, TURN), self.context.metrics.clone());
            let mut is_first = true;
            self.upkeep.start(kind, move || {
                if !std::mem::take(&mut is_first)
                    && let Some(lane) = lanes.first()
                {
                    // Its payments wait for the next sweep.
                    metrics.alert(lane.network(), "lane_broke");
                }
                Lanes(lanes.iter().map(LaneParts::lane).collect())
            });
        }
    }
}
