//! The auditor: knows the whole world and believes nobody in it.

use quittance_facilitator::engine::{ATTEMPTS_MAX, Alert, Effect, Event, Phase, State as Engine, Verdict};
use quittance_protocol::{Evidence, Landing};

use crate::base::Act;
use crate::canary::advance;
use crate::gate::Answer;
use crate::ledger::{Delivery, Owner, State, proof};
use crate::ops::{FEE_CAP, RUNS_MAX};
use crate::plan::Net;
use crate::solana::{FINALIZED_SLOTS, SLOT_MS, slot};
use crate::world::World;

/// Violations kept of one seed.
const VIOLATIONS_MAX: usize = 8;

/// Good weather in which a payment that can land must have landed: two of the
/// longest pauses between broadcasts, and a few blocks.
const CHANCE_MS: u64 = 45_000;

/// Found by the simulator in `facilitator::lane`.
const LANE_GAP: &str = "a reorganisation reopened a nonce, and the wallet's lane waited for the next start";

/// A handler at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) process: usize,
    pub(crate) row: usize,
    pub(crate) run: u32,
    pub(crate) owner: Owner,
}

/// What it found.
#[derive(Debug, Default)]
pub(crate) struct Auditor {
    pub(crate) violations: Vec<(&'static str, String)>,
    pub(crate) gaps: Vec<&'static str>,
    pub(crate) runs: Vec<Run>,
    /// Keys whose claim may stand without a driver: see the known gaps.
    pub(crate) orphaned: Vec<usize>,
    verdicts: Vec<Option<State>>,
    attempts_seen: usize,
}

impl Auditor {
    pub(crate) fn violation(&mut self, which: &'static str, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push((which, what));
        }
    }

    pub(crate) fn gap(&mut self, what: &'static str) {
        self.gaps.push(what);
    }
}

impl World {
    fn broken(&mut self, which: &'static str, what: String) {
        self.say(|| format!("VIOLATION {which}: {what}"));
        self.audit.violation(which, what);
    }

    /// After every event: what the ledger says must be possible.
    pub(crate) fn audit_ledger(&mut self) {
        if self.ledger.rewritten > 0 {
            self.ledger.rewritten = 0;
            self.broken("I6", "a verdict was written over a verdict".to_owned());
        }
        for row in 0..self.ledger.payments.len() {
            let payment = &self.ledger.payments[row];
            let (key, state) = (payment.key, payment.state);
            if row >= self.audit.verdicts.len() {
                self.audit.verdicts.push(None);
                if self.ledger.by_key(key) != Some(row) {
                    self.broken("I1", format!("key {key} was claimed twice"));
                }
            }
            match self.audit.verdicts[row] {
                None if state.is_final() => {
                    self.audit.verdicts[row] = Some(state);
                    *self.report.verdicts.entry(state).or_default() += 1;
                    self.say(|| format!("ledger: key {key} is {}", state.word()));
                }
                Some(before) if before != state => {
                    self.broken("I6", format!("key {key} was {} and is {}", before.word(), state.word()));
                    self.audit.verdicts[row] = Some(state);
                }
                _ => {}
            }
            if self.ledger.answers[row] > 1 {
                self.ledger.answers[row] = 1;
                self.broken("P1", format!("key {key} has two completed answers"));
            }
        }
        while self.audit.attempts_seen < self.ledger.attempts.len() {
            let at = self.audit.attempts_seen;
            self.audit.attempts_seen = at.saturating_add(1);
            self.audit_attempt(at);
        }
    }

    fn audit_attempt(&mut self, at: usize) {
        let attempt = self.ledger.attempts[at].clone();
        let key = self.ledger.payments[attempt.payment].key;
        self.say(|| {
            format!(
                "ledger: key {key} recorded transaction {} at nonce {:?}",
                attempt.transaction, attempt.nonce
            )
        });
        let same = |other: &crate::ledger::Attempt| attempt.nonce.is_some() && other.nonce == attempt.nonce;
        if self.ledger.attempts[..at].iter().any(same) {
            self.broken("I2", format!("nonce {:?} was used for two payloads", attempt.nonce));
        }
        if attempt.fee_cap > FEE_CAP {
            self.broken("I8", format!("key {key} was signed with fees of {}", attempt.fee_cap));
        }
        if self.ledger.attempts_of(attempt.payment).len() > ATTEMPTS_MAX as usize {
            self.broken("P3", format!("key {key} was signed more than {ATTEMPTS_MAX} times"));
        }
    }

