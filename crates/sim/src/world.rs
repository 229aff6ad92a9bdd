//! The world: a queue of events in virtual time, and everything that happens in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use quittance_protocol::Evidence;

use crate::audit::Auditor;
use crate::base::{Base, Terms, Tx};
use crate::canary::Canary;
use crate::driver::Driver;
use crate::gate::{Client, Request};
use crate::ledger::{Ledger, Owner, State};
use crate::ops::{Op, Reply, Who};
use crate::plan::{Crash, Net, Plan};
use crate::random::Random;
use crate::solana::{SLOT_MS, Solana};
use crate::stats::{Fault, Kind, Report};

/// Block time of Base.
pub(crate) const BLOCK_MS: u64 = 2_000;

/// Pause between two decisions of the weather.
const CHAOS_MS: u64 = 1_000;

/// Events of one seed at most; more is a livelock.
const EVENTS_MAX: u64 = 400_000;

/// What the world knows about a payment and nobody else does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    pub(crate) net: Net,
    pub(crate) terms: Terms,
    pub(crate) last_valid_slot: u64,
    /// The signer will never sign it.
    pub(crate) unsignable: bool,
    /// Made after the weather ended: must be served.
    pub(crate) probe: bool,
}

/// One life of one process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) alive: bool,
    /// Counts lives; what an earlier one left in the queue is dropped.
    pub(crate) life: u32,
    pub(crate) me: Option<Owner>,
    /// What it believes about its lease.
    pub(crate) lease_until_ms: u64,
    pub(crate) paused_until_ms: u64,
    pub(crate) drivers: Vec<Driver>,
    pub(crate) polling: [bool; 2],
    /// The lane keeper's cursor; `None` until it has begun.
    pub(crate) lane_used: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Drive { p: usize, life: u32, d: usize },
    Arrive { p: usize, life: u32, by: Owner, who: Who, op: Op, answered: bool },
    Reply { p: usize, life: u32, who: Who, reply: Reply },
    Seen { p: usize, life: u32, d: usize, evidence: Evidence },
    Poll { p: usize, life: u32, net: Net },
    Beat { p: usize, life: u32 },
    Lane { p: usize, life: u32 },
    Boot { p: usize },
    Ask { client: usize },
    Reread { p: usize, life: u32, r: usize },
    HandlerDone { p: usize, life: u32, r: usize },
    BaseGets { tx: Tx },
    SolanaGets { key: usize },
    Block,
    Chaos,
    Calm,
    Thief { key: usize, tries: u32 },
}

struct Item(u64, u64, What);

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Everything.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) ledger: Ledger,
    pub(crate) base: Base,
    pub(crate) solana: Solana,
    pub(crate) processes: Vec<Process>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) clients: Vec<Client>,
    pub(crate) requests: Vec<Request>,
    pub(crate) audit: Auditor,
    pub(crate) report: Report,
    pub(crate) calm: bool,
    pub(crate) ledger_down_until: u64,
    /// Nodes refuse what the wallet cannot pay for.
    pub(crate) wallet_empty_until: u64,
    /// Until when the first endpoint of Base denies every landing.
    pub(crate) lies_until: u64,
    /// Until when each endpoint of each chain does not answer.
    pub(crate) down_until: BTreeMap<(Net, usize), u64>,
    /// Broadcast answers seen per key: for the coverage table only.
    pub(crate) last_send: BTreeMap<usize, Kind>,
    /// When a process last died while this key was unfinished.
    pub(crate) struck_ms: BTreeMap<usize, u64>,
    pub(crate) next_tx: u32,
    pub(crate) visits: u32,
    pub(crate) broadcasts: u32,
    queue: BinaryHeap<Reverse<Item>>,
    sequence: u64,
    events: u64,
    hash: u64,
    trace: Option<Vec<String>>,
}

impl World {
    /// A world at time zero.
    pub fn new(plan: Plan, trace: bool) -> Self {
        let ledger = Ledger { canary: plan.canary, ..Ledger::default() };
        let mut world = Self {
            now: 0,
            random: Random::new(plan.seed),
            ledger,
            base: Base::new(plan.finality),
            solana: Solana::default(),
            processes: (0..plan.processes).map(|_| Process::default()).collect(),
            facts: Vec::new(),
            clients: Vec::new(),
            requests: Vec::new(),
            audit: Auditor::default(),
            report: Report::default(),
            calm: false,
            ledger_down_until: 0,
            wallet_empty_until: 0,
            lies_until: 0,
            down_until: BTreeMap::new(),
            last_send: BTreeMap::new(),
            struck_ms: BTreeMap::new(),
            next_tx: 1,
            visits: 0,
            broadcasts: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            events: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace: trace.then(Vec::new),
            plan,
        };
        for p in 0..world.plan.processes {
            world.at(0, What::Boot { p });
        }
        world.at(BLOCK_MS, What::Block);
        world.at(CHAOS_MS, What::Chaos);
        world.at(world.plan.calm_ms, What::Calm);
        for key in 0..world.plan.payments {
            let at = world.random.range(500, 25_000);
            world.new_payment(at, key, false);
        }
        world
    }

