//! Jobs: states, waiting, conditions, results, isolation.

use std::time::{Duration, Instant};

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_wire::Format;

use crate::support::party::Party;
use crate::support::{LOGISTIC, Reply, Request, TestServer, model_file};

/// A request for one row in the small layout.
pub fn small_request() -> Request {
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let body = party.body(&party.payloads(&party.rows(1, 0), Format::Hei), 1, Encoding::Hex);
    Request::post("/infer", "application/json", body)
}

/// A request that takes a while: sixteen rows in the large layout.
pub fn large_request() -> Request {
    let party = Party::new(&model_file(LOGISTIC), Layout::FeatureColumns);
    let body = party.body(&party.payloads(&party.rows(16, 0), Format::Hei), 16, Encoding::Binary);
    Request::post("/infer", "application/cbor", body)
}

fn finished(server: &TestServer) -> Reply {
    let reply = server.send(&small_request().header("prefer", "wait=30"));
    assert_eq!(reply.status, 200);
    reply
}

#[test]
fn status_never_goes_back() {
    let server = TestServer::start_with(|config| config.compute_threads = 1);
    // Three jobs on one thread: the last is seen in every state.
    let ids: Vec<String> =
        (0..3).map(|_| server.send(&large_request().header("accept", "application/json")).job_id()).collect();
    let rank =
        |status: &str| ["queued", "running", "completed"].iter().position(|name| *name == status).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut ranks = vec![0; ids.len()];
    while ranks.iter().any(|rank| *rank < 2) {
        assert!(Instant::now() < deadline);
        for (id, last) in ids.iter().zip(&mut ranks) {
            let reply = server.get(&format!("/jobs/{id}"));
            let job = reply.json();
            let now = rank(job["status"].as_str().unwrap());
            assert!(now >= *last, "{} after rank {last}", job["status"]);
            *last = now;
            assert_eq!(job["started_at"].is_string(), now > 0);
            assert_eq!(job["finished_at"].is_string(), now == 2);
            assert_eq!(job["result"].is_object(), now == 2);
            assert_eq!(job["poll_after_ms"].is_u64(), now < 2);
            assert_eq!(reply.header("retry-after").is_some(), now < 2);
        }
    }
}

#[test]
fn live_jobs_say_when_to_come_back() {
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.capacity.queued_jobs = 1;
    });
    let seconds = |reply: &Reply| reply.header("retry-after").unwrap().parse::<u64>().unwrap();
    let accepted = server.send(&small_request());
    assert!(seconds(&accepted) >= 1);
    let path = format!("/jobs/{}", accepted.job_id());
    let live = server.get(&path);
    assert_eq!(live.json()["status"], "queued");
    assert!(seconds(&live) >= 1);
    assert!(live.json()["poll_after_ms"].as_u64().unwrap() >= 1);
    let early = server.get(&format!("{path}/result"));
    assert_eq!((early.status, early.code().as_str()), (409, "JOB_NOT_COMPLETED"));
    assert!(seconds(&early) >= 1);
    let full = server.send(&small_request());
    assert_eq!((full.status, full.code().as_str()), (503, "QUEUE_FULL"));
    assert!(seconds(&full) >= 1);
}

#[test]
fn a_wait_that_ends_shows_the_job_as_it_stands() {
    let server = TestServer::start_with(|config| config.workers = Some(0));
    let submitted = server.send(&small_request().header("prefer", "wait=1"));
    assert_eq!((submitted.status, submitted.header("preference-applied")), (202, Some("wait=1")));
    let path = format!("/jobs/{}?wait=1", submitted.job_id());
    let started = Instant::now();
    let live = server.get(&path);
    assert_eq!(live.json()["status"], "queued");
    let etag = live.header("etag").unwrap();
    let unchanged = server.send(&Request::get(&path).header("if-none-match", etag));
    assert_eq!(unchanged.status, 304);
    assert!(started.elapsed() >= Duration::from_secs(2), "both waited");
    let news = server.send(&Request::get(&path).header("if-none-match", "\"other\""));
    assert_eq!(news.status, 200);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn inputs_that_wait_share_a_budget() {
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.capacity.queued_input_bytes = 8 << 20;
    });
    // Eight ciphertexts of two polynomials, three limbs and 16384 words each take 6 MiB in memory.
    assert_eq!(server.send(&large_request()).status, 202);
    let full = server.send(&large_request());
    assert_eq!((full.status, full.code().as_str()), (503, "QUEUE_FULL"));
    assert_eq!(server.send(&small_request()).status, 202, "a small one still fits");
}

#[test]
fn waiters_of_one_tenant_are_bounded() {
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.capacity.waiters_per_tenant = 0;
    });
    let id = server.send(&small_request()).job_id();
    let started = Instant::now();
    assert_eq!(server.get(&format!("/jobs/{id}?wait=30")).json()["status"], "queued");
    assert!(started.elapsed() < Duration::from_secs(10), "answered without waiting");
}

