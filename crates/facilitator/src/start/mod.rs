//! From a configuration to a running facilitator.
//!
//! Owns the order in which things begin.
//! May touch: `chain`, `metrics`, `api`, `context`, `config`, `rates`, `remote`, `in_flight`, `network`,
//! `dispatch`, `admission`, `upkeep`.
//! A network whose nodes do not answer is not stuck: it connects later. What could not be finished
//! under this configuration ends the start.

pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod exam;
pub(crate) mod open_work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use quittance_answers::AnswerStore;
use quittance_ledger::{CheckTerms, Hooked, LeaseClock, Ledger, LedgerOptions, Retention, Store};
use quittance_protocol::USDC_DECIMALS;
use quittance_quote::{Markup, NetworkTerms, TariffWindow};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::admission::merchant::Merchants;
use crate::chain::{Chain, Facts};
use crate::config::units::{basis_points, usdc};
use crate::config::{Config, NetworkConfig, resolve};
use crate::context::Context;
use crate::context::clock::Clock;
use crate::context::random::Random;
use crate::context::stored::Stored;
use crate::dispatch::Dispatch;
#[cfg(feature = "defects")]
use crate::dispatch::defect::Defect;
use crate::dispatch::defect::Defects;
use crate::in_flight::entries::InFlight;
use crate::metrics::Metrics;
use crate::metrics::trouble::{self, Trouble};
use crate::network::closed::Obstructed;
use crate::network::configured::{BatchTerms, ConfiguredNetwork};
use crate::network::poller::Poller;
use crate::network::pool::Pool;
use crate::network::prepared::{Moment, Prepared};
use crate::network::rents::Accounts;
use crate::network::spending::Spending;
use crate::network::strangers::{Strangers, share::Share};
use crate::network::tariffs::{self, TariffPolicy};
use crate::rates::{LiveRates, RateSource};
use crate::remote::{Answer, NotSpent, Remote};
use crate::start::connect::connect_now_or_later;
use crate::start::error::StartError;
use crate::upkeep::endpoints::WrongEndpoints;
use crate::upkeep::health::EndpointWatch;
use crate::upkeep::lease::BEATS_PER_LEASE;
use crate::upkeep::prune::Pruning;
use crate::upkeep::registry::{Kind, Registry};
use crate::upkeep::tariffs::Tariffs;
use crate::{Facilitator, Inner, Limits, order_of};

/// A tariff that could not be refreshed this many times in a row is stale.
const STALE_AFTER_REFRESHES: u64 = 12;

/// A lease is at least this long: shorter ones would be lost to a slow commit.
const LEASE_SECONDS_MIN: u64 = 3;

/// What a facilitator is made of: everything that touches the world.
pub struct Parts {
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// The chain behind each of the configuration's networks, by its name there.
    pub chains: BTreeMap<String, Arc<Chain>>,
    /// Kept answers that are too long for the ledger.
    pub answers: AnswerStore,
    /// Exchange rates.
    pub rates: Arc<dyn RateSource>,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Ends the background tasks.
    pub stop: CancellationToken,
}

