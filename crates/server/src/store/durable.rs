//! Jobs on the disk of one machine: a database for what is small, files for what is not, one data directory.
//!
//! The contract: a job is acknowledged only when it and its input are on the disk (fsync of file and folder); it is
//! executed at least once and completed exactly once; a result is there whole or not at all; after any crash every
//! acknowledged job is running again or terminal; damage is detected by digest and never served. Reads are answered
//! from memory; memory learns of a change only after its commit.

mod blobs;
pub mod disk;
mod keys;
#[cfg(test)]
mod keys_tests;
mod load;
pub mod maintenance;
mod recent;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hei_protocol::{JobErrorCode, JobId};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

pub use schema::{OpenError, SCHEMA_VERSION};

use super::memory::{Capacity, MemoryStore};
use super::record::{INLINE, Payload};
use super::{
    Claim, Fingerprint, Job, JobFacts, JobState, Lease, Lookup, Outcome, Pending, Store, StoreError, Taken,
};
use crate::clock::Clock;
use crate::id::{IdempotencyKey, Tenant};
use blobs::{Blobs, Failure, Kind};
use disk::{Disk, OsDisk};
use recent::Recent;
use writer::{Change, Command, Commands, JobCommand, Row, Shared, Writer, row};

/// How a durable store keeps its promises.
#[derive(Clone)]
pub struct DurableOptions {
    /// The data directory; made when it does not exist.
    pub folder: PathBuf,
    /// Octets of free disk below which no new job is taken.
    pub low_water_bytes: u64,
    /// How often a job is begun before it is given up: it may be what ends the process.
    pub max_attempts: u32,
    /// How long a worker may hold a job; at least the longest evaluation.
    pub lease: Duration,
    /// Octets of results kept at hand.
    pub recent_result_bytes: usize,
    /// The disk.
    pub disk: Arc<dyn Disk>,
}

impl DurableOptions {
    /// The defaults, for this directory.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            low_water_bytes: 256 << 20,
            max_attempts: 3,
            lease: Duration::from_secs(3600),
            recent_result_bytes: 64 << 20,
            disk: Arc::new(OsDisk),
        }
    }
}

/// A [`Store`] in a data directory.
pub struct DurableStore {
    shared: Arc<Shared>,
    commands: Commands,
    writer: Option<JoinHandle<()>>,
    reader: Arc<Mutex<Connection>>,
    /// The input of every unfinished job.
    inputs: Mutex<HashMap<JobId, Payload>>,
    /// Unfinished jobs of an earlier life, until they are taken.
    unfinished: Mutex<VecDeque<Arc<JobFacts>>>,
    keys_per_tenant: usize,
    key_ttl: Duration,
}

impl DurableStore {
    /// Opens the store, or makes it; finds what an earlier life left behind.
    ///
    /// # Errors
    /// [`OpenError`]; nothing in the directory was changed then.
    pub fn open(
        options: DurableOptions,
        capacity: Capacity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let DurableOptions { folder, low_water_bytes, max_attempts, lease, recent_result_bytes, disk } =
            options;
        let io = |cause| OpenError::Io { path: folder.clone(), cause };
        schema::create_folder(&folder)?;
        let lock = schema::lock(&folder)?;
        let mut connection = schema::open(&folder)?;
        let blobs = Blobs::open(&folder, Arc::clone(&disk)).map_err(io)?;
        let memory = MemoryStore::new(capacity, Arc::clone(&clock));
        let database = |cause| OpenError::Database { path: folder.join(schema::DATABASE), cause };
        let loaded = load::load(&mut connection, &memory, max_attempts, clock.now()).map_err(database)?;
        if let Some(_hold) = writer::hold_shared(&folder) {
            blobs.retain(|id, kind| loaded.files.contains(&(id, kind as u8))).map_err(io)?;
        }
        let reader = Arc::new(Mutex::new(schema::open_reader(&folder)?));
        let shared = Arc::new(Shared {
            memory,
            blobs,
            recent: Recent::new(recent_result_bytes),
            disk,
            clock,
            dead: AtomicBool::new(false),
            low: AtomicBool::new(false),
        });
        let (commands, received) = mpsc::channel();
        let writer = Writer {
            connection,
            shared: Arc::clone(&shared),
            data: folder.clone(),
            lease,
            tombstone_ttl: capacity.tombstone_ttl,
            low_water: low_water_bytes,
            _lock: lock,
        };
        writer.measure_disk();
        let thread = std::thread::Builder::new().name("hei-store".to_owned());
        let writer = thread.spawn(move || writer.run(&received)).map_err(io)?;
        Ok(Self {
            shared,
            commands: Commands::new(commands),
            writer: Some(writer),
            reader,
            inputs: Mutex::new(loaded.inputs),
            unfinished: Mutex::new(loaded.unfinished.into()),
            keys_per_tenant: capacity.keys_per_tenant,
            key_ttl: capacity.key_ttl,
        })
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.shared.dead.load(Ordering::Acquire) { Err(StoreError::Stopped) } else { Ok(()) }
    }

