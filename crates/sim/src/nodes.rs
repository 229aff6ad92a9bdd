//! Nodes: what becomes of bytes that are handed to them.

use std::sync::Arc;

use quittance_protocol::{DurableAttempt, SendOutcome};

use crate::base::{Act, Tx};
use crate::plan::{Broadcast, Crash, Net};
use crate::solana::{BLOCKHASH_SLOTS, slot};
use crate::stats::{Fault, Kind};
use crate::world::link::{Link, RPC_TIMEOUT_MS};
use crate::world::{Handle, World};

/// Solana transactions are named by their payment.
const SOLANA_TX: u32 = 1_000_000;

/// See [`SOLANA_TX`].
pub(crate) fn solana_tx(key: usize) -> u32 {
    SOLANA_TX.saturating_add(u32::try_from(key).unwrap_or(0))
}

fn unknown(reason: &str) -> SendOutcome {
    SendOutcome::Unknown { reason: reason.to_owned() }
}

/// The bytes of a transaction of ours: everything a node needs to know of it.
pub(crate) fn encode(tx: Tx) -> Vec<u8> {
    let mut raw = Vec::with_capacity(32);
    raw.extend_from_slice(&tx.id.to_be_bytes());
    raw.extend_from_slice(&(tx.key as u64).to_be_bytes());
    raw.extend_from_slice(&tx.nonce.unwrap_or(u64::MAX).to_be_bytes());
    raw.extend_from_slice(&tx.fee_cap.to_be_bytes());
    raw.push(u8::try_from(tx.wallet).unwrap_or(0));
    raw.push(u8::from(tx.act == Act::Empty));
    raw
}

pub(crate) fn decode(raw: &[u8]) -> Option<Tx> {
    let (id, rest) = raw.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_first_chunk::<8>()?;
    let (nonce, rest) = rest.split_first_chunk::<8>()?;
    let (fee_cap, rest) = rest.split_first_chunk::<8>()?;
    let nonce = u64::from_be_bytes(*nonce);
    Some(Tx {
        id: u32::from_be_bytes(*id),
        key: usize::try_from(u64::from_be_bytes(*key)).ok()?,
        act: if rest.get(1) == Some(&1) { Act::Empty } else { Act::Pay },
        nonce: (nonce != u64::MAX).then_some(nonce),
        wallet: rest.first().copied().map_or(0, usize::from),
        fee_cap: u64::from_be_bytes(*fee_cap),
        wrapped: false,
    })
}

/// Durable bytes go to every endpoint; the answers are joined as the chain
/// crates join them (I3).
pub(crate) async fn send(link: &Arc<Link>, attempt: &dyn DurableAttempt) -> SendOutcome {
    let world = &link.world;
    let Some(tx) = decode(attempt.raw_bytes()) else { return unknown("not a transaction") };
    if link.dies_at(Crash::BeforeSend, Some(tx.key)).await {
        std::future::pending::<()>().await;
    }
    let (outcome, back) = world.with(|w| {
        w.count_call(50, Some(tx.key));
        let outcome = w.broadcast(world, tx);
        let slow = w.fault(w.plan.weather.slow, Fault::Slow);
        let late = matches!(&outcome, SendOutcome::Unknown { reason } if reason == "timeout");
        let back = match (late, slow) {
            (true, _) => w.random.range(1_000, RPC_TIMEOUT_MS),
            (false, true) => w.random.range(500, 4_000),
            (false, false) => w.random.range(10, 150),
        };
        (outcome, back)
    });
    if link.dies_at(Crash::AfterSend, Some(tx.key)).await {
        std::future::pending::<()>().await;
    }
    world.sleep(back, back).await;
    link.alive().await;
    outcome
}

impl World {
    fn broadcast(&mut self, world: &Handle, tx: Tx) -> SendOutcome {
        let mut joined: Option<SendOutcome> = None;
        for at in 0..self.plan.endpoints {
            let outcome = self.hand_over(world, at, tx);
            joined = Some(match (joined, outcome) {
                (None, outcome) => outcome,
                (Some(SendOutcome::Accepted), _) | (_, SendOutcome::Accepted) => SendOutcome::Accepted,
                (Some(unknown @ SendOutcome::Unknown { .. }), _)
                | (_, unknown @ SendOutcome::Unknown { .. }) => unknown,
                (Some(refused), _) => refused,
            });
        }
        let outcome = joined.unwrap_or_else(|| unknown("no endpoint"));
        let kind = Kind::of(&outcome);
        self.say(|| format!("key {}: transaction {} sent, {outcome:?}", tx.key, tx.id));
        self.report.sends[kind as usize] = self.report.sends[kind as usize].saturating_add(1);
        for key in self.base.keys_of(tx) {
            self.last_send.insert(key, kind);
        }
        self.note(51, kind as u64);
        self.tell_change();
        outcome
    }

    fn net_of(&self, tx: Tx) -> Net {
        if tx.nonce.is_some() { Net::Base } else { Net::Solana }
    }

