//! The compute pool: threads of their own for everything that costs CPU, apart from the threads that talk to the
//! network. Work is queued in two bounded lanes served in turn, so a flood of requests to validate cannot starve
//! the jobs that were already accepted, nor the other way round. A panic ends one piece of work, never a thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::fair::Rounds;
use crate::id::Tenant;

/// Which queue a piece of work waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Parsing, decoding and checking what a client sent.
    Validate,
    /// Evaluating an accepted job.
    Evaluate,
}

/// Why a piece of work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The lane holds as much as it may.
    #[error("{waiting} pieces of work are waiting, the most this lane holds")]
    LaneFull {
        /// Pieces waiting in the lane.
        waiting: usize,
    },
    /// The work panicked; the panic is a bug, and is contained.
    #[error("the work panicked")]
    Panicked,
    /// The pool is shutting down.
    #[error("the compute pool is shutting down")]
    ShuttingDown,
}

type Work = Box<dyn FnOnce() + Send>;

struct Queues {
    validate: Rounds<Option<Tenant>, Work>,
    evaluate: Rounds<Option<Tenant>, Work>,
    turn: Lane,
    closed: bool,
}

impl Queues {
    fn lane(&mut self, lane: Lane) -> &mut Rounds<Option<Tenant>, Work> {
        match lane {
            Lane::Validate => &mut self.validate,
            Lane::Evaluate => &mut self.evaluate,
        }
    }

    /// The next piece of work, from the lane whose turn it is if it has one.
    fn next(&mut self) -> Option<Work> {
        let lanes = match self.turn {
            Lane::Validate => [Lane::Validate, Lane::Evaluate],
            Lane::Evaluate => [Lane::Evaluate, Lane::Validate],
        };
        let (served, work) = lanes.into_iter().find_map(|lane| Some((lane, self.lane(lane).pop()?)))?;
        self.turn = match served {
            Lane::Validate => Lane::Evaluate,
            Lane::Evaluate => Lane::Validate,
        };
        Some(work)
    }
}

struct Shared {
    queues: Mutex<Queues>,
    work_arrived: Condvar,
    lane_capacity: usize,
    busy: AtomicUsize,
}

/// A fixed number of threads that run CPU-bound work.
pub struct Compute {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Compute {
    /// Starts `threads` threads (at least one); each lane holds up to `lane_capacity` waiting pieces of work.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(threads: usize, lane_capacity: usize) -> std::io::Result<Self> {
        Self::start_with("hei-compute", threads, lane_capacity, || ())
    }

    /// The same, with threads that give way to all others of the process where the system knows how.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start_yielding(threads: usize, lane_capacity: usize) -> std::io::Result<Self> {
        Self::start_with("hei-bulk", threads, lane_capacity, give_way)
    }

    fn start_with(name: &str, threads: usize, lane_capacity: usize, begin: fn()) -> std::io::Result<Self> {
        let queues = Queues {
            validate: Rounds::default(),
            evaluate: Rounds::default(),
            turn: Lane::Evaluate,
            closed: false,
        };
        let queues = Mutex::new(queues);
        let shared = Arc::new(Shared {
            queues,
            work_arrived: Condvar::new(),
            lane_capacity,
            busy: AtomicUsize::new(0),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let builder = std::thread::Builder::new().name(format!("{name}-{index}"));
            pool.threads.push(builder.spawn(move || {
                begin();
                serve(&shared);
            })?);
        }
        Ok(pool)
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// How many of them are at work.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// Pieces of work that wait in a lane.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        crate::locked(&self.shared.queues).lane(lane).len()
    }

    /// Runs `work` on one of the threads and waits for its value without blocking this one.
    ///
    /// # Errors
    /// [`ComputeError::LaneFull`] at once when the lane is full; [`ComputeError::Panicked`] when the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        self.run_for(lane, None, work).await
    }

    /// [`Self::run`] for a tenant: within a lane, tenants take turns.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_for<T: Send + 'static>(
        &self,
        lane: Lane,
        tenant: Option<Tenant>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut queues = crate::locked(&self.shared.queues);
            if queues.closed {
                return Err(ComputeError::ShuttingDown);
            }
            let queue = queues.lane(lane);
            if queue.len() >= self.shared.lane_capacity {
                return Err(ComputeError::LaneFull { waiting: queue.len() });
            }
            let work = Box::new(move || {
                let done = catch_unwind(AssertUnwindSafe(work)).map_err(|_| ComputeError::Panicked);
                // The caller may have gone away; then nobody wants the value.
                drop(sender.send(done));
            });
            queue.push(tenant, work);
        }
        self.shared.work_arrived.notify_one();
        receiver.await.unwrap_or(Err(ComputeError::ShuttingDown))
    }
}

impl Drop for Compute {
    /// Lets the threads finish what is queued, and end.
    fn drop(&mut self) {
        crate::locked(&self.shared.queues).closed = true;
        self.shared.work_arrived.notify_all();
    }
}

/// On Linux a thread has a priority of its own.
#[cfg(target_os = "linux")]
fn give_way() {
    const NICE: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "threads for long bodies run at the priority of the others");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

fn serve(shared: &Shared) {
    loop {
        let work = {
            let mut queues = crate::locked(&shared.queues);
            loop {
                if let Some(work) = queues.next() {
                    break work;
                }
                if queues.closed {
                    return;
                }
                queues = shared.work_arrived.wait(queues).unwrap_or_else(PoisonError::into_inner);
            }
        };
        shared.busy.fetch_add(1, Ordering::Relaxed);
        work();
        shared.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_thread() {
        let pool = Compute::start(1, 4).unwrap();
        let panicked = pool.run(Lane::Evaluate, || -> u32 { panic!("on purpose") }).await;
        assert_eq!(panicked, Err(ComputeError::Panicked));
        assert_eq!(pool.run(Lane::Evaluate, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_full_lane_refuses_at_once_and_the_other_lane_is_served() {
        let pool = Arc::new(Compute::start(1, 1).unwrap());
        let (release, wait) = mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let busy = {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                pool.run(Lane::Validate, move || {
                    started.send(()).unwrap();
                    wait.recv().unwrap();
                })
                .await
            })
        };
        has_started.await.unwrap();
        // The one thread is busy: the first piece in each lane waits, the second is refused.
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut queued = Vec::new();
        for lane in [Lane::Validate, Lane::Evaluate] {
            let (order, work_pool) = (Arc::clone(&order), Arc::clone(&pool));
            let mut work =
                Box::pin(async move { work_pool.run(lane, move || crate::locked(&order).push(lane)).await });
            assert!(futures_poll_once(&mut work).await.is_none());
            queued.push(work);
            assert_eq!(pool.run(lane, || ()).await, Err(ComputeError::LaneFull { waiting: 1 }));
        }
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        for work in queued {
            work.await.unwrap();
        }
        assert_eq!(*crate::locked(&order), [Lane::Evaluate, Lane::Validate], "the lanes take turns");
    }

    /// Polls a future once and says whether it is ready.
    async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
