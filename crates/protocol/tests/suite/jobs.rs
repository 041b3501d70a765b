//! Jobs: what we write validates and reads back.

use hei_protocol::messages::{
    BodyFormat, Diagnostics, InferAccepted, Job, JobResult, JobState, JobStatus, MessageError,
    PayloadReference, ResultPayload,
};
use hei_protocol::problem::ReceivedProblem;
use hei_protocol::schema::Response;
use hei_protocol::{Encoding, EncodingError, JobErrorCode, JobId, KeyId, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The JSON of a body that its schema accepts.
pub(crate) fn checked(response: Response, body: &[u8]) -> Value {
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
