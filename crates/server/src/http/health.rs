//! `GET /health`: the process answers. Touches nothing.

use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use hei_protocol::messages::{Health, to_json};

use super::answer::{JSON, set, whole};

pub(super) async fn health() -> Response {
    let mut response = whole(StatusCode::OK, JSON, to_json(&Health::default()));
    set(&mut response, CACHE_CONTROL, "no-store");
    response
}
