//! What the server does, without HTTP: it takes submissions, keeps jobs, and answers about them.

mod budget;
mod keys;
mod resume;
mod strays;
mod submit;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use hei_protocol::messages::{Extension, ServerName, Service, to_json};
use hei_protocol::{JobId, LimitName, Problem, ProblemCode};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use budget::Budget;
pub(crate) use budget::{BodyShare, NoShare};
pub(crate) use submit::{Accepted, Submission};

use crate::auth::Auth;
use crate::backend::Backend;
use crate::compute::{Compute, ComputeError, Lane};
use crate::config::ServerConfig;
use crate::fair;
use crate::id::{IdempotencyKey, Tenant};
use crate::keys::KeyStore;
use crate::line::{Line, Place};
use crate::metrics::{Metrics, Reading};
use crate::quota::Quotas;
use crate::registry::{Document, Registry};
use crate::sampling::Sampler;
use crate::serve::StartError;
use crate::store::{JobState, Lookup, NoRoom, Store, StoreError};
use crate::timing::RecentStages;
use crate::worker::{self, ServiceTime, Task, Workshop};

/// When a look at a full disk is worth it again.
const DISK_RETRY_SECONDS: u64 = 30;
/// Bodies longer than this are validated on threads of their own.
const BULK: usize = 4 << 20;
/// When a question to a store that does not answer is worth it again.
const UNREACHABLE_RETRY_SECONDS: u64 = 5;
/// The unit in which octets are budgeted.
const BUDGET_UNIT: u64 = 1024;

/// A budget of so many octets.
fn budget(octets: u64) -> Arc<Semaphore> {
    let units = usize::try_from(octets / BUDGET_UNIT).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
}

/// The units that so many octets take.
fn units(octets: u64) -> u32 {
    u32::try_from(octets.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX)
}

/// The running server, without its connections.
pub(crate) struct App {
    config: ServerConfig,
    registry: Registry,
    workshop: Arc<Workshop>,
    queue: StdMutex<Option<fair::Sender<Task>>>,
    workers: Mutex<JoinSet<()>>,
    auth: Auth,
    quotas: Quotas,
    keys: Arc<dyn KeyStore>,
    key_budget: Budget,
    body_budget: Budget,
    input_budget: Arc<Semaphore>,
    waiters: StdMutex<HashMap<Tenant, u32>>,
    draining: AtomicBool,
    /// Told when no more work is taken.
    stopping: Notify,
    service: Document,
    worker_count: usize,
    line: Arc<Line>,
    /// For what takes long to validate: threads of their own that give way to the others.
    bulk: Compute,
    refusals: Sampler,
}