impl Facilitator {
    /// Connects chains, opens the ledger, resumes unfinished payments and
    /// starts the background tasks.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        let (metrics, clock, stop) = (Arc::new(Metrics::new()?), Clock::system(), CancellationToken::new());
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let ageing = config.ageing_coins();
        let rates =
            LiveRates::start(&config.rates, &ageing, Arc::clone(&metrics), clock.clone(), &stop).await?;
        let started = async {
            let ledger = open_ledger(config, &clock).await?;
            let store: Arc<dyn Store> = Arc::new(Hooked::new(ledger, metrics.ledger()));
            let _alive = alive_while_connecting(Arc::clone(&store), clock.clone(), lease(config));
            // All at once: the nodes of one network must not hold up another.
            let connecting = config.networks.iter().map(|(name, network)| async move {
                Ok((name.clone(), connect_now_or_later(name, network, config).await?))
            });
            let chains =
                futures::future::join_all(connecting).await.into_iter().collect::<Result<_, StartError>>()?;
            let answers = config.answer_store()?;
            let (random, stop) = (Random::system(), stop.clone());
            Self::assemble(config, Parts { store, chains, answers, rates, clock, random, metrics, stop })
                .await
        };
        let started = started.await;
        if started.is_err() {
            stop.cancel();
        }
        started
    }

    /// As [`Self::start`], from parts that are ready: terms, limits and policies
    /// are the configuration's, and nothing is opened or connected. Networks
    /// without a chain are left out.
    pub async fn assemble(config: &Config, parts: Parts) -> Result<Self, StartError> {
        Self::assemble_with(config, parts, Defects::default()).await
    }

    /// The same with a fault built into every lane, for a simulator's auditor to find.
    #[cfg(feature = "defects")]
    pub async fn assemble_with_defect(
        config: &Config,
        parts: Parts,
        defect: Option<Defect>,
    ) -> Result<Self, StartError> {
        Self::assemble_with(config, parts, Defects::of(defect)).await
    }

    async fn assemble_with(config: &Config, parts: Parts, defects: Defects) -> Result<Self, StartError> {
        let Parts { store, mut chains, answers, rates, clock, random, metrics, stop } = parts;
        let policy = policy(config)?;
        let mut networks = Vec::new();
        for (name, network) in &config.networks {
            let Some(chain) = chains.remove(name) else { continue };
            metrics.introduce(chain.network());
            if config.facilitator.is_some() {
                metrics.introduce_facilitator(chain.network(), &Answer::WORDS);
            }
            networks.push(Arc::new(net(network, config, chain, (&rates, &policy), (&clock, &stop))?));
        }
        networks.sort_by_key(|net| order_of(net.chain.network()));
        let stored = Stored::new(Arc::clone(&metrics));
        let rejoined = AtomicU64::new(0);
        let context = Context { ledger: store, metrics, clock, random, stop, stored, rejoined };
        open_work::check(config, &networks, &context).await?;
        let context = Arc::new(context);
        let drivers = TaskTracker::new();
        let (metrics, clock, stop) = (&context.metrics, &context.clock, &context.stop);
        let upkeep = Registry::new(Arc::clone(metrics), clock.clone(), drivers.clone(), stop.clone());
        let (mut dispatches, mut lanes) = (BTreeMap::new(), Vec::new());
        for net in &networks {
            let (dispatch, of_net) = Dispatch::to(&context, net, &defects);
            dispatches.insert(net.chain.network().clone(), dispatch);
            lanes.push(of_net);
        }
        let inner = Arc::new(Inner {
            context,
            upkeep,
            networks,
            dispatches,
            in_flight: InFlight::default(),
            runs: Arc::default(),
            tellings: Arc::default(),
            answers,
            limits: limits(config),
            strangers: Strangers::new(&config.callers),
            merchants: Merchants::new(&config.merchants),
            policy,
            drivers,
            runtime: tokio::runtime::Handle::current(),
        });
        // Before any chain is asked: endpoints that say nothing must not cost the lease.
        inner.start_heartbeat(lease(config));
        inner.start_tariffs().await;
        lanes.into_iter().for_each(|lanes| inner.start_lanes(lanes));
        inner.resume().await?;
        inner.start_cost_meters();
        inner.start_finality_watches();
        inner.start_payout_watches();
        inner.start_pruning(retention(config));
        inner.start_pruning_finished(Pruning::new(&config.ledger));
        inner.start_clearing();
        Ok(Self { inner })
    }
}

/// The same for heartbeats, the ledger and the end of runs.
fn lease(config: &Config) -> Duration {
    Duration::from_secs(config.ledger.lease_seconds.max(LEASE_SECONDS_MIN))
}

/// Renews the lease until the guard is dropped: connecting to chains whose
/// endpoints say nothing takes longer than a lease, and others would take this
/// process for dead. What goes wrong here is mended by the heartbeat proper.
fn alive_while_connecting(store: Arc<dyn Store>, clock: Clock, lease: Duration) -> DropGuard {
    let connected = CancellationToken::new();
    let stop = connected.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(lease / BEATS_PER_LEASE) => {}
            }
            if let Err(error) = store.heartbeat(clock.now_ms()).await {
                trouble::note(Trouble::Heartbeat, "", &error);
            }
        }
    });
    connected.drop_guard()
}

fn retention(config: &Config) -> Retention {
    let kept_ms = config.ledger.answers_kept_hours.saturating_mul(3_600_000);
    Retention { answers_ms: i64::try_from(kept_ms).unwrap_or(i64::MAX) }
}

