//! One seed, from the first block to the last question.

use std::sync::Arc;

use tokio::runtime::Builder;

use crate::client::{Client, fingerprint};
use crate::clients::pay;
use crate::hostile;
use crate::payments::{begin_crowd, begin_payment};
use crate::plan::{Net, Plan};
use crate::process::live;
use crate::solana::{FINALIZED_SLOTS, SLOT_MS};
use crate::stats::{Fault, Report};
use crate::weather::{mine, storm};
use crate::world::{Handle, World};

/// How long anything may take that nothing hinders.
const MINUTE_MS: u64 = 60_000;

/// Pause between two looks at whether it is over.
const LOOK_MS: u64 = 500;

/// Plays a plan; `None` if there is no runtime to play it on.
pub fn run(plan: Plan, trace: bool) -> Option<Report> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().ok()?;
    let report = runtime.block_on(async move {
        let world = Handle::new(plan, trace);
        play(&world).await;
        // The world holds processes that hold the world.
        let held = world.with(|w| (std::mem::take(&mut w.fronts), std::mem::take(&mut w.audit.runs)));
        drop(held);
        world.with(World::finish)
    });
    // Nothing is left to happen: dropping tasks one by one is no part of the story.
    runtime.shutdown_background();
    Some(report)
}

/// The operator changes the configuration and restarts every process, one after the other.
async fn move_pay_to(world: Handle) {
    let (moves_ms, processes) = world.with(|w| (w.plan.moves_ms, w.plan.processes));
    let Some(moves_ms) = moves_ms else { return };
    world.sleep_until(moves_ms).await;
    world.with(|w| {
        if w.plan.retires.is_some() {
            w.report.count(Fault::Retired);
        }
    });
    for process in 0..processes {
        let link = world.with(|w| w.fronts[process].as_ref().map(|front| Arc::clone(&front.link)));
        if let Some(link) = link {
            let retired = world.with(|w| w.plan.retires);
            let told = || format!("process {process} is restarted with another pay_to, retired: {retired:?}");
            world.with(|w| w.say(told));
            link.die();
        }
        world.sleep(500, 3_000).await;
    }
}

async fn play(world: &Handle) {
    let (processes, payments, calm_ms) = world.with(|w| (w.plan.processes, w.plan.payments, w.plan.calm_ms));
    for process in 0..processes {
        tokio::spawn(live(world.clone(), process));
    }
    tokio::spawn(mine(world.clone()));
    tokio::spawn(storm(world.clone()));
    tokio::spawn(move_pay_to(world.clone()));
    for number in 0..payments {
        let latest = if number == 0 { 15_000 } else { 45_000 };
        let at = world.with(|w| w.random.range(500, latest));
        begin_payment(world, at, None);
    }
    hostile::begin(world);
    begin_crowd(world);
    world.sleep_until(calm_ms).await;
    world.with(World::calm_down);

    // Every payment ends by its deadline, or soon after the weather. Some are
    // signed only now, by who got no offer before.
    let ended = |w: &mut World| {
        w.waiting == 0 && w.database.with(|rows| rows.payments().all(|payment| payment.state.is_final()))
    };
    let bound = |w: &mut World| w.deadline_of_all();
    if !wait(world, bound, ended).await {
        world.with(|w| {
            let bound = w.deadline_of_all();
            w.audit_unfinished(bound);
        });
    }

    // New ones go through, once every process has a tariff of the good weather:
    // an old cheap one is refused with a fresh offer.
    let (from, first) = world.with(|w| (w.now().max(calm_ms.saturating_add(25_000)), w.facts.len()));
    let sold = |net: &Net| !world.with(|w| w.is_retired(*net));
    for net in [Net::Base, Net::Solana].into_iter().filter(sold) {
        let key = begin_payment(world, from.saturating_add(1_000), Some(net));
        world.with(|w| w.grant_history(key));
    }
    world.sleep_until(from.saturating_add(1_500)).await;
    wait(world, |_| from.saturating_add(2 * MINUTE_MS), |w| w.waiting == 0).await;
    world.with(|w| w.audit_probes(first));

    // Whoever paid comes back once more, and gets what was paid for.
    for client in world.with(last_visitors) {
        tokio::spawn(pay(world.clone(), client));
    }
    world.sleep(1_000, 1_000).await;
    let from = world.with(|w| w.now());
    wait(world, |_| from.saturating_add(3 * MINUTE_MS), |w| w.waiting == 0).await;

    // And every landing is final, or booked as lost.
    let from = world.with(|w| w.now());
    let finality = world.with(|w| w.finality_ms());
    let settled = |w: &mut World| {
        let open = |payment: &quittance_ledger::Payment| {
            payment.state == quittance_ledger::PaymentState::Settled && payment.finality.is_none()
        };
        w.database.with(|rows| !rows.payments().any(open))
    };
    wait(world, |_| from.saturating_add(finality).saturating_add(MINUTE_MS), settled).await;
    // Costs are booked in the background: nothing is reserved when they are.
    let from = world.with(|w| w.now());
    let booked = |w: &mut World| w.database.with(|rows| rows.reservations().next().is_none());
    wait(world, |_| from.saturating_add(MINUTE_MS), booked).await;
    world.sleep(1_000, 1_000).await;
    world.with(|w| {
        w.audit_end();
        w.over = true;
    });
}

/// Whoever claimed each settled payment.
fn last_visitors(w: &mut World) -> Vec<Client> {
    let mut found = Vec::new();
    for key in 0..w.facts.len() {
        let settled = w.row(key).filter(|payment| {
            payment.state == quittance_ledger::PaymentState::Settled
                && payment.origin == quittance_ledger::Origin::Gate
        });
        let Some(payment) = settled else { continue };
        let call = w.facts[key].call;
        let request =
            [1, 2].into_iter().find(|request: &u64| fingerprint(call, *request) == payment.fingerprint);
        let digest = u64::from_be_bytes(payment.signature_digest[..8].try_into().unwrap_or_default());
        let identifier = payment.identifier.and_then(|_| w.facts[key].identifier.clone());
        let request = request.unwrap_or(1);
        found.push(Client { key, call, request, digest, identifier, thief: false, last: true });
    }
    found
}

/// Until it is so; false if it is not so in time.
async fn wait(
    world: &Handle,
    bound_ms: impl Fn(&mut World) -> u64,
    is_so: impl Fn(&mut World) -> bool,
) -> bool {
    loop {
        if world.with(&is_so) {
            return true;
        }
        if world.with(|w| w.now() >= bound_ms(w) || w.over) {
            return false;
        }
        world.sleep(LOOK_MS, LOOK_MS).await;
    }
}

impl World {
    fn finality_ms(&self) -> u64 {
        self.plan.finality.saturating_mul(self.plan.block_ms).max(FINALIZED_SLOTS * SLOT_MS)
    }

    /// When every payment must have ended: its deadline or the end of the
    /// weather, the finality lag, and a minute to recover.
    fn deadline_of_all(&self) -> u64 {
        let deadlines = self.facts.iter().filter(|fact| fact.signed).map(|fact| match fact.net {
            Net::Base => fact.terms.valid_before_ms,
            Net::Solana => fact.last_valid_slot.saturating_mul(SLOT_MS),
        });
        let last = deadlines.max().unwrap_or(0).max(self.plan.calm_ms);
        last.saturating_add(self.finality_ms()).saturating_add(MINUTE_MS)
    }
}
