//! The whole flow across processes.

use std::path::Path;

use serde_json::Value;

use crate::support::Sandbox;

const ROWS: &str = "0.5,-1,0.25,0,1,0.1,-0.3,0.7\n1,1,1,1,1,1,1,1\n-2,0,0,0,0,0,0,3.5\n";

/// logistic_v1 in the clear.
fn clear(row: &[f64]) -> f64 {
    let weights = [0.15, -0.08, 0.11, 0.07, -0.12, 0.09, 0.05, -0.04];
    let z = weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() - 0.02;
    0.5 + 0.197 * z
}

fn parsed(rows: &str) -> Vec<Vec<f64>> {
    rows.lines().map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
}

fn values(answer: &Value) -> Vec<f64> {
    answer["rows"].as_array().unwrap().iter().map(|row| row["value"].as_f64().unwrap()).collect()
}

#[test]
fn the_demo_agrees_and_says_so_in_json() {
    let sandbox = Sandbox::new();
    for layout in ["coefficients", "feature_columns"] {
        let ended = sandbox.run(&["demo", "--json", "--layout", layout]);
        let server =
            ended.stderr.split("process ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        let report = ended.json();
        assert_eq!(report["ok"], true);
        assert_eq!(report["model"], "breast_cancer_v1");
        assert_eq!(report["layout"], layout);
        assert_eq!(report["rows"], 114);
        assert_eq!(report["same_label"], 114);
        let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} is a number"));
        let error = number("max_abs_error");
        assert!(error > 0.0 && error <= number("expected_error") && error < 1e-3, "{error}");
        assert!(number("accuracy_clear") > 0.95);
        assert_eq!(number("accuracy_clear"), number("accuracy_encrypted"));
        assert!(
            number("request_bytes") > number("ciphertext_bytes"),
            "the body is more than its ciphertexts"
        );
        assert!(number("reply_bytes") > 1000.0);
        assert_eq!(number("key_bytes"), 0.0);
        let parts = ["keygen", "encrypt", "submit", "evaluate", "fetch", "decrypt"];
        let ms = |name: &str| report["ms"][name].as_f64().unwrap_or_else(|| panic!("ms.{name} is a number"));
        let sum: f64 = parts.iter().map(|name| ms(name)).sum();
        assert!(
            parts.iter().all(|name| ms(name) >= 0.0) && (sum - ms("total")).abs() < 0.1,
            "{}",
            report["ms"]
        );
        // The server was another process, and it is gone.
        assert_ne!(server, std::process::id().to_string());
        if cfg!(target_os = "linux") {
            assert!(!Path::new("/proc").join(&server).exists(), "process {server} is still there");
        }
    }
}

#[test]
fn the_demo_reads_well() {
    let text = Sandbox::new().run(&["demo"]).ok();
    for part in [
        "row  truth",
        "malignant",
        "benign",
        "114 rows in all: all agree",
        "the server saw",
        "it did not see",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(text.lines().count() < 20, "short");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "narrow:\n{text}");
}

#[test]
fn rows_are_evaluated_in_every_layout_format_and_encoding() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let rows = sandbox.write("rows.csv", ROWS);
    let mut sizes = Vec::new();
    for (layout, format, encoding) in [
        ("coefficients", "hei", "binary"),
        ("coefficients", "hei", "base64"),
        ("coefficients", "hei", "hex"),
        ("feature_columns", "hei", "binary"),
        ("feature_columns", "hei", "base64"),
        ("feature_columns", "seal", "hex"),
        ("feature_columns", "seal", "binary"),
    ] {
        let input = rows.to_str().unwrap();
        let arguments = ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", input, "--json"];
        let how = ["--layout", layout, "--format", format, "--encoding", encoding];
        let answer = sandbox.run(&[&arguments[..], &how].concat()).json();
        assert_eq!((answer["layout"].as_str(), answer["version"].as_str()), (Some(layout), Some("1.0.0")));
        let tolerance = if layout == "coefficients" { 1e-3 } else { 5e-5 };
        for (value, row) in values(&answer).iter().zip(parsed(ROWS)) {
            assert!((value - clear(&row)).abs() < tolerance, "{layout} {format} {encoding}: {value}");
        }
        sizes.push(answer["request_bytes"].as_u64().unwrap());
    }
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "binary < base64 < hex: {sizes:?}");
    assert!(sizes[3] < sizes[4] && sizes[6] < sizes[5], "{sizes:?}");
}

