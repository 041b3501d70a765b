//! A client that nobody here wrote: Python's `requests`, which writes its whole body before it reads anything and
//! never asks with `Expect`. It must read why it was refused.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::jobs::{large_request, small_request};
use crate::support::{Request, TestServer};

const SCRIPT: &str = r#"
import sys, requests
url, length = sys.argv[1], int(sys.argv[2])
for attempt in range(int(sys.argv[3])):
    chunked = attempt % 2 == 1
    body = (bytes(1 << 16) for _ in range(length >> 16)) if chunked else bytes(length)
    headers = {"content-type": "application/json"}
    answer = requests.post(url + "/infer", data=body, headers=headers, timeout=30)
    print(answer.status_code, answer.json()["code"], answer.headers.get("retry-after"), answer.headers["content-type"])
"#;

/// A Python that has `requests`, if the machine has one.
fn python() -> Option<Command> {
    let mut probe = Command::new("python3");
    probe.args(["-c", "import requests"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) {
        return Some(Command::new("python3"));
    }
    let required = std::env::var("HEI_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|tool| tool == "python"), "python3 with requests is required");
    drop(writeln!(std::io::stderr(), "SKIPPED: there is no python3 with the package requests"));
    None
}

/// What `requests` makes of posting `length` octets `times` times, in one piece and in chunks by turns.
fn posts(server: &TestServer, length: usize, times: usize) -> Option<Vec<String>> {
    let mut command = python()?;
    let url = format!("http://{}", server.address);
    let ended = command
        .args(["-c", SCRIPT, &url, &length.to_string(), &times.to_string()])
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Some(String::from_utf8(ended.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// Larger than the buffers of both ends of a loopback connection together.
const LARGE: usize = 20 << 20;

#[test]
fn python_reads_that_a_body_is_too_large() {
    let server = TestServer::start_with(|config| config.limits.max_request_bytes = 16 << 20);
    let Some(answers) = posts(&server, LARGE, 4) else { return };
    assert_eq!(answers, vec!["413 PAYLOAD_TOO_LARGE None application/problem+json"; 4]);
}

#[test]
fn python_reads_that_its_tenant_has_too_many_jobs() {
    let server = TestServer::start_with(|config| {
        config.limits.max_active_jobs_per_tenant = 4;
        config.workers = Some(0);
        config.connections.drain = Duration::ZERO;
    });
    for _ in 0..4 {
        assert_eq!(server.send(&small_request()).status, 202);
    }
    let Some(answers) = posts(&server, LARGE, 4) else { return };
    let expected = |answer: &String| {
        answer.starts_with("429 RATE_LIMITED ") && answer.ends_with(" application/problem+json")
    };
    assert!(answers.len() == 4 && answers.iter().all(expected), "{answers:?}");
    assert!(
        answers.iter().all(|answer| !answer.contains("None")),
        "each says when to come back: {answers:?}"
    );
}

#[test]
fn python_reads_that_the_server_is_full() {
    let server = TestServer::start_with(|config| {
        config.capacity.stored_jobs = 1;
        config.workers = Some(0);
        config.connections.drain = Duration::ZERO;
    });
    assert_eq!(server.send(&large_request()).status, 202);
    let Some(answers) = posts(&server, LARGE, 4) else { return };
    let expected = |answer: &String| {
        answer.starts_with("503 QUEUE_FULL ") && answer.ends_with(" application/problem+json")
    };
    assert!(answers.len() == 4 && answers.iter().all(expected), "{answers:?}");
    assert!(
        answers.iter().all(|answer| !answer.contains("None")),
        "each says when to come back: {answers:?}"
    );
    assert_eq!(server.send(&Request::get("/health")).status, 200);
}
