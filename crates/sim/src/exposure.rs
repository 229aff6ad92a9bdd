//! The auditor's own sums of what is burnt and what may still be (P3): from the
//! chains and the signed bytes, not from what was booked.

use std::collections::BTreeSet;

use quittance_facilitator::engine::ATTEMPTS_MAX;
use quittance_ledger::model::Attempt;
use quittance_ledger::{CostShare, Payment, PaymentState};
use quittance_protocol::PaymentId;

use crate::base::{FEE_UNIT_WEI, GAS};
use crate::evm::bound_of;
use crate::plan::Net;
use crate::settings::{
    COST_BUDGET, HISTORY_BPS, IN_FLIGHT_WEI, LAMPORTS_FOR_ATOMIC, WEI_FOR_ATOMIC, limits, number_of_wallet,
};
use crate::solana::{FINALIZED_SLOTS, SLOT_MS, slot};
use crate::svm::LAMPORTS;
use crate::world::{Attack, World};

/// How long after its end is final a payment may still hold what it cannot cost any more:
/// two of the longest pauses between looks, and a recovery.
const RECOVERY_MS: u64 = 30_000;

/// What one attempt costs us, or may.
enum Stake {
    /// It earned its cost, or can never be included.
    None,
    /// It was included and earned nothing.
    Burnt(u128),
    /// It may be included, and cost this much at most.
    AtRisk(u128),
}

impl World {
    /// After every commit: burnt and at risk together stay within the limits, and
    /// what is at risk is reserved.
    pub(crate) fn audit_exposure(&mut self) {
        for net in [Net::Base, Net::Solana] {
            self.audit_stakes(net);
        }
        self.audit_unwedging();
        let short: Vec<usize> =
            [&self.base.uncovered, &self.audit.uncovered].into_iter().flatten().copied().collect();
        for key in short {
            // A reorganisation gives back what this payer had spent, and takes it again.
            if self.audit.given_back.contains(&self.facts[key].payer) {
                continue;
            }
            if self.facts[key].attack == Some(Attack::Sprays) {
                self.broken("P3", format!("key {key} was signed for money that an earlier payment needed"));
            }
        }
    }

    fn audit_stakes(&mut self, net: Net) {
        let attempts: Vec<Attempt> = self.database.with(|rows| rows.attempts().to_vec());
        let rate = if net == Net::Base { WEI_FOR_ATOMIC } else { LAMPORTS_FOR_ATOMIC };
        let (mut burnt, mut at_risk, mut usdc) = (0_u128, 0_u128, 0_u128);
        for attempt in attempts.iter().filter(|attempt| (attempt.nonce.is_some()) == (net == Net::Base)) {
            if attempts
                .iter()
                .any(|one| (one.id == attempt.id || shares_slot(one, attempt)) && self.is_reopened(one))
            {
                continue;
            }
            match self.stake(net, attempt) {
                Stake::None => {}
                Stake::Burnt(cost) => {
                    burnt = burnt.saturating_add(cost);
                    usdc = usdc.saturating_add(cost.div_ceil(rate));
                }
                // Of a nonce's attempts one lands: the dearest counts for all, here with what is
                // taken of the unwedging budget beside its payments.
                Stake::AtRisk(most) if self.is_outdone(&attempts, attempt, most) => {}
                Stake::AtRisk(most) => {
                    self.audit_reserved(attempt, most);
                    let most = most.saturating_sub(self.unwedged_at(attempt));
                    at_risk = at_risk.saturating_add(most);
                    usdc = usdc.saturating_add(most.div_ceil(rate));
                }
            }
        }
        let (soft, probes) = limits(&self.plan);
        let allowed = u128::from(soft.saturating_add(probes)).saturating_add(self.earned_by_payers());
        if usdc > allowed {
            let what = format!("{net:?}: {burnt} burnt and {at_risk} at risk are {usdc} of {allowed}");
            self.broken("P3", what);
        }
        if net == Net::Base && at_risk > IN_FLIGHT_WEI {
            self.broken("P3", format!("{at_risk} wei in flight of {IN_FLIGHT_WEI}"));
        }
    }

