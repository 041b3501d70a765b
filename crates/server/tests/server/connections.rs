//! Connections that misbehave, octet by octet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::raw::{closes, connect, read_reply};
use crate::support::{Request, TestServer, contract};

#[test]
fn a_silent_or_slow_head_is_closed() {
    let server = TestServer::start_with(|config| {
        config.connections.header_timeout = Duration::from_millis(300);
    });
    for start in ["", "GE", "GET /health HTTP/1.1\r\nhost: l"] {
        let mut stream = connect(server.address);
        stream.write_all(start.as_bytes()).unwrap();
        let started = Instant::now();
        assert!(closes(&mut stream), "{start:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{start:?}");
    }
    // One octet at a time does not extend it.
    let mut stream = connect(server.address);
    let started = Instant::now();
    for octet in b"GET /health HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'a')) {
        if stream.write_all(&[*octet]).is_err() || started.elapsed() > Duration::from_secs(10) {
            break;
        }
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if matches!(std::io::Read::read(&mut stream, &mut [0; 256]), Ok(0)) {
            break;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_slow_body_is_refused() {
    let server = TestServer::start_with(|config| {
        config.body.rate_window = Duration::from_millis(200);
        config.body.min_bytes_per_window = 1000;
    });
    let mut request = Request::post("/infer", "application/json", "");
    request = request.header("content-length", "100000");
    let mut stream = connect(server.address);
    stream.write_all(&request.head()).unwrap();
    stream.write_all(b"{").unwrap();
    let reply = read_reply(&mut stream, false);
    contract::check(&request, &reply);
    assert_eq!((reply.status, reply.code().as_str()), (408, "REQUEST_TIMEOUT"));
    assert!(closes(&mut stream));
}

#[test]
fn ambiguous_framing_is_refused_and_closed() {
    let server = TestServer::start();
    for fields in [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: +2\r\n",
        "content-length: 2, 3\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
    ] {
        let mut stream = connect(server.address);
        let head = format!(
            "POST /infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}\r\n{{}}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let reply = read_reply(&mut stream, false);
        assert_eq!(reply.status, 400, "{fields:?}");
        assert!(closes(&mut stream), "{fields:?}");
    }
    // A chunk as large as the address space.
    let mut stream = connect(server.address);
    let head = "POST /infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"ffffffffffffffffff\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 400);
    assert!(closes(&mut stream));
}

#[test]
fn a_length_and_chunks_at_once_cost_the_connection() {
    let server = TestServer::start();
    let mut stream = connect(server.address);
    let head = "POST /infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let started = Instant::now();
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 400);
    // Whatever a proxy in between took for the next request is not answered.
    assert!(closes(&mut stream));
    assert!(started.elapsed() < Duration::from_secs(5), "closed for what it sent, not for its silence");
}

#[test]
fn a_head_that_does_not_parse_gets_a_bare_status() {
    let server = TestServer::start();
    let many: String = (0..200).map(|index| format!("x-{index}: 1\r\n")).collect();
    let heads = [
        ("GET\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\nhost: l\r\n\r\n", "a".repeat(66_000)), 414),
        (format!("GET / HTTP/1.1\r\nhost: l\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nhost: l\r\nx: {}\r\n\r\n", "a".repeat(1 << 20)), 431),
    ];
    for (head, status) in heads {
        let mut stream = connect(server.address);
        // The server may have closed before the end of it.
        stream.write_all(head.as_bytes()).ok();
        let reply = read_reply(&mut stream, false);
        let start = head.get(..24).unwrap_or(&head);
        assert_eq!((reply.status, reply.body.len()), (status, 0), "{start:?}");
        assert!(reply.header("api-version").is_none() && reply.header("x-request-id").is_none());
        assert!(closes(&mut stream), "{start:?}");
    }
}

