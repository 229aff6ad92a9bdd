//! What foreign servers were told, against what they may be told.

use std::sync::Arc;

use quittance_ledger::{DeliveryState, Origin, Payment, PaymentState};
use quittance_protocol::{ErrorCode, SettleResponse};

use crate::merchants::Sale;
use crate::settings::{CHECK_LEASE_MS, TELLINGS_MAX, name};
use crate::world::link::Link;
use crate::world::{Fact, World};

/// What clocks of processes differ by.
const SKEW_MS: u64 = 1_000;

/// What was told of one payment.
#[derive(Default)]
pub(crate) struct Told {
    /// Successes that a server heard.
    heard: u32,
    /// Who said the newest one: the process and its life.
    by: Option<(usize, i64)>,
    /// Until when the newest `isValid` of the settled payment is one server's alone.
    checked_until: u64,
}

/// How things stood when a question was asked.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    calls: u64,
    at_ms: u64,
    /// Whether the ledger said that a merchant was told.
    told: bool,
}

impl World {
    /// For [`World::audit_verified`].
    pub(crate) fn asked(&self, key: usize) -> Asked {
        let told = self.row(key).is_some_and(|payment| payment.merchant_answer_at_ms.is_some());
        Asked { calls: self.calls, at_ms: self.now(), told }
    }

    fn belongs_to(&self, payment: &Payment, sale: &Sale<'_>) -> bool {
        let digest = u64::from_be_bytes(payment.signature_digest[..8].try_into().unwrap_or_default());
        payment.origin == Origin::Merchant(sale.merchant.to_owned())
            && payment.fingerprint == sale.fingerprint
            && digest == sale.client.digest
    }

    /// `/verify`: a payment that is on record is valid for one server, and only
    /// until a success was told.
    pub(crate) fn audit_verified(&mut self, sale: &Sale<'_>, asked: &Asked, valid: bool) {
        let (key, Asked { calls: begun, at_ms, told }) = (sale.client.key, *asked);
        let claimed = self.audit.claimed_at.get(&key).is_some_and(|at| *at < begun);
        let Some(payment) = self.row(key).filter(|_| valid && claimed) else { return };
        if payment.origin == Origin::Gate {
            self.broken("P5", format!("key {key} is on record and verifies again"));
        }
        if told {
            self.broken("P1", format!("key {key} was told and verifies again"));
        }
        if !self.belongs_to(&payment, sale) {
            self.broken("P1", format!("key {key} verifies for another sale"));
        }
        let now = self.now();
        self.say(|| format!("key {key}: {} hears that it is valid", sale.merchant));
        let held = self.audit.told.entry(key).or_default();
        let beside = now.saturating_add(SKEW_MS) < held.checked_until;
        // A slow commit uses a part of the lease up before its holder hears of it.
        held.checked_until = at_ms.saturating_add(CHECK_LEASE_MS);
        if beside {
            self.broken("P1", format!("key {key} is valid for two servers at once"));
        }
    }

    /// A server heard `isValid` of a payment of somebody who signs more than it holds:
    /// what it was told before, and what is under way, leave money for this one (P3).
    pub(crate) fn audit_held(&mut self, key: usize, asked_ms: u64) {
        let (net, payer) = (self.facts[key].net, self.facts[key].payer);
        let Some(purse) = self.purses.get(&(net, payer)).copied() else { return };
        self.audit.valid_until.insert(key, asked_ms.saturating_add(CHECK_LEASE_MS).saturating_sub(SKEW_MS));
        let now = self.now();
        let needed = |(of, fact): (usize, &Fact)| {
            let needs = match self.row(of) {
                Some(payment) => !payment.state.is_final() || payment.state == PaymentState::Settled,
                None => self.audit.valid_until.get(&of).is_some_and(|until| *until > now),
            };
            ((fact.net, fact.payer) == (net, payer) && needs).then_some(fact.amount)
        };
        let needed: u64 = self.facts.iter().enumerate().filter_map(needed).sum();
        // A reorganisation gives back what a payer had spent, and takes it again.
        if needed > purse && !self.audit.reorganised {
            self.broken("P3", format!("key {key} is valid, and {needed} are needed of {purse}"));
        }
    }

