//! The auditor: knows the whole world and believes nobody in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quittance_ledger::model::Attempt;
use quittance_ledger::{DeliveryState, Funding, Known, NewClaim, Payment, PaymentState};
use quittance_protocol::{Evidence, Landing, PaymentId, PaymentKey, PaymentRequirements};

use crate::base::{Act as Deed, Tx};
use crate::plan::Net;
use crate::settings::{PAYER_CEILING, RUNS_INTERRUPTED_MAX};
use crate::solana::{FINALIZED_SLOTS, SLOT_MS, slot};
use crate::world::World;
use crate::world::link::Link;
use crate::world::told::Told;

/// Violations kept of one seed.
const VIOLATIONS_MAX: usize = 8;

/// Good weather in which a payment that can land must have landed: two of the
/// longest pauses between broadcasts, and a few blocks.
const CHANCE_MS: u64 = 45_000;

/// What a commit wants; the auditor judges it just before it happens.
pub(crate) enum Act {
    /// With when the process last asked for its key.
    Claim(Box<NewClaim>, u64),
    Settle(PaymentId, Landing),
    Refuse(PaymentId, Option<Evidence>),
    Expire(PaymentId),
    Finalize(Vec<(PaymentId, Landing)>),
    Lose(PaymentId),
    /// Takes over what a process that died left.
    Adopt,
    /// Renews its own lease.
    KeepLease,
    Other,
}

/// A handler at work.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) number: u64,
    pub(crate) process: usize,
    pub(crate) link: Arc<Link>,
    pub(crate) key: usize,
    pub(crate) run: u32,
}

/// What it keeps.
#[derive(Default)]
pub(crate) struct Auditor {
    pub(crate) violations: Vec<(&'static str, String)>,
    pub(crate) payment_keys: BTreeMap<usize, PaymentKey>,
    pub(crate) accepted: BTreeMap<usize, PaymentRequirements>,
    pub(crate) runs: Vec<Run>,
    /// Runs that were under way when their process died, of each key.
    pub(crate) runs_died: BTreeMap<usize, u32>,
    /// When a process last read what the ledger knows of a key, in calls.
    pub(crate) reads: BTreeMap<(usize, usize), u64>,
    /// The newest view of the chain that a process was given of a key: when, from which head.
    pub(crate) views: BTreeMap<(usize, usize), (u64, u64)>,
    /// Until when a process keeps its lease, by the world's clock.
    pub(crate) lease_until: BTreeMap<usize, u64>,
    /// When a key was claimed, in milliseconds of the world.
    pub(crate) claimed_ms: BTreeMap<usize, u64>,
    /// When a key was claimed, in calls.
    pub(crate) claimed_at: BTreeMap<usize, u64>,
    /// Answers that left a process, per key.
    pub(crate) released: BTreeMap<usize, u32>,
    /// What foreign servers were told, per key.
    pub(crate) told: BTreeMap<usize, Told>,
    /// Until when a server works for a payment that is not claimed yet, because it was
    /// told that it is valid.
    pub(crate) valid_until: BTreeMap<usize, u64>,
    /// Foreign servers that ask, per key.
    pub(crate) asking: BTreeMap<usize, u32>,
    /// Runs whose handler completed and whose books are not closed: who, and which.
    pub(crate) completed: BTreeMap<usize, (Arc<Link>, u32)>,
    /// Keys whose live reader got all of the answer.
    pub(crate) got: BTreeSet<usize>,
    /// Keys whose stored answer was given out again in good weather.
    pub(crate) replays: BTreeSet<usize>,
    pub(crate) reorganised: bool,
    /// Payers whose payments a reorganisation took out of the chain.
    pub(crate) given_back: BTreeSet<usize>,
    /// Transactions of ours that a reorganisation took out of the chain.
    pub(crate) undone: BTreeSet<u32>,
    /// History that payers were given, in atomic units.
    pub(crate) granted: u64,
    /// Solana payments whose transaction failed because earlier ones took the money.
    pub(crate) uncovered: Vec<usize>,
    /// When each transaction's cost got into the ledger.
    pub(crate) booked: BTreeMap<String, u64>,
    verdicts: BTreeMap<usize, PaymentState>,
    runs_begun: u64,
    payments_seen: usize,
    attempts_seen: usize,
}

impl Auditor {
    pub(crate) fn violation(&mut self, which: &'static str, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push((which, what));
        }
    }
}

