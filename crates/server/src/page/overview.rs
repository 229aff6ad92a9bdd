//! The page that says how everything stands.

use maud::{Markup, html};
use quittance_facilitator::LastRun;
use quittance_ledger::{Margin, Outstanding, OutstandingKind, Payment};
use quittance_protocol::{Amount, Network};

use super::board::{Light, Summed};
use super::layout::{self, Frame};
use super::networks;
use super::words::{ago, grouped, moment, network, short, span, stage};
use crate::columns::signed;

/// Where the script asks for a newer one.
const FROM: &str = "/status/";

/// Work is late after so many periods and so long, as in the alert `QuittanceUpkeepStalled`.
const LATE_PERIODS: i64 = 10;
const LATE_MS: i64 = 600_000;

pub(super) fn page(light: &Light) -> Markup {
    layout::frame(
        &Frame { title: "Status", sought: "", from: Some(FROM) },
        &html! {
            (lead(light))
            (heeds(light))
            div .nets { @for net in &light.networks { (networks::card(light, net)) } }
            div .twin {
                (today(light))
                (outstanding(light))
            }
            section {
                h2 { "Newest payments" @if light.has_calls { " · " a href="/status/calls" { "last calls" } } }
                @match &light.newest {
                    Ok(newest) if newest.is_empty() => p .note { "None yet." },
                    Ok(newest) => (payments(newest, light.now_ms)),
                    Err(error) => p .bad { "The ledger does not answer: " (error) },
                }
            }
            (jobs(light))
        },
    )
}

fn lead(light: &Light) -> Markup {
    let selling = light.networks.iter().filter(|net| !net.retired);
    let (open, all) =
        selling.fold((0, 0), |(open, all), net| (open + usize::from(net.closed.is_none()), all + 1));
    let (colour, words) = match (open, all) {
        (0, _) => ("bad", "Nothing is sold".to_owned()),
        (open, all) if open < all => ("warn", format!("{open} of {all} networks open")),
        (_, 1) => ("good", "Selling".to_owned()),
        (_, all) => ("good", format!("Selling on all {all} networks")),
    };
    html! {
        section .lead {
            h1 .(colour) { (words) }
            span .note { "as of " time { (moment(light.now_ms).get(..19).unwrap_or_default()) } " UTC" }
        }
    }
}

/// What wants somebody.
fn heeds(light: &Light) -> Markup {
    let mut found: Vec<(&str, String)> = Vec::new();
    for net in &light.networks {
        found.extend(networks::heeds(light, net));
    }
    for (net, reason) in &light.warnings {
        let name = network(net, light.names.get(net));
        found.push((
            "warn",
            match *reason {
                "no_history" => {
                    format!("{name}: no endpoint keeps a history; what never lands stays pending")
                }
                other => format!("{name}: {other}"),
            },
        ));
    }
    for run in light.upkeep.iter().filter(|run| is_late(run, light.now_ms)) {
        found.push(("bad", format!("{} is late", name_of(run))));
    }
    for run in &light.upkeep {
        if let Some(failure) = &run.failure {
            found.push(("warn", format!("{} failed last: {failure}", name_of(run))));
        }
    }
    for one in light.sums.iter().flat_map(|sums| &sums.outstanding) {
        if one.kind != OutstandingKind::Credit {
            let name = network(&one.network, light.names.get(&one.network));
            let words = format!("{name}: {} payments are to be refunded ({})", one.payments, kind(one.kind));
            found.push(("warn", words));
        }
    }
    html! {
        @if !found.is_empty() {
            section aria-label="What wants attention" {
                ul .heeds {
                    @for (colour, words) in &found {
                        li {
                            span .pill.(*colour) { @if *colour == "bad" { "act" } @else { "look" } }
                            span .wrap { (words) }
                        }
                    }
                }
            }
        }
    }
}

fn name_of(run: &LastRun) -> String {
    format!("{} {}", run.task, run.network).trim_end().to_owned()
}

