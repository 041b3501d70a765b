//! Evaluation keys in memory: bounded in number by tenant, gone with the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hei_protocol::{KeyId, Timestamp};

use super::{Held, KeyRecord, KeyStore, NewKey, NoKeyRoom, PinnedKey};
use crate::clock::{Clock, later};
use crate::id::Tenant;
use crate::store::Pending;

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

impl Entry {
    /// Whether its time is not over, and its octets are not known to have changed.
    fn is_good(&self, now: Timestamp) -> bool {
        self.record.expires_at > now && !self.held.is_corrupt()
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
    fn room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), NoKeyRoom>> {
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

    fn find<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Option<KeyRecord>> {
        Box::pin(async move {
            let (tenants, _) = self.swept(tenant);
            Some(tenants.get(tenant)?.get(&id)?.record.clone())
        })
    }

    fn pin<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Option<(KeyRecord, PinnedKey)>> {
        Box::pin(async move {
            let (mut tenants, now) = self.swept(tenant);
            let entry = tenants.get_mut(tenant)?.get_mut(&id)?;
            let record = self.used(entry, now);
            Some((record, PinnedKey { id, held: Arc::clone(&entry.held) }))
        })
    }

    fn list<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Vec<KeyRecord>> {
        Box::pin(async move {
            let (tenants, _) = self.swept(tenant);
            let keys = tenants.get(tenant).into_iter().flatten();
            keys.map(|(_, entry)| entry.record.clone()).collect()
        })
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, bool> {
        Box::pin(async move {
            let (mut tenants, _) = self.swept(tenant);
            let Some(keys) = tenants.get_mut(tenant) else { return false };
            let removed = keys.remove(&id).is_some();
            if keys.is_empty() {
                tenants.remove(tenant);
            }
            removed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use hei_ckks::KeyManifest;
    use sha2::{Digest, Sha256};

    const TTL: Duration = Duration::from_secs(100);

    fn store() -> (MemoryKeys, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)));
        (MemoryKeys::new(2, TTL, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn key(octets: &'static [u8]) -> NewKey {
        NewKey {
            id: KeyId::from_digest(Sha256::digest(octets).into()),
            params_id: "00".into(),
            manifest: KeyManifest::new(),
            octets: octets.into(),
            share: None,
        }
    }

    fn tenant(name: &str) -> Tenant {
        Tenant::from_header(Some(name.as_bytes())).unwrap()
    }

    #[tokio::test]
    async fn quotas_are_per_tenant_and_nothing_is_evicted() {
        let (store, _clock) = store();
        let (a, b) = (tenant("a"), tenant("b"));
        let one = store.insert(&a, key(b"one")).await.unwrap().0;
        assert!(store.insert(&a, key(b"two")).await.unwrap().1);
        assert_eq!(store.insert(&a, key(b"three")).await, Err(NoKeyRoom::Quota { stored: 2 }));
        assert_eq!(store.room(&a).await, Err(NoKeyRoom::Quota { stored: 2 }));
        assert!(!store.insert(&a, key(b"one")).await.unwrap().1, "a key it has is no new one");
        assert_eq!(store.list(&a).await.len(), 2);
        assert!(store.find(&b, one.id).await.is_none(), "b has none of a's");
        assert!(!store.remove(&b, one.id).await);
        assert!(store.insert(&b, key(b"one")).await.unwrap().1);
        assert!(store.remove(&a, one.id).await);
        assert!(store.find(&b, one.id).await.is_some(), "b's own is another");
    }

    #[tokio::test]
    async fn time_runs_from_the_last_use_and_a_pin_outlives_it() {
        let (store, clock) = store();
        let a = tenant("a");
        let id = store.insert(&a, key(b"one")).await.unwrap().0.id;
        clock.advance(TTL - Duration::from_secs(1));
        assert!(store.find(&a, id).await.is_some());
        let (record, pin) = store.pin(&a, id).await.unwrap();
        assert_eq!(record.expires_at, later(clock.now(), TTL));
        clock.advance(TTL - Duration::from_secs(1));
        assert!(store.find(&a, id).await.is_some(), "looking did not prolong it, using did");
        clock.advance(Duration::from_secs(1));
        assert!(store.find(&a, id).await.is_none());
        assert_eq!(pin.octets().unwrap().as_ref(), b"one");
    }

    #[tokio::test]
    async fn a_key_that_changed_in_storage_is_not_handed_out() {
        let (store, _clock) = store();
        let a = tenant("a");
        let id = store.insert(&a, key(&[7; 200])).await.unwrap().0.id;
        store.corrupt(&a, id);
        let (_, pin) = store.pin(&a, id).await.unwrap();
        assert_eq!(pin.octets(), Err(CorruptKey(id)));
        assert!(store.pin(&a, id).await.is_none(), "quarantined");
        assert!(store.find(&a, id).await.is_none());
    }

    use crate::keys::CorruptKey;
}
