//! The one writer: everything that waits goes into one commit, and nothing is answered before it.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hei_protocol::{JobErrorCode, JobId, Timestamp};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::blobs::{Blobs, Kind};
use super::disk::Disk;
use super::keys::{self, KeyChange, KeyDone};
use super::recent::Recent;
use super::schema;
use crate::clock::{Clock, later};
use crate::id::{IdempotencyKey, Tenant};
use crate::store::memory::MemoryStore;
use crate::store::record::{self, INLINE, Record, key_seal, rank};
use crate::store::{Fingerprint, Job, JobState, Outcome, StoreError};

/// The most changes in one commit.
const GROUP: usize = 512;
/// How often the store looks for what is over.
const SWEEP: Duration = Duration::from_secs(1);
/// The most records that one sweep removes.
const SWEEP_ROWS: i64 = 2000;

/// A job that changes, with its row as it will be.
pub(super) struct Row {
    pub(super) id: JobId,
    pub(super) octets: Vec<u8>,
    pub(super) seal: [u8; 32],
}

/// What happens to a job.
pub(super) enum Change {
    Accept {
        job: Job,
        key: Option<(IdempotencyKey, Fingerprint, Timestamp)>,
        input: Option<Bytes>,
    },
    /// `first` is false for a job of an earlier life that already runs.
    Start {
        at: Timestamp,
        first: bool,
    },
    Finish {
        at: Timestamp,
        outcome: Outcome,
        result: Option<Bytes>,
    },
    /// A result is not what was written.
    Damage,
    Delete,
}

/// A change that somebody waits for.
pub(super) enum Command {
    Job(JobCommand),
    Key(KeyCommand),
}

/// The way to the writer, until the store is closed.
#[derive(Clone)]
pub(super) struct Commands(Arc<Mutex<Option<Sender<Command>>>>);

impl Commands {
    pub(super) fn new(sender: Sender<Command>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }

    /// A command that no writer takes is dropped, and with it the other end of its answer.
    pub(super) fn send(&self, command: Command) {
        if let Some(sender) = crate::locked(&self.0).as_ref() {
            drop(sender.send(command));
        }
    }

    /// The writer writes what it was given, and goes.
    pub(super) fn close(&self) {
        crate::locked(&self.0).take();
    }
}

/// A change of a key.
pub(super) struct KeyCommand {
    pub(super) tenant: Tenant,
    pub(super) change: KeyChange,
    pub(super) reply: oneshot::Sender<Result<KeyDone, StoreError>>,
}

/// A change of a job.
pub(super) struct JobCommand {
    pub(super) row: Row,
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

/// What the writer and the store share.
pub(super) struct Shared {
    pub(super) memory: MemoryStore,
    pub(super) blobs: Blobs,
    pub(super) recent: Recent,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    /// The disk failed; nothing is known any more.
    pub(super) dead: AtomicBool,
    /// Less is left on the disk than the low-water mark.
    pub(super) low: AtomicBool,
}

impl Shared {
    /// Ends the process, or, where a test's disk does not, the store.
    pub(super) fn end(&self, what: &str) -> StoreError {
        self.dead.store(true, Ordering::Release);
        self.disk.end(what);
        StoreError::Stopped
    }
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) data: std::path::PathBuf,
    pub(super) lease: Duration,
    pub(super) tombstone_ttl: Duration,
    pub(super) low_water: u64,
    /// Held as long as the writer lives.
    pub(super) _lock: File,
}

/// What became of a command.
enum Applied {
    /// Whether the change followed from the state the job was in.
    Job(bool),
    Key(KeyDone),
}

