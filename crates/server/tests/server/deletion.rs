//! Deleting jobs.

use std::time::{Duration, Instant};

use crate::jobs::{large_request, small_request};
use crate::support::{Reply, Request, TestServer};

fn delete(server: &TestServer, id: &str) -> Reply {
    server.send(&Request::new("DELETE", &format!("/jobs/{id}")))
}

/// A refusal without what differs in every exchange.
fn essence(reply: &Reply) -> (u16, Vec<(String, String)>, serde_json::Value) {
    let mut body = reply.json();
    body["request_id"] = "".into();
    body["instance"] = "".into();
    let own = ["x-request-id", "date"];
    let headers = reply.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    (reply.status, headers.cloned().collect(), body)
}

#[test]
fn a_deleted_job_is_gone_for_everyone() {
    let server = TestServer::start();
    let done = server.send(&small_request().header("prefer", "wait=30"));
    assert_eq!(done.status, 200);
    let id = done.job_id();
    let missing = essence(&delete(&server, &"0".repeat(32)));
    assert_eq!(missing.2["code"], "JOB_NOT_FOUND");
    let foreign = server.send(&Request::new("DELETE", &format!("/jobs/{id}")).header("x-tenant-id", "other"));
    assert_eq!(essence(&foreign), missing, "a foreign job is no job");
    for malformed in ["x", "..%2f", &id.to_uppercase()] {
        assert_eq!(essence(&delete(&server, malformed)), missing, "{malformed}");
    }
    assert_eq!(server.get(&format!("/jobs/{id}")).status, 200, "nothing of that touched it");
    let gone = delete(&server, &id);
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(server.get(&format!("/jobs/{id}")).code(), "JOB_NOT_FOUND");
    assert_eq!(server.get(&format!("/jobs/{id}/result")).code(), "JOB_NOT_FOUND");
    assert_eq!(essence(&delete(&server, &id)), missing);
}

#[test]
fn a_job_deleted_while_it_runs_is_stopped() {
    let server = TestServer::start_with(|config| {
        config.compute_threads = 1;
        config.limits.max_active_jobs_per_tenant = 4;
    });
    let submit = || server.send(&large_request().header("accept", "application/json"));
    let ids: Vec<String> = (0..4).map(|_| submit().job_id()).collect();
    for id in &ids {
        assert_eq!(delete(&server, id).status, 204);
        assert_eq!(server.get(&format!("/jobs/{id}/result")).code(), "JOB_NOT_FOUND");
    }
    // The quota is back at once: four more are taken, and end.
    let again: Vec<String> = (0..4).map(|_| submit().job_id()).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    for id in again {
        while server.get(&format!("/jobs/{id}?wait=10")).json()["status"] != "completed" {
            assert!(Instant::now() < deadline);
        }
    }
}

#[test]
fn a_queued_job_that_is_deleted_ends_whoever_waits_for_it() {
    let server = TestServer::start_with(|config| config.workers = Some(0));
    let id = server.send(&small_request()).job_id();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get(&format!("/jobs/{id}?wait=30")));
        assert_eq!(delete(&server, &id).status, 204);
        assert_eq!(waiting.join().unwrap().code(), "JOB_NOT_FOUND");
    });
    assert!(started.elapsed() < Duration::from_secs(20), "it did not wait for its time to be over");
}

#[test]
fn a_key_whose_job_was_deleted_never_runs_again() {
    let server = TestServer::start();
    let request = small_request().header("idempotency-key", "once").header("prefer", "wait=30");
    let id = server.send(&request).job_id();
    assert_eq!(delete(&server, &id).status, 204);
    for _ in 0..2 {
        let replayed = server.send(&request);
        assert_eq!((replayed.status, replayed.code().as_str()), (410, "JOB_EXPIRED"));
    }
    let other = server.send(&small_request().header("idempotency-key", "once"));
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
}
