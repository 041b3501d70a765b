//! Evaluation keys, with a model that needs some: no model of this release does, so one is made to.

use axum::body::Bytes;
use axum::http::{HeaderMap, Response};
use hei_ckks::{Context, EvaluationKeys, KeyManifest, Parameters, ParametersLiteral};
use hei_protocol::manifest::Layout as LayoutName;
use hei_protocol::{KeyId, encoding};
use sha2::{Digest, Sha256};

use super::*;
use crate::config::StoreChoice;
use crate::keys::KeyStore;
use crate::keys::memory::MemoryKeys;
use crate::store::durable::DurableOptions;

/// What the layout `feature_columns` is made to need.
fn needs(context: &Context) -> KeyManifest {
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(context.max_level());
    manifest.need_rotation(context, 1, context.max_level());
    manifest
}

struct Fixture {
    app: Arc<App>,
    keys: Arc<MemoryKeys>,
    router: axum::Router,
    context: Arc<Context>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let source = ModelSource { name: "logistic_v1.hei".to_owned(), bytes: MODEL.into() };
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), vec![source]);
        change(&mut config);
        let file = ModelFile::decode(MODEL).unwrap();
        let context = Arc::clone(file.plan(Layout::FeatureColumns).unwrap().parameters().context());
        let registry = Registry::load(&config.models, &config.limits).unwrap();
        let registry =
            registry.needing(LayoutName::FeatureColumns, |plan| needs(plan.parameters().context()));
        let per_tenant = usize::try_from(config.limits.max_keys_per_tenant).unwrap();
        let keys =
            Arc::new(MemoryKeys::new(per_tenant, Duration::from_secs(3600), Arc::clone(&config.clock)));
        let backend = Backend::in_memory(&config, Arc::clone(&keys));
        let app = App::start(config, registry, backend).unwrap();
        let router = crate::http::router(Arc::clone(&app));
        Self { app, keys, router, context }
    }

    fn container(&self) -> Vec<u8> {
        container(&self.context, &needs(&self.context))
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let answer: Response<Body> = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn put_as(&self, tenant: &str, id: KeyId, octets: impl Into<Body>) -> Answer {
        let request = Request::put(format!("/keys/{id}"))
            .header("x-tenant-id", tenant)
            .header("content-type", "application/octet-stream");
        self.send(request.body(octets.into()).unwrap()).await
    }

    async fn put(&self, octets: &[u8]) -> Answer {
        self.put_as("", id(octets), octets.to_vec()).await
    }

    async fn ask(&self, method: &str, tenant: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("x-tenant-id", tenant);
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Everything but what differs in every exchange.
    fn essence(&self) -> (u16, HeaderMap, serde_json::Value) {
        let (mut headers, mut body) = (self.headers.clone(), self.json());
        headers.remove("x-request-id");
        body["request_id"] = "".into();
        body["instance"] = "".into();
        (self.status, headers, body)
    }
}

fn id(octets: &[u8]) -> KeyId {
    KeyId::from_digest(Sha256::digest(octets).into())
}

fn generate(context: &Arc<Context>, manifest: &KeyManifest) -> EvaluationKeys {
    let secret = SecretKey::generate(context, &mut OsRandomness).unwrap();
    secret.evaluation_keys(manifest, &mut OsRandomness).unwrap()
}

fn container(context: &Arc<Context>, manifest: &KeyManifest) -> Vec<u8> {
    hei_wire::hei::encode_evaluation_keys(&generate(context, manifest), context).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_stored_listed_and_deleted_by_its_owner_alone() {
    let fixture = Fixture::new(|_| {});
    let octets = fixture.container();
    let path = format!("/keys/{}", id(&octets));
    let missing = fixture.ask("GET", "", &path).await;
    assert_eq!(missing.code(), (404, "KEY_NOT_FOUND".to_owned()));
    let stored = fixture.put(&octets).await;
    assert_eq!((stored.status, stored.headers["location"].to_str().unwrap()), (201, path.as_str()));
    hei_protocol::schema::Response::Key.check(&stored.json()).unwrap();
    assert_eq!(stored.json()["size"], octets.len());
    assert_eq!(stored.json()["params_id"], fixture.context.params_id().to_string());
    assert_eq!(fixture.ask("GET", "", &path).await.json(), stored.json());
    let head = fixture.ask("HEAD", "", &path).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    // Foreign, unknown and malformed look the same.
    for (tenant, other) in [("b", path.as_str()), ("", "/keys/x"), ("", &format!("/keys/{}", "0".repeat(64)))]
    {
        assert_eq!(fixture.ask("GET", tenant, other).await.essence(), missing.essence(), "{other}");
        assert_eq!(fixture.ask("DELETE", tenant, other).await.essence(), missing.essence(), "{other}");
    }
    let list = fixture.ask("GET", "", "/keys").await;
    hei_protocol::schema::Response::Keys.check(&list.json()).unwrap();
    assert_eq!(list.json()["keys"][0]["key_id"], id(&octets).to_string());
    assert_eq!(fixture.ask("GET", "b", "/keys").await.json()["keys"], serde_json::json!([]));
    assert_eq!(fixture.ask("DELETE", "", &path).await.status, 204);
    assert_eq!(fixture.ask("GET", "", &path).await.essence(), missing.essence());
    // A SEAL stream of the same keys is a key too.
    let keys = generate(&fixture.context, &needs(&fixture.context));
    let mut seal =
        hei_wire::seal::encode_relin_keys(keys.relinearization.as_ref().unwrap(), &fixture.context).unwrap();
    seal.extend(hei_wire::seal::encode_galois_keys(&keys.galois, &fixture.context).unwrap());
    assert_eq!(fixture.put(&seal).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_the_caller_has_is_answered_before_its_body() {
    let fixture = Fixture::new(|_| {});
    let octets = fixture.container();
    assert_eq!(fixture.put(&octets).await.status, 201);
    let again = fixture.put_as("", id(&octets), "not even looked at").await;
    assert_eq!(again.status, 200);
    let foreign = fixture.put_as("b", id(&octets), "not even looked at").await;
    assert_eq!(foreign.code(), (422, "KEY_DIGEST_MISMATCH".to_owned()), "b is not told that a has it");
    // Two at once: one object.
    let other = fixture.container();
    let (one, two) = tokio::join!(fixture.put(&other), fixture.put(&other));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    assert_eq!(fixture.ask("GET", "", "/keys").await.json()["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_keys_are_refused_with_their_code() {
    let fixture = Fixture::new(|_| {});
    let good = fixture.container();
    let invalid = (422, "INVALID_KEY".to_owned());
    let named = fixture.put_as("", id(b"another"), good.clone()).await;
    assert_eq!(named.code(), (422, "KEY_DIGEST_MISMATCH".to_owned()));
    assert_eq!(named.json()["retryable"], true);
    let cut = fixture.put_as("", id(&good), good[..good.len() * 99 / 100].to_vec()).await;
    assert_eq!(cut.code().1, "KEY_DIGEST_MISMATCH");
    for length in [0, 1, 16, 60, good.len() / 2, good.len() - 1] {
        assert_eq!(fixture.put(&good[..length]).await.code(), invalid, "{length} octets");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(fixture.put(&longer).await.code(), invalid);
    let mut residue = good.clone();
    residue.iter_mut().rev().take(64).for_each(|octet| *octet = 0xff);
    assert_eq!(fixture.put(&residue).await.code(), invalid, "residues beyond their modulus");
    let secret = SecretKey::generate(&fixture.context, &mut OsRandomness).unwrap();
    let rejected = (400, "SECRET_KEY_REJECTED".to_owned());
    let octets = hei_wire::hei::encode_secret_key(&secret, &fixture.context).unwrap();
    assert_eq!(fixture.put(&octets).await.code(), rejected);
    assert_eq!(
        fixture.put_as("", id(b"other"), octets.to_vec()).await.code(),
        rejected,
        "whatever it is named"
    );
    let octets = hei_wire::seal::encode_secret_key(&secret, &fixture.context).unwrap();
    assert_eq!(fixture.put(&octets).await.code(), rejected);
    let request = Request::put(format!("/keys/{}", id(&good)))
        .header("content-type", "application/octet-stream")
        .header("content-digest", format!("sha-256=:{}:", encoding::to_base64(&[7; 32])));
    let digest = fixture.send(request.body(good.clone().into()).unwrap()).await;
    assert_eq!(digest.code().1, "KEY_DIGEST_MISMATCH");
    let request = Request::put(format!("/keys/{}", id(&good))).header("content-type", "application/json");
    assert_eq!(fixture.send(request.body(good.clone().into()).unwrap()).await.code().0, 415);
    assert_eq!(fixture.ask("GET", "", "/keys").await.json()["keys"], serde_json::json!([]));
    assert_eq!(fixture.put(&good).await.status, 201, "an upload that failed can be repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_no_layout_needs_are_incompatible() {
    let fixture = Fixture::new(|_| {});
    let incompatible = (409, "EVALUATION_KEY_INCOMPATIBLE".to_owned());
    let context = &fixture.context;
    let mut only_relin = KeyManifest::new();
    only_relin.need_relinearization(context.max_level());
    let refused = fixture.put(&container(context, &only_relin)).await;
    assert_eq!(refused.code(), incompatible);
    let missing: Vec<u64> = needs(context).galois().map(|(element, _)| element.value()).collect();
    assert_eq!(refused.json()["missing_galois_elements"], serde_json::json!(missing));
    let mut more = needs(context);
    more.need_rotation(context, 2, context.max_level());
    assert_eq!(fixture.put(&container(context, &more)).await.json()["reason"], "surplus_keys");
    let literal = ParametersLiteral {
        poly_modulus_degree: 4096,
        coeff_modulus_bits: vec![35, 35, 36],
        special_count: 1,
        scale: 2f64.powi(30),
    };
    let other = Parameters::new(&literal).unwrap();
    let mut relin = KeyManifest::new();
    relin.need_relinearization(1);
    let refused = fixture.put(&container(other.context(), &relin)).await;
    assert_eq!((refused.code(), refused.json()["reason"].as_str()), (incompatible, Some("params")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_too_many_is_refused_and_nothing_is_evicted() {
    let fixture = Fixture::new(|config| {
        config.limits.max_keys_per_tenant = 2;
        config.limits.max_key_bytes = 64 << 20;
    });
    let containers = [fixture.container(), fixture.container(), fixture.container()];
    assert_eq!(fixture.put(&containers[0]).await.status, 201);
    assert_eq!(fixture.put(&containers[1]).await.status, 201);
    let refused = fixture.put(&containers[2]).await;
    assert_eq!(refused.code(), (409, "KEY_QUOTA_EXCEEDED".to_owned()));
    assert_eq!(
        (refused.json()["limit"].as_u64(), refused.json()["remedy"].as_str()),
        (Some(2), Some("delete_key"))
    );
    assert_eq!(fixture.put(&containers[0]).await.status, 200, "both are still there");
    assert_eq!(fixture.put_as("b", id(&containers[2]), containers[2].clone()).await.status, 201);
    let path = format!("/keys/{}", id(&containers[0]));
    assert_eq!(fixture.ask("DELETE", "", &path).await.status, 204);
    assert_eq!(fixture.put(&containers[2]).await.status, 201);
    let request = Request::put("/keys/".to_owned() + &"0".repeat(64))
        .header("x-tenant-id", "c")
        .header("content-type", "application/octet-stream")
        .header("content-length", ((64 << 20) + 1).to_string());
    let large = fixture.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(large.code(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    assert_eq!(large.json()["limit_name"], "max_key_bytes");
}

/// A submission that names this key.
fn naming(key: Option<KeyId>) -> Submission {
    let mut submission = submission();
    let mut request = InferRequest::parse(BodyFormat::Cbor, &submission.body, None).unwrap();
    request.evaluation_key_id = key;
    let body = request.write(BodyFormat::Cbor).unwrap();
    submission.body = body.into();
    submission
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_that_needs_keys_asks_for_them() {
    let fixture = Fixture::new(|config| config.workers = Some(0));
    let app = &fixture.app;
    let octets = fixture.container();
    assert_eq!(app.submit(naming(None)).await.unwrap_err().code(), ProblemCode::EvaluationKeyRequired);
    let unknown = app.submit(naming(Some(id(&octets)))).await.unwrap_err();
    assert_eq!(unknown.code(), ProblemCode::EvaluationKeyNotFound);
    assert_eq!(fixture.put_as("b", id(&octets), octets.clone()).await.status, 201);
    assert_eq!(app.submit(naming(Some(id(&octets)))).await.unwrap_err(), unknown, "another's key is none");
    assert_eq!(fixture.put(&octets).await.status, 201);
    let accepted = app.submit(naming(Some(id(&octets)))).await.unwrap();
    assert_eq!(job(app, accepted.job_id).await.facts.evaluation_key_id, Some(id(&octets)));
    // A key that lacks an element, put there by hand: no upload of it is taken.
    let mut only_relin = KeyManifest::new();
    only_relin.need_relinearization(fixture.context.max_level());
    let lacking = crate::keys::NewKey {
        id: id(b"lacking"),
        params_id: fixture.context.params_id().to_string().into(),
        manifest: only_relin,
        octets: b"lacking".as_slice().into(),
        share: None,
    };
    fixture.keys.insert(&tenant(), lacking).await.unwrap();
    let refused = app.submit(naming(Some(id(b"lacking")))).await.unwrap_err();
    assert_eq!(refused.code(), ProblemCode::EvaluationKeyIncompatible);
    assert_eq!(refused.reason(), Some("galois_elements"));
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_uploads_at_once_are_one_key_and_a_deletion_leaves_the_job_its_own() {
    let fixture = Fixture::new(|config| config.compute_threads = 1);
    let octets = fixture.container();
    let put = || fixture.put(&octets);
    let answers = tokio::join!(put(), put(), put(), put());
    let mut statuses = [answers.0.status, answers.1.status, answers.2.status, answers.3.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 201]);
    assert_eq!(fixture.ask("GET", "", "/keys").await.json()["keys"].as_array().unwrap().len(), 1);
    // One thread, several jobs: the last of them wait when the key goes.
    let mut jobs = Vec::new();
    for _ in 0..6 {
        jobs.push(fixture.app.submit(naming(Some(id(&octets)))).await.unwrap().job_id);
    }
    assert_eq!(fixture.ask("DELETE", "", &format!("/keys/{}", id(&octets))).await.status, 204);
    let gone = fixture.app.submit(naming(Some(id(&octets)))).await.unwrap_err();
    assert_eq!(gone.code(), ProblemCode::EvaluationKeyNotFound);
    for job in jobs {
        let wait = Duration::from_secs(30);
        let found = fixture.app.read_beyond(&tenant(), job, JobState::Running, wait).await.unwrap();
        assert!(matches!(found, Lookup::Found(job) if job.state == JobState::Completed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_key_fails_its_job_and_is_quarantined() {
    let fixture = Fixture::new(|config| config.compute_threads = 1);
    let octets = fixture.container();
    assert_eq!(fixture.put(&octets).await.status, 201);
    let finished = |id: JobId| {
        let app = &fixture.app;
        async move {
            let wait = Duration::from_secs(30);
            match app.read_beyond(&tenant(), id, JobState::Running, wait).await.unwrap() {
                Lookup::Found(job) => job,
                other => panic!("{other:?}"),
            }
        }
    };
    let good = fixture.app.submit(naming(Some(id(&octets)))).await.unwrap().job_id;
    assert_eq!(finished(good).await.state, JobState::Completed);
    fixture.keys.corrupt(&tenant(), id(&octets));
    let bad = fixture.app.submit(naming(Some(id(&octets)))).await.unwrap().job_id;
    let bad = finished(bad).await;
    assert_eq!(bad.outcome.as_deref(), Some(&Outcome::Failed(JobErrorCode::InternalError)));
    let after = fixture.app.submit(naming(Some(id(&octets)))).await.unwrap_err();
    assert_eq!(after.code(), ProblemCode::EvaluationKeyNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_that_needs_a_key_begins_again_in_a_later_life() {
    let folder = tempfile::tempdir().unwrap();
    let start = |workers: Option<usize>| {
        let source = ModelSource { name: "logistic_v1.hei".to_owned(), bytes: MODEL.into() };
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), vec![source]);
        config.workers = workers;
        config.store = StoreChoice::Durable(DurableOptions::new(folder.path().to_owned()));
        async move {
            let registry = Registry::load(&config.models, &config.limits).unwrap();
            let needs = |plan: &Plan| needs(plan.parameters().context());
            let registry = registry.needing(LayoutName::FeatureColumns, needs);
            let backend = Backend::open(&config).await.unwrap();
            App::start(config, registry, backend).unwrap()
        }
    };
    let file = ModelFile::decode(MODEL).unwrap();
    let context = Arc::clone(file.plan(Layout::FeatureColumns).unwrap().parameters().context());
    let octets = container(&context, &needs(&context));
    let key = id(&octets);
    let app = start(Some(0)).await;
    let router = crate::http::router(Arc::clone(&app));
    let put = Request::put(format!("/keys/{key}")).header("content-type", "application/octet-stream");
    let stored = router.clone().oneshot(put.body(Body::from(octets)).unwrap()).await.unwrap();
    assert_eq!(stored.status(), 201);
    let accepted = app.submit(naming(Some(key))).await.unwrap().job_id;
    let delete = Request::delete(format!("/keys/{key}")).body(Body::empty()).unwrap();
    assert_eq!(router.clone().oneshot(delete).await.unwrap().status(), 204);
    let refused = app.submit(naming(Some(key))).await.unwrap_err();
    assert_eq!(refused.code(), ProblemCode::EvaluationKeyNotFound);
    app.drain();
    drop((app, router));
    let app = start(None).await;
    let wait = Duration::from_secs(30);
    match app.read_beyond(&tenant(), accepted, JobState::Running, wait).await.unwrap() {
        Lookup::Found(job) => assert_eq!(job.state, JobState::Completed, "its key outlived the process"),
        other => panic!("{other:?}"),
    }
}
