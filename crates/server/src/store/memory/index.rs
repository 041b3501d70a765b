//! The memory of a store that keeps its jobs elsewhere: what it knows is entered here once it is kept there.

use std::sync::Arc;

use hei_protocol::{JobErrorCode, JobId, Timestamp};
use tokio::sync::watch;

use super::{KeyRecord, MemoryStore, Record, State, outcome_bytes};
use crate::clock::later;
use crate::id::{IdempotencyKey, Tenant};
use crate::store::{Fingerprint, Job, JobFacts, JobState, NoRoom, Outcome, StoreError};

impl MemoryStore {
    /// Counts a job that is about to be kept.
    pub(in crate::store) fn reserve(&self, facts: &JobFacts) -> Result<(), NoRoom> {
        let mut state = self.swept();
        self.check_room(&state, &facts.tenant, facts.max_result_bytes)?;
        *state.active.entry(facts.tenant.clone()).or_insert(0) += 1;
        state.count(&facts.tenant, facts.max_result_bytes);
        Ok(())
    }

    /// Takes a reservation back.
    pub(in crate::store) fn unreserve(&self, facts: &JobFacts) {
        let mut state = self.swept();
        state.no_longer_active(&facts.tenant);
        state.uncount(&facts.tenant, facts.max_result_bytes);
    }

    /// Shows a reserved job, and binds its key.
    pub(in crate::store) fn admit(&self, job: &Job, key: Option<(IdempotencyKey, Fingerprint, Timestamp)>) {
        let mut state = self.swept();
        if let Some((key, fingerprint, end)) = key {
            state.bind((job.facts.tenant.clone(), key), fingerprint, job.facts.id, end);
        }
        state.show(job.clone());
    }

    /// Enters a job of an earlier life, counted as it stands.
    pub(in crate::store) fn restore(&self, job: Job) {
        let mut state = crate::locked(&self.state);
        let held = match &job.outcome {
            Some(outcome) => outcome_bytes(outcome),
            None => {
                *state.active.entry(job.facts.tenant.clone()).or_insert(0) += 1;
                job.facts.max_result_bytes
            }
        };
        state.count(&job.facts.tenant, held);
        state.show(job);
    }

    /// Enters what is left of an expired job.
    pub(in crate::store) fn restore_tombstone(&self, id: JobId, tenant: Tenant, end: Timestamp) {
        let mut state = crate::locked(&self.state);
        state.jobs.insert(id, Record::Tombstone(tenant));
        state.tombstone_ends.push_back((end, id));
    }

    /// Enters the idempotency key of an accepted job.
    pub(in crate::store) fn restore_key(
        &self,
        name: (Tenant, IdempotencyKey),
        fingerprint: Fingerprint,
        job: JobId,
        end: Timestamp,
    ) {
        crate::locked(&self.state).bind(name, fingerprint, job, end);
    }

    /// When the key of a job that is accepted now is forgotten.
    pub(in crate::store) fn key_end(&self, facts: &JobFacts) -> Timestamp {
        facts.expires_at.max(later(facts.created_at, self.capacity.idempotency_ttl))
    }

    /// The fingerprint under which a key is claimed.
    pub(in crate::store) fn claimed(&self, tenant: &Tenant, key: &IdempotencyKey) -> Option<Fingerprint> {
        match crate::locked(&self.state).keys.get(&(tenant.clone(), key.clone())) {
            Some(KeyRecord::Pending(fingerprint)) => Some(*fingerprint),
            _ => None,
        }
    }

    /// A job, whoever asks.
    pub(in crate::store) fn peek(&self, id: JobId) -> Option<Job> {
        match crate::locked(&self.state).jobs.get(&id) {
            Some(Record::Live(sender)) => Some(sender.borrow().clone()),
            _ => None,
        }
    }

    /// Enters that a job runs since `at`.
    pub(in crate::store) fn enter_start(&self, id: JobId, at: Timestamp) -> Result<(), StoreError> {
        self.advance(id, JobState::Running, |job, _| job.started_at = Some(at))
    }

    /// Enters how a job ended at `at`.
    pub(in crate::store) fn enter_end(
        &self,
        id: JobId,
        at: Timestamp,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let to = match outcome {
            Outcome::Failed(_) => JobState::Failed,
            Outcome::Completed { .. } | Outcome::Kept { .. } => JobState::Completed,
        };
        self.advance(id, to, |job, _| {
            job.finished_at = Some(at);
            job.outcome = Some(Arc::new(outcome));
        })
    }

    /// Enters that a result was found damaged: the one change a terminal job can see.
    pub(in crate::store) fn enter_damage(&self, id: JobId) {
        let mut state = crate::locked(&self.state);
        let Some(Record::Live(sender)) = state.jobs.get(&id) else { return };
        let mut freed = 0;
        let owner = sender.borrow().facts.tenant.clone();
        sender.send_modify(|job| {
            freed = job.outcome.as_deref().map_or(0, outcome_bytes);
            job.state = JobState::Failed;
            job.outcome = Some(Arc::new(Outcome::Failed(JobErrorCode::InternalError)));
        });
        state.resize(&owner, freed, 0);
    }
}

impl State {
    fn bind(&mut self, name: (Tenant, IdempotencyKey), fingerprint: Fingerprint, job: JobId, end: Timestamp) {
        self.key_ends.push_back((end, name.clone()));
        self.keys.insert(name, KeyRecord::Bound { fingerprint, job });
    }

    fn show(&mut self, job: Job) {
        self.job_ends.push_back((job.facts.expires_at, job.facts.id));
        self.jobs.insert(job.facts.id, Record::Live(watch::Sender::new(job)));
    }
}
