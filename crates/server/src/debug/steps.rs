//! One step of a call, for people and for programs.

use std::time::Duration;

use quittance_payer::{Bill, Event, Offered, Terms};
use quittance_protocol::plain_words;
use serde_json::{Map, Value, json};

use super::words::End;

/// Lines under a step begin here.
const INDENT: &str = "            ";

/// Its name, its line, and what belongs to it.
pub(super) struct Step {
    name: &'static str,
    line: String,
    facts: Vec<(&'static str, Value)>,
}

impl Step {
    pub(super) fn of(event: &Event) -> Self {
        let (name, line, facts) = match event {
            Event::Asked => ("asked", "→ the request, without a payment".to_owned(), vec![]),
            Event::Free { status } => {
                ("answered", format!("← {status}: no payment is asked for"), vec![("status", json!(status))])
            }
            Event::Offered(terms) => ("offered", of_terms(terms), vec![("terms", of_terms_json(terms))]),
            Event::FoundOpen { signed_at, bill } => (
                "found_open",
                format!("  an earlier payment for this request is open: {}", price(bill)),
                vec![("signed_at", json!(signed_at)), ("bill", json!(bill))],
            ),
            Event::Waiting => {
                ("waiting", "  another call of the same request is under way".to_owned(), vec![])
            }
            Event::Signed { payer, bill, valid_until, payment } => (
                "signed",
                of_signed(payer, bill, *valid_until, payment),
                vec![
                    ("payer", json!(payer)),
                    ("bill", json!(bill)),
                    ("valid_until", json!(valid_until)),
                    ("payment", payment.clone()),
                ],
            ),
            Event::Sent { times } => {
                let again = if *times > 1 { format!(", for the {times}. time") } else { String::new() };
                ("sent", format!("→ the request, with the payment{again}"), vec![("times", json!(times))])
            }
            Event::Answered { status, receipt } => (
                "answered",
                of_receipt(*status, receipt.as_ref()),
                vec![("status", json!(status)), ("receipt", json!(receipt))],
            ),
            Event::Broken { problem } => (
                "broken",
                format!("  no answer: {}", plain_words(problem)),
                vec![("problem", json!(plain_words(problem)))],
            ),
            Event::Again { after } => (
                "again",
                format!("  nobody knows yet: the same payment again in {} s", after.as_secs()),
                vec![("after_seconds", json!(after.as_secs()))],
            ),
        };
        Self { name, line, facts }
    }

    pub(super) fn text(&self, at: Duration) -> String {
        format!("{:>8.3} s  {}", at.as_secs_f64(), self.line)
    }

    pub(super) fn json(self, at: Duration) -> Value {
        let mut step = Map::new();
        step.insert("at_ms".to_owned(), json!(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)));
        step.insert("step".to_owned(), json!(self.name));
        step.extend(self.facts.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(step)
    }
}

pub(super) fn of_end(end: &End, at: Duration) -> String {
    let mut text = format!("{:>8.3} s  {}", at.as_secs_f64(), end.outcome);
    if let Some(code) = &end.code {
        text.push_str(&format!(" ({code})"));
    }
    text.push_str(&format!(": {}", end.message));
    if let Some(bytes) = end.bytes.filter(|bytes| *bytes > 0) {
        text.push_str(&format!("\n{INDENT}{bytes} bytes"));
    }
    if let Some(advice) = &end.advice {
        text.push_str(&format!("\n{INDENT}{advice}"));
    }
    text
}

/// Dollars, and how they add up where the seller says so. Words of a seller's on a terminal.
fn price(bill: &Bill) -> String {
    let parts = match (&bill.service_usdc, &bill.gas_usdc) {
        (Some(service), Some(gas)) => plain_words(&format!(" = {service} service + {gas} settlement")),
        _ => String::new(),
    };
    format!("{} USDC{parts} on {}", bill.amount.to_usdc(), plain_words(&bill.network))
}

fn of_terms(terms: &Terms) -> String {
    let why = terms.error.as_deref().map_or_else(String::new, |error| format!(": {}", plain_words(error)));
    let mut lines = vec![format!("← 402, x402 version {}{why}", terms.version)];
    if let Some(url) = &terms.resource_url {
        lines.push(format!("sold        {}", plain_words(url)));
    }
    let chosen = terms.chosen().map(|offer| &offer.requirements);
    for offer in &terms.offers {
        let mark = if Some(&offer.requirements) == chosen { "would pay  " } else { "offer      " };
        lines.push(format!("{mark} {}", of_offer(offer)));
        if let Some(reason) = &offer.why_not {
            lines.push(format!("            not by this payer: {}", plain_words(reason)));
        }
    }
    if terms.odd > 0 {
        lines.push(format!("and {} more of no known shape", terms.odd));
    }
    if let Some(signed) = terms.signed.first() {
        let until = signed.payload.valid_until;
        lines.push(format!("signed by the seller for {} offers, good until {until}", terms.signed.len()));
    }
    lines.join(&format!("\n{INDENT}"))
}

fn of_terms_json(terms: &Terms) -> Value {
    let offers: Vec<_> = terms
        .offers
        .iter()
        .map(|offer| {
            let mut shown = json!(offer.requirements);
            shown["bill"] = json!(offer.bill);
            shown["payable"] = json!(offer.why_not.is_none());
            shown["why_not"] = json!(offer.why_not);
            shown
        })
        .collect();
    json!({
        "x402Version": terms.version, "error": terms.error, "resource": terms.resource_url, "offers": offers,
        "odd": terms.odd, "signed": terms.signed,
    })
}

fn of_offer(offer: &Offered) -> String {
    let terms = &offer.requirements;
    let cost = offer.bill.as_ref().map_or_else(|| plain_words(&terms.amount), price);
    let extra: Vec<_> = terms.extra.iter().filter(|(name, _)| *name != "breakdown").collect();
    let extra: Vec<_> = extra.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let rest = format!("to {} in {}, within {} s", terms.pay_to, terms.asset, terms.max_timeout_seconds);
    format!(
        "{cost}\n{INDENT}            {}\n{INDENT}            {}",
        plain_words(&rest),
        plain_words(&extra.join(" "))
    )
}

fn of_signed(payer: &str, bill: &Bill, valid_until: u64, payment: &Value) -> String {
    let mut lines = vec![
        format!("  signed {}", price(bill)),
        format!("payer       {payer}"),
        format!("good until  {valid_until}"),
    ];
    let payload = payment.get("payload").and_then(Value::as_object);
    for (name, value) in payload.into_iter().flatten() {
        match value {
            Value::Object(fields) => lines.extend(
                fields
                    .iter()
                    .map(|(field, value)| format!("{name}.{field} = {}", plain_words(&value.to_string()))),
            ),
            other => lines.push(format!("{name} = {}", plain_words(&other.to_string()))),
        }
    }
    lines.join(&format!("\n{INDENT}"))
}

fn of_receipt(status: u16, receipt: Option<&Value>) -> String {
    let Some(receipt) = receipt else { return format!("← {status}, no receipt") };
    let mut lines = vec![format!("← {status}, receipt:")];
    for name in [
        "success",
        "transaction",
        "network",
        "payer",
        "amount",
        "payment_state",
        "errorReason",
        "errorMessage",
        "retry_action",
    ] {
        if let Some(value) = receipt.get(name) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{name:<13} {}", plain_words(&text)));
        }
    }
    let signed = receipt.pointer("/extensions/offer-receipt/info/receipt/payload/issuedAt");
    if let Some(at) = signed {
        lines.push(format!("signed by the seller at {}", plain_words(&at.to_string())));
    }
    lines.join(&format!("\n{INDENT}"))
}
