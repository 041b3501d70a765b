//! What only shows from inside: draining, and evaluations that fail or panic.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hei_circuit::{Layout, ModelFile, Plan, packing};
use hei_ckks::{Encoder, OsRandomness, SecretKey};
use hei_protocol::messages::{BodyFormat, InferRequest, Input};
use hei_protocol::{JobErrorCode, ProblemCode};
use tower::ServiceExt;

use super::*;
use crate::config::ModelSource;
use crate::keys::memory::MemoryKeys;
use crate::store::{Job, Lease, Outcome};

mod keys;

const MODEL: &[u8] = include_bytes!("../../../../models/logistic_v1.hei");

fn app(change: impl FnOnce(&mut ServerConfig)) -> Arc<App> {
    let source = ModelSource { name: "logistic_v1.hei".to_owned(), bytes: MODEL.into() };
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), vec![source]);
    change(&mut config);
    let registry = Registry::load(&config.models, &config.limits).unwrap();
    let keys = MemoryKeys::new(8, Duration::from_secs(3600), Arc::clone(&config.clock));
    let backend = Backend::in_memory(&config, keys);
    App::start(config, registry, backend).unwrap()
}

fn tenant() -> Tenant {
    Tenant::from_header(None).unwrap()
}

/// One encrypted row in feature columns.
fn submission() -> Submission {
    let file = ModelFile::decode(MODEL).unwrap();
    let plan: &Plan = file.plan(Layout::FeatureColumns).unwrap();
    let (context, input) = (plan.parameters().context(), plan.input());
    let key = SecretKey::generate(context, &mut OsRandomness).unwrap();
    let encoder = Encoder::new(context);
    let columns = packing::columns(&[vec![0.5; plan.dimension()]], plan.dimension()).unwrap();
    let octets: Vec<Vec<u8>> = columns
        .iter()
        .map(|column| encoder.encode(column, input.level, input.scale).unwrap())
        .map(|plaintext| key.encrypt(&plaintext, &mut OsRandomness).unwrap())
        .map(|ciphertext| hei_wire::hei::encode_ciphertext(&ciphertext, context).unwrap())
        .collect();
    let inputs = octets.iter().map(|octets| Input::binary(octets.as_slice())).collect();
    let request = InferRequest::new("logistic_v1".parse().unwrap(), &"1.0.0".parse().unwrap(), 1, inputs);
    Submission {
        tenant: tenant(),
        format: BodyFormat::Cbor,
        body: request.write(BodyFormat::Cbor).unwrap().into(),
        header_version: None,
        key: None,
        trace: None,
        share: BodyShare::default(),
    }
}

fn lease(id: JobId) -> Lease {
    Lease { id, attempt: 1 }
}

async fn job(app: &App, id: JobId) -> Job {
    match app.read(&tenant(), id).await.unwrap() {
        Lookup::Found(job) => job,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_finishes_what_it_accepted_and_takes_nothing_new() {
    let app = app(|config| config.compute_threads = 1);
    let mut accepted = Vec::new();
    for _ in 0..4 {
        accepted.push(app.submit(submission()).await.unwrap().job_id);
    }
    app.drain();
    let refused = app.submit(submission()).await.unwrap_err();
    assert_eq!(refused.code(), ProblemCode::NotReady);
    app.drained().await;
    for id in accepted {
        assert_eq!(job(&app, id).await.state, JobState::Completed);
    }
    assert_eq!(app.unfinished().await, 0);
}

#[tokio::test]
async fn a_draining_server_is_not_ready_and_alive() {
    let app = app(|_| {});
    let router = crate::http::router(Arc::clone(&app));
    let get = |target: &str| router.clone().oneshot(Request::get(target).body(Body::empty()).unwrap());
    assert_eq!(get("/health/ready").await.unwrap().status(), 200);
    app.drain();
    let refused = get("/health/ready").await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let problem = to_bytes(refused.into_body(), 1 << 16).await.unwrap();
    assert!(std::str::from_utf8(&problem).unwrap().contains("\"NOT_READY\""));
    assert_eq!(get("/health").await.unwrap().status(), 200);
    let refused = router.clone().oneshot(Request::post("/infer").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(refused.status(), 503, "before the body, the media type or anything else is looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_evaluation_fails_its_job() {
    // No workers: this test does their work.
    let app = app(|config| config.workers = Some(0));
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(app.submit(submission()).await.unwrap().job_id);
    }
    let workshop = &app.workshop;
    workshop.perform(tenant(), lease(ids[0]), None, |_| panic!("on purpose")).await;
    workshop.perform(tenant(), lease(ids[1]), None, |_| Err(JobErrorCode::EvaluationFailed)).await;
    workshop
        .perform(tenant(), lease(ids[2]), Some(std::time::Instant::now()), |_| {
            unreachable!("its deadline passed")
        })
        .await;
    workshop.perform(tenant(), lease(ids[3]), None, |_| Ok(bytes::Bytes::from_static(b"result"))).await;
    let failures =
        [JobErrorCode::InternalError, JobErrorCode::EvaluationFailed, JobErrorCode::JobDeadlineExceeded];
    for (id, code) in ids.iter().zip(failures) {
        let job = job(&app, *id).await;
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(job.outcome.as_deref(), Some(&Outcome::Failed(code)));
        assert!(job.finished_at.is_some());
    }
    assert_eq!(job(&app, ids[3]).await.state, JobState::Completed, "the panic cost no thread");
    // An outcome is for ever.
    workshop.perform(tenant(), lease(ids[0]), None, |_| Ok(bytes::Bytes::new())).await;
    assert_eq!(job(&app, ids[0]).await.state, JobState::Failed);
}
