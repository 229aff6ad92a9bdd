//! What a check of the ledger finds.

/// A rule that the rows of a ledger keep among each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRule {
    /// Its name, e.g. `payment_state`.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub says: &'static str,
    /// How many rows break it; zero: it holds.
    pub broken: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
}

/// A row that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which payment; else what the rule is about: a wallet, an attempt, a sum.
    pub what: String,
    /// What stands there.
    pub found: String,
}