#[test]
fn a_terminal_job_reads_the_same_every_time() {
    let server = TestServer::start();
    let id = finished(&server).job_id();
    for (target, accept) in [
        (format!("/jobs/{id}"), "application/json"),
        (format!("/jobs/{id}"), "application/cbor"),
        (format!("/jobs/{id}?result=reference"), "application/json"),
        (format!("/jobs/{id}?result=reference"), "application/cbor"),
        (format!("/jobs/{id}/result"), "application/octet-stream"),
    ] {
        let request = Request::get(&target).header("accept", accept);
        let first = server.send(&request);
        let etag = first.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"'), "strong: {etag}");
        assert_eq!(first.header("cache-control"), Some("private, immutable"));
        for _ in 0..20 {
            let again = server.send(&request);
            assert_eq!((&again.body, again.header("etag")), (&first.body, Some(etag.as_str())), "{target}");
        }
        let conditional = server.send(&request.header("if-none-match", &etag));
        assert_eq!((conditional.status, conditional.body.len()), (304, 0));
    }
}

#[test]
fn each_representation_has_its_own_entity_tag() {
    let server = TestServer::start();
    let id = finished(&server).job_id();
    let mut tags = std::collections::HashSet::new();
    for target in [format!("/jobs/{id}"), format!("/jobs/{id}?result=reference")] {
        for accept in ["application/json", "application/cbor"] {
            let reply = server.send(&Request::get(&target).header("accept", accept));
            assert!(tags.insert(reply.header("etag").unwrap().to_owned()), "{target} {accept}");
        }
    }
}

#[test]
fn a_waiting_read_returns_when_the_job_is_done() {
    let server = TestServer::start_with(|config| config.compute_threads = 1);
    let ids: Vec<String> =
        (0..4).map(|_| server.send(&large_request().header("accept", "application/json")).job_id()).collect();
    let started = Instant::now();
    let last = server.get(&format!("/jobs/{}?wait=30", ids[3]));
    assert_eq!(last.json()["status"], "completed");
    assert_eq!(last.header("preference-applied"), Some("wait=30"));
    assert!(started.elapsed() < Duration::from_secs(25), "it returned before the time was over");
    let first = server.send(&Request::get(&format!("/jobs/{}", ids[0])).header("prefer", "wait=3000000000"));
    assert_eq!(first.json()["status"], "completed");
    assert_eq!(first.header("preference-applied"), Some("wait=30"), "clamped and echoed");
    for wrong in ["-1", "1.5", "", "x"] {
        let refused = server.get(&format!("/jobs/{}?wait={wrong}", ids[0]));
        assert_eq!(refused.code(), "INVALID_SCHEMA", "{wrong}");
    }
    assert_eq!(server.get(&format!("/jobs/{}?result=other", ids[0])).code(), "INVALID_SCHEMA");
}

