//! Endpoints that sell nothing for now, because what serves them is down: said before
//! anybody pays.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use quittance_protocol::{Amount, PaymentPayload};

use crate::answers;
use crate::body::Body;
use crate::error::GateError;
use crate::recall::recalled;
use crate::shared::Shared;
use crate::unserved;
use crate::visit::Visit;

/// The answer to a request that has a price and does not pay.
pub(crate) fn unpaid(shared: &Shared, visit: &Visit) -> Option<Response<Body>> {
    let seconds = closed_for(shared, visit)?;
    Some(answers::trouble_after(&GateError::ServiceDown { paying: false }, None, Some(seconds)))
}

/// The answer to one that pays: what its payment bought, if it is on record (the ledger comes
/// first), else that it is to be sent again. Claims nothing and runs nothing: a credit keeps
/// its runs.
pub(crate) async fn paying(
    shared: &Arc<Shared>,
    visit: &Visit,
    payment: &PaymentPayload,
    body: &Bytes,
) -> Option<Response<Body>> {
    let seconds = closed_for(shared, visit)?;
    let sale = visit.sale(visit.fingerprint(body), Amount::ZERO, payment);
    if let Some(known) = recalled(shared, visit, payment, &sale).await {
        return Some(known);
    }
    let answer = answers::trouble_after(&GateError::ServiceDown { paying: true }, None, Some(seconds));
    Some(unserved::refused(shared, payment, answer).await)
}

fn closed_for(shared: &Shared, visit: &Visit) -> Option<u64> {
    shared.closed.as_ref()?(visit.head.method.as_str(), &visit.path)
}
