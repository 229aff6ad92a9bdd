//! What the auditor asks of nonces whose attempts were replaced (I2, I8, I10), and how their races end.

use quittance_ledger::PaymentState;
use quittance_ledger::model::Attempt;
use quittance_protocol::Network;

use crate::base::FEE_CAP;
use crate::evm::replace::nothing_bound;
use crate::exposure::{by, shares_slot};
use crate::plan::Net;
use crate::settings::{UNWEDGE_WEI, network, wallets};
use crate::stats::Race;
use crate::world::World;

/// A race that nobody wins for so long is one of its own.
const LONG_MS: i64 = 20_000;

fn named(attempt: &Attempt) -> u32 {
    let id = attempt.signed.transaction.strip_prefix("0x").and_then(|id| id.parse().ok());
    id.unwrap_or(u32::MAX)
}

fn field(attempt: &Attempt, name: &str) -> Option<u64> {
    attempt.signed.detail.get(name).and_then(serde_json::Value::as_u64)
}

/// Whether it does nothing but use its nonce.
pub(crate) fn is_nothing(attempt: &Attempt) -> bool {
    attempt.signed.detail.get("nothing").and_then(serde_json::Value::as_bool) == Some(true)
}

impl World {
    /// One nonce serves one payload, or what replaces the newest of them (I2); nothing is signed above
    /// the cap (I8).
    pub(crate) fn audit_terms(&mut self, at: usize, attempt: &Attempt) {
        let before: Vec<Attempt> = self.database.with(|rows| {
            let before = rows.attempts().get(..at).unwrap_or_default().iter();
            before.filter(|one| shares_slot(one, attempt)).cloned().collect()
        });
        if before.last().map(|one| one.id) != attempt.replaces {
            self.broken("I2", format!("nonce {:?} was used for two payloads", attempt.nonce));
        }
        let fee_cap = field(attempt, "fee_cap");
        let transaction = &attempt.signed.transaction;
        if fee_cap.is_some_and(|cap| cap > FEE_CAP) {
            self.broken("I8", format!("{transaction} was signed with a fee cap of {fee_cap:?}"));
        }
        if is_nothing(attempt) {
            self.audit_nothing(attempt, before.last());
        }
    }

    /// What does nothing takes the place of what can land no more. Where the chain was reorganised
    /// that may have been true of a branch that is gone.
    fn audit_nothing(&mut self, attempt: &Attempt, before: Option<&Attempt>) {
        let payments = before.map(|one| one.payments.clone()).unwrap_or_default();
        for id in payments {
            let Some((key, payment)) = self.row_by_id(&id) else { continue };
            let head = self.base.head();
            let fact = &self.facts[key];
            let ended = self.base.time_ms(head) >= fact.terms.valid_before_ms;
            let lives = !ended && self.base.used(key, head).is_none();
            if lives && payment.state == PaymentState::Recorded && !self.audit.reorganised {
                let transaction = &attempt.signed.transaction;
                self.broken(
                    "I2",
                    format!("{transaction} does nothing in the place of key {key}, which lives"),
                );
            }
        }
    }

    /// Whoever watches an attempt watches what it replaced: the old one may land after all (P2).
    pub(crate) fn audit_watched(&mut self, transactions: &[String]) {
        let attempts: Vec<Attempt> = self.database.with(|rows| rows.attempts().to_vec());
        let is_watched = |one: &Attempt| transactions.contains(&one.signed.transaction);
        for newer in attempts.iter().filter(|one| is_watched(one)) {
            let old = attempts.iter().find(|one| Some(one.id) == newer.replaces);
            if let Some(old) = old.filter(|old| !is_watched(old)) {
                let what = (&old.signed.transaction, &newer.signed.transaction);
                self.broken("P2", format!("nobody watches {}, which {} replaced", what.0, what.1));
            }
        }
    }

    /// What replacing at a nonce takes of the unwedging budget.
    pub(crate) fn unwedged_at(&self, attempt: &Attempt) -> u128 {
        let (Some(wallet), Some(nonce)) = (&attempt.wallet, attempt.nonce) else { return 0 };
        let row = self.database.with(|rows| rows.replaced(&attempt.network, wallet, nonce));
        row.map_or(0, |row| u128::from(row.native))
    }

    /// P3: what does nothing costs no more than is taken of the budget for its nonce, and all of them
    /// together no more than the budget.
    pub(crate) fn audit_unwedging(&mut self) {
        let attempts: Vec<Attempt> = self.database.with(|rows| rows.attempts().to_vec());
        let head = self.base.head();
        let mut all = 0_u128;
        for attempt in attempts.iter().filter(|attempt| is_nothing(attempt)) {
            let id = named(attempt);
            let used = attempt.nonce.is_some_and(|n| n < self.base.nonces_used(by(attempt), head));
            let cost = match self.base.place(id, head) {
                Some(place) => self.base.cost(place),
                None if used || self.audit.undone.contains(&id) => 0,
                None => nothing_bound(field(attempt, "fee_cap").unwrap_or(0)),
            };
            let newest = attempts.iter().rfind(|one| shares_slot(one, attempt));
            if newest.is_some_and(|newest| newest.id == attempt.id) {
                all = all.saturating_add(cost);
            }
            let taken = self.unwedged_at(attempt);
            if taken < cost && !self.audit.reorganised {
                let transaction = &attempt.signed.transaction;
                self.broken(
                    "P3",
                    format!("{transaction} may cost {cost}, and {taken} is taken of the budget"),
                );
            }
        }
        if all > UNWEDGE_WEI && !self.audit.reorganised {
            self.broken("P3", format!("what does nothing may cost {all} of {UNWEDGE_WEI}"));
        }
        let of: Network = match network(Net::Base).parse() {
            Ok(of) => of,
            Err(_) => return,
        };
        let taken: u128 = self.database.with(|rows| {
            let rows = rows.replaced_all(&of);
            rows.filter(|(wallet, _)| wallets(Net::Base).contains(wallet))
                .map(|(_, row)| u128::from(row.native))
                .sum()
        });
        if taken > UNWEDGE_WEI {
            self.broken("P3", format!("{taken} is taken of a budget of {UNWEDGE_WEI}"));
        }
    }

    /// How each race of several attempts at one nonce ended.
    pub(crate) fn count_races(&mut self) {
        let attempts: Vec<Attempt> = self.database.with(|rows| rows.attempts().to_vec());
        let head = self.base.head();
        for first in attempts.iter().filter(|one| one.nonce.is_some() && one.replaces.is_none()) {
            let there: Vec<&Attempt> = attempts.iter().filter(|one| shares_slot(one, first)).collect();
            let Some(newest) = there.last().filter(|_| there.len() > 1) else { continue };
            let landed = there.iter().find_map(|one| Some((one.id, *self.base.place(named(one), head)?)));
            let Some((winner, place)) = landed else { continue };
            let begun = there.get(1).map_or(0, |one| one.at_ms);
            let at = crate::world::BEGIN_MS
                .saturating_add(i64::try_from(self.base.time_ms(place.block)).unwrap_or(i64::MAX));
            let by_nothing = is_nothing(newest);
            if at.saturating_sub(begun) > LONG_MS {
                self.report.raced(Race { by_nothing, end: "neither for long" });
            }
            let end = if winner == newest.id { "the new one lands" } else { "the old one lands" };
            self.report.raced(Race { by_nothing, end });
        }
    }
}
