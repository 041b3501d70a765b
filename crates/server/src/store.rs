//! What the server remembers: jobs, their results, and which idempotency key made which job.
//!
//! The [`Store`] trait states the promises; [`memory::MemoryStore`] keeps them for the life of the process,
//! [`durable::DurableStore`] beyond it, on one machine; [`postgres::PostgresStore`] for many.
//! A store knows neither HTTP nor cryptography: results are octets to it.

pub mod durable;
pub mod memory;
mod objects;
pub mod postgres;
mod record;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hei_protocol::{Encoding, JobErrorCode, JobId, KeyId, ModelId, ModelVersion, Timestamp};

pub use objects::BlobsAddress;

use crate::id::{IdempotencyKey, Tenant};

/// An answer that a store may need I/O for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a job stands. The order is the rank: a reader never sees it decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Accepted, not yet started.
    Queued,
    /// A worker evaluates it.
    Running,
    /// Terminal, with a result.
    Completed,
    /// Terminal, with a failure code.
    Failed,
}

impl JobState {
    /// Whether nothing about the job will ever change again.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// What is fixed about a job when it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFacts {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The model it evaluates.
    pub model_id: ModelId,
    /// The model's version.
    pub version: ModelVersion,
    /// The evaluation key it is evaluated with, where its layout needs one.
    pub evaluation_key_id: Option<KeyId>,
    /// The parameter set of its result, 64 hexadecimal digits.
    pub params_id: Arc<str>,
    /// Rows in the batch.
    pub batch_size: u32,
    /// How bodies carry the result: in JSON as asked for, in CBOR always as a byte string.
    pub encoding: Encoding,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Until when it can be read.
    pub expires_at: Timestamp,
    /// When the caller no longer wants its result.
    pub deadline_at: Option<Timestamp>,
    /// The most octets its result can have; reserved until the real size is known.
    pub max_result_bytes: u64,
}

/// A job in somebody's hands: whoever holds this may start it and say how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub id: JobId,
    /// Which try it is, from 1: a later one makes this one void.
    pub attempt: u32,
}

/// A job that nobody works on, taken to be performed.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The right to perform it.
    pub lease: Lease,
    /// What is fixed about it.
    pub facts: Arc<JobFacts>,
    /// The input it was accepted with, undamaged.
    pub input: Bytes,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result's octets and their SHA-256.
    Completed {
        /// One container.
        result: Bytes,
        /// SHA-256 of `result`.
        digest: [u8; 32],
    },
    /// A result that the store keeps elsewhere; [`Store::read`] brings its octets.
    Kept {
        /// Its octets.
        size: u64,
        /// Their SHA-256.
        digest: [u8; 32],
    },
    /// No result.
    Failed(JobErrorCode),
}

/// A job as it stands.
#[derive(Clone, Debug)]
pub struct Job {
    /// What never changes.
    pub facts: Arc<JobFacts>,
    /// Its rank.
    pub state: JobState,
    /// Set with `running`.
    pub started_at: Option<Timestamp>,
    /// Set with a terminal state.
    pub finished_at: Option<Timestamp>,
    /// Set with a terminal state, immutable from then on.
    pub outcome: Option<Arc<Outcome>>,
}

/// What a tenant's job id leads to. A foreign job is `Missing`, as one that never was.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The job.
    Found(Job),
    /// It was this tenant's, and is past its expiry.
    Expired,
    /// There is no such job for this tenant.
    Missing,
}

/// SHA-256 over method, path, media type and body: what makes two requests under one key the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What an idempotency key means for the request that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// New: the caller must [`Store::accept`] under the key or [`Store::release`] it.
    Fresh,
    /// The same request already made this job.
    Replay(JobId),
    /// Another request with this key is being validated.
    InProgress,
    /// A different request was accepted under this key.
    Reused,
}

