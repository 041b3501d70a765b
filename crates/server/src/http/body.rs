//! Reading a request body: never more than the limit, never slower than the minimum rate, never copied twice.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// How bodies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// How many octets must arrive in every [`BodyLimits::rate_window`].
    pub min_bytes_per_window: u64,
    /// The window of the minimum rate.
    pub rate_window: Duration,
    /// How long an answered connection goes on discarding what the client still sends, so that a client that
    /// writes its whole body before it reads anything still reads the answer.
    pub linger: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            min_bytes_per_window: 160 << 10,
            rate_window: Duration::from_secs(10),
            linger: Duration::from_secs(2),
        }
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It has, or says it has, more octets than allowed.
    #[error("the body exceeds {limit} octets")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It arrives too slowly.
    #[error("the body arrives below the minimum rate")]
    TooSlow,
    /// The connection broke, or the framing is invalid.
    #[error("the body ended early")]
    Broken,
}

/// The length that the request declares; `None` when it is sent in chunks.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body. A declared length above the limit is refused before anything is read, a body without a
/// declared length is cut at the limit; [`Lingering`] takes care of what the client still sends.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: BodyLimits,
    max_bytes: u64,
) -> Result<Bytes, BodyError> {
    match declared_length(headers) {
        Some(length) if length > max_bytes => Err(BodyError::TooLarge { limit: max_bytes }),
        declared => collect(&mut body, declared, limits, max_bytes).await,
    }
}

async fn collect(
    body: &mut Body,
    declared: Option<u64>,
    limits: BodyLimits,
    max_bytes: u64,
) -> Result<Bytes, BodyError> {
    let mut window = Window::start(limits);
    let mut first: Option<Bytes> = None;
    let mut collected = BytesMut::new();
    let mut received: u64 = 0;
    loop {
        let frame = match timeout_at(window.end, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Err(_) => {
                window.close()?;
                continue;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = data.len() as u64;
        received = received.saturating_add(length);
        if received > max_bytes {
            return Err(BodyError::TooLarge { limit: max_bytes });
        }
        window.received = window.received.saturating_add(length);
        if first.is_none() && declared == Some(length) {
            // The common small request: one frame is the body.
            first = Some(data);
            continue;
        }
        if collected.capacity() == 0 {
            // Checked against the limit before; a lying client is given what it declared, once.
            let capacity = usize::try_from(declared.unwrap_or(length)).unwrap_or(0);
            collected.reserve(capacity);
        }
        collected.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| collected.freeze()))
}

/// One window of the minimum rate.
struct Window {
    end: Instant,
    received: u64,
    limits: BodyLimits,
}

impl Window {
    fn start(limits: BodyLimits) -> Self {
        Self { end: Instant::now() + limits.rate_window, received: 0, limits }
    }

    /// Ends the window and starts the next.
    fn close(&mut self) -> Result<(), BodyError> {
        if self.received < self.limits.min_bytes_per_window {
            return Err(BodyError::TooSlow);
        }
        *self = Self::start(self.limits);
        Ok(())
    }
}

/// A request body that, dropped before its end, goes on being read and discarded for a while: the answer is on its
/// way, and a connection closed over unread octets would be reset before a client that writes first could read it.
/// A client that waits for `100 Continue` sends nothing after a refusal, so there is nothing to wait for.
pub(crate) struct Lingering {
    body: Option<Incoming>,
    linger: Duration,
}

impl Lingering {
    /// Wraps the body of a request with these headers.
    pub(crate) fn new(headers: &HeaderMap, body: Incoming, linger: Duration) -> Self {
        let linger = if headers.contains_key(EXPECT) { Duration::ZERO } else { linger };
        Self { body: Some(body), linger }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream() && !self.linger.is_zero());
        if let (Some(mut body), Ok(runtime)) = (unread, Handle::try_current()) {
            let linger = self.linger;
            runtime.spawn(async move {
                let drained = async { while let Some(Ok(_)) = body.frame().await {} };
                drop(tokio::time::timeout(linger, drained).await);
            });
        }
    }
}
