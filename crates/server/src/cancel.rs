//! Telling evaluations to stop: a job that nobody can read any more is not worth its work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hei_protocol::JobId;

/// The jobs that are being evaluated, each with its stop sign.
#[derive(Default)]
pub(crate) struct Cancellations(Mutex<HashMap<JobId, Arc<AtomicBool>>>);

impl Cancellations {
    /// Announces that a job is evaluated; it is no longer when the guard is dropped.
    pub(crate) fn enter(&self, id: JobId) -> Evaluating<'_> {
        let stop = Arc::new(AtomicBool::new(false));
        crate::locked(&self.0).insert(id, Arc::clone(&stop));
        Evaluating { all: self, id, stop: Stop(stop) }
    }

    /// Raises the stop sign of a job, if it is being evaluated.
    pub(crate) fn cancel(&self, id: JobId) {
        if let Some(stop) = crate::locked(&self.0).get(&id) {
            stop.store(true, Ordering::Release);
        }
    }
}

/// A stop sign, as the evaluation sees it.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether the evaluation should end.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One job under evaluation.
pub(crate) struct Evaluating<'a> {
    all: &'a Cancellations,
    id: JobId,
    stop: Stop,
}

impl Evaluating<'_> {
    /// Its stop sign.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

impl Drop for Evaluating<'_> {
    fn drop(&mut self) {
        crate::locked(&self.all.0).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_job_that_is_cancelled_stops_and_an_ended_one_is_forgotten() {
        let all = Cancellations::default();
        let (one, other) = (JobId::from_bytes([1; 16]), JobId::from_bytes([2; 16]));
        let (first, second) = (all.enter(one), all.enter(other));
        all.cancel(one);
        assert!(first.stop().is_raised() && !second.stop().is_raised());
        drop((first, second));
        all.cancel(other);
        assert!(crate::locked(&all.0).is_empty());
    }
}
