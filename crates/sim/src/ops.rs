//! Operations that leave a process: ledger commits and RPC calls, with all that
//! may happen to them on the way there and back.

use quittance_facilitator::engine::Verdict;
use quittance_protocol::SendOutcome;

use crate::base::{Act, Tx};
use crate::canary::Canary;
use crate::ledger::{LedgerFault, Owner, Start, State};
use crate::plan::{Broadcast, Net};
use crate::stats::{Fault, Kind};
use crate::world::{What, World};

/// The operator's fee cap (I8).
pub(crate) const FEE_CAP: u64 = 100;

/// Runs that a payment may buy.
pub(crate) const RUNS_MAX: u32 = 3;

/// Solana transactions are named by their payment.
pub(crate) const SOLANA_TX: u32 = 1_000_000;

/// See [`SOLANA_TX`].
pub(crate) fn solana_tx(key: usize) -> u32 {
    SOLANA_TX.saturating_add(u32::try_from(key).unwrap_or(0))
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Driver(usize),
    Request(usize),
    Nobody,
}

impl Who {
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::Driver(d) => (d as u64) << 1,
            Self::Request(r) => (r as u64) << 1 | 1,
            Self::Nobody => u64::MAX,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Claim { key: usize, fingerprint: u64, identifier: Option<u64> },
    Record { row: usize, from: State },
    Verdict { row: usize, verdict: Verdict },
    Start { row: usize },
    End { row: usize, run: u32, delivered: bool },
    Check { key: usize },
}

impl Op {
    pub(crate) fn code(&self) -> u64 {
        let (tag, id) = match self {
            Self::Claim { key, .. } => (1, *key),
            Self::Record { row, .. } => (2, *row),
            Self::Verdict { row, .. } => (3, *row),
            Self::Start { row } => (4, *row),
            Self::End { row, .. } => (5, *row),
            Self::Check { key } => (7, *key),
        };
        (tag << 32) | id as u64
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Won(usize),
    Exists(usize),
    Recorded,
    NotSigned { retry: bool, reason: &'static str },
    Done,
    Started(Start),
    Fault(LedgerFault),
    Sent(SendOutcome),
    Checked(Checked),
}

/// What the chain says about a payment that is not settled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Good,
    No,
    Unreachable,
}

fn unknown(reason: &str) -> SendOutcome {
    SendOutcome::Unknown { reason: reason.to_owned() }
}

impl World {
    /// A ledger commit leaves the process.
    pub(crate) fn commit(&mut self, p: usize, who: Who, op: Op) {
        let process = &self.processes[p];
        let (life, Some(by)) = (process.life, process.me) else { return };
        if self.now > process.lease_until_ms {
            return self.after(1, What::Reply { p, life, who, reply: Reply::Fault(LedgerFault::LeaseLost) });
        }
        if self.ledger_down_until > self.now {
            let wait = self.random.range(100, 3_000);
            return self
                .after(wait, What::Reply { p, life, who, reply: Reply::Fault(LedgerFault::Unreachable) });
        }
        let slow = self.fault(self.plan.weather.slow / 4, Fault::Slow);
        let way = if slow { self.random.range(100, 4_000) } else { self.random.range(1, 15) };
        let unknown = self.fault(self.plan.weather.commit_unknown, Fault::CommitUnknown);
        if unknown {
            let wait = self.random.range(200, 4_000);
            let reply = Reply::Fault(LedgerFault::CommitUnknown);
            self.after(way.saturating_add(wait), What::Reply { p, life, who, reply });
        }
        // Half of those whose answer is lost were committed.
        if !unknown || self.random.chance(500) {
            self.after(way, What::Arrive { p, life, by, who, op, answered: !unknown });
        }
    }

    /// A read of the ledger; `false` when it does not answer.
    pub(crate) fn can_read(&mut self) -> bool {
        self.ledger_down_until <= self.now
    }

