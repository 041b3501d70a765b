//! `POST /infer/plain`: the extension in which the server sees the features. Off unless the operator enables it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use hei_protocol::messages::{BodyFormat, PlainRequest, PlainResponse, to_json};
use hei_protocol::{Problem, ProblemCode};

use super::answer::{JSON, Refused, acceptable, set, whole};
use super::infer::{admit, header_version, receive};
use super::{negotiate, tenant};
use crate::app::App;
use crate::auth::Scope;
use crate::registry::Registry;

pub(super) async fn plain(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let tenant = tenant(&app, &headers, Scope::Plain)?;
    if !app.config().plain_inference {
        return Err(ProblemCode::NotImplemented.into());
    }
    let mut share = admit(&app, &tenant, &headers).await?;
    if negotiate::request_format(&headers) != Some(BodyFormat::Json) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    acceptable(&headers, &[JSON])?;
    let body = receive(&app, &headers, body, &mut share).await?;
    let version = header_version(&headers);
    let registry = app.registry().clone();
    let octets = body.len();
    let answer =
        app.compute(&tenant, octets, move || evaluate(&registry, &body, version.as_deref())).await??;
    let mut response = whole(StatusCode::OK, JSON, to_json(&answer));
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

/// The model's value for one row, from the cleartext twin of its plan.
fn evaluate(registry: &Registry, body: &[u8], version: Option<&str>) -> Result<PlainResponse, Problem> {
    let request = PlainRequest::parse(body, version)?;
    let unknown = || Problem::new(ProblemCode::UnknownModel);
    let model = registry.find(request.model_id.as_str(), &request.version).ok_or_else(unknown)?;
    let offer = model.any_offer().ok_or_else(unknown)?;
    let (expected, actual) = (offer.plan().dimension() as u64, request.inputs.len() as u64);
    if expected != actual {
        return Err(Problem::input_count(expected, actual));
    }
    let values = offer.plan().run_clear(&[&request.inputs]).map_err(|error| {
        tracing::error!(%error, "the cleartext twin refused a row");
        Problem::new(ProblemCode::InternalError)
    })?;
    let outputs = values.into_iter().map(|value| offer.facts().post_processing.apply(value)).collect();
    Ok(PlainResponse::new(request.model_id.as_str(), &request.version, outputs))
}