    /// A node gets bytes that only we can have signed.
    pub(crate) fn audit_bytes(&mut self, key: usize, ours: Option<u32>) {
        let Some(transaction) = ours else { return };
        if !self.ledger.attempts.iter().any(|attempt| attempt.transaction == transaction) {
            self.broken("I2", format!("bytes for key {key} reached a node and are not in the ledger"));
        }
    }

    /// A verdict reaches the ledger: is it true?
    pub(crate) fn audit_verdict(&mut self, row: usize, verdict: &Verdict) {
        let key = self.ledger.payments[row].key;
        if !self.open(row) {
            return;
        }
        match verdict {
            Verdict::Settled(landing) => {
                if !self.really_moved(key, landing) {
                    let rule = if self.only_wrapped(key, landing) { "I9" } else { "I4" };
                    self.broken(
                        rule,
                        format!("key {key} counts as paid by {} and is not", landing.transaction),
                    );
                }
            }
            Verdict::Refused { .. } => match proof(verdict) {
                None if self.ledger.attempts_of(row).is_empty() => {}
                None => {
                    self.broken("I3", format!("key {key} was refused without evidence after it was signed"))
                }
                Some(Evidence::Canceled(_)) if self.really_cancelled(key) => {}
                Some(_) => {
                    self.broken("I5", format!("key {key} was refused without a finalized cancellation"))
                }
            },
            Verdict::Expired(_) => self.audit_expiry(key),
        }
    }

    fn really_moved(&self, key: usize, landing: &Landing) -> bool {
        match self.facts[key].net {
            Net::Base => {
                let named = |id: u32| landing.transaction == format!("0x{id}");
                self.base.moved_ever.iter().any(|(of, id)| *of == key && named(*id))
            }
            Net::Solana => self.solana.confirmed(key, slot(self.now)).is_some_and(|landed| landed.ok),
        }
    }

    fn only_wrapped(&self, key: usize, landing: &Landing) -> bool {
        let named = |id: u32| landing.transaction == format!("0x{id}");
        self.base.naming(key, self.base.head()).any(|i| i.status && !i.effective && named(i.tx.id))
    }

    fn really_cancelled(&self, key: usize) -> bool {
        let finalized = self.base.finalized(self.base.head());
        self.base.used(key, finalized).is_some_and(|included| included.tx.act == Act::Cancel)
    }

    fn audit_expiry(&mut self, key: usize) {
        let fact = self.facts[key];
        self.audit_chance(key);
        let (past, used) = match fact.net {
            Net::Base => {
                let head = self.base.head();
                let past = self.base.time_ms(self.base.finalized(head)) >= fact.terms.valid_before_ms;
                (past, self.base.used(key, head).is_some())
            }
            Net::Solana => {
                let now = slot(self.now);
                let past = now.saturating_sub(FINALIZED_SLOTS) > fact.last_valid_slot;
                (past, self.solana.confirmed(key, now).is_some_and(|landed| landed.ok))
            }
        };
        if used {
            self.broken("I7", format!("key {key} expires although its authorization is used"));
        } else if !past {
            self.broken("I5", format!("key {key} expires before its deadline is finalized"));
        }
    }

    /// A keeper believes that a nonce is used which a reorganisation freed again.
    fn lane_is_blocked(&self) -> bool {
        let used = self.base.nonces_used(self.base.head());
        self.processes.iter().any(|process| process.lane_used.is_some_and(|seen| seen > used))
    }

    /// A payment that could have been settled in good weather must not expire.
    fn audit_chance(&mut self, key: usize) {
        let fact = self.facts[key];
        let enough = self.plan.calm_ms.saturating_add(CHANCE_MS);
        let (lasts, spoiled) = match fact.net {
            Net::Base => {
                let spoiled = self.base.naming(key, self.base.head()).next().is_some();
                (fact.terms.valid_before_ms > enough, spoiled)
            }
            Net::Solana => {
                let spoiled = self.solana.status(key, slot(self.now)).is_some();
                (fact.last_valid_slot.saturating_mul(SLOT_MS) > enough, spoiled)
            }
        };
        let payable =
            fact.terms.broke_ms.is_none() && !fact.unsignable && !self.audit.orphaned.contains(&key);
        if lasts && payable && !spoiled && fact.net == Net::Base && self.lane_is_blocked() {
            self.audit.gap(LANE_GAP);
        } else if lasts && payable && !spoiled {
            self.broken("P2", format!("key {key} expires although nothing kept it from landing"));
        }
    }

