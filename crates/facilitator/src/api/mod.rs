//! What the gate and the program may ask, and what they are told.
//!
//! Owns the values that cross its boundary and who holds a run of a handler.
//! May touch: `metrics`. A grant that is dropped asks `delivery` for its credit, through the handle.
//! Nothing gets stuck here: a run that is dropped ends, and the ledger says what became of it.

pub(crate) mod active_runs;
pub(crate) mod caller;
pub(crate) mod networks;
pub(crate) mod receipts;
pub(crate) mod wallets;

use std::fmt;
use std::sync::Arc;

pub use quittance_chain::Rejection;
use quittance_ledger::StoredAnswer;
use quittance_protocol::{
    Amount, ErrorCode, Fingerprint, IdentifierHash, Network, PaymentId, RequestId, SettleResponse,
};

use tokio_util::sync::CancellationToken;

use crate::api::active_runs::Running;
use crate::{Caller, Inner};

/// What a request wants to buy: the gate's half of a payment.
#[derive(Clone, Debug)]
pub struct Sale {
    /// Price of the service, from the request's own body. The settlement
    /// surcharge is the facilitator's to add and to check.
    pub service: Amount,
    /// What the payment is bound to.
    pub fingerprint: Fingerprint,
    /// For the ledger: `POST /v1/chat/completions`.
    pub resource: String,
    /// Hash of the client's `payment-identifier`, if it sent one.
    pub identifier: Option<IdentifierHash>,
    /// Hash of the client's `Idempotency-Key`, if it sent one.
    pub idempotency: Option<IdentifierHash>,
    /// What is wrong with the name that the client gave its purchase, if it gave
    /// one that is none. A new payment is refused for it; to one that is on record
    /// it is no name (P5).
    pub malformed: Option<&'static str>,
    /// Who is calling; the default where nobody knows.
    pub caller: Caller,
}

/// What became of a payment that came with a request.
#[derive(Debug)]
pub enum PayOutcome {
    /// Settled, and this caller holds the only right to run the handler.
    Granted(Grant),
    /// Settled and served before: here is the same answer again.
    Answered {
        /// Whose answer it is, for [`crate::Facilitator::answer_sent`].
        payment: PaymentId,
        /// The answer as the handler gave it.
        answer: StoredAnswer,
        /// The receipt for `PAYMENT-RESPONSE`.
        receipt: SettleResponse,
    },
    /// No verdict yet, or the handler is still at work (P5): 503 with `Retry-After`.
    Pending {
        /// `success: false`, `settlement_pending` and the hash, once there is one.
        receipt: SettleResponse,
        /// When to send the same payment again.
        retry_after_seconds: u64,
    },
    /// Not paid: 402 with a fresh offer and this reason, where a new payment may be
    /// signed; else 503, or 429, with `Retry-After`.
    Refused(Rejection),
    /// The payment buys another request, or nothing any more: 409.
    Conflict {
        /// `request_mismatch`, `credit_exhausted`, `replay_window_closed` or `refund_owed`; of
        /// [`crate::Facilitator::on_record`] `body_too_large`.
        code: ErrorCode,
        /// What to do about it.
        message: String,
        /// The receipt, so that the payer can prove what was paid.
        receipt: Option<SettleResponse>,
    },
    /// This network cannot settle now: 503 with `Retry-After`.
    Unavailable {
        /// When to try again.
        retry_after_seconds: u64,
        /// Why, in one word: of the metrics `quittance_network_closed` and
        /// `quittance_no_room_total`, `chain` or `ledger`.
        reason: &'static str,
    },
}

/// The right to run the handler once for a settled payment (P1).
///
/// It ends in exactly one of [`crate::Facilitator::finish`] and
/// [`crate::Facilitator::credit`]; a grant that is dropped without either
/// (panic, a client that left) becomes a credit at once, and one that dies with
/// the process becomes a credit at the next boot (P6).
pub struct Grant {
    facts: PaidFacts,
    receipt: SettleResponse,
    revoked: CancellationToken,
    home: Option<(Arc<Inner>, Running)>,
}

impl Grant {
    pub(crate) fn new(facts: PaidFacts, receipt: SettleResponse, home: Arc<Inner>, running: Running) -> Self {
        Self { facts, receipt, revoked: running.revoked().clone(), home: Some((home, running)) }
    }

    /// Fires when this process may no longer act on the payment: it could not
    /// keep its lease on the ledger, and another may start the same run at any
    /// moment. Whoever runs the handler drops it then (P1).
    pub fn revoked(&self) -> impl Future<Output = ()> + use<> {
        self.revoked.clone().cancelled_owned()
    }

    /// The same, for a look.
    pub(crate) fn revocation(&self) -> &CancellationToken {
        &self.revoked
    }

    /// Facts about the payment for the handler.
    pub fn paid(&self) -> &PaidFacts {
        &self.facts
    }

    /// The receipt for `PAYMENT-RESPONSE`.
    pub fn receipt(&self) -> &SettleResponse {
        &self.receipt
    }

    /// Takes the right out, so that dropping the rest means nothing. The run
    /// stays registered for as long as the second part lives: until the ledger
    /// knows its end.
    pub(crate) fn redeem(mut self) -> (PaidFacts, Option<Running>) {
        (self.facts.clone(), self.home.take().map(|(_, running)| running))
    }

    /// A grant out of thin air, for fault-injecting tests of a gate; it ends
    /// when `revoked` is cancelled.
    #[cfg(feature = "testing")]
    pub fn for_testing(facts: PaidFacts, receipt: SettleResponse, revoked: CancellationToken) -> Self {
        Self { facts, receipt, revoked, home: None }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some((home, running)) = self.home.take() {
            let (payment, run) = (self.facts.payment_id.clone(), self.facts.run);
            let end = home.end_of_dropped(&self.revoked);
            let (drivers, runtime) = (home.drivers.clone(), home.runtime.clone());
            // Not where the handler ran: a server that stops takes its workers' tasks along.
            drivers.spawn_on(
                async move {
                    let _running = running;
                    home.credit(&payment, run, end, "the run was abandoned").await;
                },
                &runtime,
            );
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What a handler may know about the payment that started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidFacts {
    /// Our name for the payment.
    pub payment_id: PaymentId,
    /// Unguessable name for the work; the same on every run of one payment.
    pub request_id: RequestId,
    /// Who paid.
    pub payer: String,
    /// All that was paid.
    pub amount: Amount,
    /// Of which for the service.
    pub service: Amount,
    /// Where.
    pub network: Network,
    /// Transaction hash or signature.
    pub transaction: String,
    /// 1 on the first run, more when an earlier run failed.
    pub run: u32,
}

/// No network can be offered now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network can be offered now, try again in {retry_after_seconds} s")]
pub struct NothingToOffer {
    /// For `Retry-After`.
    pub retry_after_seconds: u64,
    /// The networks that are sold, each with the reason for which it is closed, as in
    /// the metric `quittance_network_closed`.
    pub closed: Vec<(Network, &'static str)>,
}

/// One network as discovery shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NetworkInfo {
    /// CAIP-2 identifier.
    pub network: Network,
    /// Token contract or mint.
    pub asset: String,
    /// Recipient.
    #[serde(rename = "payTo")]
    pub pay_to: String,
    /// `exact`.
    pub scheme: String,
    /// Settlement surcharge now, in atomic units; absent while it cannot be offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas: Option<Amount>,
    /// Scheme-specific facts, as in offers.
    pub extra: serde_json::Map<String, serde_json::Value>,
}
