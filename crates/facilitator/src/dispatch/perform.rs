//! What a lane's effects do: each asks the ledger or the chain once, and reports.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use quittance_ledger::{AttemptId, LedgerError, NewAttempt, Recorded, Reserve, SignFn, Slot};
use quittance_protocol::{Deadline, DurableAttempt, PaymentId};

use super::step::{Company, Event, FILLS_MAX, Fees, OpenSlot, Returned, Seen};
use super::{Paid, attempt_of};
use crate::chain::{CostAllowed, Sent, SignRefused};
use crate::context::Context;
use crate::context::failpoint;
use crate::context::look::LookFault;
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::network::pool::PoolWallet;

/// Why a turn of a lane did not go well; it goes on all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaneFault {
    #[error(transparent)]
    Look(#[from] LookFault),
    /// A defect, found before anything was done for that payment.
    #[error("a rule of the lane does not hold for a payment: {0}")]
    Rule(&'static str),
    /// One payment's work, or one look.
    #[error("work of the lane panicked: {0}")]
    Panicked(String),
}

/// What every effect is performed with.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) context: Arc<Context>,
    pub(super) net: Arc<ConfiguredNetwork>,
    pub(super) wallet: Arc<PoolWallet>,
}

/// What was done, and the bytes that it found or made.
pub(super) struct Done {
    pub(super) event: Event,
    pub(super) recorded: Vec<Arc<Recorded>>,
    /// What went wrong, where that is the lane's own trouble.
    pub(super) fault: Option<LaneFault>,
}

impl Done {
    pub(super) fn of(event: Event) -> Self {
        Self { event, recorded: Vec::new(), fault: None }
    }
}

/// No I/O.
pub(super) fn fees(shared: &Shared, paid: &Paid) -> Fees {
    let net = &shared.net;
    let charged = net.allowed_native(paid.gas, shared.context.clock.now_ms());
    let bound = || net.chain.sign()?.cost_bound(&paid.verified, charged.unwrap_or(0));
    let bound = catch_unwind(AssertUnwindSafe(bound));
    Fees {
        ready: !net.chain.facts().takes_nonce || shared.wallet.ready.load(Ordering::Acquire),
        charged,
        bound: bound.unwrap_or_else(|_| Err(SignRefused::never("its cost cannot be bounded"))),
        company: company(shared, paid),
    }
}

/// With whom a payment may share a transaction now, as far as it can be said without asking. No I/O.
fn company(shared: &Shared, paid: &Paid) -> Option<Company> {
    let Shared { context, net, .. } = shared;
    let items_max = net.chain.batch()?.items_max().min(net.batch.size_max);
    let left = match paid.deadline {
        Deadline::UnixSeconds(until) => {
            let now = u64::try_from(context.clock.now_ms()).unwrap_or(0) / 1_000;
            until.saturating_sub(now)
        }
        Deadline::BlockHeight(_) => return None,
    };
    let is_early = left >= net.batch.margin_seconds;
    // Code decides where nobody's own key signed: it may do anything beside others.
    (items_max > 1 && is_early && paid.verified.is_signed).then(|| Company {
        payer: paid.verified.source.clone(),
        items_max,
        wait_ms: net.batch.wait_ms,
    })
}

pub(super) async fn reserve(shared: Shared, paid: Arc<Paid>, bound: u128, seen: Seen) -> Done {
    let Shared { context, net, .. } = shared;
    let now_ms = context.clock.now_ms();
    let Some(wanted) = net.reserve_bound(paid.payer.clone(), bound, now_ms) else {
        let result = Err("no exchange rate was ever known".to_owned());
        return Done::of(Event::Reserved { payment: paid.id.clone(), result });
    };
    let wanted = Reserve { balance: seen.balance, by_code: seen.by_code, ..wanted };
    let payment = paid.id.clone();
    Done::of(match context.ledger.reserve(&payment, wanted, now_ms).await {
        Ok(()) => Event::Reserved { payment, result: Ok(()) },
        Err(error) if is_lost(&error) => Event::Lost { payment, reason: error.to_string() },
        Err(error) => Event::Reserved { payment, result: Err(error.to_string()) },
    })
}

/// Nothing is left to do here. Nor is there without the lease: another process may have taken the
/// payment over, and given back what is reserved for it, before this one has joined again; whoever
/// drives it then begins from what is durable.
fn is_lost(error: &LedgerError) -> bool {
    // An attempt of another wallet, recorded late: that wallet's lane is where it goes on.
    matches!(error, LedgerError::NotOwner { .. } | LedgerError::LeaseLost | LedgerError::OtherWallet { .. })
        || error.payment().is_some_and(|payment| payment.state.is_final())
}

