//! The published artifacts keep the rules of the project.

use std::collections::BTreeSet;

use hei_protocol::messages::{InferRequest, PlainRequest};
use hei_protocol::schema::Response;
use hei_protocol::spec;
use serde_json::Value;

#[test]
fn openapi_keeps_the_rules_of_the_project() {
    let text = spec::OPENAPI;
    assert!(text.contains("openapi: 3.1.0"));
    assert!(text.contains("jsonSchemaDialect: https://json-schema.org/draft/2020-12/schema"));
    assert!(text.contains(&format!("version: {}", hei_protocol::API_VERSION)));
    assert!(!text.contains("nullable") && !text.contains("format: binary"));
    let operations = text.matches("operationId:").count();
    assert_eq!(operations, 17);
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
    // Every schema has an example, but for what only parts use.
    let missing: Vec<_> =
        spec::SCHEMAS.iter().map(|(name, _)| *name).filter(|name| !seen.contains(*name)).collect();
    assert_eq!(missing, ["common.schema.json"]);
}
