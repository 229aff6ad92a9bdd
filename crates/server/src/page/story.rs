//! One payment's whole story.

use maud::{Markup, html};
use quittance_ledger::{Origin, Payment};
use quittance_protocol::Deadline;

use super::board::Told;
use super::layout::{self, Frame};
use super::words::{ago, coins, event, moment, network, short, span, stage};
use crate::columns::signed;
use crate::margin;

/// Places of a coin that a cost is shown with.
const COIN_PLACES: usize = 18;

pub(super) fn page(told: &Told) -> Markup {
    let payment = &told.payment;
    let (colour, word) = stage(payment);
    let from = format!("/status/payments/{}", payment.id);
    // What has ended in every sense changes no more.
    let from = payment.pruned_at_ms.is_none().then_some(from);
    let frame = Frame { title: payment.id.as_str(), sought: payment.id.as_str(), from: from.as_deref() };
    layout::frame(
        &frame,
        &html! {
            section .lead {
                h1 .mono { (payment.id) }
                span .pill.(colour) { (word) }
                span .note { "claimed " (ago(told.now_ms, payment.created_at_ms)) }
            }
            div .twin {
                section { h2 { "Payment" } (facts(told)) }
                section { h2 { "Money" } (money(told)) }
            }
            @if let Some((code, reason)) = &payment.refusal {
                section { h2 .bad { "Refused: " (code.as_str()) } p { (reason) } }
            }
            div .twin {
                section { h2 { "Landing" } (landing(told)) }
                section { h2 { "Delivery" } (delivery(told)) }
            }
            section {
                h2 { "Journal" }
                @if payment.pruned_at_ms.is_some() {
                    p .note { "It ended long ago: its journal, attempts and payload were deleted (ledger.keep_finished_days)." }
                }
                (tale(told))
            }
        },
    )
}

fn fact(name: &str, value: Markup) -> Markup {
    html! { dt { (name) } dd { (value) } }
}

/// Something long that somebody else wrote.
fn word(text: &str) -> Markup {
    html! { bdi .mono { (text) } }
}

fn at(at_ms: Option<i64>) -> Markup {
    html! { @match at_ms { Some(at_ms) => time { (moment(at_ms)) }, None => span .soft { "–" } } }
}

fn facts(told: &Told) -> Markup {
    let payment = &told.payment;
    let seller = match &payment.origin {
        Origin::Gate => "the gate".to_owned(),
        Origin::Merchant(name) => format!("merchant {name}"),
    };
    let deadline = match payment.deadline {
        Deadline::UnixSeconds(seconds) => {
            moment(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000))
        }
        Deadline::BlockHeight(height) => format!("block height {height}"),
    };
    html! {
        dl .facts {
            (fact("Network", html! { (network(&payment.network, Some(&told.name))) " " span .soft { (payment.network.as_str()) } }))
            (fact("Payer", word(&payment.payer)))
            (fact("Paid to", word(&payment.pay_to)))
            (fact("Token", word(&payment.asset)))
            (fact("For", html! { bdi { (payment.resource) } }))
            (fact("Sold by", html! { (seller) }))
            (fact("Request", word(payment.request_id.as_str())))
            (fact("Can land until", html! { (deadline) }))
            (fact("Payment key", word(&short(&payment.key.to_string()))))
            @if !told.aliases.is_empty() {
                (fact("Repeated", html! { (told.aliases.len()) " times with fresh authorizations" }))
            }
        }
    }
}

