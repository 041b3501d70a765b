//! Discovery: the closed shape, the open list, cards and keys.

use crate::jobs::checked;
use hei_protocol::Limits;
use hei_protocol::manifest::Layout;
use hei_protocol::messages::{Keys, ListModels, ModelCard, Models, from_json, to_json};
use hei_protocol::schema::Response;
use serde_json::{Value, json};

/// The closed schema that the reference project's clients carry, its facts written down again here: names, types,
/// what is required, and that nothing else is allowed.
fn reference_models_shape(value: &Value) -> Result<(), String> {
    fn exactly(value: &Value, names: &[&str]) -> Result<(), String> {
        let object = value.as_object().ok_or("not an object")?;
        let mut found: Vec<_> = object.keys().map(String::as_str).collect();
        let mut names = names.to_vec();
        found.sort_unstable();
        names.sort_unstable();
        if found == names { Ok(()) } else { Err(format!("{found:?} is not {names:?}")) }
    }
    exactly(value, &["api_version", "models"])?;
    for model in value["models"].as_array().ok_or("models")? {
        exactly(
            model,
            &[
                "model_id",
                "version",
                "description",
                "he_scheme",
                "encryption_parameters",
                "inference",
                "parameters",
                "activation_parameters",
                "constraints",
            ],
        )?;
        exactly(
            &model["encryption_parameters"],
            &["poly_modulus_degree", "scale", "coeff_modulus_bits", "max_multiplicative_depth"],
        )?;
        exactly(&model["inference"], &["input_dimension", "output_dimension", "activation"])?;
        exactly(&model["parameters"], &["weights", "bias"])?;
        exactly(&model["activation_parameters"], &["kind", "coefficients"])?;
        exactly(&model["constraints"], &["max_batch_size"])?;
        let fits = model["he_scheme"] == "CKKS"
            && model["inference"]["activation"] == "polynomial_sigmoid_v1"
            && model["activation_parameters"]["kind"] == "polynomial_sigmoid_v1"
            && model["activation_parameters"]["coefficients"].as_array().is_some_and(|all| all.len() == 3)
            && model["constraints"]["max_batch_size"].as_u64().is_some_and(|batch| batch >= 1)
            && model["encryption_parameters"]["poly_modulus_degree"].is_u64();
        if !fits {
            return Err(format!("{model}"));
        }
    }
    Ok(())
}

#[test]
fn plain_models_keep_the_reference_shape() {
    let manifest = crate::common::manifest();
    let mut chosen = manifest.clone();
    chosen.entry.encryption_parameters = None;
    chosen.entry.model_id = "chosen".parse().unwrap();
    let models = Models::new([&manifest, &chosen]);
    assert_eq!(models.models.len(), 2);
    let value = checked(Response::Models, &to_json(&models));
    reference_models_shape(&value).unwrap();
    reference_models_shape(&crate::common::example_json("get_models.response")).unwrap();
    // What the compiler chose reads like what an operator writes.
    assert_eq!(models.models[0].encryption_parameters, models.models[1].encryption_parameters);
    // The schema is as closed as the reference's.
    for pointer in [
        "",
        "/models/0",
        "/models/0/inference",
        "/models/0/constraints",
        "/models/0/parameters",
        "/models/0/encryption_parameters",
        "/models/0/activation_parameters",
    ] {
        let mut wider = value.clone();
        wider.pointer_mut(pointer).unwrap()["later"] = json!(1);
        assert!(Response::Models.check(&wider).is_err(), "{pointer}");
        let mut narrower = value.clone();
        let object = narrower.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        let name = object.keys().next().unwrap().clone();
        object.remove(&name);
        assert!(Response::Models.check(&narrower).is_err(), "{pointer} without {name}");
    }
}

#[test]
fn models_outside_the_closed_shape_are_left_out() {
    let unpublished = {
        let mut manifest = crate::common::manifest();
        manifest.entry.publish_weights = false;
        manifest
    };
    let no_columns = {
        let mut manifest = crate::common::manifest();
        manifest.layouts.retain(|facts| facts.layout == Layout::Coefficients);
        manifest
    };
    let other = {
        let mut manifest = crate::common::manifest();
        manifest.entry.inference.activation = "relu".to_owned();
        manifest
    };
    for manifest in [&unpublished, &no_columns, &other] {
        assert!(Models::new([manifest]).models.is_empty());
        let digest = "ef".repeat(32);
        let listed = ListModels::new([(manifest, digest.as_str())]);
        assert_eq!(listed.models.len(), 1);
        checked(Response::ListModels, &to_json(&listed));
    }
}

