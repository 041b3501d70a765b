//! Requests: from octets to the typed view, and every way they are refused.

use std::str::FromStr;

use hei_protocol::encoding::EncodingError;
use hei_protocol::messages::{BodyFormat, InferRequest, Input, PlainRequest, parse};
use hei_protocol::schema::check_infer_request;
use hei_protocol::{Encoding, KeyId, ModelId, ModelVersion, Problem, ProblemCode};
use proptest::prelude::*;
use serde_json::{Value, json};

fn request() -> Value {
    json!({
        "model_id": "logistic_v1", "version": "1.0.0", "batch_size": 2,
        "inputs": [{"encoding": "hex", "payload": "00ff"}, {"encoding": "base64", "payload": "AP8="}]
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut request = request();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match request.pointer_mut(parent).unwrap() {
        Value::Array(elements) => elements[name.parse::<usize>().unwrap()] = value,
        object => object[name] = value,
    }
    request
}

fn refusal(body: &Value) -> Problem {
    InferRequest::parse(BodyFormat::Json, body.to_string().as_bytes(), None).map(drop).expect_err("refused")
}

fn refused_at(body: &Value) -> Vec<(String, &'static str)> {
    let problem = refusal(body);
    assert_eq!(problem.code(), ProblemCode::InvalidSchema, "{body}");
    problem.errors().iter().map(|error| (error.pointer.clone(), error.reason)).collect()
}

#[test]
fn reads_a_request_of_the_reference_client() {
    let inputs: Vec<Value> = (0..8).map(|_| json!({"encoding": "hex", "payload": "68656931"})).collect();
    let body =
        json!({"model_id": "logistic_v1", "version": "1.0.0", "inputs": inputs, "batch_size": 1}).to_string();
    let request = InferRequest::parse(BodyFormat::Json, body.as_bytes(), None).unwrap();
    assert_eq!(request.model_id.as_str(), "logistic_v1");
    assert_eq!((request.batch_size, request.inputs.len()), (1, 8));
    assert_eq!(request.reply_encoding(), Encoding::Hex);
    assert_eq!(request.inputs[0].decode().unwrap().as_ref(), b"hei1");
    assert!(!request.inputs[0].exceeds(4) && request.inputs[0].exceeds(3));
}

#[test]
fn unsupported_versions_come_before_the_schema() {
    for (member, header) in
        [(Some("2"), None), (None, Some("v2")), (Some("1.99"), Some("1.99")), (Some(""), None)]
    {
        let mut body = json!({"surplus": 1});
        if let Some(member) = member {
            body["api_version"] = json!(member);
        }
        let problem =
            InferRequest::parse(BodyFormat::Json, body.to_string().as_bytes(), header).map(drop).unwrap_err();
        assert_eq!(problem.code(), ProblemCode::UnsupportedApiVersion, "{member:?} {header:?}");
    }
    for wrong in [json!(1), json!(null), json!(["1"])] {
        assert_eq!(refused_at(&with("/api_version", wrong)), [("/api_version".to_owned(), "type")]);
    }
    for alias in ["1", "v1", "1.0", "1.0.9"] {
        let body = with("/api_version", json!(alias)).to_string();
        assert!(InferRequest::parse(BodyFormat::Json, body.as_bytes(), Some(alias)).is_ok(), "{alias}");
    }
}

#[test]
fn header_and_member_must_agree() {
    let body = with("/api_version", json!("v1")).to_string();
    let problem =
        InferRequest::parse(BodyFormat::Json, body.as_bytes(), Some("1.0.0")).map(drop).unwrap_err();
    assert_eq!(problem.code(), ProblemCode::InvalidSchema);
    assert_eq!(problem.errors()[0].pointer, "/api_version");
}

#[test]
fn refuses_bodies_that_are_no_request() {
    for body in ["null", "[]", "\"x\"", "1", "true"] {
        let problem = InferRequest::parse(BodyFormat::Json, body.as_bytes(), None).map(drop).unwrap_err();
        assert_eq!(problem.code(), ProblemCode::InvalidSchema, "{body}");
    }
    let problem = InferRequest::parse(BodyFormat::Json, b"{", None).map(drop).unwrap_err();
    assert_eq!((problem.code(), problem.reason()), (ProblemCode::MalformedBody, Some("malformed")));
}

#[test]
fn places_and_reasons_are_told() {
    assert_eq!(refused_at(&with("/batch_size", json!(true))), [("/batch_size".to_owned(), "type")]);
    assert_eq!(refused_at(&with("/batch_size", json!(0))), [("/batch_size".to_owned(), "minimum")]);
    assert_eq!(refused_at(&with("/batch_size", json!(1u64 << 31))), [("/batch_size".to_owned(), "maximum")]);
    assert_eq!(
        refused_at(&with("/batch_size", json!(18446744073709551616.0))),
        [("/batch_size".to_owned(), "maximum")]
    );
    assert_eq!(refused_at(&with("/batch_size", json!(1.5))), [("/batch_size".to_owned(), "type")]);
    assert_eq!(refused_at(&with("/inputs", json!([]))), [("/inputs".to_owned(), "min_items")]);
    assert_eq!(refused_at(&with("/model_id", json!("../x"))), [("/model_id".to_owned(), "pattern")]);
    assert_eq!(
        refused_at(&with("/inputs/1", json!({"encoding": "hex"}))),
        [("/inputs/1/payload".to_owned(), "missing")]
    );
    assert_eq!(
        refused_at(&with("/inputs/0/encoding", json!("utf"))),
        [("/inputs/0/encoding".to_owned(), "enum")]
    );
    let long = refused_at(&with("/model_id", json!("a".repeat(10_000))));
    assert!(long.iter().all(|(pointer, _)| pointer == "/model_id"), "{long:?}");
    assert!(
        InferRequest::parse(BodyFormat::Json, with("/batch_size", json!(1.0)).to_string().as_bytes(), None)
            .is_ok()
    );
}

#[test]
fn a_thousand_extra_members_give_few_errors_and_no_echo() {
    let canary = "canary_3f9a";
    let mut body = request();
    for index in 0..1000 {
        body[format!("{canary}{index}")] = json!(canary);
        body["inputs"][0][format!("{canary}{index}")] = json!(canary);
    }
    body["model_id"] = json!(canary.to_uppercase());
    let problem = refusal(&body);
    assert!(problem.errors().len() <= 32);
    assert!(problem.errors().is_sorted());
    let document = problem.to_json(&hei_protocol::RequestId::from_bytes([7; 16]));
    assert!(document.len() < 8192);
    let document = String::from_utf8(document).unwrap().to_lowercase();
    assert!(!document.contains("canary"), "{document}");
    assert!(document.contains("unexpected_member"));
}

#[test]
fn many_bad_inputs_give_at_most_32_sorted_errors() {
    let mut body = request();
    body["inputs"] = (0..4096).map(|_| json!({"encoding": 1})).collect();
    let problem = refusal(&body);
    assert_eq!(problem.errors().len(), 32);
    assert!(problem.errors().is_sorted());
}

#[test]
fn a_huge_text_in_a_short_member_is_refused_without_echo() {
    let body = with("/model_id", json!("x".repeat(8 << 20)));
    let problem = refusal(&body);
    assert_eq!(problem.code(), ProblemCode::InvalidSchema);
    assert!(problem.to_json(&hei_protocol::RequestId::from_bytes([0; 16])).len() < 2048);
}

#[test]
fn encodings_belong_to_their_media_type() {
    let not_allowed = EncodingError::NotAllowed.reason();
    let problem = refusal(&with("/inputs/1/encoding", json!("binary")));
    assert_eq!(
        (problem.code(), problem.reason(), problem.input_index()),
        (ProblemCode::InvalidEncoding, Some(not_allowed), Some(1))
    );
    let model_id = ModelId::from_str("m").unwrap();
    let version = ModelVersion::from_str("1.0.0").unwrap();
    let binary = InferRequest::new(model_id.clone(), &version, 1, vec![Input::binary(vec![1, 2])]);
    assert!(binary.write(BodyFormat::Json).is_err());
    let text = InferRequest::new(model_id, &version, 1, vec![Input::text(Encoding::Hex, &[1, 2])]);
    assert!(text.write(BodyFormat::Cbor).is_err());
    // The same refusals on the way in: hex in CBOR, and a CBOR payload that is text.
    for (encoding, payload) in [("hex", "0102"), ("binary", "0102")] {
        let value = json!({"model_id": "m", "version": "1.0.0", "batch_size": 1, "inputs": [{"encoding": encoding, "payload": payload}]});
        let body = hei_protocol::cbor::write(&hei_protocol::Value::from_json(&value)).unwrap();
        let problem = InferRequest::parse(BodyFormat::Cbor, &body, None).map(drop).unwrap_err();
        assert_eq!((problem.code(), problem.reason()), (ProblemCode::InvalidEncoding, Some(not_allowed)));
    }
}

#[test]
fn octets_outside_a_payload_are_refused_in_cbor() {
    use hei_protocol::Value as Tree;
    let tree = Tree::object([
        ("model_id", Tree::Bytes(b"m"[..].into())),
        ("version", Tree::from("1.0.0")),
        ("batch_size", Tree::from(1)),
        (
            "inputs",
            Tree::Array(vec![Tree::object([
                ("encoding", Tree::from("binary")),
                ("payload", Tree::Bytes(b"x"[..].into())),
            ])]),
        ),
    ]);
    let body = hei_protocol::cbor::write(&tree).unwrap();
    let problem = InferRequest::parse(BodyFormat::Cbor, &body, None).map(drop).unwrap_err();
    assert_eq!(
        (problem.code(), problem.errors()[0].pointer.as_str()),
        (ProblemCode::InvalidSchema, "/model_id")
    );
}

#[test]
fn plain_requests_are_read_exactly() {
    let request =
        PlainRequest::parse(crate::common::example("infer_plain.request").as_bytes(), None).unwrap();
    assert_eq!(request.inputs[1], -1.25);
    let round = PlainRequest::parse(&request.to_json(), Some("v1")).unwrap();
    assert_eq!(round, request);
    for (body, pointer) in [
        (json!({"model_id": "m", "version": "1"}), "/inputs"),
        (json!({"model_id": "m", "version": "1", "inputs": [1, "2"]}), "/inputs/1"),
        (json!({"model_id": "m", "version": "1", "inputs": []}), "/inputs"),
        (json!({"model_id": "m", "version": "1", "inputs": [true]}), "/inputs/0"),
        (json!({"model_id": "m", "version": "1", "inputs": [1e301]}), "/inputs/0"),
    ] {
        let problem = PlainRequest::parse(body.to_string().as_bytes(), None).unwrap_err();
        assert_eq!(problem.errors()[0].pointer, pointer, "{body}");
    }
}

fn requests() -> impl Strategy<Value = (InferRequest<'static>, Vec<Vec<u8>>)> {
    let payloads = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..6);
    let version = proptest::option::of(prop_oneof![Just("1"), Just("v1"), Just("1.0"), Just("1.0.3")]);
    let optional = (
        version,
        proptest::option::of("[a-z][a-z0-9_]{0,31}"),
        proptest::option::of(prop_oneof![Just(Encoding::Hex), Just(Encoding::Base64)]),
        proptest::option::of(1_u32..=86_400),
        proptest::option::of(any::<[u8; 32]>()),
    );
    ("[a-z0-9][a-z0-9._-]{0,63}", "[0-9]{1,3}\\.[1-9]\\.0", 1_u32..=65_536, payloads, optional)
        .prop_filter_map(
            "a semantic version",
            |(model, version, batch, payloads, (api_version, layout, encoding, deadline, key))| {
                let version = ModelVersion::from_str(&version).ok()?;
                let mut request = InferRequest::new(ModelId::from_str(&model).ok()?, &version, batch, vec![]);
                request.api_version = api_version.map(str::to_owned);
                request.layout = layout;
                request.result_encoding = encoding;
                request.deadline_seconds = deadline;
                request.evaluation_key_id = key.map(KeyId::from_digest);
                Some((request, payloads))
            },
        )
}

proptest! {
    #[test]
    fn json_and_cbor_give_the_same_request((request, payloads) in requests(), hex in any::<bool>()) {
        let encoding = if hex { Encoding::Hex } else { Encoding::Base64 };
        let mut json = request.clone();
        json.inputs = payloads.iter().map(|octets| Input::text(encoding, octets)).collect();
        let mut cbor = request;
        cbor.inputs = payloads.iter().map(|octets| Input::binary(octets.clone())).collect();
        let (json_body, cbor_body) = (json.write(BodyFormat::Json).unwrap(), cbor.write(BodyFormat::Cbor).unwrap());
        let from_json = InferRequest::parse(BodyFormat::Json, &json_body, None).unwrap();
        let from_cbor = InferRequest::parse(BodyFormat::Cbor, &cbor_body, None).unwrap();
        prop_assert_eq!(&from_json, &json);
        prop_assert_eq!(&from_cbor, &cbor);
        for ((a, b), octets) in from_json.inputs.iter().zip(&from_cbor.inputs).zip(&payloads) {
            prop_assert_eq!(a.decode().unwrap(), b.decode().unwrap());
            prop_assert_eq!(&a.decode().unwrap().into_owned(), octets);
        }
        // The projections differ in the payloads and their encoding only.
        let mut projections = [(BodyFormat::Json, &json_body), (BodyFormat::Cbor, &cbor_body)]
            .map(|(format, body)| parse(format, body).unwrap().project());
        for projection in &mut projections {
            for input in projection["inputs"].as_array_mut().unwrap() {
                *input = json!(null);
            }
        }
        prop_assert_eq!(&projections[0], &projections[1]);
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(InferRequest::parse(BodyFormat::Json, &body, None));
        drop(InferRequest::parse(BodyFormat::Cbor, &body, Some("1")));
    }

    #[test]
    fn no_changed_request_panics((request, payloads) in requests(), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut request = request;
        request.inputs = payloads.iter().map(|octets| Input::binary(octets.clone())).collect();
        let mut body = request.write(BodyFormat::Cbor).unwrap();
        let at = at.index(body.len());
        body[at] = octet;
        if let Ok(read) = InferRequest::parse(BodyFormat::Cbor, &body, None) {
            prop_assert_eq!(read.write(BodyFormat::Cbor).unwrap(), body);
        }
    }
}

proptest! {
    #[test]
    fn the_schema_and_the_program_agree_on_versions(text in "v?[0-2](\\.[0-9]{1,3}){0,3}|[v0-2.x]{0,6}") {
        let body = json!({"api_version": text, "model_id": "m", "version": "1", "batch_size": 1,
            "inputs": [{"encoding": "hex", "payload": ""}]});
        prop_assert_eq!(check_infer_request(&body).is_ok(), hei_protocol::version::check(&text).is_ok(), "{}", text);
    }

    #[test]
    fn the_schema_and_the_program_agree_on_model_ids(text in "[a-z0-9][a-z0-9._-]{0,66}|[A-Za-z0-9._/ -]{0,6}") {
        let body = json!({"model_id": text, "version": "1", "batch_size": 1,
            "inputs": [{"encoding": "hex", "payload": ""}]});
        prop_assert_eq!(check_infer_request(&body).is_ok(), ModelId::from_str(&text).is_ok(), "{}", text);
    }
}