impl World {
    pub(crate) fn broken(&mut self, which: &'static str, what: String) {
        if self.over {
            return;
        }
        self.say(|| format!("VIOLATION {which}: {what}"));
        self.audit.violation(which, what);
    }

    /// Reads one payment from the database itself.
    pub(crate) fn row(&self, key: usize) -> Option<Payment> {
        let of = self.audit.payment_keys.get(&key)?;
        self.database.with(|rows| rows.payments().find(|p| p.key == *of).cloned())
    }

    /// What stands under a key: its own payment, or the one that it is an alias of.
    pub(crate) fn under(&self, key: usize) -> Option<Known> {
        let of = self.audit.payment_keys.get(&key)?;
        self.database.with(|rows| rows.known(of))
    }

    pub(crate) fn row_by_id(&self, id: &PaymentId) -> Option<(usize, Payment)> {
        let payment = self.database.with(|rows| rows.payments().find(|p| p.id == *id).cloned())?;
        Some((self.keys.get(&payment.key).copied()?, payment))
    }

    /// After every commit: what the ledger says must be possible.
    pub(crate) fn audit_rows(&mut self) {
        self.note_costs();
        let rows: Vec<(PaymentKey, PaymentState)> =
            self.database.with(|rows| rows.payments().map(|p| (p.key, p.state)).collect());
        let mut states: BTreeMap<usize, PaymentState> = BTreeMap::new();
        for (at, (key, state)) in rows.iter().enumerate() {
            let Some(key) = self.keys.get(key).copied() else { continue };
            if at >= self.audit.payments_seen {
                self.audit.payments_seen = at.saturating_add(1);
                let (calls, now) = (self.calls, self.now());
                self.audit.claimed_ms.insert(key, now);
                if self.audit.claimed_at.insert(key, calls).is_some() {
                    self.broken("I1", format!("key {key} was claimed twice"));
                }
            }
            states.insert(key, *state);
        }
        for (key, state) in states {
            match self.audit.verdicts.get(&key).copied() {
                None if state.is_final() => self.note_verdict(key, state),
                Some(before) if before != state => {
                    self.broken("I6", format!("key {key} was {before} and is {state}"));
                    self.audit.verdicts.insert(key, state);
                }
                _ => {}
            }
        }
        let seen = self.audit.attempts_seen;
        let fresh: Vec<Attempt> = self.database.with(|rows| rows.attempts()[seen..].to_vec());
        for (offset, attempt) in fresh.iter().enumerate() {
            self.audit_attempt(seen.saturating_add(offset), attempt);
        }
        self.audit.attempts_seen = seen.saturating_add(fresh.len());
        self.audit_exposure();
    }

    fn note_verdict(&mut self, key: usize, state: PaymentState) {
        self.audit.verdicts.insert(key, state);
        let count = self.report.verdicts.entry(state).or_default();
        *count = count.saturating_add(1);
        self.note(90, key as u64);
        self.say(|| format!("ledger: key {key} is {state}"));
        if let Some(struck) = self.struck_ms.remove(&key) {
            let took = self.now().saturating_sub(struck);
            self.report.recovered(took);
        }
    }

    fn audit_attempt(&mut self, at: usize, attempt: &Attempt) {
        let paid: Vec<(usize, Payment)> =
            attempt.payments.iter().filter_map(|id| self.row_by_id(id)).collect();
        self.say(|| {
            let (hash, nonce) = (&attempt.signed.transaction, attempt.nonce);
            let (keys, detail) =
                (paid.iter().map(|(key, _)| *key).collect::<Vec<_>>(), &attempt.signed.detail);
            format!("ledger: keys {keys:?} recorded transaction {hash} at nonce {nonce:?}, {detail}")
        });
        self.audit_terms(at, attempt);
        let fee_cap = attempt.signed.detail.get("fee_cap").and_then(serde_json::Value::as_u64);
        for (key, payment) in paid {
            // What a replacement may cost beyond what was charged is the unwedging budget's.
            if attempt.replaces.is_none() {
                self.audit_charge(key, &payment, fee_cap);
            }
            self.audit_beside(key, at, attempt);
        }
    }

