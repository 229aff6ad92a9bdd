//! Blocks, and what goes wrong around them.

use std::collections::BTreeMap;
use std::time::Duration;

use quittance_facilitator::chain::Obstacle;

use crate::base::{Base, Terms};
use crate::plan::Net;
use crate::stats::Fault;
use crate::world::{Fact, Handle, World};

/// Pause between two decisions of the weather.
const CHAOS_MS: u64 = 1_000;

/// A base fee that falls again soon.
const HIGH_FEE: u64 = 50;

/// How often an endpoint of Solana loses its history for a while.
const NO_HISTORY_PER_MILLE: u64 = 40;

/// Blocks, for ever.
pub(crate) async fn mine(world: Handle) {
    while !world.with(|w| w.over) {
        let block_ms = world.with(|w| w.plan.block_ms);
        tokio::time::sleep(Duration::from_millis(block_ms)).await;
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
        let closed = self.obstacle(Net::Base).is_some();
        let terms = |key: usize| {
            let terms = terms.get(key).copied().unwrap_or(broken);
            if closed { Terms { broke_ms: Some((0, u64::MAX)), flickers: false, ..terms } } else { terms }
        };
        let starved = self.base.starved;
        self.base.mine(now, omit, &mut self.random, terms, covers);
        self.note_batches(self.base.starved.saturating_sub(starved));
        if waiting > 0 {
            let (head, left) = (self.base.head(), self.base.pool.len());
            self.note(54, left as u64);
            self.say(|| format!("base: block {head}, {left} of {waiting} transactions still wait"));
        }
    }

    /// Counts what went wrong within transactions for several in the newest block.
    fn note_batches(&mut self, starved: u64) {
        let head = self.base.head();
        let failed =
            self.base.ours().filter(|i| i.block == head && i.payments > 1 && i.status && !i.effective);
        let failed = failed.count();
        (0..failed).for_each(|_| self.report.count(Fault::FailedInBatch));
        (0..starved).for_each(|_| self.report.count(Fault::BatchStarved));
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
        self.endpoint_weather();
        if self.fault(w.ledger_down, Fault::LedgerDown) {
            self.ledger_down_until = now.saturating_add(self.random.range(200, 6_000));
        }
        self.closing_weather();
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
            let ours = undone.iter().filter(|tx| tx.nonce.is_some()).map(|tx| tx.id);
            self.audit.undone.extend(ours);
            let payers = undone.iter().filter_map(|tx| self.facts.get(tx.key)).map(|fact| fact.payer);
            self.audit.given_back.extend(payers);
            let undone = undone.len();
            if undone > 0 {
                self.report.count(Fault::Reorganisation);
                self.audit.reorganised = true;
            }
            self.say(|| format!("base: reorganisation of {depth} blocks, {undone} transactions undone"));
        }
        self.fee_weather();
    }

    fn fee_weather(&mut self) {
        let (w, now) = (self.plan.weather, self.now());
        if self.plateau_until > now {
            return;
        }
        if self.base.base_fee > HIGH_FEE {
            if self.random.chance(100) {
                self.base.base_fee = self.random.range(8, 20);
            }
        } else if self.fault(w.fee_spike, Fault::FeeSpike) {
            self.base.base_fee = self.random.range(60, 300);
        } else if self.fault(w.fee_plateau, Fault::FeePlateau) {
            // Above what was signed for before, below what may be signed for now.
            self.base.base_fee = self.random.range(22, HIGH_FEE + 20);
            self.plateau_until = now.saturating_add(self.random.range(20_000, 90_000));
        }
    }

    /// What makes every payment fail for a while: an empty wallet, a token or a
    /// recipient that takes nothing.
    fn closing_weather(&mut self) {
        let (w, now) = (self.plan.weather, self.now());
        for net in [Net::Base, Net::Solana] {
            if !self.is_empty(net, 0) && self.fault(w.wallet_empty / 2, Fault::WalletEmpty) {
                let until = now.saturating_add(self.random.range(2_000, 40_000));
                self.empty_until.insert((net, 0), until);
            }
            self.purse_weather(net);
            if self.obstacle(net).is_none() && self.fault(w.obstacle, Fault::PayoutClosed) {
                let obstacle = match (net, self.random.chance(500)) {
                    (Net::Base, true) => Obstacle::TokenPaused,
                    (Net::Base, false) => Obstacle::PayToBlacklisted,
                    (Net::Solana, true) => Obstacle::PayToClosed,
                    (Net::Solana, false) => Obstacle::PayToFrozen,
                };
                let until = now.saturating_add(self.random.range(5_000, 60_000));
                self.obstacles.insert(net, (until, obstacle));
            }
        }
    }

    /// Where there are several wallets: each of them may hold little for a while, and the others
    /// than the first nothing.
    fn purse_weather(&mut self, net: Net) {
        if self.plan.wallets < 2 || self.calm {
            return;
        }
        let (chance, now) = (self.plan.weather.wallet_empty, self.now());
        for wallet in 0..self.plan.wallets {
            if !self.is_low(net, wallet) && self.purse_dice.chance(chance) {
                self.report.count(Fault::WalletLow);
                let until = now.saturating_add(self.purse_dice.range(5_000, 60_000));
                self.low_until.insert((net, wallet), until);
            }
            if wallet > 0 && !self.is_empty(net, wallet) && self.purse_dice.chance(chance / 2) {
                self.report.count(Fault::WalletEmpty);
                let until = now.saturating_add(self.purse_dice.range(2_000, 40_000));
                self.empty_until.insert((net, wallet), until);
            }
        }
    }

    /// Whether a wallet of ours cannot pay for a transaction now.
    pub(crate) fn is_empty(&self, net: Net, wallet: usize) -> bool {
        self.empty_until.get(&(net, wallet)).is_some_and(|until| *until > self.now())
    }

    /// Whether it holds little, or nothing.
    pub(crate) fn is_low(&self, net: Net, wallet: usize) -> bool {
        let low = self.low_until.get(&(net, wallet)).is_some_and(|until| *until > self.now());
        low || self.is_empty(net, wallet)
    }

    /// What makes every payment fail now.
    pub(crate) fn obstacle(&self, net: Net) -> Option<Obstacle> {
        let now = self.now();
        self.obstacles.get(&net).filter(|(until, _)| *until > now).map(|(_, obstacle)| *obstacle)
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
        self.empty_until.clear();
        self.low_until.clear();
        self.obstacles.clear();
        self.frozen.clear();
        self.plateau_until = 0;
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
