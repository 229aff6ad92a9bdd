//! Which endpoint is asked, and how far behind its answers are: as the chain
//! crates choose, without their calls.

use crate::canary::Canary;
use crate::plan::{BLOCK_MS_MAX, Method, Net};
use crate::solana::slot;
use crate::stats::Fault;
use crate::world::{Frozen, World};

/// An endpoint whose head stood still for longer than this is as good as down.
pub(crate) const STALE_MS: u64 = 10_000;

/// How far behind a healthy endpoint answers at most, in the longest blocks and in slots.
const LAG_BLOCKS_MAX: u64 = 4;
const LAG_SLOTS_MAX: u64 = 20;

impl Method {
    /// What a port's call is to the node; `None` for what no node offers apart.
    fn of_call(code: u64) -> Option<Self> {
        match code {
            60 | 70 => Some(Self::Check),
            61 | 62 => Some(Self::Nonces),
            63 => Some(Self::Receipt),
            64 | 67 | 72 | 75 => Some(Self::Look),
            65 | 73 => Some(Self::Costs),
            66 | 74 => Some(Self::Heights),
            _ => None,
        }
    }
}

impl World {
    /// The first endpoint that may be asked this: one that answers, is not stale
    /// and has the method.
    pub(crate) fn endpoint(&self, net: Net, code: u64) -> Option<usize> {
        // The old rule: what an endpoint refuses was asked of nobody else.
        let stubborn = self.plan.canary == Some(Canary::RefusalEndsLook);
        let usable = |at: &usize| self.answers(net, *at) && (stubborn || !self.refuses(net, *at, code));
        (0..self.plan.endpoints).find(usable).filter(|at| !self.refuses(net, *at, code))
    }

    /// Whether an endpoint answers, from a head that may be trusted.
    pub(crate) fn answers(&self, net: Net, at: usize) -> bool {
        at < self.plan.endpoints && !self.is_down(net, at) && !self.is_stale(net, at)
    }

    pub(crate) fn is_down(&self, net: Net, at: usize) -> bool {
        self.down_until.get(&(net, at)).is_some_and(|until| *until > self.now())
    }

    fn is_stale(&self, net: Net, at: usize) -> bool {
        let trusting = self.plan.canary == Some(Canary::StaleHeadTrusted);
        let old = |frozen: Frozen| self.now().saturating_sub(frozen.since_ms) > STALE_MS;
        !trusting && self.frozen(net, at).is_some_and(old)
    }

    fn frozen(&self, net: Net, at: usize) -> Option<Frozen> {
        self.frozen.get(&(net, at)).copied().filter(|frozen| frozen.until_ms > self.now())
    }

    fn refuses(&self, net: Net, at: usize, code: u64) -> bool {
        // Only where another one can be asked.
        let refused = self.plan.refuses.filter(|_| at == 0 && self.plan.endpoints > 1);
        refused.is_some_and(|(on, method)| on == net && Method::of_call(code) == Some(method))
    }

    /// How many blocks or slots an endpoint is behind now.
    pub(crate) fn lag(&mut self, net: Net, at: usize) -> u64 {
        let stands = self.frozen(net, at).map_or(0, |frozen| self.head(net).saturating_sub(frozen.head));
        if !self.fault(self.plan.weather.stale_head, Fault::StaleHead) {
            return stands;
        }
        let drawn = match net {
            Net::Base => self.random.range(1, LAG_BLOCKS_MAX * BLOCK_MS_MAX / self.plan.block_ms),
            Net::Solana => self.random.range(1, LAG_SLOTS_MAX),
        };
        stands.max(drawn)
    }

    /// The newest block or slot there is.
    pub(crate) fn head(&self, net: Net) -> u64 {
        match net {
            Net::Base => self.base.head(),
            Net::Solana => slot(self.now()),
        }
    }

    /// Once a second: heads that stand still from now on, and endpoints that are gone.
    pub(crate) fn endpoint_weather(&mut self) {
        let (w, now) = (self.plan.weather, self.now());
        for net in [Net::Base, Net::Solana] {
            for at in 0..self.plan.endpoints {
                if self.fault(w.endpoint_down, Fault::EndpointDown) {
                    let until = now.saturating_add(self.random.range(1_000, 15_000));
                    self.down_until.insert((net, at), until);
                }
                if self.frozen(net, at).is_none() && self.fault(w.frozen, Fault::HeadStandsStill) {
                    let until_ms = now.saturating_add(self.random.range(5_000, 60_000));
                    self.frozen.insert((net, at), Frozen { since_ms: now, until_ms, head: self.head(net) });
                }
            }
        }
    }
}