fn money(told: &Told) -> Markup {
    let payment = &told.payment;
    let margin = margin::of_payment(payment.due(), &told.costs);
    html! {
        dl .figures {
            div { dt { "Amount" } dd { (payment.amount.to_usdc()) small { "USDC" } } }
            div { dt { "Service" } dd { (payment.service.to_usdc()) } }
            div { dt { "Surcharge" } dd { (payment.gas.to_usdc()) @if let Some(tariff) = payment.tariff { small { "tariff " (tariff) } } } }
            div {
                dt { "Margin" }
                @match margin {
                    Some(margin) => dd .(if margin < 0 { "bad" } else { "good" }) { (signed(margin)) },
                    None => dd { "–" },
                }
            }
        }
        @if let Some(fee) = payment.fee {
            p .note { "The merchant's policy is " (fee.policy) "; carried by others than the payer: " (fee.carried.to_usdc()) " USDC." }
        }
        h3 { "What settling cost" }
        @if told.costs.is_empty() {
            p .note { "Nothing is booked yet." }
        } @else {
            div .scroll { table {
                thead { tr { th { "transaction" } th .n { "paid" } th .n { "USDC" } th { "" } } }
                tbody {
                    @for cost in &told.costs {
                        tr {
                            td { bdi .mono title=(cost.transaction) { (short(&cost.transaction)) } }
                            td .n { (coins(&cost.native.to_string(), told.coin.1, COIN_PLACES)) " " (told.coin.0) }
                            td .n { @match cost.usdc { Some(usdc) => (usdc.to_usdc()), None => "–" } }
                            td { @if cost.earned { "landed it" } @else { span .warn { "earned nothing" } } }
                        }
                    }
                }
            } }
        }
    }
}

fn landing(told: &Told) -> Markup {
    let payment = &told.payment;
    html! {
        @if payment.landing.is_none() { p .note { "It has not landed, as far as is known." } }
        dl .facts {
            @if let Some(landing) = &payment.landing {
                (fact("Transaction", word(&landing.transaction)))
                (fact("Block", html! { (landing.block) }))
                @if !landing.block_hash.is_empty() { (fact("Block hash", word(&short(&landing.block_hash)))) }
                (fact("Sent by", html! { @if landing.paid_by_us { "a wallet of ours" } @else { span .warn { "somebody else" } } }))
                (fact("Finality", html! {
                    @match payment.finality { Some(finality) => (finality.as_str()), None => "waited for" }
                }))
            }
            (fact("Claimed", at(Some(payment.created_at_ms))))
            (fact("Signed", at(payment.recorded_at_ms)))
            (fact("Verdict", at(payment.verdict_at_ms)))
            (fact("Final", at(payment.finality_at_ms)))
        }
    }
}

fn delivery(told: &Told) -> Markup {
    let payment = &told.payment;
    let is_gate = payment.origin == Origin::Gate;
    html! {
        dl .facts {
            (fact("State", html! { (payment.delivery.as_str().replace('_', " ")) }))
            @if is_gate {
                (fact("Runs", html! { (runs(payment)) }))
                (fact("Answered", at(payment.first_answer_at_ms)))
            } @else {
                (fact("Merchant told", at(payment.merchant_answer_at_ms)))
            }
            @if let Some(answer) = &told.answer {
                (fact("Answer", html! { "status " (answer.status) ", " (answer.body_bytes()) " bytes" @if answer.refundable { ", " span .warn { "refundable" } } }))
            }
            @if let Some(usage) = &told.usage {
                (fact("Product", html! { bdi { (usage.product) } }))
                (fact("Used", html! { (usage.metered.to_usdc()) " of " (usage.reserved.to_usdc()) " USDC prepaid" }))
            }
        }
    }
}

fn runs(payment: &Payment) -> String {
    format!(
        "{} begun, {} ended by us, {} with their process",
        payment.runs,
        payment.runs_interrupted.saturating_sub(payment.runs_crashed),
        payment.runs_crashed
    )
}

/// Every line, in order, with what passed since the one before.
fn tale(told: &Told) -> Markup {
    let mut before_ms = None;
    html! {
        div .scroll { table .tale {
            thead { tr { th { "UTC" } th .n { "after" } th { "what" } th { "particulars" } th { "process" } } }
            tbody {
                @for line in &told.journal {
                    @let after = before_ms.replace(line.at_ms).map(|before: i64| line.at_ms.saturating_sub(before));
                    @let (title, words) = event(&line.event, &line.detail, &told.coin);
                    tr {
                        td .mono { (moment(line.at_ms)) }
                        td .n.soft { @if let Some(after) = after { "+" (span(after)) } }
                        td { (title) }
                        td .wrap { bdi { (words) } }
                        td .soft { bdi { (short(&line.instance)) } }
                    }
                }
            }
        } }
    }
}
