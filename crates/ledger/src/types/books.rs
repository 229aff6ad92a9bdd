//! What operators and timers read: costs, tariffs, the journal, sums and lists.

use std::ops::RangeInclusive;

use quittance_protocol::{Amount, Network, PaymentId};

use super::states::text_enum;
use super::{DeliveryState, Payment, PaymentState, RunLimits};

/// What one transaction cost its fee payer. As [`Ledger::book_cost`](crate::Ledger::book_cost) takes
/// it, all of it; as [`Ledger::costs`](crate::Ledger::costs) shows it, the payment's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostEntry {
    /// The network it was paid on.
    pub network: Network,
    /// Transaction hash or signature; a cost is booked once per transaction.
    pub transaction: String,
    /// A payment that was in it; none of what was for no payment.
    pub payment: Option<PaymentId>,
    /// In wei or lamports.
    pub native: u128,
    /// The same in USDC, when a rate was known.
    pub usdc: Option<Amount>,
    /// Whether the transaction brought the payment in.
    pub earned: bool,
}

/// A payment's part of what a transaction cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostShare {
    /// In wei or lamports.
    pub native: u128,
    /// The same in USDC, when a rate was known.
    pub usdc: Option<Amount>,
    /// Payments in the transaction.
    pub payments: u64,
}

impl CostShare {
    /// Equal parts; what does not divide goes to the first ones, a unit each, so that they add up
    /// to the whole.
    pub fn of((native, usdc): (u128, Option<Amount>), item: u64, payments: u64) -> Self {
        let items = payments.max(1);
        let part = |whole: u128| {
            let (each, rest) = (whole / u128::from(items), whole % u128::from(items));
            each.saturating_add(u128::from(u128::from(item) < rest))
        };
        let usdc =
            usdc.map(|usdc| Amount::new(u64::try_from(part(u128::from(usdc.atomic()))).unwrap_or(u64::MAX)));
        Self { native: part(native), usdc, payments: items }
    }
}

/// A network's settlement cost at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TariffRow {
    /// Its number on this network, from 1 without gaps.
    pub number: i64,
    /// The network.
    pub network: Network,
    /// What a payer is charged for the network.
    pub gas: Amount,
    /// How it was made, for people.
    pub detail: serde_json::Value,
    /// When it became current.
    pub created_at_ms: i64,
    /// When the next one replaced it.
    pub replaced_at_ms: Option<i64>,
}

/// One line of the append-only journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalLine {
    /// Position in the journal; grows, with gaps.
    pub sequence: i64,
    /// When.
    pub at_ms: i64,
    /// Which instance wrote it.
    pub instance: String,
    /// What happened, e.g. `claimed`, `recorded`, `broadcast`.
    pub event: String,
    /// Particulars; never a signature, never raw bytes.
    pub detail: serde_json::Value,
}

/// What settling one hour's payments on one network brought and cost, atomic USDC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Margin {
    /// Where.
    pub network: Network,
    /// Start of the hour (UTC), milliseconds since the Unix epoch.
    pub hour_ms: i64,
    /// Settled payments that were claimed in this hour.
    pub payments: u64,
    /// Surcharges they paid.
    pub charged: Amount,
    /// What landing payments cost.
    pub earned_cost: Amount,
    /// What attempts cost that earned nothing.
    pub uncollected_cost: Amount,
    /// Costs without a value in USDC: no exchange rate was ever known.
    pub unpriced: u64,
    /// The least that landing a payment cost.
    pub cost_least: Option<Amount>,
    /// The lower median.
    pub cost_median: Option<Amount>,
    /// 95 of 100 landings cost no more.
    pub cost_p95: Option<Amount>,
}

/// Prepaid work of one kind: what it used of what it reserved.
///
/// Shares are metered over reserved in basis points, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    /// Where it was bought, e.g. `POST /v1/chat/completions`.
    pub resource: String,
    /// What was sold, e.g. a model.
    pub product: String,
    /// Answers whose host reported a usage.
    pub answers: u64,
    /// Answers that used more than they had reserved.
    pub over: u64,
    /// Sum of the reserves.
    pub reserved: Amount,
    /// Sum of the real usages.
    pub metered: Amount,
    /// Sum of what was kept.
    pub charged: Amount,
    /// The lower median.
    pub share_median_bps: u64,
    /// 95 of 100 answers used no larger share.
    pub share_p95_bps: u64,
    /// The largest share.
    pub share_most_bps: u64,
    /// The largest share of the reserved prompt tokens that was really read: above
    /// 10,000 the tokenizer counts too low for this product.
    pub prompt_share_most_bps: u64,
}

