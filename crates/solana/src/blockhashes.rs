//! What endpoints said of blockhashes and of how long each is valid.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use solana_sdk::hash::Hash;

use crate::ask::Newest;

/// Blocks that may use a blockhash (Solana documentation, "Transaction Confirmation & Expiration").
pub(crate) const BLOCKHASH_BLOCKS: u64 = 150;

/// Forks of one chain count their blocks apart by no more than this.
const FORK_BLOCKS: u64 = 32;

/// Blockhashes that are remembered, of all endpoints together.
const KNOWN_MAX: usize = 1_024;

/// One blockhash and its last valid block height, as an endpoint said or as follows from it.
#[derive(Clone, Copy, Debug)]
struct Known {
    endpoint: usize,
    hash: Hash,
    last_valid: u64,
}

impl Newest {
    /// There are no more blocks than slots.
    fn is_possible(&self) -> bool {
        let highest = |slot: u64| slot.saturating_add(BLOCKHASH_BLOCKS).saturating_add(FORK_BLOCKS);
        self.slot.is_none_or(|slot| self.last_valid <= highest(slot))
    }

    /// From one slot to a later one the height does not fall, nor rise by more blocks than
    /// there were slots.
    fn agrees_with(&self, known: &Self) -> bool {
        let (Some(slot), Some(known_slot)) = (self.slot, known.slot) else { return true };
        let [(early, low), (late, high)] = if slot < known_slot {
            [(slot, self.last_valid), (known_slot, known.last_valid)]
        } else {
            [(known_slot, known.last_valid), (slot, self.last_valid)]
        };
        let slots = late.saturating_sub(early);
        high.saturating_add(FORK_BLOCKS) >= low
            && high <= low.saturating_add(slots).saturating_add(FORK_BLOCKS)
    }
}

/// What endpoints told; those told last are remembered. What one says is never held against
/// what another one accepted (I7).
#[derive(Default)]
pub(crate) struct Blockhashes {
    known: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    hashes: VecDeque<Known>,
    /// The newest blockhash of an endpoint, and the slot at which it was.
    newest: Vec<(usize, Newest)>,
}

impl Blockhashes {
    /// An endpoint's newest blockhash; `false` if it cannot be so, or contradicts what that
    /// endpoint said before. Then one of its words is wrong, nobody knows which, and all of
    /// them are forgotten: a balancer's node of another cluster, or a chain that began anew,
    /// must not decide for longer than one answer.
    #[must_use]
    pub(crate) fn learn(&self, endpoint: usize, newest: Newest) -> bool {
        let mut told = self.lock();
        let known = told.newest_of(endpoint);
        if !newest.is_possible() || known.is_some_and(|known| !newest.agrees_with(&known)) {
            tracing::debug!(endpoint, "this endpoint's last valid block heights contradict each other");
            told.forget(endpoint);
            return false;
        }
        told.add(Known { endpoint, hash: newest.hash, last_valid: newest.last_valid });
        match told.newest.iter_mut().find(|(of, _)| *of == endpoint) {
            None => told.newest.push((endpoint, newest)),
            Some((_, known)) if known.slot <= newest.slot => *known = newest,
            Some(_) => {}
        }
        true
    }

    pub(crate) fn forget(&self, endpoint: usize) {
        self.lock().forget(endpoint);
    }

    /// An endpoint's recent blockhashes, the newest first. Nothing is learnt from a list
    /// that holds no known one, or in which two known ones lie apart by another number.
    pub(crate) fn learn_list(&self, endpoint: usize, list: &[Hash]) {
        let mut told = self.lock();
        let anchors = list.iter().zip(0_u64..).filter_map(|(hash, age)| {
            let last_valid = told.last_valid(endpoint, hash)?;
            last_valid.checked_add(age)
        });
        // What the first of the list has as its last valid height.
        let first: Vec<u64> = anchors.collect();
        let Some(top) = first.first().copied() else { return };
        if first.iter().any(|other| *other != top) {
            tracing::debug!(endpoint, "this endpoint's list of blockhashes contradicts what it said before");
            return;
        }
        // The oldest first: they are forgotten first.
        for (hash, age) in list.iter().zip(0_u64..).collect::<Vec<_>>().into_iter().rev() {
            if let Some(last_valid) = top.checked_sub(age) {
                told.add(Known { endpoint, hash: *hash, last_valid });
            }
        }
    }

    pub(crate) fn last_valid(&self, endpoint: usize, hash: &Hash) -> Option<u64> {
        self.lock().last_valid(endpoint, hash)
    }

    /// How many blocks old it is at this slot, at most: not every slot has a block.
    pub(crate) fn age(&self, endpoint: usize, last_valid: u64, slot: u64) -> Option<u64> {
        let newest = self.lock().newest_of(endpoint)?;
        let older = newest.last_valid.saturating_sub(last_valid);
        Some(older.saturating_add(slot.saturating_sub(newest.slot?)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn newest_of(&self, endpoint: usize) -> Option<Newest> {
        self.newest.iter().find(|(of, _)| *of == endpoint).map(|(_, newest)| *newest)
    }

    pub(crate) fn forget(&mut self, endpoint: usize) {
        self.hashes.retain(|known| known.endpoint != endpoint);
        self.newest.retain(|(of, _)| *of != endpoint);
    }

    pub(crate) fn last_valid(&self, endpoint: usize, hash: &Hash) -> Option<u64> {
        let mut found = self.hashes.iter().filter(|one| one.endpoint == endpoint && one.hash == *hash);
        found.next().map(|one| one.last_valid)
    }

    fn add(&mut self, new: Known) {
        let mut same = self.hashes.iter_mut().filter(|one| one.endpoint == new.endpoint);
        if let Some(known) = same.find(|one| one.hash == new.hash) {
            // I5: of two words the one that waits longer.
            known.last_valid = known.last_valid.max(new.last_valid);
            return;
        }
        if self.hashes.len() >= KNOWN_MAX {
            self.hashes.pop_front();
        }
        self.hashes.push_back(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u8) -> Hash {
        Hash::new_from_array([number; 32])
    }

    /// Two words about one blockhash: the one that waits longer, and a bounded memory.
    #[test]
    fn what_is_remembered_is_bounded_and_never_lowered() {
        let known = Blockhashes::default();
        let at = |hash, last_valid| Newest { hash, last_valid, slot: None };
        assert!(known.learn(0, at(hash(1), 500)));
        assert!(known.learn(0, at(hash(1), 400)));
        assert_eq!(known.last_valid(0, &hash(1)), Some(500));
        for number in 0..5_000_u32 {
            let mut bytes = [0xee; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            assert!(known.learn(0, at(Hash::new_from_array(bytes), u64::from(number))));
        }
        assert_eq!(known.lock().hashes.len(), KNOWN_MAX);
        assert_eq!(known.last_valid(0, &hash(1)), None);
    }
}
