//! `GET /models`: the closed shape that strict clients validate, or everything with `?view=all`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use hei_protocol::Problem;

use super::answer::{JSON, Refused, document, set};
use super::query;
use crate::app::App;

pub(super) async fn models(
    State(app): State<Arc<App>>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let all = match query(parameters.as_deref(), "view") {
        None => false,
        Some("all") => true,
        Some(_) => return Err(Problem::invalid_field("/view", "enum").into()),
    };
    let list = if all { app.registry().list() } else { app.registry().published() };
    let mut response = document(&headers, JSON, list)?;
    if !all && response.status() == StatusCode::OK {
        set(&mut response, LINK, "</models?view=all>; rel=\"alternate\"; type=\"application/json\"");
    }
    Ok(response)
}
