//! What the nodes say of themselves, of the token, and of who is paid.

use quittance_facilitator::chain::{EndpointExam, MethodExam, Need, Obstacle, Serves, Taken};
use quittance_facilitator::config::{Config, NetworkConfig, TokenProgram};
use quittance_facilitator::{NetworkExam, PayoutExam, TermsFault};

use super::finding::{Code, Report, Severity};

/// Fewer blocks of logs in one answer make every search dear.
const LOG_BLOCKS_FEW: u64 = 100;

/// Times of blocks are whole seconds, and clocks differ by as much.
const AHEAD_MS_MAX: i64 = 2_500;

/// One network's findings.
pub(super) fn examine(exam: &NetworkExam, config: &Config, report: &mut Report) {
    let Some(network) = config.networks.get(&exam.name) else { return };
    served(exam, report);
    methods(exam, report);
    heads(exam, network, report);
    speed(exam, network, report);
    terms(exam, network, report);
}

fn key(exam: &NetworkExam, at: usize) -> String {
    format!("networks.{}.rpc_urls[{at}]", exam.name)
}

/// Those that serve the configured chain.
fn ours(exam: &NetworkExam) -> impl Iterator<Item = (usize, &EndpointExam)> {
    exam.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.serves == Serves::Ours)
}

fn served(exam: &NetworkExam, report: &mut Report) {
    let some = ours(exam).next().is_some();
    for (at, endpoint) in exam.endpoints.iter().enumerate() {
        let about = key(exam, at);
        match &endpoint.serves {
            Serves::Ours => {
                report.well("endpoints", about, format!("{} serves {}", endpoint.host, exam.network))
            }
            Serves::Another(found) => {
                let seen = format!("{} serves {found}, not {}", endpoint.host, exam.network);
                report.found(Code::EndpointWrongChain, about, seen);
            }
            Serves::Silent(why) => {
                report.found(Code::EndpointSilent, about, format!("{}: {why}", endpoint.host));
            }
        }
    }
    if !some {
        let about = format!("networks.{}", exam.name);
        report.found(Code::NetworkUnreachable, about.clone(), "no endpoint answers for this network");
        report.unchecked("token, pay_to, wallets, methods", about, "no endpoint answers for this network");
    }
}

/// Each method that some endpoint does not take; an error where none of them does.
fn methods(exam: &NetworkExam, report: &mut Report) {
    for (at, endpoint) in ours(exam) {
        let mut refused = 0_usize;
        for method in &endpoint.methods {
            let about = format!("{} {}", key(exam, at), method.method);
            match &method.taken {
                Taken::Yes => {}
                Taken::Unclear(words) => report.unchecked("methods", about, words.clone()),
                Taken::No(words) => {
                    refused = refused.saturating_add(1);
                    let elsewhere = takes_elsewhere(exam, at, method.method);
                    let code = code_of(method);
                    let severity = if elsewhere { Severity::Warning } else { code.severity() };
                    let seen = match elsewhere {
                        true => format!("refused ({words}); another endpoint takes it; {}", method.why),
                        false => format!("refused ({words}); {}", method.why),
                    };
                    report.found_as(severity, code, about, seen);
                }
            }
        }
        if refused == 0 {
            report.well("methods", key(exam, at), format!("{} methods are taken", endpoint.methods.len()));
        }
        logs(exam, at, endpoint, report);
        history(exam, at, endpoint, report);
    }
}

fn takes_elsewhere(exam: &NetworkExam, at: usize, method: &str) -> bool {
    let takes = |one: &MethodExam| one.method == method && one.taken == Taken::Yes;
    ours(exam).any(|(other, endpoint)| other != at && endpoint.methods.iter().any(takes))
}

