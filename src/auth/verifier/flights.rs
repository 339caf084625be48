//! One flight per credential: who asks the same at the same time waits for one answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::Key;

/// The questions being answered now.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Key, Flight>>>);

#[derive(Default)]
struct Flight {
    seats: usize,
    cell: Arc<OnceCell<bool>>,
}

/// A seat in a flight, which ends when its last seat is dropped.
pub(super) struct Seat {
    flights: Flights,
    key: Key,
    cell: Arc<OnceCell<bool>>,
}

impl Flights {
    pub(super) fn join(&self, key: Key) -> Seat {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = flights.entry(key).or_default();
        flight.seats += 1;
        Seat { flights: self.clone(), key, cell: Arc::clone(&flight.cell) }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Seat {
    /// Where the answer will be. When the one who works on it is dropped, the cell lets the next one do it.
    pub(super) fn cell(&self) -> &OnceCell<bool> {
        &self.cell
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get_mut(&self.key) {
            flight.seats -= 1;
            if flight.seats == 0 {
                flights.remove(&self.key);
            }
        }
    }
}