impl Writer {
    /// The writer's life: until nobody can send it anything.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut next_sweep = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next_sweep {
                self.sweep();
                next_sweep = now + SWEEP;
            }
            let first = match commands.recv_timeout(next_sweep.saturating_duration_since(now)) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut group = vec![first];
            group.extend(commands.try_iter().take(GROUP - 1));
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Command>) {
        let lease = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        let mut over = Vec::new();
        let committed = self.transact(|transaction| {
            let apply = |command: &Command| match command {
                Command::Job(job) => apply(transaction, job, lease).map(Applied::Job),
                Command::Key(key) => {
                    keys::apply(transaction, &key.tenant, &key.change, &mut over).map(Applied::Key)
                }
            };
            group.iter().map(apply).collect::<rusqlite::Result<Vec<Applied>>>()
        });
        let applied = match committed {
            Ok(applied) => applied,
            Err(refused) => {
                for command in group {
                    match command {
                        Command::Job(job) => drop(job.reply.send(Err(refused.clone()))),
                        Command::Key(key) => drop(key.reply.send(Err(refused.clone()))),
                    }
                }
                return;
            }
        };
        for (command, applied) in group.into_iter().zip(applied) {
            match (command, applied) {
                (Command::Job(JobCommand { row, change, reply }), Applied::Job(true)) => {
                    drop(reply.send(self.enter(row.id, change, &mut over)));
                }
                (Command::Job(JobCommand { row, change, reply }), _) => {
                    drop(reply.send(self.refusal(row.id, &change)));
                }
                (Command::Key(KeyCommand { reply, .. }), Applied::Key(done)) => drop(reply.send(Ok(done))),
                (Command::Key(_), Applied::Job(_)) => {}
            }
        }
        self.remove(&over);
    }

    /// Shows readers what is on the disk now.
    fn enter(&self, id: JobId, change: Change, over: &mut Vec<(JobId, Kind)>) -> Result<(), StoreError> {
        let Shared { memory, recent, .. } = self.shared.as_ref();
        match change {
            Change::Accept { job, key, .. } => memory.admit(&job, key),
            Change::Start { at, first: true } => return memory.enter_start(id, at),
            Change::Start { first: false, .. } => {}
            Change::Finish { at, outcome, result } => {
                if let Some(result) = result {
                    recent.insert(id, result);
                }
                over.push((id, Kind::Input));
                return memory.enter_end(id, at, outcome);
            }
            Change::Damage => {
                recent.remove(id);
                memory.enter_damage(id);
            }
            Change::Delete => {
                recent.remove(id);
                over.extend(Kind::OF_A_JOB.map(|kind| (id, kind)));
            }
        }
        Ok(())
    }

    fn refusal(&self, id: JobId, change: &Change) -> Result<(), StoreError> {
        let to = match change {
            // The key is the one thing that a new job needs to find.
            Change::Accept { .. } => return Err(StoreError::KeyGone),
            Change::Start { .. } => JobState::Running,
            Change::Finish { outcome: Outcome::Failed(_), .. } | Change::Damage => JobState::Failed,
            Change::Finish { .. } => JobState::Completed,
            Change::Delete => return Err(StoreError::UnknownJob(id)),
        };
        match self.shared.memory.peek(id) {
            Some(job) => Err(StoreError::NotMonotone { id, from: job.state, to }),
            None => Err(StoreError::UnknownJob(id)),
        }
    }

    /// One transaction: all of it on the disk, or none.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Self { connection, shared, .. } = self;
        if shared.dead.load(Ordering::Acquire) {
            return Err(StoreError::Stopped);
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let committed = transaction.and_then(|transaction| {
            let value = work(&transaction)?;
            if let Err(error) = shared.disk.before_commit() {
                return Ok(Err(shared.end(&format!("the database's log: {error}"))));
            }
            transaction.commit()?;
            Ok(Ok(value))
        });
        match committed {
            Ok(result) => result,
            // The whole group was rolled back, and nothing is damaged.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                tracing::error!(%error, "the disk is full");
                shared.low.store(true, Ordering::Release);
                Err(StoreError::DiskLow)
            }
            Err(error) => Err(shared.end(&format!("the database: {error}"))),
        }
    }

    /// Notes whether enough of the disk is left.
    pub(super) fn measure_disk(&self) {
        let available = self.shared.disk.available(&self.data).ok().flatten();
        let low = available.is_some_and(|available| available < self.low_water);
        if low != self.shared.low.swap(low, Ordering::AcqRel) {
            tracing::warn!(low, available, low_water = self.low_water, "disk space");
        }
    }

    /// Removes what is over from the disk: expired jobs, their traces, keys, and leases nobody keeps.
    fn sweep(&mut self) {
        self.measure_disk();
        if self.shared.dead.load(Ordering::Acquire) {
            return;
        }
        let now = millis(self.shared.clock.now());
        let tombstone = i64::try_from(self.tombstone_ttl.as_millis()).unwrap_or(i64::MAX);
        let due = "select
            (select count(*) from (select 1 from jobs where expires_at <= ?1 and state > 1 limit 1))
            + (select count(*) from (select 1 from tombstones where ends_at <= ?1 limit 1))
            + (select count(*) from (select 1 from idempotency where ends_at <= ?1 limit 1))";
        let due =
            self.connection.prepare_cached(due).and_then(|mut due| due.query_row([now], |row| row.get(0)));
        if !matches!(due, Ok(0_i64)) {
            let removed = self.transact(|transaction| remove_expired(transaction, now, tombstone));
            if let Ok(ids) = removed {
                let over: Vec<_> =
                    ids.into_iter().flat_map(|id| Kind::OF_A_JOB.map(|kind| (id, kind))).collect();
                self.remove(&over);
            }
        }
        let due = self.connection.prepare_cached(keys::DUE);
        let due = due.and_then(|mut due| due.query_row([now], |row| row.get(0)));
        if !matches!(due, Ok(0_i64))
            && let Ok(files) = self.transact(|transaction| keys::forget(transaction, now))
        {
            let over: Vec<_> = files.into_iter().map(|file| (file, Kind::Key)).collect();
            self.remove(&over);
        }
        self.end_leases();
    }

    /// A lease that ran out in this life belongs to a worker that does not come back: the job has failed.
    fn end_leases(&mut self) {
        let lost = "select id from jobs where state = 1
            and lease_until <= cast(unixepoch('subsec') * 1000 as integer)";
        let lost: rusqlite::Result<Vec<[u8; 16]>> = self
            .connection
            .prepare_cached(lost)
            .and_then(|mut lost| lost.query_map([], |row| row.get(0))?.collect());
        let at = self.shared.clock.now();
        let group: Vec<Command> = lost
            .unwrap_or_default()
            .into_iter()
            .filter_map(|id| {
                let mut job = self.shared.memory.peek(JobId::from_bytes(id))?;
                // One that waits to be resumed is nobody's yet.
                self.shared.recent.is_leased(job.facts.id).then_some(())?;
                tracing::error!(job = %job.facts.id, "its lease ran out");
                let outcome = Outcome::Failed(JobErrorCode::JobDeadlineExceeded);
                job.state = JobState::Failed;
                job.finished_at = Some(at);
                job.outcome = Some(Arc::new(outcome.clone()));
                let change = Change::Finish { at, outcome, result: None };
                let reply = oneshot::channel().0;
                Some(Command::Job(JobCommand { row: row(&job, None), change, reply }))
            })
            .collect();
        if !group.is_empty() {
            self.commit(group);
        }
    }

    /// Removes payload files, unless a backup is being taken; what stays is removed at the next start.
    fn remove(&self, over: &[(JobId, Kind)]) {
        let present: Vec<_> =
            over.iter().filter(|(id, kind)| self.shared.blobs.path(*id, *kind).exists()).collect();
        if present.is_empty() {
            return;
        }
        let Some(_hold) = hold_shared(&self.data) else { return };
        for (id, kind) in present {
            self.shared.blobs.remove(*id, *kind);
        }
    }
}

