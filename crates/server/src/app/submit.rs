//! A submission, from a received body to an accepted job: stages 6 to 14 of the protocol's validation order.
//!
//! The first failing stage decides the answer, and all inputs pass one stage before any enters the next. A job
//! exists exactly when [`App::submit`] returns one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hei_circuit::Inputs;
use hei_protocol::messages::{BodyFormat, InferRequest};
use hei_protocol::problem::{IncompatibleReason, InvalidReason};
use hei_protocol::{Encoding, JobId, KeyId, LimitName, Problem, ProblemCode, Timestamp};
use hei_wire::{DecodeError, Format, Incompatible, Input, InputError, KeyShape, Reason, Shape};
use sha2::{Digest, Sha256};

use super::resume::KeptInput;
use super::{App, BodyShare, whole_seconds};
use crate::clock::later;
use crate::fair;
use crate::id::{IdempotencyKey, InvalidIdempotencyKey, Tenant, random_octets};
use crate::keys::PinnedKey;
use crate::line::Place;
use crate::quota::Policy;
use crate::registry::{Offer, Registry};
use crate::store::{Claim, Fingerprint, JobFacts, Lookup};
use crate::trace::{self, TraceParent};
use crate::worker::Task;

/// Bodies up to this many octets are hashed where they are received; larger ones on the compute pool.
const HASH_INLINE: usize = 64 << 10;

/// What `POST /infer` received.
pub(crate) struct Submission {
    pub(crate) tenant: Tenant,
    pub(crate) format: BodyFormat,
    pub(crate) body: Bytes,
    /// The `Api-Version` request header.
    pub(crate) header_version: Option<String>,
    pub(crate) key: Option<Result<IdempotencyKey, InvalidIdempotencyKey>>,
    /// What the body holds of the memory for bodies; given back with it.
    pub(crate) share: BodyShare,
    /// The undertaking that it is part of.
    pub(crate) trace: Option<TraceParent>,
}

/// A job that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) job_id: JobId,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Whether an earlier request with the same key made it.
    pub(crate) replayed: bool,
}

/// A submission that passed every check on its contents.
struct Valid {
    offer: Arc<Offer>,
    batch: u32,
    inputs: Inputs,
    format: Format,
    encoding: Encoding,
    deadline: Option<Duration>,
    key: Option<PinnedKey>,
    /// What the store keeps, if it does.
    kept: Option<Bytes>,
}

