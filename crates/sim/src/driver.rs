//! The driver of one payment, mirrored from `facilitator::settle::Driver`: the
//! same effects in the same order, one at a time, each a place to die.

use std::collections::VecDeque;

use quittance_facilitator::engine::{Alert, Effect, Event, State, Verdict};
use quittance_protocol::{Evidence, Landing};

use crate::canary::{Canary, advance};
use crate::ledger::{LedgerFault, says};
use crate::ops::{Checked, Op, Reply, Who};
use crate::plan::{Crash, Net};
use crate::stats::Fault;
use crate::world::{What, World};

/// Evidence a driver may leave unread, as in the shared poller.
const EVIDENCE_MAX: usize = 16;

/// As the driver's `COMMIT_RETRY`.
const COMMIT_RETRY_MS: u64 = 500;

/// One payment under way in one process.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) row: usize,
    pub(crate) key: usize,
    pub(crate) state: State,
    pub(crate) newest: Option<usize>,
    pub(crate) attempts: Vec<usize>,
    pub(crate) watching: bool,
    pub(crate) over: bool,
    inbox: VecDeque<Evidence>,
    wake_at: Option<u64>,
    events: VecDeque<Event>,
    effects: VecDeque<Effect>,
    busy: Option<Busy>,
    /// Found again, and the chain was not asked since (I10).
    unasked: bool,
}

#[derive(Clone, Debug)]
enum Busy {
    Record,
    Send,
    Recheck,
    Commit(Verdict),
    /// Sleeps before it reports that a commit failed.
    Retry,
}

impl Driver {
    pub(crate) fn claimed(row: usize, key: usize) -> Self {
        Self {
            row,
            key,
            state: State::claimed(),
            newest: None,
            attempts: Vec::new(),
            watching: false,
            over: false,
            inbox: VecDeque::new(),
            wake_at: None,
            events: VecDeque::from([Event::Started]),
            effects: VecDeque::new(),
            busy: None,
            unasked: false,
        }
    }

    pub(crate) fn resumed(row: usize, key: usize, recorded: bool, attempts: Vec<usize>) -> Self {
        let mut driver = Self::claimed(row, key);
        if recorded {
            driver.state = State::recorded(u32::try_from(attempts.len()).unwrap_or(u32::MAX));
        }
        driver.newest = attempts.last().copied();
        driver.attempts = attempts;
        driver.events = VecDeque::from([Event::Found]);
        driver.unasked = !recorded;
        driver
    }

    pub(crate) fn keep(&mut self, attempts: Vec<usize>) {
        self.newest = attempts.last().copied();
        self.attempts = attempts;
    }
}

impl World {
    pub(crate) fn add_driver(&mut self, p: usize, driver: Driver) {
        self.processes[p].drivers.push(driver);
        let (d, life) = (self.processes[p].drivers.len().saturating_sub(1), self.processes[p].life);
        self.after(0, What::Drive { p, life, d });
    }

    /// Goes on until something must be waited for.
    pub(crate) fn drive(&mut self, p: usize, d: usize) {
        let life = self.processes[p].life;
        loop {
            let now = self.now;
            if self.processes[p].life != life || !self.processes[p].alive {
                return;
            }
            let Some(driver) = self.processes[p].drivers.get_mut(d) else { return };
            if driver.over || driver.busy.is_some() {
                return;
            }
            if let Some(effect) = driver.effects.pop_front() {
                self.perform(p, d, effect);
                continue;
            }
            let event = match driver.events.pop_front() {
                Some(event) => event,
                None if driver.state.is_done() => {
                    driver.over = true;
                    return self.ended(p, d);
                }
                None => match driver.inbox.pop_front() {
                    Some(evidence) => Event::Seen(evidence),
                    None if driver.wake_at.is_some_and(|at| at <= now) => {
                        driver.wake_at = None;
                        Event::Due
                    }
                    None => return,
                },
            };
            let said = (driver.key, event.clone());
            let effects = advance(self.plan.canary, &mut driver.state, event);
            driver.effects.extend(effects.iter().cloned());
            self.say(|| format!("p{p} d{d} key {} {:?} -> {effects:?}", said.0, said.1));
        }
    }

    fn ended(&mut self, p: usize, d: usize) {
        let driver = &self.processes[p].drivers[d];
        let (key, state) = (driver.key, driver.state.clone());
        if let Some(struck) = self.struck_ms.remove(&key) {
            let took = self.now.saturating_sub(struck);
            self.report.recovered(took);
        }
        self.audit_contradiction(state);
    }

    fn perform(&mut self, p: usize, d: usize, effect: Effect) {
        let driver = &mut self.processes[p].drivers[d];
        let (row, key) = (driver.row, driver.key);
        match effect {
            Effect::Record => self.record(p, d),
            Effect::Send => {
                let Some(attempt) = driver.newest else { return };
                driver.busy = Some(Busy::Send);
                if !self.crash_point(p, Crash::BeforeSend, key) {
                    self.broadcast(p, Who::Driver(d), attempt);
                }
            }
            Effect::Watch => self.watch(p, d),
            Effect::Wake(ms) => {
                driver.wake_at = Some(self.now.saturating_add(ms));
                let life = self.processes[p].life;
                self.after(ms, What::Drive { p, life, d });
            }
            Effect::Recheck => self.recheck(p, d),
            Effect::Commit(verdict) => {
                driver.busy = Some(Busy::Commit(verdict.clone()));
                if !self.crash_point(p, Crash::BeforeVerdict, key) {
                    self.commit(p, Who::Driver(d), Op::Verdict { row, verdict });
                }
            }
            Effect::BookCost { landing, earned } => self.audit_cost(row, &landing, earned),
            Effect::Announce => self.announce(p, row),
            Effect::Alert(Alert::Waiting(_)) => self.report.waiting = self.report.waiting.saturating_add(1),
            Effect::Alert(_) => {}
        }
    }