#[test]
fn a_long_header_section_is_refused() {
    let server = TestServer::start();
    let long = Request::get("/health").header("x-long", &"a".repeat(17 << 10));
    assert_eq!(server.send(&long).code(), "HEADERS_TOO_LARGE");
    let mut many = Request::get("/health");
    for index in 0..70 {
        many = many.header(&format!("x-{index}"), "1");
    }
    assert_eq!(server.send(&many).code(), "HEADERS_TOO_LARGE");
    assert_eq!(server.send(&Request::get("/health").header("x-long", &"a".repeat(15 << 10))).status, 200);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind() {
    let server = TestServer::start_with(|config| config.capacity.buffered_body_bytes = 84 << 20);
    for _ in 0..8 {
        let request =
            Request::post("/infer", "application/json", "").header("content-length", &(60 << 20).to_string());
        let mut stream = connect(server.address);
        stream.write_all(&request.head()).unwrap();
        stream.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    // Had one of them kept its share of the memory for bodies, there would be none left.
    let reply = server.send(&Request::post("/infer", "application/json", vec![b' '; 60 << 20]));
    assert_eq!(reply.code(), "MALFORMED_BODY");
}

/// A `POST /infer` whose body has not been sent, once the server asks for it.
fn waiting_body(server: &TestServer, framing: (&str, &str)) -> TcpStream {
    let request = Request::post("/infer", "application/json", "")
        .header(framing.0, framing.1)
        .header("expect", "100-continue");
    let mut stream = connect(server.address);
    stream.write_all(&request.head()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 "));
    stream
}

/// Submits nonsense until the answer has this status.
fn until(server: &TestServer, status: u16) {
    let patience = Instant::now() + Duration::from_secs(20);
    while server.send(&Request::post("/infer", "application/json", "{}")).status != status {
        assert!(Instant::now() < patience, "no {status}");
    }
}

#[test]
fn bodies_share_a_budget() {
    let server = TestServer::start_with(|config| {
        // One tenant may have three quarters: a MiB.
        config.capacity.buffered_body_bytes = (4 << 20) / 3;
        config.capacity.admission_wait = Duration::from_millis(50);
    });
    let mut holder = waiting_body(&server, ("content-length", "1048576"));
    until(&server, 400);
    holder.write_all(&vec![b' '; (1 << 20) - 1]).unwrap();
    until(&server, 503);
    let refused = server.send(&Request::post("/infer", "application/json", "{}"));
    assert_eq!((refused.status, refused.code().as_str()), (503, "QUEUE_FULL"));
    let others = Request::post("/infer", "application/json", "{}").header("x-tenant-id", "other");
    assert_eq!(server.send(&others).status, 400, "the last quarter is for others");
    holder.write_all(b" ").unwrap();
    assert_eq!(read_reply(&mut holder, false).status, 400);
    until(&server, 400);
    // A body that outgrows the budget is refused when it does.
    let request = Request::post("/infer", "application/json", vec![b' '; 2 << 20]);
    assert_eq!(server.send(&request).code(), "QUEUE_FULL");
}

#[test]
fn bodies_that_only_begin_keep_nobody_out() {
    let server = TestServer::start();
    let _begun: Vec<TcpStream> = [("transfer-encoding", "chunked"), ("content-length", "67108864")]
        .into_iter()
        .cycle()
        .take(32)
        .map(|framing| {
            let mut stream = waiting_body(&server, framing);
            let first: &[u8] = if framing.1 == "chunked" { b"1\r\n{\r\n" } else { b"{" };
            stream.write_all(first).unwrap();
            stream
        })
        .collect();
    let reply = server.send(&crate::jobs::small_request());
    assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
}

#[test]
fn a_body_ends_in_its_time_at_any_rate() {
    let server = TestServer::start_with(|config| {
        config.body.deadline = Duration::from_millis(300);
        config.body.rate_window = Duration::from_secs(3600);
    });
    let mut stream = waiting_body(&server, ("content-length", "67108864"));
    stream.write_all(&vec![b' '; 1 << 20]).unwrap();
    let reply = read_reply(&mut stream, false);
    assert_eq!((reply.status, reply.code().as_str()), (408, "REQUEST_TIMEOUT"));
}

#[test]
fn an_upload_of_a_key_keeps_a_pace_and_ends_in_its_time() {
    let second = Duration::from_secs(1);
    for (window, deadline) in [(second / 4, 3600 * second), (3600 * second, second / 4)] {
        let server = TestServer::start_with(|config| {
            config.body.rate_window = window;
            config.body.key_deadline = deadline;
            // That of other bodies is another.
            config.body.deadline = second / 100;
        });
        for framing in [("content-length", "1000000000"), ("transfer-encoding", "chunked")] {
            let request = Request::new("PUT", &format!("/keys/{}", "0".repeat(64)))
                .header("content-type", "application/octet-stream")
                .header(framing.0, framing.1);
            let mut stream = connect(server.address);
            stream.write_all(&request.head()).unwrap();
            stream.write_all(b"1\r\nx\r\n").unwrap();
            let reply = read_reply(&mut stream, false);
            contract::check(&request, &reply);
            assert_eq!((reply.status, reply.code().as_str()), (408, "REQUEST_TIMEOUT"), "{framing:?}");
        }
    }
}

#[test]
fn a_waiting_submission_has_given_back_its_share() {
    let server = TestServer::start_with(|config| {
        config.workers = Some(0);
        config.capacity.buffered_body_bytes = 64 << 10;
        config.capacity.admission_wait = Duration::from_millis(50);
    });
    let small = crate::jobs::small_request();
    let mut waiting = connect(server.address);
    let request = small.clone().header("prefer", "wait=30");
    waiting.write_all(&request.head()).unwrap();
    waiting.write_all(&request.body).unwrap();
    // Until its body is read and judged, it may be in the way.
    let patience = Instant::now() + Duration::from_secs(15);
    while server.send(&small).status != 202 {
        assert!(Instant::now() < patience, "the share is held while the client waits");
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let server = TestServer::start();
    let mut stream = connect(server.address);
    for target in ["/health", "/models", "/nowhere", "/service"] {
        let request = Request::get(target).header("connection", "keep-alive");
        stream.write_all(&request.head()).unwrap();
        contract::check(&request, &read_reply(&mut stream, false));
    }
    // A refused body that is read to its end does not cost the connection.
    let request = Request::post("/infer", "text/plain", "hello").header("connection", "keep-alive");
    stream.write_all(&request.head()).unwrap();
    stream.write_all(&request.body).unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 415);
    stream.write_all(&Request::get("/health").head()).unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 200);
}