fn code_of(method: &MethodExam) -> Code {
    match method.method {
        "eth_sendRawTransaction" | "sendTransaction" => Code::SendRefused,
        "eth_call" | "simulateTransaction" => Code::SimulationRefused,
        "eth_getTransactionReceipt" | "getTransaction" => Code::ReceiptsRefused,
        "eth_getLogs" => Code::LogsRefused,
        "eth_getBlockByNumber finalized" | "getEpochInfo finalized" => Code::FinalizedRefused,
        "getSignatureStatuses with history" => Code::HistoryRefused,
        "getSignaturesForAddress" => Code::SignaturesRefused,
        _ => match method.need {
            Need::Must => Code::MethodRefused,
            Need::Useful => Code::MethodMissing,
        },
    }
}

fn logs(exam: &NetworkExam, at: usize, endpoint: &EndpointExam, report: &mut Report) {
    let Some(blocks) = endpoint.log_blocks else { return };
    match blocks < LOG_BLOCKS_FEW {
        true => {
            report.found(Code::LogsNarrow, key(exam, at), format!("shows logs of {blocks} blocks at once"))
        }
        false => report.well("log range", key(exam, at), format!("shows logs of {blocks} blocks at once")),
    }
}

fn history(exam: &NetworkExam, at: usize, endpoint: &EndpointExam, report: &mut Report) {
    match endpoint.keeps_history {
        Some(true) => {
            report.well("history", key(exam, at), "knows a transaction older than any status cache")
        }
        Some(false) => {
            let elsewhere = ours(exam).any(|(_, other)| other.keeps_history == Some(true));
            let severity = if elsewhere { Severity::Warning } else { Severity::Error };
            let seen = "does not know a transaction of the wallet that it lists itself";
            report.found_as(severity, Code::HistoryForgotten, key(exam, at), seen);
        }
        None if exam.network.as_str().starts_with("solana:") => {
            let why = "no wallet has a transaction older than a status cache";
            report.unchecked("history", key(exam, at), why);
        }
        None => {}
    }
}

