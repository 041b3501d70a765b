//! Rows of the adversarial catalogue (docs/catalogue.md) that no other test here has: each with its row in front.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_wire::Format;
use serde_json::json;

use crate::jobs::small_request;
use crate::refusals::{post, refusal, refused, tree};
use crate::support::party::Party;
use crate::support::{LOGISTIC, Request, TestServer, model_file};

/// JS-04: minus zero is zero, and bounds hold for it; what binary64 cannot hold exactly is out of bounds too.
#[test]
fn numbers_at_the_edge_are_held_against_the_bounds() {
    let server = TestServer::start();
    for number in ["-0", "-0.0", "9007199254740993", "2147483648", "18446744073709551616", "1e300", "0.5"] {
        let body = tree().to_string().replace("\"batch_size\":1", &format!("\"batch_size\":{number}"));
        let reply = post(&server, body);
        assert_eq!(reply.refusal(), refusal(400, "INVALID_SCHEMA", ""), "{number}");
        assert_eq!(reply.json()["errors"][0]["pointer"], "/batch_size", "{number}");
    }
}

/// JS-08: a member as large as the body may be is refused by its bound, and nothing of it comes back.
#[test]
fn an_enormous_name_is_refused_and_not_repeated() {
    let server = TestServer::start();
    let mut body = tree();
    body["model_id"] = json!("marker".repeat(10 << 20));
    let reply = post(&server, body.to_string());
    assert_eq!(reply.refusal(), refusal(400, "INVALID_SCHEMA", ""));
    assert!(reply.body.len() < 2000 && !String::from_utf8_lossy(&reply.body).contains("marker"));
}

/// CB-01, CB-04: a float where an integer belongs, text where octets belong.
#[test]
fn cbor_of_the_wrong_types_is_refused() {
    let server = TestServer::start();
    let cbor = |body: &[u8]| refused(server.send(&Request::post("/infer", "application/cbor", body)));
    // {"batch_size": 1.0}, as a half-precision float.
    let float = [b"\xa1\x6abatch_size".as_slice(), b"\xf9\x3c\x00"].concat();
    assert_eq!(cbor(&float).code(), "MALFORMED_BODY");
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let octets = party.payloads(&party.rows(1, 0), Format::Hei);
    let body = party.body(&octets, 1, Encoding::Binary);
    assert_eq!(server.send(&Request::post("/infer", "application/cbor", body.clone())).status, 202);
    // The head of the byte string (major type 2) becomes one of text (major type 3), its octets ASCII.
    let payload = &octets[0];
    let at = body.windows(payload.len()).position(|window| window == payload.as_slice()).unwrap();
    let mut text = body.clone();
    text[at..at + payload.len()].fill(b'0');
    let head = (at - 3..at).find(|index| text[*index] >> 5 == 2).unwrap();
    text[head] |= 0x20;
    let reply = cbor(&text);
    assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_ENCODING"));
}

/// JB-01: whatever is not exactly an id names no job.
#[test]
fn only_the_id_itself_names_a_job() {
    let server = TestServer::start();
    let id = server.send(&small_request().header("prefer", "wait=20")).job_id();
    let hyphens = format!("{}-{}-{}", &id[..8], &id[8..16], &id[16..]);
    let others = [id.to_uppercase(), hyphens, format!("{id}0"), id[1..].to_owned(), "a".repeat(10_000)];
    let escaped = ["..%2f", "%00", "%2e%2e", &format!("{id}%00")].map(str::to_owned);
    for other in others.into_iter().chain(escaped) {
        for target in
            [format!("/jobs/{other}"), format!("/jobs/{other}/result"), format!("/jobs/{other}/events")]
        {
            let accept = if target.ends_with("events") { "text/event-stream" } else { "*/*" };
            let reply = server.send(&Request::get(&target).header("accept", accept));
            assert_eq!(
                reply.refusal(),
                refusal(404, "JOB_NOT_FOUND", ""),
                "{}",
                &target[..target.len().min(60)]
            );
        }
    }
}

