//! Reservations and totals: as `ops::exposure`.

use quittance_protocol::{Amount, Network, PaymentId, PaymentKey};
use serde_json::json;

use super::rows::{Attempt, Cost, Database, Defect, Reservation};
use crate::conn::{amount, plain};
use crate::error::LedgerError;
use crate::exposure::{
    Exposed, ExposureSums, Funding, NATIVE_MAX, Reserve, Sums, admit, first_slot, slot_ends, slot_of,
};
use crate::ledger::Me;
use crate::token::ClaimOutcome;
use crate::types::{CostEntry, NewClaim, Payment, PaymentState};

const LIST_MAX: usize = crate::LIST_MAX as usize;

/// As of `ops::exposure`.
pub(super) struct Asker<'a> {
    pub(super) network: &'a Network,
    pub(super) payer: &'a str,
    pub(super) payment: Option<&'a PaymentId>,
    pub(super) leases: Option<(&'a PaymentKey, i64)>,
}

impl Database {
    pub(super) fn claim_within(
        &mut self,
        me: &Me,
        new: NewClaim,
        wanted: Reserve,
        (lease_now_ms, now_ms): (i64, i64),
    ) -> Result<ClaimOutcome, LedgerError> {
        // What a claim changes, should there be no room for it.
        let (aliases, identifiers) = (self.aliases.clone(), self.identifiers.clone());
        let (lines, key, before) = (self.journal.len(), new.key, self.by_key.get(&new.key).copied());
        let outcome = self.claim(me, new, now_ms)?;
        let ClaimOutcome::Won(claim) = &outcome else { return Ok(outcome) };
        let payment: &Payment = claim;
        let (network, payer) = (&payment.network, payment.payer.as_str());
        let asker = Asker { network, payer, payment: None, leases: Some((&key, lease_now_ms)) };
        let sums = self.sums(&asker, &wanted, now_ms);
        let admitted = self.admit(&sums, &wanted, payment.amount);
        let admitted = admitted.and_then(|funding| storable(&wanted).map(|()| funding));
        let admitted = admitted.and_then(|funding| match payment.merchant_row() {
            Some(merchant) => {
                let (of, wanted) = ((merchant, network), (payment.amount, &wanted));
                self.admit_merchant(of, wanted, now_ms).map(|()| funding)
            }
            None => Ok(funding),
        });
        let admitted = admitted.and_then(|funding| {
            let Some(rent) = &wanted.account else { return Ok(funding) };
            let (network, payer) = (payment.network.clone(), payment.payer.clone());
            self.charge_rent((network, payment.id.as_str().to_owned()), Some(payer), rent, now_ms)?;
            Ok(funding)
        });
        match admitted {
            Ok(funding) => {
                let mut reservation =
                    reservation(&payment.network, &payment.payer, payment.amount, &wanted, funding);
                reservation.merchant = payment.merchant_row().map(str::to_owned);
                if !self.has(Defect::NothingReserved) {
                    self.reservations.insert(payment.id.clone(), reservation);
                }
                self.check_leases.remove(&key);
                Ok(outcome)
            }
            Err(error) => {
                self.by_id.remove(&payment.id);
                self.payments.pop();
                self.by_key.remove(&key);
                self.by_key.extend(before.map(|at| (key, at)));
                (self.aliases, self.identifiers) = (aliases, identifiers);
                self.journal.truncate(lines);
                Err(error)
            }
        }
    }

    /// Pretends that a payer's settled payments paid this much for settling.
    pub fn grant_history(&mut self, network: &Network, payer: &str, paid: Amount) {
        let history = self.payers.entry((network.clone(), payer.to_owned())).or_default();
        history.0 = history.0.saturating_add(paid.atomic());
    }

    pub(super) fn admit(
        &self,
        sums: &Sums,
        wanted: &Reserve,
        amount: Amount,
    ) -> Result<Funding, LedgerError> {
        let blind = Reserve { balance: None, ..wanted.clone() };
        let wanted = if self.has(Defect::BalanceIgnored) { &blind } else { wanted };
        admit(sums, wanted, amount).map_err(LedgerError::NoRoom)
    }