impl App {
    /// Starts the compute threads and the workers. Must be called within a tokio runtime.
    pub(crate) fn start(
        mut config: ServerConfig,
        registry: Registry,
        backend: Backend,
    ) -> Result<Arc<Self>, StartError> {
        let Backend { store, keys, clock, cancellations, workers } = backend;
        config.clock = clock;
        let auth = Auth::start(&config.auth, Arc::clone(&config.clock))?;
        let quotas = Quotas::new(&config.quotas, !auth.is_development(), Arc::clone(&config.clock));
        let limits = &config.limits;
        let seconds = Duration::from_secs;
        let extensions: &[Extension] = if config.plain_inference {
            &[Extension::PlainInference, Extension::Sse]
        } else {
            &[Extension::Sse]
        };
        let server = ServerName { name: "hei".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let service = Document::new(to_json(&Service::new(limits.clone(), extensions, Some(server))));
        let threads = match config.compute_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let workers_wanted = config.workers.unwrap_or_else(|| workers(threads));
        // Every worker has a place in its lane.
        let places = config.capacity.queued_jobs.max(workers_wanted);
        let compute = Arc::new(Compute::start(threads, places).map_err(StartError::Threads)?);
        let offers = registry.offers().map(AsRef::as_ref);
        let metrics = Metrics::new(offers, hei_ring::kernel::name(), config.connections.max_connections);
        let workshop = Arc::new(Workshop {
            metrics: Arc::new(metrics),
            stages: RecentStages::default(),
            store,
            compute,
            service_time: ServiceTime::default(),
            cancellations,
            max_run: seconds(limits.max_run_seconds),
        });
        let (sender, receiver) = fair::queue(config.capacity.queued_jobs);
        let receiver = Arc::new(receiver);
        let mut workers = JoinSet::new();
        for _ in 0..workers_wanted {
            workers.spawn(worker::work(Arc::clone(&workshop), Arc::clone(&receiver)));
        }
        let key_budget = Budget::new(budget(config.capacity.stored_key_bytes));
        let body_budget = Budget::new(budget(config.capacity.buffered_body_bytes));
        let input_budget = budget(config.capacity.queued_input_bytes);
        let line = Arc::new(Line::new(config.capacity.max_queue_wait));
        let bulk = Compute::start_yielding(threads.div_ceil(2), places).map_err(StartError::Threads)?;
        let app = Arc::new(Self {
            line,
            bulk,
            config,
            registry,
            workshop,
            queue: StdMutex::new(Some(sender)),
            workers: Mutex::new(workers),
            auth,
            quotas,
            keys,
            key_budget,
            body_budget,
            input_budget,
            waiters: StdMutex::default(),
            draining: AtomicBool::new(false),
            stopping: Notify::new(),
            service,
            worker_count: workers_wanted,
            refusals: Sampler::new(),
        });
        if workers_wanted > 0 {
            tokio::spawn(Arc::clone(&app).take_jobs(workers_wanted));
        }
        Ok(app)
    }

    /// The operator's choices.
    pub(crate) const fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// How callers are told apart.
    pub(crate) const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// What each tenant has left.
    pub(crate) const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Whether a job was made under this key.
    pub(crate) async fn remembers(&self, tenant: &Tenant, key: &IdempotencyKey) -> bool {
        self.store().remembers(tenant, key).await
    }

    /// The frozen models.
    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// `GET /service`.
    pub(crate) const fn service(&self) -> &Document {
        &self.service
    }

    /// What is counted and timed.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.workshop.metrics
    }

    /// How long the stages of a recent job took.
    pub(crate) fn stages(&self, id: JobId) -> Option<crate::timing::Stages> {
        self.workshop.stages.of(id)
    }

    /// Whether a line about a refused request may be logged.
    pub(crate) fn logs_refusal(&self) -> bool {
        self.refusals.admits()
    }

    /// All series, as text.
    pub(crate) async fn series(&self) -> String {
        let (compute, capacity) = (&self.workshop.compute, &self.config.capacity);
        let in_use = |budget: &Semaphore, all: u64| {
            let free = (budget.available_permits() as u64).saturating_mul(BUDGET_UNIT);
            (all.saturating_sub(free), all)
        };
        let queued = crate::locked(&self.queue).as_ref().map_or(0, |q| q.max_capacity() - q.capacity());
        self.metrics().encode(&Reading {
            ready: self.is_ready() && self.check_capacity().await.is_ok(),
            queued: queued as u64,
            line: self.line.now(),
            unfinished: self.unfinished().await,
            workers: self.worker_count,
            threads: compute.threads(),
            busy: compute.busy(),
            waiting: [Lane::Validate, Lane::Evaluate].map(|lane| (lane, compute.waiting(lane))),
            bodies: in_use(self.body_budget.all(), capacity.buffered_body_bytes),
            inputs: in_use(&self.input_budget, capacity.queued_input_bytes),
            keys: in_use(self.key_budget.all(), capacity.stored_key_bytes),
        })
    }

    fn store(&self) -> &dyn Store {
        self.workshop.store.as_ref()
    }

