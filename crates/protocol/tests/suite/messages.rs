//! Responses: what we write validates and reads back.

use hei_protocol::limits::LimitName;
use hei_protocol::manifest::Layout;
use hei_protocol::messages::{
    BodyFormat, Diagnostics, Health, InferAccepted, Job, JobError, JobResult, JobState, JobStatus, Keys,
    ListModels, MessageError, ModelCard, Models, PayloadReference, PlainResponse, Ready, ResultPayload,
    Service, from_json, to_json,
};
use hei_protocol::problem::{IncompatibleReason, InvalidReason, ReceivedProblem};
use hei_protocol::schema::Response;
use hei_protocol::{
    Encoding, EncodingError, JobErrorCode, JobId, KeyId, Limits, Problem, ProblemCode, RequestId, Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn checked(response: Response, body: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(body).unwrap();
    response.check(&value).unwrap_or_else(|error| panic!("{response:?}: {error:?}: {value}"));
    value
}

fn result(octets: Vec<u8>, key: Option<[u8; 32]>) -> JobResult {
    JobResult {
        model_id: "m".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        params_id: "ab".repeat(32),
        evaluation_key_id: key.map(KeyId::from_digest),
        diagnostics: Diagnostics::whole(3),
        payload: ResultPayload::Inline(octets),
    }
}

fn job(state: JobState) -> Job {
    Job {
        job_id: JobId::from_bytes([0x9f; 16]),
        model_id: "m".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        created_at: Timestamp::from_unix_millis(1_767_225_600_000),
        expires_at: Timestamp::from_unix_millis(1_767_312_000_000),
        state,
    }
}

fn states() -> impl Strategy<Value = JobState> {
    let time = || (0_u64..253_402_300_799_999).prop_map(Timestamp::from_unix_millis);
    let octets = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (0_u64..=86_400_000).prop_map(|poll_after_ms| JobState::Queued { poll_after_ms }),
        (time(), 0_u64..=86_400_000)
            .prop_map(|(started_at, poll_after_ms)| JobState::Running { started_at, poll_after_ms }),
        (time(), time(), octets, any::<Option<[u8; 32]>>()).prop_map(
            |(started_at, finished_at, octets, key)| {
                JobState::Completed { started_at, finished_at, result: Box::new(result(octets, key)) }
            }
        ),
        (proptest::option::of(time()), time(), proptest::sample::select(JobErrorCode::ALL)).prop_map(
            |(started_at, finished_at, code)| JobState::Failed {
                started_at,
                finished_at,
                error: code.into()
            }
        ),
    ]
}

proptest! {
    #[test]
    fn jobs_validate_and_read_back(state in states()) {
        let job = job(state);
        for encoding in [Encoding::Hex, Encoding::Base64] {
            let body = job.to_json(encoding);
            let value = checked(Response::Job, &body);
            if let Some(result) = value.get("result") {
                Response::Result.check(result).unwrap();
                prop_assert_eq!(&result["encoding"], &json!(encoding.as_str()));
                prop_assert_eq!(&result["diagnostics"]["batch_truncated"], &json!(false));
            }
            prop_assert_eq!(&Job::parse(BodyFormat::Json, &body).unwrap(), &job);
        }
        let body = job.to_cbor();
        Response::Job.check(&hei_protocol::cbor::parse(&body).unwrap().project()).unwrap();
        prop_assert_eq!(&Job::parse(BodyFormat::Cbor, &body).unwrap(), &job);
    }

    #[test]
    fn timestamps_read_back(millis in 0_u64..253_402_300_800_000) {
        let time = Timestamp::from_unix_millis(millis);
        prop_assert_eq!(Timestamp::parse(&time.to_string()).unwrap().unix_millis(), millis);
    }

    #[test]
    fn job_ids_read_back(octets in any::<[u8; 16]>()) {
        let id = JobId::from_bytes(octets);
        prop_assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
    }

    #[test]
    fn no_answer_panics_its_reader(body in proptest::collection::vec(any::<u8>(), 0..200), status in 400_u16..600) {
        drop(Job::parse(BodyFormat::Json, &body));
        drop(Job::parse(BodyFormat::Cbor, &body));
        prop_assert_eq!(ReceivedProblem::from_json(status, &body).status, status);
    }
}

