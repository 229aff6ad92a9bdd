//! What a run counted, and the sum over many.

pub mod cells;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quittance_ledger::PaymentState;
use quittance_protocol::SendOutcome;

use crate::plan::Crash;

macro_rules! faults {
    ($($name:ident $text:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $(#[doc = $text] $name,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For the table.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    Crash "process crashed",
    Paused "process paused",
    RequestLost "RPC request lost",
    AnswerLost "RPC answer lost after acceptance",
    TakenThenError "RPC error after acceptance",
    FalselyKnown "falsely \"already known\"",
    FalselyTaken "accepted and dropped",
    Refused "bytes refused",
    WalletEmpty "a wallet of ours empty for a while",
    WalletLow "one of several wallets of ours low for a while",
    PayoutClosed "token paused, or recipient closed or frozen, for a while",
    HeadStandsStill "head of an endpoint stands still",
    FeePlateau "fee that rises and stays",
    LandedBefore "authorization used before it is brought here",
    Retired "network retired by the operator",
    Slow "slow answer",
    Reordered "bytes late or out of order",
    Duplicated "delivered twice",
    EndpointDown "RPC endpoint down",
    NoHistory "no transaction history",
    StaleHead "stale head",
    FalselyUnused "endpoint denies a landing",
    LedgerDown "ledger down",
    CommitUnknown "commit with lost answer",
    CommitLate "commit that comes after its answer was lost",
    Forgotten "mempool forgot a transaction",
    Reorganisation "reorganisation",
    FeeSpike "fee spike",
    ForkDropped "dropped with its fork",
    Drained "payer drained",
    Cancelled "authorization cancelled",
    ForeignSubmission "authorization submitted by a stranger",
    FailedWithin "failed inside a successful transaction",
    NeverSignable "never signable",
    NoRate "no fresh exchange rate",
    HangUp "client hung up",
    HandlerFailed "handler failed",
    SlowReader "client reads late or not at all",
    StoreFailed "answer store full or silent",
    Thief "thief replays landed bytes",
    OtherRequest "same payment, other request",
    OtherSignature "same payment, other signature",
    Copy "additional copy",
    SignedAnew "call repeated with a fresh signature",
    CutWhileTold "connection cut while a success was on it",
    OtherTerms "same payment, other terms",
    Hostile "payment that is to cost us",
    Batched "payments signed in one transaction",
    LeftOut "left out of a transaction that was rehearsed",
    FailedInBatch "failed inside our transaction for several",
    BatchStarved "transaction for several that ran dry",
}

/// The answer to a broadcast, without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `SendOutcome::Accepted`.
    Accepted,
    /// `SendOutcome::Refused`.
    Refused,
    /// `SendOutcome::Unknown`.
    Unknown,
}

impl Kind {
    /// Of an outcome.
    pub fn of(outcome: &SendOutcome) -> Self {
        match outcome {
            SendOutcome::Accepted => Self::Accepted,
            SendOutcome::Refused { .. } => Self::Refused,
            SendOutcome::Unknown { .. } => Self::Unknown,
        }
    }
}

/// How several attempts at one nonce ended, by whether the newest does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Race {
    /// Whether the newest uses the nonce for nothing.
    pub by_nothing: bool,
    /// Which landed, or that none did for long.
    pub end: &'static str,
}

impl Race {
    /// Every way.
    pub const ALL: [Self; 6] = [
        Self { by_nothing: false, end: "the old one lands" },
        Self { by_nothing: false, end: "the new one lands" },
        Self { by_nothing: false, end: "neither for long" },
        Self { by_nothing: true, end: "the old one lands" },
        Self { by_nothing: true, end: "the new one lands" },
        Self { by_nothing: true, end: "neither for long" },
    ];
}

/// State of the payment, place of the crash, newest answer to a broadcast.
pub type Cell = (Option<PaymentState>, Crash, Option<Kind>);

/// How often a cell of the coverage table must be seen in a default run.
pub const COVERED: u64 = 100;

/// What one seed did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Equal for equal seeds, whatever the machine.
    pub hash: u64,
    /// Events that took place.
    pub events: u64,
    /// Virtual time.
    pub virtual_ms: u64,
    /// Broken invariants: which, and how.
    pub violations: Vec<(&'static str, String)>,
    /// Lines, when they were asked for.
    pub trace: Vec<String>,
    /// By kind, in the order of [`Fault::ALL`].
    pub faults: Vec<u64>,
    /// Crashes at a crash point.
    pub coverage: BTreeMap<Cell, u64>,
    /// From a crash to the verdict of a payment it struck.
    pub slowest_recovery_ms: u64,
    /// Verdicts by state.
    pub verdicts: BTreeMap<PaymentState, u64>,
    /// Broadcasts by answer.
    pub sends: [u64; 3],
    /// Nonces with several attempts, by how that ended.
    pub races: BTreeMap<Race, u64>,
    pub(crate) held: bool,
    pub(crate) held_first: bool,
    pub(crate) aimed: bool,
}

impl Report {
    pub(crate) fn count(&mut self, fault: Fault) {
        if self.faults.is_empty() {
            self.faults = vec![0; Fault::ALL.len()];
        }
        if let Some(count) = self.faults.get_mut(fault as usize) {
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn covered(&mut self, cell: Cell) {
        *self.coverage.entry(cell).or_default() += 1;
    }

    pub(crate) fn raced(&mut self, race: Race) {
        *self.races.entry(race).or_default() += 1;
    }

    pub(crate) fn recovered(&mut self, took_ms: u64) {
        self.slowest_recovery_ms = self.slowest_recovery_ms.max(took_ms);
    }

    /// All faults of this seed.
    pub fn fault_count(&self) -> u64 {
        self.faults.iter().sum()
    }
}

/// The sum over seeds.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds.
    pub seeds: u64,
    /// Events.
    pub events: u64,
    /// Virtual time.
    pub virtual_ms: u64,
    /// By kind.
    pub faults: Vec<u64>,
    /// Seeds by number of faults.
    pub per_seed: BTreeMap<u64, u64>,
    /// Crashes at crash points.
    pub coverage: BTreeMap<Cell, u64>,
    /// Slowest recovery and its seed.
    pub slowest: (u64, u64),
    /// Verdicts.
    pub verdicts: BTreeMap<PaymentState, u64>,
    /// Seeds with a broken invariant.
    pub failed: Vec<(u64, &'static str, String)>,
    /// Broadcasts by answer.
    pub sends: [u64; 3],
    /// Nonces with several attempts, by how that ended.
    pub races: BTreeMap<Race, u64>,
    /// Seeds that aimed at a cell, and hit it.
    pub hits: u64,
}

impl Totals {
    /// Adds one seed.
    pub fn add(&mut self, seed: u64, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.virtual_ms += report.virtual_ms;
        self.faults.resize(Fault::ALL.len(), 0);
        for (sum, count) in self.faults.iter_mut().zip(&report.faults) {
            *sum += count;
        }
        *self.per_seed.entry(report.fault_count()).or_default() += 1;
        for (cell, count) in report.coverage {
            *self.coverage.entry(cell).or_default() += count;
        }
        self.slowest = self.slowest.max((report.slowest_recovery_ms, seed));
        for (state, count) in report.verdicts {
            *self.verdicts.entry(state).or_default() += count;
        }
        for (sum, count) in self.sends.iter_mut().zip(report.sends) {
            *sum += count;
        }
        for (race, count) in report.races {
            *self.races.entry(race).or_default() += count;
        }
        self.hits += u64::from(report.aimed);
        if let Some((which, what)) = report.violations.into_iter().next() {
            self.failed.push((seed, which, what));
        }
    }

    /// How many faults a seed has that this part (in per mille) of the seeds do not exceed.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = self.seeds.saturating_mul(per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (faults, seeds) in &self.per_seed {
            seen += seeds;
            if seen >= wanted {
                return *faults;
            }
        }
        0
    }

    /// Crashes of all kinds.
    pub fn crashes(&self) -> u64 {
        self.faults.get(Fault::Crash as usize).copied().unwrap_or(0)
    }

    /// The tables for people.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "faults by kind");
        for (fault, count) in Fault::ALL.iter().zip(&self.faults) {
            let _ = writeln!(out, "  {:<42} {count:>10}", fault.name());
        }
        let [p5, p25, p50, p75, p95] = [50, 250, 500, 750, 950].map(|at| self.quantile(at));
        let _ = writeln!(out, "faults per seed: 5 % {p5}, 25 % {p25}, median {p50}, 75 % {p75}, 95 % {p95}");
        let [accepted, refused, unknown] = self.sends;
        let _ = writeln!(out, "broadcasts: {accepted} accepted, {refused} refused, {unknown} unknown",);
        let verdicts: Vec<String> =
            self.verdicts.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
        let _ = writeln!(out, "verdicts: {}", verdicts.join(", "));
        let _ = writeln!(out, "nonces with several attempts, by what the newest does");
        for race in Race::ALL {
            let what = if race.by_nothing { "nothing" } else { "the same" };
            let count = self.races.get(&race).copied().unwrap_or(0);
            let _ = writeln!(out, "  {what:<10} {:<22} {count:>9}", race.end);
        }
        self.coverage_table(&mut out);
        out
    }

    /// Possible cells that were seen less often than this.
    pub fn thin_cells(&self, wanted: u64) -> Vec<Cell> {
        let thin = |cell: &Cell| self.coverage.get(cell).copied().unwrap_or(0) < wanted;
        cells::possible().into_iter().filter(thin).collect()
    }

    /// Cells that a rule calls impossible, and that were seen.
    pub fn disproved(&self) -> Vec<Cell> {
        self.coverage.keys().filter(|cell| cells::impossible(cell).is_some()).copied().collect()
    }

    fn coverage_table(&self, out: &mut String) {
        let _ = writeln!(out, "crashes by state and crash point, by the newest answer to a broadcast");
        let _ = writeln!(
            out,
            "  {:<10} {:<22} {:>9} {:>9} {:>9} {:>9}",
            "state", "crash point", "none", "accepted", "refused", "unknown"
        );
        for state in cells::states() {
            for place in Crash::ALL {
                let cell = |kind| {
                    let cell = (state, place, kind);
                    match (self.coverage.get(&cell), cells::impossible(&cell)) {
                        (Some(count), _) => count.to_string(),
                        (None, Some(_)) => "-".to_owned(),
                        (None, None) => "0".to_owned(),
                    }
                };
                if cells::kinds().iter().all(|kind| cells::impossible(&(state, place, *kind)).is_some()) {
                    continue;
                }
                let _ = writeln!(
                    out,
                    "  {:<10} {:<22} {:>9} {:>9} {:>9} {:>9}",
                    state.map_or("-", PaymentState::as_str),
                    format!("{place:?}"),
                    cell(None),
                    cell(Some(Kind::Accepted)),
                    cell(Some(Kind::Refused)),
                    cell(Some(Kind::Unknown)),
                );
            }
        }
        let mut rules: BTreeMap<&'static str, u32> = BTreeMap::new();
        for rule in cells::all().iter().filter_map(cells::impossible) {
            *rules.entry(rule).or_default() += 1;
        }
        for (rule, count) in rules {
            let _ = writeln!(out, "  impossible ({count} cells): {rule}");
        }
        let (all, thin) = (cells::possible().len(), self.thin_cells(COVERED).len());
        let _ = writeln!(
            out,
            "cells seen at least {COVERED} times, of those that are possible: {} of {all}",
            all - thin
        );
        for cell in self.disproved() {
            let _ = writeln!(out, "seen and called impossible: {cell:?}");
        }
    }
}
