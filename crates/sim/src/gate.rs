//! The gate's way, mirrored from `facilitator::pay` and `actix::run`, with the
//! clients in front of it. Copies are not serialised by the single-flight turn
//! of the real gate: more of them race for the claim here.

use crate::canary::Canary;
use crate::driver::Driver;
use crate::ledger::{Delivery, LedgerFault, Start, State};
use crate::ops::{Checked, Op, Reply, Who};
use crate::plan::{Crash, Net};
use crate::solana::slot;
use crate::stats::Fault;
use crate::world::{What, World};

/// As `gate.pending_wait_seconds`.
const PENDING_WAIT_MS: u64 = 10_000;

/// As the gate's `REREAD_PAUSE`.
const REREAD_MS: u64 = 500;

/// As `gate.replay_seconds`.
const REPLAY_MS: u64 = 120_000;

/// Somebody who sends a payment, again and again until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) key: usize,
    pub(crate) fingerprint: u64,
    pub(crate) identifier: Option<u64>,
    pub(crate) thief: bool,
    /// Still without an answer that ends it.
    pub(crate) open: bool,
    /// The visit after everything: a settled payment must buy something now.
    pub(crate) last: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    client: usize,
    p: usize,
    row: Option<usize>,
    until_ms: u64,
    reread_at: u64,
    stage: Stage,
    over: bool,
    /// The client hung up; the work goes on.
    gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Checking,
    Claiming,
    Waiting,
    Starting,
    Running(u32),
    Ending { run: u32, delivered: bool, failed: bool },
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A fresh answer of the handler.
    Served,
    /// The stored one.
    Replayed,
    /// 5xx: the payment is a credit.
    Failed,
    /// 503, `settlement_pending`.
    Pending,
    /// 402 with a fresh offer.
    Refused,
    /// 409: another request, or no longer shown.
    Conflict,
    /// 409: no more runs.
    Exhausted,
    /// 503: ledger or chain unreachable.
    Unavailable,
}

impl World {
    pub(crate) fn requests_over(&self) -> bool {
        self.clients.iter().all(|client| !client.open)
    }

    pub(crate) fn requests_under_way(&self) -> bool {
        self.requests.iter().any(|request| !request.over)
    }

    pub(crate) fn add_client(&mut self, at: u64, client: Client) {
        self.clients.push(client);
        let client = self.clients.len().saturating_sub(1);
        self.at(at, What::Ask { client });
    }

    /// A copy arrives at some process.
    pub(crate) fn ask(&mut self, client: usize) {
        let Client { key, open, .. } = self.clients[client];
        if !open {
            return;
        }
        let p = self.random.below(self.plan.processes as u64) as usize;
        let process = &self.processes[p];
        if !process.alive || process.paused_until_ms > self.now {
            return self.again(client);
        }
        let life = process.life;
        let request = Request {
            client,
            p,
            row: None,
            until_ms: self.now.saturating_add(PENDING_WAIT_MS),
            reread_at: 0,
            stage: Stage::Checking,
            over: false,
            gone: false,
        };
        self.requests.push(request);
        let r = self.requests.len().saturating_sub(1);
        if self.fault(self.plan.weather.hang_up, Fault::HangUp) {
            self.requests[r].gone = true;
            self.again(client);
        }
        if !self.can_read() {
            return self.answer(r, Answer::Unavailable);
        }
        match self.ledger.by_key(key) {
            Some(row) => self.answer_known(r, row),
            None => {
                let who = Who::Request(r);
                // What needs no chain: the window of the authorization.
                if self.facts[key].net == Net::Base && self.now >= self.facts[key].terms.valid_before_ms {
                    return self.after(1, What::Reply { p, life, who, reply: Reply::Checked(Checked::No) });
                }
                self.ask_chain(p, who, key);
            }
        }
    }

    fn again(&mut self, client: usize) {
        let pause = self.random.range(1_000, 5_000);
        self.after(pause, What::Ask { client });
    }

    pub(crate) fn request_reply(&mut self, p: usize, r: usize, reply: Reply) {
        let request = self.requests[r].clone();
        if request.over {
            return;
        }
        let Client { key, fingerprint, identifier, .. } = self.clients[request.client];
        match (request.stage, reply) {
            (Stage::Checking, Reply::Checked(Checked::Unreachable)) => self.answer(r, Answer::Unavailable),
            (Stage::Checking, Reply::Checked(Checked::No)) => self.answer(r, Answer::Refused),
            (Stage::Checking, Reply::Checked(Checked::Good)) => {
                if self.crash_point(p, Crash::BeforeClaim, key) {
                    return;
                }
                self.requests[r].stage = Stage::Claiming;
                self.commit(p, Who::Request(r), Op::Claim { key, fingerprint, identifier });
            }
            (Stage::Claiming, reply) => self.claimed(p, r, reply),
            (Stage::Starting, reply) => self.started(p, r, reply),
            (Stage::Ending { run, delivered, failed }, reply) => {
                self.run_ended(r, (run, delivered, failed), reply)
            }
            (stage, reply) => self.audit.violation("simulator", format!("{reply:?} while {stage:?}")),
        }
    }