    /// Whether another attempt at its nonce may cost as much, and counts.
    fn is_outdone(&self, all: &[Attempt], attempt: &Attempt, most: u128) -> bool {
        let others = all.iter().filter(|one| one.id != attempt.id && shares_slot(one, attempt));
        others.into_iter().any(|one| match self.stake(Net::Base, one) {
            Stake::AtRisk(other) => (other, one.id) > (most, attempt.id),
            Stake::None | Stake::Burnt(_) => false,
        })
    }

    fn stake(&self, net: Net, attempt: &Attempt) -> Stake {
        let Some((key, _)) = attempt.payments.first().and_then(|id| self.row_by_id(id)) else {
            return Stake::None;
        };
        if net == Net::Solana {
            let now = slot(self.now());
            return match self.solana.status(key, now) {
                Some(landed) if landed.ok => Stake::None,
                Some(_) => Stake::Burnt(LAMPORTS),
                None if now > self.facts[key].last_valid_slot => Stake::None,
                None => Stake::AtRisk(LAMPORTS),
            };
        }
        let named = attempt.signed.transaction.strip_prefix("0x").and_then(|id| id.parse().ok());
        let head = self.base.head();
        match named.and_then(|id| self.base.place(id, head)) {
            Some(place) => self.burnt_in(attempt, place.tx.id, head),
            None if attempt.nonce.is_some_and(|nonce| nonce < self.base.nonces_used(by(attempt), head)) => {
                Stake::None
            }
            None => {
                let cap = attempt.signed.detail.get("fee_cap").and_then(serde_json::Value::as_u64);
                // A replacement holds what it replaces, whoever of it has a verdict.
                let items = named.and_then(|id| self.base.batches.get(&id)).map_or(1, Vec::len);
                Stake::AtRisk(bound_of(cap.unwrap_or(0), items))
            }
        }
    }

    /// The shares of those whose money did not move.
    fn burnt_in(&self, attempt: &Attempt, id: u32, head: u64) -> Stake {
        let items = attempt.payments.len() as u64;
        let mut burnt = 0_u128;
        for (item, payment) in (0..).zip(&attempt.payments) {
            let Some((key, _)) = self.row_by_id(payment) else { continue };
            let place = self.base.place_of(id, key, head).filter(|place| !place.effective);
            let share = |place| CostShare::of((self.base.cost(place), None), item, items).native;
            burnt = burnt.saturating_add(place.map_or(0, share));
        }
        if burnt > 0 { Stake::Burnt(burnt) } else { Stake::None }
    }

    /// What a payment of an attempt would cost alone at its fee cap fits what it was charged (I10).
    pub(crate) fn audit_charge(&mut self, key: usize, payment: &Payment, fee_cap: Option<u64>) {
        let allowed =
            u128::from(payment.gas.atomic().saturating_add(COST_BUDGET)).saturating_mul(WEI_FOR_ATOMIC);
        let bound = |cap: u64| u128::from(cap).saturating_mul(FEE_UNIT_WEI).saturating_mul(u128::from(GAS));
        if fee_cap.is_some_and(|cap| bound(cap) > allowed) {
            self.broken("I10", format!("key {key} was signed for more than it was charged: cap {fee_cap:?}"));
        }
    }

