//! The ledger as the engine's drivers see it, in memory.
//!
//! Only what a commit makes durable lives here, and a crash never touches it.
//! Each operation is one commit of the real ledger, with its guard:
//! `UNIQUE(payment_key)`, `WHERE state IN (…)`, owner and epoch. `tests/ledger.rs`
//! runs random operations against this and against the real ledger on SQLite.

use quittance_facilitator::engine::Verdict;
use quittance_protocol::Evidence;

use crate::canary::Canary;

/// `claimed → recorded → settled | refused | expired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Won, nothing signed.
    Claimed,
    /// Bytes and hash are durable.
    Recorded,
    /// The money moved.
    Settled,
    /// It never will.
    Refused,
    /// The deadline is finalized.
    Expired,
}

impl State {
    /// Whether it is a verdict.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Claimed | Self::Recorded)
    }

    /// As the ledger writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Recorded => "recorded",
            Self::Settled => "settled",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// `none → running → delivered | credited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// No run yet.
    None,
    /// A handler runs, or its process died.
    Running,
    /// An answer is stored.
    Delivered,
    /// A run failed; another may be had.
    Credited,
}

/// An instance's name and life; what it writes must still be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which process.
    pub process: usize,
    /// Which life of it, as the ledger counts.
    pub epoch: u32,
}

/// Signed bytes that are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which payment it pays.
    pub payment: usize,
    /// Wallet nonce, on Base.
    pub nonce: Option<u64>,
    /// Stands for bytes and hash.
    pub transaction: u32,
    /// What it may pay per gas.
    pub fee_cap: u64,
}

/// A row of `payments`.
#[derive(Clone, Debug)]
pub struct Payment {
    /// What makes copies the same payment; unique.
    pub key: usize,
    /// The request it was claimed for.
    pub fingerprint: u64,
    /// Hash of the identifier shown with the claim.
    pub identifier: Option<u64>,
    /// Settlement.
    pub state: State,
    /// What it bought.
    pub delivery: Delivery,
    /// Runs granted.
    pub runs: u32,
    /// Who works on the settlement.
    pub owner: Owner,
    /// Who runs the handler.
    pub runner: Option<Owner>,
    /// When the first complete answer left.
    pub answered_ms: Option<u64>,
    /// When it was claimed.
    pub claimed_ms: u64,
    /// When the verdict was committed, and what it was.
    pub verdict: Option<(u64, Verdict)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    pub(crate) epoch: u32,
    pub(crate) lease_until_ms: u64,
}

/// Why nothing was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerFault {
    /// The row is not in the state that the step needs; where it is instead.
    Transition(State),
    /// The delivery is elsewhere, or another run.
    Delivery(Delivery),
    /// Another process owns the payment by now.
    NotOwner,
    /// This instance's lease has passed.
    LeaseLost,
    /// The database did not answer; nothing was written.
    Unreachable,
    /// The database did not answer; it may have been written.
    CommitUnknown,
}

/// What asking for a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Run the handler.
    Run(u32),
    /// Somebody does.
    Running,
    /// The stored answer.
    Delivered,
    /// No more runs.
    Exhausted(u32),
}

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Rows, in the order of their claims.
    pub payments: Vec<Payment>,
    /// Attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The wallet's counter.
    pub next_nonce: u64,
    pub(crate) instances: Vec<Instance>,
    /// Writes to rows that were final already: always a defect (I6).
    pub(crate) rewritten: u64,
    /// Answers stored per payment.
    pub(crate) answers: Vec<u32>,
    pub(crate) canary: Option<Canary>,
}

impl Ledger {
    /// The row with this key.
    pub fn by_key(&self, key: usize) -> Option<usize> {
        self.payments.iter().position(|payment| payment.key == key)
    }

