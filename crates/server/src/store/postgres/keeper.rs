//! What a process does besides: it renews its leases, listens and tells, reads the database's clock, and, one process at
//! a time, removes what is over and fails what cannot go on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::poll_fn;
use hei_protocol::{JobErrorCode, JobId};
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use super::{Shared, object, span};
use crate::store::record::Payload;
use crate::store::{Outcome, StoreError};

/// The channels of the database.
const JOBS: &str = "hei_jobs";
const WORK: &str = "hei_work";
/// How often a process looks after what is over.
const SWEEP: Duration = Duration::from_secs(1);
/// The most that one sweep removes.
const SWEEP_ROWS: i64 = 2000;
/// How often orphans are looked for, and how old they are at least: older than any write under way.
const ORPHANS: Duration = Duration::from_secs(3600);
/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);
/// One process sweeps at a time.
const LOCK: i64 = 0x6865_6931_0002;

/// Starts what lives as long as the store.
pub(super) fn start(shared: &Arc<Shared>) {
    let mut tasks = crate::locked(&shared.tasks);
    tasks.spawn(keep(Arc::downgrade(shared)));
    tasks.spawn(listen(Arc::downgrade(shared)));
    tasks.spawn(tell(Arc::downgrade(shared)));
}

async fn keep(shared: Weak<Shared>) {
    let mut next_sweep = Instant::now();
    let mut next_orphans = Instant::now();
    loop {
        let Some(shared) = shared.upgrade() else { return };
        let pause = (shared.options.tuning.lease / 3).min(SWEEP);
        let renewed = shared.renew().await;
        let reachable = renewed.is_ok();
        if reachable != shared.reachable.swap(reachable, Ordering::AcqRel) {
            tracing::warn!(reachable, error = renewed.err().map(tracing::field::display), "the database");
        }
        if reachable && Instant::now() >= next_sweep {
            next_sweep = Instant::now() + SWEEP;
            let swept = shared.sweep().await;
            if let Err(error) = swept {
                tracing::warn!(%error, "what is over could not be removed");
            }
            if Instant::now() >= next_orphans {
                next_orphans = Instant::now() + ORPHANS;
                if let Err(error) = shared.sweep_orphans(ORPHANS).await {
                    tracing::warn!(%error, "orphans could not be looked for");
                }
            }
        }
        drop(shared);
        tokio::time::sleep(pause).await;
    }
}

/// Hears what other processes tell.
async fn listen(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let connected = strong.config.connect(strong.tls.clone()).await;
        drop(strong);
        let (client, mut connection) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                tracing::warn!(error = super::told(&error), "no notifications; looking now and then instead");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (sender, mut heard) = mpsc::unbounded_channel();
        let driving = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(told) = message
                    && sender.send(told).is_err()
                {
                    return;
                }
            }
        });
        if client.batch_execute(&format!("listen {JOBS}; listen {WORK}")).await.is_ok() {
            while let Some(told) = heard.recv().await {
                let Some(shared) = shared.upgrade() else { break };
                match told.channel() {
                    WORK => shared.hub.work.notify_one(),
                    _ => {
                        if let Ok(id) = told.payload().parse() {
                            shared.heard(id);
                        }
                    }
                }
            }
        }
        driving.abort();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells the others what changed here, many things at once.
async fn tell(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        // The wait holds nothing but the hub's bell.
        let waited = tokio::time::timeout(PAUSE, strong.hub.told.notified()).await;
        if waited.is_ok() {
            strong.tell().await;
        }
    }
}

impl Shared {
    /// Sends what is to be told. Its own transaction, so that no commit waits for it.
    pub(super) async fn tell(&self) {
        let outbox = self.hub.take_outbox();
        if outbox.jobs.is_empty() && !outbox.work {
            return;
        }
        let sql = "select pg_notify('hei_jobs', job) from unnest($1::text[]) as job
            union all select pg_notify('hei_work', '') where $2";
        if let Err(error) = self.query(sql, &[&outbox.jobs, &outbox.work]).await {
            tracing::debug!(%error, "nobody was told");
        }
    }

    /// A job changed somewhere: if it is in our hands and gone, its evaluation is told to stop.
    fn heard(self: &Arc<Self>, id: JobId) {
        self.hub.wake(id);
        if crate::locked(&self.held).contains_key(&id) {
            let shared = Arc::clone(self);
            tokio::spawn(async move { shared.renew_these(vec![id]).await });
        }
    }

    /// Renews the leases of all jobs in our hands, and lets go of those that are no longer.
    async fn renew(&self) -> Result<(), StoreError> {
        if !crate::locked(&self.claims).is_empty() {
            let sql = "update hei.idempotency set ends_at = now_ms() + $1 where owner = $2 and job is null";
            self.query(sql, &[&span(self.options.tuning.lease), &self.owner.as_slice()]).await?;
        }
        let ids: Vec<JobId> = crate::locked(&self.held).keys().copied().collect();
        if ids.is_empty() {
            return self.read_clock().await;
        }
        self.renew_these(ids).await
    }

