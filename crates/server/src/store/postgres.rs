//! Jobs and keys in PostgreSQL, with large payloads in an object store: what many servers and workers share.
//!
//! The database decides: who may use an idempotency key, who works on a job, whose completion counts, and what time it
//! is. A process holds a job by a lease that it renews; a lease that runs out gives the job to whoever takes it next, and
//! a completion under it is refused. Notifications wake whoever waits; a slow poll stands behind them.

mod address;
mod hub;
mod jobs;
mod keeper;
mod keys;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use hei_protocol::{JobErrorCode, JobId, Timestamp};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use address::PostgresAddress;
pub use schema::{DatabaseError, SCHEMA_VERSION};

use super::memory::Capacity;
use super::objects::{BlobsAddress, Objects};
use super::record::Record;
use super::{Job, Outcome, StoreError};
use crate::cancel::Cancellations;
use crate::clock::{Clock, later};
use crate::id::{IdempotencyKey, Tenant, random_octets};
use hub::Hub;

/// How a store in PostgreSQL is used.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The database.
    pub address: PostgresAddress,
    /// Where payloads of more than 64 KiB and evaluation keys are.
    pub blobs: BlobsAddress,
    /// How it is used.
    pub tuning: PostgresTuning,
}

/// How a process uses a store in PostgreSQL, wherever that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresTuning {
    /// How long a silent process keeps its jobs.
    pub lease: Duration,
    /// How often a job is begun before it is given up: it may be what ends the processes.
    pub max_attempts: u32,
    /// Connections of this process.
    pub connections: usize,
    /// How long to wait before looking again when no notification comes.
    pub poll: Duration,
    /// How old the count of what is stored may be.
    pub count_age: Duration,
}

impl PostgresOptions {
    /// The defaults, for this database and these blobs.
    #[must_use]
    pub fn new(address: PostgresAddress, blobs: BlobsAddress) -> Self {
        Self { address, blobs, tuning: PostgresTuning::default() }
    }
}

impl Default for PostgresTuning {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_attempts: 3,
            connections: 16,
            poll: Duration::from_secs(1),
            count_age: Duration::from_secs(1),
        }
    }
}

/// What the database says the time is, between two questions advanced by this machine's monotonic clock.
struct DatabaseClock {
    anchor: Mutex<(Timestamp, Instant)>,
    last: AtomicU64,
}

impl DatabaseClock {
    fn set(&self, now: Timestamp) {
        *crate::locked(&self.anchor) = (now, Instant::now());
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let (anchor, since) = *crate::locked(&self.anchor);
        let now = later(anchor, since.elapsed()).unix_millis();
        Timestamp::from_unix_millis(self.last.fetch_max(now, Ordering::AcqRel).max(now))
    }
}

/// A job in this process's hands.
#[derive(Clone)]
struct Held {
    attempt: u32,
    job: Job,
    input: Option<super::record::Payload>,
    started: bool,
}

/// What is stored, over all tenants, as of a moment.
#[derive(Clone, Copy)]
struct Count {
    at: Option<Instant>,
    jobs: i64,
    bytes: i64,
    unfinished: i64,
    /// When the first of them expires.
    first_end: i64,
}

/// A store in PostgreSQL; a handle, cheap to clone.
#[derive(Clone)]
pub struct PostgresStore(Arc<Shared>);

struct Shared {
    options: PostgresOptions,
    capacity: Capacity,
    pool: Pool,
    config: Config,
    tls: MakeRustlsConnect,
    objects: Objects,
    /// Who this process is, to the others.
    owner: [u8; 16],
    hub: Hub,
    held: Mutex<HashMap<JobId, Held>>,
    /// Idempotency keys of requests that this process validates.
    claims: Mutex<HashSet<(Tenant, IdempotencyKey)>>,
    count: tokio::sync::Mutex<Count>,
    cancellations: Arc<Cancellations>,
    database_clock: Arc<DatabaseClock>,
    /// A test's clock, in whose place the database's is read.
    given_clock: Option<Arc<dyn Clock>>,
    /// The database answers.
    reachable: AtomicBool,
    tasks: Mutex<JoinSet<()>>,
    runtime: tokio::runtime::Handle,
}

/// What the database said, with its code; never a value.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            text
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Unreachable(told(&error))
    }
}

/// A statement's parameters.
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

fn tls() -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

