//! No wallet nonce that was reserved stays unused (I2).
//!
//! Bytes of a payment go out until it has a verdict. That verdict may come from elsewhere
//! while no node has ever taken them: a stranger landed the authorization, the payer
//! cancelled it, the deadline passed. Every later nonce of the wallet would then wait behind
//! theirs for ever. So durable bytes of finished payments, whoever signed them, go on going
//! out until the chain has used their nonce ([`crate::dispatch::costs`] books what that
//! cost). A reorganisation may open a used nonce again, so the chain is asked for as long as
//! that can happen.

use std::collections::BTreeSet;

use quittance_ledger::AttemptId;

use super::replace::{Head, Replacing};
use super::{Effect, Event, FILLS_MAX, OpenSlot, REBROADCAST_MS_MAX, Wallet};

/// Pause between two looks at a wallet's open slots.
pub(super) const LOOK_MS: u64 = 2_000;

/// Looks without an open slot between two questions to the chain.
const IDLE_LOOKS_MAX: u32 = 3;

/// How long after the last open slot a reorganisation is looked for: above the
/// time that Base takes to finalize a block.
pub(super) const REORG_MS_MAX: u64 = 3_600_000;

/// A transaction that is next and does not move for so long is looked at: blocks come
/// every two seconds at most.
const HEAD_AGE_MS_MAX: u64 = 4_000;

/// One that has not moved for so long is broadcast from here as well, and after as long again: its
/// payment may have nobody who sends it, whoever is to (a stored form that this release cannot
/// read, a process that hangs), and all others wait behind it.
const HEAD_SEND_MS: u64 = REBROADCAST_MS_MAX;

/// How far a look has come.
#[derive(Debug)]
enum Look {
    Resting,
    /// What the chain used before this lane began is the past.
    Beginning,
    Reading,
    Asking(Vec<OpenSlot>),
    /// The chain has used fewer nonces than before: more slots are open.
    Rereading {
        used: u64,
    },
    LookingAtHead {
        open: Vec<OpenSlot>,
        used: u64,
    },
    Judging {
        used: u64,
    },
}

/// One wallet's slots.
#[derive(Debug)]
pub(super) struct Slots {
    are_numbered: bool,
    signs: bool,
    replaces: bool,
    /// Nonces below this are used, as far as the chain said last.
    used: Option<u64>,
    /// When there was last an open slot; when the lane began at first.
    active_ms: u64,
    /// Looks since the chain was asked last.
    idle_looks: u32,
    /// The nonce that is next in the chain's eyes, and since when nothing moved it.
    head: Option<(u64, u64)>,
    /// When its bytes went out from here last.
    head_sent_ms: u64,
    look: Look,
    next_look_ms: u64,
    /// Bytes that are on their way.
    filling: BTreeSet<AttemptId>,
    /// What is done about the head.
    pub(super) replacing: Replacing,
}

impl Slots {
    pub(super) fn of(wallet: &Wallet) -> Self {
        Self {
            are_numbered: wallet.takes_nonce,
            signs: wallet.signs,
            replaces: wallet.replaces,
            used: None,
            active_ms: 0,
            idle_looks: 0,
            head: None,
            head_sent_ms: 0,
            look: Look::Resting,
            next_look_ms: 0,
            filling: BTreeSet::new(),
            replacing: Replacing::default(),
        }
    }

    /// The nonce that is next in the chain's eyes, and since when nothing moved it.
    pub(super) fn head(&self) -> Option<(u64, u64)> {
        self.head
    }

    pub(super) fn wakes_at(&self) -> Option<u64> {
        (self.are_numbered && matches!(self.look, Look::Resting)).then_some(self.next_look_ms)
    }

