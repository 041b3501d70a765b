//! The memory for request bodies: charged as octets arrive, not as they are announced.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::units;

/// A body's share grows by this many octets at a time.
const STEP: u64 = 64 << 10;

/// No memory came free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for the body came free in time")]
pub(crate) struct NoShare;

/// What one body holds of the budget. A client that sends little holds little, whatever it announces; given back
/// when dropped, which is to be when the body is.
#[derive(Debug, Default)]
pub(crate) struct BodyShare {
    budget: Option<Arc<Semaphore>>,
    held: Option<OwnedSemaphorePermit>,
    /// Octets that are paid for.
    covered: u64,
    wait: Duration,
}

impl BodyShare {
    /// The first step of a share, or as much as a shorter body declares. Waits for it no longer than `wait`.
    pub(crate) async fn first(
        budget: &Arc<Semaphore>,
        declared: Option<u64>,
        wait: Duration,
    ) -> Result<Self, NoShare> {
        let mut share = Self { budget: Some(Arc::clone(budget)), held: None, covered: 0, wait };
        share.grow(declared.map_or(STEP, |declared| declared.min(STEP))).await?;
        Ok(share)
    }

    /// Makes the share cover a body of `received` octets.
    pub(crate) async fn cover(&mut self, received: u64) -> Result<(), NoShare> {
        let missing = received.saturating_sub(self.covered);
        if missing == 0 { Ok(()) } else { self.grow(missing.next_multiple_of(STEP)).await }
    }

    async fn grow(&mut self, octets: u64) -> Result<(), NoShare> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let more = Arc::clone(budget).acquire_many_owned(units(octets));
        let more = match tokio::time::timeout(self.wait, more).await {
            Ok(Ok(more)) => more,
            Ok(Err(_)) | Err(_) => return Err(NoShare),
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
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
        let free = || total.available_permits() as u64 * BUDGET_UNIT;
        let mut share = BodyShare::first(&total, None, Duration::ZERO).await.unwrap();
        assert_eq!(free(), 3 * STEP);
        share.cover(STEP).await.unwrap();
        assert_eq!(free(), 3 * STEP, "it is paid for");
        share.cover(STEP + 1).await.unwrap();
        assert_eq!(free(), 2 * STEP);
        let small = BodyShare::first(&total, Some(1), Duration::ZERO).await.unwrap();
        assert_eq!(free(), 2 * STEP - BUDGET_UNIT, "a short body takes no whole step");
        assert_eq!(share.cover(4 * STEP).await, Err(NoShare));
        assert_eq!(free(), 2 * STEP - BUDGET_UNIT, "a refused growth takes nothing");
        drop((share, small));
        assert_eq!(free(), 4 * STEP);
    }
}
