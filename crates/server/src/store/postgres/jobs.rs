//! The promises of a store, in SQL.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hei_protocol::{JobErrorCode, JobId};
use tokio_postgres::Row;

use super::{Held, PostgresStore, Shared, failed, millis, object, octets, span, time};
use crate::clock::{elapsed, later};
use crate::id::{IdempotencyKey, Tenant};
use crate::store::memory::{self, Room};
use crate::store::record::{INLINE, Payload, Record, rank};
use crate::store::{
    Claim, Fingerprint, Job, JobFacts, JobState, Lease, Lookup, NoRoom, Outcome, Pending, Store, StoreError,
    Taken,
};

const CLAIMING: &str = "insert into hei.idempotency as known (tenant, key, fingerprint, owner, ends_at)
    values ($1, $2, $3, $4, now_ms() + $5)
    on conflict (tenant, key) do update
        set fingerprint = excluded.fingerprint, owner = excluded.owner, ends_at = excluded.ends_at, job = null
        where known.ends_at <= now_ms()
    returning 1";

/// One statement, so one transaction: room, the evaluation key, the idempotency key, the job, its input.
const ACCEPT: &str = "with
    room as materialized (select count(*) as active from hei.jobs where tenant = $2 and state < 2),
    held as materialized (select 1 from hei.keys where tenant = $2 and id = $8 and state = 0 for share),
    able as materialized (select 1 from room
        where active < $11 and ($8::bytea is null or exists (select 1 from held))),
    claimed as (update hei.idempotency set job = $1, ends_at = $13
        where tenant = $2 and key = $12::text and owner = $14 and job is null and exists (select 1 from able)
        returning 1),
    job as (insert into hei.jobs(id, tenant, state, created_at, deadline_at, expires_at, bytes, key, record, seal)
        select $1, $2, 0, $3, $4, $5, $6, $8::bytea, $9, $10 from able
        where $12::text is null or exists (select 1 from claimed) returning 1),
    input as (insert into hei.payloads(id, kind, octets)
        select $1, 0, $7::bytea from job where $7::bytea is not null returning 1)
    select (select active from room), exists (select 1 from held), exists (select 1 from claimed),
        exists (select 1 from job), (select count(*) from input)";

/// Tenants take turns: first the job of who has the fewest in hand, then the oldest. Reads all that is unfinished, which the
/// limit on each tenant's unfinished jobs bounds.
const TAKE: &str = "with
    held as (select tenant, count(*) as jobs from hei.jobs where state < 2 and lease_until > now_ms() group by tenant),
    next as (select job.id from hei.jobs as job left join held on held.tenant = job.tenant
        where job.state < 2 and job.lease_until <= now_ms() and job.attempts < $3
        order by coalesce(held.jobs, 0), job.created_at, job.id limit 1 for update of job skip locked)
    update hei.jobs as job set attempts = job.attempts + 1, owner = $1, lease_until = now_ms() + $2
    from next where job.id = next.id
    returning job.id, job.attempts, job.record, job.seal,
        (select octets from hei.payloads where payloads.id = job.id and kind = 0)";

const START: &str = "update hei.jobs set state = 1, record = $4, seal = $5, lease_until = now_ms() + $6
    where id = $1 and attempts = $2 and owner = $3 and state < 2 returning 1";

const FINISH: &str = "with
    done as (update hei.jobs set state = $4, record = $5, seal = $6, bytes = $7, lease_until = 0, owner = null
        where id = $1 and attempts = $2 and owner = $3 and state < 2 returning 1),
    input as (delete from hei.payloads where id = $1 and kind = 0 and exists (select 1 from done)),
    result as (insert into hei.payloads(id, kind, octets)
        select $1, 1, $8::bytea from done where $8::bytea is not null)
    select count(*) from done";

/// A job, whether its time is over, whether a trace of it is still shown, and the octets of a small result.
const READ: &str =
    "select job.record, job.seal, job.attempts, (job.state > 1 and job.expires_at <= now_ms()),
        job.expires_at + $3 > now_ms(), payload.octets
    from hei.jobs as job left join hei.payloads as payload
        on payload.id = job.id and payload.kind = 1 and job.state = 2
    where job.id = $1 and job.tenant = $2";

const TRACE: &str = "select 1 from hei.tombstones where id = $1 and tenant = $2 and ends_at > now_ms()";

