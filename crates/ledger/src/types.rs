//! The values that go into the ledger and come out of it.

mod accounts;
mod attempts;
mod books;
mod claims;
mod deliveries;
mod merchants;
mod options;
mod repeats;
mod states;

pub use accounts::{
    AccountCost, AccountCursor, AccountFilter, AccountPage, AccountRow, RangeOf, Seller, StatementRow,
};
pub use attempts::{AttemptId, ReplacedSlot, Slot};
pub use books::{
    BookedLanding, CostEntry, CostShare, CostShares, JournalLine, LandingFilter, Margin, OpenWork,
    Outstanding, OutstandingKind, PaymentFilter, Retention, TariffRow, UsageSum,
};
pub use claims::{NewClaim, Origin, Payment};
pub use deliveries::{
    AnswerMeta, AnswerObject, DeliveryStart, LeftoverObject, RunEnd, RunLimits, StoredAnswer, Usage,
};
pub use merchants::{
    MERCHANT_KEYS_MAX, MERCHANT_NAME_MAX, MERCHANT_WITHOUT_KEY, MERCHANTS_MAX, Merchant, MerchantFee,
    MerchantKey, MerchantLimits, MerchantNetwork, MerchantTotals, PayoutAccount,
};
pub use options::{LeaseClock, LedgerOptions};
pub use repeats::RepeatPolicy;
pub use states::{DeliveryState, FeePolicy, Finality, MerchantState, PaymentState};
