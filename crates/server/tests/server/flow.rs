//! The whole flow: submit, wait, fetch, decrypt; every layout, format and encoding.

use std::time::{Duration, Instant};

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_protocol::messages::{BodyFormat, Job, JobState, ResultPayload};
use hei_wire::Format;

use crate::support::party::{Party, body_format, largest_difference};
use crate::support::raw::PATIENCE;
use crate::support::{BREAST_CANCER, LOGISTIC, Reply, Request, TestServer, model_file};

/// Submits rows and waits for the job; its message and the answer it came in.
fn infer(
    server: &TestServer,
    party: &Party,
    rows: &[Vec<f64>],
    format: Format,
    encoding: Encoding,
) -> (Reply, Job) {
    let body = party.body(&party.payloads(rows, format), rows.len(), encoding);
    let media = body_format(encoding).media_type();
    let request = Request::post("/infer", media, body).header("prefer", "wait=30").header("accept", media);
    let reply = server.send(&request);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let job = Job::parse(body_format(encoding), &reply.body).unwrap();
    (reply, job)
}

fn payload(job: &Job) -> &[u8] {
    match &job.state {
        JobState::Completed { result, .. } => match &result.payload {
            ResultPayload::Inline(octets) => octets,
            ResultPayload::Reference(_) => unreachable!("asked for inline"),
        },
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn every_layout_format_and_encoding_gives_the_models_value() {
    let server = TestServer::start();
    let model = model_file(LOGISTIC);
    let cases = [
        (Layout::FeatureColumns, Format::Hei, Encoding::Binary, 16, 5e-5),
        (Layout::FeatureColumns, Format::Hei, Encoding::Base64, 1, 5e-5),
        (Layout::FeatureColumns, Format::Seal, Encoding::Hex, 1, 5e-5),
        (Layout::FeatureColumns, Format::Seal, Encoding::Binary, 16, 5e-5),
        (Layout::Coefficients, Format::Hei, Encoding::Binary, 1, 1e-3),
        (Layout::Coefficients, Format::Hei, Encoding::Base64, 16, 1e-3),
        (Layout::Coefficients, Format::Hei, Encoding::Hex, 3, 1e-3),
    ];
    for (layout, format, encoding, batch, tolerance) in cases {
        let party = Party::new(&model, layout);
        let rows = party.rows(batch, 1);
        let (_, job) = infer(&server, &party, &rows, format, encoding);
        let values = party.values(payload(&job), format, batch);
        let error = largest_difference(&values, &party.expected(&rows));
        assert!(error <= tolerance, "{layout} {format:?} {encoding}: {error:e}");
    }
}

#[test]
fn both_layouts_of_a_wide_model_give_its_value() {
    let server = TestServer::start();
    let model = model_file(BREAST_CANCER);
    for layout in Layout::ALL {
        let party = Party::new(&model, layout);
        let rows = party.rows(5, 2);
        let (_, job) = infer(&server, &party, &rows, Format::Hei, Encoding::Binary);
        let values = party.values(payload(&job), Format::Hei, rows.len());
        let error = largest_difference(&values, &party.expected(&rows));
        assert!(error <= party.manifest.entry.tolerance(), "{layout}: {error:e}");
    }
}

#[test]
fn a_submission_is_accepted_with_its_location() {
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let body = party.body(&party.payloads(&party.rows(1, 0), Format::Hei), 1, Encoding::Hex);
    let reply = server.send(&Request::post("/infer", "application/json", body));
    assert_eq!(reply.status, 202);
    let accepted = reply.json();
    assert_eq!(accepted["status"], "accepted");
    assert_eq!(reply.header("location"), Some(format!("/jobs/{}", reply.job_id()).as_str()));
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(accepted["poll_after_ms"].as_u64().unwrap() >= 1);
    assert_eq!(reply.header("preference-applied"), None);

    // The same in CBOR.
    let body = party.body(&party.payloads(&party.rows(1, 0), Format::Hei), 1, Encoding::Binary);
    let reply = server.send(&Request::post("/infer", "application/cbor", body));
    assert_eq!((reply.status, reply.header("content-type")), (202, Some("application/cbor")));
}

#[test]
fn prefer_wait_answers_with_the_finished_job() {
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let (reply, job) = infer(&server, &party, &party.rows(2, 3), Format::Hei, Encoding::Base64);
    assert_eq!(reply.header("preference-applied"), Some("wait=30"));
    let location = format!("/jobs/{}", job.job_id);
    assert_eq!(reply.header("location"), Some(location.as_str()));
    assert_eq!(reply.header("content-location"), Some(location.as_str()));
    assert_eq!(reply.body, server.get(&location).body, "the body of GET /jobs/{{id}}, octet for octet");
}

#[test]
fn a_wait_above_the_limit_is_clamped_and_no_wait_is_no_delay() {
    let server = TestServer::start_with(|config| config.limits.max_wait_seconds = 7);
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let body = party.body(&party.payloads(&party.rows(1, 0), Format::Hei), 1, Encoding::Hex);
    let request = Request::post("/infer", "application/json", body);
    let reply = server.send(&request.clone().header("prefer", "wait=1000000000"));
    assert_eq!((reply.status, reply.header("preference-applied")), (200, Some("wait=7")));
    let reply = server.send(&request.clone().header("prefer", "wait=0"));
    assert!(matches!(reply.status, 200 | 202));
    assert_eq!(reply.header("preference-applied"), Some("wait=0"));
    let reply = server.send(&request.header("prefer", "wait=-1"));
    assert_eq!((reply.status, reply.header("preference-applied")), (202, None));
}

#[test]
fn the_reply_mirrors_the_request() {
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::FeatureColumns);
    let rows = party.rows(1, 4);
    for (format, encoding, magic) in [
        (Format::Hei, Encoding::Hex, None),
        (Format::Seal, Encoding::Base64, Some([0x5e, 0xa1, 0x10, 3, 7])),
        (Format::Seal, Encoding::Binary, Some([0x5e, 0xa1, 0x10, 3, 7])),
    ] {
        let (reply, job) = infer(&server, &party, &rows, format, encoding);
        assert_eq!(hei_wire::detect(payload(&job)), Some(format));
        if let Some(magic) = magic {
            assert_eq!(payload(&job)[..5], magic, "a SEAL result is in the 3.7 form");
        }
        if encoding != Encoding::Binary {
            assert_eq!(reply.json()["result"]["encoding"], encoding.as_str());
        }
    }
    // What is asked for wins.
    let text = party.body(&party.payloads(&rows, Format::Hei), 1, Encoding::Hex);
    let mut body: serde_json::Value = serde_json::from_slice(&text).unwrap();
    body["result_encoding"] = "base64".into();
    let request = Request::post("/infer", "application/json", body.to_string()).header("prefer", "wait=30");
    assert_eq!(server.send(&request).json()["result"]["encoding"], "base64");
}

/// A client as strict and as simple as the reference project's: it validates `GET /models` against a closed schema,
/// takes the first entry, posts hex without any special header, polls with a socket timeout of five seconds until it
/// reads `completed`, and reads `result.payload` as hex.
#[test]
fn a_strict_client_of_the_reference_project_is_served() {
    use crate::support::raw;
    use crate::support::vector;
    use hei_ckks::Encoder;
    use hei_wire::Shape;

    const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);
    let server = TestServer::start();
    let timed = |request: &Request| {
        let started = Instant::now();
        let reply = raw::exchange(server.address, request);
        assert!(started.elapsed() < SOCKET_TIMEOUT, "{} took {:?}", request.target, started.elapsed());
        reply
    };
    let models = timed(&Request::get("/models")).json();
    assert_closed_shape(&models);
    let model = models["models"].as_array().unwrap().iter().find(|model| model["model_id"] == "logistic_v1");
    let model = model.unwrap();
    assert_eq!(model["encryption_parameters"]["coeff_modulus_bits"], serde_json::json!([60, 30, 30, 60]));
    assert_eq!(model["encryption_parameters"]["poly_modulus_degree"].to_string(), "16384");

    let hex = |octets: &[u8]| hei_protocol::encoding::to_hex(octets);
    let inputs: Vec<serde_json::Value> = (0..8)
        .map(|index| vector(&format!("pyfhel_n16384/logreg_in_{index}.bin")))
        .map(|octets| serde_json::json!({"encoding": "hex", "payload": hex(&octets)}))
        .collect();
    let body = serde_json::json!({
        "model_id": model["model_id"], "version": model["version"], "inputs": inputs, "batch_size": 16,
    })
    .to_string();
    assert!(body.len() > 12_500_000, "{}", body.len());
    let submitted = timed(&Request::post("/infer", "application/json", body));
    assert_eq!(submitted.status, 202);
    let job_id = submitted.job_id();
    let deadline = Instant::now() + PATIENCE;
    let result = loop {
        let job = timed(&Request::get(&format!("/jobs/{job_id}"))).json();
        match job["status"].as_str().unwrap() {
            "queued" | "running" | "pending" => assert!(Instant::now() < deadline, "not done in time"),
            "completed" => break job["result"].clone(),
            other => panic!("{other}"),
        }
    };
    assert_eq!(result["encoding"], "hex");
    assert_eq!(result["diagnostics"]["batch_truncated"], false);
    let payload = hei_protocol::encoding::from_hex(result["payload"].as_str().unwrap()).unwrap();

    // Decrypted with the vectors' own key, it is the model's value in the first 16 slots.
    let file = hei_circuit::ModelFile::decode(&model_file(LOGISTIC)).unwrap();
    let plan = file.plan(Layout::FeatureColumns).unwrap();
    let context = plan.parameters().context();
    let key = hei_wire::seal::decode_secret_key(&vector("pyfhel_n16384/sk_none.bin"), context).unwrap();
    let output = plan.output();
    let shape = Shape::ciphertext(context, output.level, output.scale).unseeded();
    let ciphertext = hei_wire::seal::decode_ciphertext(&payload, &shape).unwrap();
    let values = Encoder::new(context).decode(&key.decrypt(&ciphertext).unwrap());
    let features: Vec<f64> = vector("pyfhel_n16384/logreg_X_8xslots.f64le")
        .chunks_exact(8)
        .map(|octets| f64::from_le_bytes(octets.try_into().unwrap()))
        .collect();
    let rows: Vec<Vec<f64>> =
        (0..16).map(|row| (0..8).map(|feature| features[feature * 8192 + row]).collect()).collect();
    let expected = Party::with_key(&file, Layout::FeatureColumns, key).expected(&rows);
    let error = largest_difference(&values[..16], &expected);
    assert!(error <= 5e-5, "{error:e}");
}

