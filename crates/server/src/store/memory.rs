//! Jobs in memory: bounded in records and octets, gone with the process.

mod index;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hei_protocol::{JobErrorCode, JobId, Timestamp};
use tokio::sync::watch;

use super::{
    Claim, Fingerprint, Job, JobFacts, JobState, Lease, Lookup, NoRoom, Outcome, Pending, Store, StoreError,
    Taken,
};
use crate::clock::{Clock, elapsed, later};
use crate::id::{IdempotencyKey, Tenant};

/// How much a [`MemoryStore`] holds, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Unfinished jobs of one tenant.
    pub active_jobs_per_tenant: u32,
    /// Jobs that can be read, over all tenants.
    pub jobs: usize,
    /// Octets of results, over all tenants; those of unfinished jobs count as reserved.
    pub result_bytes: u64,
    /// How long an idempotency key is remembered, at least.
    pub idempotency_ttl: Duration,
    /// How long an expired job is still told apart from one that never was.
    pub tombstone_ttl: Duration,
    /// Evaluation keys of one tenant.
    pub keys_per_tenant: usize,
    /// How long a key is kept after its last use.
    pub key_ttl: Duration,
}

/// A [`Store`] in memory.
pub struct MemoryStore {
    capacity: Capacity,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, Record>,
    /// Unfinished jobs; a tenant without any has no entry.
    active: HashMap<Tenant, u32>,
    keys: HashMap<(Tenant, IdempotencyKey), KeyRecord>,
    /// What ends when, earliest first within one lifetime.
    job_ends: VecDeque<(Timestamp, JobId)>,
    tombstone_ends: VecDeque<(Timestamp, JobId)>,
    key_ends: VecDeque<(Timestamp, (Tenant, IdempotencyKey))>,
    live: usize,
    result_bytes: u64,
    /// What each tenant has of the two; one that has nothing has no entry.
    held: HashMap<Tenant, Held>,
}

/// Jobs that can be read, and octets of results.
#[derive(Clone, Copy, Default)]
struct Held {
    jobs: u64,
    bytes: u64,
}

/// Whether there is room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    Enough,
    /// Only for those who have less than a quarter.
    ForOthers,
    None,
}

/// The last quarter of a capacity is for those who hold less than a quarter of it, so that one tenant's replies do not
/// keep everybody else out until they expire.
pub(super) const fn room(capacity: u64, held: u64, own: u64, more: u64) -> Room {
    let after = held.saturating_add(more);
    if after > capacity {
        Room::None
    } else if after <= capacity - capacity / 4 || own == 0 || own.saturating_add(more) <= capacity.div_ceil(4)
    {
        Room::Enough
    } else {
        Room::ForOthers
    }
}

enum Record {
    Live(watch::Sender<Job>),
    Tombstone(Tenant),
}

enum KeyRecord {
    /// Claimed by a request under validation.
    Pending(Fingerprint),
    /// The request made a job.
    Bound { fingerprint: Fingerprint, job: JobId },
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(capacity: Capacity, clock: Arc<dyn Clock>) -> Self {
        Self { capacity, clock, state: Mutex::default() }
    }

    /// The state, with everything past its time removed.
    fn swept(&self) -> MutexGuard<'_, State> {
        let mut state = crate::locked(&self.state);
        state.sweep(self.clock.now(), self.capacity);
        state
    }

    fn check_room(&self, state: &State, tenant: &Tenant, reserve: u64) -> Result<(), NoRoom> {
        let active = state.active.get(tenant).copied().unwrap_or(0);
        if active >= self.capacity.active_jobs_per_tenant {
            return Err(NoRoom::Tenant { active });
        }
        let own = state.held.get(tenant).copied().unwrap_or_default();
        let jobs = room(self.capacity.jobs as u64, state.live as u64, own.jobs, 1);
        let bytes = room(self.capacity.result_bytes, state.result_bytes, own.bytes, reserve);
        let now = self.clock.now();
        let retry_after =
            || state.job_ends.front().map_or(Duration::from_secs(1), |(end, _)| elapsed(now, *end));
        match jobs.max(bytes) {
            Room::Enough => Ok(()),
            Room::ForOthers => Err(NoRoom::Share { retry_after: retry_after() }),
            Room::None => Err(NoRoom::Full { retry_after: retry_after() }),
        }
    }

    fn advance(
        &self,
        id: JobId,
        to: JobState,
        change: impl FnOnce(&mut Job, Timestamp),
    ) -> Result<(), StoreError> {
        let mut state = self.swept();
        let now = self.clock.now();
        let Some(Record::Live(sender)) = state.jobs.get(&id) else { return Err(StoreError::UnknownJob(id)) };
        let from = sender.borrow().state;
        let follows = match to {
            JobState::Queued => false,
            JobState::Running => from == JobState::Queued,
            JobState::Completed | JobState::Failed => !from.is_terminal(),
        };
        if !follows {
            return Err(StoreError::NotMonotone { id, from, to });
        }
        let mut settled = None;
        sender.send_modify(|job| {
            job.state = to;
            change(job, now);
            if let Some(outcome) = &job.outcome {
                settled = Some((Arc::clone(&job.facts), outcome_bytes(outcome)));
            }
        });
        if let Some((facts, bytes)) = settled {
            state.resize(&facts.tenant, facts.max_result_bytes, bytes);
            state.no_longer_active(&facts.tenant);
        }
        Ok(())
    }

    fn lookup(&self, tenant: &Tenant, id: JobId) -> Result<watch::Receiver<Job>, Lookup> {
        let state = self.swept();
        match state.jobs.get(&id) {
            Some(Record::Live(sender)) if sender.borrow().facts.tenant == *tenant => Ok(sender.subscribe()),
            Some(Record::Tombstone(owner)) if owner == tenant => Err(Lookup::Expired),
            Some(_) | None => Err(Lookup::Missing),
        }
    }
}

