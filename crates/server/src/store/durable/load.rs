//! What an earlier life left behind: read once at the start, checked row by row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hei_protocol::{JobErrorCode, JobId, Timestamp};
use rusqlite::{Connection, params};

use super::blobs::Kind;
use super::writer::{row, time};
use crate::id::{IdempotencyKey, Tenant};
use crate::store::memory::MemoryStore;
use crate::store::record::{Payload, Record, key_seal, rank};
use crate::store::{Fingerprint, Job, JobFacts, JobState, Outcome};

/// What was found.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) inputs: HashMap<JobId, Payload>,
    pub(super) unfinished: Vec<Arc<JobFacts>>,
    /// The payload files that belong to a job.
    pub(super) files: HashSet<(JobId, u8)>,
}

/// One row of jobs.
struct Stored {
    id: JobId,
    tenant: String,
    state: i64,
    attempts: u32,
    record: Vec<u8>,
    seal: Vec<u8>,
}

/// Fills the memory from the database, and settles what cannot go on.
pub(super) fn load(
    connection: &mut Connection,
    memory: &MemoryStore,
    max_attempts: u32,
    now: Timestamp,
) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut settled = Vec::new();
    let mut resumed = Vec::new();
    {
        let sql = "select id, tenant, state, attempts, record, seal from jobs order by expires_at";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let stored = Stored {
                id: JobId::from_bytes(row.get(0)?),
                tenant: row.get(1)?,
                state: row.get(2)?,
                attempts: row.get(3)?,
                record: row.get(4)?,
                seal: row.get(5)?,
            };
            let id = stored.id;
            let Some((mut job, record, intact)) = read(&stored) else {
                tracing::error!(job = %id, "a record is damaged beyond reading; the job is left out");
                continue;
            };
            let poisoned = !job.state.is_terminal() && stored.attempts >= max_attempts;
            if poisoned {
                tracing::error!(job = %id, attempts = stored.attempts, "given up: every attempt ended the process");
            }
            if !intact || poisoned {
                fail(&mut job, now);
                settled.push(job.clone());
            } else if let Some(result) = record.result.filter(Payload::is_blob) {
                let _ = result;
                loaded.files.insert((id, Kind::Result as u8));
            }
            if !job.state.is_terminal() {
                if let Some(input) = record.input {
                    if input.is_blob() {
                        loaded.files.insert((id, Kind::Input as u8));
                    }
                    loaded.inputs.insert(id, input);
                }
                resumed.push((job.facts.created_at, Arc::clone(&job.facts)));
            }
            memory.restore(job);
        }
    }
    resumed.sort_by_key(|(created_at, _)| *created_at);
    loaded.unfinished = resumed.into_iter().map(|(_, facts)| facts).collect();
    load_keys(connection, memory)?;
    let keys = super::keys::files(connection)?.into_iter().filter_map(|row| {
        row.inspect_err(|damage| tracing::error!(damage, "the record of an evaluation key is damaged")).ok()
    });
    loaded.files.extend(keys.map(|(file, _)| (file, Kind::Key as u8)));
    if !settled.is_empty() {
        let transaction = connection.transaction()?;
        for job in settled {
            let row = row(&job, None);
            let id = row.id.as_bytes();
            transaction.execute(
                "update jobs set state = ?2, record = ?3, seal = ?4, lease_until = null where id = ?1",
                params![id, i64::from(rank(job.state)), row.octets, row.seal],
            )?;
            transaction.execute("delete from payloads where id = ?1", [id])?;
        }
        transaction.commit()?;
    }
    Ok(loaded)
}

/// The job of a row, and whether the row is what was written.
fn read(stored: &Stored) -> Option<(Job, Record, bool)> {
    let agrees =
        |job: &Job| job.facts.tenant.name() == stored.tenant && i64::from(rank(job.state)) == stored.state;
    if let Ok(record) = Record::open(stored.id, &stored.record, &stored.seal)
        && let Ok(job) = record.job(stored.id)
    {
        let intact = agrees(&job);
        return Some((job, record, intact));
    }
    tracing::error!(job = %stored.id, "a record is damaged");
    // Whose it is must be beyond doubt for it to be shown to anybody at all.
    let record: Record = serde_json::from_slice(&stored.record).ok()?;
    let job = record.job(stored.id).ok()?;
    (job.facts.tenant.name() == stored.tenant).then_some((job, record, false))
}

/// Ends a job that cannot go on.
fn fail(job: &mut Job, now: Timestamp) {
    job.state = JobState::Failed;
    job.finished_at.get_or_insert(now);
    job.outcome = Some(Arc::new(Outcome::Failed(JobErrorCode::InternalError)));
}

fn load_keys(connection: &Connection, memory: &MemoryStore) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("select id, tenant, ends_at from tombstones order by ends_at")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, tenant, end): ([u8; 16], String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if let Ok(tenant) = Tenant::from_header(Some(tenant.as_bytes())) {
            memory.restore_tombstone(JobId::from_bytes(id), tenant, time(end));
        }
    }
    let sql = "select tenant, key, fingerprint, job, ends_at, seal from idempotency order by ends_at";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (tenant, text): (String, String) = (row.get(0)?, row.get(1)?);
        let (fingerprint, job): ([u8; 32], [u8; 16]) = (row.get(2)?, row.get(3)?);
        let (end, seal): (i64, Vec<u8>) = (row.get(4)?, row.get(5)?);
        let intact = key_seal(&tenant, &text, &fingerprint, &job, end) == *seal;
        match (Tenant::from_header(Some(tenant.as_bytes())), IdempotencyKey::from_text(&text)) {
            (Ok(tenant), Ok(key)) if intact => {
                memory.restore_key(
                    (tenant, key),
                    Fingerprint(fingerprint),
                    JobId::from_bytes(job),
                    time(end),
                );
            }
            _ => tracing::error!("an idempotency record is damaged; its key is as if never used"),
        }
    }
    Ok(())
}
