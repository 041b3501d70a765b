//! Repeated timing.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long to measure one operation.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) budget: Duration,
    pub(crate) at_least: usize,
    pub(crate) at_most: usize,
}

/// Times of single runs, sorted.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut runs: Vec<Duration>) -> Self {
        runs.sort_unstable();
        Self(runs)
    }

    /// The value below which a fraction of the runs lie: `quantile(0.5)` is the median.
    pub(crate) fn quantile(&self, fraction: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let at = (fraction * last as f64).round() as usize;
        self.0.get(at.min(last)).copied().unwrap_or_default()
    }

    /// Times from something that measures so many single calls, until the budget is spent; the first call warms
    /// caches and is not counted.
    pub(crate) fn gather<E>(
        effort: Effort,
        mut time: impl FnMut(usize) -> Result<Vec<Duration>, E>,
    ) -> Result<Self, E> {
        time(1)?;
        let begun = Instant::now();
        let mut runs = Vec::new();
        while runs.len() < effort.at_most && (runs.len() < effort.at_least || begun.elapsed() < effort.budget)
        {
            runs.extend(time(1)?);
        }
        Ok(Self::new(runs))
    }

    pub(crate) fn min(&self) -> Duration {
        self.quantile(0.0)
    }
}

/// Runs an operation until the budget is spent; the first run warms caches and is not counted.
pub(crate) fn measure<T, E>(effort: Effort, mut run: impl FnMut() -> Result<T, E>) -> Result<Times, E> {
    black_box(run()?);
    let begun = Instant::now();
    let mut runs = Vec::new();
    while runs.len() < effort.at_most && (runs.len() < effort.at_least || begun.elapsed() < effort.budget) {
        let start = Instant::now();
        let made = black_box(run()?);
        runs.push(start.elapsed());
        drop(made);
    }
    Ok(Times::new(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_runs() {
        let ms = Duration::from_millis;
        let times = Times::new([5, 1, 4, 2, 3].map(ms).to_vec());
        assert_eq!((times.min(), times.quantile(0.5), times.quantile(0.95)), (ms(1), ms(3), ms(5)));
        assert_eq!(Times::new(Vec::new()).quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn effort_bounds_the_runs() {
        let effort = Effort { budget: Duration::ZERO, at_least: 3, at_most: 9 };
        let mut count = 0;
        let run = || {
            count += 1;
            Ok::<_, ()>(count)
        };
        assert_eq!(measure(effort, run).unwrap().0.len(), 3);
        assert_eq!(count, 4);
        let times = Times::gather(effort, |n| Ok::<_, ()>(vec![Duration::from_millis(1); n])).unwrap();
        assert_eq!(times.0.len(), 3);
    }
}
