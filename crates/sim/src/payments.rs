//! Payments: who makes them, what they promise, and their payers' tricks.

use quittance_protocol::{OFFERED_IDENTIFIER, PaymentKey, PaymentRequirements};

use crate::base::{Act, Terms, Tx};
use crate::client::Client;
use crate::clients::{pay, payload, repeat, some_front, thief};
use crate::merchants::sell;
use crate::plan::Net;
use crate::random::Random;
use crate::settings::{network, number_of_wallet};
use crate::stats::Fault;
use crate::world::{Attack, Fact, Handle, World};

/// Strangers' transactions are numbered from here.
const FOREIGN_TX: u32 = 2_000_000;

/// Among one key's: the one that lands before it is brought here.
const ELSEWHERE: u32 = 5;

impl World {
    /// A payment that will be made; its number.
    pub(crate) fn new_fact(&mut self, probe: Option<Net>) -> usize {
        let key = self.facts.len();
        let drawn = [Net::Base, Net::Base, Net::Solana][self.random.below(3) as usize];
        let net = match (self.plan.forced, self.plan.aim, probe) {
            (_, _, Some(net)) => net,
            (Some(forced), _, _) => forced.net,
            (_, Some(aim), _) if key == 0 => aim.net.unwrap_or(drawn),
            _ => drawn,
        };
        let w = self.plan.weather;
        let simple = probe.is_some() || self.plan.forced.is_some();
        let aimed = self.plan.aim.is_some() && key == 0;
        let unsignable = !aimed && !simple && self.fault(w.unsignable, Fault::NeverSignable);
        let foreign = !simple && !aimed && self.random.chance(250);
        let payer = if self.plan.one_payer { 0 } else { key.saturating_add(1) };
        self.facts.push(Fact {
            net,
            payer: if probe.is_some() { key.saturating_add(1_000) } else { payer },
            terms: Terms { valid_before_ms: u64::MAX, broke_ms: None, flickers: false, never: false },
            last_valid_slot: 0,
            amount: 0,
            signed: false,
            unsignable,
            wallet: 0,
            call: key,
            identifier: None,
            repeats: false,
            foreign,
            probe: probe.is_some(),
            attack: None,
        });
        self.name_key(key);
        key
    }

    /// A further authorization of the same payer for the same call; its number.
    pub(crate) fn sign_again(&mut self, before: usize) -> usize {
        let key = self.facts.len();
        let identifier = self.facts[before].identifier.is_some().then(|| offered(key));
        let fact =
            Fact { signed: false, amount: 0, unsignable: false, identifier, ..self.facts[before].clone() };
        self.facts.push(fact);
        self.name_key(key);
        self.report.count(Fault::SignedAnew);
        key
    }

    fn name_key(&mut self, key: usize) {
        let net = self.facts[key].net;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&(key as u64).to_be_bytes());
        let payment_key = match net {
            Net::Base => PaymentKey::evm(8453, &[1; 20], &[2; 20], &nonce),
            Net::Solana => PaymentKey::solana(network(net), &nonce),
        };
        self.keys.insert(payment_key, key);
        self.audit.payment_keys.insert(key, payment_key);
    }

    /// The payer signs what was offered.
    pub(crate) fn sign_payment(&mut self, key: usize, amount: u64, accepted: &PaymentRequirements) {
        let now = self.now();
        let w = self.plan.weather;
        let probe = self.facts[key].probe;
        let aim = self.plan.aim.filter(|_| key == 0);
        let life = match (probe, aim.and_then(|aim| aim.life_ms)) {
            (true, _) => 55_000,
            (false, Some(life)) => life,
            (false, None) => self.random.range(20_000, 58_000),
        };
        let drained = !probe && aim.is_none() && self.fault(w.broke, Fault::Drained);
        let broke_ms = drained.then(|| {
            let from = now.saturating_add(self.random.range(50, 4_000));
            (from, from.saturating_add(self.random.range(2_000, 60_000)))
        });
        let flickers = self.random.chance(500);
        let attack = self.facts[key].attack;
        let broke_ms = match attack {
            Some(Attack::Drains) => Some((now.saturating_add(self.random.range(20, 1_500)), u64::MAX)),
            Some(_) => None,
            None => broke_ms,
        };
        let (flickers, never) = (flickers && attack.is_none(), attack == Some(Attack::Code));
        let last_valid_slot = self.last_valid_slot();
        let named = accepted.extra.get("feePayer").and_then(|named| named.as_str());
        let wallet = named.and_then(|named| number_of_wallet(Net::Solana, named)).unwrap_or(0);
        let fact = &mut self.facts[key];
        fact.wallet = wallet;
        // Whole seconds, as in an authorization.
        let valid_before_ms = now.saturating_add(life) / 1_000 * 1_000;
        fact.terms = Terms { valid_before_ms, broke_ms, flickers, never };
        fact.last_valid_slot = last_valid_slot;
        fact.amount = amount;
        fact.signed = true;
        self.audit.accepted.insert(key, accepted.clone());
        self.say(|| format!("key {key} is signed"));
    }
}

