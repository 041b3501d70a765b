//! What the store keeps at hand: recent results, so that whoever waited for one reads no disk, and which jobs are
//! in the hands of this process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use hei_protocol::JobId;

/// Results by age, bounded in octets.
pub(super) struct Recent {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    results: HashMap<JobId, Bytes>,
    ages: VecDeque<JobId>,
    octets: usize,
    leased: HashSet<JobId>,
}

impl Recent {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    pub(super) fn result(&self, id: JobId) -> Option<Bytes> {
        crate::locked(&self.state).results.get(&id).cloned()
    }

    pub(super) fn insert(&self, id: JobId, result: Bytes) {
        let mut state = crate::locked(&self.state);
        if result.len() > self.limit || state.results.contains_key(&id) {
            return;
        }
        state.octets += result.len();
        state.results.insert(id, result);
        state.ages.push_back(id);
        while state.octets > self.limit || state.ages.len() > 2 * state.results.len() + 64 {
            let Some(oldest) = state.ages.pop_front() else { break };
            state.drop_result(oldest);
        }
    }

    pub(super) fn remove(&self, id: JobId) {
        crate::locked(&self.state).drop_result(id);
    }

    /// Notes that this process works on a job.
    pub(super) fn lease(&self, id: JobId) {
        crate::locked(&self.state).leased.insert(id);
    }

    /// Notes that it no longer does.
    pub(super) fn end_lease(&self, id: JobId) {
        crate::locked(&self.state).leased.remove(&id);
    }

    pub(super) fn is_leased(&self, id: JobId) -> bool {
        crate::locked(&self.state).leased.contains(&id)
    }
}

impl State {
    fn drop_result(&mut self, id: JobId) {
        if let Some(result) = self.results.remove(&id) {
            self.octets = self.octets.saturating_sub(result.len());
        }
    }
}
