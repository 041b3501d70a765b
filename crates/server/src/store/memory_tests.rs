//! What every store promises; included by the tests of each.

use bytes::Bytes;
use hei_protocol::{Encoding, JobErrorCode};
use sha2::{Digest, Sha256};

use super::*;
use crate::clock::ManualClock;

const TTL: Duration = Duration::from_secs(3600);

/// None where this machine lacks what the store needs, which was said.
async fn store_with(change: impl FnOnce(&mut Capacity)) -> Option<(Tested, Arc<ManualClock>)> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_000_000)));
    let mut capacity = Capacity {
        active_jobs_per_tenant: 4,
        jobs: 100,
        result_bytes: 1 << 20,
        idempotency_ttl: TTL,
        tombstone_ttl: TTL,
        keys_per_tenant: 2,
        key_ttl: TTL,
    };
    change(&mut capacity);
    Some((Tested::open(capacity, Arc::clone(&clock) as Arc<dyn Clock>).await?, clock))
}

fn tenant(name: &str) -> Tenant {
    Tenant::from_header(Some(name.as_bytes())).unwrap()
}

fn facts(clock: &ManualClock, owner: &str) -> JobFacts {
    JobFacts {
        id: JobId::from_bytes(crate::id::random_octets().unwrap()),
        tenant: tenant(owner),
        model_id: "m".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        evaluation_key_id: None,
        params_id: "00".into(),
        batch_size: 1,
        encoding: Encoding::Hex,
        created_at: clock.now(),
        expires_at: later(clock.now(), TTL),
        deadline_at: None,
        max_result_bytes: 1000,
    }
}

fn input(store: &Tested) -> Option<Bytes> {
    store.keeps_inputs().then(|| Bytes::from_static(b"input"))
}

/// The right to work on an accepted job: the store gave it, or it is to be taken.
async fn taken(store: &Tested, id: JobId, lease: Option<Lease>) -> Lease {
    let mut lease = lease;
    loop {
        match lease {
            Some(lease) if lease.id == id => return lease,
            _ => lease = Some(store.take().await.unwrap().lease),
        }
    }
}

async fn accepted(store: &Tested, facts: JobFacts) -> Lease {
    let id = facts.id;
    let lease = store.accept(facts, None, input(store)).await.unwrap();
    taken(store, id, lease).await
}

fn completed(bytes: &'static [u8]) -> Outcome {
    Outcome::Completed { result: Bytes::from_static(bytes), digest: Sha256::digest(bytes).into() }
}

async fn found(store: &Tested, owner: &str, id: JobId) -> Job {
    match store.read(&tenant(owner), id).await.unwrap() {
        Lookup::Found(job) => job,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_state_never_goes_back_and_an_outcome_never_changes() {
    let Some((store, clock)) = store_with(|_| {}).await else { return };
    let job = facts(&clock, "a");
    let id = job.id;
    let nobody = Lease { id, attempt: 1 };
    assert!(matches!(store.start(nobody).await, Err(StoreError::UnknownJob(_))));
    let lease = accepted(&store, job).await;
    assert_eq!(found(&store, "a", id).await.state, JobState::Queued);
    store.start(lease).await.unwrap();
    assert!(matches!(store.start(lease).await, Err(StoreError::NotMonotone { .. })));
    store.finish(lease, completed(b"one")).await.unwrap();
    let first = found(&store, "a", id).await;
    assert!(matches!(store.start(lease).await, Err(StoreError::NotMonotone { .. })));
    assert!(matches!(store.finish(lease, completed(b"two")).await, Err(StoreError::NotMonotone { .. })));
    let failed = Outcome::Failed(JobErrorCode::InternalError);
    assert!(matches!(store.finish(lease, failed).await, Err(StoreError::NotMonotone { .. })));
    let second = found(&store, "a", id).await;
    assert_eq!(first.outcome, second.outcome);
    assert_eq!(first.finished_at, second.finished_at);
}

#[tokio::test]
async fn a_foreign_job_is_missing() {
    let Some((store, clock)) = store_with(|_| {}).await else { return };
    let job = facts(&clock, "a");
    let id = job.id;
    store.accept(job, None, input(&store)).await.unwrap();
    assert!(matches!(store.read(&tenant("b"), id).await.unwrap(), Lookup::Missing));
    let beyond = store.read_beyond(&tenant("b"), id, JobState::Queued).await.unwrap();
    assert!(matches!(beyond, Lookup::Missing));
}

#[tokio::test]
async fn a_waiter_wakes_when_the_state_moves_on() {
    let Some((store, clock)) = store_with(|_| {}).await else { return };
    let job = facts(&clock, "a");
    let id = job.id;
    let lease = accepted(&store, job).await;
    let store = Arc::new(store);
    let waiter = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.read_beyond(&tenant("a"), id, JobState::Running).await.unwrap() })
    };
    store.start(lease).await.unwrap();
    store.finish(lease, completed(b"done")).await.unwrap();
    let Lookup::Found(job) = waiter.await.unwrap() else { unreachable!("the job exists") };
    assert_eq!(job.state, JobState::Completed);
}

