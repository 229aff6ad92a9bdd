//! Requests that are sold no more, for their size, path or price, and may have been
//! paid: the ledger comes before the configuration.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body::Body as HttpBody;
use quittance_facilitator::PayOutcome;
use quittance_protocol::{Amount, BodyDigest, Fingerprint, PaymentPayload};

use crate::body::Body;
use crate::recall::recalled;
use crate::shared::Shared;
use crate::shown::Shown;
use crate::visit::Visit;
use crate::{GateError, answers, intake, receipt, several};

/// The longest body that is looked through, and not kept, to find what it bought; the
/// most that `gate.body_bytes_max` may be.
const DIGESTED_BYTES_MAX: u64 = 1 << 30;

/// What a request that is refused unread hears: what it bought, if its payment is on
/// record. Whoever was told "too large" about a payment that landed would make the
/// request smaller and pay again. `body` is `None` where some of it was read.
pub(crate) async fn answer<B: HttpBody<Data = Bytes>>(
    shared: &Arc<Shared>,
    visit: &Visit,
    shown: &Shown,
    body: Option<B>,
    error: &GateError,
) -> Response<Body> {
    let payment = match shown {
        Shown::One(payment) => payment,
        Shown::Several(all) => {
            let known = several::answer(shared, visit, all, None).await;
            return known.unwrap_or_else(|| answers::trouble(error));
        }
        Shown::Nothing | Shown::Unreadable(_) => return answers::trouble(error),
    };
    // Only for who holds a payment on record is the body looked through.
    let receipt = match shared.facilitator.on_record(payment).await {
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
    let digest = match body {
        Some(body) => digest(body, shared).await,
        None => None,
    };
    let Some(digest) = digest else {
        return answers::unserved_but_paid(error, receipt.as_ref());
    };
    let method = visit.head.method.as_str();
    let fingerprint = Fingerprint::of_request_with(method, &visit.path, visit.query(), digest);
    let sale = visit.sale(fingerprint, Amount::ZERO, payment);
    match recalled(shared, visit, payment, &sale).await {
        Some(answer) => answer,
        None => answers::unserved_but_paid(error, receipt.as_ref()),
    }
}

/// The SHA-256 of the body, or `None` where it does not arrive.
async fn digest<B: HttpBody<Data = Bytes>>(body: B, shared: &Shared) -> Option<[u8; 32]> {
    let read = async {
        let mut body = pin!(body);
        let (mut digest, mut bytes) = (BodyDigest::default(), 0_u64);
        while let Some(piece) = intake::next_piece(&mut body).await {
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
    payment: &PaymentPayload,
    mut answer: Response<Body>,
) -> Response<Body> {
    if let Some(PayOutcome::Conflict { receipt: Some(receipt), .. }) =
        shared.facilitator.on_record(payment).await
    {
        receipt::stamp(answer.status(), answer.headers_mut(), &receipt, "settled");
    }
    answer
}
