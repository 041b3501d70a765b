//! What every exchange has in common: limits on the header section, a request id, the protocol version, problem
//! documents, one line in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hei_protocol::problem::PROBLEM_MEDIA_TYPE;
use hei_protocol::version::{self, API_VERSION_HEADER};
use hei_protocol::{API_VERSION, Problem, ProblemCode, RequestId};

use super::ROUTES;
use super::answer::{Refused, set};
use crate::app::App;
use crate::auth::is_loopback_host;
use crate::id::random_octets;
use crate::sampling::admits_refusal_audit;
use crate::trace::{self, TraceParent};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_VERSION_NAME: HeaderName = HeaderName::from_static(API_VERSION_HEADER);
/// Octets that a field takes beyond its name and value: `": "` and the line end.
const FIELD_OVERHEAD: usize = 4;

/// The outermost layer.
pub(super) async fn exchange(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map(|path| template(path.as_str()));
    let trace = TraceParent::of(request.headers());
    let connections = &app.config().connections;
    let fits = request.headers().len() <= connections.max_header_fields
        && header_octets(request.headers()) <= connections.max_header_bytes;
    let mut response = if !fits {
        Refused::from(ProblemCode::HeadersTooLarge).into_response()
    } else if app.auth().is_development() && !is_addressed_to_loopback(&request) {
        if admits_refusal_audit() {
            tracing::warn!(target: "audit", "a request was addressed to a name that is not loopback");
        }
        Refused::from(Problem::new(ProblemCode::Forbidden).because("host")).into_response()
    } else if path.is_some() && asks_for_another_version(&request) {
        Refused::from(ProblemCode::UnsupportedApiVersion).into_response()
    } else {
        next.run(request).await
    };
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        write_problem(&mut response, problem, &id);
    }
    set(&mut response, REQUEST_ID, &id.to_string());
    set(&mut response, API_VERSION_NAME, API_VERSION);
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    let (method, status, took) = (known(&method), response.status().as_u16(), started.elapsed());
    let code = problem.as_ref().map(|problem| problem.code().as_str());
    let bytes = hyper::body::Body::size_hint(response.body()).exact();
    app.metrics().exchanged(method, path.unwrap_or("other"), status, took, bytes);
    if let Some(code) = code {
        app.metrics().rejected(code);
    }
    if code.is_none() || app.logs_refusal() {
        tracing::info!(
            request = %id,
            method,
            path = path.unwrap_or("-"),
            status,
            code = code.unwrap_or("-"),
            micros = took.as_micros(),
            trace = trace::shown(trace.as_ref()),
            "exchange"
        );
    }
    response
}

/// Whether `Host`, where it is given, is a loopback name. Without authentication that is all that tells a program on
/// this machine from a web page that had its name resolve to loopback.
fn is_addressed_to_loopback(request: &Request) -> bool {
    // HTTP/2 has it in the target.
    let authority = request.uri().authority().is_none_or(|name| is_loopback_host(name.as_str().as_bytes()));
    authority && request.headers().get_all(HOST).iter().all(|host| is_loopback_host(host.as_bytes()))
}

/// The route's template, as the list of routes has it.
fn template(path: &str) -> &'static str {
    ROUTES.iter().map(|(_, route, _)| *route).find(|route| *route == path).unwrap_or("other")
}

/// Whether a read asks for a version that is not spoken. A submission is asked later, in its place among the stages.
fn asks_for_another_version(request: &Request) -> bool {
    let asked = request.headers().get(API_VERSION_NAME);
    let reads = request.method().is_safe();
    asked.is_some_and(|asked| reads && asked.to_str().map_or(true, |text| version::check(text).is_err()))
}

/// The method's name; one that is not ours is not repeated.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "-",
    }
}

/// A fresh request id; should the operating system have no randomness, one that is at least not repeated.
fn request_id() -> RequestId {
    static SPARE: AtomicU64 = AtomicU64::new(0);
    RequestId::from_bytes(random_octets().unwrap_or_else(|error| {
        tracing::error!(%error, "no randomness for a request id");
        u128::from(SPARE.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }))
}

fn header_octets(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum()
}

fn write_problem(response: &mut Response, problem: &Problem, id: &RequestId) {
    *response.body_mut() = Body::from(problem.to_json(id));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if problem.code() == ProblemCode::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}