#[test]
fn weights_appear_only_when_published() {
    let digest = "ef".repeat(32);
    let mut manifest = crate::common::manifest();
    for published in [true, false] {
        manifest.entry.publish_weights = published;
        let listed = serde_json::to_string(&ListModels::new([(&manifest, digest.as_str())])).unwrap();
        let card = serde_json::to_string(&ModelCard::new(&manifest, &digest)).unwrap();
        assert_eq!(listed.contains("weights\""), published);
        assert_eq!(card.contains("\"weights\""), published);
    }
}

#[test]
fn models_are_ordered_by_id_then_newest_first() {
    let named = |id: &str, version: &str| {
        let mut manifest = crate::common::manifest();
        manifest.entry.model_id = id.parse().unwrap();
        manifest.entry.version = version.parse().unwrap();
        manifest
    };
    let manifests: Vec<_> = [
        ("b", "1.0.0"),
        ("a", "1.2.0"),
        ("a", "1.10.0"),
        ("a", "1.10.0-rc.1"),
        ("a", "1.10.0-rc.11"),
        ("a", "1.10.0-rc.2"),
    ]
    .iter()
    .map(|(id, version)| named(id, version))
    .collect();
    let expected = ["a 1.10.0", "a 1.10.0-rc.11", "a 1.10.0-rc.2", "a 1.10.0-rc.1", "a 1.2.0", "b 1.0.0"];
    let plain: Vec<_> =
        Models::new(&manifests).models.iter().map(|m| format!("{} {}", m.model_id, m.version)).collect();
    let all: Vec<_> = ListModels::new(manifests.iter().map(|m| (m, "00")))
        .models
        .iter()
        .map(|m| format!("{} {}", m.model_id, m.version))
        .collect();
    assert_eq!(plain, expected);
    assert_eq!(all, expected);
}

#[test]
fn whole_numbers_have_no_fraction() {
    let manifest = crate::common::manifest();
    let models = String::from_utf8(to_json(&Models::new([&manifest]))).unwrap();
    assert!(
        models
            .contains(r#""poly_modulus_degree":16384,"scale":1073741824,"coeff_modulus_bits":[60,30,30,60]"#),
        "{models}"
    );
    let card = String::from_utf8(to_json(&ModelCard::new(&manifest, &"ef".repeat(32)))).unwrap();
    assert!(card.contains(r#""scale":1073741824,"#) && !card.contains("1073741824.0"), "{card}");
    assert!(!String::from_utf8(manifest.to_json()).unwrap().contains("1073741824.0"));
}

#[test]
fn cards_validate_against_their_schema() {
    let manifest = crate::common::manifest();
    let card = ModelCard::new(&manifest, &"ef".repeat(32));
    checked(Response::ModelCard, &to_json(&card));
    assert_eq!(from_json::<ModelCard>(&to_json(&card)).unwrap(), card);
    assert_eq!(card.default_layout().map(|facts| facts.layout), Some(Layout::FeatureColumns));
    let coefficients = card.layout(Layout::Coefficients).unwrap();
    assert!(coefficients.takes("hei/1") && !coefficients.takes("seal"));
    assert_eq!(coefficients.post_processing.apply(2.0), 0.5 + 0.197 * 2.0);
    for (pointer, value) in [
        ("/layouts/0/parameters/security_bits", json!(127)),
        ("/layouts/0/parameters/coeff_modulus/0", json!(1152921504606584833_u64)),
        ("/layouts/0/parameters/params_id", json!("xyz")),
        ("/layouts/0/ciphertext_formats", json!([])),
        ("/model_digest", json!("EF".repeat(32))),
    ] {
        let mut body = serde_json::to_value(&card).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        assert!(Response::ModelCard.check(&body).is_err(), "{pointer}");
    }
}

#[test]
fn keys_list_every_parameter_set_once() {
    let (first, mut second) = (crate::common::manifest(), crate::common::manifest());
    second.entry.version = "2.0.0".parse().unwrap();
    let keys = Keys::new([&first, &second], Limits::default());
    checked(Response::Keys, &to_json(&keys));
    assert_eq!(keys.parameter_sets.len(), 2);
    assert!(keys.parameter_sets.is_sorted_by(|a, b| a.parameters.params_id < b.parameters.params_id));
    for set in &keys.parameter_sets {
        let versions: Vec<_> = set.models.iter().map(|used| used.version.as_str()).collect();
        assert_eq!(versions, ["2.0.0", "1.0.0"]);
    }
    assert_eq!(from_json::<Keys>(&to_json(&keys)).unwrap(), keys);
}
