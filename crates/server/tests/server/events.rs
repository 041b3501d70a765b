//! The extension `sse`: a job's states as they come.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::jobs::{large_request, small_request};
use crate::support::raw::connect;
use crate::support::{Request, TestServer};

/// The head and the text of a stream that was read to its end.
fn stream(server: &TestServer, request: &Request) -> (String, String) {
    let mut stream = connect(server.address);
    stream.write_all(&request.head()).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let text = String::from_utf8(received).unwrap();
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    let mut body = String::new();
    while !rest.is_empty() {
        let (length, chunk) = rest.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&chunk[..length]);
        rest = chunk[length..].strip_prefix("\r\n").unwrap();
    }
    (head.to_ascii_lowercase(), body)
}

fn watch(id: &str) -> Request {
    Request::get(&format!("/jobs/{id}/events")).header("accept", "text/event-stream")
}

/// Id and status of each event; the data says the same of the job as the id does.
fn events(text: &str, id: &str) -> Vec<(u8, String)> {
    text.split("\n\n")
        .filter(|event| !event.is_empty() && *event != ":")
        .map(|event| {
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
            assert_eq!(field("event: "), "status");
            let data: serde_json::Value = serde_json::from_str(&field("data: ")).unwrap();
            let members: Vec<&String> = data.as_object().unwrap().keys().collect();
            assert_eq!(members, ["api_version", "job_id", "status"], "never a result");
            assert_eq!((data["api_version"].as_str(), data["job_id"].as_str()), (Some("1.0.0"), Some(id)));
            (field("id: ").parse().unwrap(), data["status"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn each_state_is_told_once_and_the_stream_ends_with_the_last() {
    let server = TestServer::start_with(|config| config.compute_threads = 1);
    let service = server.get("/service").json();
    assert!(service["extensions"].as_array().unwrap().contains(&"sse".into()));
    // Behind others, so that it is seen on its way.
    for _ in 0..3 {
        server.send(&large_request());
    }
    let id = server.send(&small_request()).job_id();
    let (head, text) = stream(&server, &watch(&id));
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    let told = events(&text, &id);
    assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "{told:?}");
    assert_eq!(told.last().unwrap(), &(2, "completed".to_owned()));
    // Who has seen some is told the rest, who has seen all is not to come back.
    let (_, rest) = stream(&server, &watch(&id).header("last-event-id", "1"));
    assert_eq!(events(&rest, &id), [(2, "completed".to_owned())]);
    let (_, nonsense) = stream(&server, &watch(&id).header("last-event-id", "x"));
    assert_eq!(events(&nonsense, &id), [(2, "completed".to_owned())]);
    assert_eq!(server.send(&watch(&id).header("last-event-id", "2")).status, 204);
}

#[test]
fn a_stream_is_refused_like_a_read() {
    let server = TestServer::start();
    let id = server.send(&small_request().header("prefer", "wait=20")).job_id();
    let missing = server.send(&watch(&"0".repeat(32)));
    assert_eq!((missing.status, missing.code().as_str()), (404, "JOB_NOT_FOUND"));
    let foreign = server.send(&watch(&id).header("x-tenant-id", "other"));
    assert_eq!((foreign.status, foreign.code().as_str()), (404, "JOB_NOT_FOUND"));
    let other = Request::get(&format!("/jobs/{id}/events")).header("accept", "application/json");
    assert_eq!(server.send(&other).status, 406);
}

#[test]
fn streams_of_one_tenant_are_bounded_and_end_with_their_job() {
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.capacity.waiters_per_tenant = 1;
        config.connections.drain = Duration::ZERO;
    });
    let id = server.send(&small_request()).job_id();
    let mut first = connect(server.address);
    first.write_all(&watch(&id).head()).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&received).contains("\"queued\"") {
        let count = first.read(&mut buffer).unwrap();
        received.extend_from_slice(&buffer[..count]);
    }
    // The first waits; the second is shown the job as it stands, and not kept.
    let waits = |seconds: u64| {
        let begun = Instant::now();
        server.get(&format!("/jobs/{id}?wait={seconds}"));
        begun.elapsed() >= Duration::from_secs(seconds)
    };
    while waits(1) {}
    let (_, second) = stream(&server, &watch(&id));
    assert_eq!(events(&second, &id), [(0, "queued".to_owned())]);
    assert_eq!(server.send(&Request::new("DELETE", &format!("/jobs/{id}"))).status, 204);
    first.read_to_end(&mut received).unwrap();
    let text = String::from_utf8(received).unwrap();
    assert!(text.ends_with("0\r\n\r\n") && text.matches("event: ").count() == 1, "{text}");
}

#[test]
fn a_stream_lasts_no_longer_than_a_wait() {
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.limits.max_wait_seconds = 1;
        config.connections.drain = Duration::ZERO;
    });
    let id = server.send(&small_request()).job_id();
    let (_, text) = stream(&server, &watch(&id));
    assert_eq!(events(&text, &id), [(0, "queued".to_owned())]);
}
