//! `GET /health`: the process answers. Touches nothing.

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hei_protocol::messages::{Health, to_json};

use super::answer::{JSON, Refused, acceptable, set, whole};

pub(super) async fn health(headers: HeaderMap) -> Result<Response, Refused> {
    acceptable(&headers, &[JSON])?;
    let mut response = whole(StatusCode::OK, JSON, to_json(&Health::default()));
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}
