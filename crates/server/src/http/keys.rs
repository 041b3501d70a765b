//! `GET /keys`, and a tenant's own evaluation keys under `/keys/{key_id}`. No member can hold a secret.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use hei_protocol::messages::{KeyAnswer, to_json};
use hei_protocol::{KeyId, LimitName, Problem, ProblemCode, encoding};

use super::answer::{JSON, OCTETS, Refused, acceptable, document, set, whole};
use super::body::{self, BodyError, ReadError};
use super::infer::speaks;
use super::{credentials, tenant};
use crate::app::App;
use crate::auth::Scope;
use crate::id::Tenant;
use crate::keys::KeyRecord;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// `GET /keys`: the parameter sets that clients make keys for, and the caller's own keys.
pub(super) async fn keys(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    let tenant = app.auth().tenant_if_any(&credentials(&headers), Scope::Keys)?;
    let list = app.key_list(tenant.as_ref()).await?;
    let mut response = document(&headers, JSON, &list)?;
    set(&mut response, CACHE_CONTROL, "private, no-cache");
    Ok(response)
}

/// `PUT /keys/{key_id}`: stores a key.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let tenant = tenant(&app, &headers, Scope::Keys)?;
    speaks(&headers)?;
    let id = key_id(id)?;
    acceptable(&headers, &[JSON])?;
    if !is_octets(&headers) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    if let Some(record) = app.key_again(&tenant, id).await? {
        return Ok(about(StatusCode::OK, &record));
    }
    app.check_key_room(&tenant).await?;
    let limit = app.config().limits.max_key_bytes;
    let declared = body::declared_length(&headers);
    if declared.is_some_and(|declared| declared > limit) {
        return Err(Problem::too_large(LimitName::MaxKeyBytes, limit).into());
    }
    let mut share = app.admit_key(&tenant, declared).await?;
    let received = body::read_digested(&headers, body, app.config().body, limit, &mut share).await;
    let (octets, digest) = match received {
        Ok(received) => received,
        Err(ReadError::NoShare(_)) => return Err(app.queue_full().await.into()),
        Err(ReadError::Body(error)) => return Err(unread(error).into()),
    };
    if !says_digest(&headers, &digest) {
        return Err(ProblemCode::KeyDigestMismatch.into());
    }
    let (record, new) = app.store_key(&tenant, id, octets, digest, share).await?;
    let mut response = about(if new { StatusCode::CREATED } else { StatusCode::OK }, &record);
    if new {
        set(&mut response, LOCATION, &format!("/keys/{id}"));
    }
    Ok(response)
}

/// Why a body was not read.
fn unread(error: BodyError) -> Problem {
    match error {
        BodyError::TooLarge { limit } => Problem::too_large(LimitName::MaxKeyBytes, limit),
        BodyError::TooSlow => Problem::new(ProblemCode::RequestTimeout),
        // What arrived is not what was named; nothing of it is kept.
        BodyError::Broken => Problem::new(ProblemCode::KeyDigestMismatch),
    }
}

/// `GET /keys/{key_id}`: what is known about a key, never its octets.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let tenant = owner(&app, &headers)?;
    acceptable(&headers, &[JSON])?;
    let record = app.key(&tenant, key_id(id)?).await?;
    Ok(about(StatusCode::OK, &record))
}

/// `DELETE /keys/{key_id}`: the key is gone; jobs that use it keep it until they end.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let tenant = owner(&app, &headers)?;
    speaks(&headers)?;
    app.delete_key(&tenant, key_id(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose keys are asked for. Nobody's, when the name cannot be a tenant's.
fn owner(app: &App, headers: &HeaderMap) -> Result<Tenant, Refused> {
    tenant(app, headers, Scope::Keys).map_err(|refused| match refused.code() {
        ProblemCode::InvalidSchema => ProblemCode::KeyNotFound.into(),
        _ => refused,
    })
}

/// The id in a path. Whatever is not an id names no key.
fn key_id(path: Result<Path<String>, PathRejection>) -> Result<KeyId, Refused> {
    let Path(text) = path.map_err(|_| ProblemCode::KeyNotFound)?;
    text.parse().map_err(|_| ProblemCode::KeyNotFound.into())
}

fn about(status: StatusCode, record: &KeyRecord) -> Response {
    let mut response = whole(status, JSON, to_json(&KeyAnswer::new(record.message())));
    set(&mut response, CACHE_CONTROL, "private, no-cache");
    response
}

/// Whether the body is octets, without any content coding.
fn is_octets(headers: &HeaderMap) -> bool {
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|value| value.is_empty());
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let media = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    plain && types.next().is_none() && media.trim().eq_ignore_ascii_case(OCTETS)
}

/// Whether `Content-Digest`, if it gives a SHA-256, gives this one.
fn says_digest(headers: &HeaderMap, digest: &[u8; 32]) -> bool {
    let said = headers.get_all(CONTENT_DIGEST).iter().filter_map(|value| value.to_str().ok());
    let own = encoding::to_base64(digest);
    said.flat_map(|value| value.split(','))
        .filter_map(|part| part.trim().strip_prefix("sha-256="))
        .all(|value| value == format!(":{own}:"))
}