    fn has_room(&self) -> bool {
        self.alive().is_ok() && !self.shared.low.load(Ordering::Acquire)
    }

    /// Has the writer make a change, and waits until it is on the disk.
    async fn write(&self, row: Row, change: Change) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Job(JobCommand { row, change, reply }));
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Writes a payload's file, if it is one for a file.
    async fn write_blob(&self, id: JobId, kind: Kind, octets: &Bytes) -> Result<(), StoreError> {
        if kind != Kind::Key && octets.len() <= INLINE {
            return Ok(());
        }
        let (shared, octets) = (Arc::clone(&self.shared), octets.clone());
        let written = tokio::task::spawn_blocking(move || {
            shared.blobs.write(id, kind, &octets).map_err(|failure| match failure {
                Failure::Refused(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                    shared.low.store(true, Ordering::Release);
                    StoreError::DiskLow
                }
                Failure::Refused(error) => StoreError::Disk(error.to_string()),
                Failure::Unknown(error) => shared.end(&format!("fsync of a payload: {error}")),
            })
        });
        written.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// The octets of a payload, if they are what was written.
    async fn payload(&self, id: JobId, kind: Kind, expected: Payload) -> Option<Bytes> {
        let (shared, reader) = (Arc::clone(&self.shared), Arc::clone(&self.reader));
        let read = tokio::task::spawn_blocking(move || {
            let octets = if expected.is_blob() {
                shared.blobs.read(id, kind, expected.size).map_err(|error| error.to_string())
            } else {
                read_row(&crate::locked(&reader), id, kind).map_err(|error| error.to_string())
            };
            match octets {
                Ok(octets) if expected.is(&octets) => Some(Bytes::from(octets)),
                Ok(octets) => {
                    tracing::error!(job = %id, ?kind, bytes = octets.len(), "a payload is damaged");
                    None
                }
                Err(error) => {
                    tracing::error!(job = %id, ?kind, error, "a payload cannot be read");
                    None
                }
            }
        });
        read.await.ok().flatten()
    }

    /// The job with its result's octets; failed, from now on, when they are damaged.
    async fn whole(&self, mut job: Job) -> Result<Job, StoreError> {
        let Some(Outcome::Kept { size, digest }) = job.outcome.as_deref() else { return Ok(job) };
        let (id, size, digest) = (job.facts.id, *size, *digest);
        let result = match self.shared.recent.result(id) {
            Some(result) => Some(result),
            None => self.payload(id, Kind::Result, Payload::new(size, &digest)).await,
        };
        if let Some(result) = result {
            self.shared.recent.insert(id, result.clone());
            job.outcome = Some(Arc::new(Outcome::Completed { result, digest }));
            return Ok(job);
        }
        if self.shared.memory.peek(id).is_none() {
            // Deleted or expired meanwhile.
            return Err(StoreError::UnknownJob(id));
        }
        job.state = JobState::Failed;
        job.outcome = Some(Arc::new(Outcome::Failed(JobErrorCode::InternalError)));
        match self.write(row(&job, None), Change::Damage).await {
            Ok(()) | Err(StoreError::NotMonotone { .. }) => Ok(job),
            Err(error) => Err(error),
        }
    }

    async fn found(&self, lookup: Lookup) -> Result<Lookup, StoreError> {
        let Lookup::Found(job) = lookup else { return Ok(lookup) };
        match self.whole(job).await {
            Ok(job) => Ok(Lookup::Found(job)),
            Err(StoreError::UnknownJob(_)) => Ok(Lookup::Missing),
            Err(error) => Err(error),
        }
    }

    async fn keep(
        &self,
        job: Job,
        key: Option<IdempotencyKey>,
        input: Option<Bytes>,
    ) -> Result<(), StoreError> {
        let (facts, memory) = (Arc::clone(&job.facts), &self.shared.memory);
        let key = key.and_then(|key| {
            let fingerprint = memory.claimed(&facts.tenant, &key)?;
            Some((key, fingerprint, memory.key_end(&facts)))
        });
        let kept = input.as_ref().map(|input| Payload::of(input));
        if let Some(input) = &input {
            self.write_blob(facts.id, Kind::Input, input).await?;
        }
        let row = row(&job, kept.clone());
        if let Some(kept) = kept {
            crate::locked(&self.inputs).insert(facts.id, kept);
        }
        let input = input.filter(|input| input.len() <= INLINE);
        self.write(row, Change::Accept { job, key, input }).await.inspect_err(|_| {
            crate::locked(&self.inputs).remove(&facts.id);
        })
    }
}