    /// A node gets bytes that only we can have signed.
    pub(crate) fn audit_bytes(&mut self, tx: Tx) {
        let known = self.database.with(|rows| {
            let names = [format!("0x{}", tx.id), format!("sol{}", tx.id)];
            rows.attempts().iter().any(|attempt| names.contains(&attempt.signed.transaction))
        });
        if !known {
            self.broken("I2", format!("bytes for key {} reached a node and are not in the ledger", tx.key));
        }
    }

    /// A commit is about to happen: is what it says true? Whether it must fail,
    /// because it brings a verdict for what has one.
    pub(crate) fn audit_act(&mut self, act: &Act) -> bool {
        match act {
            Act::Claim(new, asked) => self.audit_claim(new, *asked),
            Act::Settle(id, landing) => self.audit_settle(id, landing),
            Act::Refuse(id, evidence) => self.audit_refusal(id, evidence.as_ref()),
            Act::Expire(id) => self.audit_expiry(id),
            Act::Finalize(all) => all.iter().for_each(|(id, landing)| self.audit_final(id, landing)),
            Act::Lose(id) => self.audit_loss(id),
            Act::Adopt | Act::KeepLease | Act::Other => {}
        }
        match act {
            Act::Settle(id, _) | Act::Refuse(id, _) | Act::Expire(id) => {
                self.row_by_id(id).is_some_and(|(_, payment)| payment.state.is_final())
            }
            _ => false,
        }
    }

    /// A payer whose attempts cost too much and earned nothing is refused (P3):
    /// what was booked before the process looked, it must have seen.
    fn audit_claim(&mut self, new: &NewClaim, asked: u64) {
        let key = self.keys.get(&new.key).copied();
        if key.is_some_and(|key| self.facts[key].terms.never) {
            self.broken("P3", format!("key {key:?} is claimed, and code of its payer's decides"));
        }
        let booked = &self.audit.booked;
        let burnt = |of_history: bool| -> u64 {
            self.database.with(|rows| {
                let mine = rows.costs().filter(|(network, transaction, cost)| {
                    **network == new.network
                        && !cost.earned
                        && cost.payer.as_deref() == Some(new.payer.as_str())
                        && (cost.funding == Some(Funding::History)) == of_history
                        && booked.get(*transaction).is_some_and(|at| *at < asked)
                });
                mine.filter_map(|(_, _, cost)| cost.usdc).map(|usdc| usdc.atomic()).sum()
            })
        };
        // What a payer paid for settling lets it burn a part of that.
        let earned = self.earned_by(|payment| payment.payer == new.payer && payment.network == new.network);
        if burnt(false) >= PAYER_CEILING && u128::from(burnt(true)) >= earned {
            let burnt = burnt(false);
            self.broken("P3", format!("{} burnt {burnt} and may claim again", new.payer));
        }
    }

    fn note_costs(&mut self) {
        let now = self.now();
        let fresh: Vec<String> = self.database.with(|rows| {
            let unknown = |transaction: &&str| !self.audit.booked.contains_key(*transaction);
            rows.costs().map(|(_, transaction, _)| transaction).filter(unknown).map(str::to_owned).collect()
        });
        self.audit.booked.extend(fresh.into_iter().map(|transaction| (transaction, now)));
    }

    fn audit_settle(&mut self, id: &PaymentId, landing: &Landing) {
        let Some((key, payment)) = self.row_by_id(id) else { return };
        if payment.state.is_final() {
            return;
        }
        let before = self.facts[key].net == Net::Base && landing.block <= payment.watch_from;
        if before && !self.is_ours(&landing.transaction) {
            let what = format!("key {key}: {} landed before its claim and grants it", landing.transaction);
            self.broken("I4", what);
        }
        if !self.really_moved(key, landing) {
            let rule = if self.only_wrapped(key, landing) { "I9" } else { "I4" };
            self.broken(rule, format!("key {key} counts as paid by {} and is not", landing.transaction));
        }
    }

    /// Whether an attempt of this ledger's made the transaction.
    pub(crate) fn is_ours(&self, transaction: &str) -> bool {
        self.database.with(|rows| rows.attempts().iter().any(|one| one.signed.transaction == transaction))
    }

