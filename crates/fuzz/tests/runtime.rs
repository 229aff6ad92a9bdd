//! Payments against a real runtime: a minute's worth, and each planted defect.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quittance_fuzz::{Defect, OF_2022, OF_A_FEE, Stats, Worlds, harvest, plant, play};

/// Seeds that every run plays.
const SEEDS: u64 = 12_000;
/// Seeds within which a defect is found.
const SEEDS_TO_A_DEFECT: u64 = 6_000;
/// No run of the seeds takes longer, whatever the machine.
const SECONDS_MAX: u64 = 90;
/// The same of Token-2022.
const SEEDS_2022: u64 = 2_500;
const SECONDS_2022_MAX: u64 = 15;
const THREADS: u64 = 2;
/// Seeds that showed a defect first, or found one that was ours.
const CORPUS: &str = include_str!("corpus/seeds.txt");

/// Each with what it is kept for.
fn corpus() -> impl Iterator<Item = (u64, &'static str)> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).filter_map(|(seed, why)| Some((seed.parse().ok()?, why)))
}

#[test]
#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bound on real time; figures")]
fn what_is_signed_costs_no_more_than_was_quoted_and_what_is_honest_is_signed() {
    let until = Instant::now() + Duration::from_secs(SECONDS_MAX);
    let (next, total) = (AtomicU64::new(0), Mutex::new(Stats::default()));
    let known: Vec<u64> = corpus().map(|(seed, _)| seed).collect();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (worlds, mut stats) = (Worlds::default(), Stats::default());
                while Instant::now() < until {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let place = usize::try_from(at).unwrap();
                    let seed = known.get(place).copied().unwrap_or(at);
                    if at >= SEEDS {
                        break;
                    }
                    let told = play(&worlds, seed, &mut stats);
                    assert_eq!(told.violation, None, "seed {seed}: {}", told.story.join("\n  "));
                }
                total.lock().unwrap().add(&stats);
            });
        }
    });
    let stats = total.into_inner().unwrap();
    println!("{stats}");
    assert!(stats.landed > 0 && stats.others > 0 && stats.grafted > 0, "{stats}");
    if stats.seeds >= SEEDS {
        assert_eq!(stats.unmet(), Vec::<&str>::new(), "refusals that no seed has met:\n{stats}");
    }
}

/// The same payments and attacks in a token of Token-2022; a mint that keeps a fee is not sold for.
#[test]
#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bound on real time; figures")]
fn a_token_of_token_2022_costs_no_more_and_arrives_whole() {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Stats::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (worlds, mut stats) = (Worlds::default(), Stats::default());
                let until = Instant::now() + Duration::from_secs(SECONDS_2022_MAX);
                while Instant::now() < until {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= SEEDS_2022 {
                        break;
                    }
                    let told = play(&worlds, OF_2022 + at, &mut stats);
                    assert_eq!(told.violation, None, "seed {}: {}", OF_2022 + at, told.story.join("\n  "));
                }
                total.lock().unwrap().add(&stats);
            });
        }
    });
    let stats = total.into_inner().unwrap();
    println!("{stats}");
    assert!(stats.landed > 0 && stats.grafted > 0, "{stats}");
    let told = play(&Worlds::default(), OF_A_FEE, &mut Stats::default());
    assert!(told.story.iter().any(|line| line.contains("TransferFeeConfig")), "{:?}", told.story);
}

/// Those that protect what is ours of the other program, too.
#[test]
fn the_checks_of_the_transfer_are_noticed_in_a_token_of_token_2022() {
    let wanted =
        [Defect::AnyDestination, Defect::TooLittle, Defect::OurAccountPays, Defect::TokenInstructions];
    let worlds = Worlds::default();
    for defect in wanted {
        plant(Some(defect));
        let mut seeds = OF_2022..OF_2022 + SEEDS_TO_A_DEFECT;
        let seed = seeds.find(|seed| play(&worlds, *seed, &mut Stats::default()).violation.is_some());
        plant(None);
        assert!(seed.is_some(), "{} was left out and not noticed", defect.name());
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "figures")]
fn every_check_that_is_left_out_is_noticed() {
    let (next, missed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let worlds = Worlds::default();
                loop {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some(defect) = Defect::ALL.get(at) else { break };
                    plant(Some(*defect));
                    let known = corpus().filter(|(_, why)| *why == defect.name()).map(|(seed, _)| seed);
                    let seed = known
                        .chain(0..SEEDS_TO_A_DEFECT)
                        .find(|seed| play(&worlds, *seed, &mut Stats::default()).violation.is_some());
                    plant(None);
                    println!("{:<24} {seed:?}", defect.name());
                    if seed.is_none() {
                        missed.lock().unwrap().push(defect.name());
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "left out and not noticed within {SEEDS_TO_A_DEFECT} seeds: {missed:?}");
}

/// Creation, closing, creation: each round brings the rent, and each offer charged it.
#[test]
fn a_harvest_of_creations_costs_its_payers_what_it_brings() {
    const ROUNDS: u64 = 20;
    let sum = harvest(ROUNDS);
    assert_eq!(sum.refused, ROUNDS, "without the rent in the offer nothing is signed: {sum:?}");
    assert!(sum.taken > 0, "{sum:?}");
    assert!(sum.lost <= sum.charged, "we pay no lamport that was not charged: {sum:?}");
    assert!(sum.taken <= sum.charged, "{sum:?}");
}
