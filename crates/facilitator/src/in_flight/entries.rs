//! Entries: who works on which payment in this process.
//!
//! They save work and wake waiters; they decide nothing. The ledger alone says
//! what is claimed, settled or delivered, so losing all of them loses nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use quittance_ledger::{Payment, StoredAnswer};
use quittance_protocol::{PaymentKey, SettleResponse};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::in_flight::callers::Present;
use crate::in_flight::shared_read::{SharedRead, Tickets};
use crate::in_flight::single_flight::SingleFlight;

/// All entries of this process.
#[derive(Default)]
pub(crate) struct InFlight {
    entries: Arc<Mutex<BTreeMap<PaymentKey, Weak<PaymentEntry>>>>,
}

/// One payment's entry; lives as long as somebody holds it.
pub(crate) struct PaymentEntry {
    key: PaymentKey,
    home: Arc<Mutex<BTreeMap<PaymentKey, Weak<PaymentEntry>>>>,
    /// Taken for look-up, chain check and claim, so that copies of one payment
    /// cost one chain check (single flight).
    pub(crate) flight: tokio::sync::Mutex<SingleFlight>,
    /// Drawn before the flight is taken.
    pub(crate) tickets: Tickets,
    /// The kept answer, for copies that are answered from it at the same time.
    pub(crate) answer: SharedRead<Option<StoredAnswer>>,
    /// Announcements so far.
    announced: AtomicU64,
    /// Wakes in the order in which they came: a `watch` channel draws one of
    /// several queues, and a simulated world would not repeat.
    waiters: Notify,
    /// Whether a driver of this process works on the payment.
    driven: AtomicBool,
    /// Who came with the payment.
    callers: Mutex<Present>,
    /// What was read last, for copies that ask at the same time.
    pub(crate) reading: tokio::sync::Mutex<Option<Reading>>,
    /// What one copy too many is told.
    pub(crate) peek: Mutex<Peek>,
}

/// A payment as the ledger had it a moment ago.
pub(crate) struct Reading {
    pub(crate) at: Instant,
    /// Announcements until then.
    pub(crate) announced: u64,
    pub(crate) payment: Payment,
}

/// What is known of a payment without waiting.
#[derive(Default)]
pub(crate) struct Peek {
    pub(crate) at: Option<Instant>,
    pub(crate) receipt: Option<SettleResponse>,
}

/// The right to drive a payment in this process; ends when dropped.
pub(crate) struct Driving(Arc<PaymentEntry>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.driven.store(false, Ordering::Release);
    }
}

impl InFlight {
    /// The payment's entry, made when there is none.
    pub(crate) fn entry(&self, key: PaymentKey) -> Arc<PaymentEntry> {
        let mut entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        let entry = Arc::new(PaymentEntry {
            key,
            home: Arc::clone(&self.entries),
            flight: tokio::sync::Mutex::default(),
            tickets: Tickets::default(),
            answer: SharedRead::default(),
            announced: AtomicU64::new(0),
            waiters: Notify::new(),
            driven: AtomicBool::new(false),
            reading: tokio::sync::Mutex::default(),
            peek: Mutex::default(),
            callers: Mutex::default(),
        });
        entries.insert(key, Arc::downgrade(&entry));
        entry
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }
}

impl PaymentEntry {
    /// Wakes everyone who waits for this payment.
    pub(crate) fn announce(&self) {
        self.announced.fetch_add(1, Ordering::AcqRel);
        self.waiters.notify_waiters();
    }

    /// The right to drive, unless a driver of this process has it: a process
    /// that lost its lease and joined again may find its own payment orphaned
    /// while its driver still lives, and two would sign twice (I10).
    pub(crate) fn drive(self: &Arc<Self>) -> Option<Driving> {
        let taken = self.driven.swap(true, Ordering::AcqRel);
        (!taken).then(|| Driving(Arc::clone(self)))
    }

    /// Who came with the payment, for as long as the guard is held: never over an `.await`.
    pub(crate) fn callers(&self) -> MutexGuard<'_, Present> {
        self.callers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether a driver of this process works on the payment.
    pub(crate) fn is_driven(&self) -> bool {
        self.driven.load(Ordering::Acquire)
    }

    /// Announcements so far.
    pub(crate) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// Changes from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Changes {
        Changes { seen: self.announced.load(Ordering::Acquire), entry: Arc::clone(self) }
    }
}

/// What one waiter has not seen yet.
pub(crate) struct Changes {
    entry: Arc<PaymentEntry>,
    seen: u64,
}

impl Changes {
    /// Returns at the next announcement, or at once if there was one already.
    pub(crate) async fn changed(&mut self) {
        loop {
            let mut woken = std::pin::pin!(self.entry.waiters.notified());
            // Listens before it looks, so that nothing falls in between.
            woken.as_mut().enable();
            let announced = self.entry.announced.load(Ordering::Acquire);
            if announced != self.seen {
                self.seen = announced;
                return;
            }
            woken.await;
        }
    }
}

impl Drop for PaymentEntry {
    fn drop(&mut self) {
        let mut entries = self.home.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A new entry may stand there already: its maker found ours dying.
        if entries.get(&self.key).is_some_and(|weak| weak.strong_count() == 0) {
            entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_an_entry_and_the_last_holder_removes_it() {
        let in_flight = InFlight::default();
        let key = PaymentKey::from_bytes([1; 32]);
        let first = in_flight.entry(key);
        let second = in_flight.entry(key);
        assert!(Arc::ptr_eq(&first, &second));
        drop(first);
        assert_eq!(in_flight.len(), 1);
        drop(second);
        assert_eq!(in_flight.len(), 0, "what is kept here does not grow with the payments that were seen");
    }

    #[test]
    fn one_driver_at_a_time_in_this_process() {
        let in_flight = InFlight::default();
        let entry = in_flight.entry(PaymentKey::from_bytes([3; 32]));
        let driving = entry.drive();
        assert!(driving.is_some());
        assert!(in_flight.entry(PaymentKey::from_bytes([3; 32])).drive().is_none());
        drop(driving);
        assert!(entry.drive().is_some());
    }

    #[tokio::test]
    async fn an_announcement_before_waiting_is_not_lost() {
        let in_flight = InFlight::default();
        let entry = in_flight.entry(PaymentKey::from_bytes([2; 32]));
        let mut changes = entry.subscribe();
        entry.announce();
        tokio::time::timeout(std::time::Duration::from_secs(5), changes.changed()).await.unwrap();
    }
}
