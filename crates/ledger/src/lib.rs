#![doc = include_str!("../README.md")]

mod account_rents;
mod attempt;
mod backend;
mod codec;
mod conn;
mod error;
mod exam;
mod exposure;
mod ledger;
mod merchant;
mod merchant_room;
#[cfg(feature = "model")]
pub mod model;
mod open;
mod ops;
mod pruning;
mod repeats;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod types;
mod value;

pub use account_rents::{OWN_PAUSE_MS, OwnAccount};
pub use attempt::{BATCH_PAYMENTS_MAX, NewAttempt, SignFn};
pub use error::LedgerError;
pub use exam::{LedgerExam, SchemaExam, examine};
pub use exposure::{
    AccountLimits, AccountRent, Balance, Exposed, ExposureLimits, ExposureSums, Funding, NoRoom, Reserve,
};
pub use ledger::Ledger;
pub use merchant::{CheckTerms, MerchantAnswer, MerchantAnswerEnd, MerchantCheck, NewCheck, NewCheckLease};
pub use open::migrate;
pub use ops::search::FOUND_MAX;
pub use ops::usages::USAGE_MAX;
pub use pruning::{FinishedPolicy, PruneCursor, Pruned};
pub use quittance_protocol::SignedBytes;
pub use repeats::{Alias, Known};
pub use store::{
    Access, AnswerObjects, Attempts, Books, Call, Claims, Deliveries, Entries, Hook, Hooked, Instances,
    Landings, MerchantBooks, Merchants, Operation, Pruning, Reservations, Store, Sums, Tariffs, Verdicts,
};
pub use token::{Claim, ClaimOutcome, Recorded};
pub use types::{
    AccountCost, AccountCursor, AccountFilter, AccountPage, AccountRow, AnswerMeta, AnswerObject, AttemptId,
    BookedLanding, CostEntry, CostShare, CostShares, DeliveryStart, DeliveryState, FeePolicy, Finality,
    JournalLine, LandingFilter, LeaseClock, LedgerOptions, LeftoverObject, MERCHANT_KEYS_MAX,
    MERCHANT_NAME_MAX, MERCHANT_WITHOUT_KEY, MERCHANTS_MAX, Margin, Merchant, MerchantFee, MerchantKey,
    MerchantLimits, MerchantNetwork, MerchantState, MerchantTotals, NewClaim, OpenWork, Origin, Outstanding,
    OutstandingKind, Payment, PaymentFilter, PaymentState, PayoutAccount, RangeOf, RepeatPolicy,
    ReplacedSlot, Retention, RunEnd, RunLimits, Seller, Slot, StatementRow, StoredAnswer, TariffRow, Usage,
    UsageSum,
};

/// Most landings that one call lists: few columns each.
pub const LANDINGS_MAX: u32 = 10_000;

/// Most payments or journal lines that one call lists.
pub const LIST_MAX: u32 = 1_000;
