//! One refused and one accepted instance per keyword of every request schema, made from the schema.

use hei_protocol::messages::{BodyFormat, InferRequest, parse};
use hei_protocol::schema::{check_infer_request, check_plain_request};
use serde_json::{Value, json};

/// One mutation per keyword: (what, instance, whether it is valid).
fn mutations(schema: &Value, base: &Value) -> Vec<(String, Value, bool)> {
    let mut found = Vec::new();
    walk(schema, "", base, &mut found);
    found
}

fn set(base: &Value, pointer: &str, value: Value) -> Value {
    let mut instance = base.clone();
    *instance.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    instance
}

fn walk(schema: &Value, pointer: &str, base: &Value, found: &mut Vec<(String, Value, bool)>) {
    let here = base.pointer(pointer).unwrap().clone();
    for (keyword, argument) in schema.as_object().unwrap() {
        let mut case = |what: &str, value: Value, valid: bool| {
            found.push((format!("{pointer} {keyword} {what}"), set(base, pointer, value), valid));
        };
        let repeat = |count: u64| Value::String("a".repeat(usize::try_from(count).unwrap()));
        match keyword.as_str() {
            "type" => {
                for wrong in [json!(null), json!({"x": 1}), json!([[]]), json!("text"), json!(7), json!(true)]
                {
                    let fits = match argument.as_str().unwrap() {
                        "object" => wrong.is_object(),
                        "array" => wrong.is_array(),
                        "string" => wrong.is_string(),
                        "boolean" => wrong.is_boolean(),
                        _ => wrong.is_number(),
                    };
                    if !fits {
                        case("another type", wrong, false);
                    }
                }
                case("itself", here.clone(), true);
                if argument == "integer" {
                    case("a fraction", json!(1.5), false);
                    case("written as a float", json!(here.as_f64().unwrap()), true);
                }
            }
            "minimum" => {
                case(
                    "below",
                    json!(argument.as_f64().unwrap() * 1.0 - argument.as_f64().unwrap().abs().max(1.0)),
                    false,
                );
                case("equal", argument.clone(), true);
            }
            "maximum" => {
                case(
                    "above",
                    json!(argument.as_f64().unwrap() + argument.as_f64().unwrap().abs().max(1.0)),
                    false,
                );
                // A base value may contradict another member at the maximum; the schema does not care.
                case("equal", argument.clone(), schema.get("exclusiveMaximum").is_none());
            }
            "exclusiveMinimum" => {
                case("equal", argument.clone(), false);
                case("just above", json!(f64::MIN_POSITIVE), true);
            }
            "minLength" if argument.as_u64() > Some(0) => {
                case("shorter", repeat(argument.as_u64().unwrap() - 1), false);
            }
            // A payload as long as its bound would be a gigabyte; the size of a body is bounded long before.
            "maxLength" if argument.as_u64() < Some(1 << 20) => {
                case("longer", repeat(argument.as_u64().unwrap() + 1), false);
            }
            "pattern" => case("a character that no pattern has", json!("a b\u{e9}/"), false),
            "enum" => {
                case("another", json!("zz"), false);
                for value in argument.as_array().unwrap() {
                    case("one of them", value.clone(), true);
                }
            }
            "minItems" => {
                let short = argument.as_u64().unwrap() - 1;
                let cut: Vec<_> = here.as_array().unwrap().iter().take(short as usize).cloned().collect();
                case("fewer", Value::Array(cut), false);
            }
            "maxItems" => {
                let element = here[0].clone();
                let count = argument.as_u64().unwrap() as usize;
                case("more", Value::Array(vec![element; count + 1]), false);
            }
            "uniqueItems" => case("twice", json!([here[0], here[0]]), false),
            "additionalProperties" if argument == &json!(false) => {
                let mut wider = here.clone();
                wider["surplus_member"] = json!(1);
                case("a surplus member", wider, false);
            }
            "required" => {
                for name in argument.as_array().unwrap() {
                    let mut narrower = here.clone();
                    narrower.as_object_mut().unwrap().remove(name.as_str().unwrap());
                    case(&format!("without {name}"), narrower, false);
                }
                for name in here.as_object().unwrap().keys() {
                    if !argument.as_array().unwrap().contains(&json!(name)) {
                        let mut narrower = here.clone();
                        narrower.as_object_mut().unwrap().remove(name);
                        case(&format!("without the optional {name}"), narrower, true);
                    }
                }
            }
            "properties" => {
                for (name, inner) in argument.as_object().unwrap() {
                    assert!(here.get(name).is_some(), "the base instance lacks {pointer}/{name}");
                    walk(inner, &format!("{pointer}/{name}"), base, found);
                }
            }
            "items" => walk(argument, &format!("{pointer}/0"), base, found),
            "$schema" | "$id" | "title" | "description" | "default" | "minLength" | "maxLength" => {}
            "maxProperties" | "propertyNames" | "additionalProperties" => {}
            other => panic!("{pointer}: the keyword {other} has no mutation; write one"),
        }
    }
}