    /// Claims a key; `Err` holds the row that has it already (I1).
    pub fn claim(
        &mut self,
        key: usize,
        sale: (u64, Option<u64>),
        owner: Owner,
        now_ms: u64,
    ) -> Result<usize, usize> {
        if let Some(row) = self.by_key(key)
            && self.canary != Some(Canary::ClaimNotUnique)
        {
            return Err(row);
        }
        self.payments.push(Payment {
            key,
            fingerprint: sale.0,
            identifier: sale.1,
            state: State::Claimed,
            delivery: Delivery::None,
            runs: 0,
            owner,
            runner: None,
            answered_ms: None,
            claimed_ms: now_ms,
            verdict: None,
        });
        self.answers.push(0);
        Ok(self.payments.len().saturating_sub(1))
    }

    /// Slot, bytes and hash in one commit (I2). `sign` gets the nonce, if it
    /// takes one; when it fails nothing is reserved.
    pub fn record(
        &mut self,
        row: usize,
        from: State,
        takes_nonce: bool,
        owner: Owner,
        sign: impl FnOnce(Option<u64>) -> (u32, u64),
    ) -> Result<usize, LedgerFault> {
        let payment = &mut self.payments[row];
        if payment.state != from {
            return Err(LedgerFault::Transition(payment.state));
        }
        if payment.owner != owner {
            return Err(LedgerFault::NotOwner);
        }
        let nonce = takes_nonce.then_some(self.next_nonce);
        let (transaction, fee_cap) = sign(nonce);
        if takes_nonce && self.canary != Some(Canary::NonceNotReserved) {
            self.next_nonce = self.next_nonce.saturating_add(1);
        }
        payment.state = State::Recorded;
        self.attempts.push(Attempt { payment: row, nonce, transaction, fee_cap });
        Ok(self.attempts.len().saturating_sub(1))
    }

    /// Attempts of a payment, oldest first.
    pub fn attempts_of(&self, row: usize) -> Vec<usize> {
        (0..self.attempts.len()).filter(|at| self.attempts[*at].payment == row).collect()
    }

    /// A verdict (I6). `settled` is accepted from any instance, because evidence
    /// of an arrival is true whoever brings it.
    pub fn verdict(
        &mut self,
        row: usize,
        verdict: &Verdict,
        owner: Owner,
        now_ms: u64,
    ) -> Result<(), LedgerFault> {
        let payment = &mut self.payments[row];
        let to = match verdict {
            Verdict::Settled(_) => State::Settled,
            Verdict::Refused { .. } => State::Refused,
            Verdict::Expired(_) => State::Expired,
        };
        if payment.state.is_final() {
            if self.canary != Some(Canary::VerdictOverwritten) {
                return Err(LedgerFault::Transition(payment.state));
            }
            self.rewritten = self.rewritten.saturating_add(1);
        }
        if to != State::Settled && payment.owner != owner {
            return Err(LedgerFault::NotOwner);
        }
        payment.state = to;
        payment.verdict = Some((now_ms, verdict.clone()));
        Ok(())
    }

    /// Grants a run to one caller.
    pub fn start_delivery(&mut self, row: usize, runs_max: u32, owner: Owner) -> Result<Start, LedgerFault> {
        let double = self.canary == Some(Canary::DoubleRun);
        let payment = &mut self.payments[row];
        if payment.state != State::Settled {
            return Err(LedgerFault::Transition(payment.state));
        }
        match payment.delivery {
            Delivery::Delivered => Ok(Start::Delivered),
            Delivery::Running if !double => Ok(Start::Running),
            _ if payment.runs >= runs_max => Ok(Start::Exhausted(payment.runs)),
            _ => {
                payment.delivery = Delivery::Running;
                payment.runs = payment.runs.saturating_add(1);
                payment.runner = Some(owner);
                Ok(Start::Run(payment.runs))
            }
        }
    }

