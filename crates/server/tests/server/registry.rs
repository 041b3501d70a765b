//! Model files that are refused: the server does not start, and says where the fault is.

use hei_circuit::ModelFile;
use hei_server::{ModelSource, Server, ServerConfig, StartError};
use serde_json::Value;

use crate::support::{LOGISTIC, TestServer, model_file};

/// The refusal of a server with these models.
fn refusal(models: Vec<(&str, Vec<u8>)>) -> hei_server::RegistryError {
    let models = models
        .into_iter()
        .map(|(name, bytes)| ModelSource { name: name.to_owned(), bytes: bytes.into() })
        .collect();
    let config = ServerConfig::new(([127, 0, 0, 1], 0).into(), models);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(Server::bind(config)) {
        Err(StartError::Registry(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

/// The logistic model with its manifest changed, and a digest that fits.
fn with_manifest(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let file = ModelFile::decode(&model_file(LOGISTIC)).unwrap();
    let mut manifest: Value = serde_json::from_str(file.manifest()).unwrap();
    change(&mut manifest);
    ModelFile::new(manifest.to_string(), file.plans().to_vec()).unwrap().encode()
}

#[test]
fn a_bad_model_file_stops_the_start() {
    let good = model_file(LOGISTIC);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let files = [
        ("empty.hei", Vec::new()),
        ("text.hei", b"{\"model_id\":\"x\"}".to_vec()),
        ("short.hei", good[..good.len() - 1].to_vec()),
        ("long.hei", [good.as_slice(), b"x"].concat()),
        ("flipped.hei", flipped),
    ];
    for (name, bytes) in files {
        let refused = refusal(vec![("good.hei", good.clone()), (name, bytes)]);
        assert_eq!((refused.file.as_str(), refused.category), (name, "file"), "{refused}");
    }
    type Change = fn(&mut Value);
    let manifests: [(&str, &str, Change); 12] = [
        ("schema", "/entry/model_id", |m| m["entry"]["model_id"] = "Not An Id".into()),
        ("schema", "/entry/constraints/max_batch_size", |m| {
            m["entry"]["constraints"]["max_batch_size"] = 0.into()
        }),
        ("semantic", "/entry/parameters/weights", |m| {
            m["entry"]["parameters"]["weights"] = serde_json::json!([1.0]);
        }),
        ("parameters", "/layouts/0/parameters/params_id", |m| {
            m["layouts"][0]["parameters"]["params_id"] = "0".repeat(64).into();
        }),
        ("parameters", "/layouts/0/parameters/security_bits", |m| {
            m["layouts"][0]["parameters"]["security_bits"] = 192.into();
        }),
        ("parameters", "/layouts/1/parameters/coeff_modulus", |m| {
            m["layouts"][1]["parameters"]["coeff_modulus"] = serde_json::json!(["12289"]);
        }),
        ("parameters", "/layouts/0/input/scale", |m| {
            m["layouts"][0]["input"]["scale"] = (1_u64 << 31).into();
        }),
        ("parameters", "/layouts/0/input/level", |m| m["layouts"][0]["input"]["level"] = 1.into()),
        ("parameters", "/layouts/0/output/scale", |m| m["layouts"][0]["output"]["scale"] = 3.into()),
        ("parameters", "/layouts/1/output/reply_modulus_bits", |m| {
            m["layouts"][1]["output"]["reply_modulus_bits"] = 20.into();
        }),
        ("parameters", "/layouts/0/max_batch_size", |m| m["layouts"][0]["max_batch_size"] = 15.into()),
        ("parameters", "/layouts/0/evaluation_keys/required", |m| {
            m["layouts"][0]["evaluation_keys"]["required"] = true.into();
        }),
    ];
    for (category, field, change) in manifests {
        let refused = refusal(vec![("changed.hei", with_manifest(change))]);
        let text = refused.to_string();
        assert_eq!(refused.file, "changed.hei");
        assert!(text.contains("changed.hei") && text.contains(refused.category), "{text}");
        // The semantic layer may catch a fact first: what matters is that file, category and field are named.
        if refused.category == category {
            assert!(refused.field.starts_with(field), "{text}");
        } else {
            assert_eq!((category, refused.category), ("parameters", "semantic"), "{text}");
            assert!(refused.field.starts_with("/layouts/"), "{text}");
        }
    }
}

#[test]
fn a_model_cannot_be_served_from_two_files() {
    let good = model_file(LOGISTIC);
    let refused = refusal(vec![("one.hei", good.clone()), ("two.hei", good)]);
    assert_eq!((refused.file.as_str(), refused.category), ("two.hei", "semantic"));
}

#[test]
fn versions_are_listed_highest_first_and_unpublished_models_stay_out_of_the_closed_list() {
    let version = |version: &'static str| {
        let bytes = with_manifest(move |manifest| manifest["entry"]["version"] = version.into());
        ModelSource { name: format!("{version}.hei"), bytes: bytes.into() }
    };
    let hidden = with_manifest(|manifest| {
        manifest["entry"]["model_id"] = "hidden_v1".into();
        manifest["entry"]["publish_weights"] = false.into();
    });
    let hidden = ModelSource { name: "hidden.hei".to_owned(), bytes: hidden.into() };
    let server = TestServer::start_with(|config| {
        config.models = vec![version("1.2.0"), hidden, version("1.10.0"), version("1.10.0-rc.1")];
    });
    let names = |target: &str| {
        let list = server.get(target).json();
        let models = list["models"].as_array().unwrap().clone();
        models
            .iter()
            .map(|model| {
                format!("{} {}", model["model_id"].as_str().unwrap(), model["version"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let published = ["logistic_v1 1.10.0", "logistic_v1 1.10.0-rc.1", "logistic_v1 1.2.0"];
    assert_eq!(names("/models"), published);
    assert_eq!(names("/models?view=all"), [&["hidden_v1 1.0.0"], published.as_slice()].concat());
    let card = server.get("/models/hidden_v1/versions/1.0.0").json();
    assert!(card.get("parameters").is_none() && card.get("activation_parameters").is_none());
}

#[test]
fn a_server_without_models_serves_none() {
    let server = TestServer::start_with(|config| config.models = Vec::new());
    assert_eq!(server.get("/models").json()["models"], serde_json::json!([]));
    assert_eq!(server.get("/health/ready").json()["models"], 0);
}
