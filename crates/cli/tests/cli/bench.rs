//! Measurements: every row is there, and results are files that can be read.

use serde_json::{Value, json};

use crate::support::Sandbox;

const OPERATIONS: [&str; 13] = [
    "encode",
    "decode",
    "encrypt_sym",
    "encrypt_pk",
    "decrypt",
    "add",
    "mul_plain",
    "mul",
    "relinearize",
    "rescale",
    "mul_relin_rescale",
    "rotate",
    "rotate_hoisted",
];

fn read(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn primitives_give_every_row() {
    let sandbox = Sandbox::new();
    let rows = sandbox
        .run(&["bench", "primitives", "--quick", "--json", "--set", "n4096,n8192-60,n16384-60"])
        .json();
    let rows = rows.as_array().unwrap();
    for chain in [json!([60, 40, 40, 60]), json!([60, 30, 30, 60]), json!([36, 34, 36])] {
        for op in OPERATIONS.into_iter().chain(["ntt_fwd", "ntt_inv"]) {
            let found = rows.iter().filter(|row| row["op"] == op && row["chain"] == chain).count();
            assert_eq!(found, 1, "{op} {chain}");
        }
    }
    for row in rows {
        let mut members: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["chain", "degree", "kernel", "median_us", "min_us", "op", "special", "threads"]);
        let (median, min) = (row["median_us"].as_f64().unwrap(), row["min_us"].as_f64().unwrap());
        assert!(median >= min && min > 0.0, "{row}");
    }
}

#[test]
fn a_comparison_with_nobody_has_our_own_figures_in_three_forms() {
    let sandbox = Sandbox::new();
    let said = sandbox
        .run(&["bench", "compare", "--peers", "none", "--quick", "--json", "--set", "n4096,n8192-47"])
        .json();
    assert_eq!(said["absent"], json!([]));
    assert_eq!(said["targets"], json!([]), "no target can be judged without SEAL");
    assert_eq!(said["machine"]["threads"], 1);
    let sets = said["sets"].as_array().unwrap();
    assert_eq!(sets.iter().map(|set| &set["name"]).collect::<Vec<_>>(), ["n4096", "n8192-47"]);
    for set in sets {
        let ids: Vec<&Value> = set["participants"].as_array().unwrap().iter().map(|p| &p["id"]).collect();
        assert_eq!(ids, ["hei"]);
        let ops: Vec<&Value> = set["rows"].as_array().unwrap().iter().map(|row| &row["op"]).collect();
        assert_eq!(ops, OPERATIONS);
        for row in set["rows"].as_array().unwrap() {
            assert!(row["cells"][0]["median_us"].as_f64().unwrap() > 0.0, "{row}");
            assert_eq!(row["ratios"], json!([1.0]));
        }
    }
    let written: Value = serde_json::from_str(&read(&sandbox, "hei-bench/compare.json")).unwrap();
    assert_eq!(written, said);
    assert!(read(&sandbox, "hei-bench/compare.md").contains("| mul_relin_rescale |"));
    assert!(read(&sandbox, "hei-bench/compare.svg").starts_with("<svg "));
}

#[test]
fn a_peer_that_cannot_be_installed_is_absent_with_the_reason() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(crate::support::PROGRAM);
    // No interpreter can be found: nothing is installed, nothing is guessed.
    let ended = command
        .args(["bench", "compare", "--peers", "seal-python", "--quick", "--json", "--set", "n4096"])
        .env("PATH", sandbox.path("empty"))
        .env("XDG_CACHE_HOME", sandbox.path("cache"))
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(said["absent"][0]["peer"], "seal-python");
    assert!(said["absent"][0]["reason"].as_str().unwrap().contains("python3 was not found"), "{said}");
    assert_eq!(said["sets"][0]["participants"].as_array().unwrap().len(), 1);
    assert!(read(&sandbox, "hei-bench/compare.md").contains("| seal-python | all | needs Python"));
}

