//! What a lane's effects about its head do: each asks the ledger and the chain, and reports.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use quittance_ledger::{LedgerError, NewAttempt, Payment, Recorded, SignFn, Slot};
use quittance_protocol::{DurableAttempt as _, PaymentId};

use super::attempt_of;
use super::perform::{Done, LaneFault, Shared, looked};
use super::step::Event;
use crate::chain::{Replace, ReplacementBound, SignRefused, Successor};
use crate::context::failpoint;
use crate::context::look::LookFault;
use crate::metrics::trouble::{self, Trouble};

/// Nothing was written, as far as is known: the next look reads what is there.
pub(super) const NOT_NOW: Event = Event::NotReplaced { is_spent: false };

/// Which payments of the head have no verdict, and whether one of them can still land.
pub(super) async fn weigh(shared: Shared, head: Arc<Recorded>) -> Done {
    let weighed: Result<Done, LookFault> = async {
        let Some(chain) = shared.net.chain.replace()? else { return Ok(Done::of(NOT_NOW)) };
        let (mut open, mut readable) = (Vec::new(), Vec::new());
        for payment in rows(&shared, head.payments()).await? {
            if payment.state.is_final() {
                continue;
            }
            readable.push(shared.context.stored.revive(shared.net.chain.decode(), &payment));
            open.push(payment.id);
        }
        // Of what cannot be read nobody can say that it is over.
        let all: Option<Vec<_>> = readable.into_iter().collect();
        let lives = match all {
            Some(all) if all.is_empty() => false,
            Some(all) => chain.living(&all).await?.contains(&true),
            None => true,
        };
        Ok(Done::of(Event::Weighed { attempt: head.attempt(), open, lives }))
    }
    .await;
    Done { event: weighed.as_ref().map_or(NOT_NOW, |done| done.event.clone()), ..looked(weighed) }
}

async fn rows(shared: &Shared, ids: &[PaymentId]) -> Result<Vec<Payment>, LedgerError> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(shared.context.ledger.payment(id).await?);
    }
    Ok(rows)
}

/// Slot, signed bytes and hash of what replaces it in one commit (I2), what it may cost reserved before.
pub(super) async fn replace(
    shared: Shared,
    old: Arc<Recorded>,
    by: Successor,
    payments: Vec<PaymentId>,
) -> Done {
    match replaced(&shared, &old, by, payments).await {
        Ok(recorded) => {
            shared.context.metrics.replaced(shared.net.chain.network(), by);
            let (nonce, transaction) = (recorded.nonce(), recorded.transaction());
            tracing::warn!(
                nonce,
                transaction,
                replaces = old.transaction(),
                ?by,
                "replacing what does not move"
            );
            let event = Event::Replaced { attempt: attempt_of(&recorded) };
            Done { recorded: vec![Arc::new(recorded)], ..Done::of(event) }
        }
        Err(error) => not_replaced(&shared, &old, &error),
    }
}

async fn replaced(
    shared: &Shared,
    old: &Arc<Recorded>,
    by: Successor,
    payments: Vec<PaymentId>,
) -> Result<Recorded, LedgerError> {
    let Shared { context, net, wallet } = shared;
    let now_ms = context.clock.now_ms();
    let rows = rows(shared, &payments).await?;
    let charged = rows.iter().filter_map(|row| net.allowed_native(row.settling(), now_ms));
    let charged = charged.fold(0, u128::saturating_add);
    let bound = bound(shared, old, by, charged).map_err(|refusal| LedgerError::Sign(refusal.reason))?;
    // What its payments were charged is theirs, each an equal share of it (I10).
    let share = bound.charged_native.div_ceil(u128::try_from(rows.len()).unwrap_or(1).max(1));
    for row in &rows {
        let Some(wanted) = net.reserve_bound(row.payer.clone(), share, now_ms) else { continue };
        match context.ledger.reserve(&row.id, wanted, now_ms).await {
            // The rest may come from the budget.
            Ok(()) | Err(LedgerError::NoRoom(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let (chain, replaced, by_wallet) = (Arc::clone(&net.chain), Arc::clone(old), wallet.address.clone());
    let sign: SignFn = Box::new(move |_| {
        let replace =
            chain.replace().map_err(|error| error.to_string())?.ok_or("nothing is replaced here")?;
        replace.sign_replacement(&*replaced, &by_wallet, by, bound.native).map_err(|refusal| refusal.reason)
    });
    let known: Vec<_> = payments.into_iter().map(|payment| (payment, old.attempt())).collect();
    let attempt = NewAttempt::again(&known, Slot::Same { attempt: old.attempt() }, sign)
        .costing(bound.native)
        .unwedging(net.unwedge_day);
    failpoint::hit("before_replace").await;
    let recorded = context.ledger.record(attempt, context.clock.now_ms()).await;
    failpoint::hit("after_replace").await;
    recorded
}

/// No I/O.
fn bound(
    shared: &Shared,
    old: &Recorded,
    by: Successor,
    charged: u128,
) -> Result<ReplacementBound, SignRefused> {
    let of = |chain: &dyn Replace| chain.replacement_bound(old, by, charged);
    let bound = || {
        let chain = shared.net.chain.replace()?;
        of(chain.ok_or_else(|| SignRefused::never("nothing is replaced here"))?)
    };
    let never = SignRefused::never("its cost cannot be bounded");
    catch_unwind(AssertUnwindSafe(bound)).unwrap_or(Err(never))
}

/// It is tried again: another process may have been first, fees may fall, the budget's day rolls.
fn not_replaced(shared: &Shared, old: &Recorded, error: &LedgerError) -> Done {
    let (network, transaction) = (shared.net.chain.network(), old.transaction());
    match error {
        LedgerError::Sign(reason) => {
            tracing::info!(%network, transaction, reason, "what does not move cannot be replaced now");
        }
        LedgerError::UnwedgeSpent { .. } => {
            shared.context.metrics.alert(network, "unwedge_spent");
            tracing::warn!(%network, transaction, %error, kind = "unwedge_spent", "needs attention");
            return Done::of(Event::NotReplaced { is_spent: true });
        }
        LedgerError::NotReplaceable { .. }
        | LedgerError::AttemptBeside { .. }
        | LedgerError::NotOwner { .. } => {
            tracing::info!(%network, transaction, %error, "what does not move is another's to replace");
        }
        error => trouble::note(Trouble::Recording, network.as_str(), error),
    }
    let fault = matches!(error, LedgerError::Panicked).then(|| LaneFault::Panicked(error.to_string()));
    Done { fault, ..Done::of(NOT_NOW) }
}
