//! The operations, one file per concept; each is written once for both backends.

pub(crate) mod aliases;
pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod books;
pub(crate) mod check_leases;
pub(crate) mod checks;
pub(crate) mod claims;
pub(crate) mod delivery;
pub(crate) mod exposure;
pub(crate) mod finality;
pub(crate) mod instances;
pub(crate) mod lease_clock;
pub(crate) mod merchant_rows;
pub(crate) mod merchant_sums;
pub(crate) mod merchants;
pub(crate) mod objects;
pub(crate) mod open_work;
pub(crate) mod payout_accounts;
pub(crate) mod pruning;
pub(crate) mod reading;
pub(crate) mod retention;
pub(crate) mod returns;
pub(crate) mod rows;
pub(crate) mod usages;
pub(crate) mod verdicts;
