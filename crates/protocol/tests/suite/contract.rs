//! The published artifacts agree with each other and with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hei_protocol::messages::{InferRequest, PlainRequest};
use hei_protocol::schema::Response;
use hei_protocol::{JobErrorCode, Limits, ProblemCode, Remedy, spec};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemRow {
    code: String,
    status: u16,
    retryable: bool,
    remedy: String,
    title: String,
    detail: String,
    when: String,
    emitted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobErrorRow {
    code: String,
    retryable: bool,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Problems {
    problem: Vec<ProblemRow>,
    job_error: Vec<JobErrorRow>,
}

fn problems() -> Problems {
    toml::from_str(spec::PROBLEMS).unwrap()
}

#[test]
fn the_enum_equals_the_problem_file() {
    let problems = problems();
    let file: Vec<_> = problems.problem.iter().map(|row| row.code.as_str()).collect();
    let ours: Vec<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(file, ours);
    for (row, code) in problems.problem.iter().zip(ProblemCode::ALL) {
        assert_eq!(
            (row.status, row.retryable, row.remedy.as_str(), row.title.as_str(), row.detail.as_str()),
            (code.status(), code.retryable(), code.remedy().as_str(), code.title(), code.detail()),
            "{code}"
        );
        assert_eq!(Remedy::from_name(&row.remedy), Some(code.remedy()));
        assert_eq!(ProblemCode::from_name(&row.code), Some(*code));
        assert!(!row.when.is_empty());
    }
    let file: Vec<_> = problems
        .job_error
        .iter()
        .map(|row| (row.code.as_str(), row.retryable, row.message.as_str()))
        .collect();
    let ours: Vec<_> =
        JobErrorCode::ALL.iter().map(|code| (code.as_str(), code.retryable(), code.message())).collect();
    assert_eq!(file, ours);
}

/// The lines of a Markdown table whose first cell is code.
fn table(document: &str) -> Vec<Vec<String>> {
    let row = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    document.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

fn section<'d>(document: &'d str, from: &str, to: &str) -> &'d str {
    let start = document.find(from).unwrap_or_else(|| panic!("no {from}"));
    let rest = &document[start..];
    &rest[..rest.find(to).unwrap_or_else(|| panic!("no {to}"))]
}

#[test]
fn the_documented_table_equals_the_problem_file() {
    let document = crate::common::text("docs/api.md");
    let problems = problems();
    let rows = table(section(&document, "## 7. Problems", "## 8. Retry"));
    let mark = |emitted: bool| if emitted { "" } else { " (reserved)" };
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let mut expected: Vec<Vec<String>> = problems
        .problem
        .iter()
        .map(|row| {
            let code = format!("`{}`{}", row.code, mark(row.emitted));
            let remedy = format!("`{}`", row.remedy);
            vec![code, row.status.to_string(), yes(row.retryable).to_owned(), remedy, row.when.clone()]
        })
        .collect();
    expected.extend(
        problems
            .job_error
            .iter()
            .map(|row| vec![format!("`{}`", row.code), yes(row.retryable).to_owned(), row.message.clone()]),
    );
    assert_eq!(rows, expected);
}

#[test]
fn documented_limits_are_the_limits() {
    let document = crate::common::text("docs/api.md");
    let rows = table(section(&document, "## 10. Limits", "## 11. Keys"));
    let limits = serde_json::to_value(Limits::default()).unwrap();
    let number = |text: &str| match text.split_once(' ') {
        Some((number, "MiB")) => number.parse::<u64>().unwrap() << 20,
        Some((number, "GiB")) => number.parse::<u64>().unwrap() << 30,
        _ => text.parse().unwrap(),
    };
    assert_eq!(rows.len(), limits.as_object().unwrap().len());
    for row in rows {
        assert_eq!(limits[row[0].trim_matches('`')], number(&row[1]), "{row:?}");
    }
}

/// What the test reads of the OpenAPI document: lines of its own YAML style.
struct Operation {
    path: String,
    method: String,
    codes: BTreeMap<u16, BTreeSet<String>>,
}

fn list(line: &str) -> BTreeSet<String> {
    let inner = line.split_once('[').unwrap().1.trim_end_matches(']');
    inner.split(',').map(|code| code.trim().to_owned()).collect()
}

/// The document with flow lists joined to one line.
fn unfolded() -> String {
    let mut text = String::new();
    let mut open = false;
    for line in spec::OPENAPI.lines() {
        if open {
            text.push(' ');
            text.push_str(line.trim());
        } else {
            text.push('\n');
            text.push_str(line);
        }
        if line.contains("codes") && line.contains('[') || open {
            open = !line.contains(']');
        }
    }
    text
}

fn operations(document: &str) -> Vec<Operation> {
    let (mut path, mut status) = (String::new(), 0);
    let mut operations: Vec<Operation> = Vec::new();
    for line in section(document, "\npaths:", "\ncomponents:").lines() {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim().trim_end_matches(':').trim_matches('\'');
        match indent {
            2 => path = key.to_owned(),
            4 => operations.push(Operation {
                path: path.clone(),
                method: key.to_owned(),
                codes: BTreeMap::new(),
            }),
            8 if key.parse::<u16>().is_ok() => status = key.parse().unwrap(),
            _ if key.starts_with("x-problem-codes") => {
                operations.last_mut().unwrap().codes.insert(status, list(key));
            }
            _ => {}
        }
    }
    operations
}

#[test]
fn openapi_lists_exactly_the_emitted_codes() {
    let document = unfolded();
    let top = |name: &str| list(document.lines().find(|line| line.starts_with(name)).unwrap());
    let (any, reserved) = (top("x-problem-codes:"), top("x-problem-codes-reserved:"));
    let operations = operations(&document);
    assert_eq!(operations.len(), 12);
    let mut listed = any.clone();
    for operation in &operations {
        assert!(matches!(operation.method.as_str(), "get" | "post"), "{}", operation.method);
        for (status, codes) in &operation.codes {
            for code in codes {
                let known = ProblemCode::from_name(code).unwrap_or_else(|| panic!("{code}"));
                assert_eq!(known.status(), *status, "{} {code}", operation.path);
            }
            listed.extend(codes.iter().cloned());
        }
        // Whatever else it does, an operation checks the version it is asked for and may fail.
        assert!(operation.codes[&400].contains("UNSUPPORTED_API_VERSION"), "{}", operation.path);
        assert!(operation.codes[&500].contains("INTERNAL_ERROR"), "{}", operation.path);
    }
    let rows = problems().problem;
    let with = |emitted: bool| -> BTreeSet<String> {
        rows.iter().filter(|row| row.emitted == emitted).map(|row| row.code.clone()).collect()
    };
    assert_eq!(listed, with(true));
    assert_eq!(reserved, with(false));
}

#[test]
fn openapi_keeps_the_rules_of_the_project() {
    let text = spec::OPENAPI;
    assert!(text.contains("openapi: 3.1.0"));
    assert!(text.contains("jsonSchemaDialect: https://json-schema.org/draft/2020-12/schema"));
    assert!(text.contains(&format!("version: {}", hei_protocol::API_VERSION)));
    assert!(!text.contains("nullable") && !text.contains("format: binary"));
    let operations = text.matches("operationId:").count();
    assert_eq!(operations, 12);
    // Every 4xx and 5xx is a problem document.
    let errors =
        text.lines().filter(|line| line.starts_with("        '4") || line.starts_with("        '5")).count();
    assert_eq!(text.matches("application/problem+json:").count(), errors);
    assert_eq!(text.matches("x-problem-codes: [").count(), errors + 1);
    // Every schema it refers to is published.
    for reference in text.split("$ref: schemas/").skip(1) {
        let name = reference.split(['}', '\n', ' ']).next().unwrap();
        assert!(spec::schema(name).is_some(), "{name}");
    }
}

/// Every schema object of a document, with its place.
fn walk(value: &Value, place: &str, visit: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(place, object);
            for (name, inner) in object {
                if !matches!(name.as_str(), "enum" | "const" | "default" | "required") {
                    walk(inner, &format!("{place}/{name}"), visit);
                }
            }
        }
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate() {
                walk(inner, &format!("{place}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn schemas_are_bounded_and_closed_where_they_must_be() {
    let folder = crate::common::root().join("spec/schemas");
    let on_disk: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let embedded: BTreeSet<_> = spec::SCHEMAS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(on_disk, embedded);
    for (name, text) in spec::SCHEMAS {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(schema["$id"], *name);
        let request = name.contains("request") || *name == "model_registry_entry.schema.json";
        // Closed by the reference project, or fixed to the letter.
        let closed = matches!(
            *name,
            "get_models.response.schema.json"
                | "infer_plain.response.schema.json"
                | "health.response.schema.json"
        );
        walk(&schema, name, &mut |place, object| {
            let kind = object.get("type").and_then(Value::as_str);
            let fixed = object.contains_key("const") || object.contains_key("enum");
            // The copy of the reference project's shape has its bounds too: none.
            let bounded = *name != "get_models.response.schema.json";
            match kind {
                Some("string") if bounded && !fixed => assert!(object.contains_key("maxLength"), "{place}"),
                Some("array") if bounded => assert!(object.contains_key("maxItems"), "{place}"),
                Some("integer" | "number") if bounded => {
                    assert!(object.contains_key("maximum"), "{place}");
                    assert!(
                        object.contains_key("minimum") || object.contains_key("exclusiveMinimum"),
                        "{place}"
                    );
                }
                Some("object") if request || closed => {
                    let free = place.ends_with("/source");
                    assert!(
                        free || object.get("additionalProperties") == Some(&Value::Bool(false)),
                        "{place}"
                    );
                }
                Some("object") => assert!(!object.contains_key("additionalProperties"), "{place}"),
                _ => {}
            }
            // A text that the projection cuts must break its bound; only payloads may be longer.
            if request && kind == Some("string") && !fixed && !place.ends_with("/payload") {
                let bound = object["maxLength"].as_u64().unwrap();
                assert!(bound * 4 < hei_protocol::tree::LONG_TEXT as u64, "{place}");
            }
            assert!(!object.contains_key("nullable") && !object.contains_key("format"), "{place}");
        });
    }
}

#[test]
fn every_example_validates() {
    let folder = crate::common::root().join("docs/api/examples");
    let mut seen = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".cbor.hex") {
            let octets =
                hei_protocol::encoding::from_hex(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
            let request = InferRequest::parse(hei_protocol::messages::BodyFormat::Cbor, &octets, None);
            request.unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let value: Value = serde_json::from_slice(&text).unwrap();
        // `problem.unknown_model.json` is an instance of `problem.schema.json`.
        let (schema, _) = spec::SCHEMAS
            .iter()
            .filter(|(schema, _)| name.starts_with(&format!("{}.", schema.trim_end_matches(".schema.json"))))
            .max_by_key(|(schema, _)| schema.len())
            .unwrap_or_else(|| panic!("{name} has no schema"));
        match *schema {
            "infer.request.schema.json" => {
                let format = hei_protocol::messages::BodyFormat::Json;
                InferRequest::parse(format, &text, None)
                    .map(drop)
                    .unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
            }
            "infer_plain.request.schema.json" => {
                PlainRequest::parse(&text, None)
                    .map(drop)
                    .unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
            }
            "model_registry_entry.schema.json" => {
                hei_protocol::manifest::RegistryEntry::from_json(&text)
                    .map(drop)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            response => {
                let response = Response::ALL.iter().find(|kind| kind.file_name() == response);
                let response = response.unwrap_or_else(|| panic!("{name}: {schema} is no response"));
                response.check(&value).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            }
        }
        seen.insert((*schema).to_owned());
    }
    // Every schema has an example, but for what only parts use and for keys, which this release does not store.
    let missing: Vec<_> =
        spec::SCHEMAS.iter().map(|(name, _)| *name).filter(|name| !seen.contains(*name)).collect();
    assert_eq!(missing, ["common.schema.json", "key.response.schema.json"]);
}

struct Requirement {
    id: String,
    level: String,
    text: String,
    tests: Vec<String>,
}

/// Reads the requirement file, whose layout is fixed: one `- id:` block per requirement.
fn requirements() -> Vec<Requirement> {
    let file = crate::common::text("spec/requirements/1.0.yaml");
    let mut all: Vec<Requirement> = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let line = line.trim();
        if let Some(id) = line.strip_prefix("- id: ") {
            all.push(Requirement {
                id: id.to_owned(),
                level: String::new(),
                text: String::new(),
                tests: vec![],
            });
        } else if let Some(last) = all.last_mut() {
            if let Some(level) = line.strip_prefix("level: ") {
                level.clone_into(&mut last.level);
            } else if let Some(text) = line.strip_prefix("text: ") {
                last.text = serde_json::from_str(text).unwrap();
            } else if let Some(test) = line.strip_prefix("- ") {
                last.tests.push(test.to_owned());
            }
        }
    }
    all
}

#[test]
fn the_prose_and_the_requirement_list_are_one() {
    let document = crate::common::text("docs/api.md");
    let listed: Vec<_> = requirements()
        .into_iter()
        .map(|one| format!("- **{}** ({}) {}", one.id, one.level, one.text))
        .collect();
    let written: Vec<_> =
        document.lines().filter(|line| line.starts_with("- **REQ-")).map(str::to_owned).collect();
    let (listed_set, written_set): (BTreeSet<_>, BTreeSet<_>) =
        (listed.iter().collect(), written.iter().collect());
    assert_eq!(written_set, listed_set);
    assert_eq!((listed.len(), written.len()), (listed_set.len(), written_set.len()), "an id occurs twice");
    // Whatever the prose refers to exists.
    let ids: BTreeSet<_> = requirements().into_iter().map(|one| one.id).collect();
    for word in document
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("REQ-"))
    {
        assert!(ids.contains(word), "{word}");
    }
    for one in requirements() {
        assert!(matches!(one.level.as_str(), "MUST" | "SHOULD"), "{}", one.id);
        assert!(!one.tests.is_empty(), "{} has no test", one.id);
    }
}

fn sources(folder: &Path, found: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_a_requirement_names_exists() {
    let mut cache: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for one in requirements() {
        for test in &one.tests {
            let (name, function) = test.split_once("::").unwrap();
            let text = cache.entry(name.to_owned()).or_insert_with(|| {
                let mut text = String::new();
                sources(&crate::common::root().join("crates").join(name), &mut text);
                text
            });
            if !text.contains(&format!("fn {function}(")) {
                missing.push(format!("{} names {test}", one.id));
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}