#[test]
fn what_cannot_be_measured_is_wrong_usage() {
    let sandbox = Sandbox::new();
    for (arguments, message) in [
        (&["bench", "compare", "--peers", "seal"][..], "the libraries are seal-python, tenseal"),
        (&["bench", "compare", "--set", "n77"], "the sets are n4096"),
        (&["bench", "primitives", "--set", "all"], "the sets are n4096"),
    ] {
        sandbox.run(arguments).fails(2, message);
    }
}

#[test]
fn scaling_grows_and_sizes_are_as_computed() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["bench", "scaling", "--quick", "--json"]).json();
    let largest = |op: &str| {
        let points = said["by_degree"].as_array().unwrap().iter().filter(|p| p["op"] == op);
        points.map(|p| (p["degree"].as_u64().unwrap(), p["min_us"].as_f64().unwrap())).collect::<Vec<_>>()
    };
    let rotate = largest("rotate");
    assert_eq!(rotate.iter().map(|p| p.0).collect::<Vec<_>>(), [4096, 8192]);
    assert!(rotate[1].1 > rotate[0].1, "twice the degree takes longer: {rotate:?}");
    for size in said["sizes"].as_array().unwrap() {
        assert_eq!(size["memory_computed"], size["memory_measured"], "{size}");
        let (computed, header) = (size["wire_computed"].as_u64().unwrap(), size["header"].as_u64().unwrap());
        assert_eq!(size["wire_measured"].as_u64().unwrap(), computed + header, "{size}");
        assert!(header <= 256, "{size}");
    }
    assert!(
        said["key_generation"].as_array().unwrap().iter().all(|k| k["per_second"].as_f64().unwrap() > 0.0)
    );
    assert!(read(&sandbox, "hei-bench/scaling.svg").contains("<polyline"));
    assert!(read(&sandbox, "hei-bench/scaling.md").contains("## Sizes"));
}

#[test]
fn the_kernel_can_be_limited_and_only_to_what_there_is() {
    let sandbox = Sandbox::new();
    let doctor = |kernel: &str| {
        sandbox.command(crate::support::PROGRAM).args(["doctor", "--json"]).env("HEI_KERNEL", kernel).output()
    };
    let scalar = doctor("scalar").unwrap();
    let said: Value = serde_json::from_slice(&scalar.stdout).unwrap();
    assert_eq!((&said["kernel"], &said["kernel_reason"]), (&json!("scalar"), &json!("HEI_KERNEL says so")));
    assert_eq!(said["ok"], true, "{said}");
    let wrong = doctor("fastest").unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("choose one of scalar"));
    let free = sandbox.run(&["doctor", "--json"]).json();
    assert_eq!(free["kernel"], free["kernel_detected"]);
}

#[test]
fn load_is_put_on_servers_of_its_own_and_every_answer_is_accounted_for() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["bench", "load", "--json", "--less", "500", "--folder", "bench"]);
    // Whether promises are kept is this machine's business, and it is busy with tests.
    assert!(matches!(ended.code, 0 | 1), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for traffic in ["prepared", "with_cryptography"] {
        assert_eq!(report[traffic]["completed"], 60, "{report}");
        assert_eq!(report[traffic]["answers"], serde_json::json!({ "200": 60 }), "{report}");
    }
    let overload = &report["overload"];
    if !overload.is_null() {
        let answers = overload["fourfold"]["answers"].as_object().unwrap();
        assert!(answers.keys().all(|status| status == "200" || status == "503"), "{report}");
        assert!(answers["200"].as_u64().unwrap() > 0);
    }
    let flood = &report["flood"];
    assert_eq!(flood["answers"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 2);
    assert!(flood["answers"].as_object().unwrap().keys().all(|status| status.starts_with('4')), "{report}");
    let promises = report["kept"].as_array().unwrap();
    let kept = promises.iter().all(|promise| promise["kept"] == true);
    assert_eq!(ended.code, i32::from(!kept), "the exit code says whether all promises were kept");
    assert_eq!(std::fs::read_dir(sandbox.path("bench")).unwrap().count(), 0, "nothing is left behind");
}
