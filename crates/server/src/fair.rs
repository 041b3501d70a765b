//! Lines in which tenants take turns: whoever has one thing waiting waits for one thing of each other's, however much
//! they have.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::id::Tenant;

/// One line for each name; the names are served in turn.
#[derive(Debug)]
pub(crate) struct Rounds<K, T> {
    lines: HashMap<K, VecDeque<T>>,
    /// Every name with a line, the next one first.
    turns: VecDeque<K>,
    waiting: usize,
}

impl<K, T> Default for Rounds<K, T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), waiting: 0 }
    }
}

impl<K: Clone + Eq + Hash, T> Rounds<K, T> {
    /// How many wait, in all lines.
    pub(crate) const fn len(&self) -> usize {
        self.waiting
    }

    /// To the end of the name's line.
    pub(crate) fn push(&mut self, name: K, item: T) {
        self.waiting = self.waiting.saturating_add(1);
        let line = self.lines.entry(name.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(name);
        }
        line.push_back(item);
    }

    /// The first in the line whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let name = self.turns.pop_front()?;
        let line = self.lines.get_mut(&name)?;
        let item = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&name);
        } else {
            self.turns.push_back(name);
        }
        self.waiting = self.waiting.saturating_sub(1);
        Some(item)
    }
}

/// What both ends of a queue share.
struct Shared<T> {
    rounds: Mutex<Rounds<Tenant, (T, OwnedSemaphorePermit)>>,
    places: Arc<Semaphore>,
    capacity: usize,
    /// A permit for every item; closed with the last sender.
    items: Semaphore,
}

/// Closes the queue when the last holder is gone.
struct Open<T>(Arc<Shared<T>>);

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.0.items.close();
    }
}

/// The end of a queue where things go in.
pub(crate) struct Sender<T>(Arc<Open<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The end of a queue where things come out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// A reserved place in a queue.
pub(crate) struct Place<T> {
    queue: Sender<T>,
    permit: OwnedSemaphorePermit,
}

/// A queue with so many places, for all tenants together.
pub(crate) fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
    let shared = Arc::new(Shared {
        rounds: Mutex::default(),
        places: Arc::new(Semaphore::new(capacity)),
        capacity,
        items: Semaphore::new(0),
    });
    (Sender(Arc::new(Open(Arc::clone(&shared)))), Receiver(shared))
}

impl<T> Sender<T> {
    /// Places that are free.
    pub(crate) fn capacity(&self) -> usize {
        self.0.0.places.available_permits()
    }

    /// All places.
    pub(crate) fn max_capacity(&self) -> usize {
        self.0.0.capacity
    }

    /// A place, if one is free.
    pub(crate) fn try_reserve_owned(self) -> Result<Place<T>, TryAcquireError> {
        let permit = Arc::clone(&self.0.0.places).try_acquire_owned()?;
        Ok(Place { queue: self, permit })
    }

    /// A place, once one is free.
    pub(crate) async fn reserve_owned(self) -> Result<Place<T>, AcquireError> {
        let permit = Arc::clone(&self.0.0.places).acquire_owned().await?;
        Ok(Place { queue: self, permit })
    }
}

impl<T> Place<T> {
    /// Puts something in the tenant's line.
    pub(crate) fn send(self, tenant: Tenant, item: T) {
        let shared = &self.queue.0.0;
        crate::locked(&shared.rounds).push(tenant, (item, self.permit));
        shared.items.add_permits(1);
    }
}

impl<T> Receiver<T> {
    /// What comes next; nothing once every sender is gone and nothing is left.
    pub(crate) async fn recv(&self) -> Option<T> {
        if let Ok(item) = self.0.items.acquire().await {
            item.forget();
        }
        crate::locked(&self.0.rounds).pop().map(|(item, _place)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Tenant {
        Tenant::from_header(Some(name.as_bytes())).unwrap()
    }

    #[test]
    fn names_take_turns_and_each_keeps_its_order() {
        let mut rounds = Rounds::default();
        for item in 1..=4 {
            rounds.push("a", item);
        }
        rounds.push("b", 10);
        assert_eq!((rounds.pop(), rounds.pop(), rounds.len()), (Some(1), Some(10), 3));
        rounds.push("b", 11);
        rounds.push("c", 20);
        let rest: Vec<i32> = std::iter::from_fn(|| rounds.pop()).collect();
        assert_eq!(rest, [2, 11, 20, 3, 4]);
        assert!(rounds.len() == 0 && rounds.lines.is_empty() && rounds.turns.is_empty());
    }

    #[tokio::test]
    async fn a_flood_of_one_tenant_delays_another_by_one_item() {
        let (sender, receiver) = queue(64);
        for item in 0..50 {
            sender.clone().try_reserve_owned().unwrap().send(tenant("flood"), item);
        }
        sender.clone().try_reserve_owned().unwrap().send(tenant("quiet"), 1000);
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(0), Some(1000)));
    }

    #[tokio::test]
    async fn places_are_bounded_and_come_back_and_the_end_is_the_end() {
        let (sender, receiver) = queue(2);
        let place = sender.clone().try_reserve_owned().unwrap();
        sender.clone().reserve_owned().await.unwrap().send(tenant("a"), 1);
        assert_eq!((sender.capacity(), sender.max_capacity()), (0, 2));
        assert!(sender.clone().try_reserve_owned().is_err());
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(sender.capacity(), 1);
        // A place that was promised is still good when everybody else has gone.
        drop(sender);
        place.send(tenant("b"), 2);
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(2), None));
    }
}