    fn record(&mut self, p: usize, d: usize) {
        let driver = &mut self.processes[p].drivers[d];
        let (row, key) = (driver.row, driver.key);
        driver.busy = Some(Busy::Record);
        let unasked = driver.unasked && driver.attempts.is_empty();
        let from = match driver.newest {
            Some(_) => crate::ledger::State::Recorded,
            None => crate::ledger::State::Claimed,
        };
        if unasked {
            self.audit
                .violation("I10", format!("key {key} was found again and signed without asking the chain"));
        }
        if self.crash_point(p, Crash::BeforeRecord, key) {
            return;
        }
        if self.fault(self.plan.weather.no_rate, Fault::NoRate) {
            let life = self.processes[p].life;
            let reply = Reply::NotSigned { retry: true, reason: "no fresh exchange rate" };
            return self.after(1, What::Reply { p, life, who: Who::Driver(d), reply });
        }
        if self.plan.canary == Some(Canary::SendBeforeRecord) {
            self.leak(row);
        }
        self.commit(p, Who::Driver(d), Op::Record { row, from });
    }

    /// On Solana the same bytes would come out again, and bytes that cannot
    /// land cost nothing: only Base asks the chain.
    fn recheck(&mut self, p: usize, d: usize) {
        let driver = &mut self.processes[p].drivers[d];
        let key = driver.key;
        driver.unasked = false;
        if self.facts[key].net == Net::Solana {
            let still_good = driver.newest.is_none();
            driver.events.push_back(Event::Rechecked { still_good });
            return;
        }
        driver.busy = Some(Busy::Recheck);
        self.ask_chain(p, Who::Driver(d), key);
    }

    /// Registers anew: what an earlier registration still held is lost.
    fn watch(&mut self, p: usize, d: usize) {
        let driver = &mut self.processes[p].drivers[d];
        driver.inbox.clear();
        driver.watching = true;
        let key = driver.key;
        self.start_polling(p, self.facts[key].net);
    }

    pub(crate) fn evidence(&mut self, p: usize, d: usize, evidence: Evidence) {
        let Some(driver) = self.processes[p].drivers.get_mut(d) else { return };
        if !driver.over && driver.inbox.len() < EVIDENCE_MAX {
            driver.inbox.push_back(evidence);
            self.drive(p, d);
        }
    }

    pub(crate) fn driver_reply(&mut self, p: usize, d: usize, reply: Reply) {
        let Some(driver) = self.processes[p].drivers.get_mut(d) else { return };
        let (row, key) = (driver.row, driver.key);
        let Some(busy) = driver.busy.take() else { return };
        let place = match busy {
            Busy::Record => Some(Crash::AfterRecord),
            Busy::Send => Some(Crash::AfterSend),
            Busy::Commit(_) => Some(Crash::AfterVerdict),
            Busy::Recheck | Busy::Retry => None,
        };
        if place.is_some_and(|place| self.crash_point(p, place, key)) {
            return;
        }
        let event = match (busy, reply) {
            (Busy::Record, Reply::Recorded) => self.recorded(p, d),
            (Busy::Record, Reply::NotSigned { retry, reason }) => {
                Event::NotRecorded { retry, reason: reason.to_owned() }
            }
            (Busy::Record, _) => self.recover_record(p, d),
            (Busy::Send, Reply::Sent(outcome)) => Event::Sent(outcome),
            (Busy::Recheck, Reply::Checked(checked)) => {
                Event::Rechecked { still_good: checked == Checked::Good }
            }
            (Busy::Commit(_), Reply::Done) => Event::Committed,
            // An earlier try of this commit worked although its answer was lost.
            (Busy::Commit(verdict), Reply::Fault(LedgerFault::Transition(state)))
                if says(state, &verdict) =>
            {
                Event::Committed
            }
            (Busy::Commit(_), _) => {
                self.processes[p].drivers[d].busy = Some(Busy::Retry);
                let life = self.processes[p].life;
                let (who, reply) = (Who::Driver(d), Reply::Done);
                return self.after(COMMIT_RETRY_MS, What::Reply { p, life, who, reply });
            }
            (Busy::Retry, _) => Event::CommitFailed,
            (busy, reply) => {
                self.audit.violation("simulator", format!("row {row}: {reply:?} for {busy:?}"));
                return;
            }
        };
        self.processes[p].drivers[d].events.push_back(event);
        self.drive(p, d);
    }

    fn recorded(&mut self, p: usize, d: usize) -> Event {
        let row = self.processes[p].drivers[d].row;
        let attempts = self.ledger.attempts_of(row);
        self.processes[p].drivers[d].keep(attempts);
        self.watch(p, d);
        Event::Recorded
    }

    /// A commit may have worked although its answer was lost: read first.
    fn recover_record(&mut self, p: usize, d: usize) -> Event {
        let driver = &self.processes[p].drivers[d];
        let (row, before) = (driver.row, driver.attempts.len());
        if self.can_read() && self.ledger.attempts_of(row).len() > before {
            return self.recorded(p, d);
        }
        Event::NotRecorded { retry: true, reason: "recording failed".to_owned() }
    }

    /// Costs are booked once for each transaction that was included.
    fn audit_cost(&mut self, row: usize, landing: &Landing, earned: bool) {
        let key = self.ledger.payments[row].key;
        let ours = landing.paid_by_us;
        if earned && !ours {
            self.audit
                .violation("I10", format!("key {key}: a stranger's transaction was booked as our cost"));
        }
    }
}
