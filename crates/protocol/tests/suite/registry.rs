//! Registry entries and manifests: both layers.

use hei_protocol::manifest::{Layout, Manifest, RegistryCategory, RegistryEntry, RegistryError};
use serde_json::{Value, json};

fn entry() -> Value {
    let mut entry = crate::common::example_json("model_registry_entry");
    entry["inputs"] = json!({
        "names": ["a", "b", "c", "d", "e", "f", "g", "h"], "offset": [0, 0, 0, 0, 0, 0, 0, 0.5],
        "factor": [1, 1, 1, 1, 1, 1, 1, 2], "minimum": [-1, -1, -1, -1, -1, -1, -1, -1], "maximum": [1, 1, 1, 1, 1, 1, 1, 1]
    });
    entry["outputs"] = json!({"labels": ["low", "high"]});
    entry["tolerance"] = json!(1e-4);
    entry["source"] = json!({"data": "made up"});
    entry
}

fn read(entry: &Value) -> Result<RegistryEntry, RegistryError> {
    RegistryEntry::from_json(entry.to_string().as_bytes())
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut entry = entry();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match entry.pointer_mut(parent).unwrap() {
        Value::Array(elements) => elements[name.parse::<usize>().unwrap()] = value,
        object => object[name] = value,
    }
    entry
}

#[test]
fn the_reference_entry_passes_unchanged() {
    // The members of the reference project's own entry, and no others.
    let mut reference = crate::common::example_json("model_registry_entry");
    reference.as_object_mut().unwrap().remove("publish_weights");
    reference.as_object_mut().unwrap().remove("layouts");
    let entry = read(&reference).unwrap();
    assert!(!entry.publish_weights);
    assert_eq!(entry.layouts(), [Layout::FeatureColumns, Layout::Coefficients]);
    assert_eq!(entry.tolerance(), 5e-4);
    assert_eq!(entry.parameters.unwrap().weights, [0.15, -0.08, 0.11, 0.07, -0.12, 0.09, 0.05, -0.04]);
    // Nothing but the required members.
    for name in ["encryption_parameters", "parameters", "activation_parameters"] {
        reference.as_object_mut().unwrap().remove(name);
    }
    assert!(read(&reference).is_ok());
}