impl PostgresStore {
    /// Connects, and makes the tables when there are none.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing in the database was changed then.
    pub(crate) async fn open(
        options: PostgresOptions,
        capacity: Capacity,
        cancellations: Arc<Cancellations>,
        given_clock: Option<Arc<dyn Clock>>,
    ) -> Result<Self, DatabaseError> {
        let address = options.address.to_string();
        let unreachable = |cause| DatabaseError::Unreachable { address: address.clone(), cause };
        let config = options.address.config().map_err(|error| unreachable(told(&error)))?;
        let tls = tls().map_err(unreachable)?;
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), manager_config);
        let pool = Pool::builder(manager)
            .max_size(options.tuning.connections.max(2))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_secs(10)))
            .create_timeout(Some(Duration::from_secs(10)))
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        let mut client = pool.get().await.map_err(|error| unreachable(pooled(&error)))?;
        schema::open(&mut client, &address).await?;
        drop(client);
        let blobs = options.blobs.to_string();
        let objects = Objects::open(&options.blobs).await;
        let objects = objects.map_err(|cause| DatabaseError::Blobs { address: blobs, cause })?;
        let owner = random_octets().map_err(|error| unreachable(error.to_string()))?;
        let database_clock = DatabaseClock {
            anchor: Mutex::new((Timestamp::from_unix_millis(0), Instant::now())),
            last: AtomicU64::new(0),
        };
        let store = Self(Arc::new(Shared {
            options,
            capacity,
            pool,
            config,
            tls,
            objects,
            owner,
            hub: Hub::new(),
            held: Mutex::default(),
            claims: Mutex::default(),
            count: tokio::sync::Mutex::new(Count {
                at: None,
                jobs: 0,
                bytes: 0,
                unfinished: 0,
                first_end: 0,
            }),
            cancellations,
            database_clock: Arc::new(database_clock),
            given_clock,
            reachable: AtomicBool::new(true),
            tasks: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        }));
        store.0.read_clock().await.map_err(|error| unreachable(error.to_string()))?;
        keeper::start(&store.0);
        Ok(store)
    }

    /// The time by which the store's times are meant.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.0.given_clock {
            Some(given) => Arc::clone(given),
            None => Arc::clone(&self.0.database_clock) as Arc<dyn Clock>,
        }
    }
}

fn pooled(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => told(error),
        other => other.to_string(),
    }
}

impl Shared {
    async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::Unreachable(pooled(&error)))
    }

    /// A statement, with `now_ms()` for the present moment in milliseconds.
    fn sql(&self, text: &str) -> String {
        match &self.given_clock {
            None => text.replace("now_ms()", "(extract(epoch from clock_timestamp()) * 1000)::bigint"),
            Some(clock) => text.replace("now_ms()", &format!("{}::bigint", clock.now().unix_millis())),
        }
    }

    async fn query(&self, text: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(&self.sql(text)).await?;
        Ok(client.query(&statement, parameters).await?)
    }

    async fn query_opt(&self, text: &str, parameters: Parameters<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.query(text, parameters).await?.into_iter().next())
    }

    async fn read_clock(&self) -> Result<(), StoreError> {
        if let Some(row) = self.query_opt("select now_ms()", &[]).await? {
            self.database_clock.set(time(row.get(0)));
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        match &self.given_clock {
            Some(clock) => clock.now(),
            None => self.database_clock.now(),
        }
    }

    /// What is stored, counted a moment ago.
    async fn count(&self) -> Result<Count, StoreError> {
        let mut count = self.count.lock().await;
        if count.at.is_none_or(|at| at.elapsed() >= self.options.tuning.count_age) {
            let sql = "select count(*), coalesce(sum(bytes), 0)::bigint, count(*) filter (where state < 2),
                coalesce(min(expires_at), 0) from hei.jobs where state < 2 or expires_at > now_ms()";
            let row = self.query_opt(sql, &[]).await?;
            let row = row.ok_or_else(|| StoreError::Unreachable("a count of nothing".to_owned()))?;
            *count = Count {
                at: Some(Instant::now()),
                jobs: row.get(0),
                bytes: row.get(1),
                unfinished: row.get(2),
                first_end: row.get(3),
            };
        }
        Ok(*count)
    }

    /// Takes an accepted job into account before it is counted.
    async fn counted(&self, bytes: i64) {
        let mut count = self.count.lock().await;
        count.jobs += 1;
        count.unfinished += 1;
        count.bytes = count.bytes.saturating_add(bytes);
    }

    /// A job of a row `record, seal`.
    fn job(id: JobId, record: &[u8], seal: &[u8]) -> Result<(Job, Record), StoreError> {
        let damaged = || StoreError::Disk(format!("the record of job {id} is damaged"));
        let record = Record::open(id, record, seal).map_err(|_| damaged())?;
        let job = record.job(id).map_err(|_| damaged())?;
        Ok((job, record))
    }

    /// No longer in this process's hands.
    fn let_go(&self, id: JobId) -> Option<Held> {
        crate::locked(&self.held).remove(&id)
    }
}

/// The name of a job's object.
fn object(id: JobId, attempt: u32, is_result: bool) -> String {
    // A result's name says whose: one that comes late must not write over the one that counts.
    if is_result { format!("{id}.{attempt}.out") } else { format!("{id}.in") }
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.unix_millis()).unwrap_or(i64::MAX)
}

fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or(0))
}

fn octets(bytes: &Option<Bytes>) -> Option<&[u8]> {
    bytes.as_deref()
}

fn failed(job: &mut Job, code: JobErrorCode, at: Timestamp) {
    job.state = super::JobState::Failed;
    job.finished_at.get_or_insert(at);
    job.outcome = Some(Arc::new(Outcome::Failed(code)));
}