/// Who signs for a slot. What replaces another attempt keeps that one's wallet in the ledger, and
/// whose it is a lane does not look up: it would sign with its own key for another's nonce.
fn signer_of(slot: &Slot, lane: &str) -> Result<String, SignRefused> {
    match slot {
        Slot::Fresh { wallet } => Ok(wallet.clone()),
        Slot::Unnumbered => Ok(lane.to_owned()),
        Slot::Same { .. } => Err(SignRefused::never("what replaces an attempt is signed elsewhere")),
    }
}

/// Slot, signed bytes and hash in one commit (I2).
pub(super) async fn record(
    shared: Shared,
    paid: Arc<Paid>,
    payments: Vec<PaymentId>,
    (slot, newest): (Slot, Option<AttemptId>),
    allowed: CostAllowed,
) -> Done {
    let Shared { context, net, wallet } = shared;
    // The ledger hands a signer's refusal through as text; whether waiting can help goes beside it.
    let refused: Arc<Mutex<Option<SignRefused>>> = Arc::default();
    let (chain, verified, told) = (Arc::clone(&net.chain), paid.verified.clone(), Arc::clone(&refused));
    let is_numbered = slot != Slot::Unnumbered;
    let by = signer_of(&slot, &wallet.address);
    let sign: SignFn = Box::new(move |nonce| {
        let nonce = is_numbered.then_some(nonce);
        let wallet = chain.sign().map_err(SignRefused::from);
        let signed = wallet.and_then(|wallet| wallet.sign(&verified, &by?, nonce, allowed));
        signed.map_err(|refusal| {
            let reason = refusal.reason.clone();
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
            reason
        })
    });
    let attempt = match (slot, newest) {
        (Slot::Fresh { wallet }, None) => Ok(NewAttempt::batch(&payments, &wallet, sign)),
        (_, None) => sign(0).map(|signed| NewAttempt::unnumbered(&paid.id, signed)),
        // The earlier attempt was included and failed: its nonce is gone.
        (slot, Some(newest)) => {
            let known: Vec<_> = payments.into_iter().map(|payment| (payment, newest)).collect();
            Ok(NewAttempt::again(&known, slot, sign))
        }
    };
    let result = match attempt.map(|attempt| attempt.costing(allowed.reserved_native)) {
        Ok(attempt) => context.ledger.record(attempt, context.clock.now_ms()).await,
        Err(reason) => Err(LedgerError::Sign(reason)),
    };
    failpoint::hit("after_record").await;
    let payment = paid.id.clone();
    let event = match result {
        Ok(recorded) => {
            context.metrics.batches().signed(net.chain.network(), recorded.payments().len());
            let event = Event::Recorded { attempt: attempt_of(&recorded) };
            return Done { recorded: vec![Arc::new(recorded)], ..Done::of(event) };
        }
        Err(LedgerError::Sign(reason)) => {
            let told = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
            Event::NotSigned { payment, refusal: told.unwrap_or_else(|| SignRefused::later(reason)) }
        }
        Err(error @ LedgerError::NotReserved { .. }) => {
            trouble::note(Trouble::Recording, paid.network.as_str(), &error);
            Event::NotReserved { payment, reason: error.to_string() }
        }
        Err(error) => {
            trouble::note(Trouble::Recording, paid.network.as_str(), &error);
            let reason = error.to_string();
            // The ledger catches what a signer does within its commit.
            let fault = matches!(error, LedgerError::Panicked).then(|| LaneFault::Panicked(reason.clone()));
            let event = match is_lost(&error) {
                true => Event::Lost { payment, reason },
                false => Event::NotRecorded { payment, reason },
            };
            return Done { fault, ..Done::of(event) };
        }
    };
    Done::of(event)
}

pub(super) async fn read(shared: Shared, paid: Arc<Paid>) -> Done {
    let payment = paid.id.clone();
    match shared.context.ledger.recorded_attempts(&payment).await {
        Ok(recorded) => {
            let attempts = Some(recorded.iter().map(attempt_of).collect());
            let recorded = recorded.into_iter().map(Arc::new).collect();
            Done { recorded, ..Done::of(Event::Read { payment, attempts }) }
        }
        Err(_) => Done::of(Event::Read { payment, attempts: None }),
    }
}

/// A commit whose answer was lost may have recorded something beside the attempts that are known.
pub(super) async fn give_back(shared: Shared, paid: Arc<Paid>, known: usize) -> Done {
    let found = read(shared.clone(), Arc::clone(&paid)).await;
    match &found.event {
        Event::Read { attempts: Some(attempts), .. } if attempts.len() <= known => {
            return_cost(shared, paid).await
        }
        Event::Read { attempts: None, .. } => {
            Done::of(Event::Returned { payment: paid.id.clone(), returned: Returned::Kept })
        }
        _ => found,
    }
}

pub(super) async fn return_cost(shared: Shared, paid: Arc<Paid>) -> Done {
    let Shared { context, net, .. } = shared;
    let returned = match context.ledger.return_cost(&paid.id, context.clock.now_ms()).await {
        Ok(_) => {
            net.free();
            Returned::Freed
        }
        Err(error) => {
            trouble::note(Trouble::Reserved, paid.network.as_str(), &error);
            Returned::Unsure
        }
    };
    Done::of(Event::Returned { payment: paid.id.clone(), returned })
}

