use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{CapacityLimits, ConnectionLimits};
use crate::http::BodyLimits;
use crate::quota::QuotaLimits;

fn nothing(_: &str) -> Option<String> {
    None
}

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hei.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn refused(text: &str) -> String {
    let (_folder, path) = written(text);
    let error = load(Some(&path), nothing, &[]).err().unwrap();
    error.to_string().replace(&path.display().to_string(), "hei.toml")
}

fn flag(key: &str, value: &str) -> Flag {
    Flag { key: key.into(), value: value.into(), typed: format!("--{key}") }
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let (_folder, path) = written("listen = \"127.0.0.1:1\"\ndata = \"/f\"\nmodels = \"/m\"\n");
    let environment = |name: &str| match name {
        "HEI_LISTEN" => Some("127.0.0.1:2".to_owned()),
        "HEI_DATA" => Some("/e".to_owned()),
        "HEI_LOG" => Some(String::new()),
        _ => None,
    };
    let loaded = load(Some(&path), environment, &[flag("listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(loaded.settings.server.listen, ([127, 0, 0, 1], 3).into());
    assert_eq!(loaded.settings.data, Some("/e".into()));
    assert_eq!(loaded.settings.models, Some("/m".into()));
    assert_eq!(loaded.settings.log, LogLevel::Warn, "an empty variable sets nothing");
    let source = |key| loaded.source(key);
    assert_eq!(source("listen"), Source::Flag("--listen".into()));
    assert_eq!(source("data"), Source::Environment("HEI_DATA"));
    assert_eq!(source("models"), Source::File { path: path.clone(), line: 3 });
    assert_eq!(source("log.level"), Source::Default);
}

#[test]
fn sections_units_and_words_are_read() {
    let (_folder, path) = written(
        "workers = \"auto\"\n[limits]\nmax_request_bytes = \"32 MiB\"\n[connections]\nheader_timeout = 3\n\
         drain = \"5min\"\nmax_connections = 0x10\n[capacity]\nadmission_wait = \"250ms\"\n[log]\nformat = \"json\"\n",
    );
    let settings = load(Some(&path), nothing, &[]).unwrap().settings;
    assert_eq!(settings.server.limits.max_request_bytes, 32 << 20);
    assert_eq!(settings.server.connections.header_timeout, Duration::from_secs(3));
    assert_eq!(settings.server.connections.drain, Duration::from_secs(300));
    assert_eq!(settings.server.connections.max_connections, 16);
    assert_eq!(settings.server.capacity.admission_wait, Duration::from_millis(250));
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.server.workers, None);
}

#[test]
fn mistakes_are_named_with_file_line_and_what_may_have_been_meant() {
    let cases = [
        (
            "\n[capacity]\nqueued_job = 1\n",
            "hei.toml:3: there is no setting \"capacity.queued_job\"; did you mean \"capacity.queued_jobs\"?",
        ),
        (
            "queued_jobs = 1\n",
            "hei.toml:1: there is no setting \"queued_jobs\"; did you mean \"capacity.queued_jobs\"?",
        ),
        ("[zzzzzzzzzzzz]\nx = 1\n", "hei.toml:1: there is no setting \"zzzzzzzzzzzz\""),
        (
            "\nlisten = \"secret\"\n",
            "hei.toml:2: listen must be an address and a port, like \"127.0.0.1:8000\"",
        ),
        ("[limits]\nmax_inputs = -1\n", "hei.toml:2: limits.max_inputs must be a whole number"),
        (
            "[connections]\ndrain = \"5 fortnights\"\n",
            "hei.toml:2: connections.drain must be a duration: seconds, or one like \"500ms\", \"10s\", \"5min\", \"1h\"",
        ),
        ("store = [1]\n", "hei.toml:1: store must be \"disk\", \"memory\" or \"postgres://…\""),
        ("[limits]\nmax_inputs = 1\nmax_inputs = 2\n", "hei.toml:3: duplicate key"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(text), expected, "{text}");
    }
    let error = load(None, nothing, &[flag("lisen", "x")]).err().unwrap().to_string();
    assert_eq!(error, "--lisen: there is no setting \"lisen\"; did you mean \"listen\"?");
    let error = load(None, |name| (name == "HEI_LOG").then(|| "hunter2".to_owned()), &[]).err().unwrap();
    assert!(error.to_string().starts_with("HEI_LOG: log.level must be "), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn the_file_of_defaults_uncommented_is_the_defaults() {
    let text = file_of_defaults();
    let (_folder, path) = written(&text);
    let untouched = load(Some(&path), nothing, &[]).unwrap();
    assert!(effective(&untouched).all(|(_, _, source)| source == Source::Default));
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line))
        .fold(String::new(), |mut all, line| {
            all += line;
            all.push('\n');
            all
        });
    let (_folder, path) = written(&uncommented);
    let read = load(Some(&path), nothing, &[]).unwrap();
    assert!(effective(&read).all(|(_, _, source)| matches!(source, Source::File { .. })));
    let values = |loaded: &Loaded| effective(loaded).map(|(key, value, _)| (key, value)).collect::<Vec<_>>();
    assert_eq!(values(&read), values(&untouched));
}

#[test]
fn every_choice_of_an_operator_is_a_setting() {
    // A new member does not compile here until it is named, and is named here once it is in the table.
    let ConnectionLimits {
        max_connections: _,
        max_per_address: _,
        header_timeout: _,
        max_header_bytes: _,
        max_header_fields: _,
        drain: _,
    } = ConnectionLimits::default();
    let CapacityLimits {
        queued_jobs: _,
        stored_jobs: _,
        stored_result_bytes: _,
        buffered_body_bytes: _,
        queued_input_bytes: _,
        stored_key_bytes: _,
        admission_wait: _,
        max_queue_wait: _,
        waiters_per_tenant: _,
    } = CapacityLimits::default();
    let QuotaLimits { window: _, requests: _, reads: _, body_bytes: _, cpu_millis: _ } =
        QuotaLimits::default();
    let BodyLimits { min_bytes_per_window: _, rate_window: _, deadline: _, key_deadline: _, linger: _ } =
        BodyLimits::default();
    let has = |section: &str| SETTINGS.iter().filter(|s| s.key.starts_with(section)).count();
    assert_eq!((has("connections."), has("capacity."), has("body."), has("quotas.")), (6, 9, 5, 5));
    for name in hei_protocol::LimitName::ALL {
        assert!(SETTINGS.iter().any(|s| s.key == format!("limits.{}", name.as_str())), "{name:?}");
    }
    // Each is one place: changing one changes that one and no other.
    let before = load(None, nothing, &[]).unwrap();
    for setting in SETTINGS {
        let values = ["7", "127.0.0.1:7", "/seven", "memory", "json", "debug", "true", "7s"];
        let changed = values.iter().find_map(|value| {
            let loaded = load(None, nothing, &[flag(setting.key, value)]).ok()?;
            let changed = effective(&loaded).zip(effective(&before)).filter(|(a, b)| a.1 != b.1);
            let changed: Vec<_> = changed.map(|(after, _)| after.0).collect();
            (!changed.is_empty()).then_some(changed)
        });
        assert_eq!(changed, Some(vec![setting.key]));
    }
}

#[test]
fn the_documentation_lists_every_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = documentation();
    assert!(text.contains(&table), "docs/config.md must contain this table:\n{table}");
}
