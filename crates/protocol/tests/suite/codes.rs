//! Problem codes: one list in the program, the problem file, the OpenAPI document and the prose.

use std::collections::{BTreeMap, BTreeSet};

use hei_protocol::{JobErrorCode, Limits, ProblemCode, Remedy, spec};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemRow {
    code: String,
    status: u16,
    retryable: bool,
    remedy: String,
    title: String,
    detail: String,
    when: String,
    emitted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobErrorRow {
    code: String,
    retryable: bool,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Problems {
    problem: Vec<ProblemRow>,
    job_error: Vec<JobErrorRow>,
}

fn problems() -> Problems {
    toml::from_str(spec::PROBLEMS).unwrap()
}

#[test]
fn the_enum_equals_the_problem_file() {
    let problems = problems();
    let file: Vec<_> = problems.problem.iter().map(|row| row.code.as_str()).collect();
    let ours: Vec<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(file, ours);
    for (row, code) in problems.problem.iter().zip(ProblemCode::ALL) {
        assert_eq!(
            (row.status, row.retryable, row.remedy.as_str(), row.title.as_str(), row.detail.as_str()),
            (code.status(), code.retryable(), code.remedy().as_str(), code.title(), code.detail()),
            "{code}"
        );
        assert_eq!(Remedy::from_name(&row.remedy), Some(code.remedy()));
        assert_eq!(ProblemCode::from_name(&row.code), Some(*code));
        assert!(!row.when.is_empty());
    }
    let file: Vec<_> = problems
        .job_error
        .iter()
        .map(|row| (row.code.as_str(), row.retryable, row.message.as_str()))
        .collect();
    let ours: Vec<_> =
        JobErrorCode::ALL.iter().map(|code| (code.as_str(), code.retryable(), code.message())).collect();
    assert_eq!(file, ours);
}

/// The lines of a Markdown table whose first cell is code.
fn table(document: &str) -> Vec<Vec<String>> {
    let row = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    document.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

fn section<'d>(document: &'d str, from: &str, to: &str) -> &'d str {
    let start = document.find(from).unwrap_or_else(|| panic!("no {from}"));
    let rest = &document[start..];
    &rest[..rest.find(to).unwrap_or_else(|| panic!("no {to}"))]
}

#[test]
fn the_documented_table_equals_the_problem_file() {
    let document = crate::common::text("docs/api.md");
    let problems = problems();
    let rows = table(section(&document, "## 7. Problems", "## 8. Retry"));
    let mark = |emitted: bool| if emitted { "" } else { " (reserved)" };
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let mut expected: Vec<Vec<String>> = problems
        .problem
        .iter()
        .map(|row| {
            let code = format!("`{}`{}", row.code, mark(row.emitted));
            let remedy = format!("`{}`", row.remedy);
            vec![code, row.status.to_string(), yes(row.retryable).to_owned(), remedy, row.when.clone()]
        })
        .collect();
    expected.extend(
        problems
            .job_error
            .iter()
            .map(|row| vec![format!("`{}`", row.code), yes(row.retryable).to_owned(), row.message.clone()]),
    );
    assert_eq!(rows, expected);
}

#[test]
fn documented_limits_are_the_limits() {
    let document = crate::common::text("docs/api.md");
    let rows = table(section(&document, "## 10. Limits", "## 11. Keys"));
    let limits = serde_json::to_value(Limits::default()).unwrap();
    let number = |text: &str| match text.split_once(' ') {
        Some((number, "MiB")) => number.parse::<u64>().unwrap() << 20,
        Some((number, "GiB")) => number.parse::<u64>().unwrap() << 30,
        _ => text.parse().unwrap(),
    };
    assert_eq!(rows.len(), limits.as_object().unwrap().len());
    for row in rows {
        assert_eq!(limits[row[0].trim_matches('`')], number(&row[1]), "{row:?}");
    }
}

/// What the test reads of the OpenAPI document: lines of its own YAML style.
struct Operation {
    path: String,
    method: String,
    codes: BTreeMap<u16, BTreeSet<String>>,
}

fn list(line: &str) -> BTreeSet<String> {
    let inner = line.split_once('[').unwrap().1.trim_end_matches(']');
    inner.split(',').map(|code| code.trim().to_owned()).collect()
}

/// The document with flow lists joined to one line.
fn unfolded() -> String {
    let mut text = String::new();
    let mut open = false;
    for line in spec::OPENAPI.lines() {
        if open {
            text.push(' ');
            text.push_str(line.trim());
        } else {
            text.push('\n');
            text.push_str(line);
        }
        if line.contains("codes") && line.contains('[') || open {
            open = !line.contains(']');
        }
    }
    text
}

fn operations(document: &str) -> Vec<Operation> {
    let (mut path, mut status) = (String::new(), 0);
    let mut operations: Vec<Operation> = Vec::new();
    for line in section(document, "\npaths:", "\ncomponents:").lines() {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim().trim_end_matches(':').trim_matches('\'');
        match indent {
            2 => path = key.to_owned(),
            4 => operations.push(Operation {
                path: path.clone(),
                method: key.to_owned(),
                codes: BTreeMap::new(),
            }),
            8 if key.parse::<u16>().is_ok() => status = key.parse().unwrap(),
            _ if key.starts_with("x-problem-codes") => {
                operations.last_mut().unwrap().codes.insert(status, list(key));
            }
            _ => {}
        }
    }
    operations
}

#[test]
fn openapi_lists_exactly_the_emitted_codes() {
    let document = unfolded();
    let top = |name: &str| list(document.lines().find(|line| line.starts_with(name)).unwrap());
    let (any, reserved) = (top("x-problem-codes:"), top("x-problem-codes-reserved:"));
    let operations = operations(&document);
    assert_eq!(operations.len(), 17);
    let mut listed = any.clone();
    for operation in &operations {
        assert!(
            matches!(operation.method.as_str(), "get" | "post" | "put" | "delete"),
            "{}",
            operation.method
        );
        for (status, codes) in &operation.codes {
            for code in codes {
                let known = ProblemCode::from_name(code).unwrap_or_else(|| panic!("{code}"));
                assert_eq!(known.status(), *status, "{} {code}", operation.path);
            }
            listed.extend(codes.iter().cloned());
        }
        // Whatever else it does, an operation checks the version it is asked for and may fail.
        assert!(operation.codes[&400].contains("UNSUPPORTED_API_VERSION"), "{}", operation.path);
        assert!(operation.codes[&500].contains("INTERNAL_ERROR"), "{}", operation.path);
    }
    let rows = problems().problem;
    let with = |emitted: bool| -> BTreeSet<String> {
        rows.iter().filter(|row| row.emitted == emitted).map(|row| row.code.clone()).collect()
    };
    assert_eq!(listed, with(true));
    assert_eq!(reserved, with(false));
}

/// The sources that answer requests: the server's, and this crate's but for the table itself.
fn answering_sources() -> String {
    let mut text = String::new();
    for folder in ["crates/server/src", "crates/protocol/src"] {
        crate::common::sources(&crate::common::root().join(folder), &mut text);
    }
    text
}

#[test]
fn emitted_codes_are_answered_and_reserved_ones_are_not() {
    let sources = answering_sources();
    for row in problems().problem {
        let code = ProblemCode::from_name(&row.code).unwrap();
        let named = sources.contains(&format!("ProblemCode::{code:?}"));
        // The table names every variant without its enum, so only a use counts.
        assert!(named || !row.emitted, "{code} is emitted, but nothing answers it");
        if !row.emitted {
            let mut server = String::new();
            crate::common::sources(&crate::common::root().join("crates/server/src"), &mut server);
            assert!(!server.contains(&format!("ProblemCode::{code:?}")), "{code} is reserved, but answered");
        }
    }
}
