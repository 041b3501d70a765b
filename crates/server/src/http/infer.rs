//! `POST /infer`: stages 1 to 5 of the validation order here, the others in [`crate::app`]; then the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LOCATION, ETAG, HeaderName, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use hei_protocol::messages::{BodyFormat, CBOR_MEDIA_TYPE, InferAccepted, JSON_MEDIA_TYPE};
use hei_protocol::version::{self, API_VERSION_HEADER};
use hei_protocol::{LimitName, Problem, ProblemCode};

use super::answer::{Refused, acceptable, set, whole};
use super::body::{self, BodyError, ReadError};
use super::negotiate;
use super::{job, tenant};
use crate::app::{Accepted, App, BodyShare, Submission};
use crate::auth::Scope;
use crate::id::{IdempotencyKey, InvalidIdempotencyKey, Tenant};
use crate::store::{JobState, Lookup};
use crate::trace::TraceParent;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) async fn infer(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let tenant = tenant(&app, &headers, Scope::Infer)?;
    app.check_room(&tenant).await?;
    let mut share = admit(&app, &tenant, &headers).await?;
    let format = negotiate::request_format(&headers).ok_or(ProblemCode::UnsupportedMediaType)?;
    let offers = match format {
        BodyFormat::Json => [JSON_MEDIA_TYPE, CBOR_MEDIA_TYPE],
        BodyFormat::Cbor => [CBOR_MEDIA_TYPE, JSON_MEDIA_TYPE],
    };
    let media = acceptable(&headers, &offers)?;
    let wait = negotiate::preferred_wait(&headers).map(|wait| wait.min(app.config().limits.max_wait_seconds));
    let submission = Submission {
        tenant: tenant.clone(),
        format,
        body: receive(&app, &headers, body, &mut share).await?,
        header_version: header_version(&headers),
        key: idempotency_key(&headers),
        share,
        trace: TraceParent::of(&headers),
    };
    let accepted = app.submit(submission).await?;
    let mut response = match wait {
        None => accepted_answer(&app, media, &accepted).await,
        Some(wait) => {
            let wait_for = Duration::from_secs(wait);
            let found = app.read_beyond(&tenant, accepted.job_id, JobState::Running, wait_for).await?;
            let mut response = match found {
                Lookup::Found(found) if found.state.is_terminal() => {
                    // Conditions are for reads: this answer is the whole job, whatever the client has.
                    let unconditional = HeaderMap::new();
                    let mut response = job::represent(&app, &unconditional, media, &found, false).await;
                    response.headers_mut().remove(ETAG);
                    set(&mut response, CONTENT_LOCATION, &format!("/jobs/{}", accepted.job_id));
                    response
                }
                _ => accepted_answer(&app, media, &accepted).await,
            };
            set(&mut response, PREFERENCE_APPLIED, &format!("wait={wait}"));
            response
        }
    };
    set(&mut response, LOCATION, &format!("/jobs/{}", accepted.job_id));
    if accepted.replayed {
        set(&mut response, IDEMPOTENCY_REPLAYED, "?1");
    }
    Ok(response)
}

/// 202: the job exists and will run.
async fn accepted_answer(app: &App, media: &'static str, accepted: &Accepted) -> Response {
    let delay = app.expected_delay().await;
    let message = InferAccepted {
        job_id: accepted.job_id,
        created_at: accepted.created_at,
        expires_at: accepted.expires_at,
        poll_after_ms: job::poll_after_ms(delay),
    };
    let body = if media == CBOR_MEDIA_TYPE { message.to_cbor() } else { message.to_json() };
    let mut response = whole(StatusCode::ACCEPTED, media, body);
    set(&mut response, RETRY_AFTER, &app.retry_after().await.to_string());
    response
}

/// The first step of a share of the memory for bodies.
pub(super) async fn admit(app: &App, tenant: &Tenant, headers: &HeaderMap) -> Result<BodyShare, Refused> {
    Ok(app.admit_body(tenant, body::declared_length(headers)).await?)
}

/// The body, within the limits; its share grows with it.
pub(super) async fn receive(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    share: &mut BodyShare,
) -> Result<Bytes, Refused> {
    let limits = app.config().body;
    let max_bytes = app.config().limits.max_request_bytes;
    let refused = match body::read(headers, body, limits, max_bytes, share).await {
        Ok(body) => {
            app.metrics().received(body.len());
            return Ok(body);
        }
        Err(ReadError::NoShare(_)) => app.queue_full().await,
        Err(ReadError::Body(error)) => match error {
            BodyError::TooLarge { limit } => Problem::too_large(LimitName::MaxRequestBytes, limit),
            BodyError::TooSlow => Problem::new(ProblemCode::RequestTimeout),
            BodyError::Broken => Problem::new(ProblemCode::MalformedBody),
        },
    };
    Err(refused.into())
}

/// The `Api-Version` request header. One that is not text is no version either.
pub(super) fn header_version(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(API_VERSION_HEADER)?;
    Some(value.to_str().unwrap_or("?").to_owned())
}

/// Whether the version a bodiless request asks for is spoken.
pub(super) fn speaks(headers: &HeaderMap) -> Result<(), Refused> {
    let spoken = header_version(headers).is_none_or(|version| version::check(&version).is_ok());
    if spoken { Ok(()) } else { Err(ProblemCode::UnsupportedApiVersion.into()) }
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Option<Result<IdempotencyKey, InvalidIdempotencyKey>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let first = values.next()?;
    Some(match values.next() {
        None => IdempotencyKey::parse(first.as_bytes()),
        Some(_) => Err(InvalidIdempotencyKey),
    })
}
