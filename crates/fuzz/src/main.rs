//! `quittance-fuzz`: tries what strangers may send and says what was found.
#![allow(clippy::print_stdout, reason = "a command line tool")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use peak_alloc::PeakAlloc;
use quittance_fuzz::bytes::{Meter, Target, read};
use quittance_fuzz::{Defect, Stats, Worlds, plant, play};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Violations that are told in full.
const SHOWN: usize = 3;

/// Fuzzers of what faces strangers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Payments on Solana against a real runtime.
    Runtime(Runtime),
    /// Readers of bytes: no panic, no memory beyond a bound.
    Bytes(Bytes),
}

#[derive(Parser)]
struct Runtime {
    /// How many seeds to play.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Stops after so many minutes, whatever is left.
    #[arg(long)]
    minutes: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Leaves a check out; `list` names them all.
    #[arg(long)]
    defect: Option<String>,
}

#[derive(Parser)]
struct Bytes {
    /// One reader; all of them otherwise.
    #[arg(long)]
    target: Option<String>,
    /// How many inputs each gets.
    #[arg(long, default_value_t = 100_000)]
    inputs: u64,
    /// Stops each after so many minutes, whatever is left.
    #[arg(long)]
    minutes: Option<u64>,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Runtime(arguments) => runtime(&arguments),
        Command::Bytes(arguments) => bytes(&arguments),
    }
}

fn runtime(arguments: &Runtime) -> ExitCode {
    let defect = match arguments.defect.as_deref() {
        None => None,
        Some("list") => {
            for defect in Defect::ALL {
                println!("{:<24} {}", defect.name(), defect.what());
            }
            return ExitCode::SUCCESS;
        }
        Some(name) => match Defect::ALL.iter().find(|one| one.name() == name) {
            Some(defect) => Some(*defect),
            None => {
                println!("unknown defect {name}; --defect list names them");
                return ExitCode::from(2);
            }
        },
    };
    many(arguments, defect)
}

#[allow(clippy::disallowed_methods, reason = "seeds per second are real time")]
fn many(arguments: &Runtime, defect: Option<Defect>) -> ExitCode {
    let begun = Instant::now();
    let until = end_of(arguments.minutes);
    let next = AtomicU64::new(arguments.start);
    let end = arguments.start.saturating_add(arguments.seeds);
    let (total, found, stop) = (Mutex::new(Stats::default()), Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                plant(defect);
                let (worlds, mut stats) = (Worlds::default(), Stats::default());
                while !stop.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let told = play(&worlds, seed, &mut stats);
                    if let (Some(violation), Ok(mut found)) = (told.violation, found.lock()) {
                        found.push((seed, violation, told.story));
                        stop.fetch_or(found.len() >= SHOWN, Ordering::Relaxed);
                    }
                }
                if let Ok(mut total) = total.lock() {
                    total.add(&stats);
                }
            });
        }
    });
    let stats = total.into_inner().unwrap_or_default();
    println!("from seed {} in {} s: {stats}", arguments.start, begun.elapsed().as_secs());
    let found = found.into_inner().unwrap_or_default();
    for (seed, violation, story) in &found {
        println!("VIOLATION seed {seed}: {violation}\n  {}", story.join("\n  "));
    }
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::disallowed_methods, reason = "a bound on real time")]
fn end_of(minutes: Option<u64>) -> Option<Instant> {
    minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes.saturating_mul(60)))
}

struct Counted;

impl Meter for Counted {
    fn begin(&self) -> usize {
        ALLOCATED.reset_peak_usage();
        ALLOCATED.current_usage()
    }

    fn peak(&self) -> usize {
        ALLOCATED.peak_usage()
    }
}

#[allow(clippy::disallowed_methods, reason = "a bound on real time")]
fn bytes(arguments: &Bytes) -> ExitCode {
    let is_asked = |target: &&Target| arguments.target.as_ref().is_none_or(|name| name == target.name());
    let targets: Vec<_> = Target::ALL.iter().filter(is_asked).collect();
    if targets.is_empty() {
        let names: Vec<_> = Target::ALL.iter().map(|target| target.name()).collect();
        println!("no such reader; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    let mut is_fine = true;
    for target in targets {
        let (begun, until) = (Instant::now(), end_of(arguments.minutes));
        let stop = || until.is_some_and(|until| Instant::now() >= until);
        let found = read(*target, arguments.seed, arguments.inputs, &Counted, &stop);
        println!(
            "{:<12} {} inputs in {} s, {} ends, the newest after {}, at most {} bytes",
            target.name(),
            found.inputs,
            begun.elapsed().as_secs(),
            found.ends,
            found.newest,
            found.peak_bytes,
        );
        if let Some(fault) = found.fault {
            println!("FAULT {}: {fault}", target.name());
            is_fine = false;
        }
    }
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
