//! Keys on a disk: over restarts, kills and damage.

use hei_ckks::KeyManifest;
use hei_protocol::KeyId;
use hei_ring::GaloisElement;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::tests::{clock, facts, lease, left, octets, open, open_with, outcome, owner, result};
use super::*;
use crate::keys::{KeyStore, LostKey, NewKey};

/// A store in a directory of its own.
struct Tested {
    store: DurableStore,
    folder: TempDir,
}

impl Tested {
    async fn open(keys_per_tenant: usize, key_ttl: Duration, clock: Arc<dyn Clock>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let capacity = Capacity { keys_per_tenant, key_ttl, ..super::tests::capacity() };
        let options = DurableOptions::new(folder.path().join("data"));
        Some(Self { store: DurableStore::open(options, capacity, clock).unwrap(), folder })
    }

    fn corrupt(&self, _: &Tenant, _: hei_protocol::KeyId) {
        for file in key_files(&self.folder.path().join("data")) {
            let mut octets = std::fs::read(&file).unwrap();
            octets[100] ^= 1;
            std::fs::write(file, octets).unwrap();
        }
    }
}

impl std::ops::Deref for Tested {
    type Target = DurableStore;

    fn deref(&self) -> &DurableStore {
        &self.store
    }
}

#[allow(clippy::duplicate_mod, reason = "one contract, several stores")]
#[path = "../../keys/memory_tests.rs"]
mod contract;

fn key_files(data: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(blob_folder(data)).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "key")).collect()
}

fn key(octets: &'static [u8]) -> NewKey {
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(3);
    manifest.need_galois(GaloisElement::new(5, 8192).unwrap(), 2);
    manifest.need_galois(GaloisElement::new(16383, 8192).unwrap(), 1);
    NewKey {
        id: KeyId::from_digest(Sha256::digest(octets).into()),
        params_id: "ab".into(),
        manifest,
        octets: octets.into(),
        share: None,
    }
}

async fn read(pin: crate::keys::PinnedKey) -> Result<Bytes, LostKey> {
    tokio::task::spawn_blocking(move || pin.octets()).await.unwrap()
}

/// Waits until the writer has swept: its sweeps are a second apart.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_life_finds_the_keys_and_begins_a_keyed_job_again_with_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (stored, mut job) = (key(b"one"), facts(&clock));
    let id = stored.id;
    job.evaluation_key_id = Some(id);
    let before = {
        let store = open(folder.path(), &clock);
        let unknown = store.accept(job.clone(), None, Some(octets(job.id, false))).await;
        assert_eq!(unknown, Err(StoreError::KeyGone), "no job waits for a key that is not there");
        store.insert(&owner(), stored).await.unwrap();
        store.accept(job.clone(), None, Some(octets(job.id, false))).await.unwrap();
        store.find(&owner(), id).await.unwrap().unwrap()
    };
    {
        let store = open(folder.path(), &clock);
        assert_eq!(store.find(&owner(), id).await.unwrap().unwrap(), before);
        assert_eq!(store.list(&owner()).await.unwrap(), std::slice::from_ref(&before));
        // Deleted while a job waits for it.
        assert!(store.remove(&owner(), id).await.unwrap());
        assert!(store.find(&owner(), id).await.unwrap().is_none());
        let refused = store.accept(facts_with(&clock, id), None, Some(octets(job.id, false))).await;
        assert_eq!(refused, Err(StoreError::KeyGone));
    }
    let store = open(folder.path(), &clock);
    assert_eq!(left(&store).await, [job.id]);
    let pinned = store.pinned(&owner(), id).await.unwrap().unwrap();
    assert_eq!(read(pinned).await.unwrap().as_ref(), b"one");
    assert_eq!(key_files(folder.path()).len(), 1);
    assert_eq!(maintenance::check(folder.path()).unwrap().keys, 1);
    store.start(lease(job.id)).await.unwrap();
    store.finish(lease(job.id), outcome(&octets(job.id, false))).await.unwrap();
    assert!(result(&store, job.id).await.is_ok());
    until("nobody needs the key's file", || key_files(folder.path()).is_empty()).await;
    assert!(store.pinned(&owner(), id).await.unwrap().is_none());
}

