//! Every row of docs/catalogue.md has a test that exists.

use std::collections::BTreeMap;

use crate::requirements::is_test;

/// How many rows each family has.
const ROWS: [(&str, u32); 12] = [
    ("TR", 16),
    ("JS", 8),
    ("CB", 4),
    ("EN", 5),
    ("SC", 6),
    ("KY", 22),
    ("JB", 8),
    ("TN", 6),
    ("ID", 4),
    ("RS", 7),
    ("PS", 6),
    ("RG", 2),
];

#[test]
fn every_row_of_the_catalogue_has_its_tests() {
    let document = crate::common::text("docs/catalogue.md");
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [row, _, _, tests] = cells.as_slice() else { continue };
        if row.len() != 5 || row.as_bytes()[2] != b'-' {
            continue;
        }
        let tests = tests.split(", ").map(|test| test.trim_matches('`').to_owned()).collect();
        assert!(rows.insert((*row).to_owned(), tests).is_none(), "{row} is there twice");
    }
    let expected: Vec<String> = ROWS
        .iter()
        .flat_map(|(family, count)| (1..=*count).map(move |row| format!("{family}-{row:02}")))
        .collect();
    let missing: Vec<&String> = expected.iter().filter(|row| !rows.contains_key(*row)).collect();
    assert!(missing.is_empty() && rows.len() == expected.len(), "missing: {missing:?}");
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut lost = Vec::new();
    for (row, tests) in &rows {
        for test in tests {
            let (name, function) = test.split_once("::").unwrap_or_else(|| panic!("{row}: {test}"));
            let text = sources.entry(name.to_owned()).or_insert_with(|| {
                let mut text = String::new();
                crate::common::sources(&crate::common::root().join("crates").join(name), &mut text);
                text
            });
            if !is_test(text, function) {
                lost.push(format!("{row} names {test}"));
            }
        }
    }
    assert!(lost.is_empty(), "no such test:\n{}", lost.join("\n"));
}
