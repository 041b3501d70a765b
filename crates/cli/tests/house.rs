//! The table in docs/architecture.md, held to the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// crate -> crates it may use, from the table whose header is "| crate | purpose | may use |".
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    text.lines()
        .skip_while(|line| !line.starts_with("| crate |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let uses = cells[2].split(',').map(|c| c.trim().to_owned()).filter(|c| c != "–").collect();
            (cells[0].trim_matches('`').to_owned(), uses)
        })
        .collect()
}

#[test]
fn every_crate_uses_only_the_crates_of_its_row() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = table();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name =
            package["name"].as_str().unwrap().strip_prefix("hei-").expect("packages are named hei-<folder>");
        let allowed = table.get(name).unwrap_or_else(|| panic!("{name} has no row in docs/architecture.md"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            // Development dependencies may reach further: tests compare rooms that must not know each other.
            if let Some(used) = dependency["name"].as_str().unwrap().strip_prefix("hei-")
                && dependency["kind"].is_null()
            {
                assert!(allowed.contains(used), "{name} uses {used}, which its row does not name");
            }
        }
    }
    assert_eq!(seen, table.keys().cloned().collect(), "rows and packages are the same");
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// A source without its test modules, which run on a machine that has all of it: from `#[cfg(test)]` to the brace that
/// closes at the start of a line, or the one item on the next line.
fn without_tests(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            out += line;
            out.push('\n');
        } else if lines.next().is_some_and(|item| item.ends_with('{')) {
            lines.by_ref().find(|line| line.starts_with('}'));
        }
    }
    out
}

#[test]
fn test_modules_are_left_out_and_what_follows_them_is_not() {
    let text = "a\n#[cfg(test)]\nmod tests {\n    b\n}\nc\n#[cfg(test)]\nmod more;\nd\n";
    assert_eq!(without_tests(text), "a\nc\nd\n");
}

#[test]
fn browser_ready_crates_touch_no_thread_clock_file_or_environment() {
    // Behind features of `client`.
    let exempt = ["client/src/http", "client/src/store"];
    let modules = ["thread", "time", "fs", "env", "net", "process"].map(|module| format!("std::{module}"));
    let others = ["use std::{", "Instant::now", "SystemTime"].map(str::to_owned);
    let forbidden: Vec<String> = modules.into_iter().chain(others).collect();
    let mut files = Vec::new();
    for name in ["ring", "ckks", "wire", "circuit", "protocol", "client"] {
        sources(&root().join("crates").join(name).join("src"), &mut files);
    }
    assert!(files.len() > 30, "the sources were found");
    for file in files {
        let shown = file.strip_prefix(root().join("crates")).unwrap().display().to_string();
        if exempt.iter().any(|e| shown.starts_with(e)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = without_tests(&text);
        for word in &forbidden {
            assert!(!code.contains(word.as_str()), "{shown} uses {word}");
        }
    }
}

/// The browser-ready crates compile for it, each with its default features off.
#[test]
fn browser_ready_crates_compile_for_the_browser() {
    const TARGET: &str = "wasm32-unknown-unknown";
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let installed = libraries.is_ok_and(|output| {
        std::fs::read_dir(String::from_utf8_lossy(&output.stdout).trim())
            .is_ok_and(|mut files| files.next().is_some())
    });
    if !installed {
        let required = std::env::var("HEI_REQUIRE").unwrap_or_default();
        assert!(!required.contains("wasm"), "the target {TARGET} is required and not installed");
        println!("SKIPPED: the target {TARGET} is not installed (rustup target add {TARGET})");
        return;
    }
    for name in ["ring", "ckks", "circuit", "wire", "protocol", "client"] {
        let output = Command::new(env!("CARGO"))
            .args(["check", "--quiet", "--offline", "--no-default-features", "--target", TARGET])
            .args(["--package", &format!("hei-{name}"), "--target-dir"])
            .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser"))
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
