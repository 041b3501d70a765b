//! The specification as a test sees it: what `spec/openapi.yaml` declares of each operation, and whether an answer
//! keeps to it.
//!
//! The document is read by its indentation, which is all that is needed of YAML here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hei_protocol::schema::Response;
use hei_protocol::{cbor, spec};

use super::raw::{Reply, Request};

#[derive(Debug, Default)]
pub struct Declared {
    pub codes: Vec<String>,
    pub headers: Vec<String>,
    pub media: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Contract {
    /// (method, path) to status to what is declared.
    pub operations: BTreeMap<(String, String), BTreeMap<u16, Declared>>,
    /// Codes that any request can meet.
    pub anywhere: Vec<String>,
}

pub static CONTRACT: LazyLock<Contract> = LazyLock::new(|| read(spec::OPENAPI));

fn read(document: &str) -> Contract {
    let mut contract = Contract::default();
    let (mut path, mut method, mut status, mut section) = (String::new(), String::new(), 0, String::new());
    let mut lines = document.lines().peekable();
    let mut in_paths = false;
    while let Some(line) = lines.next() {
        let mut text = line.trim_start().to_owned();
        let indent = line.len() - text.len();
        while text.contains('[') && !text.contains(']') {
            text.push_str(lines.next().unwrap().trim());
        }
        let list = || {
            let inner = text.split_once('[').unwrap().1.split_once(']').unwrap().0;
            inner.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>()
        };
        let key = text.split(": ").next().unwrap().trim_end_matches(':').trim_matches('\'').to_owned();
        match indent {
            0 if text.starts_with("x-problem-codes:") => contract.anywhere = list(),
            0 => in_paths = text == "paths:",
            _ if !in_paths => {}
            2 => path = key,
            4 if matches!(key.as_str(), "get" | "post" | "put" | "delete" | "patch") => {
                method = key.to_uppercase();
                contract.operations.insert((method.clone(), path.clone()), BTreeMap::new());
                status = 0;
            }
            6 => status = 0,
            8 => {
                if let Ok(number) = key.parse::<u16>() {
                    status = number;
                    let operation = contract.operations.get_mut(&(method.clone(), path.clone())).unwrap();
                    operation.insert(status, Declared::default());
                }
            }
            10 | 12 if status > 0 => {
                let operation = contract.operations.get_mut(&(method.clone(), path.clone())).unwrap();
                let declared = operation.get_mut(&status).unwrap();
                match (indent, section.as_str()) {
                    (10, _) => {
                        if key == "x-problem-codes" {
                            declared.codes = list();
                        }
                        section = key;
                    }
                    (_, "headers") => declared.headers.push(key),
                    (_, "content") => declared.media.push(key),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    contract
}

impl Contract {
    /// The operation a request means: `HEAD` means `GET`.
    fn operation(&self, request: &Request) -> Option<&BTreeMap<u16, Declared>> {
        let method = if request.method == "HEAD" { "GET" } else { &request.method };
        let path = request.target.split('?').next().unwrap();
        let means = |(declared, template): &(String, String)| declared == method && fits(template, path);
        self.operations.iter().find(|(name, _)| means(name)).map(|(_, responses)| responses)
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut left, mut right) = (template.split('/'), path.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part))
                if pattern == part || (pattern.starts_with('{') && !part.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Holds an answer against the specification: its status, headers, media type, code and schema.
pub fn check(request: &Request, reply: &Reply) {
    let about = format!("{} {} -> {}", request.method, request.target, reply.status);
    assert_eq!(reply.header("api-version"), Some("1.0.0"), "{about}");
    let request_id = reply.header("x-request-id").unwrap_or_else(|| panic!("{about}: no request id"));
    assert_eq!(request_id.len(), 36, "{about}");
    let media = reply.header("content-type").unwrap_or_default();
    let operation = CONTRACT.operation(request);
    let declared = operation.and_then(|responses| responses.get(&reply.status));

    if reply.status >= 400 {
        assert_eq!(media, "application/problem+json", "{about}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{about}");
        if request.method == "HEAD" {
            return;
        }
        let problem = reply.json();
        Response::Problem.check(&problem).unwrap_or_else(|error| panic!("{about}: {error:?}: {problem}"));
        assert_eq!(problem["request_id"].as_str(), Some(request_id), "{about}");
        assert_eq!(problem["status"].as_u64(), Some(u64::from(reply.status)), "{about}");
        let code = problem["code"].as_str().unwrap().to_owned();
        let known = CONTRACT.anywhere.contains(&code)
            || declared.is_some_and(|declared| declared.codes.contains(&code));
        assert!(known, "{about}: {code} is not declared");
        let waits =
            matches!(reply.status, 429 | 503) || (reply.status == 409 && problem["retryable"] == true);
        if waits {
            let seconds: u64 =
                reply.header("retry-after").unwrap_or_else(|| panic!("{about}")).parse().unwrap();
            assert!(seconds >= 1, "{about}");
        }
        return;
    }
    let declared = declared.unwrap_or_else(|| panic!("{about}: the status is not declared"));
    for (name, _) in &reply.headers {
        let transport = ["content-type", "content-length", "date", "connection", "x-content-type-options"];
        let known = transport.contains(&name.as_str())
            || declared.headers.iter().any(|header| header.eq_ignore_ascii_case(name))
            || name == "vary"
            || name == "cache-control";
        assert!(known, "{about}: the header {name} is not declared");
    }
    if matches!(reply.status, 204 | 304) {
        assert!(reply.body.is_empty(), "{about}");
        return;
    }
    assert!(declared.media.iter().any(|declared| declared == media), "{about}: {media} is not declared");
    if request.method == "HEAD" {
        assert!(reply.body.is_empty(), "{about}");
        return;
    }
    let schema = match (request.target.as_str(), reply.status) {
        (_, 202) => Some(Response::Accepted),
        ("/health", _) => Some(Response::Health),
        ("/health/ready", _) => Some(Response::Ready),
        ("/service", _) => Some(Response::Service),
        ("/models", _) => Some(Response::Models),
        ("/models?view=all", _) => Some(Response::ListModels),
        ("/keys", _) => Some(Response::Keys),
        (target, _) if target.starts_with("/keys/") => Some(Response::Key),
        ("/infer", _) => Some(Response::Job),
        ("/infer/plain", _) => Some(Response::Plain),
        (target, _) if target.starts_with("/models/") => Some(Response::ModelCard),
        (target, _) if target.starts_with("/jobs/") && !target.ends_with("/result") => Some(Response::Job),
        _ => None,
    };
    if let Some(schema) = schema {
        let projection = match media {
            "application/cbor" => cbor::parse(&reply.body).unwrap().project(),
            _ => reply.json(),
        };
        schema.check(&projection).unwrap_or_else(|error| panic!("{about}: {error:?}"));
        if schema == Response::Job && projection["status"] == "completed" {
            let result = Response::Result.check(&projection["result"]);
            result.unwrap_or_else(|error| panic!("{about}: {error:?}"));
        }
    }
}