/// Who is behind: one endpoint, all of them, or this machine's clock.
fn heads(exam: &NetworkExam, network: &NetworkConfig, report: &mut Report) {
    let limit_ms = i64::try_from(network.head_age_seconds_max.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let ages: Vec<(usize, i64, u64)> = ours(exam)
        .filter_map(|(at, endpoint)| {
            let head = endpoint.head?;
            Some((at, head.read_at_ms.saturating_sub(head.at_ms), head.number))
        })
        .collect();
    let Some(youngest) = ages.iter().map(|(_, age, _)| *age).min() else { return };
    if youngest > limit_ms || youngest < -AHEAD_MS_MAX {
        let seconds = youngest / 1_000;
        let seen = match youngest < 0 {
            true => format!("the newest block is {} s in this machine's future", seconds.saturating_neg()),
            false => format!("the newest block of all endpoints is {seconds} s old by this machine's clock"),
        };
        report.found(Code::ClockOff, format!("networks.{}", exam.name), seen);
        return;
    }
    for (at, age, number) in ages {
        let behind_ms = age.saturating_sub(youngest);
        match behind_ms > limit_ms || age > limit_ms {
            true => {
                let (age_s, behind_s) = (age / 1_000, behind_ms / 1_000);
                let seen = format!(
                    "its newest block, {number}, is {age_s} s old, {behind_s} s older than another's"
                );
                report.found(Code::EndpointBehind, key(exam, at), seen);
            }
            false => {
                report.well("heads", key(exam, at), format!("block {number}, {age} ms old by this clock"))
            }
        }
    }
}

fn speed(exam: &NetworkExam, network: &NetworkConfig, report: &mut Report) {
    for (at, endpoint) in ours(exam) {
        if endpoint.slowest_ms > network.rpc_timeout_ms / 2 {
            let seen =
                format!("took {} ms for an answer, of {} ms", endpoint.slowest_ms, network.rpc_timeout_ms);
            report.found(Code::EndpointSlow, key(exam, at), seen);
        }
    }
    if exam.endpoints.len() == 1 && network.is_real() && !network.retired {
        report.found(Code::EndpointSingle, format!("networks.{}.rpc_urls", exam.name), "names one endpoint");
    }
}

fn terms(exam: &NetworkExam, network: &NetworkConfig, report: &mut Report) {
    let about = |what: &str| format!("networks.{}.{what}", exam.name);
    for (fault, words) in &exam.terms {
        match fault {
            TermsFault::TokenMissing => report.found(Code::TokenMissing, about("asset"), words.clone()),
            TermsFault::TokenDecimals => {
                report.found(Code::TokenDecimals, about("asset_decimals"), words.clone());
            }
            TermsFault::TokenCurrency => report.found(Code::TokenCurrency, about("asset"), words.clone()),
            TermsFault::TokenExtension => report.found(Code::TokenExtension, about("asset"), words.clone()),
            TermsFault::TokenDomain => report.found(Code::TokenDomain, about("asset_name"), words.clone()),
            TermsFault::PayTo => report.found(Code::PayToUnusable, about("pay_to"), words.clone()),
            TermsFault::Other => report.found(Code::ConfigValue, about("asset"), words.clone()),
            TermsFault::Unknown => report.unchecked("token and pay_to", about("asset"), words.clone()),
        }
    }
    let is_served = ours(exam).next().is_some();
    if exam.terms.is_empty() && is_served {
        let extensions = match network.token_program {
            Some(TokenProgram::Token2022) => "; none of its extensions changes what arrives",
            _ => "",
        };
        let seen = format!("{} decimals, in dollars, as configured{extensions}", network.asset_decimals);
        report.well("token", about("asset"), seen);
        payee(exam, network, report);
    }
    payout(exam, report);
    let obstacle = exam.costs.as_ref().ok().and_then(|costs| costs.obstacle);
    match obstacle {
        Some(Obstacle::TokenPaused) => {
            report.found(Code::TokenPaused, about("asset"), "moves nothing for anybody")
        }
        Some(Obstacle::PayToBlacklisted) => {
            report.found(Code::PayToBlocked, about("pay_to"), "the token moves nothing to it");
        }
        // Told with the token and the account above; and who settles elsewhere is told of below.
        Some(
            Obstacle::TokenChanged
            | Obstacle::PayToRefuses
            | Obstacle::PayToFrozen
            | Obstacle::PayToClosed
            | Obstacle::FacilitatorAway
            | Obstacle::FacilitatorRefuses,
        )
        | None => {}
    }
}

/// What stands where payments go on Solana.
fn payout(exam: &NetworkExam, report: &mut Report) {
    if let Some((payout, account)) = &exam.payout {
        let about = format!("networks.{}.pay_to", exam.name);
        match payout {
            PayoutExam::Ready => {
                report.well("pay_to", about, format!("its token account {account} is ready"))
            }
            PayoutExam::CreatedAtStart => {
                report.well("pay_to", about, format!("the start creates its token account {account}"));
            }
            PayoutExam::CreatedByPayers => {
                report.found(Code::TokenAccountByPayers, about, format!("{account} does not exist"));
            }
            PayoutExam::Frozen => {
                report.found(Code::TokenAccountFrozen, about, format!("{account} is frozen"))
            }
            PayoutExam::Foreign => {
                report.found(Code::TokenAccountForeign, about, format!("{account} belongs to somebody else"));
            }
            PayoutExam::Refusing(why) => report.found(Code::TokenAccountRefuses, about, *why),
        }
    }
}

/// On an EVM network a hot wallet that is paid holds gas and takings under one key.
fn payee(exam: &NetworkExam, network: &NetworkConfig, report: &mut Report) {
    if !exam.network.as_str().starts_with("eip155:") {
        return;
    }
    let about = format!("networks.{}.pay_to", exam.name);
    let is_paid = |address: &String| address.eq_ignore_ascii_case(&network.pay_to);
    match exam.wallets.iter().find(|wallet| wallet.address.as_ref().is_ok_and(is_paid)) {
        Some(wallet) => report.found(Code::PayToIsWallet, about, format!("is the address of {}", wallet.key)),
        None => report.well("pay_to", about, "can be paid, and is no wallet of this program"),
    }
}