#[test]
fn job_states_exclude_each_other() {
    let body: Value = serde_json::from_str(&crate::common::example("job.response.completed")).unwrap();
    let error = json!({"code": "EVALUATION_FAILED", "message": "m", "retryable": false});
    let change = |name: &str, value: Option<Value>| {
        let mut changed = body.clone();
        match value {
            Some(value) => changed[name] = value,
            None => drop(changed.as_object_mut().unwrap().remove(name)),
        }
        Response::Job.check(&changed).is_ok()
    };
    assert!(Response::Job.check(&body).is_ok());
    assert!(!change("error", Some(error)), "a completed job with an error");
    assert!(!change("result", None), "a completed job without a result");
    assert!(!change("poll_after_ms", Some(json!(1))), "a completed job to be polled");
    assert!(!change("status", Some(json!("failed"))), "a failed job with a result");
    assert!(!change("status", Some(json!("queued"))), "a queued job with a result");
    assert!(!change("status", Some(json!("done"))), "a status that is not one of the four");
    assert!(change("new_member", Some(json!(1))), "an unknown member");
    let mut truncated = body.clone();
    truncated["result"]["diagnostics"]["batch_truncated"] = json!(true);
    assert!(Response::Job.check(&truncated).is_err());
}

#[test]
fn unknown_statuses_are_errors() {
    let body = crate::common::example("job.response.queued").replace("\"queued\"", "\"paused\"");
    let error = Job::parse(BodyFormat::Json, body.as_bytes()).unwrap_err();
    assert_eq!(error, MessageError::Member { pointer: "/status".to_owned(), reason: "enum" });
    assert_eq!(JobStatus::from_name("done"), Some(JobStatus::Completed));
    assert_eq!(JobStatus::from_name("pending"), Some(JobStatus::Queued));
    let ranks: Vec<_> = ["queued", "running", "completed", "failed"]
        .map(|name| JobStatus::from_name(name).unwrap().rank())
        .into();
    assert_eq!(ranks, [0, 1, 2, 2]);
}

#[test]
fn unknown_response_members_are_ignored() {
    let mut body = crate::common::example_json("job.response.completed");
    body["later"] = json!({"a": [1]});
    body["result"]["later"] = json!(1);
    assert!(Job::parse(BodyFormat::Json, body.to_string().as_bytes()).is_ok());
    for (response, name) in [
        (Response::ModelCard, "model_card.response"),
        (Response::Service, "service.response"),
        (Response::ListModels, "list_models.response"),
        (Response::Keys, "get_keys.response"),
        (Response::Accepted, "infer.accepted.response"),
        (Response::Ready, "ready.response"),
        (Response::Problem, "problem.unknown_model"),
    ] {
        let mut body = crate::common::example_json(name);
        body["later"] = json!({"a": [1]});
        response.check(&body).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if response == Response::ModelCard {
            body["layouts"][0]["later"] = json!(1);
            from_json::<ModelCard>(body.to_string().as_bytes()).unwrap();
        }
    }
}

#[test]
fn broken_results_are_refused() {
    let complete = job(JobState::Completed {
        started_at: Timestamp::from_unix_millis(0),
        finished_at: Timestamp::from_unix_millis(1),
        result: Box::new(result(vec![1, 2, 3], None)),
    });
    let body: Value = serde_json::from_slice(&complete.to_json(Encoding::Hex)).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        Job::parse(BodyFormat::Json, body.to_string().as_bytes())
    };
    assert_eq!(changed("/result/payload", json!("01020")), Err(EncodingError::OddLength.into()));
    assert_eq!(changed("/result/payload", json!("010z")), Err(EncodingError::InvalidHex.into()));
    assert_eq!(changed("/result/encoding", json!("binary")), Err(EncodingError::NotAllowed.into()));
    assert!(changed("/result/encoding", json!("utf7")).is_err());
    assert!(changed("/result/payload", json!(5)).is_err());
    assert!(changed("/job_id", json!("9F".repeat(16))).is_err());
    assert!(changed("/created_at", json!("yesterday")).is_err());
}

