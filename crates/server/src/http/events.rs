//! `GET /jobs/{job_id}/events`: the extension `sse`. One event for each state of a job, and nothing of its result.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hei_protocol::{API_VERSION, JobId};
use hyper::body::{Body as HttpBody, Frame};

use super::answer::{Refused, acceptable, set, whole};
use super::job::{found, job_id, owner};
use crate::app::App;
use crate::id::Tenant;
use crate::store::{Job, JobState, Lookup};

const EVENTS: &str = "text/event-stream";
/// Something is sent at least this often, so that whoever is in between does not give the connection up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) async fn events(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let tenant = owner(&app, &headers)?;
    acceptable(&headers, &[EVENTS])?;
    let id = job_id(id)?;
    let job = found(app.read(&tenant, id).await?)?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    if job.state.is_terminal() && seen.is_some_and(|seen: u8| seen >= rank(job.state)) {
        // To a browser this says not to come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let until = Instant::now() + Duration::from_secs(app.config().limits.max_wait_seconds);
    let watch = Watch { app, tenant, id, seen, shown: Some(job), until };
    let mut response = whole(StatusCode::OK, EVENTS, Bytes::new());
    *response.body_mut() = Body::new(Stream { next: Box::pin(watch.next()) });
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

/// The id of the event that tells a state.
const fn rank(state: JobState) -> u8 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Completed | JobState::Failed => 2,
    }
}

/// A client that watches a job.
struct Watch {
    app: Arc<App>,
    tenant: Tenant,
    id: JobId,
    /// The highest rank that was told.
    seen: Option<u8>,
    /// The job as it was last found.
    shown: Option<Job>,
    /// When the client is to come again; it says then what it has seen.
    until: Instant,
}

impl Watch {
    /// The next part of the stream, and what follows it.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            // Nothing is shown once the last state was told, or when the job is gone: the stream ends.
            let job = self.shown.take()?;
            let state = job.state;
            if self.seen.is_none_or(|seen| seen < rank(state)) {
                self.seen = Some(rank(state));
                if !state.is_terminal() {
                    self.shown = Some(job);
                }
                return Some((self.event(state), self));
            }
            let begun = Instant::now();
            let wait = self.until.saturating_duration_since(begun).min(KEEP_ALIVE);
            if wait.is_zero() {
                return None;
            }
            let Ok(Lookup::Found(job)) = self.app.read_beyond(&self.tenant, self.id, state, wait).await
            else {
                return None;
            };
            if job.state == state && begun.elapsed() < wait {
                // The tenant has as many who wait as it may.
                return None;
            }
            let moved = job.state != state;
            self.shown = Some(job);
            if !moved {
                return Some((Bytes::from_static(b":\n\n"), self));
            }
        }
    }

    fn event(&self, state: JobState) -> Bytes {
        let (rank, id) = (rank(state), self.id);
        let status = match state {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Completed => "completed",
            JobState::Failed => "failed",
        };
        let data = format!(r#"{{"api_version":"{API_VERSION}","job_id":"{id}","status":"{status}"}}"#);
        Bytes::from(format!("id: {rank}\nevent: status\ndata: {data}\n\n"))
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Watch)>> + Send>>;

/// A body that is told as it happens.
struct Stream {
    next: Next,
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.next.as_mut().poll(context).map(|part| {
            let (part, watch) = part?;
            self.next = Box::pin(watch.next());
            Some(Ok(Frame::data(part)))
        })
    }
}
