//! Payments: what is known of one when it is claimed, and afterwards.

use std::fmt;

use quittance_protocol::{
    Amount, Deadline, ErrorCode, Fingerprint, IdentifierHash, Landing, Network, PaymentId, PaymentKey,
    RequestId,
};

use super::{DeliveryState, FeePolicy, Finality, MerchantFee, PaymentState, RepeatPolicy, RunLimits};

/// Who asked for the payment to be settled.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "merchant", rename_all = "snake_case")]
pub enum Origin {
    /// Our own gate, which runs the handler itself.
    Gate,
    /// A foreign server through `/settle`, by its merchant name.
    Merchant(String),
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
    /// Who carries what settling costs, for a merchant with a row of its own: its limits and
    /// state are looked at in the commit of the claim.
    pub fee: Option<MerchantFee>,
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

impl NewClaim {
    /// As [`Payment::merchant_row`].
    pub fn merchant_row(&self) -> Option<&str> {
        match &self.origin {
            Origin::Merchant(name) if self.fee.is_some() => Some(name),
            _ => None,
        }
    }

    /// As [`Payment::settling`].
    pub fn settling(&self) -> Amount {
        let carried = self.fee.map_or(0, |fee| fee.carried.atomic());
        Amount::new(self.gas.atomic().saturating_add(carried))
    }
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
    /// Who carries what settling costs, for a merchant with a row of its own.
    pub fee: Option<MerchantFee>,
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
    /// Those of the interrupted ones that ended with their process; they count apart.
    pub runs_crashed: u32,
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
    /// When its journal, attempts and payload were deleted: it ended long before.
    pub pruned_at_ms: Option<i64>,
}

impl Payment {
    /// What its settlement may cost (I10): what was charged for it, and what somebody else
    /// than the payer carries.
    pub const fn settling(&self) -> Amount {
        let carried = match self.fee {
            Some(fee) => fee.carried.atomic(),
            None => 0,
        };
        Amount::new(self.gas.atomic().saturating_add(carried))
    }

    /// Of that, what is due to the operator: charged within the amount, or billed.
    pub const fn due(&self) -> Amount {
        let billed = match self.fee {
            Some(MerchantFee { policy: FeePolicy::Billed, carried }) => carried.atomic(),
            _ => 0,
        };
        Amount::new(self.gas.atomic().saturating_add(billed))
    }

    /// The merchant with a row of its own that it is a payment of.
    pub fn merchant_row(&self) -> Option<&str> {
        match &self.origin {
            Origin::Merchant(name) if self.fee.is_some() => Some(name),
            _ => None,
        }
    }

    /// Runs that ended by themselves and left no answer.
    pub const fn failed_runs(&self) -> u32 {
        self.runs.saturating_sub(self.runs_interrupted)
    }

    /// Whether its credit may buy one more run; in SQL `ops::delivery::RUNS_LEFT`.
    pub const fn has_runs_left(&self, limits: RunLimits) -> bool {
        self.failed_runs() < limits.failed_max && self.runs_crashed < limits.crashed_max
    }
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
