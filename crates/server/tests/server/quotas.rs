//! What one tenant may use in a while, and that it is told.

use std::sync::Arc;
use std::time::Duration;

use hei_protocol::Timestamp;
use hei_server::clock::{Clock, ManualClock};
use hei_server::{QuotaLimits, ServerConfig};

use crate::jobs::{large_request, small_request};
use crate::support::raw::{connect, read_reply};
use crate::support::{Reply, Request, TestServer};

/// A server whose time stands still, with these quotas.
fn server(quotas: QuotaLimits, change: impl FnOnce(&mut ServerConfig)) -> (TestServer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_700_000_000_000)));
    let server = TestServer::start_with(|config| {
        config.quotas = quotas;
        config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        change(config);
    });
    (server, clock)
}

fn requests(count: u64) -> QuotaLimits {
    QuotaLimits { requests: Some(count), window: Duration::from_secs(10), ..QuotaLimits::default() }
}

fn as_tenant(request: Request, tenant: &str) -> Request {
    request.header("x-tenant-id", tenant)
}

fn violated(reply: &Reply) -> (u16, String, serde_json::Value) {
    (reply.status, reply.code(), reply.json()["violated_policies"].clone())
}

fn limited(policy: &str) -> (u16, String, serde_json::Value) {
    (429, "RATE_LIMITED".to_owned(), serde_json::json!([policy]))
}

#[test]
fn submissions_beyond_the_quota_are_refused_until_it_is_as_late_as_was_said() {
    let (server, clock) = server(requests(3), |_| {});
    for left in [2, 1, 0] {
        let accepted = server.send(&small_request());
        assert_eq!(accepted.status, 202);
        assert_eq!(accepted.header("ratelimit-policy"), Some("\"infer\";q=3;w=10"));
        let tells = accepted.header("ratelimit").unwrap();
        assert!(tells.starts_with(&format!("\"infer\";r={left};t=")), "{tells}");
    }
    let refused = server.send(&small_request());
    assert_eq!(violated(&refused), limited("infer"));
    assert_eq!(refused.header("ratelimit"), Some("\"infer\";r=0;t=10"));
    assert_eq!(refused.header("retry-after"), Some("4"), "a third of the window, rounded up");
    assert_eq!(server.send(&as_tenant(small_request(), "other")).status, 202, "others have their own");
    clock.advance(Duration::from_secs(4));
    assert_eq!(server.send(&small_request()).status, 202);
    assert_eq!(server.send(&small_request()).status, 429);
}

#[test]
fn a_refusal_by_quota_comes_before_the_body() {
    let (server, _) = server(requests(1), |_| {});
    assert_eq!(server.send(&small_request()).status, 202);
    let mut stream = connect(server.address);
    let head = Request::new("POST", "/infer")
        .header("content-type", "application/json")
        .header("content-length", "10000000")
        .header("expect", "100-continue");
    std::io::Write::write_all(&mut stream, &head.head()).unwrap();
    let refused = read_reply(&mut stream, false);
    assert_eq!(violated(&refused), limited("infer"), "not 100 Continue");
}

