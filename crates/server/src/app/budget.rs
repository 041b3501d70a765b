//! The memory for request bodies: charged as octets arrive, not as they are announced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::units;
use crate::id::Tenant;

/// A body's share grows by this many octets at a time.
const STEP: u64 = 64 << 10;

/// No memory came free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the body came free in time")]
pub(crate) struct NoShare;

/// A budget that no tenant can have all of: each may hold three quarters, so that one who takes what there is leaves
/// something to everybody else.
pub(super) struct Budget {
    all: Arc<Semaphore>,
    per_tenant: usize,
    /// Whoever holds some of it, and some who did.
    tenants: Mutex<HashMap<Tenant, Arc<Semaphore>>>,
}

/// Tenants that are remembered before those who hold nothing are forgotten.
const REMEMBERED: usize = 1024;

impl Budget {
    pub(super) fn new(all: Arc<Semaphore>) -> Self {
        let total = all.available_permits();
        Self { all, per_tenant: total - total / 4, tenants: Mutex::default() }
    }

    /// Everybody's.
    pub(super) fn all(&self) -> &Semaphore {
        &self.all
    }

    /// What a tenant takes its shares from: its own part first, then everybody's.
    pub(super) fn of(&self, tenant: &Tenant) -> [Arc<Semaphore>; 2] {
        let mut tenants = crate::locked(&self.tenants);
        if tenants.len() >= REMEMBERED && !tenants.contains_key(tenant) {
            // Whoever holds a share, or waits for one, holds its semaphore too.
            tenants.retain(|_, own| Arc::strong_count(own) > 1);
        }
        let own = tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_tenant)));
        [Arc::clone(own), Arc::clone(&self.all)]
    }
}

/// What one body holds of the budget. A client that sends little holds little, whatever it announces; given back
/// when dropped, which is to be when the body is.
#[derive(Debug, Default)]
pub(crate) struct BodyShare {
    budget: Option<[Arc<Semaphore>; 2]>,
    held: Option<[OwnedSemaphorePermit; 2]>,
    /// Octets that are paid for.
    covered: u64,
    wait: Duration,
}

impl BodyShare {
    /// The first step of a share, or as much as a shorter body declares. Waits for it no longer than `wait`.
    pub(crate) async fn first(
        budget: [Arc<Semaphore>; 2],
        declared: Option<u64>,
        wait: Duration,
    ) -> Result<Self, NoShare> {
        let mut share = Self { budget: Some(budget), held: None, covered: 0, wait };
        share.grow(declared.map_or(STEP, |declared| declared.min(STEP))).await?;
        Ok(share)
    }

    /// Makes the share cover a body of `received` octets.
    pub(crate) async fn cover(&mut self, received: u64) -> Result<(), NoShare> {
        let missing = received.saturating_sub(self.covered);
        if missing == 0 { Ok(()) } else { self.grow(missing.next_multiple_of(STEP)).await }
    }

    async fn grow(&mut self, octets: u64) -> Result<(), NoShare> {
        let Some([own, all]) = self.budget.clone() else { return Ok(()) };
        let more = async {
            let own = own.acquire_many_owned(units(octets)).await?;
            Ok::<_, AcquireError>([own, all.acquire_many_owned(units(octets)).await?])
        };
        let [own, all] = match tokio::time::timeout(self.wait, more).await {
            Ok(Ok(more)) => more,
            Ok(Err(_)) | Err(_) => return Err(NoShare),
        };
        match &mut self.held {
            Some([held_own, held_all]) => {
                held_own.merge(own);
                held_all.merge(all);
            }
            None => self.held = Some([own, all]),
        }
        self.covered = self.covered.saturating_add(octets);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BUDGET_UNIT, budget};
    use super::*;

    #[tokio::test]
    async fn a_share_grows_with_what_arrived_and_comes_back_whole() {
        let total = budget(4 * STEP);
        let budget = || [Arc::new(Semaphore::new(1 << 20)), Arc::clone(&total)];
        let free = || total.available_permits() as u64 * BUDGET_UNIT;
        let mut share = BodyShare::first(budget(), None, Duration::ZERO).await.unwrap();
        assert_eq!(free(), 3 * STEP);
        share.cover(STEP).await.unwrap();
        assert_eq!(free(), 3 * STEP, "it is paid for");
        share.cover(STEP + 1).await.unwrap();
        assert_eq!(free(), 2 * STEP);
        let small = BodyShare::first(budget(), Some(1), Duration::ZERO).await.unwrap();
        assert_eq!(free(), 2 * STEP - BUDGET_UNIT, "a short body takes no whole step");
        assert_eq!(share.cover(4 * STEP).await, Err(NoShare));
        assert_eq!(free(), 2 * STEP - BUDGET_UNIT, "a refused growth takes nothing");
        drop((share, small));
        assert_eq!(free(), 4 * STEP);
    }

    #[tokio::test]
    async fn nobody_takes_all_of_it() {
        let budget = Budget::new(budget(4 * STEP));
        let tenant = |name: &str| Tenant::from_header(Some(name.as_bytes())).unwrap();
        let share = |name: &str| BodyShare::first(budget.of(&tenant(name)), None, Duration::ZERO);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(share("greedy").await.unwrap());
        }
        assert_eq!(share("greedy").await.unwrap_err(), NoShare);
        held.push(share("other").await.unwrap());
        assert_eq!(share("third").await.unwrap_err(), NoShare, "now there is nothing left");
        drop(held);
        assert_eq!(budget.all().available_permits() as u64 * BUDGET_UNIT, 4 * STEP);
        for stranger in 0..5000 {
            drop(share(&format!("t{stranger}")).await.unwrap());
        }
        assert!(crate::locked(&budget.tenants).len() <= REMEMBERED);
    }
}
