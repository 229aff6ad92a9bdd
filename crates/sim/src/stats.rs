//! What a run counted, and the sum over many.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use quittance_protocol::SendOutcome;

use crate::ledger::State;
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
    WalletEmpty "our wallet empty for a while",
    Slow "slow answer",
    Reordered "bytes late or out of order",
    Duplicated "delivered twice",
    EndpointDown "RPC endpoint down",
    StaleHead "stale head",
    FalselyUnused "endpoint denies a landing",
    LedgerDown "ledger down",
    CommitUnknown "commit with lost answer",
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
    Thief "thief replays landed bytes",
    OtherRequest "same payment, other request",
    Copy "additional copy",
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

/// State of the payment, place of the crash, newest answer to a broadcast.
pub type Cell = (Option<State>, Crash, Option<Kind>);

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
    /// Known gaps that showed.
    pub gaps: Vec<&'static str>,
    /// Lines, when they were asked for.
    pub trace: Vec<String>,
    /// By kind, in the order of [`Fault::ALL`].
    pub faults: Vec<u64>,
    /// Crashes at a crash point.
    pub coverage: BTreeMap<Cell, u64>,
    /// From a crash to the verdict of a payment it struck.
    pub slowest_recovery_ms: u64,
    /// Verdicts by state.
    pub verdicts: BTreeMap<State, u64>,
    /// Broadcasts by answer.
    pub sends: [u64; 3],
    /// Broadcasts by the lane keeper.
    pub lane_sends: u64,
    /// Heartbeats that found the process fenced, and joined again.
    pub rejoined: u64,
    /// Times a payment waited for fees or rates.
    pub waiting: u64,
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
    pub verdicts: BTreeMap<State, u64>,
    /// Known gaps that showed.
    pub gaps: BTreeMap<&'static str, u64>,
    /// Seeds with a broken invariant.
    pub failed: Vec<(u64, &'static str, String)>,
    /// Broadcasts by answer.
    pub sends: [u64; 3],
    /// Broadcasts by the lane keeper.
    pub lane_sends: u64,
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
        for gap in report.gaps {
            *self.gaps.entry(gap).or_default() += 1;
        }
        for (sum, count) in self.sends.iter_mut().zip(report.sends) {
            *sum += count;
        }
        self.lane_sends += report.lane_sends;
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
        let _ = writeln!(
            out,
            "broadcasts: {accepted} accepted, {refused} refused, {unknown} unknown ({} by the lane keeper)",
            self.lane_sends
        );
        let verdicts: Vec<String> =
            self.verdicts.iter().map(|(state, count)| format!("{count} {}", state.word())).collect();
        let _ = writeln!(out, "verdicts: {}", verdicts.join(", "));
        for (gap, count) in &self.gaps {
            let _ = writeln!(out, "known gap: {gap}: {count}");
        }
        self.coverage_table(&mut out);
        out
    }

    /// Where a crash must have been seen often: each place in the state that
    /// belongs to it, with every answer that a broadcast can have had by then.
    pub fn natural_cells() -> Vec<Cell> {
        let sent = [Kind::Accepted, Kind::Refused, Kind::Unknown].map(Some);
        let mut cells = vec![
            (None, Crash::BeforeClaim, None),
            (Some(State::Claimed), Crash::AfterClaim, None),
            (Some(State::Claimed), Crash::BeforeRecord, None),
            (Some(State::Claimed), Crash::AfterRecord, None),
            (Some(State::Claimed), Crash::BeforeVerdict, None),
            (Some(State::Recorded), Crash::AfterRecord, None),
            (Some(State::Recorded), Crash::BeforeSend, None),
        ];
        for kind in sent {
            cells.push((Some(State::Recorded), Crash::BeforeSend, kind));
            cells.push((Some(State::Recorded), Crash::AfterSend, kind));
            cells.push((Some(State::Recorded), Crash::BeforeVerdict, kind));
            cells.push((Some(State::Settled), Crash::AfterVerdict, kind));
            for place in &Crash::ALL[8..] {
                cells.push((Some(State::Settled), *place, kind));
            }
        }
        cells
    }

    /// Natural cells that were seen less often than this.
    pub fn thin_cells(&self, wanted: u64) -> Vec<Cell> {
        let thin = |cell: &Cell| self.coverage.get(cell).copied().unwrap_or(0) < wanted;
        Self::natural_cells().into_iter().filter(thin).collect()
    }

    fn coverage_table(&self, out: &mut String) {
        let _ = writeln!(out, "crashes by state and crash point, by the newest answer to a broadcast");
        let _ = writeln!(
            out,
            "  {:<10} {:<22} {:>9} {:>9} {:>9} {:>9}",
            "state", "crash point", "none", "accepted", "refused", "unknown"
        );
        let mut rows: Vec<_> = self.coverage.keys().map(|(state, place, _)| (*state, *place)).collect();
        rows.dedup();
        for (state, place) in rows {
            let cell = |kind| self.coverage.get(&(state, place, kind)).copied().unwrap_or(0);
            let _ = writeln!(
                out,
                "  {:<10} {:<22} {:>9} {:>9} {:>9} {:>9}",
                state.map_or("-", State::word),
                format!("{place:?}"),
                cell(None),
                cell(Some(Kind::Accepted)),
                cell(Some(Kind::Refused)),
                cell(Some(Kind::Unknown)),
            );
        }
        let (all, thin) = (Self::natural_cells().len(), self.thin_cells(COVERED).len());
        let _ = writeln!(
            out,
            "cells seen at least {COVERED} times, of those that belong to a payment's usual way: {} of {all}",
            all - thin
        );
    }
}
