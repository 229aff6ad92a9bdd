//! Whatever reads what strangers send, given bytes that are almost right: it must not panic, and
//! what it allocates must stay within a bound that the input's length gives.

mod seeds;
mod targets;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::random::Random;

pub use targets::{Reading, Target};

/// Bytes that anything may allocate, however short its input.
const ALLOWED_BYTES: usize = 64 * 1024;
/// Inputs that are kept because they came to another end than any before.
const KEPT_MAX: usize = 4_096;

/// Says how much memory was in use at most since it was asked to look.
pub trait Meter {
    /// Begins to look, and says what is in use.
    fn begin(&self) -> usize;
    /// The most that was in use since.
    fn peak(&self) -> usize;
}

/// What was found in one run.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Inputs.
    pub inputs: u64,
    /// Different ends that they came to.
    pub ends: usize,
    /// The input after which there was no new one.
    pub newest: u64,
    /// The most that one allocated, in bytes, beyond its own.
    pub peak_bytes: usize,
    /// The same for each byte of input, beyond what is allowed to all.
    pub peak_factor: usize,
    /// What must not be, with the input in hexadecimal.
    pub fault: Option<String>,
}

/// Reads `inputs` inputs, or until `stop` says so.
pub fn read(target: Target, seed: u64, inputs: u64, meter: &dyn Meter, stop: &dyn Fn() -> bool) -> Found {
    let reading = Reading::new(target);
    let mut random = Random::new(seed);
    let mut kept = reading.seeds();
    let known = kept.len();
    let mut ends = BTreeSet::new();
    let mut found = Found::default();
    while found.inputs < inputs && !stop() {
        let at = usize::try_from(found.inputs).unwrap_or(usize::MAX);
        let input = match kept.get(at) {
            // Those that are known are read as they are first.
            Some(input) if at < known => input.clone(),
            _ => bent(&kept, &mut random, reading.longest()),
        };
        found.inputs = found.inputs.saturating_add(1);
        let before = meter.begin();
        let end = catch_unwind(AssertUnwindSafe(|| reading.read(&input)));
        let used = meter.peak().saturating_sub(before);
        found.peak_bytes = found.peak_bytes.max(used);
        let beyond = used.saturating_sub(ALLOWED_BYTES);
        found.peak_factor = found.peak_factor.max(beyond.div_ceil(input.len().max(1)));
        let allowed = ALLOWED_BYTES.saturating_add(input.len().saturating_mul(target.factor()));
        let Ok(end) = end else {
            found.fault = Some(format!("panic, seed {seed}: {}", hex(&input)));
            return found;
        };
        if used > allowed {
            found.fault = Some(format!("{used} bytes of {allowed}, seed {seed}: {}", hex(&input)));
            return found;
        }
        if ends.insert(end) {
            found.newest = found.inputs;
            if kept.len() < KEPT_MAX {
                kept.push(input);
            }
        }
        found.ends = ends.len();
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One of those that are known, changed in a few places, or two of them in one.
fn bent(kept: &[Vec<u8>], random: &mut Random, longest: usize) -> Vec<u8> {
    let mut input = random.pick(kept).cloned().unwrap_or_default();
    for _ in 0..random.range(1, 4) {
        let at = random.below(input.len().saturating_add(1));
        let end = at.saturating_add(random.below(16)).min(input.len());
        match random.below(10) {
            0 => input.truncate(at),
            1 => {
                input.drain(at..end);
            }
            2 => {
                let piece: Vec<u8> = input.get(at..end).unwrap_or_default().to_vec();
                let again = random.below(64);
                let many = piece.repeat(again);
                input.splice(at..at, many);
            }
            3 => {
                let other = random.pick(kept).cloned().unwrap_or_default();
                let from = random.below(other.len().saturating_add(1));
                input.truncate(at);
                input.extend(other.get(from..).unwrap_or_default());
            }
            4 => {
                let bytes = random.edge().to_le_bytes();
                input.splice(at..end, bytes);
            }
            5 => {
                let word = random.pick(seeds::WORDS).map(|word| word.as_bytes().to_vec());
                input.splice(at..at, word.unwrap_or_default());
            }
            6 => {
                let byte = random.byte();
                input.splice(at..at, vec![byte; 1 + random.below(8)]);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = if random.chance(50) { *byte ^ (1 << random.below(8)) } else { random.byte() };
                }
            }
        }
    }
    // Now and then as long as it may be: what costs memory is many of something small.
    if random.chance(1) {
        let at = random.below(input.len().saturating_add(1));
        let end = at.saturating_add(1 + random.below(12)).min(input.len());
        let piece = input.get(at..end).unwrap_or_default().to_vec();
        let room = longest.saturating_sub(input.len());
        let many = piece.repeat(room.checked_div(piece.len()).unwrap_or(0));
        input.splice(at..at, many);
    }
    input.truncate(longest);
    input
}