#[test]
fn references_read_back() {
    let reference =
        PayloadReference { href: "/jobs/x/result".to_owned(), size: 9000, digest: "cd".repeat(32) };
    let mut result = result(vec![], None);
    result.payload = ResultPayload::Reference(reference);
    let (started_at, finished_at) = (Timestamp::from_unix_millis(0), Timestamp::from_unix_millis(1));
    let job = job(JobState::Completed { started_at, finished_at, result: Box::new(result) });
    let body = job.to_json(Encoding::Base64);
    checked(Response::Job, &body);
    assert_eq!(Job::parse(BodyFormat::Json, &body).unwrap(), job);
}

#[test]
fn an_accepted_job_reads_back() {
    let accepted = InferAccepted {
        job_id: JobId::from_bytes([1; 16]),
        created_at: Timestamp::from_unix_millis(5),
        expires_at: Timestamp::from_unix_millis(5).plus_seconds(86_400),
        poll_after_ms: 40,
    };
    checked(Response::Accepted, &accepted.to_json());
    let (json, cbor) = (accepted.to_json(), accepted.to_cbor());
    assert_eq!(InferAccepted::from_value(&hei_protocol::json::parse(&json).unwrap()).unwrap(), accepted);
    assert_eq!(InferAccepted::from_value(&hei_protocol::cbor::parse(&cbor).unwrap()).unwrap(), accepted);
}

