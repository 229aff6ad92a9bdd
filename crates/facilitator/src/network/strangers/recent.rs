//! A bounded memory of what happened last.

use std::collections::BTreeMap;

/// Remembers at least the last `keys_max` keys that were put in, and at most twice as
/// many: when the newer half is full, the older one is forgotten whole.
pub(crate) struct Recent<K, V> {
    newer: BTreeMap<K, V>,
    older: BTreeMap<K, V>,
    keys_max: usize,
}

impl<K: Ord, V> Recent<K, V> {
    pub(crate) fn new(keys_max: usize) -> Self {
        Self { newer: BTreeMap::new(), older: BTreeMap::new(), keys_max: keys_max.max(1) }
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.older.remove(&key);
        if self.newer.len() >= self.keys_max && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, value);
    }

    /// Whether the key was not remembered before.
    pub(crate) fn put_new(&mut self, key: K, value: V) -> bool {
        let is_new = self.get(&key).is_none();
        self.put(key, value);
        is_new
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.newer.get(key).or_else(|| self.older.get(key))
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        self.newer.remove(key);
        self.older.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_no_more() {
        let mut recent = Recent::new(10);
        for key in 0..1_000 {
            recent.put(key, key);
            for last in key - 9..=key {
                assert_eq!(recent.get(&last).copied(), (last >= 0).then_some(last));
            }
            assert!(recent.len() <= 20);
        }
        assert!(!recent.put_new(995, 7) && recent.put_new(-1, 1));
        assert_eq!(recent.get(&995), Some(&7));
        recent.remove(&995);
        assert_eq!(recent.get(&995), None);
    }
}
