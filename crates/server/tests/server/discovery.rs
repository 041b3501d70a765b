//! What a client reads before it submits anything.

use hei_protocol::spec;

use crate::flow::assert_closed_shape;
use crate::support::contract::CONTRACT;
use crate::support::{BREAST_CANCER, LOGISTIC, Request, TestServer, source};

const READS: [&str; 9] = [
    "/health",
    "/health/ready",
    "/service",
    "/models",
    "/models?view=all",
    "/models/logistic_v1/versions/1.0.0",
    "/keys",
    "/openapi.yaml",
    "/schemas/problem.schema.json",
];

#[test]
fn routes_equal_the_document() {
    let mut served: Vec<(String, String)> =
        hei_server::routes().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    served.sort();
    let declared: Vec<(String, String)> = CONTRACT.operations.keys().cloned().collect();
    assert!(declared.len() >= 16, "the document was read: {declared:?}");
    assert_eq!(served, declared);
}

#[test]
fn health_is_exact() {
    let reply = TestServer::start().get("/health");
    assert_eq!((reply.status, reply.body.as_slice()), (200, br#"{"status":"ok"}"#.as_slice()));
}

#[test]
fn service_announces_what_is_enforced() {
    let server = TestServer::start_with(|config| config.limits.max_request_bytes = 20 << 20);
    let service = server.get("/service").json();
    assert_eq!(service["limits"]["max_request_bytes"], 20 << 20);
    assert_eq!(service["ciphertext_formats"], serde_json::json!(["hei/1", "seal"]));
    assert_eq!(service["extensions"], serde_json::json!(["sse"]));
    let over = (20 << 20) + 1;
    let request = Request::new("POST", "/infer")
        .header("content-type", "application/json")
        .header("content-length", &over.to_string());
    let refused = server.send(&request);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["limit"], 20 << 20);
}

#[test]
fn a_limit_below_what_compliance_needs_stops_the_start() {
    let mut config = hei_server::ServerConfig::new(([127, 0, 0, 1], 0).into(), Vec::new());
    config.limits.max_request_bytes = 1 << 20;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(hei_server::Server::bind(config)).err().unwrap().to_string();
    assert!(refused.contains("max_request_bytes") && refused.contains("16777216"), "{refused}");
}

#[test]
fn plain_models_keep_the_closed_shape() {
    let server = TestServer::start();
    let reply = server.get("/models");
    let models = reply.json();
    assert_closed_shape(&models);
    let entry = source("logistic_v1.json");
    let entry: serde_json::Value = serde_json::from_slice(&entry.bytes).unwrap();
    let served = models["models"].as_array().unwrap();
    let logistic = served.iter().find(|model| model["model_id"] == "logistic_v1").unwrap();
    for member in ["description", "encryption_parameters", "inference", "parameters", "activation_parameters"]
    {
        assert_eq!(logistic[member], entry[member], "{member} is as its operator wrote it");
    }
    assert!(!String::from_utf8(reply.body).unwrap().contains("16384.0"));
    assert_eq!(
        reply.headers.iter().find(|(name, _)| name == "link").map(|(_, value)| value.as_str()),
        Some("</models?view=all>; rel=\"alternate\"; type=\"application/json\"")
    );
}

#[test]
fn view_all_lists_every_model() {
    let server = TestServer::start();
    let list = server.get("/models?view=all").json();
    let names: Vec<&str> =
        list["models"].as_array().unwrap().iter().map(|model| model["model_id"].as_str().unwrap()).collect();
    assert_eq!(names, ["breast_cancer_v1", "logistic_v1"], "by model_id, ascending");
    for model in list["models"].as_array().unwrap() {
        let card = server.get(model["card"].as_str().unwrap()).json();
        assert_eq!(card["model_digest"], model["model_digest"]);
        assert_eq!(card["layouts"].as_array().unwrap().len(), model["layouts"].as_array().unwrap().len());
    }
    let refused = server.get("/models?view=some");
    assert_eq!(refused.code(), "INVALID_SCHEMA");
}

#[test]
fn a_card_has_the_exact_parameters_of_each_layout() {
    let server = TestServer::start();
    let card = server.get("/models/logistic_v1/versions/1.0.0").json();
    let layouts = card["layouts"].as_array().unwrap();
    assert_eq!(layouts[0]["layout"], "feature_columns");
    assert_eq!(layouts[0]["input"]["ciphertexts"], 8);
    let coefficients = layouts.iter().find(|layout| layout["layout"] == "coefficients").unwrap();
    assert_eq!(coefficients["ciphertext_formats"], serde_json::json!(["hei/1"]));
    assert_eq!(coefficients["evaluation_keys"]["required"], false);
    // The budgets: octets of containers, headers included.
    assert!(coefficients["reply_bytes"].as_u64().unwrap() <= 9 << 10);
    assert_ne!(layouts[0]["parameters"]["params_id"], coefficients["parameters"]["params_id"]);
    let keys = server.get("/keys").json();
    let sets = keys["parameter_sets"].as_array().unwrap();
    assert!(sets.iter().any(|set| set["params_id"] == coefficients["parameters"]["params_id"]));
    assert_eq!(keys["keys"], serde_json::json!([]));
    for absent in ["/models/logistic_v1/versions/1.0.1", "/models/x/versions/1.0.0", "/models/%FF/versions/1"]
    {
        assert_eq!(server.get(absent).code(), "UNKNOWN_MODEL", "{absent}");
    }
}

#[test]
fn discovery_is_stable_and_conditional() {
    let server = TestServer::start();
    for target in ["/models", "/models?view=all", "/service", "/keys", "/models/logistic_v1/versions/1.0.0"] {
        let first = server.get(target);
        let etag = first.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"'), "a strong validator: {etag}");
        let cached = first.header("cache-control").unwrap();
        let fresh = if target == "/keys" { "private, no-cache" } else { "public, max-age=60" };
        assert_eq!(cached, fresh, "the caller's own keys are nobody else's: {target}");
        assert_eq!(server.get(target).body, first.body);
        let again = server.send(&Request::get(target).header("if-none-match", &etag));
        assert_eq!((again.status, again.header("etag")), (304, Some(etag.as_str())), "{target}");
        let other = server.send(&Request::get(target).header("if-none-match", "\"other\""));
        assert_eq!(other.status, 200);
    }
    // Another process with the same models says the same.
    assert_eq!(server.get("/models").header("etag"), TestServer::start().get("/models").header("etag"));
}

#[test]
fn published_artifacts_are_served_octet_for_octet() {
    let server = TestServer::start();
    assert_eq!(server.get("/openapi.yaml").body, spec::OPENAPI.as_bytes());
    for (name, text) in spec::SCHEMAS {
        assert_eq!(server.get(&format!("/schemas/{name}")).body, text.as_bytes(), "{name}");
    }
    assert_eq!(server.get("/schemas/other.schema.json").code(), "NOT_FOUND");
}

#[test]
fn head_answers_like_get() {
    let server = TestServer::start();
    for target in READS {
        let get = server.get(target);
        let head = server.send(&Request::new("HEAD", target));
        assert_eq!(head.status, get.status, "{target}");
        for name in ["content-type", "content-length", "etag", "cache-control", "link", "api-version"] {
            assert_eq!(head.header(name), get.header(name), "{target}: {name}");
        }
        assert!(head.body.is_empty());
    }
    assert_eq!(server.send(&Request::new("HEAD", "/nowhere")).status, 404);
}

#[test]
fn wrong_methods_name_the_allowed_ones() {
    let server = TestServer::start();
    for target in READS {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let refused = server.send(&Request::new(method, target));
            assert_eq!(refused.code(), "METHOD_NOT_ALLOWED", "{method} {target}");
            assert_eq!(refused.header("allow"), Some("GET,HEAD"), "{method} {target}");
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        let refused = server.send(&Request::new(method, "/infer"));
        assert_eq!((refused.code().as_str(), refused.header("allow")), ("METHOD_NOT_ALLOWED", Some("POST")));
    }
}

#[test]
fn paths_are_not_normalized() {
    let server = TestServer::start();
    for target in
        ["/infer/", "//infer", "/infer%2f", "/", "/models/", "/health/../models", "/problems", "/jobs"]
    {
        let refused = server.get(target);
        assert_eq!((refused.status, refused.code().as_str()), (404, "NOT_FOUND"), "{target}");
    }
}

#[test]
fn every_answer_names_version_and_request() {
    let server = TestServer::start();
    let mut seen = std::collections::HashSet::new();
    for target in READS.into_iter().chain(["/nowhere", "/jobs/x", "/models/x/versions/1"]) {
        let reply = server.get(target);
        assert_eq!(reply.header("api-version"), Some("1.0.0"), "{target}");
        assert!(seen.insert(reply.header("x-request-id").unwrap().to_owned()), "request ids are fresh");
        let json = reply.header("content-type").is_some_and(|media| media.ends_with("json"));
        if json && target != "/health" && !target.starts_with("/schemas") {
            assert_eq!(reply.json()["api_version"], "1.0.0", "{target}");
        }
    }
}

#[test]
fn a_version_that_is_not_spoken_is_refused_and_the_aliases_are_equal() {
    let server = TestServer::start();
    for spoken in ["1", "v1", "1.0", "1.0.0", "1.0.9"] {
        assert_eq!(
            server.send(&Request::get("/models").header("api-version", spoken)).status,
            200,
            "{spoken}"
        );
    }
    for other in ["2", "v2", "1.1", "0.9", "one", ""] {
        let refused = server.send(&Request::get("/models").header("api-version", other));
        assert_eq!(refused.code(), "UNSUPPORTED_API_VERSION", "{other}");
        assert_eq!(refused.json()["supported_versions"], serde_json::json!(["1.0.0"]));
    }
}

#[test]
fn a_client_that_accepts_none_of_ours_is_told() {
    let server = TestServer::start();
    for target in READS {
        let refused = server.send(&Request::get(target).header("accept", "text/html"));
        assert_eq!(refused.code(), "NOT_ACCEPTABLE", "{target}");
        assert_eq!(server.send(&Request::get(target).header("accept", "text/html, */*;q=0.1")).status, 200);
    }
}

#[test]
fn readiness_follows_the_server() {
    let server = TestServer::start_with(|config| {
        config.models = vec![source(LOGISTIC), source(BREAST_CANCER)];
    });
    let ready = server.get("/health/ready");
    assert_eq!((ready.json()["status"].as_str(), ready.json()["models"].as_u64()), (Some("ready"), Some(2)));
    // That a draining server says 503 is a test beside the router: the listener is closed by then.
}