/// A payload in the database.
fn read_row(connection: &Connection, id: JobId, kind: Kind) -> rusqlite::Result<Vec<u8>> {
    let sql = "select octets from payloads where id = ?1 and kind = ?2";
    let parameters = rusqlite::params![id.as_bytes(), kind as i64];
    let found = connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()?;
    found.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        self.commands.close();
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

impl Store for DurableStore {
    fn room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.alive()?;
            if self.shared.low.load(Ordering::Acquire) {
                return Err(StoreError::DiskLow);
            }
            self.shared.memory.room(tenant).await
        })
    }

    fn claim<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Pending<'a, Result<Claim, StoreError>> {
        self.shared.memory.claim(tenant, key, fingerprint)
    }

    fn remembers<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, bool> {
        self.shared.memory.remembers(tenant, key)
    }

    fn release<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, ()> {
        self.shared.memory.release(tenant, key)
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn accept(
        &self,
        facts: JobFacts,
        key: Option<IdempotencyKey>,
        input: Option<Bytes>,
    ) -> Pending<'_, Result<Option<Lease>, StoreError>> {
        Box::pin(async move {
            self.alive()?;
            if self.shared.low.load(Ordering::Acquire) {
                return Err(StoreError::DiskLow);
            }
            self.shared.memory.reserve(&facts)?;
            let facts = Arc::new(facts);
            let id = facts.id;
            let job = Job {
                facts: Arc::clone(&facts),
                state: JobState::Queued,
                started_at: None,
                finished_at: None,
                outcome: None,
            };
            let kept = self.keep(job, key, input).await;
            if kept.is_err() {
                self.shared.memory.unreserve(&facts);
                self.shared.blobs.remove(id, Kind::Input);
            }
            kept.map(|()| Some(Lease { id, attempt: 1 }))
        })
    }

    /// Jobs of an earlier life; those of this one are in the hands of whoever had them accepted.
    fn take(&self) -> Pending<'_, Result<Taken, StoreError>> {
        Box::pin(async move {
            loop {
                self.alive()?;
                let next = crate::locked(&self.unfinished).pop_front();
                let Some(facts) = next else { return std::future::pending().await };
                let lease = Lease { id: facts.id, attempt: 1 };
                let expected = crate::locked(&self.inputs).get(&facts.id).cloned();
                let input = match expected {
                    Some(expected) => self.payload(facts.id, Kind::Input, expected).await,
                    None => None,
                };
                if let Some(input) = input {
                    return Ok(Taken { lease, facts, input });
                }
                let failed = self.fail(facts.id, JobErrorCode::InternalError).await;
                match failed {
                    // Deleted meanwhile, or ended.
                    Ok(()) | Err(StoreError::UnknownJob(_) | StoreError::NotMonotone { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }

    fn takes_jobs(&self) -> bool {
        self.has_room()
    }

    fn start(&self, lease: Lease) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let id = lease.id;
            let mut job = self.shared.memory.peek(id).ok_or(StoreError::UnknownJob(id))?;
            let first = job.state == JobState::Queued;
            let leased = self.shared.recent.is_leased(id);
            if job.state.is_terminal() || (!first && leased) {
                return Err(StoreError::NotMonotone { id, from: job.state, to: JobState::Running });
            }
            let at = self.shared.clock.now();
            job.state = JobState::Running;
            job.started_at.get_or_insert(at);
            let input = crate::locked(&self.inputs).get(&id).cloned();
            self.shared.recent.lease(id);
            let started = self.write(row(&job, input), Change::Start { at, first }).await;
            if started.is_err() && !leased {
                self.shared.recent.end_lease(id);
            }
            started
        })
    }

    fn fail(&self, id: JobId, code: JobErrorCode) -> Pending<'_, Result<(), StoreError>> {
        self.finish(Lease { id, attempt: 1 }, Outcome::Failed(code))
    }

    fn finish(&self, lease: Lease, outcome: Outcome) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let id = lease.id;
            let mut job = self.shared.memory.peek(id).ok_or(StoreError::UnknownJob(id))?;
            let (outcome, result, to) = match outcome {
                Outcome::Completed { result, digest } => {
                    let size = result.len() as u64;
                    (Outcome::Kept { size, digest }, Some(result), JobState::Completed)
                }
                Outcome::Kept { .. } => return Err(StoreError::UnknownJob(id)),
                failed @ Outcome::Failed(_) => (failed, None, JobState::Failed),
            };
            if job.state.is_terminal() {
                return Err(StoreError::NotMonotone { id, from: job.state, to });
            }
            if let Some(result) = &result {
                self.write_blob(id, Kind::Result, result).await?;
            }
            let at = self.shared.clock.now();
            job.state = to;
            job.finished_at = Some(at);
            job.outcome = Some(Arc::new(outcome.clone()));
            self.write(row(&job, None), Change::Finish { at, outcome, result }).await?;
            crate::locked(&self.inputs).remove(&id);
            self.shared.recent.end_lease(id);
            Ok(())
        })
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move { self.found(self.shared.memory.read(tenant, id).await?).await })
    }

    fn read_beyond<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: JobId,
        seen: JobState,
    ) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move { self.found(self.shared.memory.read_beyond(tenant, id, seen).await?).await })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            let lookup = self.shared.memory.read(tenant, id).await?;
            let Lookup::Found(job) = &lookup else { return Ok(lookup) };
            match self.write(row(job, None), Change::Delete).await {
                Ok(()) => {}
                Err(StoreError::UnknownJob(_)) => return Ok(Lookup::Missing),
                Err(error) => return Err(error),
            }
            crate::locked(&self.inputs).remove(&id);
            self.shared.recent.end_lease(id);
            self.shared.memory.delete(tenant, id).await
        })
    }

    fn unfinished(&self) -> Pending<'_, u64> {
        self.shared.memory.unfinished()
    }
}

/// Where a store's folder of payloads is.
fn blob_folder(data: &Path) -> PathBuf {
    data.join("blobs")
}
