//! The promises of every store, in a real PostgreSQL; and those that several processes keep to each other. Every handle
//! stands for a process.

#[path = "../../../tests/support/postgres.rs"]
mod cluster;

use std::ops::Deref;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::id::{IdempotencyKey, Tenant};
use crate::store::{Claim, Fingerprint, JobFacts, JobState, Lease, Lookup, NoRoom, Store, StoreError, Taken};
use cluster::{Postgres, postgres};

/// A database and a folder of objects, for as many handles as are wanted.
struct Place {
    cluster: &'static Postgres,
    database: String,
    address: String,
    folder: TempDir,
    capacity: Capacity,
    clock: Arc<dyn Clock>,
}

impl Place {
    fn new(capacity: Capacity, clock: Arc<dyn Clock>) -> Option<Self> {
        let cluster = postgres()?;
        let (database, address) = cluster.database();
        Some(Self { cluster, database, address, folder: tempfile::tempdir().unwrap(), capacity, clock })
    }

    fn blobs(&self) -> std::path::PathBuf {
        self.folder.path().to_owned()
    }

    async fn try_open(&self, cancellations: &Arc<Cancellations>) -> Result<PostgresStore, DatabaseError> {
        let address = PostgresAddress::parse(&self.address).unwrap();
        let mut options = PostgresOptions::new(address, BlobsAddress::Folder(self.blobs()));
        options.tuning.connections = 4;
        options.tuning.count_age = Duration::ZERO;
        let clock = Some(Arc::clone(&self.clock));
        PostgresStore::open(options, self.capacity, Arc::clone(cancellations), clock).await
    }

    async fn open(&self) -> PostgresStore {
        self.try_open(&Arc::default()).await.unwrap()
    }

    fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.database, sql)
    }
}

struct Tested {
    store: PostgresStore,
    place: Place,
}

impl Tested {
    async fn open(capacity: Capacity, clock: Arc<dyn Clock>) -> Option<Self> {
        let place = Place::new(capacity, clock)?;
        Some(Self { store: place.open().await, place })
    }

    async fn holds_nothing(&self) -> bool {
        // Another sweep may be about it.
        for _ in 0..100 {
            self.store.0.sweep().await.unwrap();
            let left = self
                .place
                .sql("select (select count(*) from hei.jobs) + (select count(*) from hei.tombstones)");
            if left == "0" {
                return true;
            }
        }
        false
    }
}

impl Deref for Tested {
    type Target = PostgresStore;

    fn deref(&self) -> &PostgresStore {
        &self.store
    }
}

#[allow(clippy::duplicate_mod, reason = "one contract, several stores")]
#[path = "../memory_tests.rs"]
mod contract;

#[path = "keys_tests.rs"]
mod keys;

const TTL: Duration = Duration::from_secs(3600);

fn capacity() -> Capacity {
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

fn place() -> Option<(Place, Arc<ManualClock>)> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)));
    Some((Place::new(capacity(), Arc::clone(&clock) as Arc<dyn Clock>)?, clock))
}

fn owner() -> Tenant {
    Tenant::from_header(Some(b"a")).unwrap()
}

fn facts(clock: &ManualClock) -> JobFacts {
    JobFacts {
        id: JobId::from_bytes(random_octets().unwrap()),
        tenant: owner(),
        model_id: "m".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        evaluation_key_id: None,
        params_id: "00".into(),
        batch_size: 1,
        encoding: hei_protocol::Encoding::Hex,
        created_at: clock.now(),
        expires_at: later(clock.now(), TTL),
        deadline_at: None,
        max_result_bytes: 200_000,
    }
}

fn many(id: JobId, large: bool) -> Bytes {
    id.as_bytes().iter().copied().cycle().take(if large { 100_000 } else { 700 }).collect()
}

fn completed(octets: &Bytes) -> Outcome {
    Outcome::Completed { result: octets.clone(), digest: Sha256::digest(octets).into() }
}

