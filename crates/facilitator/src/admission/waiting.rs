//! Who came with a payment and is still connected (P7).
//!
//! A client whose connection ended before it took an answer repeats its call and
//! signs anew. It was told nothing, so that it left is noted in the ledger like
//! any other word that sends a caller away; then what it signs next is answered
//! from the payment it left behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quittance_ledger::{LedgerError, Origin, Payment, PaymentState};

use crate::Inner;
use crate::api::PayOutcome;
use crate::api::receipts::LEDGER;
use crate::in_flight::callers::Purchase;
use crate::in_flight::entries::PaymentEntry;
use crate::metrics::trouble::{self, Trouble};

/// How often it is tried to note that the callers are gone.
const NOTE_TRIES_MAX: u32 = 10;

/// Pause between those tries.
const NOTE_RETRY: Duration = Duration::from_millis(500);

/// A caller's purchase, once it is known.
struct Bound {
    inner: Arc<Inner>,
    entry: Arc<PaymentEntry>,
    purchase: Purchase,
}

enum State {
    Connected {
        bound: Option<Bound>,
        sent_away: bool,
    },
    /// The connection ended; `true` without an answer.
    Over(bool),
}

/// A caller as [`crate::Facilitator::pay_for`] sees it.
#[derive(Clone)]
pub struct Waiting(Arc<Mutex<State>>);

/// The connection that the payment came with. Dropped without
/// [`answered`](Self::answered), its caller left without an answer.
pub struct Connection(Arc<Mutex<State>>);

impl Connection {
    /// A connection whose caller waits from now on.
    pub fn new() -> (Self, Waiting) {
        let state = Arc::new(Mutex::new(State::Connected { bound: None, sent_away: false }));
        (Self(Arc::clone(&state)), Waiting(state))
    }

    /// The caller has taken a whole answer, whatever it says.
    pub fn answered(self) {
        end(&self.0, false);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        end(&self.0, true);
    }
}

impl Waiting {
    /// What it came to buy is this.
    pub(crate) fn bind(&self, inner: &Arc<Inner>, purchase: Purchase) {
        let entry = inner.in_flight.entry(purchase.share_key());
        let mut state = lock(&self.0);
        match &mut *state {
            State::Connected { bound: bound @ None, .. } => {
                entry.callers().arrive();
                *bound = Some(Bound { inner: Arc::clone(inner), entry: Arc::clone(&entry), purchase });
            }
            State::Connected { .. } | State::Over(false) => {}
            State::Over(true) => {
                let mut callers = entry.callers();
                callers.arrive();
                callers.depart(true);
            }
        }
    }

    /// Whether its connection ended, and without an answer; `None` while it stands.
    pub fn left(&self) -> Option<bool> {
        match &*lock(&self.0) {
            State::Connected { .. } => None,
            State::Over(left) => Some(*left),
        }
    }

    /// Where the ledger cannot be read, what it is told says nothing of a payment that
    /// may stand in them. Whoever finds no room, or no chain, claimed nothing here: a
    /// copy of it may be waiting elsewhere, and is a caller of its own.
    pub(crate) fn note_outcome(&self, outcome: &PayOutcome) {
        if let PayOutcome::Unavailable { reason: LEDGER, .. } = outcome
            && let State::Connected { sent_away, .. } = &mut *lock(&self.0)
        {
            *sent_away = true;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(state: &Mutex<State>, left: bool) {
    let mut state = lock(state);
    let State::Connected { bound, sent_away } = &mut *state else { return };
    let left = left || *sent_away;
    let bound = bound.take();
    *state = State::Over(left);
    drop(state);
    if let Some(Bound { inner, entry, purchase }) = bound {
        let gone = entry.callers().depart(left);
        if gone {
            inner.note_gone(purchase);
        }
    }
}

/// Whether its payer may still come for it, and the ledger does not say so yet.
fn is_to_be_noted(payment: &Payment) -> bool {
    payment.origin == Origin::Gate
        && payment.pending_answer_at_ms.is_none()
        && payment.first_answer_at_ms.is_none()
        && !matches!(payment.state, PaymentState::Refused | PaymentState::Expired)
}

impl Inner {
    /// Nobody who came with the payment waits for it any more. Not on a worker's
    /// runtime: that may end with the connection.
    pub(crate) fn note_gone(self: &Arc<Self>, purchase: Purchase) {
        let inner = Arc::clone(self);
        let noting = async move {
            for _ in 0..NOTE_TRIES_MAX {
                match inner.try_note_gone(&purchase).await {
                    Ok(()) => return,
                    Err(error) => trouble::note(Trouble::CallerLeft, "", &error),
                }
                tokio::select! {
                    biased;
                    () = inner.context.stop.cancelled() => return,
                    () = tokio::time::sleep(NOTE_RETRY) => {}
                }
            }
        };
        self.drivers.spawn_on(noting, &self.runtime);
    }

    /// Nothing if it is not claimed yet: whoever claims it looks for its callers.
    async fn try_note_gone(&self, purchase: &Purchase) -> Result<(), LedgerError> {
        let Some(known) = self.context.ledger.known(&purchase.key).await? else { return Ok(()) };
        let bought =
            *known.signature_digest() == purchase.digest && known.payment.fingerprint == purchase.fingerprint;
        if !bought || !is_to_be_noted(&known.payment) {
            return Ok(());
        }
        let now_ms = self.context.clock.now_ms();
        self.context.ledger.note_pending_answer(&known.payment.id, now_ms).await
    }
}
