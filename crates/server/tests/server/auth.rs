//! Tokens, tenants, scopes, and what strangers are told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hei_protocol::Timestamp;
use hei_server::auth::tokens::{self, NewToken};
use hei_server::{AuthChoice, Scope, ServerConfig};

use crate::jobs::small_request;
use crate::log::capture;
use crate::support::{Reply, Request, TestServer};

/// A server with a token file of its own.
struct Guarded {
    server: TestServer,
    tokens: PathBuf,
    _folder: tempfile::TempDir,
}

impl Guarded {
    /// The server, and tokens of these tenants with these scopes.
    fn start<const N: usize>(tokens: [(&str, &[Scope]); N]) -> (Self, [NewToken; N]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let made = tokens.map(|(tenant, scopes)| make(&path, tenant, scopes));
        let server = TestServer::start_with(|config| config.auth = AuthChoice::Tokens(path.clone()));
        (Self { server, tokens: path, _folder: folder }, made)
    }

    fn until(&self, mut holds: impl FnMut() -> bool) {
        let started = std::time::Instant::now();
        while !holds() {
            assert!(started.elapsed() < std::time::Duration::from_secs(5), "effective within 5 seconds");
            std::thread::yield_now();
        }
    }

    fn send(&self, request: Request, token: &NewToken) -> Reply {
        self.server.send(&authorized(request, &token.token))
    }
}

fn make(path: &std::path::Path, tenant: &str, scopes: &[Scope]) -> NewToken {
    let scopes: BTreeSet<Scope> = scopes.iter().copied().collect();
    tokens::create(path, tenant, scopes, Timestamp::from_unix_millis(1_000_000), None).unwrap()
}

