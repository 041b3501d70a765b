//! What a client leaves in memory: nothing secret of key files, requests and replies. How that is found out is told in
//! `crates/ckks/tests/wiped`.
#![cfg(target_os = "linux")]

#[path = "../../ckks/tests/wiped/memory.rs"]
mod memory;
#[path = "../../ckks/tests/wiped/patterns.rs"]
mod patterns;
#[path = "session/support.rs"]
#[allow(dead_code, reason = "shared with the session tests")]
mod support;

use hei_ckks::SecretKey;
use hei_client::keyfile;
use hei_client::session::{Layout, RequestOptions, Session, Terms};
use hei_client::store::{KeyStore, Overwrite};
use hei_ring::sample::{self, Domain};
use memory::{Watched, case, stop};
use patterns::{Counted, Pattern, doubles, forms, key_number, sampled};
use support::{LOGISTIC, Model, WRITTEN, rows};
use zeroize::{Zeroize, Zeroizing};

const BATCH: usize = 16;

/// Read from a file by the program that asks, and wiped by it.
fn passphrase() -> Zeroizing<Vec<u8>> {
    let mut passphrase = Zeroizing::new(vec![0; 32]);
    passphrase.iter_mut().enumerate().for_each(|(i, byte)| *byte = b'a' + (i * 7 % 26) as u8);
    passphrase
}

fn terms(layout: Layout) -> Terms {
    Terms::from_card(&Model::open(LOGISTIC).card_json(), layout).unwrap()
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn watched() {
    let mut randomness = Counted(0);
    match case().expect("run by the tests below").as_str() {
        "key file" => {
            let terms = terms(Layout::FeatureColumns);
            let context = terms.parameters().context();
            let folder = tempfile::tempdir().unwrap();
            let store = KeyStore::at(folder.path());
            let key = SecretKey::generate(context, &mut randomness).unwrap();
            let passphrase = passphrase();
            let bare = keyfile::write(&key, context, None, &mut randomness).unwrap();
            let locked = keyfile::write(&key, context, Some(&passphrase), &mut randomness).unwrap();
            store.save("bare", &bare, Overwrite::Never).unwrap();
            store.save("locked", &locked, Overwrite::Never).unwrap();
            stop("alive");
            drop((key, bare, locked));
            stop("written");
            for name in ["bare", "locked"] {
                let file = store.load(name).unwrap();
                keyfile::read(&file, context, Some(&passphrase)).ok().unwrap();
            }
            drop(passphrase);
            stop("read");
        }
        "requests" => {
            let model = Model::open(LOGISTIC);
            for (place, (layout, format, encoding)) in WRITTEN.into_iter().enumerate() {
                run(&model, layout, RequestOptions { format, encoding }, |_| ());
                stop(&place.to_string());
            }
        }
        other => panic!("no case {other}"),
    }
}

/// A whole request and its reply. Rows and scores are the application's: it wipes the ones and drops the others.
fn run(model: &Model, layout: Layout, options: RequestOptions, look: impl Fn(&[f64])) {
    let mut randomness = Counted(0);
    let session = Session::new(&model.card_json(), layout).unwrap();
    let key = session.key(&mut randomness).unwrap();
    let mut rows = rows(BATCH, 8);
    let (request, pending) = session.encrypt(key, &rows, options, &mut randomness).unwrap();
    rows.iter_mut().for_each(Zeroize::zeroize);
    let reply = model.answer(&request.body, request.media);
    look(session.decrypt(pending, &reply).unwrap().reveal());
}

#[test]
fn key_files_leave_neither_the_key_nor_the_passphrase() {
    let terms = terms(Layout::FeatureColumns);
    let context = terms.parameters().context();
    let mut patterns = forms("secret", context, &sampled(context, Domain::Secret, 1, sample::ternary));
    patterns.push(("secret's stream key".to_owned(), key_number(1).to_vec()));
    let key = SecretKey::generate(context, &mut Counted(0)).unwrap();
    let container = keyfile::write(&key, context, None, &mut Counted(1)).unwrap();
    patterns.push(("packed secret".to_owned(), container[container.len() / 2..][..64].to_vec()));
    let mut process = Watched::start("watched", "key file");
    process.at("alive");
    let found = process.found(&patterns);
    for form in ["secret, signed bytes", "packed secret"] {
        assert!(found.iter().any(|f| f.starts_with(form)), "{form} is there while its owner is: {found:?}");
    }
    process.go_on();
    process.at("written");
    assert_eq!(process.found(&patterns), [""; 0]);
    process.go_on();
    process.at("read");
    patterns.push(("passphrase".to_owned(), passphrase().to_vec()));
    assert_eq!(process.found(&patterns), [""; 0]);
}

#[test]
fn requests_and_replies_leave_no_key_no_feature_and_no_score() {
    let model = Model::open(LOGISTIC);
    let rows = rows(BATCH, 8);
    let mut features: Vec<Pattern> =
        rows.iter().enumerate().map(|(i, row)| whole(&format!("row {i}"), row)).collect();
    for i in 0..8 {
        let column: Vec<f64> = rows.iter().map(|row| row[i]).collect();
        features.push(whole(&format!("column {i}"), &column));
    }
    let mut process = Watched::start("watched", "requests");
    for (place, (layout, format, encoding)) in WRITTEN.into_iter().enumerate() {
        let terms = terms(layout);
        let context = terms.parameters().context();
        let mut patterns = forms("secret", context, &sampled(context, Domain::Secret, 1, sample::ternary));
        patterns.push(("secret's stream key".to_owned(), key_number(1).to_vec()));
        patterns.extend(features.clone());
        let scores = std::cell::RefCell::new(Vec::new());
        run(&model, layout, RequestOptions { format, encoding }, |s| *scores.borrow_mut() = s.to_vec());
        patterns.push(whole("scores", &scores.into_inner()));
        process.at(&place.to_string());
        assert_eq!(process.found(&patterns), [""; 0], "{layout} {format:?} {encoding:?}");
        process.go_on();
    }
}

/// All of some numbers, which are few.
fn whole(name: &str, values: &[f64]) -> Pattern {
    let (name, _) = doubles(name, values);
    (name, values.iter().take(8).flat_map(|value| value.to_le_bytes()).collect())
}