fn hold(file: &str, base: &Value, check: impl Fn(&Value) -> bool) -> usize {
    let schema: Value = serde_json::from_str(hei_protocol::spec::schema(file).unwrap()).unwrap();
    assert!(check(base), "the base instance of {file} is refused");
    let cases = mutations(&schema, base);
    for (what, instance, valid) in &cases {
        assert_eq!(check(instance), *valid, "{file}: {what}: {instance:.300}");
    }
    cases.len()
}

#[test]
fn every_keyword_of_the_request_schemas_refuses_and_accepts() {
    let full = json!({
        "api_version": "v1", "model_id": "m", "version": "1.0.0", "batch_size": 2, "layout": "coefficients",
        "result_encoding": "hex", "deadline_seconds": 60, "evaluation_key_id": "a".repeat(64),
        "inputs": [{"encoding": "hex", "payload": "00"}]
    });
    let cases = hold("infer.request.schema.json", &full, |value| check_infer_request(value).is_ok());
    assert!(cases > 90, "{cases}");
    let plain = json!({"api_version": "1", "model_id": "m", "version": "1.0.0", "inputs": [1, 2.5]});
    let cases = hold("infer_plain.request.schema.json", &plain, |value| check_plain_request(value).is_ok());
    assert!(cases > 35, "{cases}");
    let entry: Value = json!({
        "model_id": "m", "version": "1.0.0", "description": "d", "he_scheme": "CKKS",
        "encryption_parameters": {"poly_modulus_degree": 16384, "scale": 1073741824, "coeff_modulus_bits": [60, 30], "max_multiplicative_depth": 1},
        "inference": {"input_dimension": 1, "output_dimension": 1, "activation": "polynomial_sigmoid_v1"},
        "parameters": {"weights": [0.5], "bias": 0}, "activation_parameters": {"kind": "polynomial_sigmoid_v1", "coefficients": [0.5, 0.2, 0]},
        "constraints": {"max_batch_size": 16}, "publish_weights": true,
        "inputs": {"names": ["a"], "offset": [0], "factor": [1], "minimum": [0], "maximum": [1]},
        "outputs": {"labels": ["a"]}, "layouts": ["feature_columns"], "tolerance": 0.5, "source": {"data": "d"}
    });
    let check = |value: &Value| hei_protocol::schema::check_registry_entry(value).is_ok();
    let cases = hold("model_registry_entry.schema.json", &entry, check);
    assert!(cases > 200, "{cases}");
}

#[test]
fn the_typed_view_takes_what_the_schema_takes() {
    // Without the schema, the view alone refuses each mutation that the schema refuses, or reads it within bounds.
    let full = json!({
        "api_version": "v1", "model_id": "m", "version": "1.0.0", "batch_size": 2, "layout": "coefficients",
        "result_encoding": "hex", "deadline_seconds": 60, "evaluation_key_id": "a".repeat(64),
        "inputs": [{"encoding": "hex", "payload": "00"}]
    });
    let schema: Value =
        serde_json::from_str(hei_protocol::spec::schema("infer.request.schema.json").unwrap()).unwrap();
    for (what, instance, valid) in mutations(&schema, &full) {
        let body = instance.to_string();
        let tree = parse(BodyFormat::Json, body.as_bytes()).unwrap();
        if valid {
            assert!(InferRequest::from_value(tree).is_ok(), "{what}: {instance}");
        } else if let Ok(request) = InferRequest::from_value(tree) {
            assert!(
                (1..=65_536).contains(&request.batch_size) && (1..=4096).contains(&request.inputs.len()),
                "{what}"
            );
        }
    }
}
