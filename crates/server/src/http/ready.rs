//! `GET /health/ready`: the registry is frozen, new work is taken, and there is room for it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hei_protocol::messages::{Ready, to_json};
use hei_protocol::{Problem, ProblemCode};

use super::answer::{JSON, Refused, acceptable, set, whole};
use crate::app::App;

pub(super) async fn ready(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    acceptable(&headers, &[JSON])?;
    if !app.is_ready() {
        let seconds = app.config().connections.drain.as_secs();
        return Err(Problem::new(ProblemCode::NotReady).with_retry_after(seconds).into());
    }
    app.check_capacity().await?;
    let models = app.registry().len() as u64;
    let mut response = whole(StatusCode::OK, JSON, to_json(&Ready::new(models)));
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}