const DELETE: &str =
    "delete from hei.jobs where id = $1 and tenant = $2 and not (state > 1 and expires_at <= now_ms())
    returning record, seal, attempts";

fn id_of(row: &Row) -> Result<JobId, StoreError> {
    let octets: &[u8] = row.get(0);
    let octets = octets.try_into().map_err(|_| StoreError::Disk("a job without an id".to_owned()))?;
    Ok(JobId::from_bytes(octets))
}

impl Shared {
    async fn room(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let sql = "select count(*) from hei.jobs where tenant = $1 and state < 2";
        let active = self.query_opt(sql, &[&tenant.name()]).await?.map_or(0, |row| row.get::<_, i64>(0));
        if active >= i64::from(self.capacity.active_jobs_per_tenant) {
            return Err(NoRoom::Tenant { active: u32::try_from(active).unwrap_or(u32::MAX) }.into());
        }
        match self.no_room(tenant, 0).await? {
            None => Ok(()),
            Some(no_room) => Err(no_room.into()),
        }
    }

    /// Why there is no room for one more job with so large a result, if there is none.
    async fn no_room(&self, tenant: &Tenant, reserve: u64) -> Result<Option<NoRoom>, StoreError> {
        let count = self.count().await?;
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        let (jobs, bytes) = (whole(count.jobs), whole(count.bytes));
        let room = |own: (u64, u64)| {
            let of_jobs = memory::room(self.capacity.jobs as u64, jobs, own.0, 1);
            of_jobs.max(memory::room(self.capacity.result_bytes, bytes, own.1, reserve))
        };
        // As if all of it were this tenant's: only where that matters is it counted.
        let mut found = room((u64::MAX, u64::MAX));
        if found == Room::ForOthers {
            let sql = "select count(*), coalesce(sum(bytes), 0)::bigint from hei.jobs
                where tenant = $1 and (state < 2 or expires_at > now_ms())";
            let own = self.query_opt(sql, &[&tenant.name()]).await?;
            found = room(own.map_or((0, 0), |row| (whole(row.get(0)), whole(row.get(1)))));
        }
        let retry_after = elapsed(self.now(), time(count.first_end)).max(Duration::from_secs(1));
        Ok(match found {
            Room::Enough => None,
            Room::ForOthers => Some(NoRoom::Share { retry_after }),
            Room::None => Some(NoRoom::Full { retry_after }),
        })
    }

    async fn accept(
        &self,
        facts: JobFacts,
        key: Option<IdempotencyKey>,
        input: Option<Bytes>,
    ) -> Result<(), StoreError> {
        let reserve = i64::try_from(facts.max_result_bytes).unwrap_or(i64::MAX);
        let no_room = self.no_room(&facts.tenant, facts.max_result_bytes).await?;
        let is_full = no_room.is_some();
        let id = facts.id;
        let kept = input.as_ref().map(|input| Payload::of(input));
        let large = input.as_ref().filter(|input| input.len() > INLINE && !is_full).cloned();
        let is_large = large.is_some();
        if let Some(large) = large {
            // Durable before the row that names it.
            self.objects.put(&object(id, 0, false), large).await?;
        }
        let facts = Arc::new(facts);
        let job = Job {
            facts: Arc::clone(&facts),
            state: JobState::Queued,
            started_at: None,
            finished_at: None,
            outcome: None,
        };
        let (record, seal) = Record::of(&job, kept).sealed(id);
        let small = input.filter(|input| input.len() <= INLINE);
        let end = facts.expires_at.max(later(facts.created_at, self.capacity.idempotency_ttl));
        let limit = if is_full { 0 } else { i64::from(self.capacity.active_jobs_per_tenant) };
        let key = key.as_ref().map(IdempotencyKey::text);
        let accepted = self
            .query_opt(
                ACCEPT,
                &[
                    &id.as_bytes().as_slice(),
                    &facts.tenant.name(),
                    &millis(facts.created_at),
                    &facts.deadline_at.map(millis),
                    &millis(facts.expires_at),
                    &reserve,
                    &octets(&small),
                    &facts.evaluation_key_id.as_ref().map(|key| key.as_bytes().as_slice()),
                    &record,
                    &seal.as_slice(),
                    &limit,
                    &key,
                    &millis(end),
                    &self.owner.as_slice(),
                ],
            )
            .await;
        let refused = match accepted {
            Ok(Some(row)) if row.get(3) => {
                self.counted(reserve).await;
                self.hub.tell_work();
                return Ok(());
            }
            Ok(Some(row)) => {
                let active: i64 = row.get(0);
                if active >= i64::from(self.capacity.active_jobs_per_tenant) {
                    NoRoom::Tenant { active: u32::try_from(active).unwrap_or(u32::MAX) }.into()
                } else if let Some(no_room) = no_room {
                    no_room.into()
                } else if facts.evaluation_key_id.is_some() && !row.get::<_, bool>(1) {
                    StoreError::KeyGone
                } else {
                    StoreError::ClaimLost
                }
            }
            Ok(None) => StoreError::Unreachable("no answer to an acceptance".to_owned()),
            // The connection may have broken after the commit: then the job exists, and is to be acknowledged.
            Err(error) => match self
                .query_opt("select 1 from hei.jobs where id = $1", &[&id.as_bytes().as_slice()])
                .await
            {
                Ok(Some(_)) => {
                    self.counted(reserve).await;
                    self.hub.tell_work();
                    return Ok(());
                }
                Ok(None) => error,
                // Nobody knows; the input stays for the job that may be there.
                Err(_) => return Err(error),
            },
        };
        if is_large {
            self.objects.remove(&object(id, 0, false)).await;
        }
        Err(refused)
    }

