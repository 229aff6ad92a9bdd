//! Processes: each life boots through the facilitator's own start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use quittance_facilitator::chain::Chain;
use quittance_facilitator::config::Config;
use quittance_facilitator::{AnswerStore, Clock, Coin, Facilitator, Metrics, Parts, Random, RateSource};
use quittance_ledger::{Hooked, LedgerOptions, RunLimits, Store};
use quittance_protocol::Network;
use quittance_quote::Rate;
use serde_json::json;

use crate::canary::Canary;
use crate::connection::Faults;
use crate::evm::FakeBase;
use crate::handlers::{ANSWER_BYTES, LEDGER_BYTES, READER_STALL_SECONDS, STORE_TIMEOUT_MS, Shelf};
use crate::link::Link;
use crate::plan::{Crash, Net, Plan};
use crate::svm::FakeSolana;
use crate::world::Handle;

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

/// `quote.uncollected_network_day_usdc` and `probe_network_day_usdc`, in atomic
/// units: tight where payers are hostile.
pub(crate) fn limits(plan: &Plan) -> (u64, u64) {
    if plan.hostile > 0 { (25_000, 6_000) } else { (900_000, 50_000) }
}

/// A process that serves.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) link: Arc<Link>,
    pub(crate) facilitator: Facilitator,
}

/// The process's name in the ledger.
pub(crate) fn name(process: usize) -> String {
    format!("process-{process}")
}

/// The section of the configuration.
fn name_of(net: Net) -> &'static str {
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

/// Born, dies, comes back, until the seed is over.
pub(crate) async fn live(world: Handle, process: usize) {
    loop {
        let link = Link::begin(&world, process);
        let booting = tokio::spawn(boot(Arc::clone(&link)));
        let started = tokio::select! {
            biased;
            () = link.died() => None,
            started = booting => started.ok().flatten(),
        };
        if let Some(facilitator) = started {
            world.with(|w| {
                w.say(|| format!("process {process} serves"));
                w.fronts[process] = Some(Front { link: Arc::clone(&link), facilitator });
            });
            link.died().await;
        } else {
            // Started in vain, and ended by itself.
            link.die();
        }
        let calm = world.with(|w| w.calm);
        match calm {
            true => world.sleep(10, 500).await,
            false => {
                let pause = world.with(|w| w.random.range(300, w.plan.down_ms_max));
                let weather_ends = world.with(|w| w.plan.calm_ms);
                tokio::select! {
                    biased;
                    () = world.sleep(pause, pause) => {}
                    () = world.sleep_until(weather_ends.saturating_add(10)) => {}
                }
            }
        }
        if world.with(|w| w.over) {
            return;
        }
    }
}

async fn boot(link: Arc<Link>) -> Option<Facilitator> {
    let world = link.world.clone();
    link.alive().await;
    let (plan, database, down) =
        world.with(|w| (w.plan.clone(), w.database.clone(), w.ledger_down_until > w.now()));
    if down {
        return None;
    }
    if link.dies_at(Crash::Elsewhere, None).await {
        std::future::pending::<()>().await;
    }
    // Whoever boots after the change has the new configuration.
    let pay_to = if link.has_moved { "another merchant" } else { "merchant" };
    let retired = plan.retires.filter(|_| link.has_moved);
    let config = config(&plan, link.process, pay_to, retired)?;
    let mut options = LedgerOptions::new(name(link.process));
    options.lease_ms = i64::try_from(plan.lease_ms).ok()?;
    let inner = database.open(&options, link.now_ms()).ok()?;
    world.with(|w| {
        w.note_lease(link.process);
        w.tell_change();
    });
    let store: Arc<dyn Store> =
        Arc::new(Hooked::new(inner, Faults { link: Arc::clone(&link), asked: Mutex::default() }));
    let mut chains: BTreeMap<String, Arc<Chain>> = BTreeMap::new();
    let base = FakeBase::new(Arc::clone(&link), network(Net::Base).parse().ok()?, pay_to);
    chains.insert(name_of(Net::Base).to_owned(), Arc::new(base.into_chain()));
    let solana = FakeSolana { link: Arc::clone(&link), network: network(Net::Solana).parse().ok()?, pay_to };
    chains.insert(name_of(Net::Solana).to_owned(), Arc::new(solana.into_chain()));
    if let Some(net) = retired.filter(|_| plan.canary == Some(Canary::RetiredForgotten)) {
        chains.remove(name_of(net));
    }
    let objects = world.with(|w| Arc::clone(&w.objects));
    let shelf = Arc::new(Shelf { link: Arc::clone(&link), objects });
    let clock = Arc::clone(&link);
    let dice = world.clone();
    let parts = Parts {
        store,
        chains,
        answers: AnswerStore::new(shelf, config.answer_limits()),
        rates: Arc::new(Rates::new(world.clone())?),
        clock: Clock::from_fn(move || clock.now_ms()),
        random: Random::from_fn(move || dice.with(|w| w.draw_name())),
        metrics: Arc::new(Metrics::new().ok()?),
        stop: link.stop.clone(),
    };
    match Facilitator::assemble(&config, parts).await {
        Ok(facilitator) => Some(facilitator),
        Err(error) => {
            world.with(|w| w.say(|| format!("process {} does not start: {error}", link.process)));
            None
        }
    }
}

impl crate::world::World {
    fn draw_name(&mut self) -> [u8; 16] {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&self.random.draw().to_be_bytes());
        name[8..].copy_from_slice(&self.random.draw().to_be_bytes());
        name
    }
}

/// The program's own configuration, as a file would give it.
fn config(plan: &Plan, process: usize, pay_to: &str, retired: Option<Net>) -> Option<Config> {
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

pub(crate) fn asset(net: Net) -> &'static str {
    match net {
        Net::Base => "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
        Net::Solana => "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    }
}

/// Exchange rates that are missing now and then.
struct Rates {
    world: Handle,
    eth: Rate,
    sol: Rate,
}

impl Rates {
    fn new(world: Handle) -> Option<Self> {
        Some(Self { world, eth: "2500".parse().ok()?, sol: "150".parse().ok()? })
    }
}

impl RateSource for Rates {
    fn rate(&self, coin: Coin, now_ms: i64) -> Option<Rate> {
        let (at, _) = self.of(coin);
        let missing = self.world.with(|w| {
            if w.plan.canary == Some(Canary::OfferAsks) {
                w.count_call(80, None);
            }
            w.no_rate_until[at] > w.now()
        });
        (!missing).then(|| self.last_known(coin, now_ms)).flatten()
    }

    fn last_known(&self, coin: Coin, _now_ms: i64) -> Option<Rate> {
        Some(self.of(coin).1.clone())
    }
}

impl Rates {
    fn of(&self, coin: Coin) -> (usize, &Rate) {
        match coin {
            Coin::SOL => (1, &self.sol),
            _ => (0, &self.eth),
        }
    }
}