/// The word of an offer, which its client echoes: another one each time.
fn offered(key: usize) -> String {
    format!("{OFFERED_IDENTIFIER}of-{key:04}")
}

/// Payers of Base who come within a few milliseconds, for as many calls. Drawn apart, so that the other
/// stories stay what they were.
pub(crate) fn begin_crowd(world: &Handle) {
    let (seed, crowd) = world.with(|w| (w.plan.seed, w.plan.crowd));
    let mut random = Random::new(seed ^ 0x00c2_0d00_00c2_0d00);
    let at = random.range(3_000, 30_000);
    for _ in 0..crowd {
        let key = begin_payment(world, at.saturating_add(random.below(40)), Some(Net::Base));
        // It is like any other: its payer may drain, and weather may strike it.
        world.with(|w| w.facts[key].probe = false);
    }
}

/// A payment, its copies, and its payer's tricks.
pub(crate) fn begin_payment(world: &Handle, at_ms: u64, probe: Option<Net>) -> usize {
    let (key, clients) = world.with(|w| {
        let key = w.new_fact(probe);
        (key, w.draw_clients(key, at_ms))
    });
    let (foreign, repeats, tricks) =
        world.with(|w| (w.facts[key].foreign, w.facts[key].repeats, probe.is_none()));
    let alone = tricks && !repeats && clients.len() == 1;
    let elsewhere = alone && world.with(|w| w.draw_elsewhere(key));
    for (at, client) in clients {
        let world = world.clone();
        tokio::spawn(async move {
            world.sleep_until(at).await;
            if elsewhere {
                use_elsewhere(&world, &client).await;
            }
            match (foreign, client.request) {
                (true, 2) => sell(world, client, "another shop").await,
                (true, _) => sell(world, client, "shop").await,
                (false, _) if repeats => repeat(world, client).await,
                (false, _) => pay(world, client).await,
            }
        });
    }
    if tricks {
        play_tricks(world, key, at_ms);
    }
    key
}

/// Signs what is offered here, has it landed elsewhere, and only then brings it.
async fn use_elsewhere(world: &Handle, client: &Client) {
    world.with(|w| w.waiting = w.waiting.saturating_add(1));
    while !world.with(|w| w.over || w.facts[client.key].signed || w.gives_up(client.key)) {
        if let Some(front) = some_front(world) {
            payload(world, &front, client);
        }
        world.sleep(500, 500).await;
    }
    world.sleep(100, 3_000).await;
    world.with(|w| {
        let id = foreign_id(client.key, ELSEWHERE);
        w.note(53, u64::from(id));
        w.base.take(Tx {
            id,
            key: client.key,
            act: Act::Pay,
            nonce: None,
            wallet: 0,
            fee_cap: u64::MAX,
            wrapped: false,
        });
    });
    world.sleep(2_000, 20_000).await;
    world.with(|w| {
        // Where a second endpoint knows better, the first may deny it.
        if w.plan.endpoints > 1 && !w.calm && w.random.chance(400) {
            w.report.count(Fault::FalselyUnused);
            w.lies_until = w.lies_until.max(w.now().saturating_add(5_000));
        }
        w.waiting = w.waiting.saturating_sub(1);
    });
}

/// The number of a stranger's transaction.
fn foreign_id(key: usize, which: u32) -> u32 {
    FOREIGN_TX.saturating_add(u32::try_from(key * 8).unwrap_or(0)).saturating_add(which)
}