    /// A payment is signed again only when what was signed before it can burn no more, or
    /// has (I10): at most one of its attempts may land at a time, and two are signed at most.
    pub(crate) fn audit_beside(&mut self, key: usize, at: usize, attempt: &Attempt) {
        let Some(id) = self.row(key).map(|payment| payment.id) else { return };
        let of_same = |one: &&Attempt| one.payments.contains(&id);
        let before: Vec<Attempt> =
            self.database.with(|rows| rows.attempts().iter().take(at).filter(of_same).cloned().collect());
        self.audit_wallet(key, &before, attempt);
        let slots: BTreeSet<_> = before.iter().chain([attempt]).map(|one| (&one.wallet, one.nonce)).collect();
        if attempt.nonce.is_some() && slots.len() > ATTEMPTS_MAX as usize {
            self.broken("P3", format!("key {key} was signed more than {ATTEMPTS_MAX} times"));
        }
        for one in before.iter().filter(|one| !shares_slot(one, attempt)) {
            // What a reorganisation took out had failed before.
            let was_in = before.iter().any(|of| {
                let id = of.signed.transaction.strip_prefix("0x").and_then(|id| id.parse().ok());
                shares_slot(of, one) && id.is_some_and(|id: u32| self.audit.undone.contains(&id))
            });
            let is_base = one.nonce.is_some();
            if is_base && !was_in && matches!(self.stake(Net::Base, one), Stake::AtRisk(_)) {
                let (first, second) = (&one.signed.transaction, &attempt.signed.transaction);
                self.broken("I10", format!("{second} was signed while {first} may still land"));
            }
        }
    }

    /// A reorganisation opens again what was included and settled up: what it costs in
    /// the end is in the ledger, or was.
    fn is_reopened(&self, attempt: &Attempt) -> bool {
        let named = attempt.signed.transaction.strip_prefix("0x").and_then(|id| id.parse().ok());
        let undone = named.is_some_and(|id: u32| self.audit.undone.contains(&id));
        undone && self.audit.booked.contains_key(&attempt.signed.transaction)
    }

    fn audit_reserved(&mut self, attempt: &Attempt, most: u128) {
        let reserved = |id: &PaymentId| {
            self.database.with(|rows| {
                rows.reservations().find(|(of, _)| *of == id).map_or(0, |(_, one)| u128::from(one.native))
            })
        };
        let reserved = attempt.payments.iter().map(reserved).fold(0, u128::saturating_add);
        let reserved = reserved.saturating_add(self.unwedged_at(attempt));
        if reserved < most {
            let transaction = &attempt.signed.transaction;
            self.broken("P3", format!("{transaction} may cost {most}, and {reserved} is reserved"));
        }
    }

    /// What a payment on Solana may cost is reserved until its own blockhash has ended, and
    /// no longer than finality and a recovery take from there.
    pub(crate) fn audit_hold(&mut self, key: usize) {
        let fact = &self.facts[key];
        if fact.net != Net::Solana {
            return;
        }
        let ends = fact.last_valid_slot.saturating_mul(SLOT_MS).max(self.plan.calm_ms);
        let freed = ends.saturating_add(FINALIZED_SLOTS * SLOT_MS).saturating_add(RECOVERY_MS);
        let late = self.now().saturating_sub(freed);
        if late > 0 {
            self.broken("P3", format!("key {key} holds its cost {late} ms longer than it can cost anything"));
        }
    }

    /// What payers may burn of the surcharges that they paid.
    fn earned_by_payers(&self) -> u128 {
        let granted = u128::from(self.audit.granted).saturating_mul(u128::from(HISTORY_BPS)) / 10_000;
        self.earned_by(|_| true).saturating_add(granted)
    }

    /// The same of those settled payments.
    pub(crate) fn earned_by(&self, of: impl Fn(&Payment) -> bool) -> u128 {
        let paid: u64 = self.database.with(|rows| {
            let settled = rows.payments().filter(|payment| payment.state == PaymentState::Settled);
            settled.filter(|payment| of(payment)).map(|payment| payment.gas.atomic()).sum()
        });
        u128::from(paid).saturating_mul(u128::from(HISTORY_BPS)) / 10_000
    }
}

/// Which of our wallets on Base made an attempt.
pub(crate) fn by(attempt: &Attempt) -> usize {
    attempt.wallet.as_deref().and_then(|wallet| number_of_wallet(Net::Base, wallet)).unwrap_or(0)
}

/// Whether two attempts have one nonce.
pub(crate) fn shares_slot(one: &Attempt, other: &Attempt) -> bool {
    one.nonce.is_some() && (&one.wallet, one.nonce) == (&other.wallet, other.nonce)
}