#[test]
fn the_committed_models_pass() {
    let folder = crate::common::root().join("models");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            RegistryEntry::from_json(&std::fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn schema_errors_name_the_place() {
    for (pointer, value) in [
        ("/he_scheme", json!("BFV")),
        ("/model_id", json!("No Spaces")),
        ("/version", json!("1.0")),
        ("/constraints/max_batch_size", json!(1025)),
        ("/parameters/weights/0", json!("0.1")),
        ("/activation_parameters/coefficients", json!([1, 2])),
        ("/layouts/0", json!("packed")),
    ] {
        let error = read(&changed(pointer, value)).unwrap_err();
        assert_eq!((error.category, error.pointer.as_str()), (RegistryCategory::Schema, pointer), "{error}");
        assert!(!error.message.is_empty());
    }
    let error = RegistryEntry::from_json(b"{\"a\":1,\"a\":2}").unwrap_err();
    assert_eq!(error.category, RegistryCategory::Schema);
    assert!(RegistryEntry::from_json(b"").is_err());
}

#[test]
fn semantic_rules_refuse_each_contradiction() {
    let rows: &[(&str, Value, &str)] = &[
        ("/inference/output_dimension", json!(2), "/inference/output_dimension"),
        (
            "/encryption_parameters/poly_modulus_degree",
            json!(16383),
            "/encryption_parameters/poly_modulus_degree",
        ),
        (
            "/encryption_parameters/poly_modulus_degree",
            json!(512),
            "/encryption_parameters/poly_modulus_degree",
        ),
        ("/encryption_parameters/scale", json!(1073741823), "/encryption_parameters/scale"),
        ("/encryption_parameters/scale", json!(0.5), "/encryption_parameters/scale"),
        (
            "/encryption_parameters/coeff_modulus_bits/1",
            json!(17),
            "/encryption_parameters/coeff_modulus_bits/1",
        ),
        (
            "/encryption_parameters/coeff_modulus_bits/3",
            json!(61),
            "/encryption_parameters/coeff_modulus_bits/3",
        ),
        (
            "/encryption_parameters/max_multiplicative_depth",
            json!(4),
            "/encryption_parameters/max_multiplicative_depth",
        ),
        (
            "/encryption_parameters/max_multiplicative_depth",
            json!(0),
            "/encryption_parameters/max_multiplicative_depth",
        ),
        ("/parameters/weights", json!([0.5]), "/parameters/weights"),
        ("/inputs/names", json!(["a"]), "/inputs/names"),
        ("/inputs/names/3", json!("a"), "/inputs/names/3"),
        ("/inputs/names/3", json!("  "), "/inputs/names/3"),
        ("/inputs/names/3", json!("a\u{7}b"), "/inputs/names/3"),
        ("/inputs/offset", json!([1, 2]), "/inputs/offset"),
        ("/inputs/factor/2", json!(0), "/inputs/factor/2"),
        ("/inputs/minimum/4", json!(1), "/inputs/minimum/4"),
        ("/inputs/minimum/4", json!(2), "/inputs/minimum/4"),
        ("/outputs/labels", json!(["a", "b", "c"]), "/outputs/labels"),
        ("/outputs/labels", json!(["a", "a"]), "/outputs/labels/1"),
    ];
    for (pointer, value, at) in rows {
        let error = read(&changed(pointer, value.clone())).unwrap_err();
        assert_eq!(
            (error.category, error.pointer.as_str()),
            (RegistryCategory::Semantic, *at),
            "{pointer}: {error}"
        );
    }
    let without = |pointer: &str, name: &str| {
        let mut entry = entry();
        entry.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
        read(&entry).map(drop).map_err(|error| error.pointer)
    };
    assert_eq!(without("/inputs", "minimum"), Err("/inputs/minimum".to_owned()));
    assert_eq!(without("/inputs", "maximum"), Err("/inputs/maximum".to_owned()));
    assert_eq!(without("", "parameters"), Err("/publish_weights".to_owned()));
    // 1,024 rows need 2,048 coefficients, which degree 1024 does not have.
    let mut small = changed("/encryption_parameters/poly_modulus_degree", json!(1024));
    small["constraints"]["max_batch_size"] = json!(513);
    assert_eq!(read(&small).unwrap_err().pointer, "/constraints/max_batch_size");
    // A quadratic term needs two levels.
    let mut quadratic = changed("/activation_parameters/coefficients/2", json!(0.25));
    quadratic["encryption_parameters"]["max_multiplicative_depth"] = json!(1);
    assert_eq!(read(&quadratic).unwrap_err().pointer, "/encryption_parameters/max_multiplicative_depth");
    assert!(read(&entry()).is_ok());
}

#[test]
fn numbers_that_are_not_finite_are_refused_even_without_a_parser() {
    let mut entry: RegistryEntry = read(&entry()).unwrap();
    entry.parameters.as_mut().unwrap().weights[3] = f64::NAN;
    let error = hei_protocol::manifest::semantic::check(&entry).unwrap_err();
    assert_eq!(error.pointer, "/parameters/weights/3");
}

#[test]
fn errors_read_like_sentences() {
    let error = read(&changed("/parameters/weights", json!([0.5]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "semantic error at /parameters/weights: has 1 elements, the model has 8 features"
    );
}

#[test]
fn manifests_are_checked_again_when_read() {
    let manifest = crate::common::manifest();
    let octets = manifest.to_json();
    assert_eq!(Manifest::from_json(&octets).unwrap(), manifest);
    assert_eq!(Manifest::from_json(&octets).unwrap().to_json(), octets);
    let body: Value = serde_json::from_slice(&octets).unwrap();
    let refused = |pointer: &str, value: Value| {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        Manifest::from_json(body.to_string().as_bytes()).expect_err(pointer)
    };
    let error = refused("/entry/he_scheme", json!("BFV"));
    assert_eq!((error.category, error.pointer.as_str()), (RegistryCategory::Schema, "/entry/he_scheme"));
    let error = refused("/entry/parameters/weights", json!([1]));
    assert_eq!(
        (error.category, error.pointer.as_str()),
        (RegistryCategory::Semantic, "/entry/parameters/weights")
    );
    assert_eq!(refused("/manifest_version", json!(2)).pointer, "/manifest_version");
    assert_eq!(refused("/layouts", json!([])).pointer, "/layouts");
    assert_eq!(refused("/layouts/0/input/level", json!(1)).pointer, "/layouts/0/input/level");
    assert_eq!(refused("/layouts/0/input/scale", json!(3)).pointer, "/layouts/0/input/scale");
    assert_eq!(refused("/layouts/1/layout", json!("feature_columns")).pointer, "/layouts/1/layout");
    assert_eq!(
        refused("/layouts/0/parameters/coeff_modulus/0", json!("-5")).pointer,
        "/layouts/0/parameters/coeff_modulus/0"
    );
    assert_eq!(refused("/layouts/0/output_bound", json!(0)).pointer, "/layouts/0/output");
    let mut surplus = body.clone();
    surplus["later"] = json!(1);
    assert!(Manifest::from_json(surplus.to_string().as_bytes()).is_err());
    assert!(Manifest::from_json(b"{}").is_err());
}

#[test]
fn layouts_below_the_security_floor_are_refused() {
    let mut manifest = crate::common::manifest();
    manifest.layouts[1].parameters.security_bits = 127;
    let error = manifest.check().unwrap_err();
    assert_eq!(error.pointer, "/layouts/1/parameters/security_bits");
}