    /// Ends this run and no other.
    pub fn end_run(
        &mut self,
        row: usize,
        run: u32,
        delivered: bool,
        owner: Owner,
    ) -> Result<(), LedgerFault> {
        let loose = self.canary == Some(Canary::AnyRunMayFinish);
        let payment = &mut self.payments[row];
        let mine =
            payment.delivery == Delivery::Running && payment.runs == run && payment.runner == Some(owner);
        if !mine && !loose {
            return Err(LedgerFault::Delivery(payment.delivery));
        }
        payment.delivery = if delivered { Delivery::Delivered } else { Delivery::Credited };
        if delivered {
            self.answers[row] = self.answers[row].saturating_add(1);
        }
        Ok(())
    }

    /// Starts the replay window, once.
    pub fn mark_answered(&mut self, row: usize, now_ms: u64) {
        let payment = &mut self.payments[row];
        if payment.delivery == Delivery::Delivered && payment.answered_ms.is_none() {
            payment.answered_ms = Some(now_ms);
        }
    }

    /// Begins a life of an instance and takes over what earlier ones left; where
    /// the ledger is not shared, what anybody left.
    pub fn enter(&mut self, process: usize, lease_until_ms: u64, shared: bool) -> Owner {
        while self.instances.len() <= process {
            self.instances.push(Instance { epoch: 0, lease_until_ms: 0 });
        }
        let instance = &mut self.instances[process];
        instance.epoch = instance.epoch.saturating_add(1);
        instance.lease_until_ms = lease_until_ms;
        let me = Owner { process, epoch: instance.epoch };
        self.take_over(me, (!shared).then_some(()).map_or(Some(process), |()| None));
        me
    }

    /// Payments without a verdict that this life owns.
    pub fn unfinished(&self, owner: Owner) -> Vec<usize> {
        let open = |row: &usize| self.payments[*row].owner == owner && !self.payments[*row].state.is_final();
        (0..self.payments.len()).filter(open).collect()
    }

    /// Fences instances whose lease has passed and takes their payments.
    pub fn adopt_orphans(&mut self, me: Owner, now_ms: u64) -> Vec<usize> {
        let mut adopted = Vec::new();
        for process in 0..self.instances.len() {
            let left = |p: &Payment| {
                (p.owner.process == process && !p.state.is_final())
                    || (p.delivery == Delivery::Running && p.runner.is_some_and(|r| r.process == process))
            };
            let dead = process != me.process && self.instances[process].lease_until_ms < now_ms;
            if dead && self.payments.iter().any(left) {
                let epoch = &mut self.instances[process].epoch;
                *epoch = epoch.saturating_add(1);
                adopted.extend(self.take_over(me, Some(process)));
            }
        }
        adopted
    }

    /// Renews a lease; false when somebody else has fenced this life.
    pub fn heartbeat(&mut self, me: Owner, lease_until_ms: u64) -> bool {
        let instance = &mut self.instances[me.process];
        let current = instance.epoch == me.epoch;
        if current {
            instance.lease_until_ms = lease_until_ms;
        }
        current
    }

    fn take_over(&mut self, me: Owner, from: Option<usize>) -> Vec<usize> {
        let forgets = self.canary == Some(Canary::RunningForgotten);
        let mut adopted = Vec::new();
        for (row, payment) in self.payments.iter_mut().enumerate() {
            let of = |owner: Owner| from.is_none_or(|process| owner.process == process) && owner != me;
            if !payment.state.is_final() && of(payment.owner) {
                payment.owner = me;
                adopted.push(row);
            }
            if payment.delivery == Delivery::Running && payment.runner.is_some_and(of) && !forgets {
                payment.delivery = Delivery::Credited;
            }
        }
        adopted
    }
}

/// Whether a row says what a driver wanted to commit.
pub(crate) fn says(state: State, verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Settled(_) => state == State::Settled,
        Verdict::Refused { .. } => state == State::Refused,
        Verdict::Expired(_) => state == State::Expired,
    }
}

/// The evidence inside a verdict.
pub(crate) fn proof(verdict: &Verdict) -> Option<&Evidence> {
    match verdict {
        Verdict::Refused { evidence, .. } => evidence.as_ref(),
        Verdict::Expired(evidence) => Some(evidence),
        Verdict::Settled(_) => None,
    }
}
