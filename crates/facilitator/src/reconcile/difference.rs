//! What the chain and the books may say differently.

use quittance_ledger::BookedLanding;

use crate::chain::Transfer;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Money came that no settled payment explains.
    NotInBooks,
    /// A settled payment whose transfer is not on the chain.
    NotOnChain,
    /// Both know it, with different amounts.
    Amount,
    /// Both know it, in different blocks.
    Block,
    /// The books call it lost to a reorganisation, and the chain has it.
    NotLost,
    /// We paid for the transaction, and no cost is booked.
    CostMissing,
    /// The cost that is booked is not what the receipt says.
    Cost,
}

impl Kind {
    /// The name that stays.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotInBooks => "not_in_books",
            Self::NotOnChain => "not_on_chain",
            Self::Amount => "amount",
            Self::Block => "block",
            Self::NotLost => "not_lost",
            Self::CostMissing => "cost_missing",
            Self::Cost => "cost",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub kind: Kind,
    /// The chain's word.
    pub on_chain: Option<Transfer>,
    /// The books' word.
    pub booked: Option<BookedLanding>,
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transfers that arrived.
    pub transfers: u64,
    /// What they brought, atomic units.
    pub on_chain: u128,
    /// Settled payments, without those that are booked as lost.
    pub payments: u64,
    /// What they are booked with.
    pub booked: u128,
    /// Those of both that stand against each other to the last unit.
    pub matched: u64,
    /// Payments that the books call lost to a reorganisation.
    pub lost: u64,
    /// Payments whose transaction somebody else paid for.
    pub by_others: u64,
    /// What receipts say that matched payments cost, where that was asked for.
    pub cost_on_chain: u128,
    /// What is booked for them.
    pub cost_booked: u128,
    /// Differences that were told.
    pub differences: u64,
}
