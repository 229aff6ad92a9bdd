//! `--debug`: what passes the gateway is noted for the page of the last calls.

use std::net::{SocketAddr, ToSocketAddrs as _};

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use quittance_facilitator::config::Config;
use quittance_facilitator::{Clock, Facilitator};
use quittance_payer::shown_payment;
use quittance_protocol::{
    Amount, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, decode_header,
    plain_words, v1,
};
use quittance_quote::{Pricer as _, Route};
use serde_json::Value;

use crate::CommandError;
use crate::gateway::forward::Forwarding;
use crate::page::calls::{Answered, Calls, End, LINES_MAX, Shown, lines};

/// Longest body of the gate's own that is read for its reason.
const REASON_BYTES_MAX: usize = 64 * 1024;

/// Who notes, and who knows a payment.
pub(super) struct Watcher {
    calls: Calls,
    facilitator: Facilitator,
    clock: Clock,
}

/// A call whose end is noted, also when nobody waits for it any more.
struct Noted<'a> {
    watcher: &'a Watcher,
    number: u64,
    is_over: bool,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let at_ms = self.watcher.clock.now_ms();
            self.watcher.calls.end(self.number, End::Dropped { at_ms });
        }
    }
}

/// What is signed and who buys stands on that page, so it is for one person at one machine: every
/// port that could show it has to be on loopback.
pub(super) fn check(config: &Config) -> Result<(), CommandError> {
    let admin = config.admin_listen();
    for (key, listen) in [("server.listen", Some(config.server.listen.as_str())), ("admin_listen", admin)] {
        let Some(listen) = listen else { continue };
        let addresses: Vec<SocketAddr> =
            listen.to_socket_addrs().map_err(|error| format!("{key} = {listen:?}: {error}"))?.collect();
        if addresses.is_empty() || !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(format!(
                "--debug shows every payment, so it wants {key} on loopback, such as 127.0.0.1:4402, and not {listen}"
            )
            .into());
        }
    }
    Ok(())
}

impl Watcher {
    pub(super) fn new(calls: Calls, facilitator: Facilitator) -> Self {
        Self { calls, facilitator, clock: Clock::system() }
    }

    fn begin(&self, request: &ServiceRequest) -> Noted<'_> {
        let payment = self.payment(request.headers());
        let (method, path) = (request.method().as_str(), request.uri().path());
        let number = self.calls.begin(self.clock.now_ms(), method, path, payment);
        Noted { watcher: self, number, is_over: false }
    }

    /// The payment as it may be shown. It is read a second time here, more kindly than by the gate.
    fn payment(&self, headers: &HeaderMap) -> Option<Shown> {
        let header = |name: &str| headers.get(name);
        let (version, value) = match (header(PAYMENT_SIGNATURE), header(v1::X_PAYMENT)) {
            (Some(value), _) => (2, value),
            (None, Some(value)) => (1, value),
            (None, None) => return None,
        };
        let text = value.to_str().unwrap_or_default();
        let payload = match version {
            1 => decode_header::<v1::PaymentPayload>(text)
                .ok()
                .and_then(|payload| self.facilitator.in_version_2(payload).ok()),
            _ => decode_header::<PaymentPayload>(text).ok(),
        };
        let presented = payload.and_then(|payload| self.facilitator.presented(&payload));
        let shown = shown_payment(text);
        let mut fields = lines(shown.get("accepted").unwrap_or(&Value::Null));
        fields
            .retain(|line| ["network", "amount", "asset", "payTo"].iter().any(|name| line.starts_with(name)));
        fields.extend(lines(shown.get("payload").unwrap_or(&Value::Null)));
        if fields.is_empty() {
            fields.push("the header is no payment that can be read".to_owned());
        }
        Some(Shown {
            version,
            lines: fields,
            key: presented.map(|presented| presented.key),
            is_signed: presented.is_some_and(|presented| presented.is_signed),
        })
    }
}

