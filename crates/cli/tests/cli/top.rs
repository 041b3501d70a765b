//! `hei top`, once; and calls over TLS.

use crate::support::Sandbox;

const ROW: &str = "0.5,-1,0.25,0,1,0.1,-0.3,0.7\n";

#[test]
fn once_shows_what_the_server_does() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&["--admin", "127.0.0.1:0"]);
    let admin = server.admin.as_deref().unwrap();
    let look = || sandbox.run(&["top", "--once", "--json", "--interval", "50", "--url", admin]).json();
    let idle = look();
    assert_eq!(idle["ready"], true);
    assert_eq!(idle["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(idle["latency"][0]["p50_ms"], serde_json::Value::Null, "nothing was asked yet");
    for _ in 0..3 {
        let call = ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-", "--json"];
        sandbox.feed(&call, ROW).json();
    }
    sandbox.run(&["infer", "--url", &server.url, "--model", "nobody", "--input", "-"]);
    let after = look();
    for latency in after["latency"].as_array().unwrap() {
        let (p50, p99) = (latency["p50_ms"].as_f64().unwrap(), latency["p99_ms"].as_f64().unwrap());
        assert!(p50 > 0.0 && p99 >= p50, "{latency}");
    }
    assert_eq!(after["queue"]["queued"], 0.0);
    assert!(after["workers"]["threads"].as_f64().unwrap() >= 1.0);
    assert!(after["connections"]["of"].as_f64().unwrap() >= 1.0);
    let text = sandbox.run(&["top", "--once", "--interval", "50", "--url", admin]).ok();
    for word in ["ready", "inferences", "evaluate", "p99 ms", "bodies"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no escapes into a pipe");
}

#[test]
fn what_is_no_operators_listener_is_said_so() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    sandbox.run(&["top", "--once", "--url", &server.url]).fails(6, "answers 404");
    sandbox.run(&["top", "--once", "--url", "http://127.0.0.1:1"]).fails(3, "is it the address of --admin?");
    sandbox.run(&["top", "--once", "--url", "nowhere"]).fails(2, "not an admin address");
    sandbox.run(&["top", "--url", "http://127.0.0.1:1"]).fails(2, "no terminal");
}

#[test]
fn an_inference_over_tls_trusts_whom_it_is_told_to() {
    let sandbox = Sandbox::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let cert = sandbox.write("cert.pem", made.cert.pem()).display().to_string();
    let key = sandbox.write("key.pem", made.signing_key.serialize_pem());
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = sandbox.serve(&["--tls-cert", &cert, "--tls-key", &key.display().to_string()]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let call = ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-", "--json"];
    let scores = sandbox.feed(&[&call[..], &["--ca", &cert]].concat(), ROW).json();
    assert!(scores.is_object());
    let refused = sandbox.feed(&call, ROW);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    sandbox.write("none.pem", "nothing");
    sandbox.feed(&[&call[..], &["--ca", "none.pem"]].concat(), ROW).fails(5, "no certificate");
}
