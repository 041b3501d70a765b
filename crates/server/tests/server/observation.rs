//! What the log says, and what it never does.

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_wire::Format;

use crate::log;
use crate::support::party::Party;
use crate::support::{LOGISTIC, Request, TestServer, model_file, raw};

/// Planted wherever a client can write; no line of the log repeats it, in any letter case.
const MARKER: &str = "xq7markerzk";

#[test]
fn no_line_of_the_log_repeats_what_a_client_wrote() {
    let log = log::capture();
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let rows = party.rows(1, 1);
    let mut payloads = party.payloads(&rows, Format::Hei);
    let valid = party.body(&payloads, 1, Encoding::Binary);
    // Beyond the header, so that it is decoded before it is refused.
    let at = payloads[0].len() - 2 * MARKER.len();
    payloads[0][at..at + MARKER.len()].copy_from_slice(MARKER.as_bytes());
    let marked = party.body(&payloads, 1, Encoding::Binary);
    let cbor = "application/cbor";
    let json = |body: String| Request::post("/infer", "application/json", body);
    let requests = [
        Request::post("/infer", cbor, valid.clone())
            .header("x-tenant-id", MARKER)
            .header("authorization", &format!("Bearer hei_abc_{MARKER}"))
            .header("idempotency-key", &format!("\"{MARKER}\""))
            .header("traceparent", &format!("00-{MARKER}"))
            .header("user-agent", MARKER)
            .header("x-request-id", MARKER)
            .header("prefer", "wait=30"),
        Request::post("/infer", cbor, valid).header("idempotency-key", &format!("\"{MARKER}\u{1}\"")),
        Request::post("/infer", cbor, marked),
        Request::post("/infer", &format!("text/{MARKER}"), MARKER),
        Request::get("/models").header("accept", &format!("text/{MARKER}")),
        Request::get("/models").header("api-version", MARKER),
        Request::get(&format!("/{MARKER}?{MARKER}={MARKER}")),
        Request::get(&format!("/jobs/{MARKER}")),
        Request::get(&format!("/jobs/00000000000000000000000000000000?wait={MARKER}")),
        Request::get(&format!("/models/{MARKER}/versions/{MARKER}")),
        Request::new("PUT", &format!("/keys/{MARKER}")).header("content-type", "application/octet-stream"),
        Request::new(&MARKER.to_uppercase(), "/infer"),
        json(format!("{{\"{MARKER}\": \"{MARKER}\"}}")),
        json(format!("{{\"api_version\":\"v1\",\"model_id\":\"{MARKER}\"")),
        json(format!(
            "{{\"api_version\":\"v1\",\"model_id\":\"{MARKER}\",\"version\":\"{MARKER}\",\"batch_size\":1,\
             \"inputs\":[{{\"payload\":\"{MARKER}\",\"encoding\":\"hex\"}}]}}"
        )),
    ];
    let mut statuses = Vec::new();
    for request in &requests {
        statuses.push(raw::exchange(server.address, request).status);
    }
    // Not HTTP at all.
    let mut stream = raw::connect(server.address);
    std::io::Write::write_all(&mut stream, format!("{MARKER} {MARKER}\r\n\r\n").as_bytes()).unwrap();
    raw::read_reply(&mut stream, false);
    assert_eq!(statuses[0], 200, "the first one is served whole");
    assert_eq!(statuses.remove(2), 202, "the mask of a ciphertext can be any octets");
    assert!(statuses[1..].iter().all(|status| *status >= 400), "{statuses:?}");
    server.finish();
    let text = log.text();
    assert!(text.contains("DEBUG"), "the log is complete");
    let repeated: Vec<_> = text.lines().filter(|line| line.to_lowercase().contains(MARKER)).collect();
    assert!(repeated.is_empty(), "{repeated:#?}");
    let hex: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!text.contains(&hex), "nor in hexadecimal");
}

#[test]
fn a_trace_is_followed_from_the_request_to_the_evaluation() {
    let log = log::capture();
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let body = party.body(&party.payloads(&party.rows(1, 1), Format::Hei), 1, Encoding::Binary);
    let trace = "5bd66ef5095369c7b0d1f8f4bd33716a";
    let request = Request::post("/infer", "application/cbor", body)
        .header("prefer", "wait=30")
        .header("traceparent", &format!("00-{trace}-c532cb4098ac3dd2-01"));
    let reply = server.send(&request);
    assert_eq!(reply.status, 200);
    let request_id = reply.header("x-request-id").unwrap().to_owned();
    server.finish();
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(trace)).collect();
    for what in ["job accepted", "job evaluated", "exchange"] {
        assert!(lines.iter().any(|line| line.contains(what)), "{what}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.contains(&request_id)), "{lines:#?}");
}

#[test]
fn a_flood_of_refused_requests_leaves_a_bounded_log() {
    let log = log::capture();
    let server = TestServer::start();
    let target = "/health/flood";
    let count = || {
        let lines = log.text();
        lines.lines().filter(|line| line.contains("NOT_FOUND") && line.contains("exchange")).count()
    };
    let before = count();
    let begun = std::time::Instant::now();
    let mut stream = raw::connect(server.address);
    let request = Request::get(target).header("connection", "keep-alive");
    for _ in 0..2000 {
        std::io::Write::write_all(&mut stream, &request.head()).unwrap();
        assert_eq!(raw::read_reply(&mut stream, false).status, 404);
    }
    // Other tests of this process refuse a few requests of their own meanwhile.
    let windows = begun.elapsed().as_secs() as usize + 2;
    let written = count() - before;
    assert!(written >= 50, "some are logged: {written}");
    assert!(written <= windows * 50 + 100, "{written} lines for 2000 requests in {windows} windows");
}