fn limits(config: &Config) -> Limits {
    Limits {
        pending_wait: Duration::from_secs(config.gate.pending_wait_seconds),
        replay_ms: i64::try_from(config.gate.replay_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX),
        runs: config.gate.run_limits(),
        waited_ms: i64::try_from(config.gate.pending_wait_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX),
        tellings_max: config.merchants.retell_max.saturating_add(1),
        checks: CheckTerms {
            lease_ms: i64::try_from(config.merchants.verify_lease_seconds.saturating_mul(1_000))
                .unwrap_or(i64::MAX),
            leases_max: config.merchants.verify_leases_payer_max,
        },
    }
}

impl Inner {
    async fn start_tariffs(self: &Arc<Self>) {
        futures::future::join_all(self.networks.iter().map(|net| self.start_tariffs_of(net))).await;
    }

    async fn start_tariffs_of(self: &Arc<Self>, net: &Arc<ConfiguredNetwork>) {
        let context = &self.context;
        let now_ms = context.clock.now_ms();
        // Whoever stands still makes no first tariff.
        let mut watch =
            EndpointWatch::new(Arc::clone(net), Arc::clone(&context.metrics), context.clock.clone());
        watch.look().await;
        self.start_looks(net, watch);
        // Before the first offer, so that a restart honours older ones.
        let loaded = tariffs::reload(net, &*context.ledger, &self.policy, now_ms).await;
        // Nobody waits a second time for nodes that said nothing: the next turn asks them.
        let mut made = Ok(());
        if net.chain.is_connected() {
            made = tariffs::refresh(net, &*context.ledger, &self.policy, &context.metrics, now_ms).await;
        } else {
            tariffs::tell(net, &context.metrics, net.open(now_ms).err());
        }
        if let Err(error) = loaded.and(made) {
            tracing::warn!(network = %net.chain.network(), %error, "not offered until a tariff can be made");
        }
        let (of, metrics) = (Arc::clone(net), Arc::clone(&context.metrics));
        let network = net.chain.network();
        let kind = Kind { only_looks: true, ..Kind::of("endpoints", network, self.policy.refresh) };
        self.upkeep.start(kind, move || WrongEndpoints::new(Arc::clone(&of), Arc::clone(&metrics)));
        let (of, context, policy) = (Arc::clone(net), Arc::clone(context), self.policy.clone());
        let first = Tariffs::first_pause(&policy);
        let kind = Kind { first, ..Kind::of("tariffs", network, policy.refresh) };
        self.upkeep.start(kind, move || Tariffs::new(Arc::clone(&context), Arc::clone(&of), policy.clone()));
    }

    /// The watch has looked once.
    fn start_looks(&self, net: &Arc<ConfiguredNetwork>, watch: EndpointWatch) {
        let pause = net.head_look;
        let kind = Kind { first: pause, only_looks: true, ..Kind::of("heads", net.chain.network(), pause) };
        let (net, metrics) = (Arc::clone(net), Arc::clone(&self.context.metrics));
        let (clock, mut watch) = (self.context.clock.clone(), Some(watch));
        self.upkeep.start(kind, move || {
            let anew = || EndpointWatch::new(Arc::clone(&net), Arc::clone(&metrics), clock.clone());
            watch.take().unwrap_or_else(anew)
        });
    }
}

/// See [`crate::config::LedgerConfig::instance`].
fn instance_name(config: &Config) -> String {
    config.ledger.instance.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}@{}", host.trim(), config.server.listen)
    })
}

async fn open_ledger(config: &Config, clock: &Clock) -> Result<Ledger, StartError> {
    let url = resolve("ledger.url", &config.ledger.url)?;
    let mut options = LedgerOptions::new(instance_name(config));
    options.lease_ms = i64::try_from(lease(config).as_millis()).unwrap_or(i64::MAX);
    options.lease_clock = LeaseClock::Database;
    let ledger_bytes_max = config.answer_limits().inline_bytes_max;
    options.answer_body_bytes_max = usize::try_from(ledger_bytes_max).unwrap_or(usize::MAX);
    Ok(Ledger::open(&url, options, clock.now_ms()).await?)
}

fn batch_terms(network: &NetworkConfig) -> BatchTerms {
    let evm = network.evm();
    BatchTerms {
        size_max: usize::try_from(evm.batch_size_max).unwrap_or(1),
        margin_seconds: evm.batch_margin_seconds,
        wait_ms: evm.batch_wait_ms,
    }
}

