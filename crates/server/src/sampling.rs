//! A ceiling for log lines that clients cause: a flood of invalid requests fills no disk.

use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Lines per second about refused requests.
const LINES: u32 = 50;
const WINDOW: Duration = Duration::from_secs(1);

/// Lets so many lines through per second, and says later how many it did not.
pub(crate) struct Sampler(Mutex<Window>);

struct Window {
    end: Instant,
    lines: u32,
    withheld: u64,
}

/// Whether a line of the audit log about a refused request may be written. The log is the process's, and so is the ceiling.
pub(crate) fn admits_refusal_audit() -> bool {
    static AUDIT: LazyLock<Sampler> = LazyLock::new(Sampler::new);
    AUDIT.admits()
}

impl Sampler {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Window { end: Instant::now() + WINDOW, lines: 0, withheld: 0 }))
    }

    /// Whether a line may be written; the first of a window tells how many were withheld in the one before.
    pub(crate) fn admits(&self) -> bool {
        let (admits, withheld) = self.admits_at(Instant::now());
        if withheld > 0 {
            tracing::warn!(withheld, "lines about refused requests were withheld");
        }
        admits
    }

    fn admits_at(&self, now: Instant) -> (bool, u64) {
        let mut window = crate::locked(&self.0);
        let mut withheld = 0;
        if now >= window.end {
            withheld = window.withheld;
            *window = Window { end: now + WINDOW, lines: 0, withheld: 0 };
        }
        let admits = window.lines < LINES;
        if admits {
            window.lines += 1;
        } else {
            window.withheld = window.withheld.saturating_add(1);
        }
        (admits, withheld)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_writes_a_bounded_number_of_lines_and_says_how_many_it_did_not() {
        let sampler = Sampler::new();
        let now = Instant::now();
        let written = (0..1000).filter(|_| sampler.admits_at(now).0).count();
        assert_eq!(written, LINES as usize);
        assert_eq!(sampler.admits_at(now + 2 * WINDOW), (true, 1000 - u64::from(LINES)));
        assert_eq!(sampler.admits_at(now + 2 * WINDOW), (true, 0));
    }
}