    /// The next job that nobody works on, if there is one.
    pub(super) async fn take_now(&self) -> Result<Option<Taken>, StoreError> {
        let attempts = i32::try_from(self.options.tuning.max_attempts).unwrap_or(i32::MAX);
        let lease = span(self.options.tuning.lease);
        let Some(row) = self.query_opt(TAKE, &[&self.owner.as_slice(), &lease, &attempts]).await? else {
            return Ok(None);
        };
        let id = id_of(&row)?;
        let attempt = u32::try_from(row.get::<_, i32>(1)).unwrap_or(0);
        let opened = Self::job(id, row.get(2), row.get(3));
        let lease = Lease { id, attempt };
        let (job, record) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // It stays with us until it is given up: nobody can read what it was.
                tracing::error!(job = %id, %error, "a job cannot be taken");
                return Ok(None);
            }
        };
        let held = Held { attempt, job: job.clone(), input: record.input.clone(), started: false };
        crate::locked(&self.held).insert(id, held);
        let Some(expected) = record.input else { return self.unreadable(lease).await };
        let input = if expected.is_blob() {
            match self.objects.get(&object(id, 0, false), expected.size).await {
                Ok(input) => input,
                Err(error) => {
                    self.give_back(id).await;
                    return Err(error);
                }
            }
        } else {
            row.get::<_, Option<Vec<u8>>>(4).map(Bytes::from)
        };
        match input {
            Some(input) if expected.is(&input) => Ok(Some(Taken { lease, facts: job.facts, input })),
            _ => self.unreadable(lease).await,
        }
    }

    async fn unreadable(&self, lease: Lease) -> Result<Option<Taken>, StoreError> {
        tracing::error!(job = %lease.id, "the input of a job is damaged");
        match self.finish(lease, Outcome::Failed(JobErrorCode::InternalError)).await {
            Ok(())
            | Err(StoreError::UnknownJob(_) | StoreError::NotMonotone { .. } | StoreError::NotHeld(_)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a job back into nobody's hands; the attempt does not count.
    pub(super) async fn give_back(&self, id: JobId) {
        let Some(held) = self.let_go(id) else { return };
        let attempt = i32::try_from(held.attempt).unwrap_or(i32::MAX);
        let sql = "update hei.jobs set owner = null, lease_until = 0, attempts = attempts - 1
            where id = $1 and attempts = $2 and owner = $3 and state < 2";
        let given = self.query(sql, &[&id.as_bytes().as_slice(), &attempt, &self.owner.as_slice()]).await;
        match given {
            Ok(_) => self.hub.tell_work(),
            Err(error) => {
                tracing::warn!(job = %id, %error, "a job could not be given back; its lease will run out")
            }
        }
    }

    /// Why a change of a held job did not happen.
    async fn why_not(&self, lease: Lease, to: JobState) -> StoreError {
        let id = lease.id;
        let sql = "select state from hei.jobs where id = $1";
        let row = match self.query_opt(sql, &[&id.as_bytes().as_slice()]).await {
            Ok(row) => row,
            Err(error) => return error,
        };
        match row.map(|row| row.get::<_, i16>(0)) {
            None => StoreError::UnknownJob(id),
            Some(2) => StoreError::NotMonotone { id, from: JobState::Completed, to },
            Some(3) => StoreError::NotMonotone { id, from: JobState::Failed, to },
            Some(_) => StoreError::NotHeld(id),
        }
    }

    fn held(&self, lease: Lease) -> Option<Held> {
        crate::locked(&self.held).get(&lease.id).filter(|held| held.attempt == lease.attempt).cloned()
    }

    async fn start(&self, lease: Lease) -> Result<(), StoreError> {
        let id = lease.id;
        let Some(held) = self.held(lease) else { return Err(self.why_not(lease, JobState::Running).await) };
        if held.started {
            return Err(StoreError::NotMonotone { id, from: JobState::Running, to: JobState::Running });
        }
        let mut job = held.job;
        job.state = JobState::Running;
        job.started_at.get_or_insert(self.now());
        let (record, seal) = Record::of(&job, held.input.clone()).sealed(id);
        let attempt = i32::try_from(lease.attempt).unwrap_or(i32::MAX);
        let span = span(self.options.tuning.lease);
        let parameters: super::Parameters<'_> =
            &[&id.as_bytes().as_slice(), &attempt, &self.owner.as_slice(), &record, &seal.as_slice(), &span];
        if self.query_opt(START, parameters).await?.is_none() {
            self.let_go(id);
            return Err(self.why_not(lease, JobState::Running).await);
        }
        if let Some(held) = crate::locked(&self.held).get_mut(&id) {
            held.job = job;
            held.started = true;
        }
        self.hub.tell_job(id);
        Ok(())
    }

    async fn finish(&self, lease: Lease, outcome: Outcome) -> Result<(), StoreError> {
        let id = lease.id;
        let (outcome, result, to) = match outcome {
            Outcome::Completed { result, digest } => {
                let size = result.len() as u64;
                (Outcome::Kept { size, digest }, Some(result), JobState::Completed)
            }
            Outcome::Kept { .. } => return Err(StoreError::UnknownJob(id)),
            failed @ Outcome::Failed(_) => (failed, None, JobState::Failed),
        };
        let Some(held) = self.held(lease) else { return Err(self.why_not(lease, to).await) };
        let size = result.as_ref().map_or(0, Bytes::len);
        let large = result.as_ref().filter(|result| result.len() > INLINE).cloned();
        let is_large = large.is_some();
        if let Some(large) = large {
            self.objects.put(&object(id, lease.attempt, true), large).await?;
        }
        let mut job = held.job;
        job.state = to;
        job.finished_at = Some(self.now());
        job.outcome = Some(Arc::new(outcome));
        let (record, seal) = Record::of(&job, None).sealed(id);
        let small = result.filter(|result| result.len() <= INLINE);
        let done = self
            .query_opt(
                FINISH,
                &[
                    &id.as_bytes().as_slice(),
                    &i32::try_from(lease.attempt).unwrap_or(i32::MAX),
                    &self.owner.as_slice(),
                    &i16::from(rank(to)),
                    &record,
                    &seal.as_slice(),
                    &i64::try_from(size).unwrap_or(i64::MAX),
                    &octets(&small),
                ],
            )
            .await?;
        let done = done.is_some_and(|row| row.get::<_, i64>(0) == 1);
        self.let_go(id);
        if !done {
            if is_large {
                self.objects.remove(&object(id, lease.attempt, true)).await;
            }
            return Err(self.why_not(lease, to).await);
        }
        self.hub.tell_job(id);
        if held.input.is_some_and(|input| input.is_blob()) {
            self.objects.remove(&object(id, 0, false)).await;
        }
        Ok(())
    }

    /// Fails a job in whose hands it may be.
    pub(super) async fn fail(&self, id: JobId, code: JobErrorCode) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let id_octets = id.as_bytes().as_slice();
        let select = "select record, seal, state from hei.jobs where id = $1 for update";
        let Some(row) = transaction.query_opt(select, &[&id_octets]).await? else {
            return Err(StoreError::UnknownJob(id));
        };
        let (mut job, record) = Self::job(id, row.get(0), row.get(1))?;
        if job.state.is_terminal() {
            return Err(StoreError::NotMonotone { id, from: job.state, to: JobState::Failed });
        }
        failed(&mut job, code, self.now());
        let (octets, seal) = Record::of(&job, None).sealed(id);
        let update =
            "update hei.jobs set state = 3, record = $2, seal = $3, bytes = 0, lease_until = 0, owner = null
            where id = $1";
        transaction.execute(update, &[&id_octets, &octets, &seal.as_slice()]).await?;
        transaction.execute("delete from hei.payloads where id = $1", &[&id_octets]).await?;
        transaction.commit().await?;
        drop(client);
        self.let_go(id);
        self.hub.tell_job(id);
        if record.input.is_some_and(|input| input.is_blob()) {
            self.objects.remove(&object(id, 0, false)).await;
        }
        Ok(())
    }

    async fn read(&self, tenant: &Tenant, id: JobId) -> Result<Lookup, StoreError> {
        let id_octets = id.as_bytes().as_slice();
        let tombstone = span(self.capacity.tombstone_ttl);
        let Some(row) = self.query_opt(READ, &[&id_octets, &tenant.name(), &tombstone]).await? else {
            let trace = self.query_opt(TRACE, &[&id_octets, &tenant.name()]).await?;
            return Ok(if trace.is_some() { Lookup::Expired } else { Lookup::Missing });
        };
        if row.get(3) {
            return Ok(if row.get(4) { Lookup::Expired } else { Lookup::Missing });
        }
        let (mut job, _) = Self::job(id, row.get(0), row.get(1))?;
        let Some(Outcome::Kept { size, digest }) = job.outcome.as_deref() else {
            return Ok(Lookup::Found(job));
        };
        let (expected, digest) = (Payload::new(*size, digest), *digest);
        let result = if expected.is_blob() {
            let attempt = u32::try_from(row.get::<_, i32>(2)).unwrap_or(0);
            self.objects.get(&object(id, attempt, true), expected.size).await?
        } else {
            row.get::<_, Option<Vec<u8>>>(5).map(Bytes::from)
        };
        if let Some(result) = result.filter(|result| expected.is(result)) {
            job.outcome = Some(Arc::new(Outcome::Completed { result, digest }));
            return Ok(Lookup::Found(job));
        }
        tracing::error!(job = %id, "a result is damaged");
        failed(&mut job, JobErrorCode::InternalError, self.now());
        let (record, seal) = Record::of(&job, None).sealed(id);
        let sql =
            "update hei.jobs set state = 3, record = $2, seal = $3 where id = $1 and state = 2 returning 1";
        match self.query_opt(sql, &[&id_octets, &record, &seal.as_slice()]).await? {
            Some(_) => Ok(Lookup::Found(job)),
            // Deleted or expired meanwhile.
            None => Ok(Lookup::Missing),
        }
    }

    async fn delete(&self, tenant: &Tenant, id: JobId) -> Result<Lookup, StoreError> {
        let id_octets = id.as_bytes().as_slice();
        let Some(row) = self.query_opt(DELETE, &[&id_octets, &tenant.name()]).await? else {
            return self.read(tenant, id).await;
        };
        self.let_go(id);
        self.cancellations.cancel(id);
        self.hub.tell_job(id);
        self.count.lock().await.at = None;
        let (job, record) = Self::job(id, row.get(0), row.get(1))?;
        if record.input.is_some_and(|input| input.is_blob()) {
            self.objects.remove(&object(id, 0, false)).await;
        }
        if record.result.is_some_and(|result| result.is_blob()) {
            let attempt = u32::try_from(row.get::<_, i32>(2)).unwrap_or(0);
            self.objects.remove(&object(id, attempt, true)).await;
        }
        Ok(Lookup::Found(job))
    }
}

impl Store for PostgresStore {
    fn room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), StoreError>> {
        Box::pin(self.0.room(tenant))
    }

    fn claim<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Pending<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            let shared = &self.0;
            loop {
                let claim: super::Parameters<'_> = &[
                    &tenant.name(),
                    &key.text(),
                    &fingerprint.0.as_slice(),
                    &shared.owner.as_slice(),
                    // Renewed with the leases: the claim of a server that dies is not in the way for long.
                    &span(shared.options.tuning.lease),
                ];
                if shared.query_opt(CLAIMING, claim).await?.is_some() {
                    crate::locked(&shared.claims).insert((tenant.clone(), key.clone()));
                    return Ok(Claim::Fresh);
                }
                let sql = "select fingerprint, job from hei.idempotency
                    where tenant = $1 and key = $2 and ends_at > now_ms()";
                // Released meanwhile: it is free again.
                let Some(row) = shared.query_opt(sql, &[&tenant.name(), &key.text()]).await? else {
                    continue;
                };
                let (first, job): (&[u8], Option<&[u8]>) = (row.get(0), row.get(1));
                return Ok(match job {
                    None => Claim::InProgress,
                    Some(job) if *first == fingerprint.0 => {
                        let job =
                            job.try_into().map_err(|_| StoreError::Disk("a key without a job".to_owned()))?;
                        Claim::Replay(JobId::from_bytes(job))
                    }
                    Some(_) => Claim::Reused,
                });
            }
        })
    }

    fn remembers<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, bool> {
        Box::pin(async move {
            let sql = "select 1 from hei.idempotency
                where tenant = $1 and key = $2 and job is not null and ends_at > now_ms()";
            let known = self.0.query_opt(sql, &[&tenant.name(), &key.text()]).await;
            known.is_ok_and(|known| known.is_some())
        })
    }

    fn release<'a>(&'a self, tenant: &'a Tenant, key: &'a IdempotencyKey) -> Pending<'a, ()> {
        Box::pin(async move {
            crate::locked(&self.0.claims).remove(&(tenant.clone(), key.clone()));
            let sql =
                "delete from hei.idempotency where tenant = $1 and key = $2 and owner = $3 and job is null";
            let released = self.0.query(sql, &[&tenant.name(), &key.text(), &self.0.owner.as_slice()]).await;
            if let Err(error) = released {
                tracing::warn!(%error, "an idempotency key could not be released; its claim will run out");
            }
        })
    }

    fn keeps_inputs(&self) -> bool {
        true
    }

    fn accept(
        &self,
        facts: JobFacts,
        key: Option<IdempotencyKey>,
        input: Option<Bytes>,
    ) -> Pending<'_, Result<Option<Lease>, StoreError>> {
        Box::pin(async move {
            let claim = key.clone().map(|key| (facts.tenant.clone(), key));
            let accepted = self.0.accept(facts, key, input).await;
            if let (Ok(()), Some(claim)) = (&accepted, claim) {
                crate::locked(&self.0.claims).remove(&claim);
            }
            accepted.map(|()| None)
        })
    }

    fn take(&self) -> Pending<'_, Result<Taken, StoreError>> {
        Box::pin(async move {
            loop {
                let work = self.0.hub.work.notified();
                if let Some(taken) = self.0.take_now().await? {
                    // There may be more, for another.
                    return Ok(taken);
                }
                drop(tokio::time::timeout(self.0.options.tuning.poll, work).await);
            }
        })
    }

    fn takes_jobs(&self) -> bool {
        self.0.reachable.load(Ordering::Acquire)
    }

    fn start(&self, lease: Lease) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.0.start(lease))
    }

    fn finish(&self, lease: Lease, outcome: Outcome) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.0.finish(lease, outcome))
    }

    fn fail(&self, id: JobId, code: JobErrorCode) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(self.0.fail(id, code))
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            // Those that were taken just now and never came into our hands, too.
            let sql = "update hei.jobs set owner = null, lease_until = 0, attempts = attempts - 1
                where owner = $1 and state < 2 returning 1";
            crate::locked(&self.0.held).clear();
            match self.0.query(sql, &[&self.0.owner.as_slice()]).await {
                Ok(given) if given.is_empty() => {}
                Ok(given) => {
                    tracing::info!(jobs = given.len(), "given back");
                    self.0.hub.tell_work();
                }
                Err(error) => {
                    tracing::warn!(%error, "jobs could not be given back; their leases will run out")
                }
            }
            self.0.tell().await;
            crate::locked(&self.0.tasks).abort_all();
        })
    }

    fn read<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(self.0.read(tenant, id))
    }

    fn read_beyond<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: JobId,
        seen: JobState,
    ) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            let waiting = self.0.hub.wait_for(id);
            loop {
                let changed = waiting.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match self.0.read(tenant, id).await? {
                    Lookup::Found(job) if job.state <= seen => {}
                    other => return Ok(other),
                }
                drop(tokio::time::timeout(self.0.options.tuning.poll, changed).await);
            }
        })
    }

    fn delete<'a>(&'a self, tenant: &'a Tenant, id: JobId) -> Pending<'a, Result<Lookup, StoreError>> {
        Box::pin(self.0.delete(tenant, id))
    }

    fn unfinished(&self) -> Pending<'_, u64> {
        Box::pin(async move {
            let count = self.0.count().await.map_or(0, |count| count.unfinished);
            u64::try_from(count).unwrap_or(0)
        })
    }
}