    /// The operation takes place, whether or not its process still lives.
    pub(crate) fn arrive(&mut self, of: (usize, u32), by: Owner, who: Who, op: Op, answered: bool) {
        let dead = !self.processes[of.0].alive || self.processes[of.0].life != of.1;
        // A shared database finishes what a dead process asked for; an embedded one dies with it.
        if dead && !self.shared() && !matches!(op, Op::Check { .. }) {
            return;
        }
        let reply = match op {
            Op::Claim { key, fingerprint, identifier } => {
                match self.ledger.claim(key, (fingerprint, identifier), by, self.now) {
                    Ok(row) => Reply::Won(row),
                    Err(row) => Reply::Exists(row),
                }
            }
            Op::Record { row, from } => self.commit_record(row, from, by),
            Op::Verdict { row, verdict } => {
                self.audit_verdict(row, &verdict);
                done(self.ledger.verdict(row, &verdict, by, self.now))
            }
            Op::Start { row } => match self.ledger.start_delivery(row, RUNS_MAX, by) {
                Ok(start) => Reply::Started(start),
                Err(fault) => Reply::Fault(fault),
            },
            Op::End { row, run, delivered } => done(self.ledger.end_run(row, run, delivered, by)),
            Op::Check { key } => Reply::Checked(self.check_chain(key)),
        };
        if answered {
            let back = self.random.range(1, 10);
            self.after(back, What::Reply { p: of.0, life: of.1, who, reply });
        }
    }

    fn commit_record(&mut self, row: usize, from: State, by: Owner) -> Reply {
        let (key, state, owner) = {
            let payment = &self.ledger.payments[row];
            (payment.key, payment.state, payment.owner)
        };
        let fact = self.facts[key];
        let reckless = self.plan.canary == Some(Canary::NoFeeCap);
        if state == from && owner == by {
            if fact.unsignable {
                return Reply::NotSigned { retry: false, reason: "the cost bound is not covered" };
            }
            if fact.net == Net::Base && self.base.base_fee > FEE_CAP && !reckless {
                return Reply::NotSigned { retry: true, reason: "fees are above the cap" };
            }
        }
        let wanted = self.base.base_fee.saturating_mul(2);
        let fee_cap = if reckless { wanted } else { wanted.min(FEE_CAP) };
        let next = self.next_tx;
        let recorded = self.ledger.record(row, from, fact.net == Net::Base, by, |nonce| match nonce {
            Some(_) => (next, fee_cap),
            None => (solana_tx(key), fee_cap),
        });
        match recorded {
            Ok(_) => {
                self.next_tx = self.next_tx.saturating_add(1);
                Reply::Recorded
            }
            Err(fault) => Reply::Fault(fault),
        }
    }

    /// The check before a claim, and before a claim that was found again is signed.
    pub(crate) fn ask_chain(&mut self, p: usize, who: Who, key: usize) {
        let (life, Some(by)) = (self.processes[p].life, self.processes[p].me) else { return };
        let net = self.facts[key].net;
        let way = self.random.range(5, 60);
        let lost =
            self.endpoint(net).is_none() || self.fault(self.plan.weather.request_lost, Fault::RequestLost);
        if lost {
            let reply = Reply::Checked(Checked::Unreachable);
            return self.after(way.saturating_add(2_000), What::Reply { p, life, who, reply });
        }
        self.after(way, What::Arrive { p, life, by, who, op: Op::Check { key }, answered: true });
    }

    fn check_chain(&mut self, key: usize) -> Checked {
        let fact = self.facts[key];
        let good = match fact.net {
            Net::Base => {
                let head = self.base.head().saturating_sub(self.lag(Net::Base));
                let time = self.base.time_ms(head);
                self.base.used(key, head).is_none()
                    && time < fact.terms.valid_before_ms
                    && !fact.terms.broke(time)
            }
            Net::Solana => {
                let slot = crate::solana::slot(self.now);
                slot <= fact.last_valid_slot && !fact.terms.broke(self.now)
            }
        };
        if good { Checked::Good } else { Checked::No }
    }

    /// An endpoint that answers, if any.
    pub(crate) fn endpoint(&self, net: Net) -> Option<usize> {
        let up = |at: &usize| self.down_until.get(&(net, *at)).is_none_or(|until| *until <= self.now);
        (0..self.plan.endpoints).find(up)
    }

    /// How many blocks or slots an endpoint is behind now.
    pub(crate) fn lag(&mut self, net: Net) -> u64 {
        if !self.fault(self.plan.weather.stale_head, Fault::StaleHead) {
            return 0;
        }
        match net {
            Net::Base => self.random.range(1, 4),
            Net::Solana => self.random.range(1, 20),
        }
    }

