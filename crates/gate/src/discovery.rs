//! What is sold here, and how to pay for it: four documents from one source.
//!
//! Endpoints and example prices come from the host's `Pricer`, networks and
//! example offers from the facilitator, as a real 402 does. Nothing here knows
//! a price. Answering does no I/O (P4).

pub(crate) mod listed;
mod llms;
mod openapi;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use quittance_facilitator::NetworkInfo;
use quittance_protocol::{Amount, EIP712_FORMAT, PaymentRequired, ResourceRef, X402_VERSION};
use quittance_quote::{EndpointInfo, Pricing, QueryParameter};
use quittance_receipts::Issuer;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::answers::{PAYMENT_REQUIRED_TEXT, json as json_answer};
use crate::body::Body;
use crate::discovery::listed::{AccountSecurity, Document, Listed, PricedExample};
use crate::shared::Shared;

/// Caches may keep a document for five seconds. Its surcharges move with the networks;
/// only a 402 is binding.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=5");

const PAGE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// One moment's truth, from which every document is written.
#[derive(Serialize)]
struct Snapshot {
    #[serde(rename = "x402Version")]
    x402_version: u64,
    networks: Vec<NetworkInfo>,
    /// Whose signature offers and receipts have.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<Signer>,
    endpoints: Vec<Shown>,
    /// Where the other documents are.
    documents: Map<String, Value>,
    #[serde(skip)]
    base_url: String,
    #[serde(skip)]
    offer: Option<PaymentRequired>,
}

/// How what this seller signs is known (extension `offer-receipt`).
#[derive(Serialize)]
struct Signer {
    format: &'static str,
    signer: String,
    /// The same as a decentralised identifier, as DNS records of sellers name it.
    did: String,
}

/// One endpoint.
#[derive(Serialize)]
struct Shown {
    method: String,
    path: String,
    pricing: Pricing,
    summary: String,
    description: String,
    mime_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<ShownExample>,
    #[serde(skip)]
    accounts: bool,
    #[serde(skip)]
    body_schema: Option<Value>,
    #[serde(skip)]
    query: Vec<QueryParameter>,
    /// No request costs less; the surcharge comes on top.
    #[serde(skip)]
    service_min: Option<Amount>,
}

/// A request that has a price, and what it costs at this moment.
#[derive(Serialize)]
struct ShownExample {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// Price of the service in atomic units.
    service: Amount,
    /// One for each network that can be paid on now.
    offers: Vec<ShownOffer>,
}

/// What one network asks for the example, in atomic units.
#[derive(Serialize)]
struct ShownOffer {
    network: String,
    asset: String,
    amount: String,
    /// The part of it that pays for settlement.
    gas: Amount,
}

impl Signer {
    fn of(issuer: &Issuer) -> Self {
        let signer = issuer.address();
        Self { format: EIP712_FORMAT, did: format!("did:pkh:eip155:1:{signer}"), signer }
    }
}

impl Snapshot {
    fn take(shared: &Shared) -> Self {
        let base_url = shared.public_url.clone().unwrap_or_default();
        let mut first = None;
        let mut shown = |listed: &Listed| {
            let info = &listed.info;
            let example = listed.example.as_ref().map(|example| {
                let offer = offer(shared, &base_url, info, example.service);
                let shown = show_example(info, example, offer.as_ref());
                first = first.take().or(offer);
                shown
            });
            Shown {
                method: info.method.clone(),
                path: info.path.clone(),
                pricing: info.pricing,
                summary: info.summary.clone(),
                description: info.description.clone(),
                mime_type: info.mime_type.clone(),
                example,
                accounts: listed.accounts,
                body_schema: info.body_schema.clone(),
                query: info.query.clone(),
                service_min: info.service_min,
            }
        };
        let endpoints = shared.listed.iter().map(&mut shown).collect();
        let document = |document: Document, name: &str| {
            shared.documents.contains(&document).then(|| (name.to_owned(), json!(document.path())))
        };
        let documents = [document(Document::Llms, "llms"), document(Document::OpenApi, "openapi")];
        Self {
            x402_version: X402_VERSION,
            networks: shared.facilitator.networks(),
            receipts: shared.receipts.as_ref().map(Signer::of),
            endpoints,
            documents: documents.into_iter().flatten().collect(),
            base_url,
            offer: first,
        }
    }

    /// The paid endpoints that show a priced request.
    fn examples(&self) -> impl Iterator<Item = (&Shown, &ShownExample)> {
        self.endpoints.iter().filter_map(|shown| Some((shown, shown.example.as_ref()?)))
    }
}

/// The offer a real request for the example would get; `None` while nothing can be paid.
fn offer(shared: &Shared, base_url: &str, info: &EndpointInfo, service: Amount) -> Option<PaymentRequired> {
    let resource = ResourceRef {
        url: &format!("{base_url}{}", info.example_path()),
        description: Some(&info.description),
        mime_type: Some(&info.mime_type),
    };
    shared.facilitator.offer(service, resource, PAYMENT_REQUIRED_TEXT).ok()
}

fn show_example(
    info: &EndpointInfo,
    example: &PricedExample,
    offer: Option<&PaymentRequired>,
) -> ShownExample {
    let accepts = offer.map(|offer| offer.accepts.as_slice()).unwrap_or_default();
    let offers = accepts.iter().filter_map(|accept| {
        let amount = accept.amount.parse::<u64>().ok().map(Amount::new)?;
        Some(ShownOffer {
            network: accept.network.clone(),
            asset: accept.asset.clone(),
            amount: accept.amount.clone(),
            gas: amount.checked_sub(example.service).ok()?,
        })
    });
    ShownExample {
        path: info.example_path(),
        body: example.body.clone(),
        service: example.service,
        offers: offers.collect(),
    }
}

/// The document at `path`, if this gate answers it.
pub(crate) fn document_at(shared: &Shared, path: &str) -> Option<Document> {
    shared.documents.iter().copied().find(|document| document.path() == path)
}

/// A document, written now.
pub(crate) fn answer(shared: &Shared, document: Document) -> Response<Body> {
    let snapshot = Snapshot::take(shared);
    let mut answer = match document {
        Document::X402 | Document::WellKnown => json_answer(StatusCode::OK, &snapshot),
        Document::OpenApi => {
            json_answer(StatusCode::OK, &openapi::write(&snapshot, &shared.account_security))
        }
        Document::Llms => {
            let mut page = Response::new(Body::from(llms::write(&snapshot, &shared.limits).into_bytes()));
            page.headers_mut().insert(CONTENT_TYPE, PAGE);
            page
        }
    };
    answer.headers_mut().insert(CACHE_CONTROL, CACHING);
    answer
}
