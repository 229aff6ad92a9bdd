//! From a request to its price and its payment, or to the answer it gets without.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body as HttpBody;
use quittance_facilitator::{Presented, Sale};
use quittance_protocol::{Amount, ErrorCode, PaymentPayload, ResourceRef};
use quittance_quote::Price;

use crate::answers::{self, PAYMENT_REQUIRED_MESSAGE, PAYMENT_REQUIRED_TEXT};
use crate::body::Body;
use crate::bytes::{Held, Sender, SharedBody};
use crate::error::GateError;
use crate::head;
use crate::pricing::NoPrice;
use crate::recall::recalled;
use crate::shared::Shared;
use crate::shown::{Shown, shown};
use crate::visit::Visit;
use crate::{closed, intake, person, several, unserved};

/// Room for an offer on two networks and its reason; a longer one grows.
const OFFER_BYTES: usize = 2_048;

/// An offer above this names its resource without the query: in base64, and with the
/// other headers, the head of a 402 must fit the 4 KiB that proxies allow by default (nginx
/// makes 502 of a longer one). A payment is bound to its request, not to what this says.
const OFFER_BYTES_MAX: usize = 2_560;

/// A URL up to this, its query left out, is named whatever else an offer holds: with many
/// networks it is they that need a proxy with more room.
const URL_BYTES_NAMED: usize = 256;

/// What the offer says is sold.
pub(crate) struct Resource {
    pub(crate) url: String,
    /// Index into [`Shared::listed`].
    pub(crate) endpoint: usize,
}

/// A request that carries a payment for a known price.
pub(crate) struct Job {
    pub(crate) payment: PaymentPayload,
    pub(crate) sale: Sale,
    pub(crate) price: Price,
    /// What a fresh offer would be for, if this payment is refused.
    pub(crate) resource: Resource,
}

/// A [`Job`] that has no place yet.
pub(crate) struct Asked {
    pub(crate) job: Job,
    /// Whose place; `None` where the payment can be on no record and is refused at once.
    pub(crate) presented: Option<Presented>,
    pub(crate) body: SharedBody,
}

/// Does no I/O but reading the body (P4), unless a payment came along.
pub(crate) async fn quote<B: HttpBody<Data = Bytes>>(
    shared: &Arc<Shared>,
    visit: &Visit,
    resource: Resource,
    paying: bool,
    body: B,
) -> Result<Asked, Response<Body>> {
    let shown = shown(&visit.head.headers, &*shared.facilitator);
    if let Err(error) = head::check_head(&visit.head, &shared.limits) {
        return Err(refused_unread(shared, visit, paying.then_some(shown), Some(body), &error).await);
    }
    let presented = match &shown {
        Shown::One(payment) => shared.facilitator.presented(payment),
        _ => None,
    };
    let sender = match presented {
        Some(Presented { is_signed: true, has_history: true, .. }) => Sender::Customer,
        Some(Presented { is_signed: true, .. }) => Sender::Signed,
        _ => Sender::Unpaid,
    };
    let mut held = Held::of(visit.caller);
    let room = |more| shared.bodies.take(sender, &mut held, more);
    let body = match intake::read_body(body, &shared.limits, room).await {
        Ok(body) => body,
        Err(error) => {
            let rest = None::<B>;
            return Err(refused_unread(shared, visit, paying.then_some(shown), rest, &error).await);
        }
    };
    let held = Arc::new(held);
    if !paying {
        return Err(offered(shared, visit, &resource, &shown, &body, (sender, &held)).await);
    }
    // The price comes first even when a payment is there: a request that would
    // be refused must get the host's 400 before anything is claimed.
    let price = shared.pricing.ask(&shared.pricer, visit, &body, (sender, &held), |pricer, request| {
        pricer.price(request).map_err(NoPrice::from)
    });
    let price = match price.await {
        Ok(price) => price,
        // A catalogue that no longer sells this may have sold it.
        Err(none) => return Err(not_priced(shared, visit, &shown, &body, none).await),
    };
    let payment = match shown {
        Shown::One(payment) => *payment,
        Shown::Several(all) => {
            let fingerprint = visit.fingerprint(&body);
            if let Some(known) = several::answer(shared, visit, &all, Some(fingerprint)).await {
                return Err(known);
            }
            let offer = || unpaid_because(shared, price.service, &resource, &all.error);
            return Err(closed::unpaid(shared, visit).unwrap_or_else(offer));
        }
        shown => {
            let offer = || unpaid_as_shown(shared, price.service, &resource, &shown);
            return Err(closed::unpaid(shared, visit).unwrap_or_else(offer));
        }
    };
    if let Some(closed) = closed::paying(shared, visit, &payment, &body).await {
        return Err(closed);
    }
    let sale = visit.sale(visit.fingerprint(&body), price.service, &payment);
    let body = SharedBody::new(sale.fingerprint, body, held);
    Ok(Asked { job: Job { payment, sale, price, resource }, presented, body })
}

/// What a request without a payment hears of its price.
async fn offered(
    shared: &Shared,
    visit: &Visit,
    resource: &Resource,
    shown: &Shown,
    body: &Bytes,
    held: (Sender, &Arc<Held>),
) -> Response<Body> {
    // Only the sum is of use.
    let service = shared.pricing.ask(&shared.pricer, visit, body, held, |pricer, request| {
        pricer.service(request).map_err(NoPrice::from)
    });
    match service.await {
        Err(none) => none.answer(),
        Ok(service) => {
            let answer = closed::unpaid(shared, visit)
                .unwrap_or_else(|| unpaid_as_shown(shared, service, resource, shown));
            let head = &visit.head;
            if answer.status() != StatusCode::PAYMENT_REQUIRED
                || !person::is_asking(&head.method, &head.headers)
            {
                return answer;
            }
            let path = head.uri.path_and_query().map_or(visit.path.as_str(), |target| target.as_str());
            let asked = person::Target { path, url: &resource.url };
            person::instead(shared, resource.endpoint, asked, Some(service), answer)
        }
    }
}