#[test]
fn small_answers_validate() {
    assert_eq!(to_json(&Health::default()), br#"{"status":"ok"}"#);
    checked(Response::Health, &to_json(&Health::default()));
    checked(Response::Ready, &to_json(&Ready::new(2)));
    checked(Response::Service, &to_json(&Service::new(Limits::default(), &[], None)));
    checked(Response::Plain, &to_json(&PlainResponse::new("m", "1.0.0", vec![0.5])));
    let failed: JobError = JobErrorCode::WorkerLost.into();
    assert!(failed.retryable && failed.known() == Some(JobErrorCode::WorkerLost));
}

#[test]
fn default_limits_are_not_below_their_minimum() {
    assert_eq!(Limits::default().below_minimum(), None);
    let low = Limits { max_inputs: 63, ..Limits::default() };
    assert_eq!(low.below_minimum(), Some(LimitName::MaxInputs));
    let value = serde_json::to_value(Limits::default()).unwrap();
    let names: Vec<_> = LimitName::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(value.as_object().unwrap().len(), names.len());
    for name in LimitName::ALL {
        assert_eq!(value[name.as_str()], json!(Limits::default().value(*name)));
    }
}

/// The closed schema that the reference project's clients carry, its facts written down again here: names, types,
/// what is required, and that nothing else is allowed.
fn reference_models_shape(value: &Value) -> Result<(), String> {
    fn exactly(value: &Value, names: &[&str]) -> Result<(), String> {
        let object = value.as_object().ok_or("not an object")?;
        let mut found: Vec<_> = object.keys().map(String::as_str).collect();
        let mut names = names.to_vec();
        found.sort_unstable();
        names.sort_unstable();
        if found == names { Ok(()) } else { Err(format!("{found:?} is not {names:?}")) }
    }
    exactly(value, &["api_version", "models"])?;
    for model in value["models"].as_array().ok_or("models")? {
        exactly(
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
        )?;
        exactly(
            &model["encryption_parameters"],
            &["poly_modulus_degree", "scale", "coeff_modulus_bits", "max_multiplicative_depth"],
        )?;
        exactly(&model["inference"], &["input_dimension", "output_dimension", "activation"])?;
        exactly(&model["parameters"], &["weights", "bias"])?;
        exactly(&model["activation_parameters"], &["kind", "coefficients"])?;
        exactly(&model["constraints"], &["max_batch_size"])?;
        let fits = model["he_scheme"] == "CKKS"
            && model["inference"]["activation"] == "polynomial_sigmoid_v1"
            && model["activation_parameters"]["kind"] == "polynomial_sigmoid_v1"
            && model["activation_parameters"]["coefficients"].as_array().is_some_and(|all| all.len() == 3)
            && model["constraints"]["max_batch_size"].as_u64().is_some_and(|batch| batch >= 1)
            && model["encryption_parameters"]["poly_modulus_degree"].is_u64();
        if !fits {
            return Err(format!("{model}"));
        }
    }
    Ok(())
}

#[test]
fn plain_models_keep_the_reference_shape() {
    let manifest = crate::common::manifest();
    let mut chosen = manifest.clone();
    chosen.entry.encryption_parameters = None;
    chosen.entry.model_id = "chosen".parse().unwrap();
    let models = Models::new([&manifest, &chosen]);
    assert_eq!(models.models.len(), 2);
    let value = checked(Response::Models, &to_json(&models));
    reference_models_shape(&value).unwrap();
    reference_models_shape(&crate::common::example_json("get_models.response")).unwrap();
    // What the compiler chose reads like what an operator writes.
    assert_eq!(models.models[0].encryption_parameters, models.models[1].encryption_parameters);
    // The schema is as closed as the reference's.
    for pointer in [
        "",
        "/models/0",
        "/models/0/inference",
        "/models/0/constraints",
        "/models/0/parameters",
        "/models/0/encryption_parameters",
        "/models/0/activation_parameters",
    ] {
        let mut wider = value.clone();
        wider.pointer_mut(pointer).unwrap()["later"] = json!(1);
        assert!(Response::Models.check(&wider).is_err(), "{pointer}");
        let mut narrower = value.clone();
        let object = narrower.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        let name = object.keys().next().unwrap().clone();
        object.remove(&name);
        assert!(Response::Models.check(&narrower).is_err(), "{pointer} without {name}");
    }
}

#[test]
fn models_outside_the_closed_shape_are_left_out() {
    let unpublished = {
        let mut manifest = crate::common::manifest();
        manifest.entry.publish_weights = false;
        manifest
    };
    let no_columns = {
        let mut manifest = crate::common::manifest();
        manifest.layouts.retain(|facts| facts.layout == Layout::Coefficients);
        manifest
    };
    let other = {
        let mut manifest = crate::common::manifest();
        manifest.entry.inference.activation = "relu".to_owned();
        manifest
    };
    for manifest in [&unpublished, &no_columns, &other] {
        assert!(Models::new([manifest]).models.is_empty());
        let digest = "ef".repeat(32);
        let listed = ListModels::new([(manifest, digest.as_str())]);
        assert_eq!(listed.models.len(), 1);
        checked(Response::ListModels, &to_json(&listed));
    }
}

#[test]
fn weights_appear_only_when_published() {
    let digest = "ef".repeat(32);
    let mut manifest = crate::common::manifest();
    for published in [true, false] {
        manifest.entry.publish_weights = published;
        let listed = serde_json::to_string(&ListModels::new([(&manifest, digest.as_str())])).unwrap();
        let card = serde_json::to_string(&ModelCard::new(&manifest, &digest)).unwrap();
        assert_eq!(listed.contains("weights\""), published);
        assert_eq!(card.contains("\"weights\""), published);
    }
}

#[test]
fn models_are_ordered_by_id_then_newest_first() {
    let named = |id: &str, version: &str| {
        let mut manifest = crate::common::manifest();
        manifest.entry.model_id = id.parse().unwrap();
        manifest.entry.version = version.parse().unwrap();
        manifest
    };
    let manifests: Vec<_> = [
        ("b", "1.0.0"),
        ("a", "1.2.0"),
        ("a", "1.10.0"),
        ("a", "1.10.0-rc.1"),
        ("a", "1.10.0-rc.11"),
        ("a", "1.10.0-rc.2"),
    ]
    .iter()
    .map(|(id, version)| named(id, version))
    .collect();
    let expected = ["a 1.10.0", "a 1.10.0-rc.11", "a 1.10.0-rc.2", "a 1.10.0-rc.1", "a 1.2.0", "b 1.0.0"];
    let plain: Vec<_> =
        Models::new(&manifests).models.iter().map(|m| format!("{} {}", m.model_id, m.version)).collect();
    let all: Vec<_> = ListModels::new(manifests.iter().map(|m| (m, "00")))
        .models
        .iter()
        .map(|m| format!("{} {}", m.model_id, m.version))
        .collect();
    assert_eq!(plain, expected);
    assert_eq!(all, expected);
}

#[test]
fn whole_numbers_have_no_fraction() {
    let manifest = crate::common::manifest();
    let models = String::from_utf8(to_json(&Models::new([&manifest]))).unwrap();
    assert!(
        models
            .contains(r#""poly_modulus_degree":16384,"scale":1073741824,"coeff_modulus_bits":[60,30,30,60]"#),
        "{models}"
    );
    let card = String::from_utf8(to_json(&ModelCard::new(&manifest, &"ef".repeat(32)))).unwrap();
    assert!(card.contains(r#""scale":1073741824,"#) && !card.contains("1073741824.0"), "{card}");
    assert!(!String::from_utf8(manifest.to_json()).unwrap().contains("1073741824.0"));
}

#[test]
fn cards_validate_against_their_schema() {
    let manifest = crate::common::manifest();
    let card = ModelCard::new(&manifest, &"ef".repeat(32));
    checked(Response::ModelCard, &to_json(&card));
    assert_eq!(from_json::<ModelCard>(&to_json(&card)).unwrap(), card);
    assert_eq!(card.default_layout().map(|facts| facts.layout), Some(Layout::FeatureColumns));
    let coefficients = card.layout(Layout::Coefficients).unwrap();
    assert!(coefficients.takes("hei/1") && !coefficients.takes("seal"));
    assert_eq!(coefficients.post_processing.apply(2.0), 0.5 + 0.197 * 2.0);
    for (pointer, value) in [
        ("/layouts/0/parameters/security_bits", json!(127)),
        ("/layouts/0/parameters/coeff_modulus/0", json!(1152921504606584833_u64)),
        ("/layouts/0/parameters/params_id", json!("xyz")),
        ("/layouts/0/ciphertext_formats", json!([])),
        ("/model_digest", json!("EF".repeat(32))),
    ] {
        let mut body = serde_json::to_value(&card).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        assert!(Response::ModelCard.check(&body).is_err(), "{pointer}");
    }
}

#[test]
fn keys_list_every_parameter_set_once() {
    let (first, mut second) = (crate::common::manifest(), crate::common::manifest());
    second.entry.version = "2.0.0".parse().unwrap();
    let keys = Keys::new([&first, &second], Limits::default());
    checked(Response::Keys, &to_json(&keys));
    assert_eq!(keys.parameter_sets.len(), 2);
    assert!(keys.parameter_sets.is_sorted_by(|a, b| a.parameters.params_id < b.parameters.params_id));
    for set in &keys.parameter_sets {
        let versions: Vec<_> = set.models.iter().map(|used| used.version.as_str()).collect();
        assert_eq!(versions, ["2.0.0", "1.0.0"]);
    }
    assert_eq!(from_json::<Keys>(&to_json(&keys)).unwrap(), keys);
}

#[test]
fn every_problem_validates_and_is_understood() {
    let id = RequestId::from_bytes([0xa5; 16]);
    let mut problems: Vec<Problem> = ProblemCode::ALL.iter().map(|code| Problem::new(*code)).collect();
    problems.extend(InvalidReason::ALL.iter().map(|reason| Problem::invalid_ciphertext(3, *reason)));
    problems
        .extend(IncompatibleReason::ALL.iter().map(|reason| Problem::incompatible_ciphertext(7, *reason)));
    problems.push(Problem::input_count(8, 9));
    problems.push(Problem::batch_too_large(16));
    problems.push(Problem::too_large(LimitName::MaxRequestBytes, 64 << 20));
    problems.push(Problem::invalid_field("/layout", "unknown_layout"));
    problems
        .push(Problem::new(ProblemCode::EvaluationKeyIncompatible).with_missing_galois_elements(vec![3, 5]));
    problems.push(
        Problem::new(ProblemCode::RateLimited).with_violated_policies(vec!["infer"]).with_retry_after(7),
    );
    problems.push(hei_protocol::json::SyntaxError::DuplicateMember.into());
    for problem in problems {
        let body = problem.to_json(&id);
        let value = checked(Response::Problem, &body);
        assert_eq!(
            value["error"],
            json!({"code": problem.code().as_str(), "message": problem.code().detail()})
        );
        let received = ReceivedProblem::from_json(problem.status(), &body);
        assert_eq!(received.known, Some(problem.code()));
        assert_eq!(received.remedy, Some(problem.code().remedy()));
        assert_eq!(received.retryable, problem.code().retryable());
        assert_eq!(received.reason.as_deref(), problem.reason());
        assert_eq!(received.input_index, problem.input_index());
        assert_eq!(received.detail, problem.code().detail());
        assert_eq!(received.request_id, Some(id.to_string()));
    }
}

#[test]
fn details_keep_the_words_that_old_clients_look_for() {
    for (code, words) in [
        (ProblemCode::UnknownModel, "Unknown model/version"),
        (ProblemCode::JobNotFound, "Unknown job"),
        (ProblemCode::InvalidSchema, "Invalid infer request"),
        (ProblemCode::InvalidEncoding, "is not valid hex"),
        (ProblemCode::BatchTooLarge, "exceeds model max_batch_size"),
        (ProblemCode::InputCountMismatch, "Expected"),
    ] {
        assert!(code.detail().contains(words), "{code}");
    }
    assert_eq!(ProblemCode::UnknownModel.detail(), "Unknown model/version");
    assert_eq!(ProblemCode::JobNotFound.detail(), "Unknown job");
}

#[test]
fn waiting_problems_say_how_long() {
    for code in ProblemCode::ALL {
        let seconds = Problem::new(*code).retry_after_seconds();
        let waits = matches!(code.status(), 429 | 503) || (code.status() == 409 && code.retryable());
        assert_eq!(seconds.is_some(), waits, "{code}");
        assert!(seconds.is_none_or(|seconds| seconds >= 1));
        assert_eq!(Problem::new(*code).with_retry_after(0).retry_after_seconds(), Some(1));
    }
}

#[test]
fn unknown_problem_codes_fall_back() {
    let body =
        json!({"code": "FROM_THE_FUTURE", "retryable": true, "remedy": "dance", "detail": "x\u{1b}[31m"});
    let received = ReceivedProblem::from_json(418, body.to_string().as_bytes());
    assert_eq!((received.known, received.remedy, received.retryable), (None, None, true));
    assert_eq!((received.code.as_str(), received.detail.as_str()), ("FROM_THE_FUTURE", "x[31m"));
    let bare = ReceivedProblem::from_json(503, b"<html>bad gateway</html>");
    assert!(bare.retryable && bare.code.is_empty());
    assert!(!ReceivedProblem::from_json(404, b"").retryable);
    let long = json!({"detail": "y".repeat(1 << 20), "errors": vec![json!({"pointer": "/a", "reason": "type"}); 500]});
    let received = ReceivedProblem::from_json(400, long.to_string().as_bytes());
    assert_eq!((received.detail.len(), received.errors.len()), (256, 32));
}

#[test]
fn identifiers_are_strict() {
    for bad in [
        "",
        "9f",
        "9F86d081884c7d659a2feaa0c55ad015",
        "9f86d081884c7d659a2feaa0c55ad01g",
        "../9f86d081884c7d659a2feaa0c55ad",
        &"9".repeat(10_000),
    ] {
        assert!(bad.parse::<JobId>().is_err(), "{bad:.40}");
    }
    for bad in ["", ".a", "-a", "A", "a b", "a/b", "é", &"a".repeat(65)] {
        assert!(bad.parse::<hei_protocol::ModelId>().is_err(), "{bad}");
    }
    for bad in [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0+b",
        "v1.0.0",
        "1.0.x",
        "1.0.0-a..b",
    ] {
        assert!(bad.parse::<hei_protocol::ModelVersion>().is_err(), "{bad}");
    }
    assert!("1.0.0-x-y.0.1a".parse::<hei_protocol::ModelVersion>().is_ok());
    assert_eq!(RequestId::from_bytes([0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(RequestId::from_bytes([0; 16]).to_string(), "00000000-0000-4000-8000-000000000000");
}

#[test]
fn timestamps_are_strict() {
    let known = Timestamp::parse("2026-01-31T08:00:00.123456Z").unwrap();
    assert_eq!(known.to_string(), "2026-01-31T08:00:00.123Z");
    assert_eq!(known.unix_millis(), 1_769_846_400_123);
    assert_eq!(Timestamp::parse("2024-02-29T23:59:59Z").unwrap().to_string(), "2024-02-29T23:59:59.000Z");
    for bad in [
        "",
        "2026-01-31",
        "2026-01-31T08:00:00",
        "2026-01-31T08:00:00+01:00",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T08:00:00.Z",
        "2026-01-31t08:00:00z",
        "1969-01-01T00:00:00Z",
        "2026-1-31T08:00:00Z",
        "+026-01-31T08:00:00Z",
        "2026-01-31T08:00:00Zé",
    ] {
        assert!(Timestamp::parse(bad).is_err(), "{bad}");
    }
}