    pub(super) fn reserve_again(
        &mut self,
        me: &Me,
        id: &PaymentId,
        wanted: &Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let payment = self.get(id)?.payment.clone();
        if payment.state.is_final() {
            let (from, to) = (payment.state, PaymentState::Recorded);
            return Err(LedgerError::Transition { from, to, payment: Box::new(payment) });
        }
        if !me.owns(&payment) {
            return Err(LedgerError::NotOwner { payment: Box::new(payment) });
        }
        let known = self.reservations.get(id).cloned();
        let enough =
            |known: &Reservation| known.native >= wanted.bound.native && known.usdc >= wanted.bound.usdc;
        if known.as_ref().is_some_and(enough) {
            return Ok(());
        }
        let (network, payer) = (&payment.network, payment.payer.as_str());
        let asker = Asker { network, payer, payment: Some(id), leases: None };
        let sums = self.sums(&asker, wanted, now_ms);
        let funding = self.admit(&sums, wanted, payment.amount)?;
        let mut fresh = reservation(&payment.network, &payment.payer, payment.amount, wanted, funding);
        if let Some(known) = known {
            fresh.by_code |= known.by_code;
            (fresh.source, fresh.amount, fresh.hold_until_ms) =
                (known.source, known.amount, known.hold_until_ms);
            fresh.merchant = known.merchant;
        } else {
            storable(wanted)?;
            fresh.merchant = payment.merchant_row().map(str::to_owned);
        }
        self.reservations.insert(id.clone(), fresh);
        let detail =
            json!({"native": wanted.bound.native.to_string(), "usdc": wanted.bound.usdc, "funding": funding});
        self.line(me, now_ms, Some(id), "reserved", detail);
        Ok(())
    }

    pub(super) fn room(
        &self,
        network: &Network,
        payer: &str,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let wanted = Reserve { balance: None, ..wanted };
        let sums = self.sums(&Asker { network, payer, payment: None, leases: None }, &wanted, now_ms);
        self.admit(&sums, &wanted, Amount::ZERO).map(drop)
    }

    pub(super) fn exposure(&self, network: &Network, now_ms: i64) -> ExposureSums {
        let mut sums = Sums::default();
        self.add_reserved(&mut sums, network, "", None);
        self.add_day(&mut sums, network, "", now_ms);
        sums.network
    }

    pub(super) fn burnt_until(&self, network: &Network, payer: &str, now_ms: i64) -> Option<i64> {
        let counts = |cost: &&Cost| {
            !cost.earned
                && cost.funding != Some(Funding::History)
                && cost.payer.as_deref() == Some(payer)
                && cost.usdc.is_some_and(|usdc| usdc > Amount::ZERO)
        };
        let mine = self.costs.iter().filter(|((of, _, _), _)| of == network).map(|(_, cost)| cost);
        let slots = mine.filter(counts).map(|cost| slot_of(cost.at_ms));
        slots.filter(|slot| *slot >= first_slot(now_ms)).min().map(slot_ends)
    }

    pub(super) fn unaccounted(&self, network: &Network) -> Vec<Payment> {
        let open = |(id, reservation): (&PaymentId, &Reservation)| {
            let payment = &self.get(id).ok()?.payment;
            let wanted = reservation.network == *network && reservation.native > 0;
            (wanted && payment.state.is_final()).then(|| payment.clone())
        };
        let mut found: Vec<Payment> = self.reservations.iter().filter_map(open).collect();
        found.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        found.truncate(LIST_MAX);
        found
    }

    pub(super) fn release_reservation(&mut self, me: &Me, id: &PaymentId, now_ms: i64) -> bool {
        let over = self.get(id).is_ok_and(|row| row.payment.state.is_final());
        let freed = over && self.reservations.remove(id).is_some();
        if freed {
            self.line(me, now_ms, Some(id), "released", json!({}));
        }
        freed
    }