#[test]
fn more_rows_than_one_request_holds_become_several() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let row = |i: i32| (0..8).map(|j| (f64::from(i - j) / 7.0).to_string()).collect::<Vec<_>>().join(",");
    let rows: String = (0..37).map(|i| row(i) + "\n").collect();
    let arguments = ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-", "--json"];
    let answer = sandbox.feed(&arguments, &rows).json();
    assert_eq!(answer["requests"], 3, "16 + 16 + 5");
    let got = values(&answer);
    assert_eq!(got.len(), 37);
    for (value, row) in got.iter().zip(parsed(&rows)) {
        assert!((value - clear(&row)).abs() < 1e-3);
    }
}

#[test]
fn a_header_decides_which_column_is_which() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let arguments = ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-"];
    let plain = sandbox.feed(&[&arguments[..], &["--json"]].concat(), "1,2,3,4,5,6,7,8\n").json();
    let shuffled = "x8,note,x1,x3,x2,x4,x5,x6,x7\n8,hello,1,3,2,4,5,6,7\n";
    let ended = sandbox.feed(&[&arguments[..], &["--json"]].concat(), shuffled);
    assert!(ended.stderr.contains("does not read: note"), "{}", ended.stderr);
    assert!((values(&ended.json())[0] - values(&plain)[0]).abs() < 1e-3);
    let text = sandbox.feed(&arguments, "1,2,3,4,5,6,7,8\n").ok();
    assert!(text.starts_with("row"), "{text}");
}

#[test]
fn models_are_listed() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let list = sandbox.run(&["models", "--url", &server.url, "--json"]).json();
    let ids: Vec<&str> =
        list["models"].as_array().unwrap().iter().map(|m| m["model_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["breast_cancer_v1", "logistic_v1"]);
    let text = sandbox.run(&["models", "--url", &server.url]).ok();
    assert!(text.contains("logistic_v1") && text.contains("feature_columns, coefficients"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_server_stops_cleanly_when_it_is_told_to() {
    let sandbox = Sandbox::new();
    for signal in ["-TERM", "-INT"] {
        let server = sandbox.serve(&[]);
        let id = server.id().to_string();
        assert!(sandbox.command("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(server.wait(), Some(0), "{signal}");
    }
}

#[test]
fn a_model_of_ones_own_is_compiled_served_and_called() {
    let sandbox = Sandbox::new();
    let entry = include_str!("../../../../models/logistic_v1.json");
    let entry = entry.replace("\"logistic_v1\"", "\"mine_v2\"").replace("-0.02", "0.3");
    sandbox.write("entry.json", entry);
    std::fs::create_dir(sandbox.path("compiled")).unwrap();
    sandbox.run(&["compile", "entry.json", "-o", "compiled/mine.hei"]).ok();
    let server = sandbox.serve(&["--models", "compiled"]);
    let arguments = ["infer", "--url", &server.url, "--model", "mine_v2", "--input", "-", "--json"];
    let answer = sandbox.feed(&arguments, ROWS).json();
    for (value, row) in values(&answer).iter().zip(parsed(ROWS)) {
        assert!((value - clear(&row) - 0.197 * 0.32).abs() < 1e-3);
    }
}

#[test]
fn the_flow_is_measured_in_both_layouts() {
    let sandbox = Sandbox::new();
    let flow = sandbox.run(&["bench", "flow", "--samples", "2", "--batch", "3", "--json"]).json();
    assert_eq!(flow["batch"], 3);
    let layouts: Vec<&str> =
        flow["encrypted"].as_array().unwrap().iter().map(|e| e["layout"].as_str().unwrap()).collect();
    assert_eq!(layouts, ["feature_columns", "coefficients"]);
    for part in flow["encrypted"].as_array().unwrap() {
        assert!(
            part["max_abs_error"].as_f64().unwrap() <= part["expected_error"].as_f64().unwrap(),
            "{part}"
        );
        assert!(part["p95_ms"].as_f64().unwrap() >= part["p50_ms"].as_f64().unwrap());
        assert!(part["ms"]["encrypt"].as_f64().unwrap() > 0.0);
    }
    assert!(flow["plain"]["rows_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_doctor_finds_this_machine_fit() {
    let sandbox = Sandbox::new();
    let report = sandbox.run(&["doctor", "--json"]).json();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true));
    assert!(report["kernel"].is_string());
    assert!(sandbox.run(&["doctor"]).ok().contains("round trip"));
}