#[tokio::test]
async fn an_expired_job_is_gone_first_with_and_then_without_a_trace() {
    let Some((store, clock)) = store_with(|_| {}).await else { return };
    let job = facts(&clock, "a");
    let id = job.id;
    let lease = accepted(&store, job).await;
    store.finish(lease, completed(b"x")).await.unwrap();
    clock.advance(TTL - Duration::from_millis(1));
    assert!(matches!(store.read(&tenant("a"), id).await.unwrap(), Lookup::Found(_)));
    clock.advance(Duration::from_millis(1));
    assert!(matches!(store.read(&tenant("a"), id).await.unwrap(), Lookup::Expired));
    assert!(matches!(store.read(&tenant("b"), id).await.unwrap(), Lookup::Missing));
    clock.advance(TTL);
    assert!(matches!(store.read(&tenant("a"), id).await.unwrap(), Lookup::Missing));
    assert!(store.holds_nothing().await);
}

#[tokio::test]
async fn an_unfinished_job_outlives_its_expiry() {
    let Some((store, clock)) = store_with(|_| {}).await else { return };
    let job = facts(&clock, "a");
    let id = job.id;
    let lease = accepted(&store, job).await;
    clock.advance(TTL);
    assert_eq!(found(&store, "a", id).await.state, JobState::Queued);
    store.finish(lease, completed(b"x")).await.unwrap();
    clock.advance(Duration::from_secs(61));
    assert!(matches!(store.read(&tenant("a"), id).await.unwrap(), Lookup::Expired));
}

#[tokio::test]
async fn room_is_bounded_by_tenant_by_jobs_and_by_octets() {
    let Some((store, clock)) = store_with(|capacity| capacity.jobs = 6).await else { return };
    for _ in 0..4 {
        store.accept(facts(&clock, "a"), None, input(&store)).await.unwrap();
    }
    let refused = store.accept(facts(&clock, "a"), None, input(&store)).await;
    assert!(matches!(refused, Err(StoreError::NoRoom(NoRoom::Tenant { active: 4 }))));
    let last = facts(&clock, "b");
    let lease = accepted(&store, last).await;
    store.accept(facts(&clock, "b"), None, input(&store)).await.unwrap();
    let refused = store.accept(facts(&clock, "b"), None, input(&store)).await;
    assert!(matches!(refused, Err(StoreError::NoRoom(NoRoom::Full { retry_after })) if retry_after == TTL));
    store.finish(lease, completed(b"x")).await.unwrap();
    assert!(store.room(&tenant("b")).await.is_err(), "a finished job keeps its place until it expires");
    clock.advance(TTL);
    assert!(store.room(&tenant("b")).await.is_ok());

    let Some((store, clock)) = store_with(|capacity| capacity.result_bytes = 1500).await else { return };
    let lease = accepted(&store, facts(&clock, "a")).await;
    assert!(
        store.accept(facts(&clock, "a"), None, input(&store)).await.is_err(),
        "two reservations of 1000 exceed 1500"
    );
    store.finish(lease, completed(b"x")).await.unwrap();
    store.accept(facts(&clock, "a"), None, input(&store)).await.unwrap();
}

