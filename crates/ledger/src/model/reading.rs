//! What operators look at: as `ops::{reading, usages}`.

use std::collections::{BTreeMap, BTreeSet};

use quittance_protocol::{Amount, Network, PaymentId};

use super::ModelLedger;
use super::rows::{Cost, Database};
use crate::error::LedgerError;
use crate::types::{
    BookedLanding, CostEntry, CostShares, DeliveryState, Finality, JournalLine, LandingFilter, Margin,
    Origin, Payment, PaymentFilter, PaymentState, Usage, UsageSum,
};
use crate::{LANDINGS_MAX, LIST_MAX};

const HOUR_MS: i64 = 3_600_000;

impl ModelLedger {
    pub(crate) fn payments(&self, filter: PaymentFilter) -> Result<Vec<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.listed(&filter)))
    }

    pub(crate) fn booked_landings(&self, filter: LandingFilter) -> Result<Vec<BookedLanding>, LedgerError> {
        self.read(|rows| Ok(rows.booked_landings(&filter)))
    }

    pub(crate) fn journal(&self, payment: &PaymentId) -> Result<Vec<JournalLine>, LedgerError> {
        self.read(|rows| {
            let mut lines = rows.journal(payment);
            lines.truncate(usize::try_from(LIST_MAX).unwrap_or(usize::MAX));
            Ok(lines)
        })
    }

    pub(crate) fn costs(&self, payment: &PaymentId) -> Result<Vec<CostEntry>, LedgerError> {
        self.read(|rows| Ok(rows.costs_of(payment)))
    }

    pub(crate) fn usage(&self, payment: &PaymentId) -> Result<Option<Usage>, LedgerError> {
        self.read(|rows| {
            let found = rows.by_id.get(payment).and_then(|at| rows.usages.get(at));
            Ok(found.map(|(usage, _)| usage.clone()))
        })
    }

    pub(crate) fn counts(&self) -> Result<Vec<(Network, PaymentState, u64)>, LedgerError> {
        self.read(|rows| Ok(rows.counts()))
    }

    pub(crate) fn margins(&self, since_ms: i64) -> Result<Vec<Margin>, LedgerError> {
        self.read(|rows| Ok(rows.margins(since_ms)))
    }

    pub(crate) fn cost_shares(&self, since_ms: i64) -> Result<Vec<CostShares>, LedgerError> {
        self.read(|rows| Ok(rows.cost_shares(since_ms)))
    }

    pub(crate) fn usages(&self, since_ms: i64) -> Result<Vec<UsageSum>, LedgerError> {
        self.read(|rows| Ok(rows.usage_sums(since_ms)))
    }
}

/// Of n values in order the ⌈n·percent⌉-th.
fn rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let place = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(place.checked_sub(1)?).copied()
}

/// The lower median.
fn median(sorted: &[u64]) -> Option<u64> {
    rank(sorted, 50)
}

/// What a part is of a whole, in basis points, rounded up.
fn share_bps(part: u64, whole: u64) -> u64 {
    part.saturating_mul(10_000).div_ceil(whole.max(1))
}

fn sum(values: impl Iterator<Item = Amount>) -> Amount {
    Amount::new(values.fold(0, |sum, value| sum.saturating_add(value.atomic())))
}

