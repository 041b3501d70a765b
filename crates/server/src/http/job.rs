//! `GET /jobs/{job_id}`: the job as it stands, or once it moves on.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hei_protocol::messages::{
    CBOR_MEDIA_TYPE, Diagnostics, JSON_MEDIA_TYPE, Job as JobMessage, JobError, JobResult,
    JobState as Standing, PayloadReference, ResultPayload,
};
use hei_protocol::{JobId, Problem, ProblemCode, encoding};

use super::answer::{Refused, acceptable, not_modified, set, whole};
use super::{negotiate, query, tenant};
use crate::app::App;
use crate::auth::Scope;
use crate::id::Tenant;
use crate::store::{Job, JobState, Lookup, Outcome};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// A poll is worth it after at least and at most this long.
const POLL_AFTER_MS: (u64, u64) = (5, 1000);

pub(super) async fn job(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let tenant = owner(&app, &headers)?;
    let media = acceptable(&headers, &[JSON_MEDIA_TYPE, CBOR_MEDIA_TYPE])?;
    let id = job_id(id)?;
    let parameters = parameters.as_deref();
    let by_reference = match query(parameters, "result") {
        None => false,
        Some("reference") => true,
        Some(_) => return Err(Problem::invalid_field("/result", "enum").into()),
    };
    let asked = match query(parameters, "wait") {
        None => negotiate::preferred_wait(&headers),
        Some(text) => {
            let seconds = negotiate::seconds(text);
            Some(seconds.ok_or_else(|| Problem::invalid_field("/wait", "type"))?)
        }
    };
    let wait = asked.map(|wait| wait.min(app.config().limits.max_wait_seconds));
    let wait_for = Duration::from_secs(wait.unwrap_or(0));

    let mut found = found(app.read(&tenant, id).await?)?;
    if !found.state.is_terminal() && !wait_for.is_zero() {
        // A client that names the representation it has wants the next one, a client that names none the last. One
        // that names another is answered at once.
        let conditional = headers.contains_key(IF_NONE_MATCH);
        let unchanged = conditional && negotiate::none_match(&headers, &etag(&found, media, by_reference));
        if unchanged || !conditional {
            let seen = if unchanged { found.state } else { JobState::Running };
            found = self::found(app.read_beyond(&tenant, id, seen, wait_for).await?)?;
        }
    }
    let mut response = represent(&app, &headers, media, &found, by_reference).await;
    if let Some(wait) = wait.filter(|_| response.status() == StatusCode::OK) {
        set(&mut response, PREFERENCE_APPLIED, &format!("wait={wait}"));
    }
    Ok(response)
}

/// `DELETE /jobs/{job_id}`: the job is gone, whatever it was doing.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let tenant = owner(&app, &headers)?;
    super::infer::speaks(&headers)?;
    let id = job_id(id)?;
    found(app.delete(&tenant, id).await?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose jobs are asked for. Nobody's, when the name cannot be a tenant's.
pub(super) fn owner(app: &App, headers: &HeaderMap) -> Result<Tenant, Refused> {
    tenant(app, headers, Scope::Infer).map_err(|refused| match refused.code() {
        ProblemCode::InvalidSchema => ProblemCode::JobNotFound.into(),
        _ => refused,
    })
}

/// The id in a path. Whatever is not an id names no job.
pub(super) fn job_id(path: Result<Path<String>, PathRejection>) -> Result<JobId, Refused> {
    let Path(text) = path.map_err(|_| ProblemCode::JobNotFound)?;
    text.parse().map_err(|_| ProblemCode::JobNotFound.into())
}

/// The job that was looked up.
pub(super) fn found(lookup: Lookup) -> Result<Job, Refused> {
    match lookup {
        Lookup::Found(job) => Ok(job),
        Lookup::Expired => Err(ProblemCode::JobExpired.into()),
        Lookup::Missing => Err(ProblemCode::JobNotFound.into()),
    }
}

/// When another look is worth it.
pub(super) fn poll_after_ms(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).clamp(POLL_AFTER_MS.0, POLL_AFTER_MS.1)
}