    fn claimed(&mut self, p: usize, r: usize, reply: Reply) {
        let key = self.clients[self.requests[r].client].key;
        let mine = match reply {
            Reply::Won(row) => Some((row, true)),
            Reply::Exists(row) => Some((row, false)),
            // The answer was lost: a claim of this very request is ours to drive.
            Reply::Fault(LedgerFault::CommitUnknown) if self.can_read() => {
                self.ledger.by_key(key).map(|row| {
                    let driven =
                        self.processes.iter().any(|process| process.drivers.iter().any(|d| d.row == row));
                    (row, self.ledger.payments[row].owner.process == p && !driven)
                })
            }
            Reply::Fault(LedgerFault::CommitUnknown) => {
                // As the real gate: it gives up, and if the claim is there nobody works on it.
                self.audit.orphaned.push(key);
                None
            }
            _ => None,
        };
        let Some((row, won)) = mine else { return self.answer(r, Answer::Unavailable) };
        if self.crash_point(p, Crash::AfterClaim, key) {
            return;
        }
        if won {
            self.add_driver(p, Driver::claimed(row, key));
        }
        self.answer_known(r, row);
    }

    fn answer_known(&mut self, r: usize, row: usize) {
        let client = self.clients[self.requests[r].client];
        self.requests[r].row = Some(row);
        self.requests[r].stage = Stage::Waiting;
        if self.ledger.payments[row].fingerprint != client.fingerprint {
            return self.answer(r, Answer::Conflict);
        }
        let p = self.requests[r].p;
        self.reread(p, r);
    }

    /// Looks once; waits on if there is nothing to say yet.
    pub(crate) fn reread(&mut self, p: usize, r: usize) {
        let request = &self.requests[r];
        let (Some(row), false, Stage::Waiting) = (request.row, request.over, request.stage) else { return };
        if self.can_read() && self.answer_now(p, r, row) {
            return;
        }
        if self.now >= self.requests[r].until_ms {
            return self.answer(r, Answer::Pending);
        }
        if self.requests[r].reread_at <= self.now {
            self.requests[r].reread_at = self.now.saturating_add(REREAD_MS);
            let life = self.processes[p].life;
            self.after(REREAD_MS, What::Reread { p, life, r });
        }
    }

    pub(crate) fn announce(&mut self, p: usize, row: usize) {
        let life = self.processes[p].life;
        let waits = |request: &Request| request.p == p && request.row == Some(row) && !request.over;
        let waiting: Vec<usize> = (0..self.requests.len()).filter(|r| waits(&self.requests[*r])).collect();
        for r in waiting {
            self.after(0, What::Reread { p, life, r });
        }
    }

    fn answer_now(&mut self, p: usize, r: usize, row: usize) -> bool {
        let (state, delivery, key) = {
            let payment = &self.ledger.payments[row];
            (payment.state, payment.delivery, payment.key)
        };
        match state {
            State::Claimed | State::Recorded => {
                let impatient = self.plan.canary == Some(Canary::OfferWhilePending);
                if impatient && self.now.saturating_add(PENDING_WAIT_MS / 2) >= self.requests[r].until_ms {
                    self.answer(r, Answer::Refused);
                    return true;
                }
                false
            }
            State::Refused | State::Expired => {
                self.answer(r, Answer::Refused);
                true
            }
            State::Settled if !self.may_see(r, row) => {
                self.answer(r, Answer::Conflict);
                true
            }
            State::Settled
                if delivery == Delivery::Running && self.plan.canary != Some(Canary::DoubleRun) =>
            {
                false
            }
            State::Settled => {
                if !self.crash_point(p, Crash::BeforeDelivery, key) {
                    self.requests[r].stage = Stage::Starting;
                    self.commit(p, Who::Request(r), Op::Start { row });
                }
                true
            }
        }
    }

    /// Landed bytes are public: they prove payment, not identity.
    fn may_see(&self, r: usize, row: usize) -> bool {
        let payment = &self.ledger.payments[row];
        let shown = self.clients[self.requests[r].client].identifier;
        match payment.identifier {
            Some(identifier) => shown == Some(identifier),
            None => payment.answered_ms.is_none_or(|at| self.now.saturating_sub(at) <= REPLAY_MS),
        }
    }

