//! Exit codes and messages for what goes wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use hei_protocol::manifest::Manifest;
use hei_protocol::messages::{ListModels, ModelCard, to_json};

use crate::support::Sandbox;

const ROW: &str = "0.5,-1,0.25,0,1,0.1,-0.3,0.7\n";

#[test]
fn usage_errors_are_2() {
    let sandbox = Sandbox::new();
    let url = "http://127.0.0.1:1";
    for arguments in [
        &["conquer"][..],
        &[],
        &["infer", "--model", "m"],
        &["infer", "--model", "m", "--input", "-", "--layout", "diagonal"],
        &["serve", "--listen", "nowhere"],
        &["keys"],
        &["bench", "flow", "--samples", "0"],
    ] {
        let ended = sandbox.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
        assert!(!ended.stderr.contains('\u{1b}'), "no escapes into a pipe");
    }
    sandbox.run(&["models", "--url", "ftp://example.org"]).fails(2, "not a server address");
    sandbox
        .feed(&["infer", "--url", url, "--model", "Bad Name", "--input", "-"], ROW)
        .fails(2, "a model id is");
    sandbox.write("token", "hei_a_b\n");
    sandbox
        .run(&["models", "--url", "http://example.org", "--token-file", "token"])
        .fails(2, "refusing to send a bearer token over http://");
}

#[test]
fn a_server_that_is_not_there_is_3() {
    // A port that was free a moment ago, with nobody behind it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    Sandbox::new().run(&["models", "--url", &url]).fails(3, "cannot reach");
}

#[test]
fn a_model_that_is_not_served_is_4() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let infer = |more: &[&str]| {
        let arguments = ["infer", "--url", &server.url, "--input", "-"];
        sandbox.feed(&[&arguments[..], more].concat(), ROW)
    };
    infer(&["--model", "other_v1"]).fails(4, "it serves: breast_cancer_v1, logistic_v1");
    infer(&["--model", "logistic_v1", "--model-version", "9.9.9"]).fails(4, "UNKNOWN_MODEL");
}

#[test]
fn unusable_rows_are_5_and_named_by_line_and_feature() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(&[]);
    let infer = |rows: &str| {
        sandbox.feed(&["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-"], rows)
    };
    infer("").fails(5, "no rows");
    infer("1,2,3\n").fails(5, "line 1: 3 values, expected 8");
    infer(&format!("{ROW}1,2,3,x,5,6,7,8\n")).fails(5, "line 2, column 4: x4 is not a finite number");
    infer(&format!("{ROW}1,2,3,inf,5,6,7,8\n")).fails(5, "x4 is not a finite number");
    // In the second request: the line of the file is named all the same.
    let many = ROW.repeat(20) + "1,2,3,4,5,6,7,1234.5\n";
    let ended = infer(&many);
    assert!(!ended.stderr.contains("1234.5"), "the value itself is not repeated: {}", ended.stderr);
    ended.fails(5, "line 21: row 5, feature 8 (x8): outside the model's range -8 to 8");
    sandbox
        .run(&["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "none.csv"])
        .fails(5, "none.csv");
    let seal = ["--layout", "coefficients", "--format", "seal"];
    let arguments = ["infer", "--url", &server.url, "--model", "logistic_v1", "--input", "-"];
    sandbox.feed(&[&arguments[..], &seal].concat(), ROW).fails(2, "not offered in the seal format");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let sandbox = Sandbox::new();
    sandbox.run(&["serve", "--models", "nowhere"]).fails(5, "nowhere");
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(&["serve", "--models", "empty"]).fails(5, "no .hei files; make one with `hei compile`");
    sandbox.write("bad/first.hei", "not a model");
    sandbox.run(&["serve", "--models", "bad", "--listen", "127.0.0.1:0"]).fails(5, "first.hei");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    sandbox.run(&["serve", "--listen", &address]).fails(5, &address);
}

#[test]
fn a_server_that_lies_about_parameters_is_6_and_gets_no_request() {
    let file = hei_circuit::ModelFile::decode(include_bytes!("../../../../models/logistic_v1.hei")).unwrap();
    let manifest = Manifest::from_json(file.manifest().as_bytes()).unwrap();
    let digest = "0".repeat(64);
    let mut card = ModelCard::new(&manifest, &digest);
    for layout in &mut card.layouts {
        // The ring half as large under the same primes: below 128 bits.
        layout.parameters.poly_modulus_degree /= 4;
    }
    let list = to_json(&ListModels::new([(&manifest, digest.as_str())]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let card = to_json(&card);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap().take(1 << 16)).read_line(&mut line).unwrap();
            let body = if line.contains("/versions/") { &card } else { &list };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            let _ = sender.send(line);
        }
    });
    let arguments = ["infer", "--url", &url, "--model", "logistic_v1", "--input", "-"];
    Sandbox::new().feed(&arguments, ROW).fails(6, "the model card is not acceptable");
    let lines: Vec<String> = asked.try_iter().collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.starts_with("GET ")), "{lines:?}");
}
