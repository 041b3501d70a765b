//! The transport against a server that plays a script over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// What the script does with one connection.
enum Act {
    /// Answers with these bytes, then closes.
    Answer(String),
    /// Reads the request, then closes without a word.
    HangUp,
    /// Answers with a chunked body that never ends by itself.
    Endless,
}

struct Seen {
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (reader.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let mut seen = Seen { head, body: Vec::new() };
    let length = seen.header("content-length").map_or(0, |v| v.parse().unwrap());
    seen.body.resize(length, 0);
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

fn play(acts: Vec<Act>) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        for act in acts {
            let (mut stream, _) = listener.accept().unwrap();
            let Some(request) = read_request(&stream) else { continue };
            // The test may be over before the script is.
            let _ = sender.send(request);
            match act {
                Act::Answer(text) => drop(stream.write_all(text.as_bytes())),
                Act::HangUp => {}
                Act::Endless => {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
                    let _ = stream.write_all(head.as_bytes());
                    while stream.write_all(chunk.as_bytes()).is_ok() {}
                }
            }
        }
    });
    (url, seen)
}

fn answer(status: &str, extra: &str, media: &str, body: &str) -> Act {
    let length = body.len();
    Act::Answer(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n{extra}connection: close\r\n\r\n{body}"
    ))
}

fn json(status: &str, body: &str) -> Act {
    answer(status, "", "application/json", body)
}