fn facts_with(clock: &crate::clock::ManualClock, id: KeyId) -> JobFacts {
    JobFacts { evaluation_key_id: Some(id), ..facts(clock) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_and_what_was_cut_off_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    {
        let store = open(folder.path(), &clock);
        store.insert(&owner(), key(b"one")).await.unwrap();
        store.insert(&owner(), key(b"two")).await.unwrap();
        // The same key again: no second file.
        assert!(!store.insert(&owner(), key(b"two")).await.unwrap().1);
        until("two files", || key_files(folder.path()).len() == 2).await;
        clock.advance(super::tests::TTL);
        until("their time is over", || key_files(folder.path()).is_empty()).await;
        store.insert(&owner(), key(b"three")).await.unwrap();
    }
    // What a process leaves that is killed between the file and the row, or within the file.
    let blobs = blob_folder(folder.path());
    std::fs::write(blobs.join(format!("{}.key", JobId::from_bytes([9; 16]))), b"whole").unwrap();
    std::fs::write(blobs.join(format!("{}.key.tmp", JobId::from_bytes([8; 16]))), b"ha").unwrap();
    drop(open(folder.path(), &clock));
    assert_eq!(key_files(folder.path()).len(), 1, "the one that has a row");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_is_named_by_a_check_and_used_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let id = key(&[7; 200]).id;
    {
        let store = open(folder.path(), &clock);
        store.insert(&owner(), key(&[7; 200])).await.unwrap();
        store.insert(&owner(), key(b"other")).await.unwrap();
        let job = facts_with(&clock, id);
        let input = octets(job.id, false);
        store.accept(job, None, Some(input)).await.unwrap();
    }
    let large = |path: &PathBuf| std::fs::metadata(path).unwrap().len() == 200;
    let file = key_files(folder.path()).into_iter().find(large).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(100).unwrap();
    let report = maintenance::check(folder.path()).unwrap();
    assert_eq!((report.keys, report.damage.len()), (2, 1), "{:?}", report.damage);
    let store = open(folder.path(), &clock);
    let pinned = store.pinned(&owner(), id).await.unwrap().unwrap();
    assert_eq!(read(pinned).await, Err(LostKey::Corrupt(id)));
    assert!(store.pinned(&owner(), id).await.unwrap().is_none(), "not even by its job");
    assert!(store.find(&owner(), id).await.unwrap().is_none());
    assert_eq!(store.list(&owner()).await.unwrap().len(), 1, "the other is served on");
    // Uploaded again, it is as good as new, for the job too.
    assert!(store.insert(&owner(), key(&[7; 200])).await.unwrap().1);
    let pinned = store.pinned(&owner(), id).await.unwrap().unwrap();
    assert_eq!(read(pinned).await.unwrap().as_ref(), [7; 200]);
    // A row that was changed: its key is as if it had never been.
    drop(store);
    let database = Connection::open(folder.path().join("hei.sqlite3")).unwrap();
    let sql =
        "update keys set record = cast(replace(cast(record as text), '\"size\":5', '\"size\":6') as blob)";
    database.execute(sql, []).unwrap();
    drop(database);
    let store = open(folder.path(), &clock);
    assert_eq!(store.list(&owner()).await.unwrap().len(), 1);
    assert!(store.find(&owner(), key(b"other").id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_call_to_the_disk_fails_a_key_is_there_whole_or_not_at_all() {
    let clock = clock();
    for call in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let disk = super::tests::FailingDisk::at(call);
        let Ok(store) = open_with(folder.path(), Arc::clone(&disk) as Arc<dyn Disk>, &clock) else {
            continue;
        };
        let inserted = store.insert(&owner(), key(b"one")).await;
        let failed = disk.failed();
        drop(store);
        let store = open(folder.path(), &clock);
        let found = store.pin(&owner(), key(b"one").id).await.unwrap();
        if inserted.is_ok() {
            assert!(found.is_some(), "call {call}: {failed:?}");
        }
        if let Some((_, pin)) = found {
            assert_eq!(read(pin).await.unwrap().as_ref(), b"one", "call {call}: {failed:?}");
        }
        drop(store);
        assert_eq!(maintenance::check(folder.path()).unwrap().damage, Vec::<String>::new());
        if failed.is_none() {
            inserted.unwrap();
            break;
        }
    }
}

/// Schema 1 as an earlier program wrote it, with one finished and one queued job.
#[tokio::test]
async fn a_store_of_schema_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let old = include_str!("schema_1.sql");
    let path = folder.path().join("hei.sqlite3");
    Connection::open(&path).unwrap().execute_batch(old).unwrap();
    let before = maintenance::check(folder.path()).unwrap_err();
    assert!(matches!(before, OpenError::Older { found: 1, .. }), "{before}");
    let store = open(folder.path(), &clock);
    let finished: JobId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let queued: JobId = "fedcba9876543210fedcba9876543210".parse().unwrap();
    assert_eq!(result(&store, finished).await.unwrap().as_ref(), b"the result");
    let taken = store.take().await.unwrap();
    assert_eq!((taken.facts.id, taken.input.as_ref()), (queued, b"the input".as_slice()));
    store.insert(&owner(), key(b"one")).await.unwrap();
    let keyed = facts_with(&clock, key(b"one").id);
    let input = octets(keyed.id, false);
    store.accept(keyed, None, Some(input)).await.unwrap();
    drop(store);
    let report = maintenance::check(folder.path()).unwrap();
    assert_eq!((report.jobs, report.keys, report.damage.len()), (3, 1, 0));
}
