//! Requests that are sold no more, for their size, path or price, and may have been
//! paid: the books come before the configuration.

use std::sync::Arc;

use actix_web::HttpMessage as _;
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use futures::StreamExt as _;
use quittance_facilitator::PayOutcome;
use quittance_protocol::{Amount, BodyDigest, Fingerprint};

use crate::gate::Shared;
use crate::{GateError, answers, intake, middleware, receipt};

/// The longest body that is looked through, and not kept, to find what it bought; the
/// most that `gate.body_bytes_max` may be.
const DIGESTED_BYTES_MAX: u64 = 1 << 30;

/// What a request that is refused unread hears: what it bought, if its payment is on
/// record. Whoever was told "too large" about a payment that landed would make the
/// request smaller and pay again.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    req: &mut ServiceRequest,
    path: &str,
    error: &GateError,
) -> HttpResponse<BoxBody> {
    let Ok(Some(payment)) = intake::payment(req.headers()) else { return answers::trouble(error) };
    // Only for who holds a payment on record is the body looked through.
    let receipt = match shared.till.on_record(&payment).await {
        None => return answers::trouble(error),
        Some(PayOutcome::Pending { receipt, retry_after_seconds }) => {
            return answers::pending(&receipt, retry_after_seconds);
        }
        Some(PayOutcome::Unavailable { retry_after_seconds, reason }) => {
            return answers::unavailable(retry_after_seconds, reason);
        }
        Some(PayOutcome::Conflict { receipt, .. }) => receipt,
        Some(_) => None,
    };
    let Some(body) = digest(req, shared).await else {
        return answers::unserved_but_paid(error, receipt.as_ref());
    };
    let fingerprint = Fingerprint::of_request_with(req.method().as_str(), path, req.query_string(), body);
    let sale = middleware::sale_of(shared, req, path, fingerprint, (Amount::ZERO, &payment));
    match middleware::recalled(shared, req, &payment, &sale).await {
        Some(answer) => answer,
        None => answers::unserved_but_paid(error, receipt.as_ref()),
    }
}

/// The SHA-256 of the body, or `None` where it does not arrive.
async fn digest(req: &mut ServiceRequest, shared: &Shared) -> Option<[u8; 32]> {
    let mut payload = req.take_payload();
    let read = async {
        let (mut digest, mut bytes) = (BodyDigest::default(), 0_u64);
        while let Some(piece) = payload.next().await {
            let piece = piece.ok()?;
            bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if bytes > DIGESTED_BYTES_MAX {
                return None;
            }
            digest.update(&piece);
        }
        Some(digest.finish())
    };
    tokio::time::timeout(shared.limits.body_read(), read).await.ok().flatten()
}

/// The catalogue's refusal, with the receipt of whoever has paid already.
pub(crate) async fn refused(
    shared: &Shared,
    req: &ServiceRequest,
    mut answer: HttpResponse<BoxBody>,
) -> HttpResponse<BoxBody> {
    let Ok(Some(payment)) = intake::payment(req.headers()) else { return answer };
    if let Some(PayOutcome::Conflict { receipt: Some(receipt), .. }) = shared.till.on_record(&payment).await {
        receipt::stamp(answer.status(), answer.headers_mut(), &receipt, "settled");
    }
    answer
}