impl App {
    /// Validates a submission and accepts it as a job. Completes even when the caller goes away, so that an
    /// idempotency key is never left half used.
    pub(crate) async fn submit(self: &Arc<Self>, submission: Submission) -> Result<Accepted, Problem> {
        let app = Arc::clone(self);
        let submitting = tokio::spawn(async move { app.submit_now(submission).await });
        submitting.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a submission was lost");
            Err(Problem::new(ProblemCode::InternalError))
        })
    }

    async fn submit_now(self: &Arc<Self>, submission: Submission) -> Result<Accepted, Problem> {
        let Submission { tenant, format, body, header_version, key, share: _share, trace } = submission;
        let taken = match key {
            None => return self.submit_fresh(&tenant, format, body, header_version, None, trace).await,
            Some(Err(InvalidIdempotencyKey)) => Problem::new(ProblemCode::InvalidIdempotencyKey),
            Some(Ok(key)) => {
                let fingerprint = self.fingerprint(&tenant, format, &body, header_version.as_deref()).await?;
                let claim = self.store().claim(&tenant, &key, fingerprint).await;
                match self.stored(claim).await? {
                    Claim::Replay(id) => return self.replay(&tenant, id).await,
                    Claim::Fresh => {
                        let own = Some(key.clone());
                        let accepted =
                            self.submit_fresh(&tenant, format, body, header_version, own, trace).await;
                        if accepted.is_err() {
                            self.store().release(&tenant, &key).await;
                        }
                        return accepted;
                    }
                    Claim::InProgress => Problem::new(ProblemCode::IdempotencyInProgress)
                        .with_retry_after(self.retry_after().await),
                    Claim::Reused => Problem::new(ProblemCode::IdempotencyKeyReused),
                }
            }
        };
        // Syntax, version and schema come before the key.
        let octets = body.len();
        let parse = move || InferRequest::parse(format, &body, header_version.as_deref()).map(drop);
        self.compute(&tenant, octets, parse).await??;
        Err(taken)
    }

    async fn fingerprint(
        &self,
        tenant: &Tenant,
        format: BodyFormat,
        body: &Bytes,
        header_version: Option<&str>,
    ) -> Result<Fingerprint, Problem> {
        let body = body.clone();
        let head = format!("POST /infer\n{}\n{}\n", format.media_type(), header_version.unwrap_or_default());
        let octets = body.len();
        let small = octets <= HASH_INLINE;
        let hash = move || Fingerprint(Sha256::new_with_prefix(head).chain_update(&body).finalize().into());
        if small { Ok(hash()) } else { self.compute(tenant, octets, hash).await }
    }

    async fn replay(&self, tenant: &Tenant, id: JobId) -> Result<Accepted, Problem> {
        match self.read(tenant, id).await? {
            Lookup::Found(job) => Ok(Accepted {
                job_id: id,
                created_at: job.facts.created_at,
                expires_at: job.facts.expires_at,
                replayed: true,
            }),
            Lookup::Expired | Lookup::Missing => Err(Problem::new(ProblemCode::JobExpired)),
        }
    }

    async fn submit_fresh(
        self: &Arc<Self>,
        tenant: &Tenant,
        format: BodyFormat,
        body: Bytes,
        header_version: Option<String>,
        key: Option<IdempotencyKey>,
        trace: Option<TraceParent>,
    ) -> Result<Accepted, Problem> {
        let received = body.len();
        let begun = Instant::now();
        let (app, owner) = (Arc::clone(self), tenant.clone());
        let runtime = tokio::runtime::Handle::current();
        let keep = self.store().keeps_inputs();
        let in_line = self.place_in_the_line()?;
        let checked = self
            .compute(tenant, received, move || {
                let key =
                    |needs: Option<&KeyShape>, named| runtime.block_on(app.key_for(&owner, needs, named));
                let max_inputs = app.config.limits.max_inputs;
                let version = header_version.as_deref();
                let checked = validate(&app.registry, max_inputs, format, &body, version, keep, key);
                if matches!(&checked, Err(problem) if problem.code() == ProblemCode::SecretKeyRejected)
                    && let Ok(mut body) = body.try_into_mut()
                {
                    hei_wire::wipe(&mut body);
                }
                checked
            })
            .await?;
        let took = begun.elapsed();
        self.metrics().validated(took);
        let valid = checked.inspect_err(|problem| {
            if !self.logs_refusal() {
                return;
            }
            tracing::info!(code = problem.code().as_str(), bytes = received, "submission refused");
        })?;
        self.enqueue(tenant, valid, key, received, (took, trace), in_line).await
    }

    /// Stages 13 and 14.
    async fn enqueue(
        &self,
        tenant: &Tenant,
        valid: Valid,
        key: Option<IdempotencyKey>,
        received: usize,
        (validated, trace): (Duration, Option<TraceParent>),
        in_line: Place,
    ) -> Result<Accepted, Problem> {
        let cost = valid.offer.predicted_micros(rows(valid.batch));
        self.quotas.take(tenant, Policy::Cpu, cost).map_err(|exceeded| {
            Problem::new(ProblemCode::RateLimited)
                .with_violated_policies(vec![exceeded.policy.as_str()])
                .with_retry_after(whole_seconds(exceeded.retry_after))
        })?;
        let place = self.queue_place().await?;
        let share = self.admit_inputs(valid.offer.input_bytes(rows(valid.batch))).await?;
        let octets = random_octets().map_err(|error| {
            tracing::error!(%error, "no randomness for a job id");
            Problem::new(ProblemCode::InternalError)
        })?;
        let job_id = JobId::from_bytes(octets);
        let created_at = self.config.clock.now();
        let expires_at = later(created_at, Duration::from_secs(self.config.limits.job_ttl_seconds));
        let model = valid.offer.name();
        let facts = JobFacts {
            id: job_id,
            tenant: tenant.clone(),
            model_id: model.model_id.clone(),
            version: model.version.clone(),
            params_id: valid.offer.facts().parameters.params_id.as_str().into(),
            batch_size: valid.batch,
            evaluation_key_id: valid.key.as_ref().map(|key| key.id),
            encoding: valid.encoding,
            created_at,
            expires_at,
            deadline_at: valid.deadline.map(|wait| later(created_at, wait)),
            max_result_bytes: valid.offer.max_result_bytes(rows(valid.batch)),
        };
        let begun = Instant::now();
        let stored = self.store().accept(facts, key, valid.kept).await;
        let lease = self.stored(stored).await?;
        let accepted = Instant::now();
        self.metrics().stored("accept", accepted - begun);
        self.workshop.stages.record(job_id, |stages| stages.validate = Some(validated));
        tracing::info!(
            job = %job_id, model = model.model_id.as_str(), version = model.version.as_str(),
            layout = valid.offer.facts().layout.as_str(), batch = valid.batch, bytes = received,
            trace = trace::shown(trace.as_ref()), "job accepted"
        );
        if let Some(lease) = lease {
            place.send(
                tenant.clone(),
                Task {
                    tenant: tenant.clone(),
                    lease,
                    batch: rows(valid.batch),
                    inputs: valid.inputs,
                    format: valid.format,
                    deadline: valid.deadline.and_then(|wait| Instant::now().checked_add(wait)),
                    offer: valid.offer,
                    key: valid.key,
                    share,
                    slot: None,
                    in_line: Some(in_line),
                    accepted,
                    trace,
                },
            );
        }
        if let Some(wait) = valid.deadline {
            self.workshop.fail_after(wait, job_id);
        }
        Ok(Accepted { job_id, created_at, expires_at, replayed: false })
    }

    /// A place in the workers' queue.
    async fn queue_place(&self) -> Result<fair::Place<Task>, Problem> {
        let sender = crate::locked(&self.queue).clone();
        let Some(sender) = sender else {
            let seconds = whole_seconds(self.config.connections.drain);
            return Err(Problem::new(ProblemCode::NotReady).with_retry_after(seconds));
        };
        match sender.try_reserve_owned() {
            Ok(place) => Ok(place),
            Err(_) => Err(self.queue_full().await),
        }
    }
}

