//! The head of a lane that does not move is replaced at its own nonce (I2).
//!
//! Whatever is at a nonce stays watched, and one of it lands: nobody signs for its payments anywhere
//! else until that nonce is used and judged. The same bytes go out at higher fees while one of their
//! payments can still land, and nothing at all in their place once none can. How high they may go is
//! the chain crate's to say (I8), what that may cost the ledger's (I10): who finds no room for it waits
//! until fees fall, and the lane is closed meanwhile.

use quittance_ledger::AttemptId;
use quittance_protocol::PaymentId;

use super::{Attempt, Effect, REBROADCAST_MS_MAX, State};
use crate::chain::Successor;

/// A head that fees would let in, and that was sent again here, is replaced when it has not moved for
/// so long; each further time after twice as long, as blocks may stand still.
pub(crate) const REPLACE_AGE_MS: u64 = 2 * REBROADCAST_MS_MAX;

/// Pause between two looks at whether the same head can be replaced.
pub(crate) const REPLACE_PAUSE_MS: u64 = 4_000;

/// How often one nonce's bytes are replaced: each adds a tenth to both fees at least.
pub(crate) const REPLACEMENTS_MAX: usize = 16;

/// A wallet's lowest unused nonce.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) nonce: u64,
    /// The newest attempt there, and how many there are.
    pub(super) attempt: AttemptId,
    pub(super) attempts: usize,
    /// Since when nothing moved it.
    pub(super) since_ms: u64,
}

/// What is being done about one wallet's head.
#[derive(Debug, Default)]
pub(super) struct Replacing {
    /// Of which nonce the rest is said.
    nonce: Option<u64>,
    /// When it was replaced from here last.
    replaced_ms: u64,
    not_before_ms: u64,
    is_busy: bool,
    is_spent: bool,
}

impl Replacing {
    /// Whether the day's budget had no room for it: the lane is closed until it moves.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Looks at a head that hangs.
    pub(super) fn consider(&mut self, head: Head, is_under: bool, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.nonce != Some(head.nonce) {
            *self = Self { nonce: Some(head.nonce), is_busy: self.is_busy, ..Self::default() };
        }
        let replaced = head.attempts.saturating_sub(1);
        if self.is_busy || now_ms < self.not_before_ms || replaced >= REPLACEMENTS_MAX {
            return;
        }
        let doublings = u32::try_from(replaced).unwrap_or(u32::MAX);
        let age = REPLACE_AGE_MS.saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
        let is_old = now_ms.saturating_sub(self.replaced_ms.max(head.since_ms)) >= age;
        if is_under || is_old {
            self.is_busy = true;
            effects.push(Effect::Weigh { attempt: head.attempt });
        }
    }

    fn rest(&mut self, now_ms: u64) {
        self.is_busy = false;
        self.not_before_ms = now_ms.saturating_add(REPLACE_PAUSE_MS);
    }
}

impl State {
    /// `open`: its payments without a verdict; `lives`: whether one of them can still land.
    pub(super) fn weighed(&mut self, attempt: AttemptId, open: Vec<PaymentId>, lives: bool) {
        let (by, payments) = match lives {
            true => (Successor::Same, open),
            false => (Successor::Nothing, Vec::new()),
        };
        self.effects.push(Effect::Replace { attempt, by, payments });
    }

    /// Slot, bytes and hash of what replaces it are durable: those go out from now on, whoever of its
    /// payments has a driver here hears of them, and what was replaced stays watched.
    pub(super) fn replaced(&mut self, attempt: &Attempt) {
        let replacing = &mut self.slots.replacing;
        (replacing.replaced_ms, replacing.is_spent) = (self.now_ms, false);
        replacing.rest(self.now_ms);
        let mut goes_out = false;
        for payment in &attempt.payments {
            goes_out |= self.takes_replacement(payment, attempt);
        }
        if !goes_out {
            self.slots.fill(attempt.id, &mut self.effects);
        }
    }

    pub(super) fn not_replaced(&mut self, is_spent: bool) {
        self.slots.replacing.is_spent = is_spent;
        self.slots.replacing.rest(self.now_ms);
    }
}
