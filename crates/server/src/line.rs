//! Everything that was received and is not finished: how long the next one would wait, and whether it may stand in line.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So few in line are no line: they are what it takes to keep threads and disk busy.
const ALWAYS: usize = 16;
/// The share of one measurement in the mean.
const WEIGHT: f64 = 1.0 / 32.0;

/// The line of one server.
pub(crate) struct Line {
    state: Mutex<State>,
    max_wait: Duration,
}

struct State {
    length: usize,
    /// When the last one left, or the first of a busy period came.
    last: Instant,
    /// Seconds between departures while there is a line.
    gap: f64,
}

impl State {
    fn expected(&self) -> Duration {
        Duration::try_from_secs_f64(self.length as f64 * self.gap).unwrap_or(Duration::MAX)
    }

    fn is_too_long(&self, max_wait: Duration) -> bool {
        self.length >= ALWAYS && self.expected() > max_wait
    }
}

/// A place in line, left when dropped.
pub(crate) struct Place(Arc<Line>);

impl Line {
    pub(crate) fn new(max_wait: Duration) -> Self {
        Self { state: Mutex::new(State { length: 0, last: Instant::now(), gap: 0.0 }), max_wait }
    }

    /// Whether one more may stand in line; else how long the line is expected to take.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        let state = crate::locked(&self.state);
        if state.is_too_long(self.max_wait) { Err(state.expected()) } else { Ok(()) }
    }

    /// The last place in line, unless [`Self::check`] refuses.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place, Duration> {
        let mut state = crate::locked(&self.state);
        if state.is_too_long(self.max_wait) {
            return Err(state.expected());
        }
        if state.length == 0 {
            state.last = Instant::now();
        }
        state.length += 1;
        drop(state);
        Ok(Place(Arc::clone(self)))
    }

    /// How long the line is, and how long it is expected to take.
    pub(crate) fn now(&self) -> (usize, Duration) {
        let state = crate::locked(&self.state);
        (state.length, state.expected())
    }

    fn leave(&self, now: Instant) {
        let mut state = crate::locked(&self.state);
        state.length = state.length.saturating_sub(1);
        let gap = now.saturating_duration_since(state.last).as_secs_f64();
        state.gap = if state.gap == 0.0 { gap } else { state.gap + WEIGHT * (gap - state.gap) };
        state.last = now;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_the_wait_that_is_allowed() {
        let line = Arc::new(Line::new(Duration::from_secs(1)));
        let mut places: Vec<_> = (0..100).map(|_| line.enter().ok().unwrap()).collect();
        assert_eq!(line.check(), Ok(()), "before anything was measured nobody is refused");
        // One leaves every 100 ms.
        let begun = Instant::now();
        for n in 1..=200 {
            line.leave(begun + Duration::from_millis(100) * n);
            crate::locked(&line.state).length += 1;
        }
        let expected = line.check().unwrap_err();
        assert!((9.0..11.0).contains(&expected.as_secs_f64()), "{expected:?}");
        assert!(line.enter().is_err());
        while places.len() > ALWAYS - 1 {
            std::mem::forget(places.pop());
            crate::locked(&line.state).length -= 1;
        }
        assert!(line.enter().is_ok(), "a short line is none");
        assert_eq!(line.now().0, ALWAYS - 1);
        std::mem::forget(places);
    }
}
