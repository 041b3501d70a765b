//! A ceiling for HTTP/2 frames that carry nothing: floods of pings, settings, resets, empty data, or header sections
//! without end cost a connection its life, and the others little. Frames are counted as they are read, before the
//! library acts on them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What opens every HTTP/2 connection.
const PREFACE: usize = 24;
const HEAD: usize = 9;
const WINDOW: Duration = Duration::from_secs(1);
/// Frames without a message in one window: a client that opens and cancels as fast as it usefully can stays below.
const MOST_IDLE: u32 = 1000;
/// CONTINUATION frames of one header section; 16 KiB of header fields fit in two.
const MOST_CONTINUATIONS: u32 = 8;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// An HTTP/2 connection whose frames are counted.
pub(crate) struct Counted<S> {
    inner: S,
    counter: Counter,
    /// Until when a header section must be whole; none while none is under way.
    deadline: Option<Pin<Box<Sleep>>>,
    header_timeout: Duration,
}

/// Follows the frames of a stream of octets.
struct Counter {
    /// Octets to pass over: the preface, or what is left of a frame's payload.
    skip: usize,
    head: [u8; HEAD],
    filled: usize,
    window: Instant,
    idle: u32,
    continuations: u32,
    /// Whether a header section is awaited or under way.
    headers: bool,
}

/// Too many frames that carry nothing.
struct Flood;

impl Counter {
    fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            filled: 0,
            window: now + WINDOW,
            idle: 0,
            continuations: 0,
            headers: true,
        }
    }

    fn read(&mut self, mut octets: &[u8], now: Instant) -> Result<(), Flood> {
        while !octets.is_empty() {
            let passed = self.skip.min(octets.len());
            self.skip -= passed;
            octets = octets.get(passed..).unwrap_or_default();
            let wanted = (HEAD - self.filled).min(octets.len());
            if self.skip > 0 || wanted == 0 {
                continue;
            }
            let (taken, rest) = octets.split_at(wanted);
            if let Some(place) = self.head.get_mut(self.filled..self.filled + wanted) {
                place.copy_from_slice(taken);
            }
            self.filled += wanted;
            octets = rest;
            if self.filled == HEAD {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.headers = flags & END_HEADERS == 0;
                }
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.frame(kind, self.skip, now)?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, kind: u8, length: usize, now: Instant) -> Result<(), Flood> {
        if now >= self.window {
            self.window = now + WINDOW;
            self.idle = 0;
        }
        match kind {
            // Every message has one of the two, and every body the other with something in it.
            HEADERS => self.continuations = 0,
            DATA if length > 0 => {}
            // Flow control goes with what the server sends.
            WINDOW_UPDATE => {}
            CONTINUATION => {
                self.continuations += 1;
                if self.continuations > MOST_CONTINUATIONS {
                    return Err(Flood);
                }
            }
            _ => {
                self.idle += 1;
                if self.idle > MOST_IDLE {
                    return Err(Flood);
                }
            }
        }
        Ok(())
    }
}

impl<S> Counted<S> {
    /// Header sections must be whole within the time, the first from now.
    pub(crate) fn new(inner: S, header_timeout: Duration) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep(header_timeout)));
        Self { inner, counter: Counter::new(Instant::now()), deadline, header_timeout }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::other("a header section took too long")));
        }
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let counted = self.counter.read(read, Instant::now());
        let timeout = self.header_timeout;
        match (self.counter.headers, &self.deadline) {
            (true, None) => self.deadline = Some(Box::pin(tokio::time::sleep(timeout))),
            (false, Some(_)) => self.deadline = None,
            (true, Some(_)) | (false, None) => {}
        }
        Poll::Ready(counted.map_err(|Flood| io::Error::other("a flood of frames that carry nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let size = (length as u32).to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + length, 0xaa);
        frame
    }

    /// How many frames of a kind, in pieces of so many octets, are read before the connection ends.
    fn read(kind: u8, length: usize, piece: usize, count: usize) -> bool {
        let now = Instant::now();
        let mut counter = Counter::new(now);
        let mut octets = vec![b'P'; PREFACE];
        for _ in 0..count {
            octets.extend(frame(kind, length));
        }
        octets.chunks(piece).all(|piece| counter.read(piece, now).is_ok())
    }

    #[test]
    fn frames_that_carry_nothing_are_counted_however_they_arrive() {
        for piece in [1, 7, 9, 33, 1 << 20] {
            // PING, SETTINGS, RST_STREAM, PRIORITY, unknown, empty DATA.
            for (kind, length) in [(6, 8), (4, 0), (3, 4), (2, 5), (0xbe, 3), (DATA, 0)] {
                assert!(read(kind, length, piece, MOST_IDLE as usize), "{kind} {piece}");
                assert!(!read(kind, length, piece, MOST_IDLE as usize + 1), "{kind} {piece}");
            }
            for (kind, length) in [(DATA, 1), (HEADERS, 30), (WINDOW_UPDATE, 4)] {
                assert!(read(kind, length, piece, 3000), "{kind} {piece}");
            }
            assert!(read(CONTINUATION, 100, piece, MOST_CONTINUATIONS as usize));
            assert!(!read(CONTINUATION, 100, piece, MOST_CONTINUATIONS as usize + 1));
        }
        let mut counter = Counter::new(Instant::now());
        let later = Instant::now() + 2 * WINDOW;
        for second in 0..5_u32 {
            for _ in 0..MOST_IDLE {
                assert!(counter.frame(6, 8, later + WINDOW * second).is_ok(), "a window is a second");
            }
        }
    }
}