#[test]
fn replays_and_reads_do_not_use_the_quota_of_submissions() {
    let (server, _) = server(requests(2), |_| {});
    let first = small_request().header("idempotency-key", "\"first\"");
    let id = server.send(&first).job_id();
    for _ in 0..5 {
        let replay = server.send(&first);
        assert_eq!((replay.status, replay.job_id()), (202, id.clone()));
        assert_eq!(replay.header("idempotency-replayed"), Some("?1"));
        assert!(replay.header("ratelimit").unwrap().starts_with("\"infer\";r=1;"));
        assert_eq!(server.get(&format!("/jobs/{id}?wait=20")).status, 200);
    }
    assert_eq!(server.send(&small_request().header("idempotency-key", "\"second\"")).status, 202);
    // Nothing is left: a new key is refused, a recorded one is answered.
    assert_eq!(server.send(&small_request().header("idempotency-key", "\"third\"")).status, 429);
    assert_eq!(server.send(&small_request()).status, 429);
    let replay = server.send(&first);
    assert_eq!((replay.status, replay.job_id()), (202, id.clone()));
    // The key opens the door, and what comes through it is still held against what was recorded.
    let reused = server.send(&large_request().header("idempotency-key", "\"first\""));
    assert_eq!((reused.status, reused.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(server.send(&as_tenant(first, "other")).header("idempotency-replayed"), None);
}

#[test]
fn octets_are_counted_as_they_arrive_however_they_are_framed() {
    let quotas = QuotaLimits { body_bytes: Some(20_000), ..requests(0) };
    let (server, clock) = server(quotas, |_| {});
    let junk = |length: usize| Request::post("/infer", "application/json", vec![b' '; length]);
    let first = server.send(&junk(12_000));
    assert_eq!(first.status, 400);
    assert_eq!(first.header("ratelimit-policy"), Some("\"bytes\";q=20000;qu=\"content-bytes\";w=10"));
    assert_eq!(violated(&server.send(&junk(12_000))), limited("bytes"), "8000 are left");
    let mut chunked = junk(0).header("transfer-encoding", "chunked");
    chunked.body = [format!("{:x}\r\n", 9000).as_bytes(), &[b' '; 9000], b"\r\n0\r\n\r\n"].concat();
    assert_eq!(server.send(&chunked).status, 400, "its length is not known before");
    assert_eq!(violated(&server.send(&junk(1))), limited("bytes"), "and is counted");
    let key = Request::new("PUT", &format!("/keys/{}", "0".repeat(64)))
        .header("content-type", "application/octet-stream")
        .header("content-length", "1");
    assert_eq!(violated(&server.send(&key)), limited("bytes"), "keys are bodies too");
    clock.advance(Duration::from_secs(10));
    assert_eq!(server.send(&junk(12_000)).status, 400);
}

#[test]
fn a_submission_is_charged_what_its_plan_is_predicted_to_cost() {
    let quotas = QuotaLimits { cpu_millis: Some(40), ..requests(0) };
    let (server, clock) = server(quotas, |_| {});
    let left = |reply: &Reply| -> u64 {
        let tells = reply.header("ratelimit").unwrap();
        tells.strip_prefix("\"cpu\";r=").unwrap().split(';').next().unwrap().parse().unwrap()
    };
    let cheap = server.send(&small_request());
    assert_eq!((cheap.status, left(&cheap)), (202, 39), "under a millisecond");
    let dear = server.send(&large_request());
    assert_eq!(dear.status, 202);
    assert!(left(&dear) + 2 < left(&cheap), "{} after {}", left(&dear), left(&cheap));
    // A refused submission was not evaluated.
    let wrong = server.send(&Request::post("/infer", "application/json", "{}"));
    assert_eq!((wrong.status, left(&wrong)), (400, left(&dear)));
    let mut refused = server.send(&large_request());
    for _ in 0..40 {
        if refused.status == 202 {
            refused = server.send(&large_request());
        }
    }
    assert_eq!(violated(&refused), limited("cpu"));
    assert_eq!(server.send(&as_tenant(large_request(), "other")).status, 202);
    clock.advance(Duration::from_secs(10));
    assert_eq!(server.send(&large_request()).status, 202);
}

#[test]
fn guessing_job_ids_is_limited() {
    let quotas = QuotaLimits { reads: Some(20), ..requests(0) };
    let (server, _) = server(quotas, |_| {});
    let guess = |number: u32| server.get(&format!("/jobs/{number:032x}"));
    for number in 0..20 {
        let missing = guess(number);
        assert_eq!((missing.status, missing.header("ratelimit")), (404, None));
    }
    let refused = guess(20);
    assert_eq!(violated(&refused), limited("reads"));
    assert_eq!(refused.header("ratelimit"), Some("\"reads\";r=0;t=10"));
    assert_eq!(server.send(&small_request()).status, 202, "submissions are another matter");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/models").status, 200);
}

#[test]
fn without_quotas_nothing_is_limited_and_nothing_is_told() {
    let server = TestServer::start();
    let accepted = server.send(&small_request());
    assert_eq!((accepted.status, accepted.header("ratelimit")), (202, None));
}
