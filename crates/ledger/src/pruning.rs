//! When a payment is over for good: the values, and the rule that both databases and
//! the model keep. Pure.

use quittance_protocol::{Deadline, PaymentId};

use crate::types::{DeliveryState, Origin, Payment, PaymentState};

/// Payments that one step prunes at most: a step is one transaction, and on SQLite
/// whoever settles a payment waits for it.
pub(crate) const PRUNED_PER_STEP: u64 = 8;
/// Payments that one step looks at: those that stay are passed by.
pub(crate) const LOOKED_AT_PER_STEP: u8 = 64;
/// Lines of journals that one step deletes.
pub(crate) const LINES_PER_STEP: u64 = 128;
/// A payment with more attempts stays.
pub(crate) const ATTEMPTS_MAX: u8 = 32;
/// Tariffs that one step deletes.
pub(crate) const TARIFFS_PER_STEP: u64 = 64;
/// Tariffs are kept for a day at least, however short payments are.
const TARIFFS_KEPT_MS_MIN: i64 = 86_400_000;

/// What [`Ledger::prune_finished`](crate::Ledger::prune_finished) may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedPolicy {
    /// How long ago the verdict, the finality and the deadline of a payment are at least.
    pub keep_ms: i64,
    /// How long nobody else prunes after a step.
    pub lease_ms: i64,
}

impl FinishedPolicy {
    pub(crate) fn before_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.keep_ms)
    }
}

/// Where a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneCursor {
    pub(crate) verdict_at_ms: i64,
    pub(crate) payment: PaymentId,
}

impl PruneCursor {
    pub(crate) fn of(payment: &Payment) -> Self {
        Self { verdict_at_ms: payment.verdict_at_ms.unwrap_or(i64::MIN), payment: payment.id.clone() }
    }
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// Another instance prunes.
    Busy,
    /// A step of ours.
    Step {
        /// Payments that it pruned.
        payments: u64,
        /// Tariffs that it deleted.
        tariffs: u64,
        /// Where the next step begins; none: this was the last one.
        next: Option<PruneCursor>,
    },
}

/// What stands beside a payment's row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) refundable: bool,
    pub(crate) kept: bool,
    pub(crate) reserved: bool,
}

impl Ended {
    pub(crate) const fn may_go(self) -> bool {
        !self.refundable && !self.kept && !self.reserved
    }
}

pub(crate) fn tariffs_before_ms(before_ms: i64, now_ms: i64) -> i64 {
    before_ms.min(now_ms.saturating_sub(TARIFFS_KEPT_MS_MIN))
}

/// Whether the row says that everything of it was over before this instant.
pub(crate) fn is_over(payment: &Payment, before_ms: i64) -> bool {
    let before = |at_ms: Option<i64>| at_ms.is_some_and(|at_ms| at_ms < before_ms);
    // A height is passed within a minute, and the verdict is older than that.
    let lapsed = match payment.deadline {
        Deadline::UnixSeconds(seconds) => {
            before(i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000)))
        }
        Deadline::BlockHeight(_) => true,
    };
    let ended = match (payment.state, &payment.origin) {
        (PaymentState::Claimed | PaymentState::Recorded, _) => false,
        (PaymentState::Refused | PaymentState::Expired, _) => true,
        (PaymentState::Settled, Origin::Gate) => {
            // What stands for it (aliases) was made before its answer was taken.
            before(payment.finality_at_ms)
                && payment.delivery == DeliveryState::Delivered
                && before(payment.first_answer_at_ms)
        }
        (PaymentState::Settled, Origin::Merchant(_)) => {
            before(payment.finality_at_ms)
                && payment.delivery == DeliveryState::None
                && before(payment.merchant_answer_at_ms)
        }
    };
    payment.pruned_at_ms.is_none() && before(payment.verdict_at_ms) && lapsed && ended
}
