//! The other answers: problems, announcements, identifiers.

use crate::jobs::checked;
use hei_protocol::limits::LimitName;
use hei_protocol::messages::{
    BodyFormat, Health, Job, JobError, ModelCard, PlainResponse, Ready, Service, from_json, to_json,
};
use hei_protocol::problem::{IncompatibleReason, InvalidReason, ReceivedProblem};
use hei_protocol::schema::Response;
use hei_protocol::{JobErrorCode, JobId, Limits, Problem, ProblemCode, RequestId, Timestamp};
use serde_json::json;

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
