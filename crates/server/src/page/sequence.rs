//! The last calls, and one of them as a sequence: what came, what the ledger wrote of its payment,
//! and what was answered, in the order of their times.

use maud::{Markup, html};
use quittance_ledger::JournalLine;

use super::board::Told;
use super::calls::{Answered, Call, End, Shown};
use super::layout::{self, Frame};
use super::words::{ago, event, moment, short, span, stage};
use crate::debug::words::advice;

/// One step: when, what, and its particulars, a line each.
struct Step {
    at_ms: i64,
    title: String,
    lines: Vec<String>,
    is_bad: bool,
}

/// The list.
pub(super) fn list(calls: &[Call], now_ms: i64) -> Markup {
    let frame = Frame { title: "Last calls", sought: "", from: Some("/status/calls") };
    layout::frame(
        &frame,
        &html! {
            section {
                h2 { "Last calls" }
                p .note {
                    "Of endpoints that are sold, in the memory of this process. Only because of "
                    code { "--debug" } ": leave it off where strangers call."
                }
                @if calls.is_empty() { p .note { "None yet." } }
                div .scroll { table {
                    thead { tr { th { "call" } th { "when" } th { "request" } th { "payment" } th .n { "took" } th { "answer" } } }
                    tbody { @for call in calls { (row(call, now_ms)) } }
                } }
            }
        },
    )
}

fn row(call: &Call, now_ms: i64) -> Markup {
    let took = ended_ms(call).map(|at_ms| span(at_ms.saturating_sub(call.began_ms)));
    html! {
        tr {
            td { a .mono id={ "call-" (call.number) } href={ "/status/calls/" (call.number) } { (call.number) } }
            td .soft { (ago(now_ms, call.began_ms)) }
            td .cut title=(call.path) { bdi { (call.method) " " (call.path) } }
            td { @match &call.payment {
                None => span .soft { "none" },
                Some(shown) => span .pill.(if shown.is_signed { "good" } else { "bad" }) {
                    @if shown.is_signed { "signed" } @else { "not signed by its payer" }
                },
            } }
            td .n { @match took { Some(took) => (took), None => "…" } }
            td .wrap { (answer(&call.end)) }
        }
    }
}

fn answer(end: &End) -> Markup {
    html! { @match end {
        End::Open => span .wait { "under way" },
        End::Dropped { .. } => span .warn { "its client was gone" },
        End::Answered(answered) => {
            span .(colour(answered.status)) { (answered.status) }
            @if let Some(code) = &answered.code { " " bdi { (code) } }
        },
    } }
}

fn colour(status: u16) -> &'static str {
    match status {
        200..300 => "good",
        402 => "wait",
        _ => "bad",
    }
}

fn ended_ms(call: &Call) -> Option<i64> {
    match &call.end {
        End::Open => None,
        End::Dropped { at_ms } => Some(*at_ms),
        End::Answered(answered) => Some(answered.at_ms),
    }
}

/// One call; `told` is its payment, where the ledger has one.
pub(super) fn page(call: &Call, told: Result<Option<&Told>, &str>) -> Markup {
    let title = format!("Call {}", call.number);
    let from = format!("/status/calls/{}", call.number);
    let frame = Frame { title: &title, sought: "", from: Some(&from) };
    layout::frame(
        &frame,
        &html! {
            section .lead {
                h1 { bdi { (call.method) " " (call.path) } }
                @if let Ok(Some(told)) = told {
                    @let (colour, word) = stage(&told.payment);
                    span .pill.(colour) { (word) }
                }
                span .note { "began " (moment(call.began_ms)) }
            }
            @if let Ok(Some(told)) = told {
                p .note {
                    "Its payment: " a .mono href={ "/status/payments/" (told.payment.id) } { (told.payment.id) }
                }
            }
            @if let Err(error) = told { p .note.bad { "The ledger says nothing of its payment: " (error) } }
            section { h2 { "What happened" } (sequence(call, told.ok().flatten())) }
        },
    )
}

