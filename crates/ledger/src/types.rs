//! The values that go into the ledger and come out of it.

use std::fmt;

use quittance_protocol::{
    Amount, Deadline, ErrorCode, Fingerprint, IdentifierHash, Landing, Network, PaymentId, PaymentKey,
    RequestId,
};

use crate::repeats::RepeatPolicy;

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every value, in the order a payment goes through them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value as it is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub(crate) fn from_stored(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

text_enum!(
    /// Where a payment stands. `Settled`, `Refused` and `Expired` are final.
    PaymentState {
        /// The key is ours; nothing is signed.
        Claimed => "claimed",
        /// Signed bytes are durable and count as possibly sent.
        Recorded => "recorded",
        /// The money arrived.
        Settled => "settled",
        /// It never will, by refusal or cancellation.
        Refused => "refused",
        /// It never will, the deadline is finalized.
        Expired => "expired",
    }
);

text_enum!(
    /// Where the work that a gate payment bought stands.
    DeliveryState {
        /// Not started.
        None => "none",
        /// A handler runs.
        Running => "running",
        /// The run completed; its answer is kept whole, or reached its client whole.
        Delivered => "delivered",
        /// The run completed and never runs again; its answer is not kept and did
        /// not reach its client whole, as far as is known. Refundable.
        DeliveredInPart => "delivered_in_part",
        /// The handler failed; the same request may run again.
        Credited => "credited",
        /// Another ledger landed the payment and may have served it: nothing will
        /// run for it here, and the operator refunds it.
        Owed => "owed",
    }
);

text_enum!(
    /// What became of a settled payment's landing (invariant I6). The grant
    /// stands either way.
    Finality {
        /// It is in a finalized block and cannot vanish.
        Finalized => "finalized",
        /// A reorganisation took it away and it cannot land again.
        ReorgedLoss => "reorged_loss",
    }
);

impl DeliveryState {
    /// The word in the column; what is in part has a column of its own beside it.
    pub(crate) const fn stored(self) -> &'static str {
        match self {
            Self::DeliveredInPart => Self::Delivered.as_str(),
            other => other.as_str(),
        }
    }

    /// Whether the run has completed, so that none ever follows.
    pub const fn is_completed(self) -> bool {
        matches!(self, Self::Delivered | Self::DeliveredInPart)
    }
}

impl PaymentState {
    /// Whether this state is a verdict (invariant I6).
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Settled | Self::Refused | Self::Expired)
    }

    /// The only transitions a payment can make.
    pub const fn may_become(self, to: Self) -> bool {
        match (self, to) {
            (Self::Claimed, Self::Recorded | Self::Settled | Self::Refused | Self::Expired) => true,
            (Self::Recorded, Self::Settled | Self::Refused | Self::Expired) => true,
            (Self::Claimed | Self::Recorded | Self::Settled | Self::Refused | Self::Expired, _) => false,
        }
    }
}

/// Who asked for the payment to be settled.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "merchant", rename_all = "snake_case")]
pub enum Origin {
    /// Our own gate, which runs the handler itself.
    Gate,
    /// A foreign server through `/settle`, by its merchant name.
    Merchant(String),
}

/// Number of an attempt (a signed transaction) within a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub(crate) i64);

impl AttemptId {
    /// The number, as journal lines show it.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where the nonce of a further attempt comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The wallet's next nonce.
    Fresh {
        /// The wallet.
        wallet: String,
    },
    /// The nonce of this attempt, which the new one replaces.
    Same {
        /// The attempt.
        attempt: AttemptId,
    },
    /// None (Solana); the signer is given 0.
    Unnumbered,
}

/// Everything that is known about a payment when it is claimed.
///
/// `Debug` leaves out `payload`, which holds the payer's signature.
#[derive(Clone, PartialEq)]
pub struct NewClaim {
    /// Our name for the payment; fresh randomness for each claim.
    pub id: PaymentId,
    /// The host's name for the work it buys.
    pub request_id: RequestId,
    /// What makes two copies the same payment.
    pub key: PaymentKey,
    /// The network it is made on.
    pub network: Network,
    /// Who asked.
    pub origin: Origin,
    /// The request it is bound to.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the payer's signature: a known key with another signature is another sender.
    pub signature_digest: [u8; 32],
    /// Hash of the `payment-identifier`, when one was sent.
    pub identifier: Option<IdentifierHash>,
    /// Hash of the `Idempotency-Key`, when one was sent.
    pub idempotency: Option<IdentifierHash>,
    /// When an earlier payment of the same payer answers instead; never without.
    pub repeats: Option<RepeatPolicy>,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// The token.
    pub asset: String,
    /// What is paid: service and gas.
    pub amount: Amount,
    /// The service's share.
    pub service: Amount,
    /// The network's share.
    pub gas: Amount,
    /// Number of the tariff that `gas` came from, on this network.
    pub tariff: Option<i64>,
    /// When it can no longer land.
    pub deadline: Deadline,
    /// Block number (Base) or slot (Solana) to search the chain from.
    pub watch_from: u64,
    /// The chain crate's resumable form. Holds the payer's signature: never logged.
    pub payload: serde_json::Value,
    /// For people, e.g. `POST /v1/images`.
    pub resource: String,
}

