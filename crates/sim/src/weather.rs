//! Payments, and what goes wrong around them.

use std::collections::BTreeMap;

use quittance_protocol::{OFFERED_IDENTIFIER, PaymentKey, PaymentRequirements};

use crate::base::{Act, Base, Terms, Tx};
use crate::clients::{Client, pay, repeat, thief};
use crate::merchants::sell;
use crate::plan::Net;
use crate::process::network;
use crate::stats::Fault;
use crate::world::{Attack, BLOCK_MS, Fact, Handle, World};

/// Pause between two decisions of the weather.
const CHAOS_MS: u64 = 1_000;

/// How often an endpoint of Solana loses its history for a while.
const NO_HISTORY_PER_MILLE: u64 = 40;

/// Strangers' transactions are numbered from here.
const FOREIGN_TX: u32 = 2_000_000;

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
        let fact = &mut self.facts[key];
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

/// A payment, its copies, and its payer's tricks.
pub(crate) fn begin_payment(world: &Handle, at_ms: u64, probe: Option<Net>) -> usize {
    let (key, clients) = world.with(|w| {
        let key = w.new_fact(probe);
        (key, w.draw_clients(key, at_ms))
    });
    let (foreign, repeats, tricks) =
        world.with(|w| (w.facts[key].foreign, w.facts[key].repeats, probe.is_none()));
    for (at, client) in clients {
        let world = world.clone();
        tokio::spawn(async move {
            world.sleep_until(at).await;
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

impl World {
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
                let id = FOREIGN_TX.saturating_add(u32::try_from(key * 8).unwrap_or(0));
                let id = id.saturating_add(act as u32);
                let delay = match aim {
                    Some(aim) => aim.stranger_after_ms,
                    None => self.random.range(100, 12_000),
                };
                found.push((delay, Tx { id, key, act, nonce: None, fee_cap: u64::MAX, wrapped }));
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

/// Blocks, for ever.
pub(crate) async fn mine(world: Handle) {
    while !world.with(|w| w.over) {
        world.sleep(BLOCK_MS, BLOCK_MS).await;
        world.with(World::block);
    }
}

/// Weather, until it is calm.
pub(crate) async fn storm(world: Handle) {
    loop {
        world.sleep(CHAOS_MS, CHAOS_MS).await;
        if world.with(|w| w.calm || w.over) {
            return;
        }
        world.with(World::chaos);
    }
}

impl World {
    fn block(&mut self) {
        let terms: Vec<Terms> = self.facts.iter().map(|fact| fact.terms).collect();
        let broken = Terms { valid_before_ms: 0, broke_ms: None, flickers: false, never: false };
        let omit = if self.calm { 0 } else { self.plan.weather.omitted };
        let (waiting, now) = (self.base.pool.len(), self.now());
        let (facts, purses) = (&self.facts, &self.purses);
        let covers =
            |base: &Base, key: usize| covered(facts, purses, Net::Base, key, base.moved(base.head()));
        let terms = |key: usize| terms.get(key).copied().unwrap_or(broken);
        self.base.mine(now, omit, &mut self.random, terms, covers);
        if waiting > 0 {
            let (head, left) = (self.base.head(), self.base.pool.len());
            self.note(54, left as u64);
            self.say(|| format!("base: block {head}, {left} of {waiting} transactions still wait"));
        }
    }

    /// Once a second.
    fn chaos(&mut self) {
        let open = self.database.with(|rows| rows.payments().any(|p| !p.state.is_final()));
        // What goes wrong while nothing is under way is no test.
        if self.plan.forced.is_some() || (self.waiting == 0 && !open) {
            return;
        }
        let (w, now) = (self.plan.weather, self.now());
        for at in 0..self.fronts.len() {
            if self.fronts[at].is_some() && self.fault(w.pause, Fault::Paused) {
                let until = now.saturating_add(self.random.range(1_000, 40_000));
                if let Some(front) = &self.fronts[at] {
                    front.link.pause(until);
                }
            }
        }
        for net in [Net::Base, Net::Solana] {
            for at in 0..self.plan.endpoints {
                if self.fault(w.endpoint_down, Fault::EndpointDown) {
                    let until = now.saturating_add(self.random.range(1_000, 15_000));
                    self.down_until.insert((net, at), until);
                }
            }
        }
        if self.fault(w.ledger_down, Fault::LedgerDown) {
            self.ledger_down_until = now.saturating_add(self.random.range(200, 6_000));
        }
        if self.wallet_empty_until <= now && self.fault(w.wallet_empty, Fault::WalletEmpty) {
            self.wallet_empty_until = now.saturating_add(self.random.range(2_000, 20_000));
        }
        if self.lies_until <= now && self.fault(w.false_unused, Fault::FalselyUnused) {
            self.lies_until = now.saturating_add(self.random.range(10_000, 90_000));
        }
        for at in 0..self.plan.endpoints.min(2) {
            let forgets = self.oblivion.chance(NO_HISTORY_PER_MILLE);
            if forgets && self.no_history_until[at] <= now && self.plan.forced.is_none() && !self.calm {
                self.report.count(Fault::NoHistory);
                self.no_history_until[at] = now.saturating_add(self.oblivion.range(20_000, 90_000));
            }
        }
        for at in 0..2 {
            if self.no_rate_until[at] <= now && self.fault(w.no_rate / 2, Fault::NoRate) {
                self.no_rate_until[at] = now.saturating_add(self.random.range(1_000, 8_000));
            }
        }
        self.base_weather();
    }

    fn base_weather(&mut self) {
        let w = self.plan.weather;
        if !self.base.pool.is_empty() && self.fault(w.forgotten, Fault::Forgotten) {
            let at = self.random.below(self.base.pool.len() as u64) as usize;
            self.base.pool.remove(at);
        }
        if self.plan.reorg_depth_max > 0 && self.random.chance(w.reorg) {
            let depth = self.random.range(1, self.plan.reorg_depth_max);
            let undone = self.base.reorganise(depth, 200, &mut self.random);
            if undone > 0 {
                self.report.count(Fault::Reorganisation);
                self.audit.reorganised = true;
            }
            self.say(|| format!("base: reorganisation of {depth} blocks, {undone} transactions undone"));
        }
        if self.base.base_fee > 50 {
            if self.random.chance(100) {
                self.base.base_fee = self.random.range(8, 20);
            }
        } else if self.fault(w.fee_spike, Fault::FeeSpike) {
            self.base.base_fee = self.random.range(60, 300);
        }
    }

    /// Whether this seed wants the payment signed only once a process stands
    /// still with evidence for it.
    pub(crate) fn holds_back(&self, key: usize) -> bool {
        let blind = self.plan.aim.is_some_and(|aim| aim.blind);
        key == 0 && !self.calm && blind && !self.report.held && !self.report.held_first
    }

    /// Whether this seed wants the payment unsigned.
    pub(crate) fn holds_signature(&self, key: usize) -> bool {
        key == 0 && !self.calm && self.plan.aim.is_some_and(|aim| aim.unsigned)
    }

    /// The weather ends.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        self.base.base_fee = 10;
        self.ledger_down_until = 0;
        self.wallet_empty_until = 0;
        self.lies_until = 0;
        self.no_history_until = [0; 2];
        self.no_rate_until = [0; 2];
        self.down_until.clear();
        for front in self.fronts.iter().flatten() {
            front.link.wake();
        }
        self.tell_change();
        self.say(|| "the weather ends".to_owned());
    }
}

/// Whether a payer's purse has this payment's money after what moved before.
fn covered(
    facts: &[Fact],
    purses: &BTreeMap<(Net, usize), u64>,
    net: Net,
    key: usize,
    moved: impl Iterator<Item = usize>,
) -> bool {
    facts.get(key).is_some_and(|fact| left(facts, purses, net, fact.payer, moved) >= fact.amount)
}

/// What a payer holds after what moved.
fn left(
    facts: &[Fact],
    purses: &BTreeMap<(Net, usize), u64>,
    net: Net,
    payer: usize,
    moved: impl Iterator<Item = usize>,
) -> u64 {
    let purse = purses.get(&(net, payer)).copied().unwrap_or(u64::MAX);
    let mine = moved.filter_map(|key| facts.get(key)).filter(|fact| fact.payer == payer);
    mine.fold(purse, |left, fact| left.saturating_sub(fact.amount))
}

impl World {
    /// What a key's payer holds, as Base at this block sees it.
    pub(crate) fn balance_base(&self, key: usize, head: u64) -> u64 {
        let payer = self.facts.get(key).map_or(0, |fact| fact.payer);
        left(&self.facts, &self.purses, Net::Base, payer, self.base.moved(head))
    }

    /// The same on Solana, at this slot.
    pub(crate) fn balance_solana(&self, key: usize, at: u64) -> u64 {
        let payer = self.facts.get(key).map_or(0, |fact| fact.payer);
        left(&self.facts, &self.purses, Net::Solana, payer, self.solana.moved(at))
    }
}
