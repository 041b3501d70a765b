//! What every store of keys promises; included by the tests of each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hei_ckks::KeyManifest;
use hei_protocol::{KeyId, Timestamp};
use sha2::{Digest, Sha256};

use super::Tested;
use crate::clock::{Clock, ManualClock, later};
use crate::id::Tenant;
use crate::keys::{KeyStore, LostKey, NewKey, NoKeyRoom, PinnedKey};

const TTL: Duration = Duration::from_secs(100);

/// None where this machine lacks what the store needs, which was said.
async fn store() -> Option<(Tested, Arc<ManualClock>)> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)));
    Some((Tested::open(2, TTL, Arc::clone(&clock) as Arc<dyn Clock>).await?, clock))
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

async fn read(pin: PinnedKey) -> Result<Bytes, LostKey> {
    tokio::task::spawn_blocking(move || pin.octets()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_per_tenant_and_nothing_is_evicted() {
    let Some((store, _clock)) = store().await else { return };
    let (a, b) = (tenant("a"), tenant("b"));
    let one = store.insert(&a, key(b"one")).await.unwrap().0;
    assert!(store.insert(&a, key(b"two")).await.unwrap().1);
    assert_eq!(store.insert(&a, key(b"three")).await, Err(NoKeyRoom::Quota { stored: 2 }));
    assert_eq!(store.key_room(&a).await, Err(NoKeyRoom::Quota { stored: 2 }));
    assert!(!store.insert(&a, key(b"one")).await.unwrap().1, "a key it has is no new one");
    let mut listed = store.list(&a).await.unwrap();
    assert_eq!(listed.len(), 2);
    listed.sort_by_key(|record| record.id != one.id);
    assert_eq!(listed[0], one);
    assert!(store.find(&b, one.id).await.unwrap().is_none(), "b has none of a's");
    assert!(!store.remove(&b, one.id).await.unwrap());
    assert!(store.insert(&b, key(b"one")).await.unwrap().1);
    assert!(store.remove(&a, one.id).await.unwrap());
    assert!(store.find(&a, one.id).await.unwrap().is_none());
    assert!(store.find(&b, one.id).await.unwrap().is_some(), "b's own is another");
    assert_eq!(store.key_room(&a).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_from_the_last_use() {
    let Some((store, clock)) = store().await else { return };
    let a = tenant("a");
    let id = store.insert(&a, key(b"one")).await.unwrap().0.id;
    clock.advance(TTL - Duration::from_secs(1));
    assert!(store.find(&a, id).await.unwrap().is_some());
    let (record, pin) = store.pin(&a, id).await.unwrap().unwrap();
    assert_eq!(record.expires_at, later(clock.now(), TTL));
    assert_eq!(read(pin).await.unwrap().as_ref(), b"one");
    clock.advance(TTL - Duration::from_secs(1));
    assert!(store.find(&a, id).await.unwrap().is_some(), "looking did not prolong it, using did");
    clock.advance(Duration::from_secs(1));
    assert!(store.find(&a, id).await.unwrap().is_none());
    assert!(store.pin(&a, id).await.unwrap().is_none());
    assert!(store.insert(&a, key(b"one")).await.unwrap().1, "a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changed_in_storage_is_not_handed_out() {
    let Some((store, _clock)) = store().await else { return };
    let a = tenant("a");
    let id = store.insert(&a, key(&[7; 200])).await.unwrap().0.id;
    store.corrupt(&a, id);
    let (_, pin) = store.pin(&a, id).await.unwrap().unwrap();
    assert_eq!(read(pin).await, Err(LostKey::Corrupt(id)));
    assert!(store.pin(&a, id).await.unwrap().is_none(), "quarantined");
    assert!(store.find(&a, id).await.unwrap().is_none());
    assert!(store.insert(&a, key(&[7; 200])).await.unwrap().1, "it can be uploaded again");
    let (_, pin) = store.pin(&a, id).await.unwrap().unwrap();
    assert_eq!(read(pin).await.unwrap().as_ref(), [7; 200]);
}