/// Goes on with a request; with `--debug` calls of what is sold are noted.
pub(super) async fn watch(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let watcher = request.app_data::<Data<Watcher>>().cloned();
    let Some(watcher) = watcher.filter(|_| is_sold(&request)) else { return next.call(request).await };
    let mut noted = watcher.begin(&request);
    let response = next.call(request).await?;
    let (response, body) = whole(response);
    noted.is_over = true;
    let answered = answered(&response, body.as_deref(), watcher.clock.now_ms());
    watcher.calls.end(noted.number, End::Answered(Box::new(answered)));
    drop(noted);
    Ok(response)
}

fn is_sold(request: &ServiceRequest) -> bool {
    let forwarding = request.app_data::<Data<Forwarding>>();
    forwarding.is_some_and(|forwarding| {
        let route = forwarding.catalogues.route(request.method().as_str(), request.uri().path());
        matches!(route, Route::Paid(_))
    })
}

/// A refusal's body, where it is in memory; a stream passes as it is.
fn whole(response: ServiceResponse<BoxBody>) -> (ServiceResponse<BoxBody>, Option<Bytes>) {
    if response.status().is_success() {
        return (response, None);
    }
    let mut seen = None;
    let response = response.map_body(|_, body| match body.try_into_bytes() {
        Ok(bytes) => {
            seen = Some(bytes.clone()).filter(|bytes| bytes.len() <= REASON_BYTES_MAX);
            BoxBody::new(bytes)
        }
        Err(stream) => stream,
    });
    (response, seen)
}

fn answered(response: &ServiceResponse<BoxBody>, body: Option<&[u8]>, at_ms: i64) -> Answered {
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let read = |name: &str| text(name).and_then(|text| decode_header::<Value>(text).ok());
    let (required, receipt) = (read(PAYMENT_REQUIRED), read(PAYMENT_RESPONSE));
    let body: Value = body.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let word = |value: Option<&Value>, name: &str| {
        value.and_then(|value| value.get(name)).and_then(Value::as_str).map(plain_words)
    };
    let code = word(required.as_ref(), "error").or_else(|| word(Some(&body), "error"));
    let message = word(Some(&body), "message").or_else(|| word(receipt.as_ref(), "errorMessage"));
    let offers = required.as_ref().and_then(|value| value.get("accepts")).and_then(Value::as_array);
    Answered {
        at_ms,
        status: response.status().as_u16(),
        code: code.or_else(|| word(receipt.as_ref(), "errorReason")),
        message,
        offers: offers.into_iter().flatten().take(LINES_MAX).map(offer).collect(),
        receipt: receipt.as_ref().map(of_receipt).unwrap_or_default(),
        state: text("payment-state").map(plain_words),
    }
}

/// The gate's own offer, in a line.
fn offer(offer: &Value) -> String {
    let word = |name: &str| offer.get(name).and_then(Value::as_str).unwrap_or("–");
    let usdc = word("amount").parse::<u64>().map(|amount| Amount::new(amount).to_usdc());
    let part = |name: &str| offer.pointer(&format!("/extra/breakdown/{name}")).and_then(Value::as_str);
    let parts = match (part("service_usdc"), part("gas_usdc")) {
        (Some(service), Some(gas)) => format!(" = {service} service + {gas} settlement"),
        _ => String::new(),
    };
    let usdc = usdc.unwrap_or_else(|_| word("amount").to_owned());
    plain_words(&format!(
        "{usdc} USDC{parts} on {} to {} in {}",
        word("network"),
        word("payTo"),
        word("asset")
    ))
}

/// Without the signed receipt, which is the customer's.
fn of_receipt(receipt: &Value) -> Vec<String> {
    let mut receipt = receipt.clone();
    if let Some(members) = receipt.as_object_mut() {
        members.remove("extensions");
    }
    lines(&receipt)
}
