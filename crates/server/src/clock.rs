//! Time as the server sees it: one source, injected, that never runs backwards.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::fmt::temporal::DateTimePrinter;

/// A moment in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// This moment plus a duration; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::fmt::Display for Moment {
    /// RFC 3339 in UTC with milliseconds: `2026-01-01T00:00:00.000Z`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        let timestamp = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        formatter.write_str(&PRINTER.timestamp_to_string(&timestamp))
    }
}

/// Where the server reads the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment; never earlier than one returned before.
    fn now(&self) -> Moment;
}

/// The machine's wall clock at start-up, advanced by its monotonic clock: a later jump of the wall clock expires
/// nothing early and keeps nothing alive.
#[derive(Debug)]
pub struct SystemClock {
    wall_at_start: Moment,
    start: Instant,
}

impl SystemClock {
    /// Anchors the clock at the present wall time.
    #[must_use]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_at_start: Moment(0).plus(wall), start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        self.wall_at_start.plus(self.start.elapsed())
    }
}

/// A clock that moves only when told to, so that expiry can be observed without waiting.
#[derive(Debug)]
pub struct ManualClock(Mutex<Moment>);

impl ManualClock {
    /// A clock standing still at `now`.
    #[must_use]
    pub const fn at(now: Moment) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let mut now = crate::locked(&self.0);
        *now = now.plus(duration);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *crate::locked(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_rfc_3339_with_milliseconds() {
        assert_eq!(Moment::from_unix_millis(1_767_225_600_000).to_string(), "2026-01-01T00:00:00.000Z");
        assert_eq!(Moment::from_unix_millis(1_767_225_600_042).to_string(), "2026-01-01T00:00:00.042Z");
        assert!(Moment::from_unix_millis(u64::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn moments_saturate_instead_of_wrapping() {
        let end = Moment::from_unix_millis(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Moment::from_unix_millis(1).since(end), Duration::ZERO);
    }
}