/// The answer that shows a job: 200, or 304 for a client that has this representation. The body of a terminal job
/// is a function of what the store keeps immutable, so it is the same octets for ever.
pub(super) async fn represent(
    app: &App,
    headers: &HeaderMap,
    media: &'static str,
    job: &Job,
    by_reference: bool,
) -> Response {
    let etag = etag(job, media, by_reference);
    let delay = app.expected_delay().await;
    let mut response = if negotiate::none_match(headers, &etag) {
        not_modified()
    } else {
        match message(job, poll_after_ms(delay), by_reference) {
            Some(message) if media == CBOR_MEDIA_TYPE => whole(StatusCode::OK, media, message.to_cbor()),
            Some(message) => whole(StatusCode::OK, media, message.to_json(job.facts.encoding)),
            None => {
                tracing::error!(job = %job.facts.id, "a stored job contradicts itself");
                return axum::response::IntoResponse::into_response(Refused::from(
                    ProblemCode::InternalError,
                ));
            }
        }
    };
    set(&mut response, ETAG, &etag);
    set(&mut response, VARY, "accept");
    if job.state.is_terminal() {
        set(&mut response, CACHE_CONTROL, "private, immutable");
        if response.status() == StatusCode::OK
            && let Some(stages) = app.stages(job.facts.id)
        {
            set(&mut response, SERVER_TIMING, &stages.header());
        }
    } else {
        set(&mut response, CACHE_CONTROL, "private, no-cache");
        set(&mut response, RETRY_AFTER, &app.retry_after().await.to_string());
    }
    response
}

/// Strong for a terminal job, whose octets never change; weak before, for the polling hint varies.
fn etag(job: &Job, media: &str, by_reference: bool) -> String {
    let form = match (media == CBOR_MEDIA_TYPE, by_reference) {
        (true, false) => "c",
        (true, true) => "cr",
        (false, false) => "j",
        (false, true) => "jr",
    };
    let rank = match job.state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Completed | JobState::Failed => 2,
    };
    let weak = if job.state.is_terminal() { "" } else { "W/" };
    format!("{weak}\"{}-{rank}{form}\"", job.facts.id)
}

/// The message about a job; `None` when its record contradicts itself.
fn message(job: &Job, poll_after_ms: u64, by_reference: bool) -> Option<JobMessage> {
    let facts = job.facts.as_ref();
    let state = match (job.state, job.outcome.as_deref()) {
        (JobState::Queued, None) => Standing::Queued { poll_after_ms },
        (JobState::Running, None) => Standing::Running { started_at: job.started_at?, poll_after_ms },
        (JobState::Completed, Some(Outcome::Completed { result, digest })) => Standing::Completed {
            started_at: job.started_at?,
            finished_at: job.finished_at?,
            result: Box::new(JobResult {
                model_id: facts.model_id.clone(),
                version: facts.version.clone(),
                params_id: facts.params_id.to_string(),
                evaluation_key_id: facts.evaluation_key_id,
                diagnostics: Diagnostics::whole(u64::from(facts.batch_size)),
                payload: if by_reference {
                    ResultPayload::Reference(PayloadReference {
                        href: format!("/jobs/{}/result", facts.id),
                        size: result.len() as u64,
                        digest: encoding::to_hex(digest),
                    })
                } else {
                    ResultPayload::Inline(result.to_vec())
                },
            }),
        },
        (JobState::Failed, Some(Outcome::Failed(code))) => Standing::Failed {
            started_at: job.started_at,
            finished_at: job.finished_at?,
            error: JobError::from(*code),
        },
        _ => return None,
    };
    Some(JobMessage {
        job_id: facts.id,
        model_id: facts.model_id.clone(),
        version: facts.version.clone(),
        created_at: facts.created_at,
        expires_at: facts.expires_at,
        state,
    })
}
