//! What clients saw of their jobs, and whether a store that keeps its promises can have shown it.
//!
//! Clients call [`History::acknowledged`] for every 200 or 202, [`History::seen`] for every other answer about a job,
//! [`History::deleting`] before they delete one and [`History::deleted`] once that was answered, from any number of
//! threads; each call says when the request began. [`History::violations`] then names what cannot be:
//!
//! * one idempotency key led to two jobs, or two keys to one (every acknowledged job exists exactly once);
//! * an answer that began after another had ended shows a lower rank (states are monotone for all readers together);
//! * two answers show different octets of one terminal representation, or different results (results are immutable);
//! * an acknowledged job that nobody deleted was not to be found, or was never seen to end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use super::raw::Reply;

/// The highest rank.
pub const TERMINAL: u8 = 2;

#[derive(Default)]
pub struct History(Mutex<Record>);

#[derive(Default)]
struct Record {
    /// Key (with its tenant, if there are several) to the jobs that it led to.
    keys: BTreeMap<String, Vec<String>>,
    jobs: BTreeMap<String, Job>,
    violations: Vec<String>,
}

#[derive(Default)]
struct Job {
    /// Begun, ended, rank.
    ranks: Vec<(Instant, Instant, u8)>,
    /// Name of a representation to the octets first seen.
    octets: BTreeMap<String, Vec<u8>>,
    failed: bool,
    deleting: bool,
    deleted: Option<Instant>,
}

/// What a history amounts to.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// Jobs that were acknowledged.
    pub jobs: usize,
    /// Those of them that were deleted.
    pub deleted: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Answers about jobs.
    pub answers: usize,
}

impl History {
    /// A submission under `key` was answered with 200 or 202. One without a key makes up a name for itself.
    pub fn acknowledged(&self, begun: Instant, key: &str, reply: &Reply) -> String {
        assert!(matches!(reply.status, 200 | 202), "{}: {}", reply.status, reply.code());
        let id = reply.job_id();
        {
            let mut record = self.0.lock().unwrap();
            record.jobs.entry(id.clone()).or_default();
            let led_to = record.keys.entry(key.to_owned()).or_default();
            if !led_to.contains(&id) {
                led_to.push(id.clone());
            }
        }
        if reply.status == 200 {
            self.seen(begun, &id, "job", reply);
        }
        id
    }

    /// `reply` shows the job, or its result's octets; `representation` names which of them, and in which form.
    pub fn seen(&self, begun: Instant, id: &str, representation: &str, reply: &Reply) {
        let ended = Instant::now();
        let mut record = self.0.lock().unwrap();
        let Some(job) = record.jobs.get_mut(id) else {
            record.violations.push(format!("{id} was asked for and never acknowledged"));
            return;
        };
        let (rank, octets) = match (reply.status, representation) {
            (200, "result") => (TERMINAL, Some(&reply.body)),
            (200, _) => match reply.json()["status"].as_str().unwrap_or_default() {
                "queued" => (0, None),
                "running" => (1, None),
                "completed" => (TERMINAL, Some(&reply.body)),
                "failed" => {
                    job.failed = true;
                    (TERMINAL, Some(&reply.body))
                }
                other => {
                    let violation = format!("{id} has the status {other}");
                    record.violations.push(violation);
                    return;
                }
            },
            // A result asked for too early says nothing of the rank.
            (409, "result") => return,
            (304, _) => return,
            (404 | 410, _) if job.deleting => return,
            (status, _) => {
                record.violations.push(format!("{id} answered {status}"));
                return;
            }
        };
        let mut found = Vec::new();
        if job.deleted.is_some_and(|deleted| deleted < begun) {
            found.push(format!("{id} was deleted and is there"));
        }
        let lower = |(_, other_ended, other): &&(Instant, Instant, u8)| *other_ended < begun && *other > rank;
        let higher =
            |(other_begun, _, other): &&(Instant, Instant, u8)| ended < *other_begun && *other < rank;
        if let Some((_, _, other)) = job.ranks.iter().find(lower) {
            found.push(format!("{id} went from rank {other} back to {rank}"));
        }
        if let Some((_, _, other)) = job.ranks.iter().find(higher) {
            found.push(format!("{id} went from rank {rank} back to {other}"));
        }
        job.ranks.push((begun, ended, rank));
        if let Some(octets) = octets {
            let first = job.octets.entry(representation.to_owned()).or_insert_with(|| octets.clone());
            if first != octets {
                found.push(format!("{id} has two versions of its {representation}"));
            }
        }
        record.violations.append(&mut found);
    }

    /// The job is about to be deleted: from now on it may be there or not.
    pub fn deleting(&self, id: &str) {
        self.0.lock().unwrap().jobs.entry(id.to_owned()).or_default().deleting = true;
    }

    /// The job was deleted, the answer was 204: whatever is asked from now on must not show it.
    pub fn deleted(&self, id: &str) {
        let mut record = self.0.lock().unwrap();
        let job = record.jobs.entry(id.to_owned()).or_default();
        (job.deleting, job.deleted) = (true, Some(Instant::now()));
    }

    /// The jobs that are to be there.
    pub fn kept(&self) -> Vec<String> {
        let record = self.0.lock().unwrap();
        record.jobs.iter().filter(|(_, job)| !job.deleting).map(|(id, _)| id.clone()).collect()
    }

    /// What cannot have been, as sentences.
    pub fn violations(&self) -> Vec<String> {
        let record = self.0.lock().unwrap();
        let mut violations = record.violations.clone();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, jobs) in &record.keys {
            if jobs.len() != 1 {
                violations.push(format!("key {key} led to {} jobs", jobs.len()));
            }
            for job in jobs {
                if let Some(other) = owners.insert(job, key) {
                    violations.push(format!("keys {other} and {key} led to one job"));
                }
            }
        }
        for (id, job) in &record.jobs {
            let ended = job.ranks.iter().any(|(_, _, rank)| *rank == TERMINAL);
            if !job.deleting && !ended {
                violations.push(format!("{id} was acknowledged and never seen to end"));
            }
        }
        violations
    }

    /// That nothing was seen that cannot be, and what was.
    pub fn verdict(&self) -> Summary {
        let violations = self.violations();
        assert!(violations.is_empty(), "{} violations, of them: {:#?}", violations.len(), &violations[..1]);
        let record = self.0.lock().unwrap();
        let count = |holds: fn(&Job) -> bool| record.jobs.values().filter(|job| holds(job)).count();
        Summary {
            jobs: record.jobs.len(),
            deleted: count(|job| job.deleted.is_some()),
            failed: count(|job| job.failed),
            answers: record.jobs.values().map(|job| job.ranks.len()).sum(),
        }
    }
}
