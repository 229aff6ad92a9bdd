//! The world that the processes live in: virtual time, chains, nodes, the
//! database, and what is wrong with them just now.

pub(crate) mod audit;
pub(crate) mod link;
pub(crate) mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quittance_answers::Objects;
use quittance_facilitator::chain::Obstacle;
use quittance_ledger::PaymentState;
use quittance_ledger::model::ModelDatabase;
use quittance_protocol::PaymentKey;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::{Base, Terms};
use crate::plan::{Crash, Net, Plan};
use crate::random::Random;
use crate::solana::Solana;
use crate::stats::{Fault, Kind, Report};
use crate::world::{audit::Auditor, link::Front};

/// Unix time at which every world begins.
pub(crate) const BEGIN_MS: i64 = 1_800_000_000_000;

/// Port calls of one seed at most; more is a livelock.
const CALLS_MAX: u64 = 200_000;

/// Added to a seed for what a node forgets: other draws are the same without it.
const OBLIVION: u64 = 0x0b11_0b11;

/// The same for commits that come late.
const LATENESS: u64 = 0x1a7e_1a7e;

/// The same for which of two transactions at one nonce nodes keep.
const RACES: u64 = 0x4ace_4ace;

/// Offset of the stream that [`World::purse_dice`] draws from.
const PURSES: u64 = 0x0b0a_7000_0b0a_7000;

/// Unix time of a world that began then.
fn unix_ms(begun: Instant) -> i64 {
    BEGIN_MS.saturating_add(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX))
}

/// What the world knows about a payment and nobody else does.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) net: Net,
    pub(crate) payer: usize,
    /// Set when it is signed.
    pub(crate) terms: Terms,
    pub(crate) last_valid_slot: u64,
    pub(crate) amount: u64,
    pub(crate) signed: bool,
    /// The signer will never sign it.
    pub(crate) unsignable: bool,
    /// Which of our wallets its message names as fee payer, on Solana.
    pub(crate) wallet: usize,
    /// The call it was signed for, by the key that was signed for it first.
    pub(crate) call: usize,
    /// What comes with it.
    pub(crate) identifier: Option<String>,
    /// Its payer signs anew whenever it calls again.
    pub(crate) repeats: bool,
    /// Sold by a foreign server.
    pub(crate) foreign: bool,
    /// Made after the weather ended: must be served.
    pub(crate) probe: bool,
    /// What its payer does to make us pay for nothing.
    pub(crate) attack: Option<Attack>,
}

/// How a payer makes us pay for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Takes the money away once the payment was checked.
    Drains,
    /// Its own code says yes, and then no.
    Code,
    /// Signs many payments, with money for one.
    Sprays,
}

/// A head that stands still: everything is answered, from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frozen {
    pub(crate) since_ms: u64,
    pub(crate) until_ms: u64,
    /// Block or slot.
    pub(crate) head: u64,
}

/// Everything.
pub(crate) struct World {
    pub(crate) plan: Plan,
    begun: Instant,
    pub(crate) random: Random,
    pub(crate) database: ModelDatabase,
    /// The answer store, which outlives processes.
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) base: Base,
    pub(crate) solana: Solana,
    pub(crate) fronts: Vec<Option<Front>>,
    pub(crate) lives: Vec<u32>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) keys: BTreeMap<PaymentKey, usize>,
    /// What payers hold who do not hold plenty.
    pub(crate) purses: BTreeMap<(Net, usize), u64>,
    pub(crate) audit: Auditor,
    pub(crate) report: Report,
    pub(crate) calm: bool,
    /// The seed is over: nothing is judged any more.
    pub(crate) over: bool,
    pub(crate) ledger_down_until: u64,
    /// Until when each wallet is empty: nodes refuse what it cannot pay for.
    pub(crate) empty_until: BTreeMap<(Net, usize), u64>,
    /// Until when each wallet holds little.
    pub(crate) low_until: BTreeMap<(Net, usize), u64>,
    /// Draws what further wallets have to suffer, and nothing else.
    pub(crate) purse_dice: Random,
    /// Whether each process's newest life began after the operator's change, from its first read
    /// of the ledger on.
    pub(crate) moved: Vec<bool>,
    /// Until when every payment fails, and why.
    pub(crate) obstacles: BTreeMap<Net, (u64, Obstacle)>,
    /// Until when the base fee does not fall.
    pub(crate) plateau_until: u64,
    /// Heads that stand still.
    pub(crate) frozen: BTreeMap<(Net, usize), Frozen>,
    pub(crate) no_rate_until: [u64; 2],
    /// Until when the first endpoint of Base denies every landing.
    pub(crate) lies_until: u64,
    /// Until when each endpoint of Solana keeps no history and answers "nowhere" instead.
    pub(crate) no_history_until: [u64; 2],
    /// Draws that, and nothing else.
    pub(crate) oblivion: Random,
    /// Draws which of two at one nonce nodes keep, and nothing else.
    pub(crate) races: Random,
    /// Draws which recordings come late, and nothing else.
    pub(crate) lateness: Random,
    /// Until when each endpoint of each chain does not answer.
    pub(crate) down_until: BTreeMap<(Net, usize), u64>,
    /// The newest answer to a broadcast, per key.
    pub(crate) last_send: BTreeMap<usize, Kind>,
    /// When a process last died while this key was unfinished.
    pub(crate) struck_ms: BTreeMap<usize, u64>,
    pub(crate) next_tx: u32,
    pub(crate) visits: u32,
    pub(crate) broadcasts: u32,
    /// Calls through any port.
    pub(crate) calls: u64,
    /// People who still want an answer.
    pub(crate) waiting: u64,
    hash: u64,
    changed: watch::Sender<u64>,
    trace: Option<Vec<String>>,
}