    pub(super) fn return_cost(&mut self, me: &Me, id: &PaymentId, now_ms: i64) -> Result<bool, LedgerError> {
        let payment = self.get(id)?.payment.clone();
        if payment.state.is_final() {
            return Ok(false);
        }
        if !me.owns(&payment) {
            return Err(LedgerError::NotOwner { payment: Box::new(payment) });
        }
        let may_land = |attempt: &Attempt| {
            attempt.nonce.is_some() && attempt.payments.contains(id) && self.is_open(attempt, id)
        };
        if self.attempts.iter().any(may_land) {
            return Ok(false);
        }
        let Some(held) = self.reservations.get_mut(id).filter(|held| held.native > 0) else {
            return Ok(false);
        };
        (held.usdc, held.native) = (Amount::ZERO, 0);
        self.line(me, now_ms, Some(id), "cost_returned", json!({}));
        Ok(true)
    }

    pub(super) fn sums(&self, asker: &Asker<'_>, wanted: &Reserve, now_ms: i64) -> Sums {
        let Asker { network, payer, payment: without, leases } = *asker;
        let mut sums = Sums::default();
        self.add_reserved(&mut sums, network, payer, without);
        self.add_day(&mut sums, network, payer, now_ms);
        if let Some((paid, burnt)) = self.payers.get(&(network.clone(), payer.to_owned())) {
            (sums.paid, sums.paid_burnt) = (Amount::new(*paid), Amount::new(*burnt));
        }
        if let Some(seen) = wanted.balance {
            let holds = |(id, r): (&PaymentId, &Reservation)| {
                let counts = r.network == *network
                    && r.source == wanted.source
                    && without != Some(id)
                    && r.hold_until_ms.is_none_or(|until| until >= now_ms);
                counts.then(|| r.amount.atomic())
            };
            sums.held = total(self.reservations.iter().filter_map(holds));
            let late = |payment: &&Payment| {
                payment.network == *network
                    && payment.payer == payer
                    && payment.landing.as_ref().is_some_and(|landing| landing.block > seen.at)
            };
            sums.landed = total(self.payments().filter(late).map(|payment| payment.amount.atomic()));
        }
        if let Some((key, lease_now_ms)) = leases {
            (sums.leases, sums.leased) = self.leased(network, &wanted.source, key, lease_now_ms);
        }
        sums
    }

    fn add_reserved(&self, sums: &mut Sums, network: &Network, payer: &str, without: Option<&PaymentId>) {
        for (id, r) in &self.reservations {
            if r.network != *network || r.native == 0 || without == Some(id) {
                continue;
            }
            let one = Exposed { usdc: r.usdc, native: r.native };
            add(&mut sums.network.reserved, one);
            if r.funding != Funding::History {
                add(&mut sums.network.reserved_strangers, one);
            }
            if r.payer == payer {
                add(&mut sums.payer, one);
                if r.funding == Funding::History {
                    sums.payer_history = plus(sums.payer_history, r.usdc);
                } else {
                    sums.payer_unearned = sums.payer_unearned.saturating_add(1);
                }
            }
            sums.probes = sums.probes.saturating_add(u64::from(r.funding == Funding::Probe));
            sums.by_code = sums.by_code.saturating_add(u64::from(r.by_code));
        }
    }

    fn add_day(&self, sums: &mut Sums, network: &Network, payer: &str, now_ms: i64) {
        let first = first_slot(now_ms);
        for ((of, _, _), cost) in self.costs.iter().filter(|(_, cost)| slot_of(cost.at_ms) >= first) {
            if of != network {
                continue;
            }
            let usdc = cost.usdc.unwrap_or(Amount::ZERO);
            sums.network.spent = plus(sums.network.spent, usdc);
            if cost.earned || cost.funding == Some(Funding::History) {
                continue;
            }
            let native = u64::try_from(cost.native).unwrap_or(u64::MAX).min(NATIVE_MAX);
            add(&mut sums.network.burnt, Exposed { usdc, native });
            if !payer.is_empty() && cost.payer.as_deref() == Some(payer) {
                sums.payer_burnt = plus(sums.payer_burnt, usdc);
            }
        }
    }

