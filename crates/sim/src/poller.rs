//! What a process can see of the chains: the shared poller (`facilitator::watch`
//! with the scans of the chain crates) and the lane keeper (`facilitator::lane`).

use quittance_protocol::{Evidence, Landing};

use crate::base::{Act, Included};
use crate::canary::Canary;
use crate::ledger::State;
use crate::ops::{Who, solana_tx};
use crate::plan::Net;
use crate::solana::{CONFIRMED_SLOTS, FINALIZED_SLOTS, slot};
use crate::stats::Fault;
use crate::world::{What, World};

/// Pause between two looks.
const POLL_MS: u64 = 700;

/// Slots one look of the lane keeper broadcasts at most.
const BROADCASTS_MAX: usize = 32;

struct Watched {
    d: usize,
    key: usize,
    attempts: Vec<u32>,
}

impl World {
    pub(crate) fn start_polling(&mut self, p: usize, net: Net) {
        if !std::mem::replace(&mut self.processes[p].polling[net as usize], true) {
            let life = self.processes[p].life;
            let first = self.random.range(1, POLL_MS);
            self.after(first, What::Poll { p, life, net });
        }
    }

    /// One look for everybody.
    pub(crate) fn poll(&mut self, p: usize, net: Net) {
        let watched = self.watched(p, net);
        if watched.is_empty() {
            self.processes[p].polling[net as usize] = false;
            return;
        }
        let life = self.processes[p].life;
        self.after(POLL_MS, What::Poll { p, life, net });
        let lost = self.fault(self.plan.weather.request_lost / 3, Fault::RequestLost);
        let (Some(at), false) = (self.endpoint(net), lost) else { return };
        let found = match net {
            Net::Base => self.scan_base(at, &watched),
            Net::Solana => self.scan_solana(at, &watched),
        };
        for (d, evidence) in found {
            let slow = self.fault(self.plan.weather.slow / 4, Fault::Slow);
            let way = if slow { self.random.range(500, 5_000) } else { self.random.range(5, 80) };
            if self.fault(self.plan.weather.twice / 3, Fault::Duplicated) {
                let again = self.random.range(1, 2_000);
                self.after(way.saturating_add(again), What::Seen { p, life, d, evidence: evidence.clone() });
            }
            self.after(way, What::Seen { p, life, d, evidence });
        }
    }

    fn watched(&self, p: usize, net: Net) -> Vec<Watched> {
        let drivers = self.processes[p].drivers.iter().enumerate();
        let mine = drivers
            .filter(|(_, driver)| driver.watching && !driver.over && self.facts[driver.key].net == net);
        mine.map(|(d, driver)| Watched {
            d,
            key: driver.key,
            attempts: driver.attempts.iter().map(|at| self.ledger.attempts[*at].transaction).collect(),
        })
        .collect()
    }

    fn scan_base(&mut self, at: usize, watched: &[Watched]) -> Vec<(usize, Evidence)> {
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        let target = head.saturating_sub(self.plan.confirmations);
        // Only where a second endpoint can contradict: against a lie of the only
        // endpoint there is no defence.
        let lies = at == 0 && self.plan.endpoints > 1 && self.lies_until > self.now;
        let mut found = Vec::new();
        for watched in watched {
            if let Some(evidence) = self.look_base(watched, (head, target), lies) {
                found.push((watched.d, evidence));
            }
            for attempt in &watched.attempts {
                if let Some(place) = self.base.place(*attempt, target).copied()
                    && !place.effective
                    && !lies
                {
                    found.push((watched.d, Evidence::Reverted(self.landing(&place))));
                }
            }
        }
        found
    }

    fn look_base(&mut self, watched: &Watched, seen: (u64, u64), lies: bool) -> Option<Evidence> {
        let (head, target) = seen;
        let canary = self.plan.canary;
        let finalized = self.base.finalized(head);
        let used = |included: &&Included| match canary {
            Some(Canary::OuterStatus) => included.status,
            _ => included.effective,
        };
        let place = self.base.naming(watched.key, target).find(used).copied();
        if let Some(place) = place.filter(|_| !lies) {
            let paid = match canary {
                Some(Canary::UsedMeansPaid) => true,
                Some(Canary::OuterStatus) => place.tx.act != Act::Cancel,
                _ => place.tx.act == Act::Pay,
            };
            return match paid {
                true => Some(Evidence::Settled(self.landing(&place))),
                false if place.block <= finalized => Some(Evidence::Canceled(self.landing(&place))),
                false => None,
            };
        }
        let early = canary == Some(Canary::ExpiredAtHead);
        let clock_ms = if early { self.now } else { self.base.time_ms(finalized) };
        let used_at_head = self.base.used(watched.key, if early { target } else { head }).is_some();
        if clock_ms < self.facts[watched.key].terms.valid_before_ms || (used_at_head && !lies) {
            return None;
        }
        if self.plan.endpoints > 1
            && canary != Some(Canary::NoSecondOpinion)
            && !self.another_agrees(watched.key)
        {
            return None;
        }
        Some(Evidence::Expired { block: finalized, clock: clock_ms / 1_000 })
    }