/// The reference project's closed schema of `GET /models`, member by member.
pub fn assert_closed_shape(models: &serde_json::Value) {
    let members = |value: &serde_json::Value, names: &[&str], about: &str| {
        let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut names = names.to_vec();
        found.sort_unstable();
        names.sort_unstable();
        assert_eq!(found, names, "{about}");
    };
    members(models, &["api_version", "models"], "the top level");
    for model in models["models"].as_array().unwrap() {
        members(
            model,
            &[
                "model_id",
                "version",
                "description",
                "he_scheme",
                "encryption_parameters",
                "inference",
                "parameters",
                "activation_parameters",
                "constraints",
            ],
            "a model",
        );
        let parameters = &model["encryption_parameters"];
        members(
            parameters,
            &["poly_modulus_degree", "scale", "coeff_modulus_bits", "max_multiplicative_depth"],
            "encryption_parameters",
        );
        members(&model["inference"], &["input_dimension", "output_dimension", "activation"], "inference");
        members(&model["parameters"], &["weights", "bias"], "parameters");
        members(&model["activation_parameters"], &["kind", "coefficients"], "activation_parameters");
        members(&model["constraints"], &["max_batch_size"], "constraints");
        assert_eq!(model["he_scheme"], "CKKS");
        assert_eq!(model["inference"]["activation"], "polynomial_sigmoid_v1");
        assert_eq!(model["activation_parameters"]["coefficients"].as_array().unwrap().len(), 3);
        for integer in [
            &parameters["poly_modulus_degree"],
            &parameters["max_multiplicative_depth"],
            &model["inference"]["input_dimension"],
            &model["inference"]["output_dimension"],
            &model["constraints"]["max_batch_size"],
        ] {
            assert!(integer.is_u64(), "an integer is written without a fraction: {integer}");
        }
    }
}

