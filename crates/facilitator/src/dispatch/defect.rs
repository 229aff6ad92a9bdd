//! Faults that a simulator builds into a lane on purpose, between what is decided and what is
//! done: an auditor that stays silent about one of them is blind there. Without the feature
//! `defects` there is none, and nothing to ask for one.

use std::sync::Arc;

use quittance_ledger::Recorded;

use super::step::Effect;
use crate::network::pool::Pool;

/// What a lane gets wrong.
#[cfg(feature = "defects")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Bytes are recorded, and every third of them is never sent.
    NeverSent,
    /// A slot whose payments are over is not filled.
    SlotLeftOpen,
    /// What bytes may burn is given back while they may land.
    FreedInFlight,
    /// A second attempt is signed beside the one that goes out.
    TwoAlive,
    /// A second attempt of a payment is made with another wallet, beside the first.
    OtherWallet,
    /// A payment is signed at another nonce while the first one is replaced.
    SecondSlot,
    /// What does nothing takes the place of what can still land.
    NothingInstead,
    /// Of attempts that were replaced nobody hears any more.
    OldForgotten,
    /// A payment of a transaction for several is signed again, alone, beside it.
    BatchItemTwice,
    /// The lane panics, again and again; each life is twice as long as the one before.
    Breaks,
}

/// Effects of a lane before it breaks for the first time.
#[cfg(feature = "defects")]
const BREAKS_AFTER: u32 = 12;

/// The faults of one lane: none, or one.
#[derive(Clone, Default)]
pub(crate) struct Defects {
    #[cfg(feature = "defects")]
    which: Option<Defect>,
    /// How each payment was signed first.
    #[cfg(feature = "defects")]
    signed: std::collections::BTreeMap<quittance_protocol::PaymentId, Effect>,
    /// Effects so far.
    #[cfg(feature = "defects")]
    effects: u32,
    /// Another wallet of the network, where there is one.
    #[cfg(feature = "defects")]
    other: Option<String>,
    /// The lane's own wallet.
    #[cfg(feature = "defects")]
    own: String,
    /// Lives that broke.
    #[cfg(feature = "defects")]
    broken: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

#[cfg(not(feature = "defects"))]
impl Defects {
    #[allow(clippy::unused_self, reason = "the feature's shape")]
    pub(super) fn of_wallet(&self, _pool: &Pool, _address: &str) -> Self {
        Self::default()
    }

    #[allow(clippy::unused_self, reason = "the feature's shape")]
    pub(super) fn spoil(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        effects
    }

    #[allow(clippy::unused_self, reason = "the feature's shape")]
    pub(super) fn known(&self, all: &[Arc<Recorded>]) -> Vec<Arc<Recorded>> {
        all.to_vec()
    }
}

#[cfg(feature = "defects")]
impl Defects {
    pub(crate) fn of(which: Option<Defect>) -> Self {
        Self { which, ..Self::default() }
    }

    /// Those of one wallet's lane.
    pub(super) fn of_wallet(&self, pool: &Pool, address: &str) -> Self {
        let other = pool.paying().find(|wallet| wallet.address != address);
        let other = other.map(|wallet| wallet.address.clone());
        Self { other, own: address.to_owned(), ..self.clone() }
    }

    /// What a payment's driver is told of its attempts.
    pub(super) fn known(&self, all: &[Arc<Recorded>]) -> Vec<Arc<Recorded>> {
        let is_replaced =
            |one: &Arc<Recorded>| all.iter().any(|other| other.replaces() == Some(one.attempt()));
        let forgets = self.which == Some(Defect::OldForgotten);
        all.iter().filter(|one| !forgets || !is_replaced(one)).cloned().collect()
    }

    pub(super) fn spoil(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        effects.into_iter().flat_map(|effect| self.spoiled(effect)).collect()
    }

    fn break_when_due(&self) {
        use std::sync::atomic::Ordering;
        let lives = self.broken.load(Ordering::SeqCst);
        if self.effects > BREAKS_AFTER.checked_shl(lives).unwrap_or(u32::MAX) {
            self.broken.fetch_add(1, Ordering::SeqCst);
            assert!(self.which != Some(Defect::Breaks), "a lane that breaks");
        }
    }

