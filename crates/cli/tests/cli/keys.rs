//! Stored keys: private, not overwritten, opened with their passphrase only.

use crate::support::{Sandbox, Server};

const ROW: &str = "0.5,-1,0.25,0,1,0.1,-0.3,0.7\n";

fn new_key(sandbox: &Sandbox, server: &Server, more: &[&str]) -> crate::support::Ended {
    let arguments = ["keys", "new", "lab", "--url", &server.url, "--model", "logistic_v1"];
    sandbox.run(&[&arguments[..], more].concat())
}

fn infer(sandbox: &Sandbox, server: &Server, more: &[&str]) -> crate::support::Ended {
    let arguments =
        ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-", "--key", "lab", "--json"];
    sandbox.feed(&[&arguments[..], more].concat(), ROW)
}

#[test]
fn a_key_is_private_and_is_not_overwritten() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let printed = new_key(&sandbox, &server, &[]).ok();
    let path = sandbox.key_path("lab");
    assert_eq!(printed.trim(), path.to_str().unwrap());
    let first = std::fs::read(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o7777, 0o700);
    }
    new_key(&sandbox, &server, &[]).fails(5, "exists");
    assert_eq!(std::fs::read(&path).unwrap(), first);
    new_key(&sandbox, &server, &["--force"]).ok();
    assert_ne!(std::fs::read(&path).unwrap(), first);

    let answer = infer(&sandbox, &server, &[]).json();
    assert_eq!(answer["layout"], "feature_columns", "the layout the key is for");
    assert!((answer["rows"][0]["value"].as_f64().unwrap() - 0.5).abs() < 0.1);
}

#[test]
fn a_passphrase_is_needed_and_must_be_right() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    sandbox.write("pass", "correct horse\n");
    sandbox.write("wrong", "correct horsf\n");
    sandbox.write("empty", "\n");
    new_key(&sandbox, &server, &["--passphrase-file", "empty"]).fails(5, "the passphrase is empty");
    new_key(&sandbox, &server, &["--passphrase-file", "pass"]).ok();
    let facts = sandbox.run(&["keys", "show", "lab", "--json"]).json();
    assert_eq!(facts["passphrase"], true);
    infer(&sandbox, &server, &[]).fails(5, "this key is under a passphrase");
    infer(&sandbox, &server, &["--passphrase-file", "wrong"]).fails(5, "wrong passphrase");
    infer(&sandbox, &server, &["--passphrase-file", "pass"]).ok();

    let path = sandbox.key_path("lab");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    infer(&sandbox, &server, &["--passphrase-file", "pass"]).fails(5, "or the key file was changed");
}

#[test]
fn keys_are_listed_shown_and_removed_but_never_printed() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    assert_eq!(sandbox.run(&["keys", "list", "--json"]).json(), serde_json::json!([]));
    new_key(&sandbox, &server, &["--layout", "coefficients"]).ok();
    let list = sandbox.run(&["keys", "list", "--json"]).json();
    assert_eq!(list[0]["name"], "lab");
    assert_eq!(list[0]["params_id"].as_str().unwrap().len(), 64);
    let shown = sandbox.run(&["keys", "show", "lab"]).ok()
        + &sandbox.run(&["inspect", "data/hei/keys/lab.heikey"]).ok();
    let bytes = std::fs::read(sandbox.key_path("lab")).unwrap();
    let hex: String = bytes[bytes.len() - 8..].iter().map(|b| format!("{b:02x}")).collect();
    assert!(!shown.contains(&hex), "no octet of the key is shown");
    assert!(sandbox.run(&["keys", "list"]).ok().contains("lab"));

    sandbox.run(&["keys", "remove", "lab"]).fails(2, "say --yes");
    assert!(sandbox.key_path("lab").exists());
    sandbox.run(&["keys", "remove", "lab", "--yes"]).ok();
    assert!(!sandbox.key_path("lab").exists());
    sandbox.run(&["keys", "remove", "lab", "--yes"]).fails(5, "no key is named lab");
    sandbox.run(&["keys", "show", "lab"]).fails(5, "no key is named lab");
    sandbox.run(&["keys", "show", "../lab"]).fails(5, "a key name is");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    new_key(&sandbox, &server, &[]).ok();
    std::fs::set_permissions(sandbox.key_path("lab"), std::fs::Permissions::from_mode(0o644)).unwrap();
    infer(&sandbox, &server, &[]).fails(5, "others may read this key (mode 0644)");
    let ended = sandbox.run(&["keys", "list"]);
    assert_eq!(ended.code, 1, "a key that cannot be used is a failed check");
    assert!(ended.stderr.contains("chmod 600"));
}

#[test]
fn a_key_of_another_model_is_not_used() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    new_key(&sandbox, &server, &[]).ok();
    let arguments =
        ["infer", "--url", &server.url, "--model", "breast_cancer_v1", "--input", "-", "--key", "lab"];
    sandbox.feed(&arguments, ROW).fails(5, "the key is for other parameters");
    let arguments = [&arguments[..], &["--layout", "feature_columns"]].concat();
    sandbox.feed(&arguments, ROW).fails(5, "this key is for parameters");
}