/// What is said where nothing is known of the body. `shown` is what came with a
/// request that tries to pay; of `body` nothing is read yet.
async fn refused_unread<B: HttpBody<Data = Bytes>>(
    shared: &Arc<Shared>,
    visit: &Visit,
    shown: Option<Shown>,
    body: Option<B>,
    error: &GateError,
) -> Response<Body> {
    match (error, shown) {
        (GateError::BodyTooLarge { .. } | GateError::UrlTooLong { .. }, Some(shown)) => {
            unserved::answer(shared, visit, &shown, body, error).await
        }
        // Only others are in its way, for a moment.
        (GateError::TooManyBytes { .. }, _) => {
            answers::trouble_after(error, None, Some(shared.limits.retry_after_seconds))
        }
        _ => answers::trouble(error),
    }
}

/// The host's refusal, unless what came along bought this request, or something.
async fn not_priced(
    shared: &Arc<Shared>,
    visit: &Visit,
    shown: &Shown,
    body: &[u8],
    none: NoPrice,
) -> Response<Body> {
    match shown {
        Shown::One(payment) => {
            let sale = visit.sale(visit.fingerprint(body), Amount::ZERO, payment);
            match recalled(shared, visit, payment, &sale).await {
                Some(known) => known,
                None => unserved::refused(shared, payment, none.answer()).await,
            }
        }
        Shown::Several(all) => {
            let fingerprint = visit.fingerprint(body);
            let known = several::answer(shared, visit, all, Some(fingerprint)).await;
            known.unwrap_or_else(|| none.answer())
        }
        Shown::Nothing | Shown::Unreadable(_) => none.answer(),
    }
}

/// A fresh offer for who showed nothing that can be taken.
fn unpaid_as_shown(shared: &Shared, service: Amount, resource: &Resource, shown: &Shown) -> Response<Body> {
    match shown {
        Shown::Unreadable(error) => unpaid_because(shared, service, resource, error),
        _ => unpaid(shared, service, resource, None, PAYMENT_REQUIRED_MESSAGE),
    }
}

/// A fresh offer because of what is wrong with the payment.
fn unpaid_because(
    shared: &Shared,
    service: Amount,
    resource: &Resource,
    error: &GateError,
) -> Response<Body> {
    let code = error.wire_code().unwrap_or(ErrorCode::InvalidPayload);
    unpaid(shared, service, resource, Some(code), &error.to_string())
}

/// A fresh offer (402), 503 when there is none, or 414 where the host or path that was asked
/// for is too long for one.
///
/// `code` is the reason a payment was refused; `None` when there was none.
pub(crate) fn unpaid(
    shared: &Shared,
    service: Amount,
    resource: &Resource,
    code: Option<ErrorCode>,
    message: &str,
) -> Response<Body> {
    let error = code.map_or(PAYMENT_REQUIRED_TEXT, ErrorCode::as_str);
    let listed = shared.listed.get(resource.endpoint).map(|listed| &listed.info);
    let mut resource = ResourceRef {
        url: &resource.url,
        description: listed.map(|info| info.description.as_str()),
        mime_type: listed.map(|info| info.mime_type.as_str()),
    };
    let whole = resource;
    let mut offer = Vec::with_capacity(OFFER_BYTES);
    let mut written = shared.facilitator.write_offer(service, resource, error, &mut offer);
    if offer.len() > OFFER_BYTES_MAX
        && let Some((named, _)) = resource.url.split_once('?')
    {
        offer.clear();
        resource.url = named;
        written = shared.facilitator.write_offer(service, resource, error, &mut offer);
    }
    if offer.len() > OFFER_BYTES_MAX && resource.url.len() > URL_BYTES_NAMED {
        let others = offer.len().saturating_sub(resource.url.len());
        let max = OFFER_BYTES_MAX.saturating_sub(others).max(URL_BYTES_NAMED);
        return answers::trouble(&GateError::UrlNotNamed { max });
    }
    match written {
        Ok(()) => {
            let code = code.unwrap_or(ErrorCode::PaymentRequired);
            let signed = shared.receipts.as_ref().and_then(|issuer| {
                let now = u64::try_from(shared.facilitator.now_ms() / 1_000).unwrap_or_default();
                issuer.offers(whole.url, &offer, now)
            });
            let in_version_1 = in_version_1(shared, service, whole, error);
            let header_bytes_max = OFFER_BYTES_MAX;
            let offer = answers::Offered { text: offer, signed: signed.as_deref(), header_bytes_max };
            answers::offer(offer, in_version_1, code, message)
        }
        Err(nothing) => answers::nothing_to_offer(&nothing, code.is_some()),
    }
}

/// The offer as clients of x402 version 1 read it, from the body; `None` where no network
/// that is open has a name in it.
fn in_version_1(shared: &Shared, service: Amount, resource: ResourceRef<'_>, error: &str) -> Option<Vec<u8>> {
    let mut offer = Vec::with_capacity(OFFER_BYTES);
    shared.facilitator.write_offer_v1(service, resource, error, &mut offer).then_some(offer)
}
