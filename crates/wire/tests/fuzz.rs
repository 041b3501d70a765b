//! The fuzz targets on stable Rust: the committed corpora, and seeded mutations of them, in seconds.
//!
//! `fuzz/README.md` says how the same functions are fuzzed with libFuzzer. `HEI_FUZZ_ROUNDS` sets the mutations of each input,
//! `HEI_FUZZ_SEED` where they start; `HEI_FUZZ_WRITE=1` writes the corpora anew.

#[path = "../../../fuzz/bodies/mod.rs"]
mod bodies;

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::Command;

use bodies::{Outcome, TARGETS, Target, Words, seeds};
use hei_ring::kernel;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Runs a body and says which input it was if it panics, in a form that can be saved and replayed.
fn run((name, body): Target, about: &str, data: &[u8]) -> Outcome {
    catch_unwind(|| body(data)).unwrap_or_else(|_| {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{name}"));
        std::fs::write(&file, data).expect("a writable build folder");
        panic!("{name}: {about} breaks an invariant; the input is in {}", file.display());
    })
}

/// One to three changes, by the usual strategies of a fuzzer.
fn mutate(data: &[u8], other: &[u8], words: &mut Words) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..=words.below(3) {
        if out.is_empty() {
            out.push(words.next() as u8);
            continue;
        }
        // Headers are where the structure is.
        let reach = if words.below(2) == 0 { out.len() } else { out.len().min(128) };
        let at = words.below(reach);
        match words.below(9) {
            0 => out[at] ^= 1 << words.below(8),
            1 => out[at] = words.next() as u8,
            2 => out[at] = [0, 1, 2, 0x7f, 0x80, 0xff][words.below(6)],
            3 => out.insert(at, words.next() as u8),
            4 => drop(out.remove(at)),
            5 => out.truncate(at),
            6 => {
                let end = (at + 1 + words.below(64)).min(out.len());
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            7 => {
                let end = (at + 8).min(out.len());
                let value = [0, u64::MAX, 1 << 60, 1 << 32, words.next()][words.below(5)];
                let count = end - at;
                out[at..end].copy_from_slice(&value.to_le_bytes()[..count]);
            }
            _ if !other.is_empty() => {
                let from = words.below(other.len());
                out.truncate(at);
                out.extend_from_slice(&other[from..]);
            }
            _ => {}
        }
    }
    out
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<(String, Vec<u8>)> = std::fs::read_dir(corpus(target))
        .unwrap_or_else(|error| panic!("fuzz/corpus/{target}: {error}"))
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("a readable file"))
        })
        .collect();
    inputs.sort();
    inputs
}

fn replay(index: usize, rounds: u64) {
    let target = TARGETS[index];
    let inputs = inputs(target.0);
    let mut valid = 0;
    for (name, data) in &inputs {
        let outcome = run(target, name, data);
        if name.starts_with("valid") {
            assert_eq!(outcome, Outcome::Accepted, "{}: {name} is no longer accepted", target.0);
            valid += 1;
        }
    }
    assert!(valid >= 2, "{}: a corpus needs inputs that are accepted", target.0);
    let (rounds, seed) = (number("HEI_FUZZ_ROUNDS", rounds), number("HEI_FUZZ_SEED", 1));
    let mut words = Words(seed ^ (index as u64) << 32);
    let (mut accepted, mut refused) = (0u64, 0u64);
    for (name, data) in &inputs {
        for round in 0..rounds {
            let other = &inputs[words.below(inputs.len())].1;
            let mutated = mutate(data, other, &mut words);
            match run(target, &format!("mutation {round} of {name}"), &mutated) {
                Outcome::Accepted => accepted += 1,
                Outcome::Refused => refused += 1,
            }
        }
    }
    println!("{}: {} inputs, {accepted} mutations accepted, {refused} refused", target.0, inputs.len());
}

#[test]
fn container_bytes() {
    replay(0, 150);
}

#[test]
fn container_struct() {
    replay(1, 60);
}

#[test]
fn conformant_then_compute() {
    replay(2, 40);
}

#[test]
fn evaluation_key() {
    replay(3, 60);
}

#[test]
fn seed_expand() {
    replay(4, 60);
}

#[test]
fn seal_bytes() {
    replay(5, 150);
}

#[test]
fn seal_compressed() {
    replay(6, 100);
}

#[test]
fn encode_decode() {
    replay(7, 100);
}

#[test]
fn ring_ops() {
    // A process has one kernel, fixed at its first use: each lower one gets a process of its own.
    if let Some(level) = std::env::var("HEI_KERNEL").ok().and_then(|name| kernel::Level::from_name(&name)) {
        assert!(kernel::force(level), "this processor has no {}", level.name());
    }
    replay(8, 60);
}

#[test]
fn ring_ops_on_every_kernel() {
    for level in kernel::Level::ALL.into_iter().filter(|level| *level < kernel::detected()) {
        let this = std::env::current_exe().expect("this test");
        let output = Command::new(this)
            .args(["--exact", "ring_ops", "--test-threads", "1"])
            .env("HEI_KERNEL", level.name())
            .output()
            .expect("this test runs again");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", level.name());
    }
}

/// The committed corpora are those `fuzz/bodies/seeds.rs` describes: no input is forgotten, and none is there that nobody can
/// explain. What fuzzing finds is added to the folder as `found-…`.
#[test]
fn corpora_are_complete() {
    let write = std::env::var_os("HEI_FUZZ_WRITE").is_some();
    let mut total = 0;
    for (name, _) in TARGETS {
        let folder = corpus(name);
        let described = seeds::corpus(name);
        if write {
            std::fs::create_dir_all(&folder).expect("a writable folder");
            for (file, data) in &described {
                std::fs::write(folder.join(file), data).expect("a writable folder");
            }
        }
        for (file, data) in inputs(name) {
            total += data.len();
            assert!(
                file.starts_with("found-") || described.iter().any(|(known, _)| *known == file),
                "fuzz/corpus/{name}/{file} is not described"
            );
        }
        for (file, _) in described {
            assert!(
                folder.join(file).exists(),
                "fuzz/corpus/{name}/{file} is missing: write the corpora anew"
            );
        }
    }
    assert!(total < 256 << 10, "the corpora are {total} bytes");
}
