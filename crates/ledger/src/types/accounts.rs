//! The books as accountants want them: single payments with what they cost, and days.

use quittance_protocol::{Amount, Network, PaymentId};

use super::{Payment, PaymentState};

/// Which time a range is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangeOf {
    /// When a payment was claimed: read by an index.
    #[default]
    Claims,
    /// When the money was found to have arrived: reads every payment.
    Settlements,
}

/// Who sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seller {
    /// The gate.
    Gate,
    /// A merchant, by its name; `default` for calls without a key.
    Merchant(String),
}

impl Seller {
    /// As statements name it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Gate => "gate",
            Self::Merchant(name) => name,
        }
    }
}

/// Which payments, in a range of times that excludes its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFilter {
    /// Start, Unix milliseconds.
    pub since_ms: i64,
    /// End.
    pub until_ms: i64,
    /// Of which time.
    pub range: RangeOf,
    /// Only on this network.
    pub network: Option<Network>,
    /// Only this seller's.
    pub seller: Option<Seller>,
    /// Only in this state.
    pub state: Option<PaymentState>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountCursor {
    /// When its last payment was claimed.
    pub created_at_ms: i64,
    /// Which it was.
    pub id: PaymentId,
}

/// A payment with what its own transactions cost.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRow {
    /// The payment.
    pub payment: Payment,
    /// What each of its own transactions cost; one for several payments is nobody's own.
    pub costs: Vec<AccountCost>,
    /// What was sold, where the host says so, e.g. a model.
    pub product: Option<String>,
}

/// What a transaction cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountCost {
    /// In wei or lamports.
    pub native: u128,
    /// At the rate of its time; none where no rate was known.
    pub usdc: Option<Amount>,
}

/// Payments, oldest claim first.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPage {
    /// At most as many as were asked for.
    pub rows: Vec<AccountRow>,
    /// Where the next page begins; none at the end.
    pub next: Option<AccountCursor>,
}

/// One seller's UTC day on one network and at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// Start of the day, Unix milliseconds.
    pub day_ms: i64,
    /// Where.
    pub network: Network,
    /// Who sold; empty for transactions that belong to no single payment.
    pub seller: String,
    /// Who was paid; empty for what was only spent.
    pub pay_to: String,
    /// Payments that settled on this day, those that a reorganisation took later included.
    pub payments: u64,
    /// What they moved: the sum of their transfers on chain.
    pub gross: Amount,
    /// Of it, the sellers' prices.
    pub service: Amount,
    /// Of it, surcharges.
    pub surcharge: Amount,
    /// What merchants are billed beside it.
    pub billed: Amount,
    /// Of these payments, those that a reorganisation took away for good.
    pub lost_payments: u64,
    /// What those had moved.
    pub lost: Amount,
    /// The first and the last block, or slot, that they landed in.
    pub blocks: Option<(u64, u64)>,
    /// What transactions booked on this day cost, in wei or lamports.
    pub cost_native: u128,
    /// The same at the rates of their times.
    pub cost: Amount,
    /// Of it, what earned nothing.
    pub burnt: Amount,
    /// Costs without a value: no rate was known.
    pub unpriced: u64,
}