    async fn renew_these(&self, ids: Vec<JobId>) -> Result<(), StoreError> {
        let octets: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        let sql = "update hei.jobs set lease_until = now_ms() + $2
            where id = any($1) and owner = $3 and state < 2 returning id, attempts";
        let rows =
            self.query(sql, &[&octets, &span(self.options.tuning.lease), &self.owner.as_slice()]).await?;
        for id in &ids {
            let ours = rows.iter().find(|row| row.get::<_, &[u8]>(0) == id.as_bytes().as_slice());
            let attempt = ours.and_then(|row| u32::try_from(row.get::<_, i32>(1)).ok());
            let mut held = crate::locked(&self.held);
            // One that ended or was taken anew since the question is not lost.
            if held.get(id).is_some_and(|held| attempt.is_none_or(|attempt| attempt != held.attempt)) {
                held.remove(id);
                drop(held);
                tracing::debug!(job = %id, "the job was deleted, has ended, or is in other hands");
                self.cancellations.cancel(*id);
            }
        }
        self.read_clock().await
    }

    /// Removes what is over, if nobody else is about it.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let row = transaction.query_one("select pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
        if !row.get::<_, bool>(0) {
            return Ok(());
        }
        let tombstone = span(self.capacity.tombstone_ttl);
        let expired = self.sql(
            "with gone as (delete from hei.jobs where id in
                    (select id from hei.jobs where state > 1 and expires_at <= now_ms() limit $2 for update skip locked)
                    returning id, tenant, expires_at, attempts, record, seal),
                traces as (insert into hei.tombstones(id, tenant, ends_at)
                    select id, tenant, expires_at + $1 from gone on conflict do nothing)
            select id, attempts, record, seal from gone",
        );
        let mut over = Vec::new();
        for row in transaction.query(&expired, &[&tombstone, &SWEEP_ROWS]).await? {
            let Ok(id) = row.get::<_, &[u8]>(0).try_into().map(JobId::from_bytes) else { continue };
            let Ok((job, _)) = Self::job(id, row.get(2), row.get(3)) else { continue };
            if let Some(Outcome::Kept { size, digest }) = job.outcome.as_deref()
                && Payload::new(*size, digest).is_blob()
            {
                let attempt = u32::try_from(row.get::<_, i32>(1)).unwrap_or(0);
                over.push(object(id, attempt, true));
            }
        }
        for sql in [
            "delete from hei.tombstones where ends_at <= now_ms()",
            "delete from hei.idempotency where ends_at <= now_ms()",
        ] {
            transaction.execute(&self.sql(sql), &[]).await?;
        }
        let forget = self.sql(
            "delete from hei.keys as key where (state > 0 or expires_at <= now_ms()) and not exists
                (select 1 from hei.jobs as job
                 where job.tenant = key.tenant and job.key = key.id and job.state < 2)
            returning file",
        );
        over.extend(transaction.query(&forget, &[]).await?.iter().map(|row| row.get::<_, String>(0)));
        let overdue = self.sql("select id, false from hei.jobs where state < 2 and deadline_at <= now_ms()
            union all select id, true from hei.jobs where state < 2 and attempts >= $1 and lease_until <= now_ms()
            limit $2");
        let attempts = i32::try_from(self.options.tuning.max_attempts).unwrap_or(i32::MAX);
        let lost = transaction.query(&overdue, &[&attempts, &SWEEP_ROWS]).await?;
        transaction.commit().await?;
        drop(client);
        for name in over {
            self.objects.remove(&name).await;
        }
        for row in lost {
            let Ok(id) = row.get::<_, &[u8]>(0).try_into().map(JobId::from_bytes) else { continue };
            let code = if row.get(1) { JobErrorCode::WorkerLost } else { JobErrorCode::JobDeadlineExceeded };
            match self.fail(id, code).await {
                Ok(()) => tracing::warn!(job = %id, code = code.as_str(), "the job cannot go on"),
                Err(StoreError::UnknownJob(_) | StoreError::NotMonotone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes objects that no row names: what is left of writes that never became rows.
    pub(super) async fn sweep_orphans(&self, age: Duration) -> Result<u64, StoreError> {
        let mut removed = 0;
        for names in self.objects.older_than(age).await?.chunks(500) {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "probe").collect();
            let sql = "select name from unnest($1::text[]) as name
                where not exists (select 1 from hei.keys where file = name)
                and not exists (select 1 from hei.jobs as job where length(name) > 32
                    and name ~ '^[0-9a-f]{32}[.]' and job.id = decode(substr(name, 1, 32), 'hex')
                    and (name like '%.in' and state < 2
                        or name = substr(name, 1, 32) || '.' || job.attempts || '.out'))";
            for row in self.query(sql, &[&names]).await? {
                self.objects.remove(row.get(0)).await;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