impl State {
    fn no_longer_active(&mut self, tenant: &Tenant) {
        if let Some(active) = self.active.get_mut(tenant) {
            *active = active.saturating_sub(1);
            if *active == 0 {
                self.active.remove(tenant);
            }
        }
    }

    /// Counts a job of this size.
    fn count(&mut self, tenant: &Tenant, bytes: u64) {
        self.live = self.live.saturating_add(1);
        self.result_bytes = self.result_bytes.saturating_add(bytes);
        let held = self.held.entry(tenant.clone()).or_default();
        held.jobs = held.jobs.saturating_add(1);
        held.bytes = held.bytes.saturating_add(bytes);
    }

    /// Takes a job of this size out of the count.
    fn uncount(&mut self, tenant: &Tenant, bytes: u64) {
        self.live = self.live.saturating_sub(1);
        self.resize(tenant, bytes, 0);
        if let Some(held) = self.held.get_mut(tenant) {
            held.jobs = held.jobs.saturating_sub(1);
            if held.jobs == 0 {
                self.held.remove(tenant);
            }
        }
    }

    /// A counted job has another size.
    fn resize(&mut self, tenant: &Tenant, from: u64, to: u64) {
        self.result_bytes = self.result_bytes.saturating_sub(from).saturating_add(to);
        if let Some(held) = self.held.get_mut(tenant) {
            held.bytes = held.bytes.saturating_sub(from).saturating_add(to);
        }
    }

    fn sweep(&mut self, now: Timestamp, capacity: Capacity) {
        while let Some((end, id)) = self.job_ends.front().copied().filter(|(end, _)| *end <= now) {
            self.job_ends.pop_front();
            let Some(Record::Live(sender)) = self.jobs.get(&id) else { continue };
            let job = sender.borrow().clone();
            let Some(outcome) = job.outcome else {
                // Still evaluated: it keeps its record until it has an outcome.
                self.job_ends.push_back((later(now, Duration::from_secs(60)), id));
                continue;
            };
            self.uncount(&job.facts.tenant, outcome_bytes(&outcome));
            self.jobs.insert(id, Record::Tombstone(job.facts.tenant.clone()));
            self.tombstone_ends.push_back((later(end, capacity.tombstone_ttl), id));
        }
        while let Some((end, id)) = self.tombstone_ends.front().copied() {
            if end > now && self.tombstone_ends.len() <= capacity.jobs {
                break;
            }
            self.tombstone_ends.pop_front();
            self.jobs.remove(&id);
        }
        while self.key_ends.front().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, key)) = self.key_ends.pop_front() {
                self.keys.remove(&key);
            }
        }
    }
}

fn outcome_bytes(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Completed { result, .. } => result.len() as u64,
        Outcome::Kept { size, .. } => *size,
        Outcome::Failed(_) => 0,
    }
}

