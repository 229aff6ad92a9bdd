//! `quittance-sim`: plays seeds and says what the auditor found.
#![allow(clippy::print_stdout, reason = "a command line tool")]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use quittance_sim::{Canary, Plan, Totals, play, run};

/// Seeds whose failure is printed.
const FAILURES_SHOWN: usize = 20;

/// Deterministic simulation of the payment engine.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to play.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Plays this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints what happens.
    #[arg(long)]
    trace: bool,
    /// Builds a defect in; `list` names them all.
    #[arg(long)]
    canary: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let canary = match arguments.canary.as_deref() {
        None => None,
        Some("list") => {
            for canary in Canary::ALL {
                println!("{:<22} {:<4} {}", canary.name(), canary.breaks(), canary.what());
            }
            return ExitCode::SUCCESS;
        }
        Some(name) => match Canary::named(name) {
            Some(canary) => Some(canary),
            None => {
                println!("unknown canary {name}; --canary list names them");
                return ExitCode::from(2);
            }
        },
    };
    if let Some(seed) = arguments.seed {
        return one(seed, canary, arguments.trace);
    }
    many(&arguments, canary)
}

fn one(seed: u64, canary: Option<Canary>, trace: bool) -> ExitCode {
    let plan = Plan::of_seed(seed, canary);
    println!("{plan:?}");
    let Some(report) = run(plan, trace) else {
        println!("no runtime to play on");
        return ExitCode::FAILURE;
    };
    for line in &report.trace {
        println!("{line}");
    }
    println!(
        "seed {seed}: {} faults, {} events, hash {:016x}",
        report.fault_count(),
        report.events,
        report.hash
    );
    for (which, what) in &report.violations {
        println!("VIOLATION {which}: {what}");
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::disallowed_methods, reason = "seeds per second are real time")]
fn many(arguments: &Arguments, canary: Option<Canary>) -> ExitCode {
    let begun = Instant::now();
    let mut totals = Totals::default();
    for seed in arguments.start..arguments.start.saturating_add(arguments.seeds) {
        totals.add(seed, play(seed, canary));
    }
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    print!("{}", totals.tables());
    println!(
        "{} seeds from {} in {} s ({} per second): {} events, {} virtual hours, {} faults, {} crashes",
        totals.seeds,
        arguments.start,
        ms / 1_000,
        totals.seeds.saturating_mul(1_000) / ms,
        totals.events,
        totals.virtual_ms / 3_600_000,
        totals.faults.iter().sum::<u64>(),
        totals.crashes(),
    );
    println!("slowest recovery: {} virtual ms (seed {})", totals.slowest.0, totals.slowest.1);
    for (seed, which, what) in totals.failed.iter().take(FAILURES_SHOWN) {
        let name = canary.map(|canary| format!(" --canary {}", canary.name())).unwrap_or_default();
        println!("VIOLATION {which}: {what}\n  scripts/sim --seed {seed} --trace{name}");
    }
    println!("violations: {}", totals.failed.len());
    if totals.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
