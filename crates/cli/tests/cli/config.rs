//! Settings: where each comes from, and what is refused.

use serde_json::json;

use crate::support::{PROGRAM, Sandbox};

#[test]
fn check_says_what_is_in_force_and_where_it_comes_from() {
    let sandbox = Sandbox::new();
    sandbox
        .write("hei.toml", "models = \"compiled\"\nlisten = \"127.0.0.1:1\"\n[capacity]\nqueued_jobs = 7\n");
    sandbox.write("compiled/model.hei", include_bytes!("../../../../models/logistic_v1.hei"));
    let mut command = sandbox.command(PROGRAM);
    command.args(["config", "check", "--json", "--store", "memory", "--set", "body.linger=1500ms"]);
    let output = command.env("HEI_CONFIG", "hei.toml").env("HEI_LISTEN", "127.0.0.1:9").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let setting = |name: &str| said["settings"][name].clone();
    assert_eq!(setting("listen"), json!({ "value": "127.0.0.1:9", "source": "HEI_LISTEN" }));
    assert_eq!(setting("models"), json!({ "value": "compiled", "source": "hei.toml:1" }));
    assert_eq!(setting("capacity.queued_jobs"), json!({ "value": 7, "source": "hei.toml:4" }));
    assert_eq!(setting("store"), json!({ "value": "memory", "source": "--store" }));
    assert_eq!(setting("body.linger"), json!({ "value": "1500ms", "source": "--set" }));
    assert_eq!(setting("data"), json!({ "value": null, "source": "default" }));
    let table = sandbox.run(&["config", "check", "--config", "hei.toml"]).ok();
    assert!(
        table.lines().any(|line| line.starts_with("capacity.queued_jobs ") && line.ends_with(" hei.toml:4"))
    );
    assert!(!sandbox.path("data").exists(), "a check makes no data directory");
}

#[test]
fn what_serve_would_refuse_check_refuses() {
    let sandbox = Sandbox::new();
    sandbox.write("hei.toml", "[limits]\nmax_inputs = 1\n");
    sandbox.write("broken/model.hei", "not a model");
    for verb in [&["config", "check"][..], &["serve", "--until-stdin-closes"]] {
        let with = |more: &[&str]| sandbox.run(&[verb, more].concat());
        with(&["--config", "hei.toml"])
            .fails(5, "the limit max_inputs is 1, a compliant server offers at least 64");
        with(&["--models", "broken"]).fails(5, "broken/model.hei");
        with(&["--set", "capacity.queued_job=1"]).fails(2, "did you mean \"capacity.queued_jobs\"?");
        with(&["--set", "capacity"]).fails(2, "--set takes NAME=VALUE");
        with(&["--config", "nowhere.toml"]).fails(5, "nowhere.toml");
    }
}

#[test]
fn a_server_serves_with_the_settings_of_its_file() {
    let sandbox = Sandbox::new();
    sandbox.write("hei.toml", "[limits]\nmax_wait_seconds = 3\n");
    let server = sandbox.serve(&["--config", "hei.toml"]);
    let client = hei_client::http::HttpClient::new(&server.url, Default::default()).unwrap();
    assert_eq!(client.service().unwrap().limits.max_wait_seconds, 3);
}
