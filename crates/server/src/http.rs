//! HTTP: one endpoint a file, and what they share.

mod answer;
mod artifacts;
mod body;
mod card;
mod events;
mod exchange;
mod health;
mod infer;
mod job;
mod keys;
mod limit;
mod models;
mod negotiate;
mod plain;
mod ready;
mod result;
mod service;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use hei_protocol::ProblemCode;

use crate::app::App;
use crate::auth::{Credentials, Scope};
use crate::id::Tenant;
use answer::Refused;
pub use body::BodyLimits;
pub(crate) use body::Lingering;

const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");

/// An operation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Health,
    Ready,
    Service,
    Models,
    ModelCard,
    Infer,
    InferPlain,
    Job,
    JobDelete,
    JobEvents,
    JobResult,
    Keys,
    KeyPut,
    KeyGet,
    KeyDelete,
    OpenApi,
    Schema,
}

/// Every route, as `spec/openapi.yaml` has it. `HEAD` goes with every `GET`.
const ROUTES: [(&str, &str, Operation); 17] = [
    ("GET", "/health", Operation::Health),
    ("GET", "/health/ready", Operation::Ready),
    ("GET", "/service", Operation::Service),
    ("GET", "/models", Operation::Models),
    ("GET", "/models/{model_id}/versions/{version}", Operation::ModelCard),
    ("POST", "/infer", Operation::Infer),
    ("POST", "/infer/plain", Operation::InferPlain),
    ("GET", "/jobs/{job_id}", Operation::Job),
    ("DELETE", "/jobs/{job_id}", Operation::JobDelete),
    ("GET", "/jobs/{job_id}/events", Operation::JobEvents),
    ("GET", "/jobs/{job_id}/result", Operation::JobResult),
    ("GET", "/keys", Operation::Keys),
    ("PUT", "/keys/{key_id}", Operation::KeyPut),
    ("GET", "/keys/{key_id}", Operation::KeyGet),
    ("DELETE", "/keys/{key_id}", Operation::KeyDelete),
    ("GET", "/openapi.yaml", Operation::OpenApi),
    ("GET", "/schemas/{name}", Operation::Schema),
];

/// Method and path template of every route.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|(method, path, _)| (*method, *path))
}

/// The handler of an operation.
fn handler(operation: Operation) -> MethodRouter<Arc<App>> {
    match operation {
        Operation::Health => get(health::health),
        Operation::Ready => get(ready::ready),
        Operation::Service => get(service::service),
        Operation::Models => get(models::models),
        Operation::ModelCard => get(card::card),
        Operation::Infer => post(infer::infer),
        Operation::InferPlain => post(plain::plain),
        Operation::Job => get(job::job),
        Operation::JobDelete => delete(job::delete),
        Operation::JobEvents => get(events::events),
        Operation::JobResult => get(result::result),
        Operation::Keys => get(keys::keys),
        Operation::KeyPut => put(keys::put),
        Operation::KeyGet => get(keys::get),
        Operation::KeyDelete => delete(keys::delete),
        Operation::OpenApi => get(artifacts::openapi),
        Operation::Schema => get(artifacts::schema),
    }
}

/// The router: every route, problems for everything else, and what every exchange has in common.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (_, path, operation) in ROUTES {
        router = router.route(path, handler(operation));
    }
    router
        .fallback(|| async { Refused::from(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { Refused::from(ProblemCode::MethodNotAllowed) })
        .layer(from_fn_with_state(Arc::clone(&app), limit::limit))
        .layer(from_fn_with_state(Arc::clone(&app), exchange::exchange))
        .with_state(app)
}

/// Whose request it is, if the sender may do what the scope names.
fn tenant(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Tenant, Refused> {
    Ok(app.auth().tenant(&credentials(headers), scope)?)
}

/// What a request says of its sender.
fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    let all = |name: HeaderName| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    Credentials { authorization: all(AUTHORIZATION), tenant: all(TENANT) }
}

/// The value of a query parameter, as written: every parameter of the protocol is plain ASCII.
fn query<'q>(parameters: Option<&'q str>, name: &str) -> Option<&'q str> {
    parameters?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