/// What landing a payment cost, as a share of what it was charged for it, over
/// the settled payments of one network; basis points, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostShares {
    /// Where.
    pub network: Network,
    /// Settled payments with a surcharge and a priced cost.
    pub payments: u64,
    /// Those that cost more than they were charged.
    pub under_cost: u64,
    /// The smallest share.
    pub least_bps: u64,
    /// The lower median.
    pub median_bps: u64,
    /// 95 of 100 payments cost no larger share.
    pub p95_bps: u64,
    /// 99 of 100.
    pub p99_bps: u64,
    /// The largest share.
    pub most_bps: u64,
}

text_enum!(
    /// Why a payer may come back for money or work.
    OutstandingKind {
        /// A run failed; the same request may run again.
        Credit => "credit",
        /// A credit that has used up its runs: to be refunded.
        CreditUsedUp => "credit_used_up",
        /// Another ledger landed it: to be refunded.
        Owed => "owed",
        /// The answer reached its client in part and is not kept: refundable.
        DeliveredInPart => "delivered_in_part",
        /// The handler refused after it was paid: refundable.
        Refused => "refused",
    }
);

/// Payments of one network for which something is outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// Where they were paid.
    pub network: Network,
    /// What is outstanding.
    pub kind: OutstandingKind,
    /// How many.
    pub payments: u64,
    /// What was paid for them, together.
    pub amount: Amount,
}

/// What still needs a network or a wallet, whichever instance it belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenWork {
    /// Networks with payments that have no verdict, or a landing that is not final.
    pub networks: Vec<(Network, u64)>,
    /// Wallets with nonces that an unfinished payment uses, or whose cost is not booked yet.
    pub wallets: Vec<(Network, String)>,
    /// Payments without a verdict, oldest first, at most [`LIST_MAX`](crate::LIST_MAX).
    pub unfinished: Vec<Payment>,
}

/// Which payments to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentFilter {
    /// At most this many; zero and anything above [`LIST_MAX`](crate::LIST_MAX) mean that limit.
    pub limit: u32,
    /// Only in this state.
    pub state: Option<PaymentState>,
    /// Only on this network.
    pub network: Option<Network>,
    /// Only with this delivery.
    pub delivery: Option<DeliveryState>,
    /// Only those whose payer may ask for the money back, where a payment buys at
    /// most these runs: owed, a refusal of the handler, delivered in part, or a
    /// credit without runs left.
    pub refundable: Option<RunLimits>,
    /// Only those of this merchant.
    pub merchant: Option<String>,
    /// Only those claimed at or after this, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Only those claimed before this.
    pub until_ms: Option<i64>,
    /// Only those claimed before this payment (the last one of the previous page).
    pub before: Option<PaymentId>,
}

/// Which settled payments to list, by where they landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandingFilter {
    /// Where.
    pub network: Network,
    /// To whom.
    pub pay_to: String,
    /// Blocks (or slots) that they landed in.
    pub blocks: RangeInclusive<u64>,
    /// Only those claimed since then, Unix milliseconds: what bounds how many rows are looked at.
    pub claimed_since_ms: i64,
    /// Only those below this one (the last one of the previous page).
    pub before: Option<(u64, PaymentId)>,
    /// At most this many; zero and anything above [`LANDINGS_MAX`](crate::LANDINGS_MAX) mean that limit.
    pub limit: u32,
}

/// A settled payment, as far as its chain can say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedLanding {
    /// Which payment.
    pub id: PaymentId,
    /// The block (or slot) that it landed in.
    pub block: u64,
    /// Transaction hash or signature.
    pub transaction: String,
    /// Who paid.
    pub payer: String,
    /// How much.
    pub amount: Amount,
    /// Whether a reorganisation took it away for good.
    pub is_lost: bool,
    /// Whether a wallet of ours paid for the transaction.
    pub paid_by_us: bool,
    /// What was booked as its cost, in wei or lamports.
    pub cost_native: Option<u128>,
}

/// What `prune` may drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bodies and headers of answers are dropped this long after the run that made them.
    pub answers_ms: i64,
}
