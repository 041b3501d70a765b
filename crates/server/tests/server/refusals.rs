//! Requests that the server refuses: with the right code, without a job, without an echo, without harm.

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_protocol::encoding::{to_base64, to_hex};
use hei_wire::Format;
use serde_json::{Value, json};

use crate::support::party::Party;
use crate::support::{BREAST_CANCER, LOGISTIC, Reply, Request, TestServer, model_file};

/// A refusal leads to no job.
pub fn refused(reply: Reply) -> Reply {
    assert!((400..500).contains(&reply.status), "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.header("location"), None);
    assert!(reply.json().get("job_id").is_none());
    reply
}

pub fn refusal(status: u16, code: &str, reason: &str) -> (u16, String, Option<String>) {
    (status, code.to_owned(), (!reason.is_empty()).then(|| reason.to_owned()))
}

/// A JSON request as a tree to break: eight tiny payloads that reach no decoder unless everything before is right.
pub fn tree() -> Value {
    let input = json!({"encoding": "hex", "payload": "00"});
    json!({"model_id": "logistic_v1", "version": "1.0.0", "batch_size": 1, "inputs": vec![input; 8]})
}

pub fn post(server: &TestServer, body: impl Into<Vec<u8>>) -> Reply {
    refused(server.send(&Request::post("/infer", "application/json", body)))
}

#[test]
fn malformed_bodies_are_refused() {
    let server = TestServer::start();
    let valid = tree().to_string();
    let deep = "[".repeat(100_000);
    let twice = valid.replacen("\"version\"", "\"model_id\":\"logistic_v1\",\"version\"", 1);
    let nested = valid.replacen("\"payload\"", "\"payload\":\"00\",\"payload\"", 1);
    let cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{".to_vec(),
        b"nonsense".to_vec(),
        deep.into_bytes(),
        [b"\xef\xbb\xbf", valid.as_bytes()].concat(),
        valid.replace("logistic", "logi\u{1}stic").into_bytes(),
        [b"{\"model_id\":\"", b"\xff".as_slice(), b"\"}"].concat(),
        valid.replace("logistic_v1", "\\ud800").into_bytes(),
        valid.replace("\"batch_size\":1", "\"batch_size\":NaN").into_bytes(),
        valid.replace("\"batch_size\":1", "\"batch_size\":1e400").into_bytes(),
        valid.replace("\"batch_size\":1", "\"batch_size\":01").into_bytes(),
        format!("{valid}{valid}").into_bytes(),
        format!("{valid},").into_bytes(),
        twice.into_bytes(),
        nested.into_bytes(),
    ];
    for body in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(post(&server, body).code(), "MALFORMED_BODY", "{shown}");
    }
}

#[test]
fn malformed_cbor_is_refused() {
    let server = TestServer::start();
    let cases: [&[u8]; 9] = [
        b"",
        b"\xbf\xff",                                          // indefinite map
        b"\xa1\x61a\x18\x01",                                 // a head that is not the shortest
        b"\xa1\x61a\xc1\x00",                                 // a tag
        b"\xa2\x61a\x00\x61a\x00",                            // a repeated key
        b"\xa1\x61a\x5b\x80\x00\x00\x00\x00\x00\x00\x00\x01", // a byte string of 2^63 octets
        b"\xa1\x61a\x9a\x00\x0f\x42\x40",                     // a million elements that are not there
        b"\xa1\x61a\x00\x00",                                 // something after the document
        b"\xa1\x61a\x62\xff\xff",                             // text that is not UTF-8
    ];
    for body in cases {
        let reply = refused(server.send(&Request::post("/infer", "application/cbor", body)));
        assert_eq!(reply.code(), "MALFORMED_BODY", "{body:02x?}");
    }
}