    /// Durable bytes go to every endpoint; the answers are joined as the chain
    /// crates join them (I3).
    pub(crate) fn broadcast(&mut self, p: usize, who: Who, attempt: usize) {
        let life = self.processes[p].life;
        let Some(durable) = self.ledger.attempts.get(attempt).cloned() else {
            return self
                .audit
                .violation("I2", format!("attempt {attempt} was sent and is not in the ledger"));
        };
        let key = self.ledger.payments[durable.payment].key;
        let tx = Tx {
            id: durable.transaction,
            key,
            act: Act::Pay,
            nonce: durable.nonce,
            fee_cap: durable.fee_cap,
            wrapped: false,
        };
        let mut joined: Option<SendOutcome> = None;
        for at in 0..self.plan.endpoints {
            let outcome = self.hand_over(at, tx);
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
        self.report.sends[kind as usize] = self.report.sends[kind as usize].saturating_add(1);
        if matches!(who, Who::Driver(_)) {
            self.last_send.insert(key, kind);
        }
        let slow = self.fault(self.plan.weather.slow, Fault::Slow);
        let back = if slow { self.random.range(500, 8_000) } else { self.random.range(10, 150) };
        self.after(back, What::Reply { p, life, who, reply: Reply::Sent(outcome) });
    }

    fn hand_over(&mut self, at: usize, tx: Tx) -> SendOutcome {
        let net = self.facts[tx.key].net;
        if self.down_until.get(&(net, at)).is_some_and(|until| *until > self.now) {
            return unknown("connection refused");
        }
        if self.wallet_empty_until > self.now && !self.known(tx) {
            return SendOutcome::Refused { reason: "insufficient funds for gas * price + value".to_owned() };
        }
        match self.fate_of_bytes() {
            Broadcast::RequestLost => unknown("timeout"),
            Broadcast::FalselyKnown => unknown("already known"),
            Broadcast::FalselyTaken => SendOutcome::Accepted,
            Broadcast::Refused => SendOutcome::Refused { reason: "insufficient funds".to_owned() },
            Broadcast::AnswerLost => {
                self.node_takes(tx);
                unknown("timeout")
            }
            Broadcast::TakenThenError => {
                self.node_takes(tx);
                unknown("internal error")
            }
            Broadcast::Taken if self.known(tx) => unknown("already known"),
            Broadcast::Taken => {
                self.node_takes(tx);
                SendOutcome::Accepted
            }
        }
    }

    fn fate_of_bytes(&mut self) -> Broadcast {
        if let Some(forced) = self.plan.forced {
            self.broadcasts = self.broadcasts.saturating_add(1);
            return if self.broadcasts == 1 { forced.broadcast } else { Broadcast::Taken };
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
        match self.facts[tx.key].net {
            Net::Base => {
                let head = self.base.head();
                let gone = tx.nonce.is_some_and(|nonce| nonce < self.base.nonces_used(head));
                gone || self.base.pool.contains(&tx)
            }
            Net::Solana => self.solana.status(tx.key, crate::solana::slot(self.now)).is_some(),
        }
    }

    /// Bytes spread through the network: late, out of order, more than once.
    fn node_takes(&mut self, tx: Tx) {
        let copies = if self.fault(self.plan.weather.twice, Fault::Duplicated) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.fault(self.plan.weather.slow, Fault::Reordered);
            let way = if late { self.random.range(500, 6_000) } else { self.random.range(5, 300) };
            match self.facts[tx.key].net {
                Net::Base => self.after(way, What::BaseGets { tx }),
                Net::Solana => self.after(way.saturating_add(400), What::SolanaGets { key: tx.key }),
            }
        }
    }

    /// Bytes that are not recorded yet; only a canary does this.
    pub(crate) fn leak(&mut self, row: usize) {
        let key = self.ledger.payments[row].key;
        let nonce = (self.facts[key].net == Net::Base).then_some(self.ledger.next_nonce);
        let fee_cap = self.base.base_fee.saturating_mul(2).min(FEE_CAP);
        self.node_takes(Tx { id: self.next_tx, key, act: Act::Pay, nonce, fee_cap, wrapped: false });
    }
}

fn done(result: Result<(), LedgerFault>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(fault) => Reply::Fault(fault),
    }
}
