//! `GET /jobs/{job_id}/result`: the result's octets, whole or one range of them.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hei_protocol::{Problem, ProblemCode, encoding};

use super::answer::{OCTETS, Refused, acceptable, not_modified, set, whole};
use super::job::{found, job_id, owner};
use super::negotiate::{self, ByteRange};
use crate::app::App;
use crate::store::Outcome;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

pub(super) async fn result(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let tenant = owner(&app, &headers)?;
    acceptable(&headers, &[OCTETS])?;
    let id = job_id(id)?;
    let job = found(app.read(&tenant, id).await?)?;
    let (result, digest) = match job.outcome.as_deref() {
        Some(Outcome::Completed { result, digest }) => (result, digest),
        Some(Outcome::Kept { .. }) => {
            tracing::error!(job = %id, "a result was shown without its octets");
            return Err(ProblemCode::InternalError.into());
        }
        Some(Outcome::Failed(_)) => return Err(ProblemCode::JobFailed.into()),
        None => {
            let seconds = app.retry_after().await;
            return Err(Problem::new(ProblemCode::JobNotCompleted).with_retry_after(seconds).into());
        }
    };
    let etag = format!("\"{}\"", encoding::to_hex(digest));
    let mut response = if negotiate::none_match(&headers, &etag) {
        not_modified()
    } else {
        let same = headers.get(IF_RANGE).is_none_or(|condition| condition.as_bytes() == etag.as_bytes());
        let range = headers.get(RANGE).filter(|_| same);
        match range.map_or(ByteRange::Whole, |range| negotiate::byte_range(range, result.len())) {
            ByteRange::Part(range) => {
                let content = format!("bytes {}-{}/{}", range.start(), range.end(), result.len());
                let mut response = whole(StatusCode::PARTIAL_CONTENT, OCTETS, result.slice(range));
                set(&mut response, CONTENT_RANGE, &content);
                response
            }
            ByteRange::Unsatisfiable => {
                let mut response = Refused::from(ProblemCode::RangeNotSatisfiable).into_response();
                set(&mut response, CONTENT_RANGE, &format!("bytes */{}", result.len()));
                return Ok(response);
            }
            ByteRange::Whole => whole(StatusCode::OK, OCTETS, result.clone()),
        }
    };
    set(&mut response, ETAG, &etag);
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CACHE_CONTROL, "private, immutable");
    set(&mut response, REPR_DIGEST, &format!("sha-256=:{}:", encoding::to_base64(digest)));
    Ok(response)
}