#[test]
fn bodies_outside_the_schema_are_refused_with_pointers() {
    let server = TestServer::start();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut body = tree();
        change(&mut body);
        let reply = post(&server, body.to_string());
        assert_eq!(reply.code(), "INVALID_SCHEMA", "{body}");
        let errors = reply.json()["errors"].as_array().unwrap().clone();
        assert!((1..=32).contains(&errors.len()));
        let pointers = errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned());
        let mut pointers: Vec<String> = pointers.collect();
        pointers.dedup();
        pointers
    };
    for member in ["model_id", "version", "batch_size", "inputs"] {
        let pointers = broken(&|body| drop(body.as_object_mut().unwrap().remove(member)));
        assert_eq!(pointers, [format!("/{member}")]);
    }
    for wrong in [json!(0), json!(65_537), json!(true), json!("1"), json!(1.5), json!(null), json!(-1)] {
        assert_eq!(broken(&|body| body["batch_size"] = wrong.clone()), ["/batch_size"], "{wrong}");
    }
    assert_eq!(broken(&|body| body["model_id"] = json!("../x")), ["/model_id"]);
    assert_eq!(broken(&|body| body["model_id"] = json!("x".repeat(10_000))), ["/model_id"]);
    assert_eq!(broken(&|body| body["inputs"] = json!([])), ["/inputs"]);
    assert_eq!(broken(&|body| body["inputs"][3]["encoding"] = json!("rot13")), ["/inputs/3/encoding"]);
    assert_eq!(broken(&|body| body["inputs"][2] = json!("00")), ["/inputs/2"]);
    assert_eq!(broken(&|body| body["result_encoding"] = json!("binary")), ["/result_encoding"]);
    assert_eq!(broken(&|body| body["layout"] = json!("packed")), ["/layout"]);
    assert_eq!(broken(&|body| body["deadline_seconds"] = json!(0)), ["/deadline_seconds"]);
    assert_eq!(broken(&|body| body["surplus"] = json!(1)), [""]);
    // A thousand surplus members make no thousand errors.
    broken(&|body| (0..1000).for_each(|index| body[format!("surplus_{index}")] = json!(index)));
    for document in ["null", "[]", "\"x\"", "1"] {
        assert_eq!(post(&server, document).code(), "INVALID_SCHEMA", "{document}");
    }
}

#[test]
fn integers_may_be_written_with_a_fraction_of_zero() {
    let server = TestServer::start();
    for written in ["1.0", "1e0", "10e-1"] {
        let body = tree().to_string().replace("\"batch_size\":1", &format!("\"batch_size\":{written}"));
        assert_ne!(post(&server, body).code(), "INVALID_SCHEMA", "{written} is the integer 1");
    }
}

#[test]
fn an_unknown_model_or_version_is_refused() {
    let server = TestServer::start();
    for (member, value) in [("model_id", "logistic_v2"), ("version", "9.9.9"), ("version", "newest")] {
        let mut body = tree();
        body[member] = value.into();
        assert_eq!(post(&server, body.to_string()).refusal(), refusal(404, "UNKNOWN_MODEL", ""), "{value}");
    }
}

#[test]
fn a_batch_above_the_maximum_is_refused() {
    let server = TestServer::start();
    let mut body = tree();
    body["batch_size"] = 17.into();
    let reply = post(&server, body.to_string());
    assert_eq!(reply.refusal(), refusal(400, "BATCH_TOO_LARGE", ""));
    assert_eq!(reply.json()["limit"], 16);
    // A layout may take fewer rows than the model: as many as its ring holds.
    let party = Party::new(&model_file(BREAST_CANCER), Layout::Coefficients);
    let most = party.facts.max_batch_size;
    let body = party.body(&[vec![0]], most as usize + 1, Encoding::Hex);
    let reply = post(&server, body);
    assert_eq!(
        (reply.code().as_str(), reply.json()["limit"].as_u64()),
        ("BATCH_TOO_LARGE", Some(most.into()))
    );
}

#[test]
fn a_wrong_number_of_inputs_is_refused() {
    let server = TestServer::start();
    for count in [1, 7, 9, 17] {
        let mut body = tree();
        body["inputs"] = json!(vec![json!({"encoding": "hex", "payload": "00"}); count]);
        let reply = post(&server, body.to_string());
        assert_eq!(reply.refusal(), refusal(400, "INPUT_COUNT_MISMATCH", ""), "{count}");
        assert_eq!(
            (reply.json()["expected"].as_u64(), reply.json()["actual"].as_u64()),
            (Some(8), Some(count as u64))
        );
    }
    let mut body = tree();
    body["inputs"] = json!(vec![json!({"encoding": "hex", "payload": "00"}); 257]);
    let reply = post(&server, body.to_string());
    assert_eq!((reply.status, reply.json()["limit_name"].as_str()), (413, Some("max_inputs")));
}

