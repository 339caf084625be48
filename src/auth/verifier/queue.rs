//! The queue for the few places where passwords are hashed: bounded, and no address can fill it.
//!
//! Who waits goes through two doors: that of its address, which lets as many through as can be hashed at once,
//! and then the one for all, first come first served. So an address with a hundred waiting requests stands in
//! the way of others with no more than a handful.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::{AuthError, Config, RemoteAddress};

pub(super) struct Queue {
    all: Arc<Semaphore>,
    width: usize,
    max_waiting: usize,
    max_per_address: usize,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    total: usize,
    lanes: HashMap<IpAddr, Lane>,
}

struct Lane {
    waiting: usize,
    door: Arc<Semaphore>,
}

/// The permission to hash one password; given back on drop.
pub(super) struct Turn {
    _all: OwnedSemaphorePermit,
    _lane: OwnedSemaphorePermit,
    _place: Place,
}

/// A place in the queue, kept while hashing; given back on drop.
struct Place {
    waiting: Arc<Mutex<Waiting>>,
    network: IpAddr,
}

impl Queue {
    pub(super) fn new(config: &Config) -> Self {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let width = config.concurrent_hashes.unwrap_or_else(cores).get();
        Self {
            all: Arc::new(Semaphore::new(width)),
            width,
            max_waiting: config.max_waiting.saturating_add(width),
            max_per_address: config.max_waiting_per_address.saturating_add(width),
            waiting: Arc::default(),
        }
    }

    /// Waits for permission to hash; [`AuthError::Busy`] at once when too many wait, altogether or from there.
    pub(super) async fn turn(&self, remote: RemoteAddress) -> Result<Turn, AuthError> {
        let (place, door) = self.place(remote.network()).ok_or(AuthError::Busy)?;
        let lane = door.acquire_owned().await.map_err(|_| AuthError::Unavailable)?;
        let all = Arc::clone(&self.all).acquire_owned().await.map_err(|_| AuthError::Unavailable)?;
        Ok(Turn { _all: all, _lane: lane, _place: place })
    }

    /// How many wait for permission, or have it.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    fn place(&self, network: IpAddr) -> Option<(Place, Arc<Semaphore>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.total >= self.max_waiting {
            return None;
        }
        let lane = waiting
            .lanes
            .entry(network)
            .or_insert_with(|| Lane { waiting: 0, door: Arc::new(Semaphore::new(self.width)) });
        if lane.waiting >= self.max_per_address {
            return None;
        }
        lane.waiting += 1;
        let door = Arc::clone(&lane.door);
        waiting.total += 1;
        Some((Place { waiting: Arc::clone(&self.waiting), network }, door))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.total -= 1;
        if let Some(lane) = waiting.lanes.get_mut(&self.network) {
            lane.waiting -= 1;
            if lane.waiting == 0 {
                waiting.lanes.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn queue(width: usize, max_waiting: usize, max_waiting_per_address: usize) -> Queue {
        let concurrent_hashes = NonZeroUsize::new(width);
        Queue::new(&Config { concurrent_hashes, max_waiting, max_waiting_per_address, ..Config::default() })
    }

    fn address(last: u8) -> RemoteAddress {
        RemoteAddress(IpAddr::from([10, 0, 0, last]))
    }

    #[tokio::test]
    async fn one_address_cannot_fill_the_queue_nor_delay_another_by_more_than_its_share() {
        let queue = Arc::new(queue(1, 10, 3));
        let running = queue.turn(address(1)).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for last in [1, 1, 1, 2] {
            let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let turn = queue.turn(address(last)).await.unwrap();
                order.lock().unwrap().push(last);
                drop(turn);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.turn(address(1)).await.err(), Some(AuthError::Busy), "three wait already");
        drop(running);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [2, 1, 1, 1]);
        let waiting = queue.waiting.lock().unwrap();
        assert_eq!((waiting.total, waiting.lanes.len()), (0, 0), "nothing is kept of who has left");
    }

    #[tokio::test]
    async fn the_whole_queue_is_bounded_and_who_goes_away_leaves_it() {
        let queue = Arc::new(queue(1, 1, 5));
        let running = queue.turn(address(1)).await.unwrap();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.turn(address(2)).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(queue.turn(address(3)).await.err(), Some(AuthError::Busy));
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        drop(running);
        queue.turn(address(3)).await.unwrap();
    }
}