/// Stages 6 to 12, on the compute pool.
fn validate(
    registry: &Registry,
    max_inputs: u64,
    format: BodyFormat,
    body: &[u8],
    header_version: Option<&str>,
    keep: bool,
    key: impl FnOnce(Option<&KeyShape>, Option<KeyId>) -> Result<Option<PinnedKey>, Problem>,
) -> Result<Valid, Problem> {
    let request = InferRequest::parse(format, body, header_version)?;
    if let Some(index) = super::strays::secret_key(&request.inputs) {
        return Err(Problem::new(ProblemCode::SecretKeyRejected).at_input(index));
    }
    let (offer, shape) = choose(registry, max_inputs, &request)?;
    let key = key(offer.keys(), request.evaluation_key_id)?;
    let batch = request.batch_size;
    let encoding = request.reply_encoding();
    let deadline = request.deadline_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let mut payloads = Vec::with_capacity(request.inputs.len());
    for (index, input) in request.inputs.into_iter().enumerate() {
        let octets = input.decode().map_err(|error| Problem::invalid_encoding(index, error))?;
        payloads.push(octets.into_owned());
    }
    let mut kept = keep.then(|| KeptInput::write(offer.facts().layout.as_str(), deadline, &payloads));
    let (format, inputs) = hei_wire::decode_inputs(payloads, &shape).map_err(|refused| {
        // It may be a secret.
        kept.iter_mut().for_each(|kept| hei_wire::wipe(kept));
        refusal(refused)
    })?;
    let inputs = assemble(inputs).ok_or_else(|| {
        tracing::error!("decoded inputs are not of the layout they were decoded for");
        Problem::new(ProblemCode::InternalError)
    })?;
    Ok(Valid { offer, batch, inputs, format, encoding, deadline, key, kept: kept.map(Bytes::from) })
}