    /// Whether new work is taken.
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && self.store().takes_jobs()
    }

    /// Takes no new work from now on; what was accepted is finished.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.stopping.notify_waiters();
        crate::locked(&self.queue).take();
    }

    /// Returns once every accepted job is terminal; to be called after [`Self::drain`].
    pub(crate) async fn drained(&self) {
        let mut workers = self.workers.lock().await;
        while workers.join_next().await.is_some() {}
    }

    /// Gives up what is still held; the last call.
    pub(crate) async fn close(&self) {
        self.store().close().await;
    }

    /// Jobs that are queued or running.
    pub(crate) async fn unfinished(&self) -> u64 {
        self.store().unfinished().await
    }

    /// How long a job that is submitted now is expected to take, from the measured service time.
    pub(crate) async fn expected_delay(&self) -> Duration {
        let ahead = u32::try_from(self.unfinished().await).unwrap_or(u32::MAX);
        let threads = u32::try_from(self.workshop.compute.threads()).unwrap_or(1).max(1);
        self.workshop.service_time.mean().saturating_mul(ahead.div_ceil(threads).max(1))
    }

    /// [`Self::expected_delay`] in whole seconds, at least 1: the value of `Retry-After`.
    pub(crate) async fn retry_after(&self) -> u64 {
        whole_seconds(self.expected_delay().await)
    }

    /// The first step of a body's share of the memory; the share grows as the body arrives.
    pub(crate) async fn admit_body(
        &self,
        tenant: &Tenant,
        declared: Option<u64>,
    ) -> Result<BodyShare, Problem> {
        let budget = self.body_budget.of(tenant);
        match BodyShare::first(budget, declared, self.config.capacity.admission_wait).await {
            Ok(share) => Ok(share),
            Err(NoShare) => Err(self.queue_full().await),
        }
    }

    /// A share of the memory for inputs that wait for a worker.
    async fn admit_inputs(&self, octets: u64) -> Result<OwnedSemaphorePermit, Problem> {
        match Arc::clone(&self.input_budget).try_acquire_many_owned(units(octets)) {
            Ok(share) => Ok(share),
            Err(_) => Err(self.queue_full().await),
        }
    }

    pub(crate) async fn queue_full(&self) -> Problem {
        Problem::new(ProblemCode::QueueFull).with_retry_after(self.retry_after().await)
    }

    /// A place in line for a received submission.
    pub(crate) fn place_in_the_line(&self) -> Result<Place, Problem> {
        self.line.enter().map_err(line_too_long)
    }

    /// Whether a job of this tenant would be accepted now.
    pub(crate) async fn check_room(&self, tenant: &Tenant) -> Result<(), Problem> {
        if !self.is_ready() {
            let seconds = whole_seconds(self.config.connections.drain);
            return Err(Problem::new(ProblemCode::NotReady).with_retry_after(seconds));
        }
        self.line.check().map_err(line_too_long)?;
        let room = self.store().room(tenant).await;
        self.stored(room).await
    }

    /// Whether the queue and the store have room for a job of anybody's.
    pub(crate) async fn check_capacity(&self) -> Result<(), Problem> {
        let queue = crate::locked(&self.queue).as_ref().map_or(0, fair::Sender::capacity);
        if queue == 0 {
            return Err(Problem::new(ProblemCode::NotReady).with_retry_after(self.retry_after().await));
        }
        let Ok(anybody) = Tenant::from_header(None) else { return Ok(()) };
        match self.store().room(&anybody).await {
            // One tenant's share says nothing about the others'.
            Ok(()) | Err(StoreError::NoRoom(NoRoom::Tenant { .. } | NoRoom::Share { .. })) => Ok(()),
            Err(StoreError::NoRoom(NoRoom::Full { retry_after })) => {
                Err(Problem::new(ProblemCode::NotReady).with_retry_after(whole_seconds(retry_after)))
            }
            Err(error) => {
                tracing::error!(%error, "the store does not say whether it has room");
                Err(Problem::new(ProblemCode::NotReady).with_retry_after(self.retry_after().await))
            }
        }
    }

    /// The job as it stands.
    pub(crate) async fn read(&self, tenant: &Tenant, id: JobId) -> Result<Lookup, Problem> {
        let found = self.store().read(tenant, id).await;
        self.stored(found).await
    }

    /// Forgets a job; its evaluation, if there is one, is told to stop.
    pub(crate) async fn delete(&self, tenant: &Tenant, id: JobId) -> Result<Lookup, Problem> {
        let deleted = self.store().delete(tenant, id).await;
        let deleted = self.stored(deleted).await?;
        if matches!(deleted, Lookup::Found(_)) {
            self.workshop.cancellations.cancel(id);
            tracing::info!(target: "audit", job = %id, "job deleted");
        }
        Ok(deleted)
    }

    /// The job once its state is beyond `seen`, or as it stands when `wait` is over. A tenant with too many
    /// waiters is answered at once.
    pub(crate) async fn read_beyond(
        &self,
        tenant: &Tenant,
        id: JobId,
        seen: JobState,
        wait: Duration,
    ) -> Result<Lookup, Problem> {
        if wait.is_zero() {
            return self.read(tenant, id).await;
        }
        let Some(_waiter) = Waiter::enter(self, tenant) else { return self.read(tenant, id).await };
        match tokio::time::timeout(wait, self.store().read_beyond(tenant, id, seen)).await {
            Ok(found) => self.stored(found).await,
            Err(_) => self.read(tenant, id).await,
        }
    }

    /// Runs CPU-bound work for a request of so many octets on the compute pool; tenants take turns.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        octets: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        // What takes long gives way: a flood of long bodies costs the others little.
        let compute = if octets > BULK { &self.bulk } else { &self.workshop.compute };
        match compute.run_for(Lane::Validate, Some(tenant.clone()), work).await {
            Ok(value) => Ok(value),
            Err(error) => {
                tracing::error!(%error, "work for a request did not finish");
                Err(match error {
                    ComputeError::Panicked => Problem::new(ProblemCode::InternalError),
                    ComputeError::LaneFull { .. } | ComputeError::ShuttingDown => self.queue_full().await,
                })
            }
        }
    }

    /// A store's value, or how its refusal is answered.
    async fn stored<T>(&self, result: Result<T, StoreError>) -> Result<T, Problem> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        Err(match error {
            StoreError::NoRoom(NoRoom::Tenant { .. }) => {
                let (name, limit) =
                    (LimitName::MaxActiveJobsPerTenant, self.config.limits.max_active_jobs_per_tenant);
                Problem::new(ProblemCode::RateLimited)
                    .with_limit(name, limit)
                    .with_violated_policies(vec!["active-jobs"])
                    .with_retry_after(self.retry_after().await)
            }
            StoreError::NoRoom(NoRoom::Share { retry_after }) => Problem::new(ProblemCode::RateLimited)
                .with_violated_policies(vec!["stored-jobs"])
                .with_retry_after(whole_seconds(retry_after)),
            StoreError::NoRoom(NoRoom::Full { retry_after }) => {
                Problem::new(ProblemCode::QueueFull).with_retry_after(whole_seconds(retry_after))
            }
            StoreError::ClaimLost => {
                Problem::new(ProblemCode::IdempotencyInProgress).with_retry_after(self.retry_after().await)
            }
            StoreError::Unreachable(_) => {
                tracing::error!(%error, "the store does not answer");
                Problem::new(ProblemCode::NotReady).with_retry_after(UNREACHABLE_RETRY_SECONDS)
            }
            StoreError::KeyGone => Problem::new(ProblemCode::EvaluationKeyNotFound),
            StoreError::DiskLow => Problem::new(ProblemCode::NotReady).with_retry_after(DISK_RETRY_SECONDS),
            StoreError::NotMonotone { .. }
            | StoreError::UnknownJob(_)
            | StoreError::NotHeld(_)
            | StoreError::Disk(_)
            | StoreError::Stopped => {
                tracing::error!(%error, "the store refused");
                Problem::new(ProblemCode::InternalError)
            }
        })
    }
}

/// The answer where a submission would wait too long.
fn line_too_long(expected: Duration) -> Problem {
    Problem::new(ProblemCode::QueueFull).with_retry_after(whole_seconds(expected))
}

/// Whole seconds, rounded up, at least 1.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// One client waiting for a job; counted while it lives.
struct Waiter<'a> {
    app: &'a App,
    tenant: &'a Tenant,
}

impl<'a> Waiter<'a> {
    fn enter(app: &'a App, tenant: &'a Tenant) -> Option<Self> {
        let mut waiters = crate::locked(&app.waiters);
        let count = waiters.entry(tenant.clone()).or_insert(0);
        if *count >= app.config.capacity.waiters_per_tenant {
            return None;
        }
        *count += 1;
        Some(Self { app, tenant })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = crate::locked(&self.app.waiters);
        if let Some(count) = waiters.get_mut(self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiters.remove(self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests;