fn sequence(call: &Call, told: Option<&Told>) -> Markup {
    html! {
        div .scroll { table .tale {
            thead { tr { th .n { "after" } th { "what" } th { "particulars" } } }
            tbody {
                @for step in steps(call, told) {
                    tr {
                        td .n.soft { (after(step.at_ms.saturating_sub(call.began_ms))) }
                        td .bad[step.is_bad] { (step.title) }
                        td .wrap { @for line in &step.lines { div { bdi { (line) } } } }
                    }
                }
            }
        } }
    }
}

/// What the ledger wrote before this call came is an earlier call's.
fn after(ms: i64) -> String {
    match ms {
        ms if ms < 0 => format!("{} before", span(ms.saturating_neg())),
        ms => format!("+{}", span(ms)),
    }
}

/// In the order of their times; what came stands before what was made of it.
fn steps(call: &Call, told: Option<&Told>) -> Vec<Step> {
    let mut steps = vec![came(call)];
    if let Some(told) = told {
        for line in &told.journal {
            if line.event == "claimed" {
                steps.push(checked(line.at_ms));
            }
            steps.push(of_line(line, told));
        }
    }
    match &call.end {
        End::Open => {}
        End::Dropped { at_ms } => steps.push(Step {
            at_ms: *at_ms,
            title: "Its client was gone".to_owned(),
            lines: vec!["what was claimed goes on; the same payment hears of it".to_owned()],
            is_bad: true,
        }),
        End::Answered(answered) => steps.push(answered_with(answered, call.payment.is_some())),
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

fn came(call: &Call) -> Step {
    let (title, lines) = match &call.payment {
        None => ("Request, without a payment".to_owned(), Vec::new()),
        Some(shown) => (format!("Request, with a payment of x402 version {}", shown.version), signed(shown)),
    };
    let is_bad = call.payment.as_ref().is_some_and(|shown| !shown.is_signed);
    Step { at_ms: call.began_ms, title, lines, is_bad }
}

fn signed(shown: &Shown) -> Vec<String> {
    let verdict = match (shown.is_signed, shown.key) {
        (true, _) => "signed by its payer",
        (false, Some(_)) => "not signed by the payer that it names",
        (false, None) => "no payment that could be on record",
    };
    std::iter::once(verdict.to_owned()).chain(shown.lines.iter().cloned()).collect()
}

/// Nothing is claimed that did not pass them, in this order (docs/architecture.md).
fn checked(at_ms: i64) -> Step {
    let lines =
        vec!["shape, terms, time window, signature, price and offer, the payer's state on chain".to_owned()];
    Step { at_ms, title: "Checks passed".to_owned(), lines, is_bad: false }
}

fn of_line(line: &JournalLine, told: &Told) -> Step {
    let (title, words) = event(&line.event, &line.detail, &told.coin);
    let mut lines: Vec<_> = (!words.is_empty()).then_some(words).into_iter().collect();
    if line.event == "settled"
        && let Some(landing) = &told.payment.landing
    {
        lines.push(format!("in block {} ({})", landing.block, short(&landing.block_hash)));
    }
    let is_bad = matches!(line.event.as_str(), "refused" | "expired" | "reorged_loss" | "credited");
    if is_bad {
        lines.extend(line.detail["code"].as_str().and_then(advice));
    }
    Step { at_ms: line.at_ms, title, lines, is_bad }
}

/// A refusal says why, and what the page of error codes says of it.
fn answered_with(answered: &Answered, paying: bool) -> Step {
    let mut lines = Vec::new();
    let asks = answered.status == 402 && !paying;
    if !asks {
        lines.extend(answered.code.clone());
        lines.extend(answered.message.clone());
        lines.extend(answered.code.as_deref().and_then(advice));
    }
    lines.extend(answered.state.as_ref().map(|state| format!("payment-state = {state}")));
    lines.extend(answered.receipt.iter().cloned());
    let title = match answered.status {
        402 if paying => "Refused: 402, and a fresh offer".to_owned(),
        402 => "Offered: 402".to_owned(),
        status => format!("Answered: {status}"),
    };
    lines.extend(answered.offers.iter().map(|offer| format!("offer: {offer}")));
    let is_bad = !asks && !(200..300).contains(&answered.status);
    Step { at_ms: answered.at_ms, title, lines, is_bad }
}
