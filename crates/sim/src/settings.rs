//! What the operator of every world configured, and how its processes are called.

use quittance_facilitator::config::Config;
use quittance_ledger::RunLimits;
use quittance_protocol::Network;
use serde_json::json;

use crate::base::WALLETS_MAX;
use crate::plan::{Net, Plan};

/// Pause between two looks for finished payments that are to be pruned.
const PRUNE_PAUSE_SECONDS: u64 = 1;

/// `gate.pending_wait_seconds`.
pub(crate) const PENDING_WAIT_MS: u64 = 10_000;

/// `gate.replay_seconds`.
pub(crate) const REPLAY_MS: u64 = 40_000;

/// One more than `merchants.retell_max`.
pub(crate) const TELLINGS_MAX: u32 = 2;

/// `merchants.verify_lease_seconds`.
pub(crate) const CHECK_LEASE_MS: u64 = 20_000;

/// `gate.runs_max`.
pub(crate) const RUNS_MAX: u32 = 3;

/// `gate.runs_interrupted_max`: so few that seeds reach it.
pub(crate) const RUNS_INTERRUPTED_MAX: u32 = 2;

pub(crate) const RUN_LIMITS: RunLimits =
    RunLimits { failed_max: RUNS_MAX, crashed_max: RUNS_INTERRUPTED_MAX };

/// `quote.cost_budget_usdc`, in atomic units.
pub(crate) const COST_BUDGET: u64 = 5_000;

/// `quote.uncollected_payer_day_usdc`, in atomic units.
pub(crate) const PAYER_CEILING: u64 = 2_000;

/// Wei for an atomic unit of USDC at the world's rate of 2,500 dollars.
pub(crate) const WEI_FOR_ATOMIC: u128 = 400_000_000;

/// Lamports for an atomic unit of USDC at the world's rate of 150 dollars.
pub(crate) const LAMPORTS_FOR_ATOMIC: u128 = 6;

/// `quote.payer_history_part`, in basis points.
pub(crate) const HISTORY_BPS: u64 = 1_000;

/// `networks.base.in_flight_native`.
pub(crate) const IN_FLIGHT_WEI: u128 = 20_000_000_000_000_000;

/// `networks.base.unwedge_budget_native_per_day`: so little that seeds reach it.
pub(crate) const UNWEDGE_WEI: u128 = 60_000_000_000_000;

/// `quote.uncollected_network_day_usdc` and `probe_network_day_usdc`, in atomic
/// units: tight where payers are hostile.
pub(crate) fn limits(plan: &Plan) -> (u64, u64) {
    if plan.hostile > 0 { (25_000, 6_000) } else { (900_000, 50_000) }
}

/// `answers.ledger_bytes_max` and `answers.answer_bytes_max`: an answer lies in
/// the ledger, in the store, or nowhere.
pub(crate) const LEDGER_BYTES: u64 = 16;
pub(crate) const ANSWER_BYTES: u64 = 400;

/// `answers.store_timeout_ms`, `answers.reader_stall_seconds`.
pub(crate) const STORE_TIMEOUT_MS: u64 = 3_000;
pub(crate) const READER_STALL_SECONDS: u64 = 4;

/// The process's name in the ledger.
pub(crate) fn name(process: usize) -> String {
    format!("process-{process}")
}

/// Our wallets on a network, in the order of the configuration; as many of them as the plan says.
pub(crate) fn wallets(net: Net) -> [&'static str; WALLETS_MAX] {
    match net {
        Net::Base => {
            ["0x00000000000000000000000000000000000000aa", "0x00000000000000000000000000000000000000bb"]
        }
        Net::Solana => {
            ["FeePayer1111111111111111111111111111111111", "FeePayer2222222222222222222222222222222222"]
        }
    }
}

/// Which of them an address is.
pub(crate) fn number_of_wallet(net: Net, address: &str) -> Option<usize> {
    wallets(net).iter().position(|wallet| *wallet == address)
}

/// Those that take new payments in a life, and those that are retired in it.
pub(crate) fn roles(plan: &Plan, net: Net, has_moved: bool) -> (Vec<String>, Vec<String>) {
    let all = wallets(net).into_iter().take(plan.wallets).map(str::to_owned);
    // Whose port forgets it offers what the operator has retired.
    let retires = plan.retires_wallet && has_moved && plan.canary != Some(crate::Canary::RetiredWalletSells);
    let (retired, paying) = all.enumerate().partition::<Vec<_>, _>(|(at, _)| retires && *at == 0);
    let addresses = |list: Vec<(usize, String)>| list.into_iter().map(|(_, wallet)| wallet).collect();
    (addresses(paying), addresses(retired))
}

/// The section of the configuration.
pub(crate) fn name_of(net: Net) -> &'static str {
    match net {
        Net::Base => "base",
        Net::Solana => "solana",
    }
}

pub(crate) fn network(net: Net) -> &'static str {
    match net {
        Net::Base => Network::BASE,
        Net::Solana => Network::SOLANA,
    }
}

pub(crate) fn asset(net: Net) -> &'static str {
    match net {
        Net::Base => "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
        Net::Solana => "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    }
}

/// The program's own configuration, as a file would give it.
pub(crate) fn config(plan: &Plan, process: usize, pay_to: &str, retired: Option<Net>) -> Option<Config> {
    let net = |net: Net| {
        let mut section = json!({
            "network": network(net),
            "rpc_urls": ["http://node.invalid"],
            "asset": asset(net),
            "pay_to": pay_to,
            "shared_pay_to": plan.shared_pay_to,
            "retired": retired == Some(net),
            "wallets": ["env:NONE"],
            "max_timeout_seconds": 60,
            "poll_interval_ms": 1_000,
        });
        if net == Net::Base {
            section["confirmations"] = json!(plan.confirmations);
            section["unwedge_budget_native_per_day"] = json!("0.00006");
            section["batch_size_max"] = json!(plan.batch_size_max);
            section["batch_wait_ms"] = json!(plan.batch_wait_ms);
        }
        section
    };
    let usdc = |atomic: u64| format!("0.{atomic:06}");
    let (soft, probes) = limits(plan);
    serde_json::from_value(json!({
        "ledger": {
            "url": "model", "instance": name(process), "lease_seconds": plan.lease_ms / 1_000,
            "prune_pause_seconds": PRUNE_PAUSE_SECONDS,
        },
        "networks": { "base": net(Net::Base), "solana": net(Net::Solana) },
        "quote": {
            "refresh_seconds": 10,
            "cost_budget_usdc": usdc(COST_BUDGET),
            "uncollected_payer_day_usdc": usdc(PAYER_CEILING),
            "uncollected_network_day_usdc": usdc(soft),
            "probe_network_day_usdc": usdc(probes),
        },
        "gate": {
            "pending_wait_seconds": PENDING_WAIT_MS / 1_000,
            "replay_seconds": REPLAY_MS / 1_000,
            "runs_max": RUNS_MAX,
            "runs_interrupted_max": RUNS_INTERRUPTED_MAX,
        },
        "merchants": {
            "retell_max": TELLINGS_MAX - 1,
            "verify_lease_seconds": CHECK_LEASE_MS / 1_000,
        },
        "answers": {
            "ledger_bytes_max": LEDGER_BYTES,
            "answer_bytes_max": ANSWER_BYTES,
            "store_timeout_ms": STORE_TIMEOUT_MS,
            "reader_stall_seconds": READER_STALL_SECONDS,
        },
    }))
    .ok()
}
