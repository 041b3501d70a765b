//! Answers: documents with entity tags, and refusals.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hei_protocol::{Problem, ProblemCode};

use super::negotiate;
use crate::registry::Document;

pub(super) const JSON: &str = "application/json";
pub(super) const OCTETS: &str = "application/octet-stream";

/// A refusal on its way out. The problem document is written by [`super::exchange`], which knows the request id.
#[derive(Debug)]
pub(super) struct Refused(Problem);

impl Refused {
    /// Its code.
    pub(super) fn code(&self) -> ProblemCode {
        self.0.code()
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ProblemCode> for Refused {
    fn from(code: ProblemCode) -> Self {
        Self(Problem::new(code))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self.0);
        response
    }
}

/// An answer with a body of this media type.
pub(super) fn whole(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// 304: what the client has is still so.
pub(super) fn not_modified() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// A document that never changes while the server runs: 200, or 304 for a client that has it.
pub(super) fn document(
    headers: &HeaderMap,
    media: &'static str,
    document: &Document,
) -> Result<Response, Refused> {
    acceptable(headers, &[media])?;
    let mut response = if negotiate::none_match(headers, &document.etag) {
        not_modified()
    } else {
        whole(StatusCode::OK, media, document.body.clone())
    };
    set(&mut response, ETAG, &document.etag);
    set(&mut response, CACHE_CONTROL, "public, max-age=60");
    set(&mut response, VARY, "accept");
    Ok(response)
}

/// The offered media type the client likes best.
pub(super) fn acceptable(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Refused> {
    negotiate::best(headers, offers).ok_or_else(|| ProblemCode::NotAcceptable.into())
}

/// Sets a header whose value this program made. One that no header can carry is left out.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(response.headers_mut().insert(name, value)),
        Err(_) => tracing::error!(%name, "a header value of ours is not one"),
    }
}
