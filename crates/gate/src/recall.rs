//! What was bought before, whatever is sold now: the ledger comes before the catalogue.

use std::sync::Arc;

use http::Response;
use quittance_facilitator::{PayOutcome, Sale};
use quittance_protocol::PaymentPayload;

use crate::body::Body;
use crate::shared::Shared;
use crate::visit::Visit;
use crate::{answers, replay};

/// What the ledger says of a payment whose request cannot be sold now. Runs nothing
/// and claims nothing.
pub(crate) async fn recalled(
    shared: &Arc<Shared>,
    visit: &Visit,
    payment: &PaymentPayload,
    sale: &Sale,
) -> Option<Response<Body>> {
    match shared.facilitator.recall(payment, sale).await? {
        PayOutcome::Answered { payment, answer, receipt } => {
            Some(replay::replay(shared, &visit.head.headers, payment, answer, &receipt).await)
        }
        PayOutcome::Pending { receipt, retry_after_seconds } => {
            Some(answers::pending(&receipt, retry_after_seconds))
        }
        PayOutcome::Conflict { code, message, receipt } => {
            Some(answers::conflict(code, &message, receipt.as_ref()))
        }
        PayOutcome::Unavailable { retry_after_seconds, reason } => {
            Some(answers::unavailable(retry_after_seconds, reason))
        }
        PayOutcome::Granted(_) | PayOutcome::Refused(_) => None,
    }
}