pub(super) async fn send(shared: Shared, paid: Arc<Paid>, recorded: Arc<Recorded>) -> Done {
    assert_eq!(recorded.network(), &paid.network, "an attempt on another network");
    failpoint::hit("before_send").await;
    let Sent { outcome, withheld } = broadcast(&shared, &recorded).await;
    failpoint::hit("after_send").await;
    let ledger = Arc::clone(&shared.context.ledger);
    let (attempt, noted, now_ms) = (recorded.attempt(), outcome.clone(), shared.context.clock.now_ms());
    // Journaled in the background: a recorded attempt counts as possibly
    // sent, so nothing depends on this line.
    tokio::spawn(async move {
        if let Err(error) = ledger.journal_send(attempt, &noted, now_ms).await {
            trouble::note(Trouble::Broadcast, "", &error);
        }
    });
    Done::of(Event::Sent { payment: paid.id.clone(), outcome, withheld })
}

/// Bytes whose payments are over.
pub(super) async fn broadcast_again(shared: &Shared, recorded: &Recorded, why: &'static str) {
    let outcome = broadcast(shared, recorded).await.outcome;
    let (nonce, transaction) = (recorded.nonce(), recorded.transaction());
    tracing::info!(nonce, transaction, ?outcome, "{why}");
}

/// The only place that hands bytes to nodes, and it takes durable ones only (I2, I3).
async fn broadcast(shared: &Shared, recorded: &Recorded) -> Sent {
    let net = &shared.net;
    let sent = match net.chain.broadcast() {
        Ok(nodes) => nodes.broadcast(recorded).await,
        Err(error) => error.into(),
    };
    shared.context.metrics.sent(net.chain.network(), &sent.outcome);
    sent
}

pub(super) async fn used(shared: Shared) -> Done {
    let asked: Result<u64, LookFault> =
        async { Ok(shared.net.chain.nonces()?.used(&shared.wallet.address).await?) }.await;
    looked(asked.map(|used| Done::of(Event::Used(used))))
}

pub(super) async fn slots(shared: Shared, from: u64) -> Done {
    let network = shared.net.chain.network();
    let read = shared.context.ledger.attempts_from_nonce(network, &shared.wallet.address, from).await;
    let done = read.map(|attempts| {
        let slot = |one: &Recorded| Some(OpenSlot { attempt: one.attempt(), nonce: one.nonce()? });
        let open = attempts.iter().filter_map(slot).collect();
        let event = Event::SlotsRead { open, attempts: attempts.iter().map(attempt_of).collect() };
        let recorded = attempts.into_iter().map(Arc::new).collect();
        Done { recorded, ..Done::of(event) }
    });
    looked(done.map_err(LookFault::from))
}

/// Whether a block asks for more than these bytes offer.
pub(super) async fn head(shared: Shared, head: Arc<Recorded>) -> Done {
    let asked: Result<bool, LookFault> = async {
        let nonces = shared.net.chain.nonces()?;
        Ok(match nonces.fee_cap(head.detail()) {
            Some(cap) => nonces.base_fee().await?.is_some_and(|fee| fee > cap),
            None => false,
        })
    }
    .await;
    looked(asked.map(|is_stuck| Done::of(Event::HeadSeen { is_stuck })))
}

/// Which of them no driver works for any more, in this process or another.
pub(super) async fn judged(shared: Shared, open: Vec<Arc<Recorded>>) -> Done {
    let asked: Result<Vec<_>, LookFault> = async {
        let mut over = Vec::new();
        for recorded in open {
            if over.len() >= FILLS_MAX {
                break;
            }
            let mut is_over = true;
            for id in recorded.payments() {
                is_over &= shared.context.ledger.payment(id).await?.is_none_or(|one| one.state.is_final());
            }
            if is_over {
                over.push(recorded.attempt());
            }
        }
        Ok(over)
    }
    .await;
    looked(asked.map(|over| Done::of(Event::Judged { over })))
}

pub(super) fn looked(done: Result<Done, LookFault>) -> Done {
    done.unwrap_or_else(|fault| Done { fault: Some(fault.into()), ..Done::of(Event::LookFailed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_signs_for_a_slot_of_its_own_only() {
        let fresh = Slot::Fresh { wallet: "other".to_owned() };
        assert_eq!(signer_of(&fresh, "own"), Ok("other".to_owned()), "the ledger refuses that");
        assert_eq!(signer_of(&Slot::Unnumbered, "own"), Ok("own".to_owned()));
        let attempt: AttemptId = serde_json::from_value(serde_json::json!(1)).unwrap();
        assert!(signer_of(&Slot::Same { attempt }, "own").is_err());
    }
}
