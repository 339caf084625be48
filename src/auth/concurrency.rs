//! How much of something one user or one address has at once: requests, connections.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts what each key holds. Clones count together.
#[derive(Clone)]
pub struct Concurrency<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One that is held; given back on drop.
pub struct Slot<K: Hash + Eq> {
    counts: Concurrency<K>,
    key: K,
}

impl<K> Default for Concurrency<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> fmt::Debug for Concurrency<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Concurrency")
    }
}

impl<K: Hash + Eq + Clone> Concurrency<K> {
    /// One more for `key`, unless it has `most` already.
    pub fn take(&self, key: &K, most: usize) -> Option<Slot<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(key) {
            if *count >= most {
                return None;
            }
            *count += 1;
        } else if most == 0 {
            return None;
        } else {
            counts.insert(key.clone(), 1);
        }
        drop(counts);
        Some(Slot { counts: self.clone(), key: key.clone() })
    }
}

impl<K: Hash + Eq> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_and_no_more_and_what_is_given_back_is_forgotten() {
        let counts = Concurrency::default();
        let first = counts.take(&"ana", 2);
        let second = counts.take(&"ana", 2);
        assert!(first.is_some() && second.is_some());
        assert!(counts.take(&"ana", 2).is_none());
        assert!(counts.take(&"bob", 2).is_some());
        drop(first);
        assert!(counts.take(&"ana", 2).is_some());
        drop(second);
        assert!(counts.0.lock().unwrap().is_empty());
        assert!(counts.take(&"ana", 0).is_none());
    }
}
