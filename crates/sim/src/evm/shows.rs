//! What Base's endpoints show: the rules of the chain crate, not its calls.

use quittance_facilitator::Rejection;
use quittance_facilitator::chain::{ChainView, Landed, Watched};
use quittance_protocol::{ErrorCode, Evidence, Landing, PaymentKey, Standing};

use super::{rejected, unix};
use crate::base::{Act, Included};
use crate::canary::Canary;
use crate::plan::Net;
use crate::stats::Fault;
use crate::world::World;

impl World {
    /// How many blocks or slots an endpoint is behind now.
    pub(crate) fn lag(&mut self, net: Net) -> u64 {
        if !self.fault(self.plan.weather.stale_head, Fault::StaleHead) {
            return 0;
        }
        match net {
            Net::Base => self.random.range(1, 4),
            Net::Solana => self.random.range(1, 20),
        }
    }

    pub(super) fn check_base(&mut self, key: Option<usize>, endpoint: usize) -> Result<ChainView, Rejection> {
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        let time = self.base.time_ms(head);
        let Some((key, fact)) = key.and_then(|key| Some((key, self.facts.get(key)?))) else {
            return Err(rejected(ErrorCode::InvalidPayload, "no such payment"));
        };
        let blind = key == 0 && !self.calm && self.plan.aim.is_some_and(|aim| aim.blind);
        if self.base.used(key, head).is_some() && !blind {
            return Err(rejected(ErrorCode::InvalidExactEvmNonceAlreadyUsed, "used"));
        }
        if fact.terms.broke(time) {
            return Err(rejected(ErrorCode::InvalidExactEvmInsufficientBalance, "no money"));
        }
        if time >= fact.terms.valid_before_ms {
            return Err(rejected(ErrorCode::InvalidExactEvmPayloadAuthorizationValidBefore, "too late"));
        }
        if fact.terms.never && self.plan.canary != Some(Canary::CodeLetThrough) {
            return Err(rejected(ErrorCode::UnsupportedPayloadType, "its code decides"));
        }
        let balance = self.balance_base(key, head);
        if balance < fact.amount {
            return Err(rejected(ErrorCode::InvalidExactEvmInsufficientBalance, "no money"));
        }
        let balance = Some(quittance_protocol::Amount::new(balance));
        Ok(ChainView { watch_from: head, endpoint, balance, by_code: false })
    }

    /// As the scan of the chain crate: its rules, not its calls.
    pub(super) fn scan_base(&mut self, at: usize, watched: &[Watched]) -> Vec<(PaymentKey, Evidence)> {
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        let target = head.saturating_sub(self.plan.confirmations);
        // Only where a second endpoint can contradict: against a lie of the only
        // endpoint there is no defence.
        let lies = at == 0 && self.plan.endpoints > 1 && self.lies_until > self.now();
        let mut found = Vec::new();
        for watched in watched {
            let Some(key) = self.keys.get(&watched.key).copied() else { continue };
            if let Some(evidence) = self.look_base(key, (head, target), lies) {
                found.push((watched.key, evidence));
            }
            for transaction in &watched.transactions {
                let id = transaction.strip_prefix("0x").and_then(|id| id.parse().ok()).unwrap_or(u32::MAX);
                if let Some(place) = self.base.place(id, target).copied()
                    && !place.effective
                    && !lies
                {
                    found.push((watched.key, Evidence::Reverted(self.landing(&place))));
                }
            }
        }
        found
    }