impl World {
    fn draw_elsewhere(&mut self, key: usize) -> bool {
        let plain = self.facts[key].net == Net::Base && self.plan.forced.is_none();
        let aimed = self.plan.aim.is_some() && key == 0;
        plain && !aimed && self.fault(self.plan.weather.landed_before, Fault::LandedBefore)
    }

    fn draw_clients(&mut self, key: usize, at_ms: u64) -> Vec<(u64, Client)> {
        let named = self.facts[key].probe || self.random.chance(600);
        let aims = self.plan.aim.filter(|_| key == 0);
        let fact = &self.facts[key];
        let simple = fact.probe || self.plan.forced.is_some();
        let repeats = !simple && !fact.foreign && aims.is_none() && self.random.chance(400);
        let identifier =
            named.then(|| if repeats { offered(key) } else { format!("identifier-of-{key:04}") });
        self.facts[key].identifier.clone_from(&identifier);
        self.facts[key].repeats = repeats;
        let client = Client { key, call: key, request: 1, digest: 0, identifier, thief: false, last: false };
        let mut clients = vec![(at_ms, client.clone())];
        if simple || repeats {
            return clients;
        }
        let copies = match aims {
            Some(aim) if aim.place == crate::plan::Crash::BeforeClaim => 5,
            _ => [0, 0, 1, 2, 4][self.random.below(5) as usize],
        };
        for _ in 0..copies {
            self.report.count(Fault::Copy);
            let spread = if self.random.chance(600) { 50 } else { 12_000 };
            clients.push((at_ms.saturating_add(self.random.below(spread)), client.clone()));
        }
        if self.fault(self.plan.weather.other_request, Fault::OtherRequest) {
            let at = at_ms.saturating_add(self.random.range(1, 6_000));
            clients.push((at, Client { request: 2, ..client.clone() }));
        }
        if self.fault(self.plan.weather.other_request, Fault::OtherSignature) {
            let at = at_ms.saturating_add(self.random.range(1, 6_000));
            clients.push((at, Client { digest: 1, ..client }));
        }
        clients
    }

    /// A stranger's transaction for this authorization, if the seed wants one.
    fn draw_strangers(&mut self, key: usize) -> Vec<(u64, Tx)> {
        if self.facts[key].net != Net::Base || self.plan.forced.is_some() {
            return Vec::new();
        }
        let w = self.plan.weather;
        let aim = self.plan.aim.filter(|_| key == 0);
        let mut found = Vec::new();
        for (chance, fault, act, wrapped) in [
            (w.cancelled, Fault::Cancelled, Act::Cancel, false),
            (w.foreign, Fault::ForeignSubmission, Act::Pay, false),
            (w.foreign_failed, Fault::FailedWithin, Act::Nothing, true),
        ] {
            let wanted = match aim.map(|aim| aim.stranger) {
                Some(stranger) => stranger == Some(act),
                None => self.fault(chance, fault),
            };
            if wanted {
                let id = foreign_id(key, act as u32);
                let delay = match aim {
                    Some(aim) => aim.stranger_after_ms,
                    None => self.random.range(100, 12_000),
                };
                found.push((delay, Tx { id, key, act, nonce: None, wallet: 0, fee_cap: u64::MAX, wrapped }));
            }
        }
        found
    }
}

/// Authorizations are public once seen: anybody may submit them, and the payer
/// may cancel.
fn play_tricks(world: &Handle, key: usize, at_ms: u64) {
    let (strangers, stolen) = world.with(|w| {
        let strangers = w.draw_strangers(key);
        // Without an identifier whoever reads the chain may take the answer, and
        // its payer then pays for another one.
        let open_to_thieves = w.facts[key].repeats && w.facts[key].identifier.is_none();
        let stolen = !w.facts[key].foreign && !open_to_thieves && w.fault(w.plan.weather.thief, Fault::Thief);
        (strangers, stolen)
    });
    for (delay, tx) in strangers {
        let world = world.clone();
        tokio::spawn(async move {
            world.sleep_until(at_ms.saturating_add(delay)).await;
            // Nobody can submit what nobody has signed.
            while !world.with(|w| w.facts[key].signed) {
                world.sleep(500, 500).await;
            }
            world.with(|w| {
                w.note(53, u64::from(tx.id));
                w.base.take(tx);
            });
        });
    }
    if stolen {
        let world = world.clone();
        tokio::spawn(async move {
            world.sleep_until(at_ms).await;
            thief(world, key).await;
        });
    }
}
