//! A job as the database keeps it: one sealed record a row, so that a flipped bit anywhere in it is seen.

use std::sync::Arc;

use hei_protocol::{Encoding, JobErrorCode, JobId, KeyId, Timestamp, encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::Tenant;
use crate::store::{Job, JobFacts, JobState, Outcome};

/// What the seal begins with.
const DOMAIN: &[u8] = b"hei store record 1\0";

/// The size and digest of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) size: u64,
    sha256: String,
}

impl Payload {
    pub(super) fn of(octets: &[u8]) -> Self {
        Self::new(octets.len() as u64, &Sha256::digest(octets).into())
    }

    pub(super) fn new(size: u64, digest: &[u8; 32]) -> Self {
        Self { size, sha256: encoding::to_hex(digest) }
    }

    /// Whether these are the octets.
    pub(super) fn is(&self, octets: &[u8]) -> bool {
        Self::of(octets) == *self
    }

    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        encoding::from_hex(&self.sha256).ok()?.try_into().ok()
    }

    /// Whether it is in a file instead of a row.
    pub(super) const fn is_blob(&self) -> bool {
        self.size > super::blobs::INLINE as u64
    }
}

/// Everything about a job that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    tenant: String,
    model_id: String,
    version: String,
    evaluation_key_id: Option<String>,
    params_id: String,
    batch_size: u32,
    encoding: String,
    created_at: u64,
    expires_at: u64,
    max_result_bytes: u64,
    state: u8,
    started_at: Option<u64>,
    finished_at: Option<u64>,
    failure: Option<String>,
    pub(super) input: Option<Payload>,
    pub(super) result: Option<Payload>,
}

/// A record that is not what was written.
#[derive(Debug)]
pub(super) struct Damaged;

/// The number of a state; the order is the rank.
pub(super) const fn rank(state: JobState) -> u8 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Completed => 2,
        JobState::Failed => 3,
    }
}

impl Record {
    pub(super) fn of(job: &Job, input: Option<Payload>) -> Self {
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
    pub(super) fn sealed(&self, id: JobId) -> (Vec<u8>, [u8; 32]) {
        let octets = hei_protocol::messages::to_json(self);
        let seal = seal(id, &octets);
        (octets, seal)
    }

    /// Reads a row.
    pub(super) fn open(id: JobId, octets: &[u8], sealed: &[u8]) -> Result<Self, Damaged> {
        if seal(id, octets) != *sealed {
            return Err(Damaged);
        }
        serde_json::from_slice(octets).map_err(|_| Damaged)
    }

    /// The job it tells of.
    pub(super) fn job(&self, id: JobId) -> Result<Job, Damaged> {
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
pub(super) fn key_seal(tenant: &str, key: &str, fingerprint: &[u8], job: &[u8], ends_at: i64) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"hei store key 1\0");
    for field in [tenant.as_bytes(), key.as_bytes(), fingerprint, job, &ends_at.to_be_bytes()] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}
