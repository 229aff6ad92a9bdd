//! Different payments in one request: a proxy and we could each read another one, so
//! none of them is taken. But one may be on record, and whoever holds it must not be
//! asked to pay again (P5).

use std::sync::Arc;

use http::Response;
use quittance_facilitator::PayOutcome;
use quittance_protocol::{Amount, Fingerprint, PaymentPayload, SettleResponse};

use crate::answers;
use crate::body::Body;
use crate::recall::recalled;
use crate::shared::Shared;
use crate::shown::Several;
use crate::visit::Visit;

/// What the ledger says of them: of one that may still land that it is pending; of one
/// that bought this very request, what it bought; of another one that is settled, that
/// it is to be sent alone. `None` where all of them are unknown, and so nothing was paid.
///
/// `more` says that not all were looked at, `fingerprint` which request it is where
/// that is known. Claims nothing and runs nothing.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    visit: &Visit,
    Several { payments, more, .. }: &Several,
    fingerprint: Option<Fingerprint>,
) -> Option<Response<Body>> {
    let mut settled: Vec<(&PaymentPayload, Option<SettleResponse>)> = Vec::new();
    for payment in payments {
        match shared.facilitator.on_record(payment).await {
            Some(PayOutcome::Pending { receipt, retry_after_seconds }) => {
                return Some(answers::pending(&receipt, retry_after_seconds));
            }
            Some(PayOutcome::Unavailable { retry_after_seconds, reason }) => {
                return Some(answers::unavailable(retry_after_seconds, reason));
            }
            Some(PayOutcome::Conflict { receipt, .. }) => settled.push((payment, receipt)),
            Some(PayOutcome::Answered { .. } | PayOutcome::Granted(_) | PayOutcome::Refused(_)) | None => {}
        }
    }
    if let Some(fingerprint) = fingerprint {
        for (payment, _) in &settled {
            let sale = visit.sale(fingerprint, Amount::ZERO, payment);
            if let Some(known) = recalled(shared, visit, payment, &sale).await {
                return Some(known);
            }
        }
    }
    let on_record = settled.into_iter().next();
    (*more || on_record.is_some())
        .then(|| answers::send_one(on_record.and_then(|(_, receipt)| receipt).as_ref()))
}