    /// A server heard `success: true`, and runs a handler: once, and once more if
    /// the process died, or lost its lease, before the ledger said so.
    pub(crate) fn audit_heard(&mut self, link: &Arc<Link>, sale: &Sale<'_>) {
        let key = sale.client.key;
        let Some(payment) = self.row(key) else {
            self.broken("P1", format!("key {key}: success for what was never claimed"));
            return;
        };
        if payment.state != PaymentState::Settled {
            self.broken("P1", format!("key {key}: success while it is {}", payment.state));
        }
        if payment.delivery == DeliveryState::Owed {
            self.broken("P1", format!("key {key}: success for what another ledger landed"));
        }
        if !self.belongs_to(&payment, sale) {
            self.broken("P1", format!("key {key}: success for a sale that did not claim it"));
        }
        let epoch = |process| self.database.with(|rows| rows.epoch(&name(process)));
        let now_by = (link.process, epoch(link.process));
        let told = self.audit.told.get(&key);
        let lives_on = told.and_then(|told| told.by).is_some_and(|(process, life)| epoch(process) == life);
        let heard = told.map_or(0, |told| told.heard).saturating_add(1);
        if lives_on {
            self.broken("P1", format!("key {key}: success was heard {heard} times without a kill"));
        }
        if heard > TELLINGS_MAX {
            self.broken("P1", format!("key {key}: success was heard {heard} times"));
        }
        let told = self.audit.told.entry(key).or_default();
        told.heard = heard;
        told.by = Some(now_by);
    }

    /// `/settle` answered.
    pub(crate) fn audit_settled(
        &mut self,
        link: &Arc<Link>,
        sale: &Sale<'_>,
        begun: u64,
        answer: &SettleResponse,
    ) {
        let key = sale.client.key;
        let Some(payment) = self.row(key).filter(|_| !answer.success) else { return };
        let mine = self.belongs_to(&payment, sale);
        match answer.error_reason {
            Some(ErrorCode::SettlementPending | ErrorCode::NetworkUnavailable) => {}
            Some(ErrorCode::UnexpectedSettleError) => {}
            Some(ErrorCode::DuplicateSettlement) => self.audit_duplicate(&payment, key, mine),
            Some(ErrorCode::RefundOwed) if self.is_owed(&payment) => {}
            code => {
                let open = !payment.state.is_final() || payment.state == PaymentState::Settled;
                if open && self.knew(link, key, begun) {
                    let state = payment.state;
                    self.broken("P5", format!("key {key} is {state} and {} is told {code:?}", sale.merchant));
                }
            }
        }
    }

    /// Somebody is sent away: it was told, or may have been as often as is allowed.
    fn audit_duplicate(&mut self, payment: &Payment, key: usize, mine: bool) {
        if payment.state != PaymentState::Settled {
            let state = payment.state;
            self.broken("P5", format!("key {key} is {state} and called settled before"));
        }
        let heard = self.audit.told.get(&key).is_some_and(|told| told.heard > 0);
        let used_up = self.database.with(|rows| rows.tellings(&payment.id)) >= TELLINGS_MAX;
        if mine && !heard && !used_up {
            self.broken("P6", format!("key {key} is settled, and its server is sent away with nothing"));
        }
    }

    /// The end: no server waits for what is settled.
    pub(crate) fn audit_askers(&mut self) {
        let waiting: Vec<usize> =
            self.audit.asking.iter().filter(|(_, count)| **count > 0).map(|(key, _)| *key).collect();
        for key in waiting {
            if self.row(key).is_some_and(|payment| payment.state == PaymentState::Settled) {
                self.broken("P6", format!("key {key} is settled, and a server still waits to be told"));
            }
        }
    }
}