#[test]
fn payloads_that_are_not_their_encoding_are_refused() {
    let server = TestServer::start();
    let octets = to_base64(&[0xfb; 16]);
    let cases = [
        ("hex", "0", "odd_length"),
        ("hex", "0x00", "invalid_hex"),
        ("hex", "00 0", "invalid_hex"),
        ("hex", "00\n0", "invalid_hex"),
        ("hex", "000g", "invalid_hex"),
        ("base64", octets.trim_end_matches('='), "invalid_base64"),
        ("base64", &octets.replace('+', "-"), "invalid_base64"),
        ("base64", "AB==", "invalid_base64"),
        ("base64", "AA==\n", "invalid_base64"),
        ("binary", "00", "not_allowed"),
    ];
    for (encoding, payload, reason) in cases {
        let mut body = tree();
        body["inputs"][2] = json!({"encoding": encoding, "payload": payload});
        let reply = post(&server, body.to_string());
        assert_eq!(reply.refusal(), refusal(400, "INVALID_ENCODING", reason), "{payload:?}");
        assert_eq!(reply.json()["input_index"], 2);
    }
    // Upper case is hex. An empty payload is well encoded, and no ciphertext.
    let mut body = tree();
    body["inputs"][0]["payload"] = "FF".into();
    assert_eq!(post(&server, body.to_string()).code(), "INVALID_CIPHERTEXT");
    body["inputs"][0]["payload"] = "".into();
    assert_eq!(
        post(&server, body.to_string()).refusal(),
        refusal(400, "INVALID_CIPHERTEXT", "length_mismatch")
    );
}