    fn really_moved(&self, key: usize, landing: &Landing) -> bool {
        match self.facts[key].net {
            Net::Base => {
                let named = |id: u32| landing.transaction == format!("0x{id}");
                self.base.moved_ever.iter().any(|(of, id)| *of == key && named(*id))
            }
            Net::Solana => self.solana.confirmed(key, slot(self.now())).is_some_and(|landed| landed.ok),
        }
    }

    fn only_wrapped(&self, key: usize, landing: &Landing) -> bool {
        let named = |id: u32| landing.transaction == format!("0x{id}");
        self.base.naming(key, self.base.head()).any(|i| i.status && !i.effective && named(i.tx.id))
    }

    fn audit_refusal(&mut self, id: &PaymentId, evidence: Option<&Evidence>) {
        let Some((key, payment)) = self.row_by_id(id) else { return };
        if payment.state.is_final() {
            return;
        }
        let finalized = self.base.finalized(self.base.head());
        let cancelled = self.base.used(key, finalized).is_some_and(|i| i.tx.act == Deed::Cancel);
        match evidence {
            Some(Evidence::Canceled(_)) if cancelled => {}
            Some(Evidence::Earlier(_)) if self.landed_before(key, finalized) => {}
            Some(_) => self.broken("I5", format!("key {key} was refused without a finalized cancellation")),
            None if payment.state == PaymentState::Recorded => {
                self.broken("I3", format!("key {key} was refused without evidence after it was signed"));
            }
            // A third party may still land the authorization.
            None => self.broken("I5", format!("key {key} was refused without evidence")),
        }
    }

    /// Whether the authorization was used before the view on which it was claimed.
    pub(crate) fn landed_before(&self, key: usize, head: u64) -> bool {
        let claimed_on = self.row(key).map_or(0, |payment| payment.watch_from);
        let paid = self.base.used(key, head).filter(|used| used.tx.act == Deed::Pay);
        paid.is_some_and(|used| used.block <= claimed_on)
    }

    fn audit_expiry(&mut self, id: &PaymentId) {
        let Some((key, payment)) = self.row_by_id(id) else { return };
        if payment.state.is_final() {
            return;
        }
        self.audit_chance(key);
        let fact = self.facts[key].clone();
        let (past, used) = match fact.net {
            Net::Base => {
                let head = self.base.head();
                let past = self.base.time_ms(self.base.finalized(head)) >= fact.terms.valid_before_ms;
                (past, self.base.used(key, head).is_some())
            }
            Net::Solana => {
                let now = slot(self.now());
                let past = now.saturating_sub(FINALIZED_SLOTS) > fact.last_valid_slot;
                (past, self.solana.confirmed(key, now).is_some_and(|landed| landed.ok))
            }
        };
        self.audit_hold(key);
        let refused = self.last_send.get(&key) == Some(&crate::stats::Kind::Refused);
        if used {
            self.broken("I7", format!("key {key} expires although its authorization is used"));
        } else if !past && refused {
            self.broken("I3", format!("key {key} expires because a node refused its bytes"));
        } else if !past {
            self.broken("I5", format!("key {key} expires before its deadline is finalized"));
        }
    }

    /// A payment that could have been settled in good weather must not expire.
    fn audit_chance(&mut self, key: usize) {
        let fact = self.facts[key].clone();
        let enough = self.plan.calm_ms.saturating_add(CHANCE_MS);
        let (lasts, spoiled) = match fact.net {
            Net::Base => {
                let spoiled = self.base.naming(key, self.base.head()).next().is_some();
                (fact.terms.valid_before_ms > enough, spoiled)
            }
            Net::Solana => {
                let spoiled = self.solana.status(key, slot(self.now())).is_some();
                (fact.last_valid_slot.saturating_mul(SLOT_MS) > enough, spoiled)
            }
        };
        let payable = fact.terms.broke_ms.is_none() && !fact.unsignable;
        if lasts && payable && !spoiled {
            self.broken("P2", format!("key {key} expires although nothing kept it from landing"));
        }
    }