#[test]
fn plain_inference_is_off_by_default() {
    let body = r#"{"model_id":"logistic_v1","version":"1.0.0","inputs":[1,0,0,0,0,0,0,0.5]}"#;
    let request = Request::post("/infer/plain", "application/json", body);
    let refused = TestServer::start().send(&request);
    assert_eq!(refused.refusal(), (501, "NOT_IMPLEMENTED".to_owned(), None));

    let server = TestServer::start_with(|config| config.plain_inference = true);
    let reply = server.send(&request);
    assert_eq!(reply.status, 200);
    let expected = 0.5 + 0.197 * (0.15 - 0.04 * 0.5 - 0.02);
    let value = reply.json()["outputs"][0].as_f64().unwrap();
    assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    assert_eq!(server.get("/service").json()["extensions"], serde_json::json!(["plain-inference", "sse"]));
    let short = r#"{"model_id":"logistic_v1","version":"1.0.0","inputs":[1]}"#;
    let reply = server.send(&Request::post("/infer/plain", "application/json", short));
    assert_eq!(reply.refusal(), (400, "INPUT_COUNT_MISMATCH".to_owned(), None));
    let job = format!("/jobs/{}", "0".repeat(32));
    assert_eq!(server.get(&job).status, 404, "it creates no job");
}

#[test]
fn formats_are_told_apart_in_the_request_and_the_body_format_in_the_reply() {
    let server = TestServer::start();
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let (reply, _) = infer(&server, &party, &party.rows(1, 0), Format::Hei, Encoding::Binary);
    assert_eq!(reply.header("content-type"), Some("application/cbor"));
    // A CBOR submission read back as JSON, and the reverse.
    let (_, job) = infer(&server, &party, &party.rows(1, 0), Format::Hei, Encoding::Binary);
    let path = format!("/jobs/{}", job.job_id);
    let json = server.get(&path);
    assert_eq!(json.json()["result"]["encoding"], "base64");
    assert_eq!(payload(&Job::parse(BodyFormat::Json, &json.body).unwrap()), payload(&job));
    let cbor = server.send(&Request::get(&path).header("accept", "application/cbor"));
    assert_eq!(payload(&Job::parse(BodyFormat::Cbor, &cbor.body).unwrap()), payload(&job));
}