#[test]
fn a_body_above_the_limit_is_refused() {
    use std::io::Write;

    use crate::support::{contract, raw};
    let server = TestServer::start();
    const OVER: usize = 65 << 20;
    let declared = Request::new("POST", "/infer").header("content-type", "application/json");

    // Declared: refused before any octet of it is sent.
    let reply = server.send(&declared.clone().header("content-length", &OVER.to_string()));
    assert_eq!((reply.status, reply.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(
        (reply.json()["limit"].as_u64(), reply.json()["limit_name"].as_str()),
        (Some(64 << 20), Some("max_request_bytes"))
    );

    // Declared and sent in full by a client that reads nothing before it has written everything.
    let body = vec![b' '; OVER];
    let reply = server.send(&Request { body: body.clone(), ..declared.clone() });
    assert_eq!(reply.code(), "PAYLOAD_TOO_LARGE");

    // In chunks, without a declared length: cut at the limit.
    let request = declared.header("transfer-encoding", "chunked");
    let mut stream = raw::connect(server.address);
    stream.write_all(&request.head()).unwrap();
    for chunk in body.chunks(1 << 20) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).unwrap();
        stream.write_all(chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let reply = raw::read_reply(&mut stream, false);
    contract::check(&request, &reply);
    assert_eq!(reply.code(), "PAYLOAD_TOO_LARGE");

    // At the limit it is read, and refused for what it is.
    let reply = post(&server, vec![b' '; 64 << 20]);
    assert_eq!(reply.code(), "MALFORMED_BODY");
}

#[test]
fn other_media_types_are_refused() {
    let server = TestServer::start();
    let body = tree().to_string();
    for media in ["text/plain", "application/json; charset=utf-16", "application/x-www-form-urlencoded", ""] {
        let reply = refused(server.send(&Request::post("/infer", media, body.as_str())));
        assert_eq!(reply.refusal(), refusal(415, "UNSUPPORTED_MEDIA_TYPE", ""), "{media}");
    }
    let none = Request { body: body.clone().into(), ..Request::new("POST", "/infer") };
    assert_eq!(server.send(&none).code(), "UNSUPPORTED_MEDIA_TYPE");
    for coding in ["gzip", "zstd", "identity"] {
        let request =
            Request::post("/infer", "application/json", body.as_str()).header("content-encoding", coding);
        assert_eq!(server.send(&request).code(), "UNSUPPORTED_MEDIA_TYPE", "{coding}");
    }
    for media in ["application/json", "APPLICATION/JSON; charset=UTF-8"] {
        let reply = refused(server.send(&Request::post("/infer", media, body.as_str())));
        assert_eq!(reply.code(), "INVALID_CIPHERTEXT", "{media} is read");
    }
    let reply = refused(
        server.send(&Request::post("/infer", "application/json", body).header("accept", "text/html")),
    );
    assert_eq!(reply.code(), "NOT_ACCEPTABLE");
}

#[test]
fn the_earliest_failing_stage_decides() {
    let server = TestServer::start();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = tree();
        change(&mut body);
        body.to_string()
    };
    let json = |body: String| Request::post("/infer", "application/json", body);
    let odd = |body: &mut Value| body["inputs"][0]["payload"] = "0".into();
    // Each request has the fault of its line and of every line below.
    let everything = |body: &mut Value| {
        body["model_id"] = "unknown".into();
        body["batch_size"] = 17.into();
        body["inputs"] = json!([{"encoding": "hex", "payload": "0"}]);
    };
    let text = Request::post("/infer", "text/plain", "{").header("content-length", &(65 << 20).to_string());
    let cases: Vec<(Request, &str)> = vec![
        (Request { method: "PUT".into(), ..text.clone() }, "METHOD_NOT_ALLOWED"),
        (text, "UNSUPPORTED_MEDIA_TYPE"),
        (json("{".into()).header("content-length", &(65 << 20).to_string()), "PAYLOAD_TOO_LARGE"),
        (json("{".into()).header("api-version", "2"), "MALFORMED_BODY"),
        (
            json(with(&|body| body["batch_size"] = 0.into())).header("api-version", "2"),
            "UNSUPPORTED_API_VERSION",
        ),
        (
            json(with(&|body| {
                everything(body);
                body["batch_size"] = 0.into();
            }))
            .header("idempotency-key", "\""),
            "INVALID_SCHEMA",
        ),
        (json(with(&everything)).header("idempotency-key", "\""), "INVALID_IDEMPOTENCY_KEY"),
        (json(with(&everything)), "UNKNOWN_MODEL"),
        (
            json(with(&|body| {
                body["batch_size"] = 17.into();
                body["layout"] = "other".into();
                odd(body);
            })),
            "BATCH_TOO_LARGE",
        ),
        (
            json(with(&|body| {
                body["layout"] = "coefficients".into();
                odd(body);
            })),
            "INPUT_COUNT_MISMATCH",
        ),
        (
            json(with(&|body| {
                body["evaluation_key_id"] = "0".repeat(64).into();
                odd(body);
            })),
            "EVALUATION_KEY_NOT_FOUND",
        ),
        (
            json(with(&|body| {
                odd(body);
                body["inputs"][1]["payload"] = "00".into();
            })),
            "INVALID_ENCODING",
        ),
    ];
    for (request, code) in cases {
        assert_eq!(refused(server.send(&request)).code(), code);
    }
}

#[test]
fn a_refused_submission_leaves_no_job() {
    // One unfinished job fills the server: if a refusal left one, the next submission would find no room.
    let server = TestServer::start_with(|config| config.capacity.stored_jobs = 1);
    for _ in 0..3 {
        post(&server, tree().to_string());
        post(&server, "{");
    }
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let body = party.body(&party.payloads(&party.rows(1, 0), Format::Hei), 1, Encoding::Hex);
    let request = Request::post("/infer", "application/json", body);
    assert_eq!(server.send(&request).status, 202);
    let full = server.send(&request);
    assert_eq!((full.status, full.code().as_str()), (503, "QUEUE_FULL"));
    assert!(full.header("retry-after").unwrap().parse::<u64>().unwrap() > 3600, "until a record expires");
}

#[test]
fn every_refusal_is_a_problem_document() {
    // The contract check behind every `send` does the looking; this one provokes a refusal of every status.
    let server = TestServer::start();
    let mut statuses = std::collections::BTreeSet::new();
    let unacceptable = Request::get("/models").header("accept", "image/png");
    let long = Request::get("/models").header("x-long", &"a".repeat(17 << 10));
    for request in [
        Request::get("/nowhere"),
        Request::new("PUT", "/models"),
        unacceptable,
        long,
        Request::post("/infer", "application/json", "{"),
        Request::post("/infer", "text/plain", "{"),
        Request::post("/infer/plain", "application/json", "{}"),
        Request::post("/infer", "application/json", "").header("content-length", "99999999999"),
    ] {
        let reply = server.send(&request);
        assert!(statuses.insert(reply.status), "{}", reply.status);
        let problem = reply.json();
        assert_eq!(problem["instance"], format!("urn:uuid:{}", reply.header("x-request-id").unwrap()));
        assert_eq!(problem["error"]["code"], problem["code"]);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/v1/"));
    }
    assert_eq!(Vec::from_iter(statuses), [400, 404, 405, 406, 413, 415, 431, 501]);
}

#[test]
fn refusals_never_echo_the_request() {
    const MARKER: &str = "m4rk3r7f3a9c";
    let server = TestServer::start();
    let in_body = |change: &dyn Fn(&mut Value)| {
        let mut body = tree();
        change(&mut body);
        Request::post("/infer", "application/json", body.to_string())
    };
    let valid = || in_body(&|_| {});
    let requests = [
        Request::get(&format!("/{MARKER}")),
        Request::get(&format!("/jobs/{MARKER}")),
        Request::get(&format!("/models/{MARKER}/versions/{MARKER}?{MARKER}={MARKER}")),
        Request::get(&format!("/models?view={MARKER}")),
        Request::get(&format!("/jobs/{}?wait={MARKER}", "0".repeat(32))),
        Request::get("/models").header("accept", MARKER).header("x-request-id", MARKER),
        Request::get("/models").header("api-version", MARKER),
        Request::post("/infer", MARKER, MARKER),
        Request::post("/infer", "application/json", MARKER),
        Request::post("/infer", "application/cbor", MARKER),
        in_body(&|body| body["model_id"] = MARKER.into()),
        in_body(&|body| body["version"] = MARKER.into()),
        in_body(&|body| body["api_version"] = MARKER.into()),
        in_body(&|body| body["layout"] = MARKER.into()),
        in_body(&|body| body[MARKER] = MARKER.into()),
        in_body(&|body| body["inputs"][0][MARKER] = MARKER.into()),
        in_body(&|body| body["batch_size"] = MARKER.into()),
        in_body(&|body| body["inputs"][0]["payload"] = MARKER.into()),
        in_body(&|body| body["inputs"][0]["payload"] = to_hex(MARKER.as_bytes()).into()),
        in_body(&|body| body["inputs"][0]["encoding"] = MARKER.into()),
        valid().header("idempotency-key", &format!("\"{MARKER}")),
        valid().header("idempotency-key", MARKER),
        valid().header("x-tenant-id", &format!("{MARKER} {MARKER}")),
        valid().header("prefer", MARKER),
        Request::new(MARKER, "/models"),
    ];
    let log = crate::log::capture();
    for request in requests {
        let reply = refused(server.send(&request));
        let text = format!("{:?}{}", reply.headers, String::from_utf8_lossy(&reply.body)).to_lowercase();
        for echo in [MARKER.to_owned(), to_hex(MARKER.as_bytes())] {
            assert!(!text.contains(&echo), "{} {}: {text}", request.method, request.target);
        }
        for library in ["serde", "axum", "hyper", "jsonschema", ".rs", "panicked"] {
            assert!(!text.contains(library), "{library}: {text}");
        }
    }
    let logged = log.text().to_lowercase();
    assert!(logged.contains("exchange"), "the log was captured");
    assert!(
        !logged.contains(MARKER) && !logged.contains(&to_hex(MARKER.as_bytes())),
        "the log repeats the request"
    );
}
