//! Evaluation keys at rest: a tenant's own, by digest, until some time after they were last used.
//!
//! The [`KeyStore`] trait states the promises; [`memory::MemoryKeys`] keeps them for the life of the process, the
//! stores of jobs that outlive it keep them beyond it. A store takes octets that were already validated, and they are
//! held against their digest whenever they are used.

pub mod memory;

use std::sync::Arc;

use bytes::Bytes;
use hei_ckks::KeyManifest;
use hei_protocol::messages::StoredKey;
use hei_protocol::{KeyId, Timestamp};
use sha2::{Digest, Sha256};

use crate::id::Tenant;
use crate::store::{Pending, StoreError};

/// What a key holds of a budget; given back when dropped.
pub type Share = Box<dyn std::any::Any + Send + Sync>;

/// A validated key, ready to be stored.
pub struct NewKey {
    /// The SHA-256 of the container.
    pub id: KeyId,
    /// The parameter set, 64 hexadecimal digits.
    pub params_id: Arc<str>,
    /// Which keys the container holds.
    pub manifest: KeyManifest,
    /// The container.
    pub octets: Bytes,
    /// Its share of the memory for keys; given back when the last user of the key is gone.
    pub share: Option<Share>,
}

/// What is known about a stored key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRecord {
    /// The SHA-256 of the container.
    pub id: KeyId,
    /// The parameter set, 64 hexadecimal digits.
    pub params_id: Arc<str>,
    /// Which keys the container holds.
    pub manifest: KeyManifest,
    /// Octets of the container.
    pub size: u64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last uploaded or used.
    pub last_used_at: Timestamp,
    /// Until when it is kept, at least.
    pub expires_at: Timestamp,
}

impl KeyRecord {
    /// The record as clients see it.
    #[must_use]
    pub fn message(&self) -> StoredKey {
        StoredKey {
            key_id: self.id,
            kind: "evaluation-key".to_owned(),
            params_id: self.params_id.to_string(),
            size: self.size,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            expires_at: self.expires_at,
        }
    }
}

/// Where the octets of a pinned key are.
pub(crate) trait KeySource: Send + Sync {
    /// The octets; may block for I/O.
    fn read(&self) -> Result<Bytes, String>;

    /// Makes sure that nobody uses the key again; may block.
    fn quarantine(&self);
}

/// A key that a job uses: it stays whole as long as the job needs it, whether it is deleted or expires meanwhile.
#[derive(Clone)]
pub struct PinnedKey {
    /// The key.
    pub id: KeyId,
    source: Arc<dyn KeySource>,
}

/// Why the octets of a pinned key are not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostKey {
    /// They are not those that were validated.
    #[error("the stored octets of evaluation key {0} have another digest")]
    Corrupt(KeyId),
    /// The storage does not give them.
    #[error("the stored octets of evaluation key {id} cannot be read: {cause}")]
    Unreadable {
        /// The key.
        id: KeyId,
        /// What the storage said.
        cause: String,
    },
}

impl PinnedKey {
    pub(crate) fn new(id: KeyId, source: Arc<dyn KeySource>) -> Self {
        Self { id, source }
    }

    /// The container, held against its digest. A key that fails is quarantined: it is absent from then on. Reads
    /// storage: not for a thread that serves connections.
    ///
    /// # Errors
    /// [`LostKey::Corrupt`] when storage changed it; such a key must never be evaluated with.
    /// [`LostKey::Unreadable`] when storage does not answer.
    pub fn octets(&self) -> Result<Bytes, LostKey> {
        let octets = self.source.read().map_err(|cause| LostKey::Unreadable { id: self.id, cause })?;
        let digest: [u8; 32] = Sha256::digest(&octets).into();
        if digest == *self.id.as_bytes() {
            return Ok(octets);
        }
        self.source.quarantine();
        Err(LostKey::Corrupt(self.id))
    }
}

/// Why a key is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeyRoom {
    /// The tenant has as many keys as it may.
    #[error("the tenant has {stored} keys, the most it may have; delete one")]
    Quota {
        /// Stored keys.
        stored: usize,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Evaluation keys, by tenant.
///
/// Promises every implementation keeps: a key of another tenant is absent; nothing is evicted to make room; a key
/// is kept until its time after its last use is over; a pinned key outlives its deletion.
pub trait KeyStore: Send + Sync + 'static {
    /// Whether the tenant may store one more key.
    fn key_room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), NoKeyRoom>>;

    /// Stores a key. One that is there already stays, and counts as used. Says whether it is new.
    fn insert<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: NewKey,
    ) -> Pending<'a, Result<(KeyRecord, bool), NoKeyRoom>>;

    /// What is known about a key; looking is not using.
    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<KeyRecord>, StoreError>>;

    /// The key for a use: its time starts again.
    fn pin<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<Option<Pin>, StoreError>>;

    /// The key that an accepted job was promised, deleted and expired ones included.
    fn pinned<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<PinnedKey>, StoreError>>;

    /// The tenant's keys, by id.
    fn list<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<Vec<KeyRecord>, StoreError>>;

    /// Forgets a key. Says whether there was one.
    fn remove<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<bool, StoreError>>;
}

/// A key that was found for a use.
pub type Pin = (KeyRecord, PinnedKey);
