//! One flight per credential: who asks the same at the same time waits for one answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::Key;

/// The questions being answered now.
#[derive(Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Key, Arc<OnceCell<bool>>>>>);

/// A seat in a flight. The cell hands the work on to the next seat when the one who does it is dropped.
pub(super) struct Seat {
    flights: Arc<Mutex<HashMap<Key, Arc<OnceCell<bool>>>>>,
    key: Key,
    cell: Option<Arc<OnceCell<bool>>>,
    empty: OnceCell<bool>,
}

impl Flights {
    /// Takes a seat; the flight ends when its last seat is dropped.
    pub(super) fn join(&self, key: Key) -> Seat {
        let cell =
            Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        Seat { flights: Arc::clone(&self.0), key, cell: Some(cell), empty: OnceCell::new() }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Seat {
    pub(super) fn cell(&self) -> &OnceCell<bool> {
        self.cell.as_deref().unwrap_or(&self.empty)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Given up under the lock, so that the last of two who leave together sees that it is the last.
        drop(self.cell.take());
        if flights.get(&self.key).is_some_and(|cell| Arc::strong_count(cell) == 1) {
            flights.remove(&self.key);
        }
    }
}