fn authorized(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

/// Everything but what differs in every exchange.
fn essence(reply: &Reply) -> (u16, Vec<(String, String)>, serde_json::Value) {
    let mut body = reply.json();
    body["request_id"] = "".into();
    body["instance"] = "".into();
    let own = ["x-request-id", "date", "ratelimit"];
    let headers = reply.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    (reply.status, headers.cloned().collect(), body)
}

fn protected() -> Vec<Request> {
    let (job, key) = ("0".repeat(32), "0".repeat(64));
    vec![
        small_request(),
        Request::post("/infer/plain", "application/json", "{}"),
        Request::get(&format!("/jobs/{job}")),
        Request::get(&format!("/jobs/{job}/result")),
        Request::new("DELETE", &format!("/jobs/{job}")),
        Request::get(&format!("/keys/{key}")),
        Request::new("PUT", &format!("/keys/{key}")).header("content-length", "0"),
        Request::new("DELETE", &format!("/keys/{key}")),
    ]
}

#[test]
fn requests_without_a_working_token_are_refused_alike() {
    let all: &[Scope] = &[Scope::Infer, Scope::Keys, Scope::Plain];
    let log = capture();
    let (guarded, [revoked, known]) = Guarded::start([("a", all), ("a", all)]);
    tokens::revoke(&guarded.tokens, &revoked.record.id).unwrap();
    let probe = Request::get("/jobs/0");
    guarded.until(|| guarded.send(probe.clone(), &revoked).status == 401);
    let gone = format!("a token does not work any more token=\"{}\"", revoked.record.id);
    assert!(log.text().contains(&gone));
    let (id, secret) = known.token.strip_prefix("hei_").unwrap().split_once('_').unwrap();
    let wrong = [
        format!("Bearer hei_{id}_{}", "x".repeat(secret.len())),
        format!("Bearer hei_{}_{secret}", "0".repeat(16)),
        format!("Bearer {}", revoked.token.as_str()),
        "Bearer ".to_owned(),
        "Bearer hei__".to_owned(),
        "Basic YTpi".to_owned(),
        "x".repeat(4000),
    ];
    for request in protected() {
        let none = guarded.server.send(&request);
        assert_eq!((none.status, none.code().as_str()), (401, "UNAUTHENTICATED"), "{}", request.target);
        assert_eq!(none.header("www-authenticate"), Some("Bearer"));
        for wrong in &wrong {
            let refused = guarded.server.send(&request.clone().header("authorization", wrong));
            assert_eq!(essence(&refused), essence(&none), "{} {wrong}", request.target);
        }
        let twice = request.header("authorization", "Bearer a").header("authorization", "Bearer b");
        assert_eq!(essence(&guarded.server.send(&twice)), essence(&none));
    }
    // Discovery is open.
    for open in ["/health", "/models", "/service", "/keys"] {
        assert_eq!(guarded.server.get(open).status, 200, "{open}");
    }
    assert_eq!(guarded.server.send(&Request::get("/keys").header("authorization", "Bearer x")).status, 401);
}

#[test]
fn a_token_decides_the_tenant_and_what_it_may_do() {
    let (guarded, [infer, keys]) = Guarded::start([("a", &[Scope::Infer]), ("a", &[Scope::Keys])]);
    let done = guarded.send(small_request().header("prefer", "wait=30"), &infer);
    assert_eq!(done.status, 200);
    let job = Request::get(&format!("/jobs/{}", done.job_id()));
    assert_eq!(guarded.send(job.clone(), &infer).status, 200);
    for same in ["a", "", " "] {
        assert_eq!(guarded.send(job.clone().header("x-tenant-id", same), &infer).status, 200, "{same:?}");
    }
    let refusal = |reply: Reply| reply.refusal();
    let forbidden = |reason: &str| (403, "FORBIDDEN".to_owned(), Some(reason.to_owned()));
    for other in ["b", "default", "a b"] {
        let refused = guarded.send(job.clone().header("x-tenant-id", other), &infer);
        assert_eq!(refusal(refused), forbidden("tenant"), "{other}");
    }
    assert_eq!(refusal(guarded.send(job, &keys)), forbidden("scope"));
    let key = Request::get(&format!("/keys/{}", "0".repeat(64)));
    assert_eq!(guarded.send(key.clone(), &keys).code(), "KEY_NOT_FOUND");
    assert_eq!(refusal(guarded.send(key, &infer)), forbidden("scope"));
    let plain = Request::post("/infer/plain", "application/json", "{}");
    assert_eq!(refusal(guarded.send(plain, &infer)), forbidden("scope"));
}

#[test]
fn foreign_and_missing_answers_are_equal_in_every_octet() {
    let both: &[Scope] = &[Scope::Infer, Scope::Keys];
    let (guarded, [owner, stranger]) = Guarded::start([("a", both), ("b", both)]);
    let request = small_request().header("idempotency-key", "shared").header("prefer", "wait=30");
    let done = guarded.send(request.clone(), &owner);
    let id = done.job_id();
    for (method, end) in [("GET", ""), ("GET", "/result"), ("GET", "?wait=1"), ("DELETE", "")] {
        let ask = |id: &str| guarded.send(Request::new(method, &format!("/jobs/{id}{end}")), &stranger);
        let missing = ask(&"0".repeat(32));
        assert_eq!(essence(&missing).0, 404);
        assert_eq!(essence(&ask(&id)), essence(&missing), "{method} {end}");
    }
    // The same idempotency key is another tenant's own, and what one deletes is not another's.
    let other = guarded.send(request, &stranger);
    assert_eq!((other.status, other.header("idempotency-replayed")), (200, None));
    assert_ne!(other.job_id(), id);
    assert_eq!(
        guarded.send(Request::new("DELETE", &format!("/jobs/{}", other.job_id())), &stranger).status,
        204
    );
    assert_eq!(guarded.send(Request::get(&format!("/jobs/{id}")), &owner).status, 200);
}

fn refused_start(change: impl FnOnce(&mut ServerConfig)) -> String {
    let mut config = ServerConfig::new(([0, 0, 0, 0], 0).into(), Vec::new());
    change(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime
        .block_on(hei_server::Server::bind(config))
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn without_authentication_only_loopback_is_served() {
    let refused = refused_start(|_| {});
    assert!(refused.contains("not authenticated") && refused.contains("--tokens"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.json");
    let with_tokens = |config: &mut ServerConfig| config.auth = AuthChoice::Tokens(tokens.clone());
    let refused = refused_start(with_tokens);
    assert!(refused.contains("plain HTTP") && refused.contains("--behind-proxy"), "{refused}");
    let started = refused_start(|config| {
        with_tokens(config);
        config.behind_proxy = true;
    });
    assert_eq!(started, "");
}

#[test]
fn a_name_that_is_not_loopback_is_refused_without_authentication() {
    let server = TestServer::start();
    let host = |name: &str| Request::get("/models").header("host", name);
    for other in ["example.com", "127.0.0.1.example.com:8000", ""] {
        let refused = server.send(&host(other));
        assert_eq!(refused.refusal(), (403, "FORBIDDEN".to_owned(), Some("host".to_owned())), "{other}");
    }
    let (guarded, []) = Guarded::start([]);
    let request = Request::get("/models").header("host", "inference.example.com");
    assert_eq!(
        guarded.server.send(&request).status,
        200,
        "with authentication the name is the operator's choice"
    );
}
