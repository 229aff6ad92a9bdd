//! Processes: each life boots through the facilitator's own start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use quittance_facilitator::chain::Chain;
use quittance_facilitator::{AnswerStore, Clock, Coin, Facilitator, Metrics, Parts, Random, RateSource};
use quittance_ledger::{Hooked, LedgerOptions, Store};
use quittance_quote::Rate;

use crate::canary::Canary;
use crate::connection::Faults;
use crate::evm::FakeBase;
use crate::handlers::ObjectStore;
use crate::plan::{Crash, Net};
use crate::settings::{config, name, name_of, network};
use crate::svm::FakeSolana;
use crate::world::Handle;
use crate::world::link::{Front, Link};

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
        w.moved[link.process] = link.has_moved;
        w.note_lease(link.process);
        w.tell_change();
    });
    let faults = Faults { link: Arc::clone(&link), ledger: inner.clone(), asked: Mutex::default() };
    let store: Arc<dyn Store> = Arc::new(Hooked::new(inner, faults));
    let mut chains: BTreeMap<String, Arc<Chain>> = BTreeMap::new();
    let base = FakeBase::new(Arc::clone(&link), network(Net::Base).parse().ok()?, pay_to);
    chains.insert(name_of(Net::Base).to_owned(), Arc::new(base.into_chain()));
    let solana = FakeSolana { link: Arc::clone(&link), network: network(Net::Solana).parse().ok()?, pay_to };
    chains.insert(name_of(Net::Solana).to_owned(), Arc::new(solana.into_chain()));
    if let Some(net) = retired.filter(|_| plan.canary == Some(Canary::RetiredForgotten)) {
        chains.remove(name_of(net));
    }
    let objects = world.with(|w| Arc::clone(&w.objects));
    let object_store = Arc::new(ObjectStore { link: Arc::clone(&link), objects });
    let clock = Arc::clone(&link);
    let dice = world.clone();
    let parts = Parts {
        store,
        chains,
        answers: AnswerStore::new(object_store, config.answer_limits()),
        rates: Arc::new(Rates::new(world.clone())?),
        clock: Clock::from_fn(move || clock.now_ms()),
        random: Random::from_fn(move || dice.with(|w| w.draw_name())),
        metrics: Arc::new(Metrics::new().ok()?),
        stop: link.stop.clone(),
    };
    match Facilitator::assemble_with_defect(&config, parts, plan.lane).await {
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