    /// A landing is called final: it must be, and there.
    fn audit_final(&mut self, id: &PaymentId, landing: &Landing) {
        let Some((key, payment)) = self.row_by_id(id) else { return };
        if payment.finality.is_some() || payment.state != PaymentState::Settled {
            return;
        }
        let really = match self.facts[key].net {
            Net::Base => {
                let finalized = self.base.finalized(self.base.head());
                let named = |id: u32| landing.transaction == format!("0x{id}");
                self.base.used(key, finalized).is_some_and(|i| i.tx.act == Deed::Pay && named(i.tx.id))
            }
            Net::Solana => {
                let now = slot(self.now());
                let deep = |at: u64| now.saturating_sub(at) >= FINALIZED_SLOTS;
                self.solana.confirmed(key, now).is_some_and(|landed| landed.ok && deep(landed.slot))
            }
        };
        if !really {
            self.broken("I6", format!("key {key}: {} is called final and is not", landing.transaction));
        }
    }

    /// A loss is booked: the landing must be gone, for good.
    fn audit_loss(&mut self, id: &PaymentId) {
        let Some((key, payment)) = self.row_by_id(id) else { return };
        if payment.finality.is_some() {
            return;
        }
        let fact = self.facts[key].clone();
        let head = self.base.head();
        let finalized = self.base.finalized(head);
        let cancelled = self.base.used(key, finalized).is_some_and(|i| i.tx.act == Deed::Cancel);
        let past = self.base.time_ms(finalized) >= fact.terms.valid_before_ms;
        let paid = self.base.used(key, head).is_some_and(|i| i.tx.act == Deed::Pay);
        if fact.net != Net::Base || paid || !(past || cancelled) {
            self.broken("I6", format!("key {key} is booked as lost and is not"));
        }
    }

    /// P1: never two handlers at once. One whose process stands still does not
    /// run, and must have stopped before it goes on after another took its place.
    pub(crate) fn audit_run_begins(&mut self, link: &Arc<Link>, key: usize, run: u32) -> u64 {
        let now = self.now();
        self.note(91, key as u64);
        self.say(|| format!("process {}: run {run} of key {key} begins", link.process));
        let beside: Vec<Run> = self.audit.runs.iter().filter(|other| other.key == key).cloned().collect();
        for other in beside {
            if !other.link.stands_still(now) {
                self.broken("P1", format!("key {key}: runs {} and {run} at once", other.run));
            }
        }
        self.audit_grant(key);
        self.audit_no_run_completed(key, run);
        // One may have lost its lease, and joined again, before its process died.
        let died = self.audit.runs_died.get(&key).copied().unwrap_or(0);
        if died > RUNS_INTERRUPTED_MAX {
            self.broken("P6", format!("key {key} runs although {died} of its runs died with their process"));
        }
        self.audit.runs_begun = self.audit.runs_begun.saturating_add(1);
        let number = self.audit.runs_begun;
        self.audit.runs.push(Run { number, process: link.process, link: Arc::clone(link), key, run });
        number
    }

    /// P1 over two ledgers: where the payout address is shared, what another one
    /// landed may have been served there, and buys nothing here.
    fn audit_grant(&mut self, key: usize) {
        if !self.plan.shared_pay_to || self.audit.reorganised {
            return;
        }
        let Some(payment) = self.row(key) else { return };
        let transaction = payment.transaction.clone().unwrap_or_default();
        if payment.delivery == DeliveryState::Owed || !self.is_ours(&transaction) {
            self.broken("P1", format!("key {key} runs although {transaction} is not of this ledger"));
        }
    }

    /// A finished answer leaves the process.
    pub(crate) fn audit_released(&mut self, key: usize) {
        let count = self.audit.released.entry(key).or_default();
        *count = count.saturating_add(1);
        if *count > 1 {
            self.broken("P1", format!("key {key} has two completed answers"));
        }
        match self.row(key) {
            Some(payment) if payment.delivery.is_completed() => {}
            other => {
                let delivery = other.map(|payment| payment.delivery);
                self.broken("P1", format!("key {key}: an answer was released, the ledger says {delivery:?}"));
            }
        }
    }

    /// P4: an offer asks nobody, in either form.
    pub(crate) fn audit_offer(&mut self, calls_before: u64, alike: bool) {
        if !alike {
            self.broken("P4", "an offer can be made in one form and not in the other".to_owned());
        }
        if self.calls != calls_before {
            let asked = self.calls.saturating_sub(calls_before);
            self.broken("P4", format!("an offer made {asked} calls"));
        }
    }
}