    /// Lets everything happen; the report says what was found.
    pub fn run(mut self) -> Report {
        self.settle_everything();
        self.probe();
        self.restart_everything();
        self.finish()
    }

    pub(crate) fn at(&mut self, when: u64, what: What) {
        self.sequence = self.sequence.saturating_add(1);
        self.queue.push(Reverse(Item(when.max(self.now), self.sequence, what)));
    }

    pub(crate) fn after(&mut self, ms: u64, what: What) {
        self.at(self.now.saturating_add(ms), what);
    }

    /// Runs until nothing more is needed or the time is over.
    fn run_until(&mut self, end_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            match self.queue.peek() {
                Some(Reverse(item)) if item.0 <= end_ms => {}
                _ => return false,
            }
            let Some(Reverse(Item(when, _, what))) = self.queue.pop() else { return false };
            self.now = when;
            self.events = self.events.saturating_add(1);
            if self.events > EVENTS_MAX {
                self.audit.violation("livelock", format!("more than {EVENTS_MAX} events"));
                return false;
            }
            self.note(&what);
            self.dispatch(what);
            self.audit_ledger();
        }
    }

    /// Until the weather is over and every payment has ended, or should have.
    fn settle_everything(&mut self) {
        let calm = self.plan.calm_ms;
        self.run_until(calm, |world| world.calm);
        let bound = self.deadline_of_all();
        let done = self.run_until(bound, |world| {
            world.calm
                && world.requests_over()
                && world.ledger.payments.iter().all(|row| row.state.is_final())
        });
        if !done {
            self.audit_unfinished(bound);
        }
    }

    /// New payments must go through: no wallet waits behind a lost nonce.
    fn probe(&mut self) {
        let (from, first) = (self.now, self.facts.len());
        for key in [first, first.saturating_add(1)] {
            self.new_payment(from.saturating_add(1_000), key, true);
        }
        self.run_until(from.saturating_add(90_000), |world| {
            world.clients.iter().all(|client| !client.open || !world.facts[client.key].probe)
        });
        self.audit_probes();
    }

    /// After one more start of every process each settled payment must buy something.
    fn restart_everything(&mut self) {
        let from = self.now;
        self.audit_drivers();
        self.count_stuck_runs();
        for p in 0..self.plan.processes {
            self.kill(p);
            self.at(from.saturating_add(10), What::Boot { p });
        }
        let keys: Vec<usize> = self.ledger.payments.iter().map(|row| row.key).collect();
        for key in keys {
            self.last_visit(key, from.saturating_add(1_000));
        }
        let end = from.saturating_add(240_000);
        self.run_until(end, |world| world.requests_over());
    }

    fn finish(mut self) -> Report {
        self.audit_end();
        let mut report = self.report;
        report.hash = self.hash;
        report.events = self.events;
        report.virtual_ms = self.now;
        report.violations = self.audit.violations;
        report.gaps = self.audit.gaps;
        report.trace = self.trace.unwrap_or_default();
        report
    }

    fn note(&mut self, what: &What) {
        let (tag, a, b) = what.code();
        for word in [self.now, tag, a, b] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.trace.is_some()
            && !matches!(what, What::Block | What::Chaos | What::Beat { .. } | What::Lane { .. })
        {
            self.say(|| format!("{what:?}"));
        }
    }

    /// A line of the trace.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>7} ms  {}", self.now, line()));
        }
    }

    /// Events of a paused process wait; those of an earlier life are dropped.
    fn dispatch(&mut self, what: What) {
        if let Some((p, life)) = what.process() {
            let process = &self.processes[p];
            if !process.alive || process.life != life {
                return;
            }
            if process.paused_until_ms > self.now {
                let until = process.paused_until_ms;
                return self.at(until, what);
            }
        }
        match what {
            What::Drive { p, d, .. } => self.drive(p, d),
            What::Arrive { p, life, by, who, op, answered } => self.arrive((p, life), by, who, op, answered),
            What::Reply { p, who: Who::Driver(d), reply, .. } => self.driver_reply(p, d, reply),
            What::Reply { p, who: Who::Request(r), reply, .. } => self.request_reply(p, r, reply),
            What::Reply { who: Who::Nobody, .. } => {}
            What::Seen { p, d, evidence, .. } => self.evidence(p, d, evidence),
            What::Poll { p, net, .. } => self.poll(p, net),
            What::Beat { p, .. } => self.beat(p),
            What::Lane { p, .. } => self.lane(p),
            What::Boot { p } => self.boot(p),
            What::Ask { client } => self.ask(client),
            What::Reread { p, r, .. } => self.reread(p, r),
            What::HandlerDone { p, r, .. } => self.handler_done(p, r),
            What::BaseGets { tx } => {
                self.audit_bytes(tx.key, tx.nonce.map(|_| tx.id));
                self.base.take(tx);
            }
            What::SolanaGets { key } => self.solana_gets(key),
            What::Block => self.block(),
            What::Chaos => {
                if !self.calm {
                    self.chaos();
                    self.after(CHAOS_MS, What::Chaos);
                }
            }
            What::Calm => self.calm_down(),
            What::Thief { key, tries } => self.thief(key, tries),
        }
    }

    fn solana_gets(&mut self, key: usize) {
        self.audit_bytes(key, Some(crate::ops::solana_tx(key)));
        let fact = self.facts[key];
        let doomed = self.fault(self.plan.weather.doomed, Fault::ForkDropped);
        let broke = fact.terms.broke(self.now);
        self.solana.execute(key, fact.last_valid_slot, broke, doomed, self.now);
        if let Some(landed) = self.solana.status(key, crate::solana::slot(self.now)) {
            let ok = landed.ok;
            self.say(|| format!("solana: key {key} executed, ok {ok}, doomed {doomed}"));
        }
    }

    fn block(&mut self) {
        let facts = self.facts.clone();
        let broken = Terms { valid_before_ms: 0, broke_ms: None, flickers: false };
        let omit = if self.calm { 0 } else { self.plan.weather.omitted };
        let waiting = self.base.pool.len();
        self.base.mine(self.now, omit, &mut self.random, |key| facts.get(key).map_or(broken, |f| f.terms));
        if waiting > 0 {
            let (head, left) = (self.base.head(), self.base.pool.len());
            self.say(|| format!("base: block {head}, {left} of {waiting} transactions still wait"));
        }
        self.after(BLOCK_MS, What::Block);
    }

    /// Draws a fault, and counts it.
    pub(crate) fn fault(&mut self, per_mille: u64, fault: Fault) -> bool {
        let hit = !self.calm && self.random.chance(per_mille);
        if hit {
            self.report.count(fault);
            self.say(|| format!("fault: {}", fault.name()));
        }
        hit
    }

    /// A place where the process may die. True if it did.
    pub(crate) fn crash_point(&mut self, p: usize, place: Crash, key: usize) -> bool {
        let dies = match self.plan.forced {
            Some(forced) if forced.crash == place && key == 0 => {
                self.visits = self.visits.saturating_add(1);
                self.visits == forced.visit
            }
            Some(_) => false,
            None => !self.calm && self.random.chance(self.plan.weather.crash),
        };
        if dies {
            let state = self.ledger.by_key(key).map(|row| self.ledger.payments[row].state);
            let sent = self.last_send.get(&key).copied();
            self.report.covered((state, place, sent));
            self.crash(p);
        }
        dies
    }

    /// The process dies; it comes back, or others take its payments.
    pub(crate) fn crash(&mut self, p: usize) {
        self.report.count(Fault::Crash);
        self.say(|| format!("crash of process {p}"));
        self.kill(p);
        let pause = self.random.range(500, 20_000);
        self.after(pause, What::Boot { p });
    }

    pub(crate) fn kill(&mut self, p: usize) {
        let struck: Vec<usize> =
            self.processes[p].drivers.iter().filter(|d| !d.over).map(|d| d.key).collect();
        for key in struck {
            self.struck_ms.insert(key, self.now);
        }
        self.audit.runs.retain(|run| run.process != p);
        let process = &mut self.processes[p];
        process.alive = false;
        process.drivers.clear();
        process.polling = [false; 2];
        process.lane_used = None;
        process.paused_until_ms = 0;
        self.disconnect(p);
    }

    /// As `Facilitator::start`: enter, resume, begin the background tasks.
    fn boot(&mut self, p: usize) {
        if self.processes[p].alive {
            return;
        }
        let lease = self.lease_end();
        let me = self.ledger.enter(p, lease, self.shared());
        let process = &mut self.processes[p];
        process.alive = true;
        process.life = process.life.saturating_add(1);
        process.me = Some(me);
        process.lease_until_ms = lease;
        let life = process.life;
        self.ledger.next_nonce = self.ledger.next_nonce.max(self.base.nonces_used(self.base.head()));
        let mut rows = self.ledger.unfinished(me);
        let adopted = self.ledger.adopt_orphans(me, self.now);
        rows.extend(adopted.into_iter().filter(|row| !rows.contains(row)).collect::<Vec<_>>());
        for row in rows {
            self.resume(p, row);
        }
        let third = self.plan.lease_ms / 3;
        self.after(third, What::Beat { p, life });
        self.after(2_000, What::Lane { p, life });
    }

    pub(crate) fn resume(&mut self, p: usize, row: usize) {
        if self.plan.canary == Some(Canary::NothingResumed) || self.ledger.payments[row].state.is_final() {
            return;
        }
        let payment = &self.ledger.payments[row];
        let attempts = self.ledger.attempts_of(row);
        let driver = Driver::resumed(row, payment.key, payment.state == State::Recorded, attempts);
        self.add_driver(p, driver);
    }

    fn beat(&mut self, p: usize) {
        let Some(me) = self.processes[p].me else { return };
        let life = self.processes[p].life;
        let third = self.plan.lease_ms / 3;
        self.after(third, What::Beat { p, life });
        if self.ledger_down_until > self.now {
            return;
        }
        let lease = self.lease_end();
        if !self.ledger.heartbeat(me, lease) {
            // Fenced while it slept: it joins again, and what others took stays theirs.
            self.report.rejoined = self.report.rejoined.saturating_add(1);
            let me = self.ledger.enter(p, lease, true);
            self.processes[p].me = Some(me);
        }
        self.processes[p].lease_until_ms = lease;
        let Some(me) = self.processes[p].me else { return };
        for row in self.ledger.adopt_orphans(me, self.now) {
            self.resume(p, row);
        }
    }

    pub(crate) fn shared(&self) -> bool {
        self.plan.processes > 1
    }

    fn lease_end(&self) -> u64 {
        if self.shared() { self.now.saturating_add(self.plan.lease_ms) } else { u64::MAX }
    }

    /// The weather ends, and what is dead comes back.
    fn calm_down(&mut self) {
        self.calm = true;
        self.base.base_fee = 10;
        self.ledger_down_until = 0;
        self.wallet_empty_until = 0;
        self.lies_until = 0;
        self.down_until.clear();
        for p in 0..self.plan.processes {
            self.processes[p].paused_until_ms = 0;
            self.after(10, What::Boot { p });
        }
    }

    /// When every payment must have ended: its deadline or the end of the
    /// weather, the finality lag, and a minute to recover.
    fn deadline_of_all(&self) -> u64 {
        let finality =
            self.plan.finality.saturating_mul(BLOCK_MS).max(crate::solana::FINALIZED_SLOTS * SLOT_MS);
        let deadlines = self.facts.iter().map(|fact| match fact.net {
            Net::Base => fact.terms.valid_before_ms,
            Net::Solana => fact.last_valid_slot.saturating_mul(SLOT_MS),
        });
        let last = deadlines.max().unwrap_or(0).max(self.plan.calm_ms);
        last.saturating_add(finality).saturating_add(60_000)
    }
}