/// Keeps backups away; `None` while one is being taken.
pub(super) fn hold_shared(data: &Path) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(data.join(schema::HOLD)).ok()?;
    file.try_lock_shared().ok().map(|()| file)
}

/// A job's row.
pub(super) fn row(job: &Job, input: Option<record::Payload>) -> Row {
    let (octets, seal) = Record::of(job, input).sealed(job.facts.id);
    Row { id: job.facts.id, octets, seal }
}

pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.unix_millis()).unwrap_or(i64::MAX)
}

/// Whether the change followed from the state the job was in.
fn apply(transaction: &Transaction<'_>, command: &JobCommand, lease: i64) -> rusqlite::Result<bool> {
    let JobCommand { row: Row { id, octets, seal }, change, .. } = command;
    let id = id.as_bytes();
    let run =
        |sql: &str, parameters: &[&dyn rusqlite::ToSql]| transaction.prepare_cached(sql)?.execute(parameters);
    let payload = |kind: Kind, octets: &Option<Bytes>| match octets {
        Some(octets) => {
            let sql = "insert into payloads(id, kind, octets) values (?1, ?2, ?3)";
            run(sql, params![id, kind as i64, octets.as_ref()])
        }
        None => Ok(0),
    };
    match change {
        Change::Accept { job, key, input } => {
            let (tenant, key_id) = (job.facts.tenant.name(), job.facts.evaluation_key_id);
            if let Some(key) = key_id
                && !keys::is_there(transaction, &job.facts.tenant, key)?
            {
                return Ok(false);
            }
            let key_id = key_id.map(|key| *key.as_bytes());
            run(
                "insert into jobs(id, tenant, state, expires_at, record, seal, key)
                 values (?1, ?2, 0, ?3, ?4, ?5, ?6)",
                params![id, tenant, millis(job.facts.expires_at), octets, seal, key_id],
            )?;
            payload(Kind::Input, input)?;
            if let Some((key, fingerprint, end)) = key {
                let end = millis(*end);
                let seal = key_seal(tenant, key.text(), &fingerprint.0, id, end);
                run(
                    "insert or replace into idempotency(tenant, key, fingerprint, job, ends_at, seal)
                     values (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![tenant, key.text(), fingerprint.0, id, end, seal],
                )?;
            }
            Ok(true)
        }
        Change::Start { first, .. } => {
            let from = i64::from(!*first);
            let sql = "update jobs set state = 1, attempts = attempts + 1, record = ?2, seal = ?3,
                lease_until = cast(unixepoch('subsec') * 1000 as integer) + ?4 where id = ?1 and state = ?5";
            Ok(run(sql, params![id, octets, seal, lease, from])? == 1)
        }
        Change::Finish { outcome, result, .. } => {
            let state = match outcome {
                Outcome::Failed(_) => JobState::Failed,
                Outcome::Completed { .. } | Outcome::Kept { .. } => JobState::Completed,
            };
            let sql = "update jobs set state = ?2, record = ?3, seal = ?4, lease_until = null
                where id = ?1 and state < 2";
            if run(sql, params![id, i64::from(rank(state)), octets, seal])? == 0 {
                return Ok(false);
            }
            run("delete from payloads where id = ?1", params![id])?;
            let inline = result.as_ref().filter(|octets| octets.len() <= INLINE).cloned();
            payload(Kind::Result, &inline)?;
            Ok(true)
        }
        Change::Damage => {
            let sql = "update jobs set state = 3, record = ?2, seal = ?3 where id = ?1 and state = 2";
            Ok(run(sql, params![id, octets, seal])? == 1)
        }
        Change::Delete => {
            run("delete from payloads where id = ?1", params![id])?;
            Ok(run("delete from jobs where id = ?1", params![id])? == 1)
        }
    }
}

fn remove_expired(transaction: &Transaction<'_>, now: i64, tombstone: i64) -> rusqlite::Result<Vec<JobId>> {
    let mut ids = Vec::new();
    {
        let sql = "select id, tenant, expires_at from jobs where expires_at <= ?1 and state > 1 limit ?2";
        let mut expired = transaction.prepare_cached(sql)?;
        let mut rows = expired.query(params![now, SWEEP_ROWS])?;
        while let Some(row) = rows.next()? {
            let (id, tenant, end): ([u8; 16], String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            transaction
                .prepare_cached("insert or replace into tombstones(id, tenant, ends_at) values (?1, ?2, ?3)")?
                .execute(params![id, tenant, end.saturating_add(tombstone)])?;
            ids.push(JobId::from_bytes(id));
        }
    }
    for id in &ids {
        transaction.prepare_cached("delete from payloads where id = ?1")?.execute([id.as_bytes()])?;
        transaction.prepare_cached("delete from jobs where id = ?1")?.execute([id.as_bytes()])?;
    }
    for sql in ["delete from tombstones where ends_at <= ?1", "delete from idempotency where ends_at <= ?1"] {
        transaction.prepare_cached(sql)?.execute([now])?;
    }
    Ok(ids)
}

/// A time as the database keeps it; the inverse of [`millis`].
pub(super) fn time(millis: i64) -> Timestamp {
    later(Timestamp::from_unix_millis(0), Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}