#[test]
fn a_conditional_wait_returns_when_the_representation_changes() {
    let server = TestServer::start_with(|config| config.compute_threads = 1);
    let ids: Vec<String> =
        (0..4).map(|_| server.send(&large_request().header("accept", "application/json")).job_id()).collect();
    let path = format!("/jobs/{}", ids[3]);
    let mut seen = vec![];
    let mut etag = String::from("\"none\"");
    // Each round names what it has and is answered with what comes next, until nothing can.
    loop {
        let request = Request::get(&format!("{path}?wait=30")).header("if-none-match", &etag);
        let reply = server.send(&request);
        assert_eq!(reply.status, 200, "every answer is news");
        let status = reply.json()["status"].as_str().unwrap().to_owned();
        assert!(!seen.contains(&status), "{status} twice: {seen:?}");
        seen.push(status.clone());
        etag = reply.header("etag").unwrap().to_owned();
        if status == "completed" {
            break;
        }
        assert!(etag.starts_with("W/"), "a live job has a weak tag");
    }
    // A terminal job does not change: 304 at once, however long the wait.
    let started = Instant::now();
    let reply = server.send(&Request::get(&format!("{path}?wait=30")).header("if-none-match", &etag));
    assert_eq!(reply.status, 304);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_result_octets_equal_the_inline_payload() {
    let server = TestServer::start();
    let job = finished(&server).json();
    let id = job["job_id"].as_str().unwrap();
    let inline = hei_protocol::encoding::from_hex(job["result"]["payload"].as_str().unwrap()).unwrap();
    let path = format!("/jobs/{id}/result");
    let whole = server.get(&path);
    assert_eq!((whole.status, &whole.body), (200, &inline));
    let digest = {
        use sha2::{Digest, Sha256};
        <[u8; 32]>::from(Sha256::digest(&inline))
    };
    let repr = format!("sha-256=:{}:", hei_protocol::encoding::to_base64(&digest));
    assert_eq!(whole.header("repr-digest"), Some(repr.as_str()));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));

    let reference = server.get(&format!("/jobs/{id}?result=reference")).json();
    let reference = &reference["result"]["payload"];
    assert_eq!(reference["href"], path.as_str());
    assert_eq!(reference["size"], inline.len());
    assert_eq!(reference["digest"], hei_protocol::encoding::to_hex(&digest));

    let range = |value: &str| server.send(&Request::get(&path).header("range", value));
    let part = range("bytes=10-19");
    assert_eq!((part.status, part.body.as_slice()), (206, &inline[10..20]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{}", inline.len()).as_str()));
    assert_eq!(part.header("repr-digest"), Some(repr.as_str()), "of the whole representation");
    assert_eq!(range("bytes=-5").body, inline[inline.len() - 5..]);
    assert_eq!(range("bytes=0-1,4-5").status, 200, "several ranges are answered with everything");
    let beyond = range(&format!("bytes={}-", inline.len()));
    assert_eq!((beyond.status, beyond.code().as_str()), (416, "RANGE_NOT_SATISFIABLE"));
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{}", inline.len()).as_str()));
    let stale = Request::get(&path).header("range", "bytes=0-1").header("if-range", "\"other\"");
    assert_eq!(server.send(&stale).status, 200);
    let head = server.send(&Request::new("HEAD", &path));
    assert_eq!(head.header("content-length"), Some(inline.len().to_string().as_str()));
    assert_eq!(
        server.send(&Request::get(&path).header("accept", "application/json")).code(),
        "NOT_ACCEPTABLE"
    );
}

#[test]
fn foreign_and_absent_jobs_look_the_same() {
    let server = TestServer::start();
    let id =
        server.send(&small_request().header("x-tenant-id", "alice").header("prefer", "wait=30")).job_id();
    let read = |target: &str, tenant: &str| server.send(&Request::get(target).header("x-tenant-id", tenant));
    assert_eq!(read(&format!("/jobs/{id}"), "alice").status, 200);
    assert_eq!(read(&format!("/jobs/{id}/result"), " alice ").status, 200);
    let anonymous = |mut reply: Reply| {
        let request_id = reply.header("x-request-id").unwrap().to_owned();
        reply.headers.retain(|(name, _)| name != "x-request-id" && name != "date");
        let body = String::from_utf8(reply.body).unwrap().replace(&request_id, "ID");
        (reply.status, reply.headers, body)
    };
    let absent = "0123456789abcdef0123456789abcdef";
    for suffix in ["", "/result", "?wait=5"] {
        let foreign = anonymous(read(&format!("/jobs/{id}{suffix}"), "bob"));
        assert_eq!(foreign.0, 404);
        assert!(foreign.2.contains("JOB_NOT_FOUND"));
        let upper = id.to_uppercase();
        for other in [absent, "x", "..%2f", "%00", upper.as_str(), &"a".repeat(6000), "%ff"] {
            assert_eq!(anonymous(read(&format!("/jobs/{other}{suffix}"), "bob")), foreign, "{other}");
        }
        assert_eq!(anonymous(read(&format!("/jobs/{absent}{suffix}"), "alice")), foreign);
        assert_eq!(anonymous(server.get(&format!("/jobs/{id}{suffix}"))), foreign, "nor the default tenant");
        assert_eq!(anonymous(read(&format!("/jobs/{id}{suffix}"), &"t".repeat(4000))), foreign);
    }
}

#[test]
fn tenants_do_not_see_each_other() {
    let server = TestServer::start_with(|config| {
        config.limits.max_active_jobs_per_tenant = 4;
        config.workers = Some(0);
    });
    let as_tenant = |request: Request, tenant: &str| server.send(&request.header("x-tenant-id", tenant));
    // The same idempotency key is another key for another tenant.
    let request = small_request().header("idempotency-key", "\"same\"");
    let alice = as_tenant(request.clone(), "alice").job_id();
    let bob = as_tenant(request, "bob").job_id();
    assert_ne!(alice, bob);
    // One tenant's unfinished jobs do not count for another.
    for _ in 0..3 {
        assert_eq!(as_tenant(small_request(), "alice").status, 202);
    }
    let refused = as_tenant(small_request(), "alice");
    assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
    assert_eq!(refused.json()["violated_policies"], serde_json::json!(["active-jobs"]));
    assert_eq!(refused.json()["limit"], 4);
    assert_eq!(as_tenant(small_request(), "bob").status, 202);
    // A name that cannot be a tenant's is refused, and not repeated.
    for wrong in ["a b", &"t".repeat(129), "t\u{e9}"] {
        let reply = as_tenant(small_request(), wrong);
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_SCHEMA"), "{wrong}");
    }
    assert_eq!(as_tenant(small_request(), "  ").status, 202, "blank is the default tenant");
}

#[test]
fn job_ids_are_random() {
    let server = TestServer::start();
    let request = small_request();
    let ids: std::collections::HashSet<String> = (0..16).map(|_| server.send(&request).job_id()).collect();
    assert_eq!(ids.len(), 16, "the same submission without a key is another job");
    assert!(ids.iter().all(|id| id.len() == 32));
    let nibbles: std::collections::HashSet<char> = ids.iter().flat_map(|id| id.chars()).collect();
    assert_eq!(nibbles.len(), 16);
}

#[test]
fn a_deadline_that_passed_fails_the_job_and_it_can_be_submitted_again() {
    let server = TestServer::start_with(|config| config.limits.max_run_seconds = 0);
    let reply = server.send(&small_request().header("prefer", "wait=30"));
    let job = reply.json();
    assert_eq!((reply.status, job["status"].as_str()), (200, Some("failed")));
    assert_eq!(job["error"]["code"], "JOB_DEADLINE_EXCEEDED");
    assert_eq!(job["error"]["retryable"], true);
    assert_eq!(job["error_message"], job["error"]["message"]);
    assert!(job["result"].is_null() && job["finished_at"].is_string());
    let id = job["job_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/jobs/{id}/result")).code(), "JOB_FAILED");
    assert_eq!(server.get(&format!("/jobs/{id}")).body, reply.body);
}