    /// As `ops::exposure::booked`; says out of which allowance it burnt.
    pub(super) fn booked(&mut self, entry: &CostEntry) -> Option<Funding> {
        let id = entry.payment.as_ref()?;
        let payment = self.get(id).ok()?.payment.clone();
        let funding = self.reservations.get(id).map(|reservation| reservation.funding);
        if !entry.earned && funding == Some(Funding::History) {
            let usdc = entry.usdc.unwrap_or(Amount::ZERO).atomic();
            if let Some(history) = self.payers.get_mut(&(payment.network.clone(), payment.payer)) {
                history.1 = history.1.saturating_add(usdc);
            }
        }
        funding
    }

    /// After the cost is in the ledger.
    pub(super) fn settle_up(&mut self, id: &PaymentId) {
        let over = self.get(id).is_ok_and(|row| row.payment.state.is_final());
        if !self.all_booked(id) {
            return;
        }
        if over {
            self.reservations.remove(id);
        } else if let Some(reservation) = self.reservations.get_mut(id) {
            (reservation.usdc, reservation.native) = (Amount::ZERO, 0);
        }
    }

    fn all_booked(&self, id: &PaymentId) -> bool {
        let mut mine = self.attempts.iter().filter(|attempt| attempt.payments.contains(id));
        mine.all(|attempt| !self.is_open(attempt, id))
    }

    pub(super) fn verdict_frees(&mut self, id: &PaymentId, now_ms: i64) {
        let Ok(payment) = self.get(id).map(|row| row.payment.clone()) else { return };
        let closed = payment.state == PaymentState::Expired && payment.deadline.ends_attempts();
        if closed || self.all_booked(id) || self.has(Defect::ReleasedEarly) {
            self.reservations.remove(id);
        } else if let Some(reservation) = self.reservations.get_mut(id) {
            reservation.amount = Amount::ZERO;
        }
        if payment.state != PaymentState::Settled {
            self.rents.remove(&(payment.network.clone(), payment.id.as_str().to_owned()));
        }
        let owed = payment.delivery == crate::types::DeliveryState::Owed;
        if payment.state == PaymentState::Settled && !owed {
            if payment.fee.is_some() {
                return self.merchant_settled(&payment, now_ms);
            }
            let history = self.payers.entry((payment.network, payment.payer)).or_default();
            history.0 = history.0.saturating_add(payment.gas.atomic());
        }
    }

    pub(super) fn unpaid(&mut self, payment: &Payment, now_ms: i64) {
        if payment.delivery == crate::types::DeliveryState::Owed {
            return;
        }
        if payment.fee.is_some() {
            return self.merchant_lost(payment, now_ms);
        }
        if let Some(history) = self.payers.get_mut(&(payment.network.clone(), payment.payer.clone())) {
            history.0 = history.0.saturating_sub(payment.gas.atomic());
        }
    }
}

fn reservation(
    network: &Network,
    payer: &str,
    amount: Amount,
    wanted: &Reserve,
    funding: Funding,
) -> Reservation {
    Reservation {
        network: network.clone(),
        payer: payer.to_owned(),
        source: wanted.source.clone(),
        amount,
        hold_until_ms: wanted.hold_until_ms,
        usdc: wanted.bound.usdc,
        native: wanted.bound.native.min(NATIVE_MAX),
        funding,
        by_code: wanted.by_code,
        merchant: None,
    }
}

fn storable(wanted: &Reserve) -> Result<(), LedgerError> {
    plain(&wanted.source, "source")?;
    amount(wanted.bound.usdc, "usdc").map(drop)
}

fn plus(a: Amount, b: Amount) -> Amount {
    Amount::new(a.atomic().saturating_add(b.atomic()))
}

fn add(sum: &mut Exposed, one: Exposed) {
    *sum = Exposed { usdc: plus(sum.usdc, one.usdc), native: sum.native.saturating_add(one.native) };
}

fn total(amounts: impl Iterator<Item = u64>) -> Amount {
    Amount::new(amounts.fold(0, u64::saturating_add))
}