/// A payment as the ledger knows it. `Debug` leaves out `payload`.
#[derive(Clone, PartialEq)]
pub struct Payment {
    /// Our name for the payment.
    pub id: PaymentId,
    /// The host's name for the work it buys.
    pub request_id: RequestId,
    /// What makes two copies the same payment.
    pub key: PaymentKey,
    /// The network it is made on.
    pub network: Network,
    /// Who asked.
    pub origin: Origin,
    /// The request it is bound to.
    pub fingerprint: Fingerprint,
    /// SHA-256 of the payer's signature.
    pub signature_digest: [u8; 32],
    /// Hash of the `payment-identifier`, when one was sent.
    pub identifier: Option<IdentifierHash>,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// The token.
    pub asset: String,
    /// What is paid: service and gas.
    pub amount: Amount,
    /// The service's share.
    pub service: Amount,
    /// The network's share.
    pub gas: Amount,
    /// Number of the tariff that `gas` came from.
    pub tariff: Option<i64>,
    /// When it can no longer land.
    pub deadline: Deadline,
    /// Block number or slot to search the chain from.
    pub watch_from: u64,
    /// The chain crate's resumable form. Holds the payer's signature: never logged.
    pub payload: serde_json::Value,
    /// For people, e.g. `POST /v1/images`.
    pub resource: String,

    /// Where the payment stands.
    pub state: PaymentState,
    /// Where its delivery stands.
    pub delivery: DeliveryState,
    /// Handler runs started so far.
    pub runs: u32,
    /// Those of them that this program ended itself; they do not count.
    pub runs_interrupted: u32,
    /// Transaction hash or signature: of the newest attempt, and of the landing once settled.
    pub transaction: Option<String>,
    /// Where it landed, once settled.
    pub landing: Option<Landing>,
    /// Why it was refused.
    pub refusal: Option<(ErrorCode, String)>,
    /// What became of the landing; none while it is not final.
    pub finality: Option<Finality>,
    /// When that was found.
    pub finality_at_ms: Option<i64>,
    /// The instance that works on it.
    pub owner: String,
    /// That instance's epoch when it took the payment.
    pub owner_epoch: i64,
    /// The instance that runs (or last ran) the handler.
    pub delivery_owner: Option<String>,
    /// When the newest handler run started.
    pub delivery_since_ms: Option<i64>,
    /// When a run last ended without an answer.
    pub credited_at_ms: Option<i64>,
    /// When it was claimed.
    pub created_at_ms: i64,
    /// When signed bytes were first stored.
    pub recorded_at_ms: Option<i64>,
    /// When the money was found to have arrived.
    pub settled_at_ms: Option<i64>,
    /// When a verdict of any kind was stored.
    pub verdict_at_ms: Option<i64>,
    /// When the answer was first delivered completely (start of the replay window).
    pub first_answer_at_ms: Option<i64>,
    /// When a merchant was told `success: true`, for good.
    pub merchant_answer_at_ms: Option<i64>,
    /// When somebody was last told that the outcome is pending.
    pub pending_answer_at_ms: Option<i64>,
}

impl fmt::Debug for NewClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewClaim")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("network", &self.network)
            .field("payer", &self.payer)
            .field("amount", &self.amount)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("network", &self.network)
            .field("payer", &self.payer)
            .field("amount", &self.amount)
            .field("resource", &self.resource)
            .field("state", &self.state)
            .field("delivery", &self.delivery)
            .field("runs", &self.runs)
            .field("transaction", &self.transaction)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// A handler's complete answer. `Debug` leaves out headers and body.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty when `truncated`, or when it lies in `object`.
    pub body: Vec<u8>,
    /// Where the body lies instead, when it is too long for the ledger.
    pub object: Option<AnswerObject>,
    /// The body is not kept at all: too long, or the store did not take it.
    pub truncated: bool,
    /// The operator may refund: the answer is a refusal of the handler (4xx), or
    /// reached its client only in part and is not kept.
    pub refundable: bool,
    /// What the work really used, where the host says so.
    pub usage: Option<Usage>,
}

/// A body in a file or object store. `Debug` leaves out the key.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerObject {
    /// Random, 32 hexadecimal digits.
    pub name: String,
    /// The key of this answer and of no other; whoever deletes it deletes the answer.
    pub key: [u8; 32],
    /// Length of the body.
    pub bytes: u64,
}

