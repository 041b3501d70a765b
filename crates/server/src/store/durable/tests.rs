//! The promises of every store, on a disk; and those that only a disk can break.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::clock::{ManualClock, later};
use crate::store::NoRoom;
use hei_protocol::{Encoding, Timestamp};

/// A store in a directory of its own.
struct Tested {
    store: DurableStore,
    _folder: TempDir,
}

impl Tested {
    async fn open(capacity: Capacity, clock: Arc<dyn Clock>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = DurableOptions::new(folder.path().join("data"));
        Some(Self { store: DurableStore::open(options, capacity, clock).unwrap(), _folder: folder })
    }

    async fn holds_nothing(&self) -> bool {
        self.store.shared.memory.holds_nothing().await
    }
}

impl Deref for Tested {
    type Target = DurableStore;

    fn deref(&self) -> &DurableStore {
        &self.store
    }
}

#[allow(clippy::duplicate_mod, reason = "one contract, two stores")]
#[path = "../memory_tests.rs"]
mod contract;

pub(super) const TTL: Duration = Duration::from_secs(3600);

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)))
}

pub(super) fn capacity() -> Capacity {
    Capacity {
        active_jobs_per_tenant: 1000,
        jobs: 10_000,
        result_bytes: 1 << 30,
        idempotency_ttl: TTL,
        tombstone_ttl: TTL,
        keys_per_tenant: 3,
        key_ttl: TTL,
    }
}

pub(super) fn open_with(
    folder: &Path,
    disk: Arc<dyn Disk>,
    clock: &Arc<ManualClock>,
) -> Result<DurableStore, OpenError> {
    let options = DurableOptions { disk, ..DurableOptions::new(folder.to_owned()) };
    DurableStore::open(options, capacity(), Arc::clone(clock) as Arc<dyn Clock>)
}