/// Stage 10, but for the evaluation key: model, batch, layout, count, payload length. Nothing is decoded for it.
fn choose(
    registry: &Registry,
    max_inputs: u64,
    request: &InferRequest<'_>,
) -> Result<(Arc<Offer>, Shape), Problem> {
    let unknown = || Problem::new(ProblemCode::UnknownModel);
    let model = registry.find(request.model_id.as_str(), &request.version).ok_or_else(unknown)?;
    let batch = request.batch_size;
    if batch > model.max_batch_size {
        return Err(Problem::batch_too_large(u64::from(model.max_batch_size)));
    }
    let offer = match request.layout.as_deref() {
        None => model.default_offer().ok_or_else(|| Problem::invalid_field("/layout", "missing"))?,
        Some(name) => model.offer(name).ok_or_else(|| Problem::invalid_field("/layout", "unknown_layout"))?,
    };
    if batch > offer.max_batch() {
        return Err(Problem::batch_too_large(u64::from(offer.max_batch())));
    }
    let (expected, actual) = (offer.ciphertexts() as u64, request.inputs.len() as u64);
    if actual > max_inputs {
        return Err(Problem::too_large(LimitName::MaxInputs, max_inputs));
    }
    if actual != expected {
        return Err(Problem::input_count(expected, actual));
    }
    let shape = offer.input_shape(rows(batch));
    let shape = shape.ok_or_else(|| Problem::batch_too_large(u64::from(offer.max_batch())))?;
    let longest = offer.max_input_bytes(&shape);
    if let Some(index) = request.inputs.iter().position(|input| input.exceeds(longest)) {
        return Err(Problem::new(ProblemCode::PayloadTooLarge).at_input(index));
    }
    Ok((offer, shape))
}

pub(super) fn rows(batch: u32) -> usize {
    usize::try_from(batch).unwrap_or(usize::MAX)
}

/// The decoded inputs as the plan takes them.
pub(super) fn assemble(inputs: Vec<Input>) -> Option<Inputs> {
    let mut ciphertexts = Vec::with_capacity(inputs.len());
    let only = inputs.len() == 1;
    for input in inputs {
        match input {
            Input::Slots(ciphertext) => ciphertexts.push(ciphertext),
            Input::Coefficients(ciphertext) if only => return Some(Inputs::Coefficients(ciphertext)),
            Input::Coefficients(_) => return None,
        }
    }
    Some(Inputs::Slots(ciphertexts))
}

/// How a refused ciphertext is answered: its code, its reason, its index.
fn refusal(refused: InputError) -> Problem {
    let InputError { index, error } = refused;
    match error {
        DecodeError::SecretKey => Problem::new(ProblemCode::SecretKeyRejected).at_input(index),
        DecodeError::Policy(_) => {
            let problem = Problem::new(ProblemCode::CryptoPolicyViolation).at_input(index);
            match error.reason() {
                Some(reason) => problem.because(reason),
                None => problem,
            }
        }
        DecodeError::Invalid(reason) => Problem::invalid_ciphertext(
            index,
            match reason {
                Reason::BadMagic => InvalidReason::BadMagic,
                Reason::BadVersion => InvalidReason::BadVersion,
                Reason::WrongKind => InvalidReason::WrongKind,
                Reason::LengthMismatch => InvalidReason::LengthMismatch,
                Reason::Truncated => InvalidReason::Truncated,
                Reason::TrailingBytes => InvalidReason::TrailingBytes,
                Reason::CoefficientOutOfRange => InvalidReason::CoefficientOutOfRange,
                Reason::BadScale => InvalidReason::BadScale,
                Reason::NonCanonical => InvalidReason::NonCanonical,
            },
        ),
        DecodeError::Incompatible(reason) => Problem::incompatible_ciphertext(
            index,
            match reason {
                Incompatible::Params => IncompatibleReason::Params,
                Incompatible::Level => IncompatibleReason::Level,
                Incompatible::Scale => IncompatibleReason::Scale,
                Incompatible::PolynomialCount => IncompatibleReason::PolynomialCount,
                Incompatible::Form => IncompatibleReason::Form,
            },
        ),
    }
}
