//! How far the payments of many seeds came.

use std::collections::BTreeMap;
use std::fmt;

use quittance_solana::SolanaError;

use super::oracle::Ran;

/// Every refusal of the inspection, by the name that [`Stats`] gives it.
pub const REFUSALS: &[&str] = &[
    "AmountMismatch",
    "ComputeLimit",
    "ComputeLimitTooHigh",
    "ComputePrice",
    "ComputePriceTooHigh",
    "ExcessiveSigners",
    "FeePayerExposed",
    "FeePayerMismatch",
    "FeePayerNotManaged",
    "FeePayerTransferring",
    "HeaderBudget",
    "InstructionCount",
    "Malformed(Budget)",
    "Malformed(DuplicateKey)",
    "Malformed(Header)",
    "Malformed(IndexOutOfRange)",
    "Malformed(Length)",
    "Malformed(LookupTable)",
    "Malformed(TooLarge)",
    "Malformed(TooLargeV1)",
    "Malformed(TrailingBytes)",
    "Malformed(Truncated)",
    "Malformed(Version)",
    "MemoCount",
    "MemoMismatch",
    "MintMismatch",
    "NetworkMismatch",
    "NoTransfer",
    "PayerMismatch",
    "RecipientMismatch",
    "RentNotCharged",
    "Scheme",
    "SignatureInvalid",
    "TokenAccountCreation",
    "UnknownInstruction",
];

/// Of seeds that were played.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Seeds.
    pub seeds: u64,
    /// What could not be written as a message at all.
    pub unwritten: u64,
    /// Honest payments that were accepted.
    pub honest: u64,
    /// Others that were accepted.
    pub others: u64,
    /// What landed.
    pub landed: u64,
    /// What was accepted and failed on chain.
    pub failed: u64,
    /// What was refused and put into the place of an accepted payment in the ledger.
    pub grafted: u64,
    /// By the refusal's name.
    pub refusals: BTreeMap<String, u64>,
    /// By attack: accepted, refused.
    pub attacks: BTreeMap<String, (u64, u64)>,
}

/// `Malformed(Truncated)`: the variant, without what it carries.
fn name_of(error: &SolanaError) -> String {
    let whole = format!("{error:?}");
    let plain = |text: &str| text.split([' ', '{', '(', ')']).next().unwrap_or_default().to_owned();
    match whole.strip_prefix("Malformed(") {
        Some(inner) => format!("Malformed({})", plain(inner)),
        None => plain(&whole),
    }
}

impl Stats {
    pub(crate) fn refused(&mut self, error: &SolanaError, story: &[String]) {
        let count = self.refusals.entry(name_of(error)).or_default();
        *count = count.saturating_add(1);
        for attack in story {
            let count = self.attacks.entry(attack.clone()).or_default();
            count.1 = count.1.saturating_add(1);
        }
    }

    pub(crate) fn accepted(&mut self, story: &[String], is_honest: bool) {
        let count = if is_honest { &mut self.honest } else { &mut self.others };
        *count = count.saturating_add(1);
        for attack in story {
            let count = self.attacks.entry(attack.clone()).or_default();
            count.0 = count.0.saturating_add(1);
        }
    }

    pub(crate) fn ran(&mut self, ran: Ran) {
        let count = if ran == Ran::Landed { &mut self.landed } else { &mut self.failed };
        *count = count.saturating_add(1);
    }

    /// Adds what another thread did.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.seeds, other.seeds),
            (&mut self.unwritten, other.unwritten),
            (&mut self.honest, other.honest),
            (&mut self.others, other.others),
            (&mut self.landed, other.landed),
            (&mut self.failed, other.failed),
            (&mut self.grafted, other.grafted),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        for (name, count) in &other.refusals {
            let mine = self.refusals.entry(name.clone()).or_default();
            *mine = mine.saturating_add(*count);
        }
        for (name, (accepted, refused)) in &other.attacks {
            let mine = self.attacks.entry(name.clone()).or_default();
            *mine = (mine.0.saturating_add(*accepted), mine.1.saturating_add(*refused));
        }
    }

    /// Refusals that no seed has met.
    pub fn unmet(&self) -> Vec<&'static str> {
        REFUSALS.iter().copied().filter(|name| !self.refusals.contains_key(*name)).collect()
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = self.honest.saturating_add(self.others);
        writeln!(
            f,
            "seeds {}, accepted {accepted} ({} %; honest {}, others {}), landed {}, failed {}, \
             grafted {}, unwritten {}",
            self.seeds,
            percent(accepted, self.seeds),
            self.honest,
            self.others,
            self.landed,
            self.failed,
            self.grafted,
            self.unwritten,
        )?;
        for (name, count) in &self.refusals {
            writeln!(f, "  refused {name:<28} {count:>9}")?;
        }
        for name in self.unmet() {
            writeln!(f, "  refused {name:<28} never")?;
        }
        for (name, (accepted, refused)) in &self.attacks {
            let whole = accepted.saturating_add(*refused);
            writeln!(f, "  attack {name:<42} {whole:>8}, accepted {:>3} %", percent(*accepted, whole))?;
        }
        Ok(())
    }
}