    fn look_base(&mut self, key: usize, seen: (u64, u64), lies: bool) -> Option<Evidence> {
        let (head, target) = seen;
        let canary = self.plan.canary;
        let finalized = self.base.finalized(head);
        if canary == Some(Canary::RefusalIsVerdict)
            && self.last_send.get(&key) == Some(&crate::stats::Kind::Refused)
        {
            let clock = unix(self.facts.get(key)?.terms.valid_before_ms);
            return Some(Evidence::Expired { block: finalized, clock });
        }
        let used = |included: &&Included| match canary {
            Some(Canary::OuterStatus) => included.status,
            _ => included.effective,
        };
        let place = self.base.naming(key, target).find(used).copied();
        if let Some(place) = place.filter(|_| !lies) {
            let paid = match canary {
                Some(Canary::UsedMeansPaid) => true,
                Some(Canary::OuterStatus) => place.tx.act != Act::Cancel,
                _ => place.tx.act == Act::Pay,
            };
            let agreed = !self.is_large(key) || self.another_sees(key);
            return match paid {
                true => agreed.then(|| Evidence::Settled(self.landing(&place))),
                false if place.block <= finalized => Some(Evidence::Canceled(self.landing(&place))),
                false => None,
            };
        }
        let early = canary == Some(Canary::ExpiredAtHead);
        let clock_ms = if early { self.now() } else { self.base.time_ms(finalized) };
        let used_at_head = self.base.used(key, if early { target } else { head }).is_some();
        if clock_ms < self.facts.get(key)?.terms.valid_before_ms || (used_at_head && !lies) {
            return None;
        }
        let alone = self.plan.endpoints < 2 || canary == Some(Canary::NoSecondOpinion);
        if !alone && !self.another_agrees(key) {
            return None;
        }
        Some(Evidence::Expired { block: finalized, clock: unix(clock_ms) })
    }

    /// As the chain crate: where a landing stands now.
    pub(super) fn standing_base(&mut self, landed: &Landed, head: u64, at: usize) -> Option<Standing> {
        let key = self.keys.get(&landed.key).copied()?;
        let finalized = self.base.finalized(head);
        let lies = at == 0 && self.plan.endpoints > 1 && self.lies_until > self.now();
        let used = self.base.used(key, head).copied().filter(|_| !lies);
        let alone = self.plan.endpoints < 2;
        Some(match used {
            Some(place) if place.tx.act == Act::Pay && place.block <= finalized => {
                Standing::Finalized(self.landing(&place))
            }
            Some(place) if place.tx.act == Act::Pay => Standing::Landed(self.landing(&place)),
            Some(place) if place.block <= finalized && (alone || self.another_sees(key)) => {
                Standing::Lost(Evidence::Canceled(self.landing(&place)))
            }
            Some(_) => Standing::Missing,
            None => {
                let clock_ms = self.base.time_ms(finalized);
                let past = clock_ms >= self.facts.get(key)?.terms.valid_before_ms;
                match past && (alone || self.another_agrees(key)) {
                    true => Standing::Lost(Evidence::Expired { block: finalized, clock: unix(clock_ms) }),
                    false => Standing::Missing,
                }
            }
        })
    }

    /// Settled above a limit needs a second endpoint too (I7).
    fn is_large(&self, key: usize) -> bool {
        self.plan.endpoints > 1 && key % 4 == 1
    }

    fn another_sees(&mut self, key: usize) -> bool {
        if self.is_down(Net::Base, 1) {
            return false;
        }
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        self.base.used(key, head).is_some()
    }

    /// The second endpoint: it may be behind or down, but does not lie as well (I7).
    fn another_agrees(&mut self, key: usize) -> bool {
        if self.is_down(Net::Base, 1) {
            return false;
        }
        let head = self.base.head().saturating_sub(self.lag(Net::Base));
        let finalized_ms = self.base.time_ms(self.base.finalized(head));
        let past = self.facts.get(key).is_some_and(|fact| finalized_ms >= fact.terms.valid_before_ms);
        past && self.base.used(key, head).is_none()
    }

    pub(crate) fn landing(&self, place: &Included) -> Landing {
        Landing {
            transaction: format!("0x{}", place.tx.id),
            block: place.block,
            block_hash: self.base.hash(place.block),
            block_time: unix(self.base.time_ms(place.block)),
            cost_native: self.base.cost(place),
            paid_by_us: place.tx.nonce.is_some(),
        }
    }
}