fn problem(status: &str, extra: &str, code: &str, retryable: bool) -> Act {
    let body = format!(r#"{{"code":"{code}","retryable":{retryable},"detail":"no"}}"#);
    answer(status, extra, "application/problem+json", &body)
}

fn client(url: &str) -> HttpClient {
    HttpClient::new(url, Options::default()).unwrap()
}

const JOB: &str = "0123456789abcdef0123456789abcdef";

fn accepted() -> Act {
    let times = r#""created_at":"2026-01-01T00:00:00.000Z","expires_at":"2026-01-02T00:00:00.000Z""#;
    let body = format!(r#"{{"job_id":"{JOB}","status":"accepted",{times},"poll_after_ms":1,"new":true}}"#);
    json("202 Accepted", &body)
}

fn job_body(id: &str, status: &str, more: &str) -> String {
    let time = |name: &str, second: u32| format!(r#""{name}":"2026-01-01T00:00:0{second}.000Z""#);
    let times = [time("created_at", 0), time("started_at", 1), time("finished_at", 3), time("expires_at", 9)];
    format!(
        r#"{{"job_id":"{id}","status":"{status}","model_id":"m","version":"1.0.0","poll_after_ms":1,{}{more}}}"#,
        times.join(",")
    )
}

fn job(status: &str, more: &str) -> Act {
    let timing = "server-timing: queue;dur=1, eval;dur=2.5\r\n";
    answer("200 OK", timing, "application/json", &job_body(JOB, status, more))
}

/// The `result` member of a completed job.
fn result(payload: &str) -> String {
    format!(
        r#","result":{{"model_id":"m","version":"1.0.0","params_id":"{}","encoding":"base64","payload":{payload},
        "diagnostics":{{"requested_batch_size":1,"processed_batch_size":1,"batch_truncated":false}}}}"#,
        "ab".repeat(32)
    )
}

fn reference(octets: &[u8]) -> String {
    let digest = hei_protocol::encoding::to_hex(&Sha256::digest(octets));
    // Where the reference points must not matter.
    result(&format!(r#"{{"href":"http://elsewhere.example/","size":{},"digest":"{digest}"}}"#, octets.len()))
}

fn submitted(url: &str) -> InferAccepted {
    client(url).submit(b"body", BodyFormat::Cbor, &IdempotencyKey::random().unwrap()).unwrap()
}

#[test]
fn a_submission_is_repeated_with_the_same_key_and_body_until_it_is_taken() {
    let (url, seen) = play(vec![
        Act::HangUp,
        problem("503 Service Unavailable", "retry-after: 0\r\n", "QUEUE_FULL", true),
        problem("409 Conflict", "retry-after: 0\r\n", "IDEMPOTENCY_IN_PROGRESS", true),
        accepted(),
    ]);
    assert_eq!(submitted(&url).job_id.to_string(), JOB);
    let requests: Vec<Seen> = seen.iter().take(4).collect();
    let key = requests[0].header("idempotency-key").unwrap();
    assert!(key.len() == 38 && key.starts_with('"') && key.ends_with('"'), "{key}");
    for request in &requests {
        assert_eq!(request.header("idempotency-key"), Some(key));
        assert_eq!(request.header("content-type"), Some("application/cbor"));
        assert_eq!(request.body, b"body");
    }
}

#[test]
fn a_refusal_that_is_not_retryable_is_never_repeated() {
    let (url, seen) = play(vec![
        problem("400 Bad Request", "", "INVALID_CIPHERTEXT", false),
        problem("400 Bad Request", "", "SECOND", false),
    ]);
    let refused = client(&url).submit(b"", BodyFormat::Json, &IdempotencyKey::random().unwrap()).unwrap_err();
    assert!(matches!(&refused, HttpError::Problem(p) if p.code == "INVALID_CIPHERTEXT"), "{refused}");
    assert_eq!(seen.try_iter().count(), 1);
}

#[test]
fn a_pause_that_no_clock_can_hold_is_a_refusal() {
    for pause in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let extra = format!("retry-after: {pause}\r\n");
        let (url, _seen) = play(vec![problem("503 Service Unavailable", &extra, "QUEUE_FULL", true)]);
        let refused =
            client(&url).submit(b"", BodyFormat::Json, &IdempotencyKey::random().unwrap()).unwrap_err();
        assert!(matches!(&refused, HttpError::Problem(p) if p.code == "QUEUE_FULL"), "{refused}");
    }
}

#[test]
fn an_absent_server_is_unreachable_after_all_attempts() {
    // A port that was free a moment ago, with nobody behind it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = client(&format!("http://127.0.0.1:{port}")).models().unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { attempts: 5, .. }), "{error}");
}

#[test]
fn the_deadline_bounds_all_attempts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let options = Options { timeout: Some(Duration::from_millis(200)), ..Options::default() };
    let error = HttpClient::new(&url, options).unwrap().models().unwrap_err();
    assert!(matches!(error, HttpError::Deadline), "{error}");
}

#[test]
fn a_redirect_is_not_followed_and_the_token_stays() {
    let (elsewhere, stolen) = play(vec![json("200 OK", "{}")]);
    let redirect = format!("location: {elsewhere}/models\r\n");
    let (url, seen) = play(vec![answer("307 Temporary Redirect", &redirect, "text/plain", "")]);
    let token = Some(Zeroizing::new("hei_id_secret".to_owned()));
    let error = HttpClient::new(&url, Options { token, ..Options::default() }).unwrap().models().unwrap_err();
    assert!(matches!(error, HttpError::Redirected { status: 307 }), "{error}");
    assert_eq!(seen.recv().unwrap().header("authorization"), Some("Bearer hei_id_secret"));
    assert!(stolen.try_recv().is_err());
}

#[test]
fn a_token_never_travels_in_the_clear_and_addresses_are_plain() {
    let with_token = |url: &str, token: &str| {
        HttpClient::new(url, Options { token: Some(Zeroizing::new(token.to_owned())), ..Options::default() })
            .err()
    };
    assert!(matches!(with_token("http://example.org", "t"), Some(HttpError::InsecureToken)));
    assert!(with_token("https://example.org", "t").is_none());
    assert!(with_token("http://[::1]:8000", "t").is_none());
    assert!(with_token("http://localhost:8000", "t").is_none());
    for token in ["", "a b", "a\r\nx: y", &"x".repeat(513)] {
        assert!(matches!(with_token("https://example.org", token), Some(HttpError::InvalidToken)));
    }
    for url in
        ["", "example.org", "/models", "ftp://x", "file:///etc", "http://", "http://u:p@x", "http://x?a=b"]
    {
        assert!(HttpClient::new(url, Options::default()).is_err(), "{url}");
    }
}

#[test]
fn an_answer_is_cut_at_its_planned_size() {
    let octets = b"0123456789";
    let answered = || answer("200 OK", "", "application/octet-stream", "0123456789");
    let fetch = |limit: u64, last: Act| {
        let (url, _seen) = play(vec![accepted(), job("completed", &reference(octets)), last]);
        let finished = client(&url).wait(&submitted(&url), limit).unwrap();
        client(&url).result(finished, limit)
    };
    assert_eq!(fetch(10, answered()).unwrap(), octets);
    assert!(matches!(fetch(9, answered()), Err(HttpError::TooLarge { limit: 9 })));
    assert!(matches!(fetch(10_000, Act::Endless), Err(HttpError::TooLarge { limit: 10_000 })));
    let other = answer("200 OK", "", "application/octet-stream", "0123456780");
    assert!(matches!(fetch(10, other), Err(HttpError::Unexpected(_))), "other octets than announced");

    let inline = |limit: u64| {
        let (url, _seen) = play(vec![accepted(), job("completed", &result(r#""MDEyMzQ1Njc4OQ==""#))]);
        let finished = client(&url).wait(&submitted(&url), limit).unwrap();
        client(&url).result(finished, limit)
    };
    assert_eq!(inline(10).unwrap(), octets);
    assert!(matches!(inline(9), Err(HttpError::TooLarge { limit: 9 })));
}

#[test]
fn a_job_is_followed_until_it_is_done() {
    let done = job("completed", &reference(b""));
    let (url, seen) = play(vec![accepted(), job("queued", ""), job("running", ""), done]);
    let accepted = submitted(&url);
    let finished = client(&url).wait(&accepted, 0).unwrap();
    assert_eq!(finished.result.model_id.as_str(), "m");
    assert_eq!(finished.evaluate_ms, Some(2.5));
    let paths: Vec<String> = seen.iter().take(4).map(|s| s.head.lines().next().unwrap().to_owned()).collect();
    assert!(paths[1].starts_with(&format!("GET /jobs/{JOB}?wait=")), "{}", paths[1]);
}

#[test]
fn a_job_that_fails_goes_back_or_is_another_one_ends_the_wait() {
    let fails = |acts: Vec<Act>| {
        let mut script = vec![accepted()];
        script.extend(acts);
        let (url, _seen) = play(script);
        client(&url).wait(&submitted(&url), 0).unwrap_err()
    };
    let failed = fails(vec![job(
        "failed",
        r#","error":{"code":"EVALUATION_FAILED","message":"m","retryable":false}"#,
    )]);
    assert!(
        matches!(&failed, HttpError::JobFailed { code, retryable: false } if code.as_str() == "EVALUATION_FAILED")
    );
    let backwards = fails(vec![job("running", ""), job("queued", "")]);
    assert!(matches!(backwards, HttpError::Unexpected("a job's status went backwards")), "{backwards}");
    let unknown = fails(vec![job("paused", "")]);
    assert!(matches!(unknown, HttpError::Unexpected(_)), "{unknown}");
    let foreign = fails(vec![json("200 OK", &job_body(&JOB.replace('0', "f"), "queued", ""))]);
    assert!(matches!(foreign, HttpError::Unexpected("the answer is about another job")), "{foreign}");
}

#[test]
fn a_job_id_cannot_steer_a_path() {
    for id in ["../../admin", "0123", &format!("{JOB}?x"), &JOB.to_uppercase()] {
        let times = r#""created_at":"2026-01-01T00:00:00.000Z","expires_at":"2026-01-02T00:00:00.000Z""#;
        let (url, _seen) =
            play(vec![json("202 Accepted", &format!(r#"{{"job_id":"{id}","status":"accepted",{times}}}"#))]);
        let refused = client(&url).submit(b"", BodyFormat::Json, &IdempotencyKey::random().unwrap());
        assert!(matches!(refused, Err(HttpError::Unexpected(_))), "{id}");
    }
}

#[test]
fn an_answer_of_the_wrong_kind_is_not_read_as_the_right_one() {
    let (url, _seen) = play(vec![answer("200 OK", "", "text/html", "<html>"), json("200 OK", "[")]);
    assert!(matches!(client(&url).models(), Err(HttpError::Unexpected(_))));
    let refused = client(&url).submit(b"", BodyFormat::Json, &IdempotencyKey::random().unwrap());
    assert!(matches!(refused, Err(HttpError::Unexpected(_))));
}

#[test]
fn keys_do_not_repeat() {
    let keys: std::collections::HashSet<String> =
        (0..1000).map(|_| IdempotencyKey::random().unwrap().0).collect();
    assert_eq!(keys.len(), 1000);
}
