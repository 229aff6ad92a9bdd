//! Places for payments in flight: one for each payment, however many copies of it
//! there are.
//!
//! Copies of a payment cost nothing to make. Were each to take a place, one payment
//! under way would be enough to keep every other customer out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quittance_protocol::PaymentKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Caller;

/// The part of the places that strangers leave to payers with history: one in so many.
const RESERVED_PART: usize = 4;

/// The part of what is left that one address has at most: one in so many.
const ADDRESS_PART: usize = 2;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// All are taken.
    #[error("too many payments are in flight")]
    Full,
    /// As many copies of this payment wait as may.
    #[error("too many copies of this payment wait for its outcome")]
    Copies,
}

/// What is known of a payment before the ledger is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Which payment it is: the same for all copies that its payer signed, and
    /// another one for each that somebody else made up.
    pub key: PaymentKey,
    /// Whether this process has seen a payment of this payer settle.
    pub has_history: bool,
    /// Whether the payer did sign it.
    pub is_signed: bool,
}

/// All places of one kind. Copies of a payment share one, and a `T` with it.
pub struct Places<T = ()> {
    table: Arc<Mutex<Table<T>>>,
    all: Arc<Semaphore>,
    /// What strangers may have of them.
    open: Arc<Semaphore>,
    address_max: usize,
    copies_max: usize,
}

struct Table<T> {
    taken: BTreeMap<PaymentKey, Taken<T>>,
    /// Places of strangers, by who is calling.
    addresses: BTreeMap<Caller, usize>,
}

struct Taken<T> {
    entry: Arc<Entry<T>>,
    copies: usize,
}

struct Entry<T> {
    shared: Mutex<Option<T>>,
    /// Who is counted for it.
    address: Option<Caller>,
    _place: OwnedSemaphorePermit,
    _open: Option<OwnedSemaphorePermit>,
}

/// A share in a payment's place; free when the last one is dropped.
pub struct Place<T = ()> {
    key: PaymentKey,
    entry: Arc<Entry<T>>,
    table: Arc<Mutex<Table<T>>>,
}

impl<T> Places<T> {
    /// So many payments at once, and so many copies of each.
    pub fn new(places_max: usize, copies_max: usize) -> Self {
        let places = places_max.clamp(1, Semaphore::MAX_PERMITS);
        let open = places.saturating_sub(places / RESERVED_PART);
        Self {
            table: Arc::new(Mutex::new(Table { taken: BTreeMap::new(), addresses: BTreeMap::new() })),
            all: Arc::new(Semaphore::new(places)),
            open: Arc::new(Semaphore::new(open)),
            address_max: open.div_ceil(ADDRESS_PART),
            copies_max,
        }
    }

    /// A share in the payment's place, which is taken if no copy has it. Never waits.
    pub fn enter(&self, payment: &Presented, caller: Caller) -> Result<Place<T>, NoPlace> {
        let key = payment.key;
        let mut table = lock(&self.table);
        if let Some(taken) = table.taken.get_mut(&key) {
            if taken.copies >= self.copies_max {
                return Err(NoPlace::Copies);
            }
            taken.copies = taken.copies.saturating_add(1);
            let entry = Arc::clone(&taken.entry);
            return Ok(Place { key, entry, table: Arc::clone(&self.table) });
        }
        let full = |_| NoPlace::Full;
        let place = Arc::clone(&self.all).try_acquire_owned().map_err(full)?;
        let stranger = !payment.has_history;
        let open = match stranger {
            true => Some(Arc::clone(&self.open).try_acquire_owned().map_err(full)?),
            false => None,
        };
        let address = (stranger && caller.address().is_some()).then_some(caller);
        if let Some(caller) = address {
            let count = table.addresses.entry(caller).or_default();
            if *count >= self.address_max {
                return Err(NoPlace::Full);
            }
            *count = count.saturating_add(1);
        }
        let entry = Arc::new(Entry { shared: Mutex::new(None), address, _place: place, _open: open });
        table.taken.insert(key, Taken { entry: Arc::clone(&entry), copies: 1 });
        Ok(Place { key, entry, table: Arc::clone(&self.table) })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        lock(&self.table).taken.len()
    }
}

impl<T> Place<T> {
    /// What the copies of this payment share.
    pub fn shared(&self) -> MutexGuard<'_, Option<T>> {
        lock(&self.entry.shared)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        let Some(taken) = table.taken.get_mut(&self.key) else { return };
        taken.copies = taken.copies.saturating_sub(1);
        if taken.copies > 0 {
            return;
        }
        table.taken.remove(&self.key);
        let Some(caller) = self.entry.address else { return };
        if let Some(count) = table.addresses.get_mut(&caller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                table.addresses.remove(&caller);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(number: u8, has_history: bool) -> Presented {
        Presented { key: PaymentKey::from_bytes([number; 32]), has_history, is_signed: true }
    }

    #[test]
    fn copies_share_a_place_and_have_a_limit_of_their_own() {
        let places = Places::<()>::new(4, 3);
        let nobody = Caller::default();
        let copies: Vec<_> = (0..3).map(|_| places.enter(&payment(1, false), nobody).unwrap()).collect();
        assert_eq!(places.enter(&payment(1, false), nobody).err(), Some(NoPlace::Copies));
        assert_eq!(places.taken(), 1);
        let others: Vec<_> = (2..4).map(|n| places.enter(&payment(n, false), nobody).unwrap()).collect();
        assert_eq!(places.enter(&payment(4, false), nobody).err(), Some(NoPlace::Full));
        let customer = places.enter(&payment(5, true), nobody).unwrap();
        assert_eq!(places.enter(&payment(6, true), nobody).err(), Some(NoPlace::Full));
        drop((copies, others, customer));
        assert_eq!(places.taken(), 0);
        assert!(places.enter(&payment(1, false), nobody).is_ok());
    }

    #[test]
    fn one_address_leaves_places_to_others() {
        let places = Places::<()>::new(8, 3);
        let at = |text: &str| Caller::at(text.parse().unwrap());
        let (greedy, other) = (at("192.0.2.1"), at("192.0.2.2"));
        let held: Vec<_> = (0..3).map(|n| places.enter(&payment(n, false), greedy).unwrap()).collect();
        assert_eq!(places.enter(&payment(9, false), greedy).err(), Some(NoPlace::Full));
        assert!(places.enter(&payment(9, false), other).is_ok());
        assert!(places.enter(&payment(9, true), greedy).is_ok(), "its customers buy on");
        drop(held);
        assert!(places.enter(&payment(9, false), greedy).is_ok());
        assert!(lock(&places.table).addresses.is_empty(), "nobody is remembered");
    }

    #[test]
    fn what_copies_share_lives_as_long_as_their_place() {
        let places = Places::<u8>::new(1, 3);
        let first = places.enter(&payment(1, false), Caller::default()).unwrap();
        *first.shared() = Some(7);
        let second = places.enter(&payment(1, false), Caller::default()).unwrap();
        drop(first);
        assert_eq!(*second.shared(), Some(7));
        drop(second);
        let third = places.enter(&payment(1, false), Caller::default()).unwrap();
        assert_eq!(*third.shared(), None);
    }
}