/// Why there is no room for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The tenant has as many unfinished jobs as it may.
    #[error("the tenant has {active} unfinished jobs, the most it may have")]
    Tenant {
        /// Unfinished jobs.
        active: u32,
    },
    /// The store is nearly full, and the tenant has its share of it.
    #[error(
        "the tenant keeps its share of a store that is nearly full; delete jobs, or wait {retry_after:?}"
    )]
    Share {
        /// When the oldest record expires.
        retry_after: Duration,
    },
    /// The store holds as much as it may.
    #[error("the store is full; the next job expires in {retry_after:?}")]
    Full {
        /// When the oldest record expires.
        retry_after: Duration,
    },
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room for another job.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// A job was asked to move to a state that does not follow the one it is in.
    #[error("job {id} is {from:?} and cannot become {to:?}")]
    NotMonotone {
        /// The job.
        id: JobId,
        /// Its state.
        from: JobState,
        /// The refused state.
        to: JobState,
    },
    /// The job is not in the store.
    #[error("job {0} is not in the store")]
    UnknownJob(JobId),
    /// The job is in other hands by now.
    #[error("job {0} was given to another worker")]
    NotHeld(JobId),
    /// The evaluation key of a job that was to be accepted is no longer there.
    #[error("the evaluation key is no longer there")]
    KeyGone,
    /// The claim of an idempotency key ran out before its job was accepted, and another request has it.
    #[error("another request uses the idempotency key by now")]
    ClaimLost,
    /// The database or the object store does not answer; what was asked may or may not have happened.
    #[error("{0}")]
    Unreachable(String),
    /// Too little disk is left.
    #[error("too little disk is left for another job; free some, or lower the low-water mark")]
    DiskLow,
    /// The disk refused; nothing happened.
    #[error("the disk refused: {0}")]
    Disk(String),
    /// The disk failed in a way that leaves its contents unknown; the process is about to end.
    #[error("the store has stopped")]
    Stopped,
}

/// Jobs with monotonic states and immutable outcomes, by tenant; idempotency records.
///
/// Promises every implementation keeps: a state's rank never decreases; an outcome never changes; a job of
/// another tenant is [`Lookup::Missing`]; nothing disappears before its `expires_at`; a key accepted with a job
/// leads to that job for at least as long as the job lives.
pub trait Store: Send + Sync + 'static {
    /// Whether a job of this tenant would be accepted now.
    fn room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), StoreError>>;

    /// What `key` means for a request with this fingerprint; claims it when it is new.
    fn claim<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Pending<'a, Result<Claim, StoreError>>;

    /// Gives up a claim: the request was refused, the key is as if never used.
    fn release<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, ()>;

    /// Whether a job was made under `key`; claims nothing.
    fn remembers<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, bool>;

    /// Whether the store wants the inputs of jobs: it outlives the process, or others work on its jobs too.
    fn keeps_inputs(&self) -> bool {
        false
    }

    /// Records a queued job with what it takes to begin it elsewhere or later, and in the same step binds the claimed
    /// key to it. With a lease the job is in the caller's hands; without one, in those of whoever takes it.
    fn accept(
        &self,
        facts: JobFacts,
        key: Option<IdempotencyKey>,
        input: Option<Bytes>,
    ) -> Pending<'_, Result<Option<Lease>, StoreError>>;

    /// Takes a job that is in nobody's hands: the oldest, or, where jobs are shared between processes, the oldest of the
    /// tenant who has the fewest in hand. Waits until there is one; the caller drops the future when it no longer wants any.
    fn take(&self) -> Pending<'_, Result<Taken, StoreError>>;

    /// Whether new jobs can be kept.
    fn takes_jobs(&self) -> bool {
        true
    }

    /// Moves a job from queued to running. A job that ran before, in other hands, stays so, and is counted as begun
    /// again.
    fn start(&self, lease: Lease) -> Pending<'_, Result<(), StoreError>>;

    /// Moves a job to its terminal state, once, if it is still in the caller's hands.
    fn finish(&self, lease: Lease, outcome: Outcome) -> Pending<'_, Result<(), StoreError>>;

    /// Fails a job that is not terminal, in whose hands it may be.
    fn fail(&self, id: JobId, code: JobErrorCode) -> Pending<'_, Result<(), StoreError>>;

    /// Puts the jobs that this process holds back into nobody's hands, as far as anybody else could take them. The
    /// last call.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The job as it stands.
    fn read<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>>;

    /// The job once its state is beyond `seen`, or whatever the lookup is when there is no such job. Waits
    /// without limit; the caller sets one.
    fn read_beyond<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: JobId,
        seen: JobState,
    ) -> Pending<'a, Result<Lookup, StoreError>>;

    /// Forgets a job and its result, whatever its state, and gives back what it counted for. Says what was there;
    /// only a found job is deleted. The idempotency key that made the job still leads to its id.
    fn delete<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>>;

    /// Jobs that are queued or running.
    fn unfinished(&self) -> Pending<'_, u64>;
}
