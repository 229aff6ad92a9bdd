//! One network: what it sells at, its endpoints, its wallets and their lanes.

use maud::{Markup, html};
use quittance_facilitator::{EndpointHealth, LaneReport, NetworkReport, WalletReport};
use quittance_protocol::Amount;

use super::board::Light;
use super::words::{ago, closed, coins, dollars, grouped, network, short, span};

/// A transaction that is next for so long hangs.
const HEAD_AGE_MS_MAX: u64 = 16_000;

/// Places of a coin that are shown.
const COIN_PLACES: usize = 4;

/// Tenths of a ceiling at which its bar changes colour.
const HIGH_TENTHS: u64 = 6;
const FULL_TENTHS: u64 = 9;

pub(super) fn card(light: &Light, net: &NetworkReport) -> Markup {
    let (colour, word) = match (net.retired, net.closed) {
        (true, _) => ("idle", "retired"),
        (_, Some(_)) => ("bad", "closed"),
        (_, None) if net.strangers_wait => ("warn", "new payers wait"),
        (_, None) => ("good", "open"),
    };
    html! {
        section {
            div .top {
                h2 { (network(&net.network, light.names.get(&net.network))) }
                span .pill.(colour) { (word) }
                span .note { (net.network.as_str()) }
            }
            @if let Some(reason) = net.closed { p .(colour) { (closed(reason)) " " code { "(" (reason) ")" } } }
            (figures(light, net))
            (endpoints(light, net))
            (wallets(light, net))
        }
    }
}

fn figures(light: &Light, net: &NetworkReport) -> Markup {
    let head = net.endpoints.iter().filter(|one| one.serves).filter_map(|one| one.head).max();
    let latest = net.heights.map(|heights| heights.latest).max(head);
    html! {
        dl .figures {
            div {
                dt { "Surcharge" }
                dd {
                    @match &net.tariff {
                        Some(tariff) => { (tariff.gas.to_usdc()) small { "USDC, " (ago(light.now_ms, tariff.created_at_ms)) } },
                        None => "–",
                    }
                }
            }
            div {
                dt { (net.coin) " in dollars" }
                dd .bad[!net.rate_is_fresh] {
                    @match &net.rate {
                        Some(rate) => (dollars(rate)),
                        None => "–",
                    }
                    small {
                        @match (net.rate_is_fresh, net.rate_age_ms) {
                            (false, _) => "not fresh",
                            (true, Some(age)) => { "read " (span(age)) " ago" },
                            (true, None) => "fixed",
                        }
                    }
                }
            }
            div {
                dt { "Head" }
                dd {
                    @match latest { Some(block) => (grouped(block)), None => "–" }
                    small {
                        @match net.heights {
                            Some(heights) => { "final " (grouped(heights.finalized)) ", " (ago(light.now_ms, heights.read_at_ms)) },
                            None => "nothing waits to be final",
                        }
                    }
                }
            }
            (ceiling("In flight", net.exposure.reserved, net.exposure.reserved_max))
            (ceiling("Burnt, 24 h", net.exposure.burnt, net.exposure.burnt_max))
            (ceiling("Spent, 24 h", net.exposure.spent, net.exposure.spent_max))
        }
    }
}

/// What is used of a limit.
fn ceiling(name: &str, used: Amount, most: Amount) -> Markup {
    let limit = most.atomic().max(1);
    let tenths = |count: u64| limit.saturating_mul(count) / 10;
    html! {
        div {
            dt { (name) }
            dd {
                (used.to_usdc())
                meter value=(used.atomic()) max=(limit) optimum="0" low=(tenths(HIGH_TENTHS)) high=(tenths(FULL_TENTHS))
                    aria-label={ (name) " of its ceiling" } {}
                small { "of " (most.to_usdc()) " USDC" }
            }
        }
    }
}

fn endpoints(light: &Light, net: &NetworkReport) -> Markup {
    html! {
        h3 { "Endpoints" }
        @if net.endpoints.is_empty() {
            p .note { "None was looked at yet." }
        } @else {
            div .scroll { table {
                thead { tr {
                    th { "host" } th { "state" } th .n { "head" } th .n { "behind" } th .n { "calls" } th .n { "failures" }
                    th { "fails at" }
                } }
                tbody { @for one in &net.endpoints { (endpoint(light, one)) } }
            } }
        }
    }
}

