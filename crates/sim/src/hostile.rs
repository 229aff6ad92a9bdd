//! Payers who want us to pay for nothing: they take their money away once a
//! payment was checked, have code that says yes and then no, or sign many
//! payments with money for one. Each tries a few times and goes.

use quittance_protocol::Amount;

use crate::client::Client;
use crate::clients::ask;
use crate::merchants::only_verify;
use crate::plan::Net;
use crate::settings::network;
use crate::stats::Fault;
use crate::world::{Attack, Handle, World};

/// Hostile payers are numbered from here.
const PAYERS: usize = 5_000;

/// Who sprays payments holds enough for one at the usual surcharge.
const PURSE: u64 = 14_000;

/// What a payer who buys after the weather has paid for settling before.
const HISTORY: u64 = 10_000_000;

impl World {
    /// All of them, with when they come.
    fn draw_hostile(&mut self) -> Vec<(u64, usize)> {
        if self.plan.hostile == 0 {
            return Vec::new();
        }
        let attack = [Attack::Drains, Attack::Code, Attack::Sprays][self.random.below(3) as usize];
        let net = [Net::Base, Net::Solana][self.random.below(2) as usize];
        // Code is Base's.
        let net = if attack == Attack::Code { Net::Base } else { net };
        let begin = self.random.range(2_000, 20_000);
        let mut found = Vec::new();
        for number in 0..self.plan.hostile {
            self.report.count(Fault::Hostile);
            let key = self.new_fact(Some(net));
            let payer = if attack == Attack::Sprays { PAYERS } else { PAYERS.saturating_add(number) };
            let fact = &mut self.facts[key];
            (fact.probe, fact.payer, fact.attack) = (false, payer, Some(attack));
            if attack == Attack::Sprays {
                self.purses.insert((net, payer), PURSE);
            }
            let spread = if self.random.chance(500) { 200 } else { 20_000 };
            found.push((begin.saturating_add(self.random.below(spread)), key));
        }
        found
    }

    /// A payer who bought here before, so that strangers cannot keep it away.
    pub(crate) fn grant_history(&mut self, key: usize) {
        let fact = &self.facts[key];
        let (payer, net) = (format!("payer-{}", fact.payer), fact.net);
        if let Ok(network) = network(net).parse() {
            self.database.with(|rows| rows.grant_history(&network, &payer, Amount::new(HISTORY)));
            self.audit.granted = self.audit.granted.saturating_add(HISTORY);
        }
    }
}

/// The seed's attack, if it has one.
pub(crate) fn begin(world: &Handle) {
    for (at, key) in world.with(World::draw_hostile) {
        let world = world.clone();
        tokio::spawn(async move {
            world.sleep_until(at).await;
            attack(world, key).await;
        });
    }
}

async fn attack(world: Handle, key: usize) {
    let client =
        Client { key, call: key, request: 1, digest: 0, identifier: None, thief: false, last: false };
    for _ in 0..3 {
        if world.with(|w| w.calm) {
            return;
        }
        // Some ask servers that work before they settle.
        let verifies = world.with(|w| w.facts[key].attack == Some(Attack::Sprays) && w.random.chance(500));
        if verifies {
            only_verify(&world, &client).await;
        }
        let said = ask(&world, &client).await;
        world.with(|w| w.say(|| format!("key {key}: hostile, gets {said:?}")));
        world.sleep(1_000, 6_000).await;
    }
}
