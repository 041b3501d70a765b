//! `GET /models/{model_id}/versions/{version}`: everything a client needs to encrypt for a model.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use hei_protocol::ProblemCode;

use super::answer::{JSON, Refused, document};
use crate::app::App;

pub(super) async fn card(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Ok(Path((model_id, version))) = path else { return Err(ProblemCode::UnknownModel.into()) };
    let model = app.registry().find(&model_id, &version).ok_or(ProblemCode::UnknownModel)?;
    document(&headers, JSON, model.card())
}