impl Database {
    fn booked_landings(&self, filter: &LandingFilter) -> Vec<BookedLanding> {
        let limit = match filter.limit {
            0 => LANDINGS_MAX,
            limit => limit.min(LANDINGS_MAX),
        };
        let of = |payment: &Payment| {
            let landing = payment.landing.as_ref()?;
            let is_wanted = payment.network == filter.network
                && payment.pay_to == filter.pay_to
                && payment.created_at_ms >= filter.claimed_since_ms
                && filter.blocks.contains(&landing.block);
            let cost = self
                .costs_of(&payment.id)
                .into_iter()
                .find(|cost| payment.transaction.as_ref() == Some(&cost.transaction));
            is_wanted.then(|| BookedLanding {
                id: payment.id.clone(),
                block: landing.block,
                transaction: payment.transaction.clone().unwrap_or_default(),
                payer: payment.payer.clone(),
                amount: payment.amount,
                is_lost: payment.finality == Some(Finality::ReorgedLoss),
                paid_by_us: landing.paid_by_us,
                cost_native: cost.map(|cost| cost.native),
            })
        };
        let mut found: Vec<BookedLanding> = self.payments.iter().filter_map(|row| of(&row.payment)).collect();
        found.sort_by(|a, b| (b.block, b.id.as_str()).cmp(&(a.block, a.id.as_str())));
        if let Some((block, id)) = &filter.before {
            found.retain(|one| (one.block, one.id.as_str()) < (*block, id.as_str()));
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        found
    }

    fn listed(&self, filter: &PaymentFilter) -> Vec<Payment> {
        let limit = match filter.limit {
            0 => LIST_MAX,
            limit => limit.min(LIST_MAX),
        };
        let place = |payment: &Payment| (payment.created_at_ms, payment.id.clone());
        let before = match &filter.before {
            None => None,
            Some(id) => match self.get(id) {
                Ok(row) => Some(place(&row.payment)),
                // Nothing comes before what is not there.
                Err(_) => return Vec::new(),
            },
        };
        let wanted = |payment: &&Payment| {
            filter.state.is_none_or(|state| payment.state == state)
                && filter.network.as_ref().is_none_or(|network| payment.network == *network)
                && filter
                    .merchant
                    .as_ref()
                    .is_none_or(|merchant| matches!(&payment.origin, Origin::Merchant(of) if of == merchant))
                && filter.delivery.is_none_or(|delivery| payment.delivery == delivery)
                && filter.since_ms.is_none_or(|since_ms| payment.created_at_ms >= since_ms)
                && filter.until_ms.is_none_or(|until_ms| payment.created_at_ms < until_ms)
                && before.as_ref().is_none_or(|before| place(payment) < *before)
                && filter.refundable.is_none_or(|limits| match payment.delivery {
                    DeliveryState::Owed | DeliveryState::DeliveredInPart => true,
                    DeliveryState::Credited => !payment.has_runs_left(limits),
                    DeliveryState::Delivered => {
                        let answer = self.by_id.get(&payment.id).and_then(|at| self.answers.get(at));
                        answer.is_some_and(|answer| answer.refundable)
                    }
                    DeliveryState::None | DeliveryState::Running => false,
                })
        };
        let mut found: Vec<Payment> = self.payments().filter(wanted).cloned().collect();
        found.sort_by_key(|payment| std::cmp::Reverse(place(payment)));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        found
    }

    fn costs_of(&self, payment: &PaymentId) -> Vec<CostEntry> {
        let mine = self.costs.iter().filter(|(_, cost)| cost.payment.as_ref() == Some(payment));
        let mut found: Vec<_> = mine.collect();
        found.sort_by_key(|((_, transaction, _), cost)| (cost.at_ms, transaction.clone()));
        let entry = |((network, transaction, _), cost): (&(Network, String, u64), &Cost)| CostEntry {
            network: network.clone(),
            transaction: transaction.clone(),
            payment: cost.payment.clone(),
            native: cost.native,
            usdc: cost.usdc,
            earned: cost.earned,
        };
        found.into_iter().map(entry).collect()
    }

    fn counts(&self) -> Vec<(Network, PaymentState, u64)> {
        // By network, then by the state's word, as the SQL sorts them.
        let mut counts: BTreeMap<(Network, &'static str), (PaymentState, u64)> = BTreeMap::new();
        for payment in self.payments() {
            let place = (payment.network.clone(), payment.state.as_str());
            let count = counts.entry(place).or_insert((payment.state, 0));
            count.1 = count.1.saturating_add(1);
        }
        counts.into_iter().map(|((network, _), (state, count))| (network, state, count)).collect()
    }

    fn margins(&self, since_ms: i64) -> Vec<Margin> {
        let mut spent: BTreeMap<(Network, i64), Vec<&Cost>> = BTreeMap::new();
        for ((network, _, _), cost) in &self.costs {
            let payment = cost.payment.as_ref().and_then(|id| self.get(id).ok());
            let at_ms = payment.map_or(cost.at_ms, |row| row.payment.created_at_ms);
            if at_ms >= since_ms {
                spent.entry((network.clone(), at_ms / HOUR_MS)).or_default().push(cost);
            }
        }
        let mut charged: BTreeMap<(Network, i64), Vec<Amount>> = BTreeMap::new();
        for payment in self.payments() {
            let earns = payment.state == PaymentState::Settled
                && payment.finality != Some(Finality::ReorgedLoss)
                && payment.created_at_ms >= since_ms;
            if earns {
                let place = (payment.network.clone(), payment.created_at_ms / HOUR_MS);
                charged.entry(place).or_default().push(payment.gas);
            }
        }
        let hours: BTreeSet<_> = spent.keys().chain(charged.keys()).cloned().collect();
        let margin = |(network, hour): (Network, i64)| {
            let place = (network.clone(), hour);
            let paid = charged.get(&place).map(Vec::as_slice).unwrap_or_default();
            let costs = spent.get(&place).map(Vec::as_slice).unwrap_or_default();
            let of = |earned: bool| costs.iter().filter(move |cost| cost.earned == earned);
            let mut landings: Vec<u64> =
                of(true).filter_map(|cost| cost.usdc).map(|usdc| usdc.atomic()).collect();
            landings.sort_unstable();
            Margin {
                network,
                hour_ms: hour.saturating_mul(HOUR_MS),
                payments: paid.len() as u64,
                charged: sum(paid.iter().copied()),
                earned_cost: sum(of(true).filter_map(|cost| cost.usdc)),
                uncollected_cost: sum(of(false).filter_map(|cost| cost.usdc)),
                unpriced: costs.iter().filter(|cost| cost.usdc.is_none()).count() as u64,
                cost_least: landings.first().copied().map(Amount::new),
                cost_median: median(&landings).map(Amount::new),
                cost_p95: rank(&landings, 95).map(Amount::new),
            }
        };
        hours.into_iter().map(margin).collect()
    }

    fn cost_shares(&self, since_ms: i64) -> Vec<CostShares> {
        let mut networks: BTreeMap<Network, (u64, Vec<u64>)> = BTreeMap::new();
        let charged = self.payments().filter(|payment| {
            payment.state == PaymentState::Settled
                && payment.gas > Amount::ZERO
                && payment.created_at_ms >= since_ms
        });
        for payment in charged {
            let mine = self.costs.values().filter(|cost| cost.payment.as_ref() == Some(&payment.id));
            let priced: Vec<Amount> = mine.filter_map(|cost| cost.usdc).collect();
            if priced.is_empty() {
                continue;
            }
            let usdc = sum(priced.into_iter());
            let (under_cost, shares) = networks.entry(payment.network.clone()).or_default();
            *under_cost = under_cost.saturating_add(u64::from(usdc > payment.gas));
            shares.push(share_bps(usdc.atomic(), payment.gas.atomic()));
        }
        let spread = |(network, (under_cost, mut shares)): (Network, (u64, Vec<u64>))| {
            shares.sort_unstable();
            let of = |percent| rank(&shares, percent).unwrap_or(0);
            CostShares {
                network,
                payments: shares.len() as u64,
                under_cost,
                least_bps: shares.first().copied().unwrap_or(0),
                median_bps: median(&shares).unwrap_or(0),
                p95_bps: of(95),
                p99_bps: of(99),
                most_bps: of(100),
            }
        };
        networks.into_iter().map(spread).collect()
    }

    fn usage_sums(&self, since_ms: i64) -> Vec<UsageSum> {
        let mut sold: BTreeMap<(String, String), Vec<&Usage>> = BTreeMap::new();
        for (at, (usage, at_ms)) in &self.usages {
            if *at_ms >= since_ms {
                let place = (self.payments[*at].payment.resource.clone(), usage.product.clone());
                sold.entry(place).or_default().push(usage);
            }
        }
        let summed = |((resource, product), usages): ((String, String), Vec<&Usage>)| {
            let share = |usage: &&Usage| share_bps(usage.metered.atomic(), usage.reserved.atomic());
            let prompt_share = |usage: &&Usage| match usage.prompt_tokens_reserved {
                0 => 0,
                reserved => share_bps(usage.prompt_tokens, reserved),
            };
            let mut shares: Vec<u64> = usages.iter().map(share).collect();
            shares.sort_unstable();
            UsageSum {
                resource,
                product,
                answers: usages.len() as u64,
                over: usages.iter().filter(|usage| usage.metered > usage.reserved).count() as u64,
                reserved: sum(usages.iter().map(|usage| usage.reserved)),
                metered: sum(usages.iter().map(|usage| usage.metered)),
                charged: sum(usages.iter().map(|usage| usage.charged)),
                share_median_bps: median(&shares).unwrap_or(0),
                share_p95_bps: rank(&shares, 95).unwrap_or(0),
                share_most_bps: shares.last().copied().unwrap_or(0),
                prompt_share_most_bps: usages.iter().map(prompt_share).max().unwrap_or(0),
            }
        };
        sold.into_iter().map(summed).collect()
    }
}