/// Everybody's access to it.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Mutex<World>>);

impl Handle {
    pub(crate) fn new(plan: Plan, trace: bool) -> Self {
        let shared = plan.processes > 1 || plan.shared;
        let database = if shared { ModelDatabase::shared() } else { ModelDatabase::embedded() };
        let begun = Instant::now();
        // Leases are kept by the database's clock, whatever the hosts' show.
        let database = match plan.canary {
            Some(crate::Canary::LeaseByHostClock) => database,
            _ => database.keeping_leases_by(move || unix_ms(begun)),
        };
        if let Some(defect) = plan.canary.and_then(crate::Canary::defect) {
            database.with(|rows| rows.set_defect(defect));
        }
        Self(Arc::new(Mutex::new(World {
            begun,
            random: Random::new(plan.seed),
            database,
            objects: quittance_answers::memory(),
            base: Base::new(plan.finality),
            solana: Solana::default(),
            fronts: (0..plan.processes).map(|_| None).collect(),
            lives: vec![0; plan.processes],
            facts: Vec::new(),
            keys: BTreeMap::new(),
            purses: BTreeMap::new(),
            audit: Auditor::default(),
            report: Report::default(),
            calm: false,
            over: false,
            ledger_down_until: 0,
            empty_until: BTreeMap::new(),
            low_until: BTreeMap::new(),
            purse_dice: Random::new(plan.seed.wrapping_add(PURSES)),
            moved: vec![false; plan.processes],
            obstacles: BTreeMap::new(),
            plateau_until: 0,
            frozen: BTreeMap::new(),
            no_rate_until: [0; 2],
            lies_until: 0,
            no_history_until: [0; 2],
            oblivion: Random::new(plan.seed.wrapping_add(OBLIVION)),
            races: Random::new(plan.seed.wrapping_add(RACES)),
            lateness: Random::new(plan.seed.wrapping_add(LATENESS)),
            down_until: BTreeMap::new(),
            last_send: BTreeMap::new(),
            struck_ms: BTreeMap::new(),
            next_tx: 1,
            visits: 0,
            broadcasts: 0,
            calls: 0,
            waiting: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            changed: watch::Sender::new(0),
            trace: trace.then(Vec::new),
            plan,
        })))
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sleeps a span that the world draws.
    pub(crate) async fn sleep(&self, low_ms: u64, high_ms: u64) {
        let ms = self.with(|world| world.random.range(low_ms, high_ms));
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }

    pub(crate) async fn sleep_until(&self, ms: u64) {
        let begun = self.with(|world| world.begun);
        tokio::time::sleep_until(begun + std::time::Duration::from_millis(ms)).await;
    }

    /// Anything that decides which cell of the coverage table a payment is in.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.with(|world| world.changed.subscribe())
    }
}

impl World {
    /// Milliseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn shared(&self) -> bool {
        self.plan.processes > 1 || self.plan.shared
    }

    /// A call through a port.
    pub(crate) fn count_call(&mut self, code: u64, key: Option<usize>) {
        self.calls = self.calls.saturating_add(1);
        if self.calls == CALLS_MAX {
            self.audit.violation("livelock", format!("more than {CALLS_MAX} calls"));
            self.over = true;
        }
        self.note(code, key.map_or(u64::MAX, |key| key as u64));
    }

    /// For the hash of a run.
    pub(crate) fn note(&mut self, tag: u64, what: u64) {
        for word in [self.now(), tag, what] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn tell_change(&mut self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// A line of the trace.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>7} ms  {}", line()));
        }
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

    /// Where a payment stands, from the database itself.
    pub(crate) fn state_of(&self, key: usize) -> Option<PaymentState> {
        self.under(key).map(|known| known.payment.state)
    }

    /// The cell of the coverage table that a crash here and now belongs to.
    pub(crate) fn cell(&self, place: Crash, key: usize) -> crate::stats::Cell {
        (self.state_of(key), place, self.last_send.get(&key).copied())
    }

    pub(crate) fn finish(&mut self) -> Report {
        let mut report = std::mem::take(&mut self.report);
        report.hash = self.hash;
        report.events = self.calls;
        report.virtual_ms = self.now();
        report.violations = std::mem::take(&mut self.audit.violations);
        report.trace = self.trace.take().unwrap_or_default();
        report
    }
}
