//! Reading a request body: never more than the limit, never slower than the minimum rate, never longer than its time,
//! never more than there is memory for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::app::{BodyShare, NoShare};

/// Octets reserved for a body before its length is known to be real; a shorter one is given what it declares.
const FIRST_CAPACITY: usize = 1 << 20;

/// How bodies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// How many octets must arrive in every [`BodyLimits::rate_window`].
    pub min_bytes_per_window: u64,
    /// The window of the minimum rate.
    pub rate_window: Duration,
    /// How long a body may take in all, however fast it arrives.
    pub deadline: Duration,
    /// The same for an evaluation key, which may have a GiB.
    pub key_deadline: Duration,
    /// How long an answered connection goes on discarding what the client still sends, so that a client that
    /// writes its whole body before it reads anything still reads the answer.
    pub linger: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            min_bytes_per_window: 160 << 10,
            rate_window: Duration::from_secs(10),
            deadline: Duration::from_secs(600),
            key_deadline: Duration::from_secs(3600),
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
    /// It arrives too slowly, or takes too long in all.
    #[error("the body arrives too slowly")]
    TooSlow,
    /// The connection broke, or the framing is invalid.
    #[error("the body ended early")]
    Broken,
}

/// Why [`read`] has no body to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// It was not read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The memory for bodies is used up.
    #[error(transparent)]
    NoShare(#[from] NoShare),
}

/// The length that the request declares; `None` when it is sent in chunks.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body. A declared length above the limit is refused before anything is read, a body without a
/// declared length is cut at the limit; [`Lingering`] takes care of what the client still sends. The share of the
/// memory grows with what arrives: what a client announces costs others nothing.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: BodyLimits,
    max_bytes: u64,
    share: &mut BodyShare,
) -> Result<Bytes, ReadError> {
    match declared_length(headers) {
        Some(length) if length > max_bytes => Err(BodyError::TooLarge { limit: max_bytes }.into()),
        declared => collect(&mut body, declared, limits, max_bytes, share).await,
    }
}

/// Reads the whole body, as [`read`] does, and its SHA-256 while it arrives. It may take as long as a key may.
pub(crate) async fn read_digested(
    headers: &HeaderMap,
    mut body: Body,
    limits: BodyLimits,
    max_bytes: u64,
    share: &mut BodyShare,
) -> Result<(BytesMut, [u8; 32]), ReadError> {
    let declared = declared_length(headers);
    if declared.is_some_and(|length| length > max_bytes) {
        return Err(BodyError::TooLarge { limit: max_bytes }.into());
    }
    let deadline = Instant::now() + limits.key_deadline;
    let mut window = Window::start(limits);
    let mut collected = BytesMut::new();
    let mut digest = Sha256::new();
    loop {
        let frame = match timeout_at(window.end.min(deadline), body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(BodyError::Broken.into()),
            Err(_) if Instant::now() >= deadline => return Err(BodyError::TooSlow.into()),
            Err(_) => {
                window.close()?;
                continue;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let received = (collected.len() as u64).saturating_add(data.len() as u64);
        if received > max_bytes {
            return Err(BodyError::TooLarge { limit: max_bytes }.into());
        }
        window.received = window.received.saturating_add(data.len() as u64);
        let before = Instant::now();
        share.cover(received).await?;
        window.end += before.elapsed();
        let missing = data.len().saturating_sub(collected.capacity() - collected.len());
        if missing > 0 {
            make_room(&mut collected, missing, declared.unwrap_or(max_bytes));
        }
        digest.update(&data);
        collected.extend_from_slice(&data);
        if Instant::now() >= deadline {
            return Err(BodyError::TooSlow.into());
        }
    }
    Ok((collected, digest.finalize().into()))
}

async fn collect(
    body: &mut Body,
    declared: Option<u64>,
    limits: BodyLimits,
    max_bytes: u64,
    share: &mut BodyShare,
) -> Result<Bytes, ReadError> {
    let deadline = Instant::now() + limits.deadline;
    let mut window = Window::start(limits);
    let mut first: Option<Bytes> = None;
    let mut collected = BytesMut::new();
    let mut received: u64 = 0;
    loop {
        let frame = match timeout_at(window.end.min(deadline), body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(BodyError::Broken.into()),
            Err(_) if Instant::now() >= deadline => return Err(BodyError::TooSlow.into()),
            Err(_) => {
                window.close()?;
                continue;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = data.len() as u64;
        received = received.saturating_add(length);
        if received > max_bytes {
            return Err(BodyError::TooLarge { limit: max_bytes }.into());
        }
        window.received = window.received.saturating_add(length);
        let before = Instant::now();
        share.cover(received).await?;
        // The client is not to blame for the time it took to find room.
        window.end += before.elapsed();
        if first.is_none() && declared == Some(length) {
            // The common small request: one frame is the body.
            first = Some(data);
            continue;
        }
        let missing = data.len().saturating_sub(collected.capacity() - collected.len());
        if missing > 0 {
            make_room(&mut collected, missing, declared.unwrap_or(max_bytes));
        }
        collected.extend_from_slice(&data);
        if Instant::now() >= deadline {
            return Err(BodyError::TooSlow.into());
        }
    }
    Ok(first.unwrap_or_else(|| collected.freeze()))
}

/// Makes room for `missing` more octets: first a little, then the length the body can have. What the body may contain is
/// for nobody else: the outgrown buffer is wiped.
fn make_room(collected: &mut BytesMut, missing: usize, whole: u64) {
    let whole = usize::try_from(whole).unwrap_or(usize::MAX);
    let needed = collected.capacity().saturating_add(missing);
    // Once this much is real the rest is reserved in one go: what is not written takes no memory, and nothing is copied
    // again and again while others wait for this thread.
    let room = match collected.capacity() {
        0 => FIRST_CAPACITY,
        _ => whole,
    }
    .min(whole);
    let mut larger = BytesMut::with_capacity(room.max(needed));
    larger.extend_from_slice(collected);
    hei_wire::wipe(collected);
    *collected = larger;
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
