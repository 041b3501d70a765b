//! Every requirement has an id, a sentence in the prose and a test.

use std::collections::{BTreeMap, BTreeSet};

struct Requirement {
    id: String,
    level: String,
    text: String,
    tests: Vec<String>,
}

/// Reads the requirement file, whose layout is fixed: one `- id:` block per requirement.
fn requirements() -> Vec<Requirement> {
    let file = crate::common::text("spec/requirements/1.0.yaml");
    let mut all: Vec<Requirement> = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let line = line.trim();
        if let Some(id) = line.strip_prefix("- id: ") {
            all.push(Requirement {
                id: id.to_owned(),
                level: String::new(),
                text: String::new(),
                tests: vec![],
            });
        } else if let Some(last) = all.last_mut() {
            if let Some(level) = line.strip_prefix("level: ") {
                level.clone_into(&mut last.level);
            } else if let Some(text) = line.strip_prefix("text: ") {
                last.text = serde_json::from_str(text).unwrap();
            } else if let Some(test) = line.strip_prefix("- ") {
                last.tests.push(test.to_owned());
            }
        }
    }
    all
}

#[test]
fn the_prose_and_the_requirement_list_are_one() {
    let document = crate::common::text("docs/api.md");
    let listed: Vec<_> = requirements()
        .into_iter()
        .map(|one| format!("- **{}** ({}) {}", one.id, one.level, one.text))
        .collect();
    let written: Vec<_> =
        document.lines().filter(|line| line.starts_with("- **REQ-")).map(str::to_owned).collect();
    let (listed_set, written_set): (BTreeSet<_>, BTreeSet<_>) =
        (listed.iter().collect(), written.iter().collect());
    assert_eq!(written_set, listed_set);
    assert_eq!((listed.len(), written.len()), (listed_set.len(), written_set.len()), "an id occurs twice");
    // Whatever the prose refers to exists.
    let ids: BTreeSet<_> = requirements().into_iter().map(|one| one.id).collect();
    for word in document
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("REQ-"))
    {
        assert!(ids.contains(word), "{word}");
    }
    for one in requirements() {
        assert!(matches!(one.level.as_str(), "MUST" | "SHOULD"), "{}", one.id);
        assert!(!one.tests.is_empty(), "{} has no test", one.id);
    }
}

/// Whether a function of that name is a test that runs: `#[test]` or a runtime's own right above it, and no `#[ignore]`.
pub(crate) fn is_test(text: &str, function: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(&format!("fn {function}(")) {
        let above = &rest[..at];
        let attributes = &above[above.rfind(['}', ';', '{']).map_or(0, |i| i + 1)..];
        let test = attributes.contains("test]") || attributes.contains("::test(");
        if test && !attributes.contains("#[ignore") {
            return true;
        }
        rest = &rest[at + 3..];
    }
    false
}

#[test]
fn every_test_that_a_requirement_names_exists() {
    let mut cache: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for one in requirements() {
        for test in &one.tests {
            let (name, function) = test.split_once("::").unwrap();
            let text = cache.entry(name.to_owned()).or_insert_with(|| {
                let mut text = String::new();
                crate::common::sources(&crate::common::root().join("crates").join(name), &mut text);
                text
            });
            if !is_test(text, function) {
                missing.push(format!("{} names {test}", one.id));
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}
