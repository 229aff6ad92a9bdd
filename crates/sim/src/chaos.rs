//! The weather: payments, and what goes wrong around them.

use crate::base::{Act, Terms, Tx};
use crate::gate::Client;
use crate::plan::Net;
use crate::solana::{BLOCKHASH_SLOTS, slot};
use crate::stats::Fault;
use crate::world::{Fact, What, World};

/// Strangers' transactions are numbered from here.
const FOREIGN_TX: u32 = 2_000_000;

impl World {
    /// A payment, its copies, and its payer's tricks.
    pub(crate) fn new_payment(&mut self, at: u64, key: usize, probe: bool) {
        let net = match self.plan.forced {
            Some(forced) if !probe => forced.net,
            _ if probe => [Net::Base, Net::Solana][key % 2],
            _ => [Net::Base, Net::Base, Net::Solana][self.random.below(3) as usize],
        };
        let w = self.plan.weather;
        let valid_before_ms = at.saturating_add(self.random.range(25_000, 90_000));
        let broke_ms = self.fault(w.broke, Fault::Drained).then(|| {
            let from = at.saturating_add(self.random.range(50, 4_000));
            (from, from.saturating_add(self.random.range(2_000, 60_000)))
        });
        let flickers = self.random.chance(500);
        let valid_before_ms = if probe { at.saturating_add(120_000) } else { valid_before_ms };
        let identifier = (probe || self.random.chance(600)).then(|| (key as u64).saturating_add(77));
        let unsignable = self.fault(w.unsignable, Fault::NeverSignable);
        self.facts.push(Fact {
            net,
            terms: Terms { valid_before_ms, broke_ms, flickers },
            last_valid_slot: slot(at).saturating_add(BLOCKHASH_SLOTS),
            unsignable,
            probe,
        });
        self.copies(at, key, identifier);
        if net == Net::Base {
            self.strangers(at, key);
        }
        if self.fault(w.thief, Fault::Thief) {
            self.at(at.saturating_add(4_000), What::Thief { key, tries: 20 });
        }
    }

    fn copies(&mut self, at: u64, key: usize, identifier: Option<u64>) {
        let client = Client { key, fingerprint: 1, identifier, thief: false, open: true, last: false };
        self.add_client(at, client);
        if self.calm || self.plan.forced.is_some() {
            return;
        }
        for _ in 0..[0, 0, 1, 2, 4][self.random.below(5) as usize] {
            self.report.count(Fault::Copy);
            let spread = if self.random.chance(600) { 50 } else { 12_000 };
            let later = self.random.below(spread);
            self.add_client(at.saturating_add(later), client);
        }
        if self.fault(self.plan.weather.other_request, Fault::OtherRequest) {
            let later = self.random.below(6_000);
            self.add_client(at.saturating_add(later), Client { fingerprint: 2, ..client });
        }
    }

    /// Authorizations are public once seen: anybody may submit them, and the
    /// payer may cancel.
    fn strangers(&mut self, at: u64, key: usize) {
        let w = self.plan.weather;
        for (chance, fault, act, wrapped) in [
            (w.cancelled, Fault::Cancelled, Act::Cancel, false),
            (w.foreign, Fault::ForeignSubmission, Act::Pay, false),
            (w.foreign_failed, Fault::FailedWithin, Act::Nothing, true),
        ] {
            if self.fault(chance, fault) {
                let id = FOREIGN_TX.saturating_add(u32::try_from(self.facts.len() * 8).unwrap_or(0));
                let id = id.saturating_add(act as u32);
                let tx = Tx { id, key, act, nonce: None, fee_cap: u64::MAX, wrapped };
                let when = at.saturating_add(self.random.range(100, 12_000));
                self.at(when, What::BaseGets { tx });
            }
        }
    }

    /// Once a second.
    pub(crate) fn chaos(&mut self) {
        // What goes wrong while nothing is under way is no test.
        let busy = self.requests_under_way() || (0..self.ledger.payments.len()).any(|row| self.open(row));
        if self.plan.forced.is_some() || !busy {
            return;
        }
        let w = self.plan.weather;
        for p in 0..self.plan.processes {
            if self.processes[p].alive && self.random.chance(w.crash_any) {
                self.crash(p);
            } else if self.processes[p].alive && self.fault(w.pause, Fault::Paused) {
                let pause = self.random.range(1_000, 40_000);
                self.processes[p].paused_until_ms = self.now.saturating_add(pause);
            }
        }
        for net in [Net::Base, Net::Solana] {
            for at in 0..self.plan.endpoints {
                if self.fault(w.endpoint_down, Fault::EndpointDown) {
                    let until = self.now.saturating_add(self.random.range(1_000, 15_000));
                    self.down_until.insert((net, at), until);
                }
            }
        }
        if self.fault(w.ledger_down, Fault::LedgerDown) {
            self.ledger_down_until = self.now.saturating_add(self.random.range(200, 6_000));
        }
        if self.wallet_empty_until <= self.now && self.fault(w.wallet_empty, Fault::WalletEmpty) {
            self.wallet_empty_until = self.now.saturating_add(self.random.range(2_000, 20_000));
        }
        if self.lies_until <= self.now && self.fault(w.false_unused, Fault::FalselyUnused) {
            self.lies_until = self.now.saturating_add(self.random.range(10_000, 90_000));
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
}
