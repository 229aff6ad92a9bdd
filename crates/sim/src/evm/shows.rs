//! What Base's endpoints show: the rules of the chain crate, not its calls.

use std::collections::BTreeMap;

use quittance_facilitator::Rejection;
use quittance_facilitator::chain::{ChainView, Landed, Watched};
use quittance_protocol::{ErrorCode, Evidence, Landing, PaymentKey, Standing};

use super::{rejected, unix};
use crate::base::{Act, Included};
use crate::canary::Canary;
use crate::plan::Net;
use crate::world::World;

/// How far before a claim's block its logs are searched at first: a reorganisation may
/// have moved the landing down. The chain crate goes further; here all times are shorter.
const REWIND_MS: u64 = 10_000;

/// Ranges of logs that one look asks for.
const RANGES_PER_LOOK: u64 = 4;

/// How far the logs were searched for each payment.
pub(super) type Searched = BTreeMap<usize, Search>;

/// The search for one payment.
#[derive(Default)]
pub(super) struct Search {
    next: u64,
    /// Of the block before the next one.
    hash: String,
    /// How many blocks further down it sets out.
    lower: u64,
}

/// From where one look sees the chain.
struct Sight {
    endpoint: usize,
    head: u64,
    /// The newest block that counts.
    target: u64,
    /// Denies every landing.
    lies: bool,
}