fn net(
    network: &NetworkConfig,
    config: &Config,
    chain: Arc<Chain>,
    (rates, policy): (&Arc<dyn RateSource>, &TariffPolicy),
    (clock, stop): (&Clock, &CancellationToken),
) -> Result<ConfiguredNetwork, StartError> {
    let quote = &config.quote;
    let remote = config.facilitator.as_ref().map(Remote::new).transpose()?;
    let (rates, gas_floor): (Arc<dyn RateSource>, _) = match &config.facilitator {
        None => (Arc::clone(rates), usdc("quote.gas_floor_usdc", &quote.gas_floor_usdc)?),
        Some(section) => {
            (Arc::new(NotSpent::new()?), usdc("facilitator.surcharge_usdc", &section.surcharge_usdc)?)
        }
    };
    let age_max_seconds = u64::try_from(policy.age_max_ms / 1_000).unwrap_or(0);
    let pause = Duration::from_millis(network.poll_interval_ms.max(10));
    let terms = terms(network, chain.facts());
    Ok(ConfiguredNetwork {
        offers: offers(&terms, chain.facts()),
        pool: Arc::new(Pool::new(chain.facts(), network.wallet_low_settlements)),
        terms,
        coin: network.coin(),
        retired: network.retired,
        shared_pay_to: network.shared_pay_to,
        batch: batch_terms(network),
        payout_look: Duration::from_secs(network.payout_look_seconds.max(1)),
        head_look: Duration::from_secs(network.head_look_seconds.max(1)),
        remote,
        rates,
        poller: Poller::start(Arc::clone(&chain), clock.clone(), pause, stop.clone()),
        window: std::sync::RwLock::new(TariffWindow::new(
            network.network.clone(),
            network.max_timeout_seconds,
            quote.grace_seconds,
            age_max_seconds,
        )),
        prepared: Prepared::default(),
        moment: Moment::default(),
        gas_floor,
        gas_ceiling: usdc("quote.gas_ceiling_usdc", &quote.gas_ceiling_usdc)?,
        limits: network.exposure_limits(quote)?,
        unwedge_day: network.unwedge_day()?,
        accounts: Accounts::new(network.solana().accounts),
        freed: tokio::sync::Notify::new(),
        spending: Spending::default(),
        seen: Default::default(),
        ready: AtomicBool::new(false),
        obstructed: Obstructed::default(),
        closed: std::sync::Mutex::new(None),
        strangers_wait: AtomicBool::new(false),
        share: Share::new(&config.callers),
        cost_budget: usdc("quote.cost_budget_usdc", &quote.cost_budget_usdc)?,
        at_cost: "1".parse::<Markup>()?,
        chain,
    })
}

fn terms(network: &NetworkConfig, facts: &Facts) -> NetworkTerms {
    NetworkTerms {
        network: network.network.clone(),
        asset: network.asset.clone(),
        pay_to: network.pay_to.clone(),
        asset_decimals: USDC_DECIMALS,
        asset_symbol: network.asset_symbol.clone(),
        max_timeout_seconds: network.max_timeout_seconds,
        extra: facts.offer_extra.clone(),
        payment_flow_upfront: true,
    }
}

/// The terms of a network's offers: one for each wallet that they may name.
fn offers(terms: &NetworkTerms, facts: &Facts) -> Vec<NetworkTerms> {
    let Some(key) = facts.offer_wallet else { return vec![terms.clone()] };
    let naming = |wallet: &String| {
        let mut terms = terms.clone();
        terms.extra.insert(key.to_owned(), serde_json::Value::from(wallet.as_str()));
        terms
    };
    facts.wallets.iter().map(naming).collect()
}

fn policy(config: &Config) -> Result<TariffPolicy, StartError> {
    let quote = &config.quote;
    let timeout = config.networks.values().map(|network| network.max_timeout_seconds).max().unwrap_or(0);
    let refresh_seconds = quote.refresh_seconds.max(1);
    let age_max_seconds = refresh_seconds.saturating_mul(STALE_AFTER_REFRESHES);
    let ms = |seconds: u64| i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Ok(TariffPolicy {
        markup: quote.markup.parse()?,
        refresh: Duration::from_secs(refresh_seconds),
        age_max_ms: ms(age_max_seconds),
        fall_bps_per_minute: basis_points("quote.fall_per_minute", &quote.fall_per_minute)?,
        payable_ms: ms(timeout.saturating_add(quote.grace_seconds)),
        grace_ms: ms(quote.grace_seconds),
    })
}
