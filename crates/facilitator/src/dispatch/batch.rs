//! What a lane does for several payments that share a transaction: see what each would do in it,
//! and sign it in one commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quittance_ledger::{LedgerError, NewAttempt, SignFn};
use quittance_protocol::PaymentId;

use super::perform::{Done, LaneFault, Shared};
use super::step::{Batch, BatchPart, Event};
use super::{Paid, attempt_of};
use crate::chain::{BatchItem, Rehearsal, SignRefused};
use crate::context::failpoint;
use crate::metrics::batches::LeftOut;
use crate::metrics::trouble::{self, Trouble};

/// Looks at a batch before those who are left go alone: each leaves out whoever moved nothing, and
/// who moved beside them need not move without them.
const REHEARSALS_MAX: usize = 3;

/// The longest look. Below every margin: what goes together still has its time to land, and nobody
/// waits longer for a node that hangs.
const REHEARSAL_MAX: Duration = Duration::from_millis(1_500);

fn items(paid: &[Arc<Paid>], batch: &Batch) -> Vec<(PaymentId, BatchItem)> {
    let item = |part: &BatchPart| {
        let paid = paid.iter().find(|paid| paid.id == part.payment)?;
        let item = BatchItem { payment: paid.verified.clone(), charged_native: part.charged };
        Some((part.payment.clone(), item))
    };
    batch.parts.iter().filter_map(item).collect()
}

/// What each would do beside the others, now.
pub(super) async fn rehearse(shared: Shared, paid: Vec<Arc<Paid>>, batch: Batch) -> Done {
    let payments = batch.payments();
    let (mut going, mut left_out) = (items(&paid, &batch), Vec::new());
    for _ in 0..REHEARSALS_MAX {
        if going.len() < 2 {
            break;
        }
        let Some(shown) = look(&shared, &going).await else {
            going.clear();
            break;
        };
        let all = going.len();
        let (moving, others): (Vec<_>, Vec<_>) =
            going.into_iter().zip(shown).partition(|(_, shown)| *shown == Rehearsal::Moves);
        shared.context.metrics.batches().left_out(shared.net.chain.network(), LeftOut::Fails, others.len());
        left_out.extend(others.into_iter().map(|((payment, _), _)| payment));
        going = moving.into_iter().map(|(going, _)| going).collect();
        if going.len() == all {
            let moves = going.into_iter().map(|(payment, _)| payment).collect();
            return Done::of(Event::Rehearsed { payments, moves, left_out });
        }
    }
    Done::of(Event::Rehearsed { payments, moves: Vec::new(), left_out })
}

/// `None`: nothing was heard in time.
async fn look(shared: &Shared, going: &[(PaymentId, BatchItem)]) -> Option<Vec<Rehearsal>> {
    let items: Vec<_> = going.iter().map(|(_, item)| item.clone()).collect();
    let wallet = &shared.wallet.address;
    let looked =
        tokio::time::timeout(REHEARSAL_MAX, shared.net.chain.batch()?.rehearse(&items, wallet)).await;
    match looked {
        Ok(Ok(shown)) if shown.len() == items.len() => return Some(shown),
        Ok(Ok(_)) => tracing::debug!(wallet, "a rehearsal says nothing of some payments"),
        Ok(Err(error)) => tracing::debug!(wallet, %error, "a batch could not be rehearsed"),
        Err(_) => tracing::debug!(wallet, "a rehearsal took too long"),
    }
    shared.context.metrics.batches().left_out(shared.net.chain.network(), LeftOut::NoAnswer, items.len());
    None
}

/// Slot, signed bytes and hash of one transaction for all of them, in one commit (I2).
pub(super) async fn record(shared: Shared, paid: Vec<Arc<Paid>>, batch: Batch) -> Done {
    let Shared { context, net, wallet } = shared;
    let payments = batch.payments();
    let of = items(&paid, &batch);
    let complete = of.len() == payments.len();
    let items: Vec<_> = of.into_iter().map(|(_, item)| item).collect();
    let (chain, by, reserved) = (Arc::clone(&net.chain), wallet.address.clone(), batch.reserved);
    let refused: Arc<Mutex<Option<SignRefused>>> = Arc::default();
    let told = Arc::clone(&refused);
    let sign: SignFn = Box::new(move |nonce| {
        let none = || SignRefused::later("the chain takes no batches now");
        let signed = match chain.batch().filter(|_| complete) {
            Some(chain) => chain.sign_batch(&items, &by, nonce, reserved),
            None => Err(none()),
        };
        signed.map_err(|refusal| {
            let reason = refusal.reason.clone();
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
            reason
        })
    });
    let attempt = NewAttempt::batch(&payments, &wallet.address, sign).costing(reserved);
    let result = context.ledger.record(attempt, context.clock.now_ms()).await;
    failpoint::hit("after_record").await;
    let error = match result {
        Ok(recorded) => {
            context.metrics.batches().signed(net.chain.network(), payments.len());
            let event = Event::Recorded { attempt: attempt_of(&recorded) };
            return Done { recorded: vec![Arc::new(recorded)], ..Done::of(event) };
        }
        Err(LedgerError::Sign(reason)) => {
            context.metrics.batches().left_out(net.chain.network(), LeftOut::NotSigned, payments.len());
            tracing::debug!(wallet = wallet.address, reason, "a batch was not signed");
            return Done::of(Event::Apart { payments });
        }
        Err(error) => error,
    };
    trouble::note(Trouble::Recording, net.chain.network().as_str(), &error);
    // The ledger looked at each of them and refused: nothing was written. Which of them is at fault
    // each finds out for itself.
    if error.payment().is_some() || matches!(error, LedgerError::LeaseLost) {
        return Done::of(Event::Apart { payments });
    }
    let reason = error.to_string();
    // The ledger catches what a signer does within its commit.
    let fault = matches!(error, LedgerError::Panicked).then(|| LaneFault::Panicked(reason.clone()));
    Done { fault, ..Done::of(Event::Unsure { payments, reason }) }
}