fn endpoint(light: &Light, one: &EndpointHealth) -> Markup {
    let since_look = light.now_ms.saturating_sub(one.looked_at_ms).max(0);
    let colour = if one.serves { "good" } else { "warn" };
    html! {
        tr title={ "looked at " (span(since_look)) " ago" } {
            td .cut { bdi { (one.host) } }
            td { span .pill.(colour) { (one.state) } }
            td .n { @match one.head { Some(head) => (grouped(head)), None => "–" } }
            td .n { @match one.head_age_ms { Some(age) => (span(age)), None => "–" } }
            td .n { (grouped(one.calls)) }
            td .n.warn[one.failures > 0] { (grouped(one.failures)) }
            td .wrap.bad { (one.failing.join(", ")) }
        }
    }
}

fn wallets(light: &Light, net: &NetworkReport) -> Markup {
    let mine = light.wallets.iter().filter(|wallet| wallet.network == net.network);
    html! {
        h3 { "Wallets and their lanes" }
        div .scroll { table {
            thead { tr {
                th { "wallet" } th { "funds" } th .n { "holds" } th .n { "pays for" } th .n title="Payments under way in its lane" { "lane" }
                th .n title="How long the oldest of them has been" { "oldest" } th .n title="Nonces with signed bytes that the chain has not used" { "slots" } th .n title="How long the next nonce has not moved" { "moved" }
            } }
            tbody {
                @for wallet in mine {
                    (lane(wallet, net.lanes.iter().find(|lane| lane.wallet == wallet.wallet)))
                }
            }
        } }
    }
}

fn lane(wallet: &WalletReport, lane: Option<&LaneReport>) -> Markup {
    let (colour, funds) = match (wallet.role, wallet.funds) {
        ("retired", _) => ("idle", "retired"),
        (_, Some("fine")) => ("good", "fine"),
        (_, Some("low")) => ("warn", "low"),
        (_, Some(_)) => ("bad", "empty"),
        (_, None) => ("idle", "not read yet"),
    };
    let since = |ms: u64| span(i64::try_from(ms).unwrap_or(i64::MAX));
    html! {
        tr {
            td { bdi .mono title=(wallet.wallet) { (short(&wallet.wallet)) } }
            td { span .pill.(colour) { (funds) } }
            td .n {
                @match &wallet.balance_native {
                    Some(native) => { (coins(native, wallet.decimals, COIN_PLACES)) " " (wallet.coin) },
                    None => "–",
                }
            }
            td .n { @match wallet.runway_settlements { Some(runway) => (grouped(runway)), None => "–" } }
            td .n { (wallet.lane_payments.unwrap_or(0)) }
            td .n { @match lane.and_then(|lane| lane.oldest_payment_ms) { Some(age) => (since(age)), None => "–" } }
            td .n { (lane.map_or(0, |lane| lane.open_slots)) }
            td .n {
                @match lane.and_then(|lane| lane.head) {
                    Some(head) => span .bad[head.age_ms > HEAD_AGE_MS_MAX] title={ "nonce " (head.nonce) } { (since(head.age_ms)) " ago" },
                    None => "–",
                }
            }
        }
    }
}

/// What wants somebody.
pub(super) fn heeds(light: &Light, net: &NetworkReport) -> Vec<(&'static str, String)> {
    let name = network(&net.network, light.names.get(&net.network));
    let mut found = Vec::new();
    if let Some(reason) = net.closed.filter(|_| !net.retired) {
        found.push(("bad", format!("{name} is not offered: {}", closed(reason))));
    }
    for one in &net.endpoints {
        if !one.serves {
            found.push(("warn", format!("{name}: endpoint {} is {}", one.host, one.state)));
        }
        if !one.failing.is_empty() {
            found
                .push(("warn", format!("{name}: endpoint {} fails at {}", one.host, one.failing.join(", "))));
        }
    }
    for wallet in light.wallets.iter().filter(|wallet| wallet.network == net.network) {
        let colour = match (wallet.role, wallet.funds) {
            ("active", Some("empty")) => "bad",
            ("active", Some("low")) => "warn",
            _ => continue,
        };
        let funds = wallet.funds.unwrap_or_default();
        found.push((colour, format!("{name}: wallet {} is {funds}", wallet.wallet)));
    }
    for lane in &net.lanes {
        if lane.stuck {
            found.push(("bad", format!("{name}: the next transaction of {} offers too little", lane.wallet)));
        } else if lane.head.is_some_and(|head| head.age_ms > HEAD_AGE_MS_MAX) {
            found.push(("warn", format!("{name}: the next transaction of {} does not move", lane.wallet)));
        }
        if lane.broke_lately {
            found.push(("warn", format!("{name}: the lane of {} broke and began anew", lane.wallet)));
        }
    }
    found
}
