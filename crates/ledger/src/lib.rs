#![doc = include_str!("../README.md")]

mod error;
mod token;
mod types;

pub use error::LedgerError;
pub use token::{Claim, ClaimOutcome, Recorded, SignFn, SignedBytes};
pub use types::{
    AnswerMeta, AttemptId, CostEntry, DeliveryStart, DeliveryState, JournalLine, LedgerOptions,
    MerchantAnswer, NewClaim, Origin, Payment, PaymentFilter, PaymentState, Retention, StoredAnswer,
    TariffRow,
};

/// Most payments that one call lists.
pub const LIST_MAX: u32 = 1_000;
