//! What clients and servers were told, and what must be true in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use quittance_ledger::{DeliveryState, Finality, Known, Origin, Payment, PaymentState};
use quittance_protocol::ErrorCode;

use crate::base::Act;
use crate::client::{Client, Said, fingerprint};
use crate::plan::Net;
use crate::settings::{REPLAY_MS, RUN_LIMITS};
use crate::solana::slot;
use crate::world::link::Link;
use crate::world::{BEGIN_MS, World};

/// What background commits may be late by, and clocks that are kept.
const SLACK_MS: i64 = 3_000;

/// Whether the handler failed, or died with its process, as often as it may; runs
/// that a process ended by itself do not count.
fn used_up(payment: &Payment) -> bool {
    payment.delivery == DeliveryState::Credited && !payment.has_runs_left(RUN_LIMITS)
}

impl World {
    /// Whether the process could have known of the claim when it answered: the
    /// claim was there before the request came, or before the last look.
    pub(crate) fn knew(&self, link: &Link, key: usize, begun: u64) -> bool {
        let Some(claimed) = self.audit.claimed_at.get(&key) else { return false };
        let read = self.audit.reads.get(&(link.process, key)).copied().unwrap_or(0);
        *claimed < begun.max(read)
    }

    /// A client got an answer.
    pub(crate) fn audit_said(&mut self, link: &Arc<Link>, client: &Client, begun: u64, said: &Said) {
        let key = client.key;
        let Some(known) = self.under(key) else { return };
        let same_request = known.payment.fingerprint == fingerprint(client.call, client.request);
        let digest = u64::from_be_bytes(known.signature_digest()[..8].try_into().unwrap_or_default());
        let named = known.identifier().is_some();
        let payment = known.payment;
        if *said == Said::Pending && same_request {
            self.audit_told(key, &payment, digest == client.digest);
        }
        let same_sender = digest == client.digest && payment.origin == Origin::Gate;
        if let Said::Refused(code) = said
            && same_request
            && same_sender
            && self.knew(link, key, begun)
        {
            match payment.state {
                PaymentState::Claimed | PaymentState::Recorded => {
                    self.broken(
                        "P5",
                        format!("key {key}: a fresh offer ({code:?}) while its outcome is unknown"),
                    );
                }
                PaymentState::Settled => {
                    self.broken("P5", format!("key {key} is settled and got a fresh offer ({code:?})"));
                }
                PaymentState::Refused | PaymentState::Expired => {}
            }
        }
        let got = matches!(said, Said::Served | Said::Replayed);
        if got && payment.state != PaymentState::Settled {
            self.broken("P1", format!("key {key} was served without being settled"));
        }
        if got && client.thief && named {
            self.broken("P1", format!("a thief got the answer of key {key}"));
        }
        if got && !(same_request && same_sender) {
            self.broken("P1", format!("key {key} served another request or another sender"));
        }
        if client.last && payment.state == PaymentState::Settled {
            self.audit_last(key, &payment, said);
        }
    }

    /// P7: what a repeated call is answered from was on record as told before
    /// anybody heard it.
    fn audit_told(&mut self, key: usize, payment: &Payment, same_sender: bool) {
        let ours = same_sender && payment.origin == Origin::Gate;
        if ours && payment.pending_answer_at_ms.is_none() {
            self.broken("P7", format!("key {key} was told pending, and nobody will know"));
        }
    }

    /// Whether a client that was told this signs anew: it heard that its payment
    /// is pending, or that the service failed and left a credit.
    pub(crate) fn signs_anew(&self, client: &Client, said: &Said) -> bool {
        let credited = |known: &Known| known.payment.credited_at_ms.is_some();
        match said {
            Said::Pending => true,
            Said::Failed => self.under(client.key).as_ref().is_some_and(credited),
            _ => false,
        }
    }

