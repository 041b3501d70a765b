//! Evaluation keys at rest: a tenant's own, by digest, until some time after they were last used.
//!
//! The [`KeyStore`] trait states the promises; [`memory::MemoryKeys`] keeps them for the life of the process. A
//! store takes octets that were already validated, and holds them against their digest whenever they are used.

pub mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hei_ckks::KeyManifest;
use hei_protocol::messages::StoredKey;
use hei_protocol::{KeyId, Timestamp};
use sha2::{Digest, Sha256};

use crate::id::Tenant;
use crate::store::Pending;

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

/// A key that a job uses: it stays whole as long as this lives, whether it is deleted or expires meanwhile.
#[derive(Clone)]
pub struct PinnedKey {
    /// The key.
    pub id: KeyId,
    held: Arc<Held>,
}

struct Held {
    octets: Bytes,
    corrupt: AtomicBool,
    _share: Option<Share>,
}

/// The stored octets are not those that were validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored octets of evaluation key {0} have another digest")]
pub struct CorruptKey(pub KeyId);

impl Held {
    fn new(octets: Bytes, share: Option<Share>) -> Arc<Self> {
        Arc::new(Self { octets, corrupt: AtomicBool::new(false), _share: share })
    }

    fn is_corrupt(&self) -> bool {
        self.corrupt.load(Ordering::Acquire)
    }
}

impl PinnedKey {
    /// The container, held against its digest. A key that fails is quarantined: it is absent from then on.
    ///
    /// # Errors
    /// [`CorruptKey`] when storage changed it; such a key must never be evaluated with.
    pub fn octets(&self) -> Result<&Bytes, CorruptKey> {
        let digest: [u8; 32] = Sha256::digest(&self.held.octets).into();
        if digest == *self.id.as_bytes() {
            return Ok(&self.held.octets);
        }
        self.held.corrupt.store(true, Ordering::Release);
        Err(CorruptKey(self.id))
    }
}

/// Why a key is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeyRoom {
    /// The tenant has as many keys as it may.
    #[error("the tenant has {stored} keys, the most it may have; delete one")]
    Quota {
        /// Stored keys.
        stored: usize,
    },
}

/// Evaluation keys, by tenant.
///
/// Promises every implementation keeps: a key of another tenant is absent; nothing is evicted to make room; a key
/// is kept until its time after its last use is over; a pinned key outlives its deletion.
pub trait KeyStore: Send + Sync + 'static {
    /// Whether the tenant may store one more key.
    fn room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), NoKeyRoom>>;

    /// Stores a key. One that is there already stays, and counts as used. Says whether it is new.
    fn insert<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: NewKey,
    ) -> Pending<'a, Result<(KeyRecord, bool), NoKeyRoom>>;

    /// What is known about a key; looking is not using.
    fn find<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Option<KeyRecord>>;

    /// The key for a use: its time starts again.
    fn pin<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Option<(KeyRecord, PinnedKey)>>;

    /// The tenant's keys, by id.
    fn list<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Vec<KeyRecord>>;

    /// Forgets a key. Says whether there was one.
    fn remove<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, bool>;
}