impl World {
    pub(super) fn check_base(&mut self, key: Option<usize>, endpoint: usize) -> Result<ChainView, Rejection> {
        let head = self.base.head().saturating_sub(self.lag(Net::Base, endpoint));
        let time = self.base.time_ms(head);
        let Some((key, fact)) = key.and_then(|key| Some((key, self.facts.get(key)?))) else {
            return Err(rejected(ErrorCode::InvalidPayload, "no such payment"));
        };
        let blind = key == 0 && !self.calm && self.plan.aim.is_some_and(|aim| aim.blind);
        let denied = blind || self.lies(endpoint);
        if self.base.used(key, head).is_some() && !denied {
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

    /// Whether an endpoint denies every landing now. Only where a second one can
    /// contradict: against a lie of the only endpoint there is no defence.
    pub(super) fn lies(&self, endpoint: usize) -> bool {
        endpoint == 0 && self.plan.endpoints > 1 && self.lies_until > self.now()
    }

    /// As the scan of the chain crate.
    pub(super) fn scan_base(
        &mut self,
        endpoint: usize,
        watched: &[Watched],
        searched: &mut Searched,
    ) -> Vec<(PaymentKey, Evidence)> {
        let head = self.base.head().saturating_sub(self.lag(Net::Base, endpoint));
        let target = head.saturating_sub(self.plan.confirmations);
        let sight = Sight { endpoint, head, target, lies: self.lies(endpoint) };
        let mut found = Vec::new();
        for watched in watched {
            let Some(key) = self.keys.get(&watched.key).copied() else { continue };
            self.audit_watched(&watched.transactions);
            let searched_to = self.search_logs(key, watched.watch_from, target, searched);
            match self.look_base(key, watched, &sight, searched_to) {
                Some(evidence) => found.push((watched.key, evidence)),
                None if searched_to > target && self.is_used_unseen(key, &sight) => {
                    self.search_lower(key, watched.watch_from, searched);
                }
                None => {}
            }
            for transaction in &watched.transactions {
                let id = transaction.strip_prefix("0x").and_then(|id| id.parse().ok()).unwrap_or(u32::MAX);
                if let Some(place) = self.base.place_of(id, key, target).copied()
                    && !place.effective
                    && !sight.lies
                {
                    found.push((watched.key, Evidence::Reverted(self.landing(&place))));
                }
            }
        }
        found
    }

    /// Asks for the logs of a few more ranges; the first block that was not searched.
    fn search_logs(&self, key: usize, watch_from: u64, target: u64, searched: &mut Searched) -> u64 {
        let known = searched.entry(key).or_default();
        if known.hash != self.base.hash(known.next.saturating_sub(1)) {
            known.next = watch_from.saturating_sub(self.rewind_blocks().saturating_add(known.lower));
        }
        let next = known.next;
        let range = self.plan.log_range;
        let far = target.saturating_sub(next) >= range;
        // The old rule: a range that is refused is not asked for in parts.
        if target < next || (far && self.plan.canary == Some(Canary::LogRangeGivesUp)) {
            return next;
        }
        let next = target.saturating_add(1).min(next.saturating_add(range.saturating_mul(RANGES_PER_LOOK)));
        known.next = next;
        known.hash = self.base.hash(next.saturating_sub(1));
        next
    }

    /// Whether the state says that the authorization was used, and its time is over.
    fn is_used_unseen(&self, key: usize, sight: &Sight) -> bool {
        let finalized_ms = self.base.time_ms(self.base.finalized(sight.head));
        let past = self.facts.get(key).is_some_and(|fact| finalized_ms >= fact.terms.valid_before_ms);
        past && !sight.lies && self.base.used(key, sight.head).is_some()
    }

    fn rewind_blocks(&self) -> u64 {
        REWIND_MS / self.plan.block_ms
    }

    /// What used it lies further down than the search set out.
    fn search_lower(&self, key: usize, watch_from: u64, searched: &mut Searched) {
        let known = searched.entry(key).or_default();
        known.lower = known.lower.max(self.rewind_blocks()).saturating_mul(8);
        known.next = watch_from.saturating_sub(self.rewind_blocks().saturating_add(known.lower));
        known.hash = self.base.hash(known.next.saturating_sub(1));
    }

    /// The transaction that used the authorization, where receipts or logs show it.
    fn place_seen(
        &self,
        key: usize,
        watched: &Watched,
        sight: &Sight,
        searched_to: u64,
    ) -> Option<(Included, bool)> {
        let used = |included: &&Included| match self.plan.canary {
            Some(Canary::OuterStatus) => included.status,
            Some(Canary::BatchOuterStatus) => {
                included.effective || (included.status && included.payments > 1)
            }
            _ => included.effective,
        };
        let place = self.base.naming(key, sight.target).find(used).filter(|_| !sight.lies)?;
        let ours = watched.transactions.contains(&format!("0x{}", place.tx.id));
        (ours || place.block < searched_to).then_some((*place, ours))
    }

    fn look_base(
        &mut self,
        key: usize,
        watched: &Watched,
        sight: &Sight,
        searched_to: u64,
    ) -> Option<Evidence> {
        let canary = self.plan.canary;
        let finalized = self.base.finalized(sight.head);
        if canary == Some(Canary::RefusalIsVerdict)
            && self.last_send.get(&key) == Some(&crate::stats::Kind::Refused)
        {
            let clock = unix(self.facts.get(key)?.terms.valid_before_ms);
            return Some(Evidence::Expired { block: finalized, clock });
        }
        if let Some((place, ours)) = self.place_seen(key, watched, sight, searched_to) {
            let paid = match canary {
                Some(Canary::UsedMeansPaid) => true,
                Some(Canary::OuterStatus) => place.tx.act != Act::Cancel,
                _ => place.tx.act == Act::Pay,
            };
            // I4: what landed before the claim bought something elsewhere.
            let counts = ours
                || place.block > watched.watch_from
                || matches!(canary, Some(Canary::EarlierLandingGranted));
            let landing = self.landing(&place);
            let deep = place.block <= finalized;
            return match (paid, counts) {
                (true, true) => {
                    let agreed = !self.is_large(key) || self.another_sees(key, sight.endpoint);
                    agreed.then_some(Evidence::Settled(landing))
                }
                (true, false) => {
                    let alone = self.plan.endpoints < 2;
                    let agreed = deep && (alone || self.another_sees(key, sight.endpoint));
                    agreed.then_some(Evidence::Earlier(landing))
                }
                (false, _) => deep.then_some(Evidence::Canceled(landing)),
            };
        }
        let early = canary == Some(Canary::ExpiredAtHead);
        let clock_ms = if early { self.now() } else { self.base.time_ms(finalized) };
        let used_at_head = self.base.used(key, if early { sight.target } else { sight.head }).is_some();
        if clock_ms < self.facts.get(key)?.terms.valid_before_ms || (used_at_head && !sight.lies) {
            return None;
        }
        let alone = self.plan.endpoints < 2 || canary == Some(Canary::NoSecondOpinion);
        if !alone && !self.another_agrees(key, sight.endpoint) {
            return None;
        }
        Some(Evidence::Expired { block: finalized, clock: unix(clock_ms) })
    }

    /// As the chain crate: where a landing stands now.
    pub(super) fn standing_base(&mut self, landed: &Landed, head: u64, at: usize) -> Option<Standing> {
        let key = self.keys.get(&landed.key).copied()?;
        let finalized = self.base.finalized(head);
        let used = self.base.used(key, head).copied().filter(|_| !self.lies(at));
        let alone = self.plan.endpoints < 2;
        Some(match used {
            Some(place) if place.tx.act == Act::Pay && place.block <= finalized => {
                Standing::Finalized(self.landing(&place))
            }
            Some(place) if place.tx.act == Act::Pay => Standing::Landed(self.landing(&place)),
            Some(place) if place.block <= finalized && (alone || self.another_sees(key, at)) => {
                Standing::Lost(Evidence::Canceled(self.landing(&place)))
            }
            Some(_) => Standing::Missing,
            None => {
                let clock_ms = self.base.time_ms(finalized);
                let past = clock_ms >= self.facts.get(key)?.terms.valid_before_ms;
                match past && (alone || self.another_agrees(key, at)) {
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

    /// The endpoint that was not asked first, if it answers.
    pub(super) fn another(&self, at: usize) -> Option<usize> {
        let other = 1_usize.saturating_sub(at);
        (other != at && self.answers(Net::Base, other)).then_some(other)
    }

    fn another_sees(&mut self, key: usize, at: usize) -> bool {
        let Some(other) = self.another(at) else { return false };
        let head = self.base.head().saturating_sub(self.lag(Net::Base, other));
        self.base.used(key, head).is_some() && !self.lies(other)
    }

    /// The second endpoint: it may be behind or down, but two do not lie at once (I7).
    fn another_agrees(&mut self, key: usize, at: usize) -> bool {
        let Some(other) = self.another(at) else { return false };
        let head = self.base.head().saturating_sub(self.lag(Net::Base, other));
        let finalized_ms = self.base.time_ms(self.base.finalized(head));
        let past = self.facts.get(key).is_some_and(|fact| finalized_ms >= fact.terms.valid_before_ms);
        past && (self.base.used(key, head).is_none() || self.lies(other))
    }

    pub(crate) fn landing(&self, place: &Included) -> Landing {
        Landing {
            transaction: format!("0x{}", place.tx.id),
            block: place.block,
            block_hash: self.base.hash(place.block),
            block_time: unix(self.base.time_ms(place.block)),
            cost_native: self.base.cost(place),
            paid_by_us: place.tx.nonce.is_some(),
            log_index: None,
        }
    }
}
