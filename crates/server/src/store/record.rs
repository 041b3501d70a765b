//! A job, or a key, as a database keeps it: one sealed record a row, so that a flipped bit anywhere in it is seen.

use std::sync::Arc;

use hei_ckks::KeyManifest;
use hei_protocol::{Encoding, JobErrorCode, JobId, KeyId, Timestamp, encoding};
use hei_ring::GaloisElement;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::Tenant;
use crate::keys::KeyRecord;
use crate::store::{Job, JobFacts, JobState, Outcome};

/// What the seal begins with.
const DOMAIN: &[u8] = b"hei store record 1\0";

/// Payloads of up to this many octets live in the database.
pub(in crate::store) const INLINE: usize = 64 << 10;

/// The size and digest of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Payload {
    pub(in crate::store) size: u64,
    sha256: String,
}

impl Payload {
    pub(in crate::store) fn of(octets: &[u8]) -> Self {
        Self::new(octets.len() as u64, &Sha256::digest(octets).into())
    }

    pub(in crate::store) fn new(size: u64, digest: &[u8; 32]) -> Self {
        Self { size, sha256: encoding::to_hex(digest) }
    }

    /// Whether these are the octets.
    pub(in crate::store) fn is(&self, octets: &[u8]) -> bool {
        Self::of(octets) == *self
    }

    pub(in crate::store) fn digest(&self) -> Option<[u8; 32]> {
        encoding::from_hex(&self.sha256).ok()?.try_into().ok()
    }

    /// Whether it is in a file instead of a row.
    pub(in crate::store) const fn is_blob(&self) -> bool {
        self.size > INLINE as u64
    }
}

/// Everything about a job that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::store) struct Record {
    tenant: String,
    model_id: String,
    version: String,
    evaluation_key_id: Option<String>,
    params_id: String,
    batch_size: u32,
    encoding: String,
    created_at: u64,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_at: Option<u64>,
    max_result_bytes: u64,
    state: u8,
    started_at: Option<u64>,
    finished_at: Option<u64>,
    failure: Option<String>,
    pub(in crate::store) input: Option<Payload>,
    pub(in crate::store) result: Option<Payload>,
}

/// A record that is not what was written.
#[derive(Debug)]
pub(in crate::store) struct Damaged;

/// The number of a state; the order is the rank.
pub(in crate::store) const fn rank(state: JobState) -> u8 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Completed => 2,
        JobState::Failed => 3,
    }
}

impl Record {
    pub(in crate::store) fn of(job: &Job, input: Option<Payload>) -> Self {
        let facts = job.facts.as_ref();
        let (failure, result) = match job.outcome.as_deref() {
            None => (None, None),
            Some(Outcome::Failed(code)) => (Some(code.as_str().to_owned()), None),
            Some(Outcome::Completed { result, digest }) => {
                (None, Some(Payload::new(result.len() as u64, digest)))
            }
            Some(Outcome::Kept { size, digest }) => (None, Some(Payload::new(*size, digest))),
        };
        Self {
            tenant: facts.tenant.name().to_owned(),
            model_id: facts.model_id.as_str().to_owned(),
            version: facts.version.as_str().to_owned(),
            evaluation_key_id: facts.evaluation_key_id.map(|id| id.to_string()),
            params_id: facts.params_id.to_string(),
            batch_size: facts.batch_size,
            encoding: facts.encoding.as_str().to_owned(),
            created_at: facts.created_at.unix_millis(),
            expires_at: facts.expires_at.unix_millis(),
            deadline_at: facts.deadline_at.map(Timestamp::unix_millis),
            max_result_bytes: facts.max_result_bytes,
            state: rank(job.state),
            started_at: job.started_at.map(Timestamp::unix_millis),
            finished_at: job.finished_at.map(Timestamp::unix_millis),
            failure,
            input,
            result,
        }
    }

    /// The row's octets and their seal.
    pub(in crate::store) fn sealed(&self, id: JobId) -> (Vec<u8>, [u8; 32]) {
        let octets = hei_protocol::messages::to_json(self);
        let seal = seal(id, &octets);
        (octets, seal)
    }

    /// Reads a row.
    pub(in crate::store) fn open(id: JobId, octets: &[u8], sealed: &[u8]) -> Result<Self, Damaged> {
        if seal(id, octets) != *sealed {
            return Err(Damaged);
        }
        serde_json::from_slice(octets).map_err(|_| Damaged)
    }