    fn hand_over(&mut self, world: &Handle, at: usize, tx: Tx) -> SendOutcome {
        let net = self.net_of(tx);
        if self.is_down(net, at) {
            return unknown("connection refused");
        }
        if self.is_empty(net, tx.wallet) && !self.known(tx) {
            return SendOutcome::Refused { reason: "insufficient funds for gas * price + value".to_owned() };
        }
        match self.fate_of_bytes(tx.key) {
            Broadcast::RequestLost => unknown("timeout"),
            Broadcast::FalselyKnown => unknown("already known"),
            Broadcast::FalselyTaken => SendOutcome::Accepted,
            Broadcast::Refused => SendOutcome::Refused { reason: "insufficient funds".to_owned() },
            Broadcast::AnswerLost => {
                self.node_takes(world, tx);
                unknown("timeout")
            }
            Broadcast::TakenThenError => {
                self.node_takes(world, tx);
                unknown("internal error")
            }
            // Some nodes say the hash again, as Solana's do.
            Broadcast::Taken if self.known(tx) && self.plan.aim.is_some_and(|aim| aim.echo) => {
                SendOutcome::Accepted
            }
            Broadcast::Taken if self.known(tx) => unknown("already known"),
            Broadcast::Taken => {
                self.node_takes(world, tx);
                SendOutcome::Accepted
            }
        }
    }

    fn fate_of_bytes(&mut self, key: usize) -> Broadcast {
        if let Some(forced) = self.plan.forced {
            self.broadcasts = self.broadcasts.saturating_add(1);
            return if self.broadcasts == 1 { forced.broadcast } else { Broadcast::Taken };
        }
        if let Some(fate) = self.plan.aim.and_then(|aim| aim.fate).filter(|_| key == 0 && !self.calm) {
            return fate;
        }
        let w = self.plan.weather;
        for (chance, fault, fate) in [
            (w.request_lost, Fault::RequestLost, Broadcast::RequestLost),
            (w.answer_lost, Fault::AnswerLost, Broadcast::AnswerLost),
            (w.taken_then_error, Fault::TakenThenError, Broadcast::TakenThenError),
            (w.falsely_known, Fault::FalselyKnown, Broadcast::FalselyKnown),
            (w.falsely_taken, Fault::FalselyTaken, Broadcast::FalselyTaken),
            (w.refused, Fault::Refused, Broadcast::Refused),
        ] {
            if self.fault(chance, fault) {
                return fate;
            }
        }
        Broadcast::Taken
    }

    fn known(&self, tx: Tx) -> bool {
        match self.net_of(tx) {
            Net::Base => {
                let gone =
                    tx.nonce.is_some_and(|nonce| nonce < self.base.nonces_used(tx.wallet, self.base.head()));
                gone || self.base.pool.contains(&tx)
            }
            Net::Solana => self.solana.status(tx.key, slot(self.now())).is_some(),
        }
    }

    /// Bytes spread through the network: late, out of order, more than once.
    pub(crate) fn node_takes(&mut self, world: &Handle, tx: Tx) {
        let copies = if self.fault(self.plan.weather.twice, Fault::Duplicated) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.fault(self.plan.weather.slow, Fault::Reordered);
            let way = if late { self.random.range(500, 6_000) } else { self.random.range(5, 300) };
            let world = world.clone();
            tokio::spawn(async move {
                world.sleep(way, way).await;
                world.with(|w| w.arrives(tx));
            });
        }
    }

    fn arrives(&mut self, tx: Tx) {
        self.note(52, u64::from(tx.id));
        self.audit_bytes(tx);
        if self.net_of(tx) == Net::Base {
            if self.replaces_in_pools(tx) {
                self.base.take(tx);
            }
            return;
        }
        let doomed = self.fault(self.plan.weather.doomed, Fault::ForkDropped);
        let Some(fact) = self.facts.get(tx.key) else { return };
        let (last_valid, now) = (fact.last_valid_slot, self.now());
        let short = self.balance_solana(tx.key, slot(now)) < fact.amount;
        let broke = fact.terms.broke(now) || short || self.obstacle(Net::Solana).is_some();
        let fresh = self.solana.status(tx.key, slot(now)).is_none();
        if short && fresh && !fact.terms.broke(now) && slot(now) <= last_valid {
            self.audit.uncovered.push(tx.key);
        }
        self.solana.execute(tx.key, last_valid, broke, doomed, now);
        if let Some(landed) = self.solana.status(tx.key, slot(now)).copied() {
            self.say(|| format!("solana: key {} executed, ok {}, doomed {doomed}", tx.key, landed.ok));
        }
    }

    /// Whether a node takes it beside what it has at the nonce: for a tenth more it drops the other
    /// one. Not all nodes have the same: some keep both, each by itself.
    fn replaces_in_pools(&mut self, tx: Tx) -> bool {
        let rivals: Vec<Tx> = self.base.rivals(&tx).copied().collect();
        let mut is_taken = true;
        for rival in rivals {
            let elsewhere = self.races.chance(300);
            if tx.fee_cap.saturating_mul(10) < rival.fee_cap.saturating_mul(11) {
                is_taken &= elsewhere;
            } else if !elsewhere {
                self.base.pool.retain(|one| one.id != rival.id);
            }
        }
        is_taken
    }

    /// When a payment signed now can no longer land on Solana.
    pub(crate) fn last_valid_slot(&self) -> u64 {
        slot(self.now()).saturating_add(BLOCKHASH_SLOTS)
    }
}