async fn result(store: &PostgresStore, id: JobId) -> Result<Bytes, JobErrorCode> {
    match store.read(&owner(), id).await.unwrap() {
        Lookup::Found(job) => match job.outcome.as_deref() {
            Some(Outcome::Completed { result, .. }) => Ok(result.clone()),
            Some(Outcome::Failed(code)) => Err(*code),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// As if the process had been killed: nothing of it is heard any more.
fn kill(store: &PostgresStore) {
    crate::locked(&store.0.tasks).abort_all();
}

#[tokio::test]
async fn a_silent_workers_job_runs_elsewhere_and_its_late_completion_is_refused() {
    let Some((place, clock)) = place() else { return };
    for large in [false, true] {
        let (server, first, second) = (place.open().await, place.open().await, place.open().await);
        let job = facts(&clock);
        let id = job.id;
        assert_eq!(server.accept(job.clone(), None, Some(many(id, large))).await.unwrap(), None);
        let taken = first.take().await.unwrap();
        assert_eq!((taken.lease, taken.input), (Lease { id, attempt: 1 }, many(id, large)));
        assert_eq!(*taken.facts, job);
        first.start(taken.lease).await.unwrap();
        assert!(second.0.take_now().await.unwrap().is_none(), "it is in somebody's hands");
        kill(&first);
        clock.advance(first.0.options.tuning.lease);
        let again = second.take().await.unwrap();
        assert_eq!(again.lease, Lease { id, attempt: 2 });
        assert_eq!(
            first.finish(taken.lease, completed(&many(id, !large))).await,
            Err(StoreError::NotHeld(id)),
            "late"
        );
        let Lookup::Found(running) = server.read(&owner(), id).await.unwrap() else { panic!() };
        assert_eq!(running.state, JobState::Running, "its rank did not fall");
        second.start(again.lease).await.unwrap();
        second.finish(again.lease, completed(&many(id, large))).await.unwrap();
        assert_eq!(result(&server, id).await.unwrap(), many(id, large));
        let late = first.finish(taken.lease, completed(&many(id, !large))).await;
        assert!(matches!(late, Err(StoreError::NotMonotone { .. })), "{late:?}");
        assert_eq!(result(&server, id).await.unwrap(), many(id, large));
        assert_eq!(
            place.sql("select count(*) from hei.payloads where kind = 0"),
            "0",
            "the input is deleted"
        );
        let objects = std::fs::read_dir(place.blobs()).unwrap().count();
        assert_eq!(objects, if large { 2 } else { 1 }, "the probe, and a large result");
    }
}

#[tokio::test]
async fn tenants_take_turns_in_the_shared_queue() {
    let Some((place, clock)) = place() else { return };
    let (server, worker) = (place.open().await, place.open().await);
    let mut accepted = Vec::new();
    for tenant in ["a", "a", "a", "b"] {
        let tenant = Tenant::from_header(Some(tenant.as_bytes())).unwrap();
        let job = JobFacts { tenant, ..facts(&clock) };
        accepted.push(job.id);
        server.accept(job.clone(), None, Some(many(job.id, false))).await.unwrap();
        clock.advance(Duration::from_millis(1));
    }
    let mut taken = Vec::new();
    for _ in &accepted {
        taken.push(worker.take().await.unwrap().lease.id);
    }
    let order = [0, 3, 1, 2].map(|place: usize| accepted[place]);
    assert_eq!(taken, order, "b waits for one of a's, not for all");
}

#[tokio::test]
async fn a_job_that_ends_every_process_is_given_up() {
    let Some((place, clock)) = place() else { return };
    let watching = place.open().await;
    let job = facts(&clock);
    let id = job.id;
    watching.accept(job, None, Some(many(id, false))).await.unwrap();
    for attempt in 1..=3 {
        let worker = place.open().await;
        assert_eq!(worker.take().await.unwrap().lease.attempt, attempt);
        kill(&worker);
        clock.advance(worker.0.options.tuning.lease);
    }
    assert!(watching.0.take_now().await.unwrap().is_none());
    let Lookup::Found(job) = watching.read_beyond(&owner(), id, JobState::Running).await.unwrap() else {
        panic!()
    };
    assert_eq!(job.outcome.as_deref(), Some(&Outcome::Failed(JobErrorCode::WorkerLost)));
}

#[tokio::test]
async fn a_job_past_its_deadline_fails_though_its_server_is_gone() {
    let Some((place, clock)) = place() else { return };
    let watching = place.open().await;
    let deadline_at = Some(later(clock.now(), Duration::from_secs(5)));
    let job = JobFacts { deadline_at, ..facts(&clock) };
    let id = job.id;
    watching.accept(job, None, Some(many(id, true))).await.unwrap();
    clock.advance(Duration::from_secs(5));
    let Lookup::Found(job) = watching.read_beyond(&owner(), id, JobState::Running).await.unwrap() else {
        panic!()
    };
    assert_eq!(job.outcome.as_deref(), Some(&Outcome::Failed(JobErrorCode::JobDeadlineExceeded)));
    // Its input goes right after the news.
    let deleted = async {
        while !cluster::holds_only_the_probe(&place.blobs()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), deleted).await.expect("its input is deleted");
}

#[tokio::test]
async fn two_servers_agree_on_an_idempotency_key() {
    let Some((place, clock)) = place() else { return };
    let (one, two) = (place.open().await, place.open().await);
    let key = IdempotencyKey::parse(b"once").unwrap();
    let (same, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    let tenant = owner();
    let (left, right) = tokio::join!(one.claim(&tenant, &key, same), two.claim(&tenant, &key, same));
    let claims = [left.unwrap(), right.unwrap()];
    assert!(claims.contains(&Claim::Fresh) && claims.contains(&Claim::InProgress), "{claims:?}");
    let (winner, loser) = if claims[0] == Claim::Fresh { (&one, &two) } else { (&two, &one) };
    loser.release(&owner(), &key).await;
    let job = facts(&clock);
    let id = job.id;
    let input = Some(many(id, true));
    assert_eq!(
        loser.accept(facts(&clock), Some(key.clone()), input.clone()).await,
        Err(StoreError::ClaimLost)
    );
    winner.accept(job, Some(key.clone()), input.clone()).await.unwrap();
    assert_eq!(loser.claim(&owner(), &key, same).await.unwrap(), Claim::Replay(id));
    assert_eq!(loser.claim(&owner(), &key, other).await.unwrap(), Claim::Reused);
    assert_eq!(place.sql("select count(*) from hei.jobs"), "1");
    assert_eq!(std::fs::read_dir(place.blobs()).unwrap().count(), 2, "the refused input is gone");
    // A server that died while it validated: its claim runs out, and what it accepts late is refused.
    let key = IdempotencyKey::parse(b"slow").unwrap();
    assert_eq!(one.claim(&owner(), &key, same).await.unwrap(), Claim::Fresh);
    kill(&one);
    clock.advance(one.0.options.tuning.lease);
    assert_eq!(two.claim(&owner(), &key, same).await.unwrap(), Claim::Fresh);
    assert_eq!(one.accept(facts(&clock), Some(key.clone()), input.clone()).await, Err(StoreError::ClaimLost));
    two.accept(facts(&clock), Some(key), input).await.unwrap();
}

#[tokio::test]
async fn a_job_deleted_elsewhere_stops_here() {
    let Some((place, clock)) = place() else { return };
    let stop = Arc::new(Cancellations::default());
    let (server, worker) = (place.open().await, place.try_open(&stop).await.unwrap());
    let job = facts(&clock);
    let id = job.id;
    server.accept(job, None, Some(many(id, false))).await.unwrap();
    let taken = worker.take().await.unwrap();
    worker.start(taken.lease).await.unwrap();
    let evaluating = stop.enter(id);
    assert!(matches!(server.delete(&owner(), id).await.unwrap(), Lookup::Found(_)));
    let told = async {
        while !evaluating.stop().is_raised() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("the worker is told");
    assert_eq!(
        worker.finish(taken.lease, completed(&many(id, false))).await,
        Err(StoreError::UnknownJob(id))
    );
    assert_eq!(server.unfinished().await, 0);
}

#[tokio::test]
async fn what_is_given_back_is_taken_by_others_and_counts_as_no_attempt() {
    let Some((place, clock)) = place() else { return };
    let (server, first) = (place.open().await, place.open().await);
    let job = facts(&clock);
    let id = job.id;
    server.accept(job, None, Some(many(id, false))).await.unwrap();
    let taken: Taken = first.take().await.unwrap();
    first.start(taken.lease).await.unwrap();
    first.close().await;
    let again = server.take().await.unwrap();
    assert_eq!(again.lease, taken.lease);
    let late = first.finish(taken.lease, completed(&many(id, false))).await;
    assert_eq!(late, Err(StoreError::NotHeld(id)));
    server.finish(again.lease, completed(&many(id, false))).await.unwrap();
}

#[tokio::test]
async fn damage_is_found_and_never_served_and_orphans_are_removed() {
    let Some((place, clock)) = place() else { return };
    let store = place.open().await;
    let mut ids = Vec::new();
    for large in [false, true] {
        let job = facts(&clock);
        let id = job.id;
        store.accept(job, None, Some(many(id, large))).await.unwrap();
        let taken = store.take().await.unwrap();
        store.finish(taken.lease, completed(&many(id, large))).await.unwrap();
        ids.push(id);
    }
    let waiting = facts(&clock);
    store.accept(waiting.clone(), None, Some(many(waiting.id, true))).await.unwrap();
    std::fs::write(place.blobs().join(format!("{}.in", JobId::from_bytes([9; 16]))), b"orphan").unwrap();
    std::fs::write(place.blobs().join(format!("{}.7.out", ids[1])), b"late").unwrap();
    std::fs::write(place.blobs().join(format!("{}.key", JobId::from_bytes([8; 16]))), b"orphan").unwrap();
    assert_eq!(store.0.sweep_orphans(Duration::ZERO).await.unwrap(), 3);
    assert_eq!(result(&store, ids[1]).await.unwrap(), many(ids[1], true));
    place.sql("update hei.payloads set octets = set_byte(octets, 5, 255) where kind = 1");
    let large = place.blobs().join(object(ids[1], 1, true));
    std::fs::write(large, b"short").unwrap();
    std::fs::remove_file(place.blobs().join(object(waiting.id, 0, false))).unwrap();
    assert!(store.0.take_now().await.unwrap().is_none(), "a job without its input is not begun");
    for id in [ids[0], ids[1], waiting.id] {
        assert_eq!(result(&store, id).await, Err(JobErrorCode::InternalError));
    }
}

#[tokio::test]
async fn a_newer_or_half_migrated_store_is_refused_and_left_alone() {
    let Some((place, _clock)) = place() else { return };
    drop(place.open().await);
    let refused = async || place.try_open(&Arc::default()).await.err().unwrap();
    place.sql("update hei.meta set value = '3'");
    let error = refused().await;
    assert!(matches!(&error, DatabaseError::Newer { found, .. } if found == "3"), "{error}");
    assert!(!error.to_string().contains(cluster::PASSWORD), "{error}");
    place.sql("update hei.meta set value = '2'; insert into hei.meta values ('migrating', '3')");
    assert!(matches!(refused().await, DatabaseError::HalfMigrated(_)));
    assert_eq!(place.sql("select count(*) from hei.meta"), "2");
    place.sql("delete from hei.meta where name = 'migrating'");
    place.open().await;
}