impl Store for MemoryStore {
    fn room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move { Ok(self.check_room(&self.swept(), tenant, 0)?) })
    }

    fn claim<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Pending<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            let mut state = self.swept();
            let name = (tenant.clone(), key.clone());
            Ok(match state.keys.get(&name) {
                None => {
                    state.keys.insert(name, KeyRecord::Pending(fingerprint));
                    Claim::Fresh
                }
                Some(KeyRecord::Pending(_)) => Claim::InProgress,
                Some(KeyRecord::Bound { fingerprint: first, job }) if *first == fingerprint => {
                    Claim::Replay(*job)
                }
                Some(KeyRecord::Bound { .. }) => Claim::Reused,
            })
        })
    }

    fn remembers<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, bool> {
        Box::pin(async move {
            let name = (tenant.clone(), key.clone());
            matches!(self.swept().keys.get(&name), Some(KeyRecord::Bound { .. }))
        })
    }

    fn release<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, ()> {
        Box::pin(async move {
            let mut state = self.swept();
            let name = (tenant.clone(), key.clone());
            if matches!(state.keys.get(&name), Some(KeyRecord::Pending(_))) {
                state.keys.remove(&name);
            }
        })
    }

    fn accept(
        &self,
        facts: JobFacts,
        key: Option<IdempotencyKey>,
        _input: Option<Bytes>,
    ) -> Pending<'_, Result<Option<Lease>, StoreError>> {
        Box::pin(async move {
            let mut state = self.swept();
            self.check_room(&state, &facts.tenant, facts.max_result_bytes)?;
            if let Some(key) = key {
                let name = (facts.tenant.clone(), key);
                if let Some(KeyRecord::Pending(fingerprint)) = state.keys.get(&name) {
                    let bound = KeyRecord::Bound { fingerprint: *fingerprint, job: facts.id };
                    let end = facts.expires_at.max(later(facts.created_at, self.capacity.idempotency_ttl));
                    state.key_ends.push_back((end, name.clone()));
                    state.keys.insert(name, bound);
                }
            }
            *state.active.entry(facts.tenant.clone()).or_insert(0) += 1;
            state.count(&facts.tenant, facts.max_result_bytes);
            state.job_ends.push_back((facts.expires_at, facts.id));
            let id = facts.id;
            let facts = Arc::new(facts);
            let job =
                Job { facts, state: JobState::Queued, started_at: None, finished_at: None, outcome: None };
            state.jobs.insert(id, Record::Live(watch::Sender::new(job)));
            Ok(Some(Lease { id, attempt: 1 }))
        })
    }

    /// Every job is in the hands of whoever had it accepted, and ends with the process.
    fn take(&self) -> Pending<'_, Result<Taken, StoreError>> {
        Box::pin(std::future::pending())
    }

    fn start(&self, lease: Lease) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(
            async move { self.advance(lease.id, JobState::Running, |job, now| job.started_at = Some(now)) },
        )
    }

    fn fail(&self, id: JobId, code: JobErrorCode) -> Pending<'_, Result<(), StoreError>> {
        self.finish(Lease { id, attempt: 0 }, Outcome::Failed(code))
    }

    fn finish(&self, lease: Lease, outcome: Outcome) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let to = match outcome {
                Outcome::Completed { .. } | Outcome::Kept { .. } => JobState::Completed,
                Outcome::Failed(_) => JobState::Failed,
            };
            self.advance(lease.id, to, |job, now| {
                job.finished_at = Some(now);
                job.outcome = Some(Arc::new(outcome));
            })
        })
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            Ok(match self.lookup(tenant, id) {
                Ok(receiver) => Lookup::Found(receiver.borrow().clone()),
                Err(other) => other,
            })
        })
    }

    fn read_beyond<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: JobId,
        seen: JobState,
    ) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            let mut receiver = match self.lookup(tenant, id) {
                Ok(receiver) => receiver,
                Err(other) => return Ok(other),
            };
            let beyond = receiver.wait_for(|job| job.state > seen).await.map(|job| job.clone());
            match beyond {
                Ok(job) => Ok(Lookup::Found(job)),
                Err(_) => self.read(tenant, id).await,
            }
        })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            let mut state = self.swept();
            let job = match state.jobs.get(&id) {
                Some(Record::Live(sender)) if sender.borrow().facts.tenant == *tenant => {
                    sender.borrow().clone()
                }
                Some(Record::Tombstone(owner)) if owner == tenant => return Ok(Lookup::Expired),
                Some(_) | None => return Ok(Lookup::Missing),
            };
            // Whoever waits for the job sees its sender go, and looks again.
            state.jobs.remove(&id);
            let held = match &job.outcome {
                Some(outcome) => outcome_bytes(outcome),
                None => {
                    state.no_longer_active(tenant);
                    job.facts.max_result_bytes
                }
            };
            state.uncount(tenant, held);
            // Its end may be a day away; a tenant that makes and deletes jobs all day leaves nothing behind.
            if state.job_ends.len() > state.live.saturating_mul(2).saturating_add(64) {
                let State { jobs, job_ends, .. } = &mut *state;
                job_ends.retain(|(_, id)| jobs.contains_key(id));
            }
            Ok(Lookup::Found(job))
        })
    }

    fn unfinished(&self) -> Pending<'_, u64> {
        Box::pin(async move { self.swept().active.values().map(|count| u64::from(*count)).sum() })
    }
}

#[cfg(test)]
impl MemoryStore {
    async fn open(capacity: Capacity, clock: Arc<dyn Clock>) -> Option<Self> {
        Some(Self::new(capacity, clock))
    }

    pub(in crate::store) async fn holds_nothing(&self) -> bool {
        let state = crate::locked(&self.state);
        state.jobs.is_empty() && state.result_bytes == 0 && state.held.is_empty()
    }
}

#[cfg(test)]
use MemoryStore as Tested;

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one contract, two stores")]
#[path = "memory_tests.rs"]
mod tests;