    /// The second endpoint: it may be behind or down, but does not lie as well (I7).
    fn another_agrees(&mut self, key: usize) -> bool {
        if self.down_until.get(&(Net::Base, 1)).is_some_and(|until| *until > self.now) {
            return false;
        }
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        let finalized_ms = self.base.time_ms(self.base.finalized(head));
        finalized_ms >= self.facts[key].terms.valid_before_ms && self.base.used(key, head).is_none()
    }

    fn landing(&self, place: &Included) -> Landing {
        Landing {
            transaction: format!("0x{}", place.tx.id),
            block: place.block,
            block_hash: self.base.hash(place.block),
            block_time: self.base.time_ms(place.block) / 1_000,
            cost_native: 21_000,
            paid_by_us: place.tx.nonce.is_some(),
        }
    }

    fn scan_solana(&mut self, _at: usize, watched: &[Watched]) -> Vec<(usize, Evidence)> {
        let now = slot(self.now).saturating_sub(self.lag(Net::Solana));
        let careless = self.plan.canary == Some(Canary::ProcessedMeansPaid);
        let mut found = Vec::new();
        for watched in watched {
            // Only our co-signature makes the transaction complete: before it
            // there is nothing to find.
            if watched.attempts.is_empty() {
                continue;
            }
            let seen = match careless {
                true => self.solana.status(watched.key, now),
                false => self.solana.confirmed(watched.key, now),
            };
            let last_valid = self.facts[watched.key].last_valid_slot;
            let height = now.saturating_sub(FINALIZED_SLOTS);
            let past = height > last_valid;
            match seen.copied() {
                Some(landed) => {
                    let landing = Landing {
                        transaction: format!("sol{}", solana_tx(watched.key)),
                        block: landed.slot,
                        block_hash: String::new(),
                        block_time: 0,
                        cost_native: 5_000,
                        paid_by_us: true,
                    };
                    if landed.ok {
                        found.push((watched.d, Evidence::Settled(landing)));
                        continue;
                    }
                    found.push((watched.d, Evidence::Reverted(landing)));
                    let deep = now.saturating_sub(landed.slot) >= FINALIZED_SLOTS;
                    if past && deep && self.plan.canary != Some(Canary::FailedStaysOpen) {
                        found.push((watched.d, Evidence::Expired { block: height, clock: height }));
                    }
                }
                None if past => {
                    found.push((watched.d, Evidence::Expired { block: height, clock: height }));
                }
                None => {}
            }
        }
        const { assert!(CONFIRMED_SLOTS < FINALIZED_SLOTS, "confirmed comes first") };
        found
    }

    /// No reserved nonce stays unused: bytes of finished payments are broadcast
    /// until the chain has used their nonce.
    pub(crate) fn lane(&mut self, p: usize) {
        let life = self.processes[p].life;
        self.after(2_000, What::Lane { p, life });
        if self.endpoint(Net::Base).is_none() || !self.can_read() {
            return;
        }
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        let used = self.base.nonces_used(head);
        let Some(before) = self.processes[p].lane_used else {
            self.processes[p].lane_used = Some(used);
            return;
        };
        let mut open: Vec<(u64, usize)> = Vec::new();
        for (at, attempt) in self.ledger.attempts.iter().enumerate() {
            if let Some(nonce) = attempt.nonce
                && nonce >= before
                && nonce >= used
                && self.ledger.payments[attempt.payment].state.is_final()
            {
                open.push((nonce, at));
            }
        }
        for (_, attempt) in open.into_iter().take(BROADCASTS_MAX) {
            self.report.lane_sends = self.report.lane_sends.saturating_add(1);
            self.broadcast(p, Who::Nobody, attempt);
        }
        if self.ledger.attempts.iter().any(|attempt| attempt.nonce.is_some_and(|nonce| nonce >= before)) {
            self.processes[p].lane_used = Some(before.max(used));
        }
    }

    /// Whether a row is without a verdict.
    pub(crate) fn open(&self, row: usize) -> bool {
        matches!(self.ledger.payments[row].state, State::Claimed | State::Recorded)
    }
}