#[test]
fn a_job_that_waits_beyond_its_deadline_fails_in_the_queue() {
    let server = TestServer::start_with(|config| config.workers = Some(0));
    let mut request = small_request();
    let mut body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    body["deadline_seconds"] = 1.into();
    request.body = body.to_string().into_bytes();
    let patient = server.send(&small_request()).job_id();
    let hasty = server.send(&request).job_id();
    let job = server.get(&format!("/jobs/{hasty}?wait=20")).json();
    assert_eq!((job["status"].as_str(), &job["started_at"]), (Some("failed"), &serde_json::Value::Null));
    assert_eq!(job["error"]["code"], "JOB_DEADLINE_EXCEEDED");
    assert_eq!(server.get(&format!("/jobs/{patient}")).json()["status"], "queued");
}

#[test]
fn readiness_follows_the_room_there_is() {
    type Change = fn(&mut hei_server::ServerConfig);
    let full: [Change; 2] =
        [|config| config.capacity.queued_jobs = 1, |config| config.capacity.stored_jobs = 1];
    for change in full {
        let server = TestServer::start_with(|config| {
            config.workers = Some(0);
            change(config);
        });
        assert_eq!(server.get("/health/ready").status, 200);
        assert_eq!(server.send(&small_request()).status, 202);
        let refused = server.get("/health/ready");
        assert_eq!((refused.status, refused.code().as_str()), (503, "NOT_READY"));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(server.get("/health").status, 200);
    }
    // What one tenant has used up is no reason to send the others elsewhere.
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.limits.max_active_jobs_per_tenant = 4;
    });
    for _ in 0..4 {
        assert_eq!(server.send(&small_request()).status, 202);
    }
    assert_eq!(server.send(&small_request()).status, 429);
    assert_eq!(server.get("/health/ready").status, 200);
}

#[test]
fn an_expired_job_is_gone() {
    use std::sync::Arc;

    use hei_protocol::Timestamp;
    use hei_server::clock::{Clock, ManualClock};

    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_767_225_600_000)));
    let server = TestServer::start_with(|config| {
        config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        config.limits.job_ttl_seconds = 3600;
        config.limits.idempotency_ttl_seconds = 2 * 3600;
    });
    let request = small_request().header("prefer", "wait=30").header("idempotency-key", "k");
    let job = server.send(&request).json();
    assert_eq!(job["created_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(job["expires_at"], "2026-01-01T01:00:00.000Z");
    let path = format!("/jobs/{}", job["job_id"].as_str().unwrap());
    clock.advance(Duration::from_millis(3_599_999));
    assert_eq!(server.get(&path).status, 200);
    clock.advance(Duration::from_millis(1));
    for target in [path.clone(), format!("{path}/result")] {
        assert_eq!((server.get(&target).status, server.get(&target).code().as_str()), (410, "JOB_EXPIRED"));
        let foreign = server.send(&Request::get(&target).header("x-tenant-id", "other"));
        assert_eq!(foreign.code(), "JOB_NOT_FOUND");
    }
    assert_eq!(server.send(&request).code(), "JOB_EXPIRED", "a replay never executes twice");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(server.get(&path).code(), "JOB_NOT_FOUND");
    assert_eq!(server.send(&request).status, 200, "the key is forgotten after its time");
}