    /// P7: one settled payment per call, however often its client signed anew;
    /// another one only where a credit was used up.
    fn audit_calls(&mut self) {
        let mut paid: BTreeMap<usize, usize> = BTreeMap::new();
        for key in 0..self.facts.len() {
            let Some(payment) = self.row(key).filter(|_| self.facts[key].repeats) else { continue };
            // What another ledger landed is owed back: it never buys anything.
            let bought = payment.state == PaymentState::Settled && payment.delivery != DeliveryState::Owed;
            if bought && !used_up(&payment) {
                let count = paid.entry(self.facts[key].call).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (call, count) in paid.into_iter().filter(|(_, count)| *count > 1) {
            self.broken("P7", format!("one call, of key {call}, was paid {count} times"));
        }
    }

    /// The visit after everything: a settled payment buys something (P6).
    fn audit_last(&mut self, key: usize, payment: &Payment, said: &Said) {
        let closed = payment.identifier.is_none() && payment.first_answer_at_ms.is_some();
        let spent = used_up(payment);
        let turned_away = match said {
            Said::Conflict(ErrorCode::ReplayWindowClosed) => !closed,
            Said::Conflict(ErrorCode::CreditExhausted) => !spent,
            Said::Conflict(ErrorCode::RefundOwed) => !self.is_owed(payment),
            Said::Conflict(_) | Said::Refused(_) => true,
            _ => false,
        };
        if turned_away {
            self.broken("P6", format!("key {key} is settled and its payer is turned away: {said:?}"));
        }
    }

    /// Settled by a landing of another ledger at a shared address, and by no attempt of this one.
    pub(crate) fn is_owed(&self, payment: &Payment) -> bool {
        let transaction = payment.transaction.clone().unwrap_or_default();
        let ours = self.is_ours(&transaction);
        self.plan.shared_pay_to
            && payment.delivery == DeliveryState::Owed
            && (!ours || self.audit.reorganised)
            && payment.runs == 0
    }

    /// A stored answer was given: nobody without the identifier gets it after
    /// the replay window.
    pub(crate) fn audit_replay(&mut self, client: &Client, asked_ms: u64) {
        let now = BEGIN_MS.saturating_add(i64::try_from(asked_ms).unwrap_or(i64::MAX));
        let Some(known) = self.under(client.key) else { return };
        let shown = client.identifier.is_some() && known.identifier().is_some();
        let payment = known.payment;
        // A replay marks the window itself, in the background.
        let first = payment.first_answer_at_ms.unwrap_or(now);
        let window = i64::try_from(REPLAY_MS).unwrap_or(i64::MAX).saturating_add(self.clocks_behind_ms());
        let over = first.saturating_add(window).saturating_add(SLACK_MS);
        if !shown && now > over {
            self.broken("P1", format!("key {}: a replay after its window closed", client.key));
        }
        if self.calm {
            self.audit.replays.insert(client.key);
        }
    }

    /// By how much the slowest of the processes' clocks is behind: the replay window is
    /// judged by each host's own.
    fn clocks_behind_ms(&self) -> i64 {
        self.plan.skews_ms.iter().map(|skew| skew.saturating_neg()).max().unwrap_or(0).max(0)
    }

    /// I5, P2: every payment ends by its deadline, the finality lag and a minute.
    pub(crate) fn audit_unfinished(&mut self, bound: u64) {
        for key in 0..self.facts.len() {
            if let Some(payment) = self.row(key).filter(|payment| !payment.state.is_final()) {
                self.broken("P2", format!("key {key} is still {} at {bound} ms", payment.state));
            }
        }
    }

    /// New payments must go through: no wallet waits behind a lost nonce.
    pub(crate) fn audit_probes(&mut self, first: usize) {
        // Others may still repeat their calls.
        let probes = (first..self.facts.len()).filter(|key| self.facts[*key].probe);
        for key in probes.collect::<Vec<_>>() {
            let (net, row) = (self.facts[key].net, self.row(key));
            let delivered = row.as_ref().is_some_and(|payment| payment.delivery.is_completed());
            if !delivered {
                let state = row.map(|payment| (payment.state, payment.delivery));
                self.broken("P2", format!("a fresh payment on {net:?} does not go through: {state:?}"));
            }
        }
    }

    /// The end: the ledger and the chains agree.
    pub(crate) fn audit_end(&mut self) {
        self.audit_askers();
        for key in 0..self.facts.len() {
            let landed = self.landed_by(key);
            let Some(payment) = self.row(key) else { continue };
            match (payment.state, landed) {
                (PaymentState::Settled, Some(_)) | (PaymentState::Refused | PaymentState::Expired, None) => {}
                (PaymentState::Refused, Some(_)) if self.landed_before(key, self.base.head()) => {}
                (PaymentState::Settled, None) if payment.finality == Some(Finality::ReorgedLoss) => {}
                (PaymentState::Settled, None) => {
                    self.broken(
                        "I6",
                        format!("key {key} is settled, its landing is gone, and no loss is booked"),
                    );
                }
                (state, Some(by)) if state.is_final() => {
                    self.broken("P2", format!("key {key} landed by {by} and is {state}"));
                }
                _ => {}
            }
            if payment.state == PaymentState::Settled && payment.finality.is_none() {
                self.broken("I6", format!("key {key} is settled, and nobody says whether for good"));
            }
            let told = payment.origin != Origin::Gate;
            let spent = used_up(&payment);
            if payment.state == PaymentState::Settled
                && !told
                && !payment.delivery.is_completed()
                && !spent
                && !self.is_owed(&payment)
            {
                self.broken(
                    "P6",
                    format!("key {key} is settled, and {} after its payer came back", payment.delivery),
                );
            }
        }
        // A replay begins the window where the first delivery did not.
        for key in std::mem::take(&mut self.audit.replays) {
            if self.row(key).is_some_and(|payment| payment.first_answer_at_ms.is_none()) {
                self.broken("P1", format!("key {key} was replayed, and its window never begins to close"));
            }
        }
        self.audit_calls();
        self.audit_costs();
        self.count_races();
    }

    fn landed_by(&self, key: usize) -> Option<String> {
        match self.facts[key].net {
            Net::Base => {
                let used = self.base.used(key, self.base.head())?;
                (used.tx.act == Act::Pay).then(|| format!("0x{}", used.tx.id))
            }
            Net::Solana => {
                let landed = self.solana.confirmed(key, slot(self.now()))?;
                landed.ok.then(|| "our transaction".to_owned())
            }
        }
    }

    /// What our transactions cost is in the ledger, to the last unit and whatever
    /// died meanwhile; what a reorganisation took away may be there too.
    fn audit_costs(&mut self) {
        // Shares and their sum: each payment of a transaction has one, and they add up to it.
        let mut booked: BTreeMap<String, (usize, u128)> = BTreeMap::new();
        self.database.with(|rows| {
            for (_, transaction, cost) in rows.costs() {
                let (shares, sum) = booked.entry(transaction.to_owned()).or_default();
                (*shares, *sum) = (shares.saturating_add(1), sum.saturating_add(cost.native));
            }
        });
        let finalized = self.base.finalized(self.base.head());
        let ours: Vec<_> = self.base.ours().filter(|i| i.block <= finalized).copied().collect();
        for included in ours {
            let id = format!("0x{}", included.tx.id);
            let booked = booked.get(&id).filter(|(shares, _)| *shares == included.payments);
            match booked.map(|(_, sum)| sum) {
                Some(cost) if *cost == self.base.cost(&included) => {}
                // The branch that it was booked from is gone.
                Some(_) if self.audit.undone.contains(&included.tx.id) => {}
                Some(cost) => {
                    let really = self.base.cost(&included);
                    self.broken("P3", format!("{id} cost {really} and is booked with {cost}"));
                }
                None => {
                    let earned = self
                        .row(included.tx.key)
                        .is_some_and(|p| p.transaction.as_deref() == Some(id.as_str()));
                    let key = included.tx.key;
                    self.broken("P3", format!("{id} of key {key} is not in the ledger, earned {earned}"));
                }
            }
        }
    }
}
