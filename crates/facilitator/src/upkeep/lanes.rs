//! The lanes of the wallets ([`crate::dispatch`]) as background work.

use futures::future::{BoxFuture, join_all};

use crate::Inner;
use crate::config::WALLETS_MAX;
use crate::dispatch::lane::{Lane, LaneParts, TURN};
use crate::metrics::trouble::Trouble;
use crate::upkeep::registry::{Kind, Next, Task, TurnFailed};

/// What the lanes of a network's wallets are called, each a task of its own: a lane that hangs or
/// panics is no other one's trouble, and says which it is. By the wallet's place in `wallets`.
const NAMES: [&str; WALLETS_MAX] = [
    "lane", "lane_2", "lane_3", "lane_4", "lane_5", "lane_6", "lane_7", "lane_8", "lane_9", "lane_10",
    "lane_11", "lane_12", "lane_13", "lane_14", "lane_15", "lane_16",
];

/// The lane of one wallet, or those of all that are retired on a network.
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
    /// Those of one network, those that take new payments first.
    pub(crate) fn start_lanes(&self, lanes: Vec<LaneParts>) {
        let (signing, retired): (Vec<_>, Vec<_>) = lanes.into_iter().partition(LaneParts::signs);
        let each = NAMES.into_iter().zip(signing.into_iter().map(|lane| vec![lane]));
        for (name, lanes) in each.chain([("replaced_lanes", retired)]) {
            let Some(network) = lanes.first().map(LaneParts::network) else { continue };
            let (kind, metrics) = (Kind::of(name, network, TURN), self.context.metrics.clone());
            let mut is_first = true;
            self.upkeep.start(kind, move || {
                if !std::mem::take(&mut is_first)
                    && let Some(lane) = lanes.first()
                {
                    // Its payments wait for the next sweep.
                    metrics.alert(lane.network(), "lane_broke");
                    lanes.iter().for_each(LaneParts::note_broken);
                }
                Lanes(lanes.iter().map(LaneParts::lane).collect())
            });
        }
    }
}
