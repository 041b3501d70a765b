//! Who waits in this process for what: for a job to change, for work; and what is to be told to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hei_protocol::JobId;
use tokio::sync::Notify;

/// The most that is kept to be told; more is dropped, for whoever waits looks again anyway.
const PENDING: usize = 4096;

pub(super) struct Hub {
    jobs: Mutex<HashMap<JobId, Arc<Notify>>>,
    /// There may be a job to take.
    pub(super) work: Notify,
    outbox: Mutex<Outbox>,
    /// There is something to tell.
    pub(super) told: Notify,
}

#[derive(Default)]
pub(super) struct Outbox {
    pub(super) jobs: Vec<String>,
    pub(super) work: bool,
}

/// One that waits for a job; no longer when dropped.
pub(super) struct Waiting<'a> {
    hub: &'a Hub,
    id: JobId,
    pub(super) changed: Arc<Notify>,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self { jobs: Mutex::default(), work: Notify::new(), outbox: Mutex::default(), told: Notify::new() }
    }

    pub(super) fn wait_for(&self, id: JobId) -> Waiting<'_> {
        let changed = Arc::clone(crate::locked(&self.jobs).entry(id).or_default());
        Waiting { hub: self, id, changed }
    }

    /// A job changed, somewhere.
    pub(super) fn wake(&self, id: JobId) {
        if let Some(changed) = crate::locked(&self.jobs).get(&id) {
            changed.notify_waiters();
        }
    }

    /// A job changed here: wakes those who wait here, and has the others told.
    pub(super) fn tell_job(&self, id: JobId) {
        self.wake(id);
        let mut outbox = crate::locked(&self.outbox);
        if outbox.jobs.len() < PENDING {
            outbox.jobs.push(id.to_string());
        }
        drop(outbox);
        self.told.notify_one();
    }

    /// There is work for somebody.
    pub(super) fn tell_work(&self) {
        self.work.notify_one();
        crate::locked(&self.outbox).work = true;
        self.told.notify_one();
    }

    pub(super) fn take_outbox(&self) -> Outbox {
        std::mem::take(&mut crate::locked(&self.outbox))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut jobs = crate::locked(&self.hub.jobs);
        // This one, and the map's.
        if jobs.get(&self.id).is_some_and(|changed| Arc::strong_count(changed) <= 2) {
            jobs.remove(&self.id);
        }
    }
}