    fn started(&mut self, p: usize, r: usize, reply: Reply) {
        let Some(row) = self.requests[r].row else { return };
        let key = self.ledger.payments[row].key;
        if self.crash_point(p, Crash::AfterDeliveryStarted, key) {
            return;
        }
        match reply {
            Reply::Started(Start::Run(run)) => {
                self.requests[r].stage = Stage::Running(run);
                self.audit_run_begins(p, row, run);
                let life = self.processes[p].life;
                let works = self.random.range(100, 4_000);
                self.after(works, What::HandlerDone { p, life, r });
            }
            Reply::Started(Start::Running) => {
                self.requests[r].stage = Stage::Waiting;
                self.requests[r].reread_at = 0;
                self.reread(p, r);
            }
            Reply::Started(Start::Delivered) => {
                self.ledger.mark_answered(row, self.now);
                self.answer(r, Answer::Replayed);
            }
            Reply::Started(Start::Exhausted(_)) => self.answer(r, Answer::Exhausted),
            _ => self.answer(r, Answer::Unavailable),
        }
    }

    pub(crate) fn handler_done(&mut self, p: usize, r: usize) {
        let (Some(row), Stage::Running(run)) = (self.requests[r].row, self.requests[r].stage) else { return };
        let key = self.ledger.payments[row].key;
        if self.crash_point(p, Crash::DuringHandler, key) {
            return;
        }
        self.audit.runs.retain(|other| !(other.process == p && other.row == row && other.run == run));
        let failed = self.fault(self.plan.weather.handler_fails, Fault::HandlerFailed);
        if self.crash_point(p, Crash::BeforeDelivered, key) {
            return;
        }
        self.requests[r].stage = Stage::Ending { run, delivered: !failed, failed };
        self.commit(p, Who::Request(r), Op::End { row, run, delivered: !failed });
    }

    /// Durable before it is released; what cannot be stored becomes a credit.
    fn run_ended(&mut self, r: usize, ending: (u32, bool, bool), reply: Reply) {
        let (run, delivered, failed) = ending;
        let (p, Some(row)) = (self.requests[r].p, self.requests[r].row) else { return };
        let key = self.ledger.payments[row].key;
        if self.crash_point(p, Crash::AfterDelivered, key) {
            return;
        }
        self.announce(p, row);
        match (reply, delivered) {
            (Reply::Done, true) => {
                self.answer(r, Answer::Served);
                if !self.requests[r].gone {
                    self.ledger.mark_answered(row, self.now);
                }
            }
            (_, true) => {
                self.requests[r].stage = Stage::Ending { run, delivered: false, failed };
                self.commit(p, Who::Request(r), Op::End { row, run, delivered: false });
            }
            (_, false) => self.answer(r, Answer::Failed),
        }
    }

    /// The connections of a process that died.
    pub(crate) fn disconnect(&mut self, p: usize) {
        let lost = |request: &Request| request.p == p && !request.over;
        let lost: Vec<usize> = (0..self.requests.len()).filter(|r| lost(&self.requests[*r])).collect();
        for r in lost {
            self.requests[r].over = true;
            if !self.requests[r].gone {
                self.again(self.requests[r].client);
            }
        }
    }

    fn answer(&mut self, r: usize, answer: Answer) {
        let Request { client, row, gone, .. } = self.requests[r].clone();
        self.requests[r].over = true;
        self.say(|| format!("client {client}: {answer:?}{}", if gone { " (gone)" } else { "" }));
        self.audit_answer(client, row, answer);
        if gone {
            return;
        }
        match answer {
            Answer::Pending | Answer::Unavailable | Answer::Failed => self.again(client),
            _ => self.clients[client].open = false,
        }
    }

    /// Comes once more when all is over, as the one who made the claim.
    pub(crate) fn last_visit(&mut self, key: usize, at: u64) {
        let Some(row) = self.ledger.by_key(key) else { return };
        let payment = &self.ledger.payments[row];
        let (fingerprint, identifier) = (payment.fingerprint, payment.identifier);
        self.add_client(at, Client { key, fingerprint, identifier, thief: false, open: true, last: true });
    }

    /// Reads the chain and replays what landed, without the identifier.
    pub(crate) fn thief(&mut self, key: usize, tries: u32) {
        let landed = match self.facts[key].net {
            Net::Base => self.base.used(key, self.base.head()).is_some(),
            Net::Solana => self.solana.status(key, slot(self.now)).is_some(),
        };
        if landed {
            let thief =
                Client { key, fingerprint: 1, identifier: None, thief: true, open: true, last: false };
            self.add_client(self.now, thief);
        } else if tries > 0 && !self.calm {
            self.after(3_000, What::Thief { key, tries: tries.saturating_sub(1) });
        }
    }
}
