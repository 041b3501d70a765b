//! `GET /keys`: the parameter sets that clients make keys for. No member can hold a secret.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::{JSON, Refused, document};
use crate::app::App;

pub(super) async fn keys(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    document(&headers, JSON, app.registry().keys())
}