pub(super) fn open(folder: &Path, clock: &Arc<ManualClock>) -> DurableStore {
    loop {
        match open_with(folder, Arc::new(OsDisk), clock) {
            // Other tests start programs: between fork and exec a child has a copy of every lock of this process.
            Err(OpenError::InUse(_)) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

pub(super) fn owner() -> Tenant {
    Tenant::from_header(Some(b"a")).unwrap()
}

pub(super) fn facts(clock: &ManualClock) -> JobFacts {
    JobFacts {
        id: JobId::from_bytes(crate::id::random_octets().unwrap()),
        tenant: owner(),
        model_id: "m".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        evaluation_key_id: None,
        params_id: "00".into(),
        batch_size: 1,
        encoding: Encoding::Hex,
        created_at: clock.now(),
        expires_at: later(clock.now(), TTL),
        deadline_at: None,
        max_result_bytes: 200_000,
    }
}

pub(super) fn lease(id: JobId) -> Lease {
    Lease { id, attempt: 1 }
}

/// The jobs of an earlier life, each with its input.
pub(super) async fn left(store: &DurableStore) -> Vec<JobId> {
    let mut left = Vec::new();
    while !crate::locked(&store.unfinished).is_empty() {
        let taken = store.take().await.unwrap();
        let (small, large) = (octets(taken.facts.id, false), octets(taken.facts.id, true));
        assert!(taken.input == small || taken.input == large, "the input is what was given");
        left.push(taken.facts.id);
    }
    left
}

/// Octets for a row, or for a file.
pub(super) fn octets(id: JobId, large: bool) -> Bytes {
    id.as_bytes().iter().copied().cycle().take(if large { 100_000 } else { 700 }).collect()
}

pub(super) fn outcome(result: &Bytes) -> Outcome {
    Outcome::Completed { result: result.clone(), digest: Sha256::digest(result).into() }
}

pub(super) async fn result(store: &DurableStore, id: JobId) -> Result<Bytes, JobErrorCode> {
    match store.read(&owner(), id).await.unwrap() {
        Lookup::Found(job) => match job.outcome.as_deref() {
            Some(Outcome::Completed { result, .. }) => Ok(result.clone()),
            Some(Outcome::Failed(code)) => Err(*code),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_later_life_finds_everything_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let key = IdempotencyKey::parse(b"once").unwrap();
    let (small, large, queued) = (facts(&clock), facts(&clock), facts(&clock));
    let mut finished = Vec::new();
    let input = {
        let store = open(folder.path(), &clock);
        assert_eq!(store.claim(&owner(), &key, Fingerprint([7; 32])).await.unwrap(), Claim::Fresh);
        store.accept(queued.clone(), Some(key.clone()), Some(octets(queued.id, true))).await.unwrap();
        for (facts, large) in [(&small, false), (&large, true)] {
            store.accept(facts.clone(), None, Some(octets(facts.id, large))).await.unwrap();
            store.start(lease(facts.id)).await.unwrap();
            clock.advance(Duration::from_millis(5));
            store.finish(lease(facts.id), outcome(&octets(facts.id, large))).await.unwrap();
            let Lookup::Found(job) = store.read(&owner(), facts.id).await.unwrap() else { panic!() };
            finished.push(job);
        }
        store.start(lease(queued.id)).await.unwrap();
        store.shared.blobs.path(large.id, Kind::Input)
    };
    // The writer deletes after it has answered, and is done when the store is closed.
    assert!(!input.exists(), "inputs of finished jobs are deleted");
    clock.advance(Duration::from_millis(1));
    let store = open(folder.path(), &clock);
    for before in finished {
        let Lookup::Found(after) = store.read(&owner(), before.facts.id).await.unwrap() else { panic!() };
        assert_eq!(before.facts, after.facts);
        assert_eq!(before.outcome, after.outcome);
        assert_eq!((before.started_at, before.finished_at), (after.started_at, after.finished_at));
    }
    let taken = store.take().await.unwrap();
    assert_eq!(*taken.facts, queued);
    assert_eq!(taken.input, octets(queued.id, true));
    assert!(left(&store).await.is_empty(), "there was one");
    assert_eq!(store.claim(&owner(), &key, Fingerprint([7; 32])).await.unwrap(), Claim::Replay(queued.id));
    assert_eq!(store.claim(&owner(), &key, Fingerprint([8; 32])).await.unwrap(), Claim::Reused);
    let Lookup::Found(job) = store.read(&owner(), queued.id).await.unwrap() else { panic!() };
    assert_eq!(job.state, JobState::Running, "its rank does not fall");
    store.start(lease(queued.id)).await.unwrap();
    assert!(store.start(lease(queued.id)).await.is_err(), "it is in somebody's hands");
    store.finish(lease(queued.id), outcome(&octets(queued.id, true))).await.unwrap();
    assert!(matches!(
        store.finish(lease(queued.id), outcome(&octets(queued.id, false))).await,
        Err(StoreError::NotMonotone { .. })
    ));
    let report = maintenance::check(folder.path()).unwrap();
    assert_eq!((report.jobs, report.unfinished, report.payloads), (3, 0, 3));
    assert_eq!(report.damage, Vec::<String>::new());
    let copy = folder.path().join("copy");
    assert_eq!(maintenance::backup(folder.path(), &copy).unwrap(), report);
    let copied = open(&copy, &clock);
    assert_eq!(result(&copied, large.id).await.unwrap(), octets(large.id, true));
    assert!(maintenance::backup(folder.path(), &copy).is_err(), "nothing is written over");
}

#[tokio::test]
async fn a_job_that_ends_every_process_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let job = facts(&clock);
    let id = job.id;
    open(folder.path(), &clock).accept(job, None, Some(octets(id, false))).await.unwrap();
    for attempt in 0..3 {
        let store = open(folder.path(), &clock);
        assert_eq!(left(&store).await, [id], "attempt {attempt}");
        store.start(lease(id)).await.unwrap();
    }
    let store = open(folder.path(), &clock);
    assert!(left(&store).await.is_empty());
    assert_eq!(result(&store, id).await, Err(JobErrorCode::InternalError));
}

#[tokio::test]
async fn one_directory_has_one_server_and_a_foreign_or_newer_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let refused = |folder: &Path| open_with(folder, Arc::new(OsDisk), &clock).err().unwrap();
    let store = open(folder.path(), &clock);
    store.accept(facts(&clock), None, None).await.unwrap();
    assert!(matches!(refused(folder.path()), OpenError::InUse(_)));
    drop(store);
    let path = folder.path().join("hei.sqlite3");
    let spoil = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let unchanged = |expected: fn(&OpenError) -> bool| {
        let before = std::fs::read(&path).unwrap();
        let error = refused(folder.path());
        assert!(expected(&error), "{error}");
        assert_eq!(before, std::fs::read(&path).unwrap(), "nothing was changed");
    };
    spoil("pragma user_version = 3");
    unchanged(|error| matches!(error, OpenError::Newer { found: 3, .. }));
    spoil("pragma user_version = 2; insert into meta values ('migrating', '3')");
    unchanged(|error| matches!(error, OpenError::HalfMigrated(_)));
    spoil("delete from meta; pragma application_id = 1");
    unchanged(|error| matches!(error, OpenError::Foreign(_)));
}

#[tokio::test]
async fn damage_is_found_and_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut ids = Vec::new();
    {
        let store = open(folder.path(), &clock);
        for large in [false, true, true, false, false] {
            let job = facts(&clock);
            let id = job.id;
            store.accept(job, None, Some(octets(id, large))).await.unwrap();
            store.start(lease(id)).await.unwrap();
            store.finish(lease(id), outcome(&octets(id, large))).await.unwrap();
            ids.push((id, large));
        }
    }
    let blob = |id: JobId| blobs::path(&blob_folder(folder.path()), id, Kind::Result);
    // A flipped bit in a row, one in a file, a torn file, a changed record; and one that is whole.
    let database = Connection::open(folder.path().join("hei.sqlite3")).unwrap();
    let mut row = octets(ids[0].0, false).to_vec();
    row[100] ^= 1;
    database
        .execute("update payloads set octets = ?2 where id = ?1", rusqlite::params![ids[0].0.as_bytes(), row])
        .unwrap();
    let mut file = std::fs::read(blob(ids[1].0)).unwrap();
    file[99_999] ^= 0x80;
    std::fs::write(blob(ids[1].0), file).unwrap();
    File::options().write(true).open(blob(ids[2].0)).unwrap().set_len(4096).unwrap();
    let sql =
        "update jobs set record = cast(replace(cast(record as text), '\"batch_size\":1', '\"batch_size\":2')
        as blob) where id = ?1";
    assert_eq!(database.execute(sql, [ids[3].0.as_bytes()]).unwrap(), 1);
    drop(database);
    let report = maintenance::check(folder.path()).unwrap();
    assert_eq!(report.damage.len(), 4, "{:?}", report.damage);
    for _ in 0..2 {
        let store = open(folder.path(), &clock);
        for (id, _) in &ids[..4] {
            assert_eq!(result(&store, *id).await, Err(JobErrorCode::InternalError));
        }
        assert_eq!(result(&store, ids[4].0).await.unwrap(), octets(ids[4].0, false));
    }
}

/// A disk whose n-th call fails. It does not end the process: the store must act as if it had.
pub(super) struct FailingDisk {
    countdown: AtomicU64,
    failed: Mutex<Option<&'static str>>,
    ended: AtomicBool,
    available: u64,
}

impl FailingDisk {
    pub(super) fn at(call: u64) -> Arc<Self> {
        let countdown = AtomicU64::new(call);
        Arc::new(Self {
            countdown,
            failed: Mutex::default(),
            ended: AtomicBool::new(false),
            available: u64::MAX,
        })
    }

    /// The call that failed.
    pub(super) fn failed(&self) -> Option<&'static str> {
        *crate::locked(&self.failed)
    }

    fn fails(&self, call: &'static str) -> io::Result<()> {
        assert!(!self.ended.load(Ordering::Acquire), "{call} after the end");
        if self.countdown.fetch_sub(1, Ordering::AcqRel) == 1 {
            *crate::locked(&self.failed) = Some(call);
            return Err(io::Error::other("on purpose"));
        }
        Ok(())
    }
}

