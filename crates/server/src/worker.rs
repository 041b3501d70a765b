//! Workers: each takes an accepted job, has the compute pool evaluate it, and records how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hei_circuit::{CircuitError, Inputs, Output};
use hei_protocol::{JobErrorCode, JobId};
use hei_wire::Format;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use crate::cancel::{Cancellations, Stop};
use crate::compute::{Compute, Lane};
use crate::fair;
use crate::id::Tenant;
use crate::keys::PinnedKey;
use crate::line::Place;
use crate::metrics::Metrics;
use crate::registry::Offer;
use crate::store::{Lease, Outcome, Store, StoreError};
use crate::timing::RecentStages;
use crate::trace::{self, TraceParent};

/// How long to wait for room on a full disk.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// An accepted job with everything its evaluation needs.
pub(crate) struct Task {
    /// Whose it is.
    pub(crate) tenant: Tenant,
    pub(crate) lease: Lease,
    pub(crate) offer: Arc<Offer>,
    pub(crate) batch: usize,
    pub(crate) inputs: Inputs,
    pub(crate) format: Format,
    /// The evaluation key, pinned until the job is terminal.
    pub(crate) key: Option<PinnedKey>,
    /// When the caller no longer wants the result.
    pub(crate) deadline: Option<Instant>,
    /// The share of the memory for waiting inputs; given back when they are gone.
    pub(crate) share: OwnedSemaphorePermit,
    /// The place among the jobs that this process takes; free again when the job has ended here.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
    /// Its place in line; left when the job is terminal.
    pub(crate) in_line: Option<Place>,
    /// When it took its place in the queue.
    pub(crate) accepted: Instant,
    /// The undertaking that it is part of.
    pub(crate) trace: Option<TraceParent>,
}

/// How long evaluations take: an exponentially weighted mean, for honest `Retry-After` values.
#[derive(Debug, Default)]
pub(crate) struct ServiceTime(AtomicU64);

impl ServiceTime {
    /// Takes one measurement into account.
    fn record(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = self.0.load(Ordering::Relaxed);
        let next = if mean == 0 { took } else { mean - mean / 8 + took / 8 };
        self.0.store(next.max(1), Ordering::Relaxed);
    }

    /// The mean; a guess of 10 ms before the first measurement.
    pub(crate) fn mean(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::from_millis(10),
            micros => Duration::from_micros(micros),
        }
    }
}

/// What the workers share.
pub(crate) struct Workshop {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) compute: Arc<Compute>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stages: RecentStages,
    pub(crate) service_time: ServiceTime,
    pub(crate) cancellations: Arc<Cancellations>,
    pub(crate) max_run: Duration,
}

/// One worker's life: until the queue is closed and empty.
pub(crate) async fn work(workshop: Arc<Workshop>, queue: Arc<fair::Receiver<Task>>) {
    loop {
        let Some(mut task) = queue.recv().await else { return };
        let (lease, deadline, owner) = (task.lease, task.deadline, task.tenant.clone());
        let held = (task.slot.take(), task.in_line.take());
        let running = Arc::clone(&workshop);
        workshop.perform(owner, lease, deadline, move |limit| run(&running, task, limit)).await;
        drop(held);
    }
}

/// When an evaluation must end.
pub(crate) struct Limit {
    deadline: Instant,
    stop: Stop,
}

impl Limit {
    /// Whether it is over: the time is up, or nobody can read the result any more.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_raised() || Instant::now() >= self.deadline
    }
}

