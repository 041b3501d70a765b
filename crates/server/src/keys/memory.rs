//! Evaluation keys in memory: bounded in number by tenant, gone with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hei_protocol::{KeyId, Timestamp};

use super::{KeyRecord, KeySource, KeyStore, NewKey, NoKeyRoom, Pin, PinnedKey, Share};
use crate::clock::{Clock, later};
use crate::id::Tenant;
use crate::store::{Pending, StoreError};

/// A [`KeyStore`] in memory.
pub struct MemoryKeys {
    per_tenant: usize,
    ttl: Duration,
    clock: Arc<dyn Clock>,
    /// A tenant without keys has no entry.
    tenants: Mutex<HashMap<Tenant, BTreeMap<KeyId, Entry>>>,
}

struct Entry {
    record: KeyRecord,
    held: Arc<Held>,
}

/// A key's octets, as long as somebody uses them.
struct Held {
    octets: Bytes,
    corrupt: AtomicBool,
    _share: Option<Share>,
}

impl Held {
    fn new(octets: Bytes, share: Option<Share>) -> Arc<Self> {
        Arc::new(Self { octets, corrupt: AtomicBool::new(false), _share: share })
    }
}

impl KeySource for Held {
    fn read(&self) -> Result<Bytes, String> {
        Ok(self.octets.clone())
    }

    fn quarantine(&self) {
        self.corrupt.store(true, Ordering::Release);
    }
}

impl Entry {
    /// Whether its time is not over, and its octets are not known to have changed.
    fn is_good(&self, now: Timestamp) -> bool {
        self.record.expires_at > now && !self.held.corrupt.load(Ordering::Acquire)
    }
}

type Tenants = HashMap<Tenant, BTreeMap<KeyId, Entry>>;

impl MemoryKeys {
    /// An empty store of at most so many keys a tenant, each kept this long after its last use.
    #[must_use]
    pub fn new(per_tenant: usize, ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { per_tenant, ttl, clock, tenants: Mutex::default() }
    }

    /// The keys, with this tenant's expired ones removed.
    fn swept(&self, tenant: &Tenant) -> (MutexGuard<'_, Tenants>, Timestamp) {
        let mut tenants = crate::locked(&self.tenants);
        let now = self.clock.now();
        if let Some(keys) = tenants.get_mut(tenant) {
            keys.retain(|_, entry| entry.is_good(now));
            if keys.is_empty() {
                tenants.remove(tenant);
            }
        }
        (tenants, now)
    }

    fn used(&self, entry: &mut Entry, now: Timestamp) -> KeyRecord {
        entry.record.last_used_at = now;
        entry.record.expires_at = later(now, self.ttl);
        entry.record.clone()
    }

    /// Changes one octet of a stored key behind the store's back.
    #[cfg(test)]
    pub(crate) fn corrupt(&self, tenant: &Tenant, id: KeyId) {
        let mut tenants = crate::locked(&self.tenants);
        let entry = tenants.get_mut(tenant).and_then(|keys| keys.get_mut(&id)).expect("a stored key");
        let mut octets = entry.held.octets.to_vec();
        octets[100] ^= 1;
        entry.held = Held::new(octets.into(), None);
    }
}

impl KeyStore for MemoryKeys {
    fn key_room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), NoKeyRoom>> {
        Box::pin(async move {
            let (tenants, _) = self.swept(tenant);
            let stored = tenants.get(tenant).map_or(0, BTreeMap::len);
            if stored < self.per_tenant { Ok(()) } else { Err(NoKeyRoom::Quota { stored }) }
        })
    }

    fn insert<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: NewKey,
    ) -> Pending<'a, Result<(KeyRecord, bool), NoKeyRoom>> {
        Box::pin(async move {
            // An upload is rare and large: the moment to let go of what expired anywhere.
            let (mut tenants, now) = self.swept(tenant);
            tenants.retain(|_, keys| {
                keys.retain(|_, entry| entry.is_good(now));
                !keys.is_empty()
            });
            let stored = tenants.get(tenant).map_or(0, BTreeMap::len);
            if let Some(entry) = tenants.get_mut(tenant).and_then(|keys| keys.get_mut(&key.id)) {
                return Ok((self.used(entry, now), false));
            }
            if stored >= self.per_tenant {
                return Err(NoKeyRoom::Quota { stored });
            }
            let record = KeyRecord {
                id: key.id,
                params_id: key.params_id,
                manifest: key.manifest,
                size: key.octets.len() as u64,
                created_at: now,
                last_used_at: now,
                expires_at: later(now, self.ttl),
            };
            let held = Held::new(key.octets, key.share);
            let entry = Entry { record: record.clone(), held };
            tenants.entry(tenant.clone()).or_default().insert(record.id, entry);
            Ok((record, true))
        })
    }

    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<KeyRecord>, StoreError>> {
        Box::pin(async move {
            let (tenants, _) = self.swept(tenant);
            Ok(tenants.get(tenant).and_then(|keys| keys.get(&id)).map(|entry| entry.record.clone()))
        })
    }

    fn pin<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<Option<Pin>, StoreError>> {
        Box::pin(async move {
            let (mut tenants, now) = self.swept(tenant);
            let entry = tenants.get_mut(tenant).and_then(|keys| keys.get_mut(&id));
            Ok(entry.map(|entry| {
                let record = self.used(entry, now);
                (record, PinnedKey::new(id, Arc::clone(&entry.held) as Arc<dyn KeySource>))
            }))
        })
    }

    /// Jobs in memory hold their keys themselves.
    fn pinned<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<PinnedKey>, StoreError>> {
        Box::pin(async move { Ok(self.pin(tenant, id).await?.map(|(_, pinned)| pinned)) })
    }

    fn list<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<Vec<KeyRecord>, StoreError>> {
        Box::pin(async move {
            let (tenants, _) = self.swept(tenant);
            let keys = tenants.get(tenant).into_iter().flatten();
            Ok(keys.map(|(_, entry)| entry.record.clone()).collect())
        })
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let (mut tenants, _) = self.swept(tenant);
            let Some(keys) = tenants.get_mut(tenant) else { return Ok(false) };
            let removed = keys.remove(&id).is_some();
            if keys.is_empty() {
                tenants.remove(tenant);
            }
            Ok(removed)
        })
    }
}

#[cfg(test)]
impl MemoryKeys {
    async fn open(per_tenant: usize, ttl: Duration, clock: Arc<dyn Clock>) -> Option<Self> {
        Some(Self::new(per_tenant, ttl, clock))
    }
}

#[cfg(test)]
use MemoryKeys as Tested;

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one contract, several stores")]
#[path = "memory_tests.rs"]
mod tests;