impl Disk for FailingDisk {
    fn write(&self, path: &Path, octets: &[u8]) -> io::Result<File> {
        if let Err(error) = self.fails("write") {
            // Torn: half of it is there.
            OsDisk.write(path, &octets[..octets.len() / 2])?;
            return Err(error);
        }
        OsDisk.write(path, octets)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.fails("sync")?;
        OsDisk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fails("rename")?;
        OsDisk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.fails("sync_folder")?;
        OsDisk.sync_folder(folder)
    }

    fn before_commit(&self) -> io::Result<()> {
        self.fails("commit")
    }

    fn available(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(Some(self.available))
    }

    fn end(&self, _: &str) {
        self.ended.store(true, Ordering::Release);
    }
}

/// Three jobs through a store; what was acknowledged of each: accepted, finished.
async fn history(store: &DurableStore, jobs: &[JobFacts]) -> Vec<(bool, bool)> {
    let mut acknowledged = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        let input = octets(job.id, index != 0);
        let accepted = store.accept(job.clone(), None, Some(input)).await.is_ok();
        let mut finished = false;
        if accepted && store.start(lease(job.id)).await.is_ok() {
            finished = store.finish(lease(job.id), outcome(&octets(job.id, index != 0))).await.is_ok();
        }
        acknowledged.push((accepted, finished));
    }
    acknowledged
}