    /// One look: a read of the ledger, and a call while there are open slots, or now and
    /// then while a reorganisation could open some again.
    pub(super) fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.wakes_at().is_none_or(|at| at > now_ms) {
            return;
        }
        match self.used {
            None => {
                self.look = Look::Beginning;
                effects.push(Effect::AskUsed);
            }
            Some(from) => {
                self.look = Look::Reading;
                effects.push(Effect::ReadSlots { from });
            }
        }
    }

    pub(super) fn step(&mut self, event: Event, now_ms: u64, effects: &mut Vec<Effect>) {
        match (event, std::mem::replace(&mut self.look, Look::Resting)) {
            (Event::Filled(attempt), look) => {
                self.filling.remove(&attempt);
                self.look = look;
            }
            (Event::SlotsRead { open, .. }, Look::Reading) => {
                if self.is_due(!open.is_empty(), now_ms) {
                    self.look = Look::Asking(open);
                    effects.push(Effect::AskUsed);
                } else {
                    self.rest(now_ms);
                }
            }
            (Event::SlotsRead { open, .. }, Look::Rereading { used }) => {
                self.look_at_head(open, used, now_ms, effects);
            }
            (Event::Used(used), Look::Beginning) => {
                self.used = Some(used);
                self.rest(now_ms);
            }
            (Event::Used(used), Look::Asking(open)) => self.used(used, open, now_ms, effects),
            (Event::HeadSeen { is_stuck }, Look::LookingAtHead { open, used }) => {
                self.head_seen(&open, is_stuck, now_ms, effects);
                self.judge(&open, used, now_ms, effects);
            }
            // Just where the head hangs its bytes must go out again.
            (Event::LookFailed, Look::LookingAtHead { open, used }) => {
                self.judge(&open, used, now_ms, effects);
            }
            (Event::Judged { over }, Look::Judging { used }) => {
                for attempt in over.into_iter().take(FILLS_MAX) {
                    self.filling.insert(attempt);
                    effects.push(Effect::Fill { attempt });
                }
                self.used = Some(used);
                self.rest(now_ms);
            }
            // It starts again where it did.
            (Event::LookFailed, _) => self.rest(now_ms),
            (_, look) => self.look = look,
        }
    }

    fn rest(&mut self, now_ms: u64) {
        self.look = Look::Resting;
        self.next_look_ms = now_ms.saturating_add(LOOK_MS);
    }

    /// Whether to ask the chain at this look.
    fn is_due(&mut self, is_open: bool, now_ms: u64) -> bool {
        if is_open {
            self.active_ms = now_ms;
        }
        self.idle_looks = self.idle_looks.saturating_add(1);
        let could_reopen = now_ms.saturating_sub(self.active_ms) < REORG_MS_MAX;
        let is_due = is_open || (could_reopen && self.idle_looks >= IDLE_LOOKS_MAX);
        if is_due {
            self.idle_looks = 0;
        }
        is_due
    }

    /// The count is followed both ways: after a reorganisation it is lower, and bytes that
    /// were used once are open again. A node that is merely behind makes us broadcast what
    /// it will know soon, which does no harm.
    fn used(&mut self, used: u64, mut open: Vec<OpenSlot>, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.used.is_some_and(|before| used < before) {
            self.look = Look::Rereading { used };
            effects.push(Effect::ReadSlots { from: used });
            return;
        }
        open.retain(|slot| slot.nonce >= used);
        self.look_at_head(open, used, now_ms, effects);
    }

    /// The network closes while the wallet's next transaction offers less than a block asks
    /// for and does not move: whatever is sold meanwhile would wait behind it. So it is replaced if
    /// that can be.
    fn look_at_head(&mut self, open: Vec<OpenSlot>, used: u64, now_ms: u64, effects: &mut Vec<Effect>) {
        let first = open.first().map(|slot| slot.nonce);
        self.head = match (first, self.head) {
            (Some(first), Some((known, since))) if first == known => Some((known, since)),
            (Some(first), _) => Some((first, now_ms)),
            (None, _) => None,
        };
        if !self.signs && !self.replaces {
            return self.judge(&open, used, now_ms, effects);
        }
        let old = self.head.filter(|(_, since)| now_ms.saturating_sub(*since) >= HEAD_AGE_MS_MAX);
        // The newest bytes of a nonce are the last of it.
        let head = old.and_then(|(nonce, _)| open.iter().rfind(|slot| slot.nonce == nonce));
        match head.map(|slot| slot.attempt) {
            Some(attempt) => {
                self.look = Look::LookingAtHead { open, used };
                effects.push(Effect::LookAtHead { attempt });
            }
            None => {
                self.set_stuck(false, effects);
                self.judge(&open, used, now_ms, effects);
            }
        }
    }

    /// Only the wallet that signs closes its network; another one's lane holds up nothing new.
    fn set_stuck(&self, is_stuck: bool, effects: &mut Vec<Effect>) {
        if self.signs {
            effects.push(Effect::SetStuck(is_stuck));
        }
    }

    fn head_seen(&mut self, open: &[OpenSlot], is_under: bool, now_ms: u64, effects: &mut Vec<Effect>) {
        let Some((nonce, since_ms)) = self.head else { return };
        let there = || open.iter().filter(|slot| slot.nonce == nonce);
        // The newest bytes of a nonce are the last of it.
        if let Some(newest) = there().next_back().filter(|_| self.replaces) {
            let head = Head { nonce, attempt: newest.attempt, attempts: there().count(), since_ms };
            self.replacing.consider(head, is_under, now_ms, effects);
        }
        self.set_stuck(is_under || self.replacing.is_spent(), effects);
    }

    /// Durable bytes that nobody else sends.
    pub(super) fn fill(&mut self, attempt: AttemptId, effects: &mut Vec<Effect>) {
        if self.filling.insert(attempt) {
            effects.push(Effect::Fill { attempt });
        }
    }

    /// Durable bytes may go out at any time, whoever else sends them.
    fn send_head(&mut self, open: &[OpenSlot], now_ms: u64, effects: &mut Vec<Effect>) {
        let Some((nonce, since)) = self.head else { return };
        if now_ms.saturating_sub(self.head_sent_ms.max(since)) < HEAD_SEND_MS {
            return;
        }
        let Some(newest) = open.iter().rfind(|slot| slot.nonce == nonce) else { return };
        if self.filling.insert(newest.attempt) {
            self.head_sent_ms = now_ms;
            effects.push(Effect::Fill { attempt: newest.attempt });
        }
    }

    /// The newest bytes of every open slot, if they are not just on their way.
    fn judge(&mut self, open: &[OpenSlot], used: u64, now_ms: u64, effects: &mut Vec<Effect>) {
        self.send_head(open, now_ms, effects);
        let is_newest = |at: usize, slot: &OpenSlot| {
            open.get(at.saturating_add(1)).is_none_or(|next| next.nonce != slot.nonce)
        };
        let newest = open.iter().enumerate().filter(|(at, slot)| is_newest(*at, slot));
        let attempts: Vec<_> =
            newest.map(|(_, slot)| slot.attempt).filter(|attempt| !self.filling.contains(attempt)).collect();
        if attempts.is_empty() {
            self.used = Some(used);
            return self.rest(now_ms);
        }
        self.look = Look::Judging { used };
        effects.push(Effect::Judge { attempts });
    }
}