    /// I6: evidence against a final verdict must be said aloud.
    pub(crate) fn audit_contradiction(&mut self, mut state: Engine) {
        let Phase::Done(verdict) = &state.phase else { return };
        let landing = Landing {
            transaction: "late".to_owned(),
            block: 1,
            block_hash: String::new(),
            block_time: 0,
            cost_native: 0,
            paid_by_us: false,
        };
        let against = match verdict {
            Verdict::Settled(_) => Evidence::Canceled(landing),
            _ => Evidence::Settled(landing),
        };
        let before = state.clone();
        let effects = advance(self.plan.canary, &mut state, Event::Seen(against));
        if !effects.iter().any(|effect| matches!(effect, Effect::Alert(Alert::Contradiction(_)))) {
            self.broken("I6", "evidence against a verdict stayed silent".to_owned());
        }
        if state != before {
            self.broken("I6", "evidence changed a final verdict".to_owned());
        }
    }

    /// P1: never two handlers at once. A process that was fenced while it was
    /// paused may still be in one: no database can stop that.
    pub(crate) fn audit_run_begins(&mut self, process: usize, row: usize, run: u32) {
        // A grant that reached a paused process may be somebody else's by now.
        let payment = &self.ledger.payments[row];
        let current = payment.delivery == Delivery::Running && payment.runs == run;
        let lost = Owner { process, epoch: 0 };
        let owner = payment.runner.filter(|_| current).unwrap_or(lost);
        let beside: Vec<Run> = self.audit.runs.iter().filter(|other| other.row == row).copied().collect();
        for other in beside {
            let fenced =
                |of: Owner| self.ledger.instances.get(of.process).is_none_or(|i| i.epoch != of.epoch);
            match fenced(other.owner) || fenced(owner) {
                true => self.audit.gap("a paused process, fenced meanwhile, still ran a handler"),
                false => self.broken("P1", format!("row {row}: runs {} and {run} at once", other.run)),
            }
        }
        self.audit.runs.push(Run { process, row, run, owner });
    }

    /// What a client was told.
    pub(crate) fn audit_answer(&mut self, client: usize, row: Option<usize>, answer: Answer) {
        let client = self.clients[client];
        let unclaimed = row.is_none();
        let row = row.or_else(|| self.ledger.by_key(client.key));
        let Some(row) = row else { return };
        let payment = self.ledger.payments[row].clone();
        let key = payment.key;
        let same_request = payment.fingerprint == client.fingerprint;
        if answer == Answer::Refused && same_request && unclaimed {
            self.audit.gap("the chain refused a copy while another copy was being claimed");
        } else if answer == Answer::Refused && same_request {
            match payment.state {
                State::Claimed | State::Recorded => {
                    self.broken("P5", format!("key {key} got a fresh offer while its outcome is unknown"));
                }
                State::Settled => self.broken("P5", format!("key {key} is settled and got a fresh offer")),
                State::Refused | State::Expired => {}
            }
        }
        let got = matches!(answer, Answer::Served | Answer::Replayed);
        if got && payment.state != State::Settled {
            self.broken("P1", format!("key {key} was served without being settled"));
        }
        if got && client.thief && payment.identifier.is_some() {
            self.broken("P1", format!("a thief got the answer of key {key}"));
        }
        if got && !same_request {
            self.broken("P1", format!("key {key} served another request"));
        }
        if client.last && payment.state == State::Settled && answer == Answer::Conflict {
            let window = payment.identifier.is_none() && payment.answered_ms.is_some();
            if !window {
                self.broken("P6", format!("key {key} is settled and its payer is turned away"));
            }
        }
    }

    /// I5: every payment ends by its deadline, the finality lag and a minute.
    pub(crate) fn audit_unfinished(&mut self, bound: u64) {
        for row in 0..self.ledger.payments.len() {
            if self.open(row) {
                let (key, state) = (self.ledger.payments[row].key, self.ledger.payments[row].state);
                let owner = self.ledger.payments[row].owner;
                let late = self.ledger.instances.get(owner.process).is_some_and(|i| i.epoch > owner.epoch);
                if late && state == State::Claimed {
                    self.audit.orphaned.push(key);
                    self.audit.gap(
                        "a claim of an earlier life, committed after the restart, waited for the next start",
                    );
                    continue;
                }
                if self.audit.orphaned.contains(&key) && state == State::Claimed {
                    self.audit.gap("a claim without a driver waited for the next start of its process");
                    continue;
                }
                self.broken("P2", format!("key {key} is still {} at {bound} ms", state.word()));
            }
        }
    }