    /// The job it tells of.
    pub(in crate::store) fn job(&self, id: JobId) -> Result<Job, Damaged> {
        let time = Timestamp::from_unix_millis;
        let key = self.evaluation_key_id.as_deref().map(str::parse::<KeyId>).transpose();
        let facts = JobFacts {
            id,
            tenant: Tenant::from_header(Some(self.tenant.as_bytes())).map_err(|_| Damaged)?,
            model_id: self.model_id.parse().map_err(|_| Damaged)?,
            version: self.version.parse().map_err(|_| Damaged)?,
            evaluation_key_id: key.map_err(|_| Damaged)?,
            params_id: self.params_id.as_str().into(),
            batch_size: self.batch_size,
            encoding: Encoding::from_name(&self.encoding).ok_or(Damaged)?,
            created_at: time(self.created_at),
            expires_at: time(self.expires_at),
            deadline_at: self.deadline_at.map(time),
            max_result_bytes: self.max_result_bytes,
        };
        let (state, outcome) = match (self.state, &self.failure, &self.result) {
            (0, None, None) => (JobState::Queued, None),
            (1, None, None) => (JobState::Running, None),
            (2, None, Some(result)) => {
                let digest = result.digest().ok_or(Damaged)?;
                (JobState::Completed, Some(Outcome::Kept { size: result.size, digest }))
            }
            (3, Some(code), None) => {
                let code = JobErrorCode::ALL.iter().find(|known| known.as_str() == code.as_str());
                (JobState::Failed, Some(Outcome::Failed(*code.ok_or(Damaged)?)))
            }
            _ => return Err(Damaged),
        };
        Ok(Job {
            facts: Arc::new(facts),
            state,
            started_at: self.started_at.map(time),
            finished_at: self.finished_at.map(time),
            outcome: outcome.map(Arc::new),
        })
    }
}

fn seal(id: JobId, octets: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(DOMAIN).chain_update(id.as_bytes()).chain_update(octets).finalize().into()
}

/// The seal of an idempotency record.
pub(in crate::store) fn key_seal(
    tenant: &str,
    key: &str,
    fingerprint: &[u8],
    job: &[u8],
    ends_at: i64,
) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"hei store key 1\0");
    for field in [tenant.as_bytes(), key.as_bytes(), fingerprint, job, &ends_at.to_be_bytes()] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// Whether a key can be used. The numbers are those of the table `keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum KeyState {
    /// By its owner.
    Kept = 0,
    /// By the jobs that were promised it.
    Deleted = 1,
    /// By nobody: its octets are not what was written.
    Quarantined = 2,
}

/// A stored key: its record, and the name of the file or object with its octets.
#[derive(Clone, Debug)]
pub(in crate::store) struct KeyRow {
    pub(in crate::store) state: KeyState,
    pub(in crate::store) file: JobId,
    pub(in crate::store) record: KeyRecord,
}

/// No ring has a larger degree; which one a key is for, its parameter set says.
const DEGREE: usize = 1 << 17;

#[derive(Serialize, Deserialize)]
struct KeyOctets {
    state: u8,
    file: String,
    params_id: String,
    relinearization: Option<usize>,
    galois: Vec<(u64, usize)>,
    size: u64,
    created_at: u64,
    last_used_at: u64,
    expires_at: u64,
}

impl KeyRow {
    /// Whether its owner can use it.
    pub(in crate::store) fn is_good(&self, now: i64) -> bool {
        let expires = i64::try_from(self.record.expires_at.unix_millis()).unwrap_or(i64::MAX);
        self.state == KeyState::Kept && expires > now
    }

    /// The row's octets and their seal.
    pub(in crate::store) fn sealed(&self, tenant: &str) -> (Vec<u8>, [u8; 32]) {
        let KeyRecord { id, params_id, manifest, size, created_at, last_used_at, expires_at } = &self.record;
        let octets = hei_protocol::messages::to_json(&KeyOctets {
            state: self.state as u8,
            file: self.file.to_string(),
            params_id: params_id.to_string(),
            relinearization: manifest.relinearization(),
            galois: manifest.galois().map(|(element, level)| (element.value(), level)).collect(),
            size: *size,
            created_at: created_at.unix_millis(),
            last_used_at: last_used_at.unix_millis(),
            expires_at: expires_at.unix_millis(),
        });
        let seal = row_seal(tenant, *id, &octets);
        (octets, seal)
    }

    /// Reads a row.
    pub(in crate::store) fn open(
        tenant: &str,
        id: KeyId,
        octets: &[u8],
        sealed: &[u8],
    ) -> Result<Self, Damaged> {
        if row_seal(tenant, id, octets) != *sealed {
            return Err(Damaged);
        }
        let row: KeyOctets = serde_json::from_slice(octets).map_err(|_| Damaged)?;
        let time = Timestamp::from_unix_millis;
        let mut manifest = KeyManifest::new();
        if let Some(level) = row.relinearization {
            manifest.need_relinearization(level);
        }
        for (element, level) in row.galois {
            manifest.need_galois(GaloisElement::new(element, DEGREE).map_err(|_| Damaged)?, level);
        }
        let state = match row.state {
            0 => KeyState::Kept,
            1 => KeyState::Deleted,
            2 => KeyState::Quarantined,
            _ => return Err(Damaged),
        };
        let record = KeyRecord {
            id,
            params_id: row.params_id.as_str().into(),
            manifest,
            size: row.size,
            created_at: time(row.created_at),
            last_used_at: time(row.last_used_at),
            expires_at: time(row.expires_at),
        };
        Ok(Self { state, file: row.file.parse().map_err(|_| Damaged)?, record })
    }
}

/// The seal of a key's row.
fn row_seal(tenant: &str, id: KeyId, octets: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"hei store evaluation key 1\0");
    for field in [tenant.as_bytes(), id.as_bytes(), octets] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}
