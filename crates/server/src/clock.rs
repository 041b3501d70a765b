//! Time as the server sees it: one source, injected, that never runs backwards.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hei_protocol::Timestamp;

/// `time` plus a duration.
#[must_use]
pub fn later(time: Timestamp, duration: Duration) -> Timestamp {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(millis))
}

/// How long from `earlier` to `time`; zero when `earlier` is the later one.
#[must_use]
pub fn elapsed(earlier: Timestamp, time: Timestamp) -> Duration {
    Duration::from_millis(time.unix_millis().saturating_sub(earlier.unix_millis()))
}

/// Where the server reads the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment; never earlier than one returned before.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock at start-up, advanced by its monotonic clock: a later jump of the wall clock expires
/// nothing early and keeps nothing alive.
#[derive(Debug)]
pub struct SystemClock {
    wall_at_start: Timestamp,
    start: Instant,
}

impl SystemClock {
    /// Anchors the clock at the present wall time.
    #[must_use]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_at_start: later(Timestamp::from_unix_millis(0), wall), start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        later(self.wall_at_start, self.start.elapsed())
    }
}

/// A clock that moves only when told to, so that expiry can be observed without waiting.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock standing still at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let mut now = crate::locked(&self.0);
        *now = later(*now, duration);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *crate::locked(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_saturate_instead_of_wrapping() {
        let end = Timestamp::from_unix_millis(u64::MAX);
        assert_eq!(later(end, Duration::MAX), end);
        assert_eq!(elapsed(end, Timestamp::from_unix_millis(1)), Duration::ZERO);
    }
}
