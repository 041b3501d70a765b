//! Model files and whatever else `inspect` meets.

use hei_ckks::{Encoder, OsRandomness, Parameters, ParametersLiteral, SecretKey};

use crate::support::Sandbox;

const ENTRY: &str = include_str!("../../../../models/logistic_v1.json");
const COMPILED: &[u8] = include_bytes!("../../../../models/logistic_v1.hei");

#[test]
fn compiling_reports_security_bytes_and_error_and_gives_the_committed_file() {
    let sandbox = Sandbox::new();
    sandbox.write("entry.json", ENTRY);
    let text = sandbox.run(&["compile", "entry.json", "-o", "entry.hei"]).ok();
    for part in ["feature_columns", "coefficients", "bits classical", "bytes", "error"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert_eq!(std::fs::read(sandbox.path("entry.hei")).unwrap(), COMPILED);

    sandbox.run(&["compile", "entry.json", "-o", "entry.hei"]).fails(5, "--force");
    let report = sandbox.run(&["compile", "entry.json", "-o", "entry.hei", "--force", "--json"]).json();
    assert_eq!(report["model_id"], "logistic_v1");
    for layout in report["layouts"].as_array().unwrap() {
        assert!(layout["security"]["bits"].as_u64().unwrap() >= 128, "{layout}");
        assert!(layout["security"]["margin_bits"].as_f64().unwrap() >= 0.0);
        assert!(layout["request_bytes"].as_u64().unwrap() > 0);
        assert!(layout["expected_error"].as_f64().unwrap() < 1e-3);
    }
    let left: Vec<_> = std::fs::read_dir(sandbox.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
}

#[test]
fn a_bad_entry_is_refused_with_file_layer_and_member() {
    let sandbox = Sandbox::new();
    let refuse = |entry: &str, parts: &[&str]| {
        sandbox.write("bad.json", entry);
        let ended = sandbox.run(&["compile", "bad.json", "-o", "bad.hei"]);
        assert_eq!(ended.code, 5, "{}", ended.stderr);
        for part in parts {
            assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
        }
        assert!(!sandbox.path("bad.hei").exists());
    };
    refuse("{", &["bad.json", "schema"]);
    refuse(
        &ENTRY.replace("\"input_dimension\": 8", "\"input_dimension\": 0"),
        &["bad.json", "schema", "input_dimension"],
    );
    refuse(&ENTRY.replace("\"input_dimension\": 8", "\"input_dimension\": 9"), &["bad.json", "semantic"]);
    refuse(&ENTRY.replace("16384", "4096"), &["bad.json", "128 bits"]);
    sandbox.run(&["compile", "none.json", "-o", "none.hei"]).fails(5, "none.json");
}

#[test]
fn files_are_recognized_by_what_they_hold() {
    let sandbox = Sandbox::new();
    sandbox.write("model.hei", COMPILED);
    let model = sandbox.run(&["inspect", "model.hei", "--json"]).json();
    assert_eq!(
        (model["kind"].as_str(), model["manifest"]["entry"]["model_id"].as_str()),
        (Some("model"), Some("logistic_v1"))
    );
    assert!(sandbox.run(&["inspect", "model.hei"]).ok().contains("N=16384"));

    let parameters = Parameters::new(&ParametersLiteral {
        poly_modulus_degree: 4096,
        coeff_modulus_bits: vec![36, 34, 36],
        special_count: 1,
        scale: f64::exp2(30.0),
    })
    .unwrap();
    let context = parameters.context();
    let key = SecretKey::generate(context, &mut OsRandomness).unwrap();
    let plain = Encoder::new(context).encode(&[1.0], 1, context.scale()).unwrap();
    let ciphertext = key.encrypt(&plain, &mut OsRandomness).unwrap();
    let own = hei_wire::hei::encode_ciphertext(&ciphertext, context).unwrap();
    sandbox.write("own.bin", &own);
    sandbox.write("seal.bin", hei_wire::seal::encode_ciphertext(&ciphertext, context).unwrap());
    let facts = sandbox.run(&["inspect", "own.bin", "--json"]).json();
    assert_eq!(facts["kind"], "ciphertext");
    assert_eq!((facts["degree"].as_u64(), facts["level"].as_u64()), (Some(4096), Some(1)));
    assert_eq!((facts["scale"].as_f64(), facts["seeded"].as_bool()), (Some(f64::exp2(30.0)), Some(true)));
    assert_eq!(facts["params_id"], context.params_id().to_string());
    assert_eq!(facts["size"], own.len());
    let facts = sandbox.run(&["inspect", "seal.bin", "--json"]).json();
    assert_eq!((facts["format"].as_str(), facts["kind"].as_str()), (Some("seal"), Some("ciphertext")));

    sandbox.write("cut.bin", &own[..own.len() / 2]);
    sandbox.write("text.txt", "hello");
    sandbox.write("broken.hei", &COMPILED[..COMPILED.len() - 1]);
    sandbox.run(&["inspect", "text.txt"]).fails(5, "not recognized");
    sandbox.run(&["inspect", "broken.hei"]).fails(5, "broken.hei");
    sandbox.run(&["inspect", "nowhere"]).fails(5, "nowhere");
}