impl Workshop {
    /// Fails a job that is still not terminal after this time, wherever it is: one that waits behind a long queue does
    /// not wait for a worker to hear that it is too late. There are no more of these than unfinished jobs with a
    /// deadline, which are bounded, and each is gone at its deadline.
    pub(crate) fn fail_after(&self, wait: Duration, id: JobId) {
        let store = Arc::downgrade(&self.store);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let Some(store) = store.upgrade() else { return };
            match store.fail(id, JobErrorCode::JobDeadlineExceeded).await {
                Ok(()) => tracing::warn!(job = %id, "job failed at its deadline"),
                // It ended in time, or was deleted.
                Err(StoreError::NotMonotone { .. } | StoreError::UnknownJob(_)) => {}
                Err(error) => tracing::error!(job = %id, %error, "the outcome could not be recorded"),
            }
        });
    }

    /// Takes a job from queued to terminal, whatever its evaluation does.
    pub(crate) async fn perform(
        &self,
        owner: Tenant,
        lease: Lease,
        deadline: Option<Instant>,
        evaluation: impl FnOnce(&Limit) -> Result<Bytes, JobErrorCode> + Send + 'static,
    ) {
        let id = lease.id;
        let evaluating = self.cancellations.enter(id);
        let stop = evaluating.stop();
        let outcome = match self.evaluate(owner, lease, deadline, stop.clone(), evaluation).await {
            Ok(result) => Outcome::Completed { digest: Sha256::digest(&result).into(), result },
            Err(_) if stop.is_raised() => {
                tracing::info!(job = %id, "the job was deleted, or is in other hands");
                return;
            }
            Err(code) => {
                tracing::warn!(job = %id, code = code.as_str(), "job failed");
                Outcome::Failed(code)
            }
        };
        let completed = matches!(outcome, Outcome::Completed { .. });
        let begun = Instant::now();
        let mut finished = self.store.finish(lease, outcome.clone()).await;
        self.metrics.stored("finish", begun.elapsed());
        while matches!(finished, Err(StoreError::DiskLow | StoreError::Unreachable(_))) {
            // The work is done, the job is still ours: room may be made for the result, the database may come back.
            tokio::time::sleep(ROOM_PAUSE).await;
            finished = self.store.finish(lease, outcome.clone()).await;
        }
        if let Err(StoreError::Disk(_)) = finished {
            finished = self.store.finish(lease, Outcome::Failed(JobErrorCode::InternalError)).await;
        }
        match finished {
            Ok(()) => self.metrics.finished(completed),
            Err(StoreError::UnknownJob(_)) => tracing::info!(job = %id, "the job was deleted"),
            Err(StoreError::NotMonotone { .. }) => {
                tracing::info!(job = %id, "the job had ended at its deadline");
            }
            Err(StoreError::NotHeld(_)) => tracing::warn!(job = %id, "the job is in other hands by now"),
            Err(error) => tracing::error!(job = %id, %error, "the outcome could not be recorded"),
        }
    }

    async fn evaluate(
        &self,
        owner: Tenant,
        lease: Lease,
        deadline: Option<Instant>,
        stop: Stop,
        evaluation: impl FnOnce(&Limit) -> Result<Bytes, JobErrorCode> + Send + 'static,
    ) -> Result<Bytes, JobErrorCode> {
        let _running = self.metrics.running();
        let (id, started) = (lease.id, Instant::now());
        if deadline.is_some_and(|deadline| started >= deadline) {
            return Err(JobErrorCode::JobDeadlineExceeded);
        }
        self.store.start(lease).await.map_err(|error| {
            if !matches!(error, StoreError::UnknownJob(_)) {
                tracing::error!(job = %id, %error, "the job could not be started");
            }
            JobErrorCode::InternalError
        })?;
        self.metrics.stored("start", started.elapsed());
        let max_run = self.max_run;
        // Time in line is no time of the evaluation's.
        let evaluated = self.compute.run_for(Lane::Evaluate, Some(owner), move || {
            let begun = Instant::now();
            let limit = begun + max_run;
            let limit = Limit { deadline: deadline.map_or(limit, |deadline| deadline.min(limit)), stop };
            (evaluation(&limit), begun.elapsed())
        });
        let evaluated = evaluated.await.map(|(result, took)| {
            self.service_time.record(took);
            result
        });
        let took = started.elapsed();
        // A panic is contained in the pool; the lane cannot be full, for there are no more workers than places.
        let result = evaluated.unwrap_or_else(|error| {
            tracing::error!(job = %id, %error, "the evaluation was lost");
            Err(JobErrorCode::InternalError)
        })?;
        tracing::info!(job = %id, bytes = result.len(), micros = took.as_micros(), "job completed");
        Ok(result)
    }
}

/// Evaluates the plan and writes the result in the format of the inputs.
fn run(workshop: &Workshop, task: Task, limit: &Limit) -> Result<Bytes, JobErrorCode> {
    let begun = Instant::now();
    if let Some(Err(error)) = task.key.as_ref().map(PinnedKey::octets) {
        tracing::error!(job = %task.lease.id, %error, "the evaluation key is lost");
        return Err(JobErrorCode::InternalError);
    }
    let cancelled = || limit.is_over();
    let plan = task.offer.plan();
    let output = plan.run(task.inputs, task.batch, &cancelled).map_err(|error| match error {
        CircuitError::Cancelled => JobErrorCode::JobDeadlineExceeded,
        error => {
            tracing::error!(job = %task.lease.id, %error, "the plan could not be evaluated");
            JobErrorCode::EvaluationFailed
        }
    })?;
    let evaluated = Instant::now();
    drop(task.share);
    let context = plan.parameters().context();
    let encoded = match (&output, task.format) {
        (Output::Slots(ciphertext), Format::Hei) => {
            hei_wire::hei::encode_ciphertext_full(ciphertext, context)
        }
        (Output::Slots(ciphertext), Format::Seal) => hei_wire::seal::encode_ciphertext(ciphertext, context),
        (Output::Coefficients(reply), _) => hei_wire::hei::encode_reply(reply, context),
        _ => {
            tracing::error!(job = %task.lease.id, "the plan's output has no container");
            return Err(JobErrorCode::InternalError);
        }
    };
    let encoded = encoded.map(Bytes::from).map_err(|error| {
        tracing::error!(job = %task.lease.id, %error, "the result could not be written");
        JobErrorCode::InternalError
    })?;
    let (queue, eval, encode) = (begun - task.accepted, evaluated - begun, evaluated.elapsed());
    workshop.metrics.evaluated(&task.offer, task.batch, queue, eval, encode);
    workshop.stages.record(task.lease.id, |stages| {
        (stages.queue, stages.eval, stages.encode) = (Some(queue), Some(eval), Some(encode));
    });
    tracing::info!(
        job = %task.lease.id, trace = trace::shown(task.trace.as_ref()), queue_micros = queue.as_micros(),
        eval_micros = eval.as_micros(), encode_micros = encode.as_micros(), "job evaluated"
    );
    Ok(encoded)
}