    /// A driver that works on a finished payment works for ever.
    pub(crate) fn audit_drivers(&mut self) {
        let over_before = self.now.saturating_sub(30_000);
        if self.plan.calm_ms > over_before {
            return;
        }
        let (mut fenced, mut stuck) = (0, 0);
        for (p, process) in self.processes.iter().enumerate() {
            let lost = process.me.is_some_and(|me| self.ledger.instances[p].epoch != me.epoch);
            for driver in process.drivers.iter().filter(|driver| !driver.over) {
                let ended = self.ledger.payments[driver.row].verdict.as_ref();
                if ended.is_some_and(|(at, _)| *at < over_before) {
                    *(if lost { &mut fenced } else { &mut stuck }) += 1;
                }
            }
        }
        if fenced > 0 {
            self.broken("driver", "a fenced process goes on, unable to write".to_owned());
        }
        if stuck > 0 {
            self.broken("driver", "a driver goes on half a minute after its payment ended".to_owned());
        }
    }

    /// Runs that nobody works on: only a start of their process credits them.
    pub(crate) fn count_stuck_runs(&mut self) {
        for row in 0..self.ledger.payments.len() {
            let running = self.ledger.payments[row].delivery == Delivery::Running;
            if running && !self.audit.runs.iter().any(|run| run.row == row) {
                self.audit.gap("a run without a runner waited for the next start of its process");
            }
        }
    }

    /// A payment made in good weather, after all the others.
    pub(crate) fn audit_probes(&mut self) {
        for key in 0..self.facts.len() {
            let state = self.ledger.by_key(key).map(|row| self.ledger.payments[row].state);
            if self.facts[key].probe && state != Some(State::Settled) {
                let net = self.facts[key].net;
                if net == Net::Base && self.lane_is_blocked() {
                    self.audit.gap(LANE_GAP);
                    continue;
                }
                self.broken("lane", format!("a payment made in good weather is {state:?} on {net:?}"));
            }
        }
    }

    /// When all is over.
    pub(crate) fn audit_end(&mut self) {
        for key in 0..self.facts.len() {
            let row = self.ledger.by_key(key);
            let state = row.map(|row| self.ledger.payments[row].state);
            if row.is_some_and(|row| self.open(row)) {
                self.broken("P2", format!("key {key} never ended"));
            }
            self.audit_landing(key, row);
            if let Some(row) = row.filter(|_| state == Some(State::Settled)) {
                self.audit_bought(key, row);
            }
        }
    }

    /// P2: what landed is settled, and what is settled has landed.
    fn audit_landing(&mut self, key: usize, row: Option<usize>) {
        let (moved, ours) = match self.facts[key].net {
            Net::Base => {
                let used = self.base.used(key, self.base.head());
                let paid = used.filter(|included| included.tx.act == Act::Pay);
                (paid.is_some(), paid.is_some_and(|included| included.tx.nonce.is_some()))
            }
            Net::Solana => {
                let landed = self.solana.confirmed(key, slot(self.now));
                (landed.is_some_and(|landed| landed.ok), true)
            }
        };
        let Some(row) = row else {
            match (moved, ours) {
                (true, true) => self.broken("P2", format!("key {key} was landed by us and never claimed")),
                (true, false) => self.audit.gap("a stranger landed a payment that was never claimed here"),
                (false, _) => {}
            }
            return;
        };
        let payment = &self.ledger.payments[row];
        let unproven = matches!(&payment.verdict, Some((_, verdict @ Verdict::Refused { .. })) if proof(verdict).is_none());
        match (moved, payment.state) {
            (true, State::Settled) | (false, State::Refused | State::Expired) => {}
            (true, State::Refused) if unproven && !ours => {
                self.audit.gap("a stranger landed a payment that was refused before anything was signed");
            }
            (true, state) => self.broken("P2", format!("key {key} has landed and is {}", state.word())),
            (false, State::Settled) if self.plan.reorg_depth_max > self.plan.confirmations => {
                self.audit.gap("a reorganisation deeper than the confirmations took a settled payment");
            }
            (false, State::Settled) => self.broken("I4", format!("key {key} is settled and has not landed")),
            (false, _) => {}
        }
    }

    /// P6: a settled payment has bought an answer, or all its runs failed.
    fn audit_bought(&mut self, key: usize, row: usize) {
        let payment = &self.ledger.payments[row];
        let spent = payment.delivery == Delivery::Credited && payment.runs >= RUNS_MAX;
        if payment.delivery != Delivery::Delivered && !spent {
            let delivery = payment.delivery;
            self.broken("P6", format!("key {key} is settled, and {delivery:?} after its payer came back"));
        }
    }
}
