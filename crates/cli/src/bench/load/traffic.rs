//! Traffic: clients that wait for each answer before they ask again, and requests that come when they come.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::connection::Connection;
use crate::bench::timing::Times;
use crate::exit::{Exit, Failure};
use crate::output;

/// What came of some traffic.
#[derive(Clone, Serialize)]
pub(super) struct Traffic {
    pub(super) seconds: f64,
    /// Requests per second that came.
    pub(super) offered_per_second: f64,
    /// Inferences per second that were answered with a result.
    pub(super) completed_per_second: f64,
    pub(super) completed: usize,
    /// Of requests answered with a result; from when the request was meant to be sent.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// Of refused requests.
    pub(super) refused_p99_ms: f64,
    /// Answers by status.
    pub(super) answers: BTreeMap<u16, usize>,
}

#[derive(Default)]
pub(super) struct Tally {
    completed: Vec<Duration>,
    refused: Vec<Duration>,
    answers: BTreeMap<u16, usize>,
}

impl Tally {
    pub(super) fn count(&mut self, status: u16, took: Duration) {
        *self.answers.entry(status).or_default() += 1;
        if status == 200 { self.completed.push(took) } else { self.refused.push(took) }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.completed.extend(other.completed);
        self.refused.extend(other.refused);
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
    }

    pub(super) fn report(self, took: Duration) -> Traffic {
        let seconds = took.as_secs_f64().max(1e-9);
        let (completed, refused) = (self.completed.len(), self.refused.len());
        let (done, away) = (Times::new(self.completed), Times::new(self.refused));
        Traffic {
            seconds,
            offered_per_second: (completed + refused) as f64 / seconds,
            completed_per_second: completed as f64 / seconds,
            completed,
            p50_ms: output::milliseconds(done.quantile(0.5)),
            p99_ms: output::milliseconds(done.quantile(0.99)),
            max_ms: output::milliseconds(done.quantile(1.0)),
            refused_p99_ms: output::milliseconds(away.quantile(0.99)),
            answers: self.answers,
        }
    }
}

/// Prepared requests, sent in turn.
pub(super) struct Requests(pub(super) Vec<Vec<u8>>);

impl Requests {
    fn of(&self, index: usize) -> &[u8] {
        self.0.get(index % self.0.len().max(1)).map_or(&[], Vec::as_slice)
    }
}

fn lost(error: std::io::Error) -> Failure {
    Failure::new(Exit::Unreachable, format!("the server's answer did not come: {error}"))
}

/// `clients` that each wait for their answer before they ask again, `total` requests in all. `keep` sees each answer
/// that is a result, outside the measured time of its request.
pub(super) async fn closed(
    address: SocketAddr,
    requests: Arc<Requests>,
    clients: usize,
    total: usize,
    keep: impl Fn(usize, &[u8]) + Clone + Send + 'static,
) -> Result<Traffic, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(address).await.map_err(lost)?);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (next, requests, keep) = (Arc::clone(&next), Arc::clone(&requests), keep.clone());
        tasks.spawn(async move {
            let mut tally = Tally::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= total {
                    return Ok(tally);
                }
                let sent = Instant::now();
                let answer = connection.exchange(requests.of(index)).await?;
                tally.count(answer.status, sent.elapsed());
                if answer.status == 200 {
                    keep(index, answer.body);
                }
            }
        });
    }
    let tally = gather(tasks).await?;
    Ok(tally.report(begun.elapsed()))
}

/// Requests that come at a rate whatever becomes of them, over that many connections. One that finds no connection
/// free waits for one; its latency counts from when it came. The period is over when `goes_on` says so.
pub(super) async fn open(
    address: SocketAddr,
    requests: Arc<Requests>,
    rate: f64,
    goes_on: impl Fn(Duration) -> bool,
    connections: usize,
) -> Result<Traffic, Failure> {
    let due: Arc<Mutex<VecDeque<(usize, Instant)>>> = Arc::default();
    let (arrived, over) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(address).await.map_err(lost)?;
        let (due, arrived, over) = (Arc::clone(&due), Arc::clone(&arrived), Arc::clone(&over));
        let requests = Arc::clone(&requests);
        tasks.spawn(async move {
            let mut tally = Tally::default();
            loop {
                let notified = arrived.notified();
                let taken = due.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((index, meant)) = taken else {
                    if over.load(Ordering::Acquire) {
                        return Ok(tally);
                    }
                    notified.await;
                    continue;
                };
                let answer = connection.exchange(requests.of(index)).await?;
                tally.count(answer.status, meant.elapsed());
            }
        });
    }
    let begun = Instant::now();
    let mut next = begun;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut index = 0;
    while goes_on(begun.elapsed()) {
        let now = Instant::now();
        while next <= now {
            due.lock().unwrap_or_else(PoisonError::into_inner).push_back((index, next));
            arrived.notify_one();
            index += 1;
            // Arrivals of a Poisson process, the same in every run.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let uniform = ((random >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            next += Duration::from_secs_f64(-uniform.ln() / rate);
        }
        // A timer's millisecond is too coarse for what is measured.
        if next.saturating_duration_since(Instant::now()) > Duration::from_millis(3) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Release);
    // Whoever is idle looks up and goes; whoever is busy looks when it is done.
    while !tasks.is_empty() && due.lock().unwrap_or_else(PoisonError::into_inner).front().is_some() {
        arrived.notify_waiters();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed();
    let waking = Arc::clone(&arrived);
    let waker = tokio::spawn(async move {
        loop {
            waking.notify_waiters();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let tally = gather(tasks).await;
    waker.abort();
    Ok(tally?.report(took))
}

pub(super) async fn gather(mut tasks: JoinSet<std::io::Result<Tally>>) -> Result<Tally, Failure> {
    let mut all = Tally::default();
    while let Some(ended) = tasks.join_next().await {
        let tally = ended.map_err(|error| Failure::new(Exit::Local, error))?;
        all.merge(tally.map_err(lost)?);
    }
    Ok(all)
}