fn is_late(run: &LastRun, now_ms: i64) -> bool {
    let period_ms = i64::try_from(run.period_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    let since = now_ms.saturating_sub(run.succeeded_at_ms.unwrap_or(run.started_at_ms));
    since > period_ms.saturating_mul(LATE_PERIODS).saturating_add(LATE_MS)
}

/// By network, since midnight.
fn today(light: &Light) -> Markup {
    let titles = ["", "settled", "charged", "cost", "for nothing", "margin"];
    html! {
        section {
            h2 { "Today (UTC)" }
            @match &light.sums {
                None => p .note { "The sums are being made." },
                Some(sums) if sums.margins.is_empty() => p .note { "Nothing was settled yet." },
                Some(sums) => {
                    div .scroll { table {
                        thead { tr { @for (at, title) in titles.iter().enumerate() { th .n[at > 0] { (title) } } } }
                        tbody { @for (net, sum) in by_network(sums) { (sum.row(&network(&net, light.names.get(&net)))) } }
                    } }
                    (made(light, sums))
                },
            }
        }
    }
}

fn made(light: &Light, sums: &Summed) -> Markup {
    html! { p .note { "USDC. Summed " (ago(light.now_ms, sums.at_ms)) "." } }
}

#[derive(Default)]
struct Sum {
    payments: u64,
    charged: u64,
    earned: u64,
    burnt: u64,
}

impl Sum {
    fn add(&mut self, hour: &Margin) {
        self.payments = self.payments.saturating_add(hour.payments);
        self.charged = self.charged.saturating_add(hour.charged.atomic());
        self.earned = self.earned.saturating_add(hour.earned_cost.atomic());
        self.burnt = self.burnt.saturating_add(hour.uncollected_cost.atomic());
    }

    fn row(&self, name: &str) -> Markup {
        let usdc = |atomic| Amount::new(atomic).to_usdc();
        let margin = i128::from(self.charged) - i128::from(self.earned) - i128::from(self.burnt);
        html! {
            tr {
                td { (name) }
                td .n { (grouped(self.payments)) }
                td .n { (usdc(self.charged)) }
                td .n { (usdc(self.earned)) }
                td .n { (usdc(self.burnt)) }
                td .n.(if margin < 0 { "bad" } else { "good" }) { (signed(margin)) }
            }
        }
    }
}

fn by_network(sums: &Summed) -> Vec<(Network, Sum)> {
    let mut found: Vec<(Network, Sum)> = Vec::new();
    for hour in &sums.margins {
        match found.iter_mut().find(|(net, _)| *net == hour.network) {
            Some((_, sum)) => sum.add(hour),
            None => {
                let mut sum = Sum::default();
                sum.add(hour);
                found.push((hour.network.clone(), sum));
            }
        }
    }
    found
}

fn kind(kind: OutstandingKind) -> &'static str {
    match kind {
        OutstandingKind::Credit => "credits with runs left",
        OutstandingKind::CreditUsedUp => "credits that are used up",
        OutstandingKind::Owed => "owed: another ledger landed them",
        OutstandingKind::DeliveredInPart => "delivered in part",
        OutstandingKind::Refused => "refused by the handler, last 7 days",
    }
}

fn outstanding(light: &Light) -> Markup {
    let row = |one: &Outstanding| {
        html! {
            tr {
                td { (kind(one.kind)) }
                td { (network(&one.network, light.names.get(&one.network))) }
                td .n { (grouped(one.payments)) }
                td .n { (one.amount.to_usdc()) }
            }
        }
    };
    html! {
        section {
            h2 { "Credits and refunds outstanding" }
            @match &light.sums {
                None => p .note { "The sums are being made." },
                Some(sums) if sums.outstanding.is_empty() => p .note { "None." },
                Some(sums) => div .scroll { table {
                    thead { tr { th { "" } th { "network" } th .n { "payments" } th .n { "USDC" } } }
                    tbody { @for one in &sums.outstanding { (row(one)) } }
                } },
            }
        }
    }
}

/// A list of payments, newest first.
pub(super) fn payments(found: &[Payment], now_ms: i64) -> Markup {
    let titles = ["claimed", "payment", "stage", "USDC", "network", "payer", "for", "transaction"];
    html! {
        div .scroll { table {
            thead { tr { @for title in titles { th .n[title == "USDC"] { (title) } } } }
            tbody { @for payment in found { (payment_row(payment, now_ms)) } }
        } }
    }
}

fn payment_row(payment: &Payment, now_ms: i64) -> Markup {
    let (colour, word) = stage(payment);
    let id = payment.id.as_str();
    html! {
        tr {
            td .soft { (ago(now_ms, payment.created_at_ms)) }
            td { a .mono id={ "to-" (id) } href={ "/status/payments/" (id) } { (short(id)) } }
            td { span .pill.(colour) { (word) } }
            td .n { (payment.amount.to_usdc()) }
            td { (network(&payment.network, None)) }
            td { bdi .mono title=(payment.payer) { (short(&payment.payer)) } }
            td .cut title=(payment.resource) { bdi { (payment.resource) } }
            td {
                @match &payment.transaction {
                    Some(transaction) => bdi .mono title=(transaction) { (short(transaction)) },
                    None => span .soft { "–" },
                }
            }
        }
    }
}

/// Background work, the last run of each.
fn jobs(light: &Light) -> Markup {
    html! {
        section {
            h2 { "Background work" }
            div .scroll { table {
                thead { tr {
                    th { "task" } th { "network" } th .n { "every" } th .n { "ended well" } th .n { "took" }
                    th .n { "failures" } th .n { "panics" } th { "last failure" }
                } }
                tbody { @for run in &light.upkeep { (job(run, light)) } }
            } }
        }
    }
}

fn job(run: &LastRun, light: &Light) -> Markup {
    let late = is_late(run, light.now_ms);
    let ended = run.succeeded_at_ms.map_or_else(|| "never".to_owned(), |at_ms| ago(light.now_ms, at_ms));
    let took = match (run.took_ms, run.began_at_ms) {
        (Some(ms), _) => span(i64::try_from(ms).unwrap_or(i64::MAX)),
        (None, Some(at_ms)) => format!("{} so far", span(light.now_ms.saturating_sub(at_ms))),
        (None, None) => "–".to_owned(),
    };
    let name = light.networks.iter().find(|net| net.network.as_str() == run.network);
    let period_ms = i64::try_from(run.period_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    html! {
        tr {
            td { (run.task) }
            td { @match name { Some(net) => (network(&net.network, light.names.get(&net.network))), None => "" } }
            td .n { (span(period_ms)) }
            td .n.bad[late] { (ended) }
            td .n { (took) }
            td .n.warn[run.failures > 0] { (grouped(run.failures)) }
            td .n.bad[run.panics > 0] { (grouped(run.panics)) }
            td .wrap { @if let Some(failure) = &run.failure { (failure) } }
        }
    }
}
