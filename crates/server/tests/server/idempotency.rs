//! One key, one request, one job.

use std::collections::HashSet;

use crate::jobs::{large_request, small_request};
use crate::support::{Request, TestServer};

fn keyed(request: Request, key: &str) -> Request {
    request.header("idempotency-key", key)
}

#[test]
fn the_same_key_gives_the_same_job() {
    let server = TestServer::start();
    let request = keyed(small_request(), "\"a key\"".replace(' ', "-").as_str());
    let first = server.send(&request);
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None));
    for _ in 0..3 {
        let again = server.send(&request);
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("?1")));
        assert_eq!(again.job_id(), first.job_id());
        assert_eq!(again.json()["expires_at"], first.json()["expires_at"]);
    }
    // The bare form of the same text is the same key; a wait is no part of the request.
    let mut bare = request.clone();
    bare.headers.retain(|(name, _)| name != "idempotency-key");
    let waited = server.send(&keyed(bare, "a-key").header("prefer", "wait=30"));
    assert_eq!((waited.status, waited.header("idempotency-replayed")), (200, Some("?1")));
    assert_eq!(waited.job_id(), first.job_id());
}

#[test]
fn concurrent_duplicates_make_one_job() {
    let server = TestServer::start();
    let request = keyed(large_request().header("accept", "application/json"), "race");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| server.send(&request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut jobs = HashSet::new();
    let mut fresh = 0;
    for answer in &answers {
        match answer.status {
            202 => {
                jobs.insert(answer.job_id());
                fresh += usize::from(answer.header("idempotency-replayed").is_none());
            }
            409 => assert_eq!(answer.code(), "IDEMPOTENCY_IN_PROGRESS"),
            other => panic!("{other}"),
        }
    }
    assert_eq!((jobs.len(), fresh), (1, 1));
}

#[test]
fn a_key_used_for_another_request_is_refused() {
    let server = TestServer::start();
    let first = server.send(&keyed(small_request().header("prefer", "wait=30"), "k"));
    assert_eq!(first.status, 200);
    // Another body, encrypted afresh.
    let other = server.send(&keyed(small_request(), "k"));
    assert_eq!((other.status, other.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    // Syntax and schema come before the key.
    for (body, code) in [("{", "MALFORMED_BODY"), ("{}", "INVALID_SCHEMA")] {
        let refused = server.send(&keyed(Request::post("/infer", "application/json", body), "k"));
        assert_eq!(refused.code(), code);
    }
    assert_eq!(
        server.get(&format!("/jobs/{}", first.job_id())).body,
        first.body,
        "the first job is untouched"
    );
}

#[test]
fn a_refusal_does_not_burn_the_key() {
    let server = TestServer::start();
    let wrong = Request::post("/infer", "application/json", "{\"model_id\":1}");
    assert_eq!(server.send(&keyed(wrong, "k")).code(), "INVALID_SCHEMA");
    let accepted = server.send(&keyed(small_request(), "k"));
    assert_eq!((accepted.status, accepted.header("idempotency-replayed")), (202, None));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let server = TestServer::start();
    for wrong in ["\"open", "two words", "", "k\u{e9}y", &"x".repeat(256)] {
        let refused = server.send(&keyed(small_request(), wrong));
        assert_eq!((refused.status, refused.code().as_str()), (400, "INVALID_IDEMPOTENCY_KEY"), "{wrong}");
    }
    let twice = server.send(&keyed(keyed(small_request(), "a"), "b"));
    assert_eq!(twice.code(), "INVALID_IDEMPOTENCY_KEY");
}