#[tokio::test]
async fn the_last_quarter_is_for_those_who_hold_less_than_a_quarter() {
    let few = store_with(|capacity| (capacity.jobs, capacity.result_bytes) = (1000, 16_000));
    let Some((store, clock)) = few.await else { return };
    // Finished jobs of 3500 octets each: three of them leave too little for a fourth.
    for _ in 0..3 {
        let lease = accepted(&store, facts(&clock, "a")).await;
        store.finish(lease, completed(&[7; 3500])).await.unwrap();
    }
    let own = facts(&clock, "a");
    let lease = accepted(&store, own).await;
    store.finish(lease, completed(&[7; 1400])).await.unwrap();
    let refused = store.accept(facts(&clock, "a"), None, input(&store)).await;
    assert!(matches!(refused, Err(StoreError::NoRoom(NoRoom::Share { retry_after })) if retry_after == TTL));
    for _ in 0..4 {
        store.accept(facts(&clock, "b"), None, input(&store)).await.unwrap();
    }
    let refused = store.accept(facts(&clock, "c"), None, input(&store)).await;
    assert!(matches!(refused, Err(StoreError::NoRoom(NoRoom::Full { .. }))), "15900 and 1000");
    // What expires gives its owner's share back.
    clock.advance(TTL);
    store.accept(facts(&clock, "a"), None, input(&store)).await.unwrap();
}

#[tokio::test]
async fn one_key_makes_one_job() {
    let Some((store, clock)) = store_with(|_| {}).await else { return };
    let (owner, key) = (tenant("a"), IdempotencyKey::parse(b"k").unwrap());
    let (one, two) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    assert_eq!(store.claim(&owner, &key, one).await.unwrap(), Claim::Fresh);
    assert_eq!(store.claim(&owner, &key, one).await.unwrap(), Claim::InProgress);
    assert_eq!(
        store.claim(&tenant("b"), &key, two).await.unwrap(),
        Claim::Fresh,
        "keys are the tenant's own"
    );
    store.release(&owner, &key).await;
    assert_eq!(
        store.claim(&owner, &key, two).await.unwrap(),
        Claim::Fresh,
        "a refusal does not burn the key"
    );
    let job = facts(&clock, "a");
    let id = job.id;
    let lease = store.accept(job, Some(key.clone()), input(&store)).await.unwrap();
    let lease = taken(&store, id, lease).await;
    store.release(&owner, &key).await;
    assert_eq!(store.claim(&owner, &key, two).await.unwrap(), Claim::Replay(id));
    assert_eq!(store.claim(&owner, &key, one).await.unwrap(), Claim::Reused);
    store.finish(lease, completed(b"x")).await.unwrap();
    clock.advance(TTL);
    assert_eq!(store.claim(&owner, &key, one).await.unwrap(), Claim::Fresh, "forgotten after its time");
}

#[tokio::test]
async fn a_deleted_job_is_gone_and_gives_back_what_it_counted_for() {
    let Some((store, clock)) = store_with(|capacity| {
        capacity.active_jobs_per_tenant = 1;
        capacity.jobs = 1;
        capacity.result_bytes = 1000;
    })
    .await
    else {
        return;
    };
    for finish in [false, true] {
        let job = facts(&clock, "a");
        let id = job.id;
        let lease = accepted(&store, job).await;
        assert!(store.room(&tenant("a")).await.is_err());
        assert!(matches!(store.delete(&tenant("b"), id).await.unwrap(), Lookup::Missing), "not b's");
        let owner = tenant("a");
        let waiting = store.read_beyond(&owner, id, JobState::Failed);
        store.start(lease).await.unwrap();
        if finish {
            store.finish(lease, completed(b"result")).await.unwrap();
        }
        let (found, deleted) = tokio::join!(waiting, store.delete(&owner, id));
        assert!(matches!(found.unwrap(), Lookup::Missing), "a waiting reader is told at once");
        assert!(matches!(deleted.unwrap(), Lookup::Found(_)));
        assert!(matches!(store.read(&owner, id).await.unwrap(), Lookup::Missing));
        assert!(matches!(store.delete(&owner, id).await.unwrap(), Lookup::Missing));
        assert!(matches!(store.finish(lease, completed(b"x")).await, Err(StoreError::UnknownJob(_))));
        assert_eq!(store.unfinished().await, 0);
    }
    store.accept(facts(&clock, "a"), None, input(&store)).await.unwrap();
}