#[tokio::test]
async fn whichever_call_to_the_disk_fails_nothing_acknowledged_is_lost_and_a_failed_fsync_is_the_end() {
    let clock = clock();
    let mut seen = std::collections::BTreeSet::new();
    for call in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let disk = FailingDisk::at(call);
        let jobs: Vec<JobFacts> = (0..3).map(|_| facts(&clock)).collect();
        let acknowledged = match open_with(folder.path(), Arc::clone(&disk) as Arc<dyn Disk>, &clock) {
            Ok(store) => history(&store, &jobs).await,
            Err(_) => Vec::new(),
        };
        let failed = *crate::locked(&disk.failed);
        let Some(failed) = failed else {
            assert_eq!(acknowledged, [(true, true); 3], "no call failed");
            break;
        };
        seen.insert(failed);
        if failed != "write" && failed != "rename" && !acknowledged.is_empty() {
            assert!(disk.ended.load(Ordering::Acquire), "call {call}, {failed}");
        }
        let store = open(folder.path(), &clock);
        let resumed = left(&store).await;
        for (index, (job, (accepted, finished))) in jobs.iter().zip(&acknowledged).enumerate() {
            let expected = octets(job.id, index != 0);
            if *finished {
                assert_eq!(result(&store, job.id).await.unwrap(), expected, "call {call}, {failed}");
            } else if *accepted && resumed.contains(&job.id) {
                store.start(lease(job.id)).await.unwrap();
                store.finish(lease(job.id), outcome(&expected)).await.unwrap();
                assert_eq!(result(&store, job.id).await.unwrap(), expected);
            } else if *accepted {
                assert!(
                    matches!(store.read(&owner(), job.id).await.unwrap(), Lookup::Found(_)),
                    "call {call}"
                );
            }
        }
        drop(store);
        assert_eq!(
            maintenance::check(folder.path()).unwrap().damage,
            Vec::<String>::new(),
            "call {call}, {failed}"
        );
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["commit", "rename", "sync", "sync_folder", "write"]);
}

#[tokio::test]
async fn a_disk_below_its_low_water_mark_takes_no_job() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let disk = FailingDisk { available: 1 << 20, ..Arc::into_inner(FailingDisk::at(u64::MAX)).unwrap() };
    let store = open_with(folder.path(), Arc::new(disk), &clock).unwrap();
    assert!(!store.takes_jobs());
    assert!(matches!(store.room(&owner()).await, Err(StoreError::DiskLow)));
    assert!(matches!(store.accept(facts(&clock), None, None).await, Err(StoreError::DiskLow)));
}