impl fmt::Debug for AnswerObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerObject")
            .field("name", &self.name)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// An object that no kept answer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftoverObject {
    /// Its name.
    pub name: String,
    /// Its run ended without it, and its key is still here: nobody may be
    /// reading it when it is dropped.
    pub has_key: bool,
}

/// What prepaid work really used, beside what was prepaid for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// What was sold, e.g. a model's public name.
    pub product: String,
    /// Prompt tokens that the price covers.
    pub prompt_tokens_reserved: u64,
    /// Prompt tokens that were read.
    pub prompt_tokens: u64,
    /// Completion tokens that the price covers.
    pub completion_tokens_reserved: u64,
    /// Completion tokens that were made.
    pub completion_tokens: u64,
    /// What was prepaid: the service price, above zero.
    pub reserved: Amount,
    /// What the real usage costs by the same prices.
    pub metered: Amount,
    /// What of the reserve is kept. All of it under `exact`; this is the place
    /// of a scheme that charges by use (`upto`).
    pub charged: Amount,
}

impl StoredAnswer {
    /// Length of what is kept, wherever it lies.
    pub fn body_bytes(&self) -> u64 {
        self.object.as_ref().map_or(self.body.len() as u64, |object| object.bytes)
    }
}

impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body_bytes())
            .field("object", &self.object)
            .field("truncated", &self.truncated)
            .field("refundable", &self.refundable)
            .finish_non_exhaustive()
    }
}

/// What is left of an answer when its body is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMeta {
    /// HTTP status.
    pub status: u16,
    /// Bytes of the body as the handler sent it.
    pub body_bytes: u64,
    /// The body was longer than is kept.
    pub truncated: bool,
    /// The operator may refund.
    pub refundable: bool,
    /// Whether `answer` still returns it; `prune` drops old ones.
    pub kept: bool,
}

/// What `start_delivery` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryStart {
    /// The caller runs the handler, and nobody else does.
    Run {
        /// Number of this run, from 1; `finish_delivery` and `credit_delivery` take it.
        run: u32,
    },
    /// Somebody else runs it.
    Running {
        /// Which instance.
        owner: String,
        /// Since when.
        since_ms: i64,
    },
    /// It is done.
    Delivered(AnswerMeta),
    /// Another ledger landed the payment: nothing runs for it.
    Owed,
    /// It failed as often as it may.
    Exhausted {
        /// Failed runs so far.
        runs: u32,
    },
}

/// How a run ended that left no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The handler failed: the run counts.
    Failed,
    /// This program ended it (a restart, a lost lease): it does not.
    Interrupted,
}

/// What one transaction cost its fee payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostEntry {
    /// The network it was paid on.
    pub network: Network,
    /// Transaction hash or signature; a cost is booked once per transaction.
    pub transaction: String,
    /// The payment it was for, when it was for one alone.
    pub payment: Option<PaymentId>,
    /// All of it, in wei or lamports.
    pub native: u128,
    /// The same in USDC, when a rate was known.
    pub usdc: Option<Amount>,
    /// Whether the transaction brought a payment in.
    pub earned: bool,
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
    /// Only those claimed before this payment (the last one of the previous page).
    pub before: Option<PaymentId>,
}

/// What `prune` may drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bodies and headers of answers are dropped this long after the run that made them.
    pub answers_ms: i64,
}

/// Whose clock leases are kept and judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseClock {
    /// The database's own: hosts may disagree about the time without taking each
    /// other's payments (PostgreSQL; SQLite has no leases).
    Database,
    /// What the caller says, for a simulated world.
    Caller,
}

/// How to open a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOptions {
    /// This process's name; processes that share a PostgreSQL ledger need different ones.
    pub instance: String,
    /// How long this process counts as alive after a heartbeat.
    pub lease_ms: i64,
    /// Whose clock says so.
    pub lease_clock: LeaseClock,
    /// Longest answer body that is kept.
    pub answer_body_bytes_max: usize,
    /// Connections at the same time (PostgreSQL), or readers (SQLite).
    pub connections_max: u32,
    /// How long opening waits for a process that is just ending and still
    /// holds the database (SQLite) or this instance's name (PostgreSQL).
    pub open_wait_ms: u64,
    /// Only look: no migration, no lock, no lease; mutations are errors.
    pub read_only: bool,
    /// Works beside the process that has the ledger: no migration, no lock, no
    /// lease. See [`Ledger::open_beside`](crate::Ledger::open_beside).
    pub beside: bool,
}

impl LedgerOptions {
    /// Defaults for a process of this name: a lease of 30 s, answers up to 1 MiB, 8 connections,
    /// 3 s for an earlier process to end.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            lease_ms: 30_000,
            lease_clock: LeaseClock::Caller,
            answer_body_bytes_max: 1 << 20,
            connections_max: 8,
            open_wait_ms: 3_000,
            read_only: false,
            beside: false,
        }
    }
}
