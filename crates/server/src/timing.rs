//! How long each stage of recent jobs took, for `Server-Timing`. Kept beside the store: it is about this process, and
//! forgotten with it.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

use hei_protocol::JobId;

/// Jobs remembered; the oldest make room.
const REMEMBERED: usize = 4096;

/// How long each stage took, as far as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stages {
    pub(crate) validate: Option<Duration>,
    pub(crate) queue: Option<Duration>,
    pub(crate) eval: Option<Duration>,
    pub(crate) encode: Option<Duration>,
}

impl Stages {
    /// The value of `Server-Timing`, in milliseconds; empty when nothing is known.
    pub(crate) fn header(&self) -> String {
        let mut out = String::new();
        let stages = [
            ("validate", self.validate),
            ("queue", self.queue),
            ("eval", self.eval),
            ("encode", self.encode),
        ];
        for (name, took) in stages {
            let Some(took) = took else { continue };
            let separator = if out.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(out, "{separator}{name};dur={:.3}", took.as_secs_f64() * 1e3);
        }
        out
    }
}

/// The stages of recent jobs.
#[derive(Default)]
pub(crate) struct RecentStages(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    stages: HashMap<JobId, Stages>,
    order: VecDeque<JobId>,
}

impl RecentStages {
    /// Changes what is known about a job.
    pub(crate) fn record(&self, id: JobId, change: impl FnOnce(&mut Stages)) {
        let mut recent = crate::locked(&self.0);
        let Recent { stages, order } = &mut *recent;
        if !stages.contains_key(&id) {
            order.push_back(id);
            if order.len() > REMEMBERED
                && let Some(oldest) = order.pop_front()
            {
                stages.remove(&oldest);
            }
        }
        change(stages.entry(id).or_default());
    }

    /// What is known about a job.
    pub(crate) fn of(&self, id: JobId) -> Option<Stages> {
        crate::locked(&self.0).stages.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_written_in_order_and_the_oldest_jobs_are_forgotten() {
        let recent = RecentStages::default();
        let id = |n: u128| JobId::from_bytes(n.to_be_bytes());
        for n in 0..=REMEMBERED as u128 {
            recent.record(id(n), |stages| stages.validate = Some(Duration::from_micros(1500)));
        }
        assert_eq!(recent.of(id(0)), None);
        recent.record(id(1), |stages| stages.eval = Some(Duration::from_millis(2)));
        assert_eq!(recent.of(id(1)).unwrap().header(), "validate;dur=1.500, eval;dur=2.000");
        assert_eq!(Stages::default().header(), "");
        assert_eq!(crate::locked(&recent.0).order.len(), REMEMBERED);
    }
}
