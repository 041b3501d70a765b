//! `GET /service`: limits, extensions, formats.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::{JSON, Refused, document};
use crate::app::App;

pub(super) async fn service(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    document(&headers, JSON, app.service())
}