    fn spoiled(&mut self, effect: Effect) -> Vec<Effect> {
        self.effects = self.effects.saturating_add(1);
        match (self.which, &effect) {
            (Some(Defect::NeverSent), Effect::Send { attempt, .. }) if attempt.get() % 3 == 0 => Vec::new(),
            (Some(Defect::NeverSent), Effect::Fill { attempt }) if attempt.get() % 3 == 0 => Vec::new(),
            (Some(Defect::SlotLeftOpen), Effect::Fill { .. }) => Vec::new(),
            (Some(Defect::FreedInFlight), Effect::Send { payment, .. }) => {
                let freed = Effect::Return { payment: payment.clone() };
                vec![effect, freed]
            }
            (
                Some(Defect::TwoAlive | Defect::OtherWallet | Defect::SecondSlot),
                Effect::Record { payments, newest: None, .. },
            ) => {
                if let Some(payment) = payments.first() {
                    self.signed.insert(payment.clone(), effect.clone());
                }
                vec![effect]
            }
            (Some(Defect::TwoAlive), Effect::Send { payment, attempt }) => {
                let again = self.signed.remove(payment).and_then(|first| again(first, *attempt));
                std::iter::once(effect).chain(again).collect()
            }
            (Some(Defect::SecondSlot), Effect::Replace { attempt, payments, .. }) => {
                let first = payments.first().and_then(|payment| self.signed.remove(payment));
                let again = first.and_then(|first| again(first, *attempt));
                std::iter::once(effect).chain(again).collect()
            }
            (Some(Defect::NothingInstead), Effect::Replace { attempt, .. }) => {
                let by = crate::chain::Successor::Nothing;
                vec![Effect::Replace { attempt: *attempt, by, payments: Vec::new() }]
            }
            (Some(Defect::OtherWallet), Effect::Send { payment, attempt }) => {
                let again = self.signed.remove(payment).and_then(|first| again(first, *attempt));
                let elsewhere = again.filter(|_| self.other.is_some());
                let elsewhere = elsewhere.map(|again| elsewhere_of(again, self.other.as_ref()));
                std::iter::once(effect).chain(elsewhere).collect()
            }
            (Some(Defect::BatchItemTwice), Effect::RecordBatch(batch)) => {
                if let Some(first) = batch.parts.first() {
                    let slot = quittance_ledger::Slot::Fresh { wallet: self.own.clone() };
                    let (payments, most) = (vec![first.payment.clone()], batch.reserved);
                    let allowed =
                        crate::chain::CostAllowed { charged_native: first.charged, reserved_native: most };
                    let alone = Effect::Record { payments, slot, newest: None, allowed };
                    batch.parts.iter().for_each(|part| {
                        self.signed.insert(part.payment.clone(), alone.clone());
                    });
                }
                vec![effect]
            }
            (Some(Defect::BatchItemTwice), Effect::Send { payment, attempt }) => {
                let again = self.signed.remove(payment).and_then(|first| again(first, *attempt));
                std::iter::once(effect).chain(again).collect()
            }
            (Some(Defect::Breaks), _) => {
                self.break_when_due();
                vec![effect]
            }
            _ => vec![effect],
        }
    }
}

/// The same once more, at a nonce of its own.
#[cfg(feature = "defects")]
fn again(first: Effect, newest: quittance_ledger::AttemptId) -> Option<Effect> {
    match first {
        Effect::Record { payments, slot: slot @ quittance_ledger::Slot::Fresh { .. }, allowed, .. } => {
            Some(Effect::Record { payments, slot, newest: Some(newest), allowed })
        }
        _ => None,
    }
}

/// The same with another wallet.
#[cfg(feature = "defects")]
fn elsewhere_of(effect: Effect, other: Option<&String>) -> Effect {
    match (effect, other) {
        (
            Effect::Record { payments, slot: quittance_ledger::Slot::Fresh { .. }, newest, allowed },
            Some(other),
        ) => {
            let slot = quittance_ledger::Slot::Fresh { wallet: other.clone() };
            Effect::Record { payments, slot, newest, allowed }
        }
        (effect, _) => effect,
    }
}