/// JB-04: a crowd reads while jobs complete. Nobody sees a part of a result, or a state that goes back; a state has
/// one entity tag, a finished job one body.
#[test]
fn readers_of_a_completing_job_see_all_of_it_or_nothing() {
    const READERS: usize = 24;
    let server = TestServer::start_with(|config| config.compute_threads = 1);
    for _ in 0..3 {
        let id = server.send(&small_request()).job_id();
        let target = format!("/jobs/{id}");
        let bodies: Vec<(Vec<u8>, String)> = std::thread::scope(|scope| {
            let read = || {
                let mut rank = 0;
                loop {
                    let reply = server.get(&target);
                    let job = reply.json();
                    let names = ["queued", "running", "completed"];
                    let now = names.iter().position(|name| job["status"] == *name).unwrap();
                    assert!(now >= rank, "{} after {}", names[now], names[rank]);
                    rank = now;
                    let etag = reply.header("etag").unwrap().to_owned();
                    assert_eq!(etag.starts_with("W/"), rank < 2);
                    assert_eq!(job.get("result").is_some(), rank == 2);
                    if rank == 2 {
                        return (reply.body, etag);
                    }
                }
            };
            let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "one body, one tag");
    }
}

/// JB-06: a wait that is no whole number of seconds, as a query and as a preference.
#[test]
fn waits_that_are_none_are_refused_or_no_preference() {
    let server = TestServer::start();
    let id = server.send(&small_request().header("prefer", "wait=20")).job_id();
    for wait in ["-1", "1.5", "", "x", "1s", "0x10"] {
        let reply = server.get(&format!("/jobs/{id}?wait={wait}"));
        assert_eq!(reply.refusal(), refusal(400, "INVALID_SCHEMA", ""), "{wait}");
        let preferred = Request::get(&format!("/jobs/{id}")).header("prefer", &format!("wait={wait}"));
        let reply = server.send(&preferred);
        assert_eq!((reply.status, reply.header("preference-applied")), (200, None), "{wait}");
    }
    let clamped = server.get(&format!("/jobs/{id}?wait=1000000000000000000000000"));
    assert_eq!(clamped.header("preference-applied"), Some("wait=30"));
}

/// TN-03: whom a request without authentication speaks for.
#[test]
fn a_tenants_name_is_a_name_or_refused() {
    let server = TestServer::start();
    let id = server.send(&small_request()).job_id();
    let read = |name: &str| server.send(&Request::get(&format!("/jobs/{id}")).header("x-tenant-id", name));
    for own in ["", "   ", "default", " default "] {
        assert_eq!(read(own).status, 200, "{own:?} is the default");
    }
    let long = "x".repeat(10_000);
    for bad in [long.as_str(), "\u{e9}"] {
        assert_eq!(read(bad).status, 404, "nobody's jobs");
        let reply = server.send(&small_request().header("x-tenant-id", bad));
        assert_eq!((reply.status, reply.code().as_str()), (400, "INVALID_SCHEMA"));
    }
    let twice = small_request().header("x-tenant-id", "a").header("x-tenant-id", "b");
    assert_eq!(server.send(&twice).code(), "INVALID_SCHEMA");
}

/// TN-06: two tenants with one model at the same time; each gets the result of its own rows, octet for octet.
#[test]
fn tenants_at_the_same_time_get_their_own_results() {
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let work = |tenant: &'static str, salt: u32| {
        let (server, party) = (&server, &party);
        move || {
            let rows = party.rows(1, salt);
            let body = party.body(&party.payloads(&rows, Format::Hei), 1, Encoding::Binary);
            let request = Request::post("/infer", "application/cbor", body)
                .header("x-tenant-id", tenant)
                .header("prefer", "wait=20")
                .header("accept", "application/json");
            let mut first = None;
            for _ in 0..40 {
                let id = server.send(&request).job_id();
                let result = Request::get(&format!("/jobs/{id}/result")).header("x-tenant-id", tenant);
                let octets = server.send(&result).body;
                let value = party.values(&octets, Format::Hei, 1)[0];
                assert!((value - party.expected(&rows)[0]).abs() < 1e-3, "{tenant}: {value}");
                assert_eq!(
                    *first.get_or_insert_with(|| octets.clone()),
                    octets,
                    "the same rows, the same octets"
                );
            }
            first.unwrap()
        }
    };
    let (alice, bob) = std::thread::scope(|scope| {
        let (alice, bob) = (scope.spawn(work("alice", 1)), scope.spawn(work("bob", 2)));
        (alice.join().unwrap(), bob.join().unwrap())
    });
    assert_ne!(alice, bob);
}

/// RS-02: while one tenant floods the server with large bodies of nonsense, another's submissions are all taken.
#[test]
fn a_flood_of_one_tenant_refuses_no_other() {
    let server = TestServer::start_with(|config| {
        config.limits.max_request_bytes = 16 << 20;
        config.capacity.buffered_body_bytes = 64 << 20;
    });
    let flood =
        Request::post("/infer", "application/json", vec![b'['; 12 << 20]).header("x-tenant-id", "flood");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    let reply = server.send(&flood);
                    assert!(matches!(reply.status, 400 | 503), "{}", reply.status);
                }
            });
        }
        for _ in 0..30 {
            let reply = server.send(&small_request().header("prefer", "wait=20"));
            if reply.status != 200 {
                over.store(true, Ordering::Release);
            }
            assert_eq!(reply.status, 200, "{}", reply.code());
        }
        over.store(true, Ordering::Release);
    });
}

/// RS-01, JB-05: what one tenant keeps queued is its own limit, and deleting gives it back.
#[test]
fn a_tenant_with_too_many_jobs_is_alone_with_that() {
    let server = TestServer::start_with(|config| {
        config.limits.max_active_jobs_per_tenant = 4;
        config.workers = Some(0);
        config.connections.drain = Duration::ZERO;
    });
    let send = |tenant: &str| server.send(&small_request().header("x-tenant-id", tenant));
    let ids: Vec<String> = (0..4).map(|_| send("a").job_id()).collect();
    let refused = send("a");
    assert_eq!((refused.status, &refused.json()["violated_policies"]), (429, &json!(["active-jobs"])));
    assert_eq!(send("b").status, 202);
    let delete = Request::new("DELETE", &format!("/jobs/{}", ids[0])).header("x-tenant-id", "a");
    assert_eq!(server.send(&delete).status, 204);
    assert_eq!(send("a").status, 202);
}