impl What {
    /// Whose life it belongs to. What is under way in the network belongs to nobody.
    fn process(&self) -> Option<(usize, u32)> {
        match self {
            Self::Drive { p, life, .. }
            | Self::Reply { p, life, .. }
            | Self::Seen { p, life, .. }
            | Self::Poll { p, life, .. }
            | Self::Beat { p, life }
            | Self::Lane { p, life }
            | Self::Reread { p, life, .. }
            | Self::HandlerDone { p, life, .. } => Some((*p, *life)),
            _ => None,
        }
    }

    /// For the hash of a run.
    fn code(&self) -> (u64, u64, u64) {
        match self {
            Self::Drive { p, d, .. } => (1, *p as u64, *d as u64),
            Self::Arrive { p, who, op, .. } => (2, *p as u64, who.code() ^ op.code()),
            Self::Reply { p, who, .. } => (3, *p as u64, who.code()),
            Self::Seen { p, d, evidence, .. } => {
                let kind = match evidence {
                    Evidence::Settled(_) => 1,
                    Evidence::Reverted(_) => 2,
                    Evidence::Canceled(_) => 3,
                    Evidence::Expired { .. } => 4,
                };
                (4, *p as u64, (*d as u64) << 8 | kind)
            }
            Self::Poll { p, net, .. } => (5, *p as u64, *net as u64),
            Self::Beat { p, .. } => (6, *p as u64, 0),
            Self::Lane { p, .. } => (7, *p as u64, 0),
            Self::Boot { p } => (8, *p as u64, 0),
            Self::Ask { client } => (9, *client as u64, 0),
            Self::Reread { p, r, .. } => (10, *p as u64, *r as u64),
            Self::HandlerDone { p, r, .. } => (11, *p as u64, *r as u64),
            Self::BaseGets { tx } => (12, u64::from(tx.id), tx.key as u64),
            Self::SolanaGets { key } => (13, *key as u64, 0),
            Self::Block => (14, 0, 0),
            Self::Chaos => (15, 0, 0),
            Self::Calm => (16, 0, 0),
            Self::Thief { key, tries } => (17, *key as u64, u64::from(*tries)),
        }
    }
}
