//! What a server says when it refuses, made safe to show.

use std::fmt;

use hei_protocol::problem::{ReceivedProblem, Remedy};

/// Text from a server: control characters and direction overrides are escaped, and it is cut at
/// [`ServerText::MAX_CHARS`], so that it can be printed on a terminal.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerText(String);

impl ServerText {
    /// The most characters that are kept.
    pub const MAX_CHARS: usize = 240;

    pub(super) fn new(text: &str) -> Self {
        let mut out = String::new();
        for (count, character) in text.chars().enumerate() {
            if count == Self::MAX_CHARS {
                out.push('…');
                break;
            }
            // Escapes of format characters (direction marks, zero width) as well as of controls.
            let format = matches!(u32::from(character),
                0xAD | 0x600..=0x605 | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
                | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE0FFF);
            if character.is_control() || format {
                out.extend(character.escape_unicode());
            } else {
                out.push(character);
            }
        }
        Self(out)
    }

    /// The text, safe to print.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Reads a refusal. Where no problem document came, a gateway probably answered: its statuses are worth a
/// retry.
pub(super) fn read(status: u16, body: &[u8]) -> ReceivedProblem {
    let mut problem = ReceivedProblem::from_json(status, body);
    if problem.code.is_empty() {
        problem.retryable |= matches!(status, 408 | 502 | 504);
    }
    problem
}

/// One line for a person: code, sentence, places, remedy, request id.
pub(super) fn describe(problem: &ReceivedProblem) -> String {
    let code = if problem.code.is_empty() { "no problem document" } else { &problem.code };
    let mut line = format!("{} ({})", ServerText::new(code), problem.status);
    let mut add = |before: &str, text: &str| {
        line.push_str(before);
        line.push_str(ServerText::new(text).as_str());
    };
    if !problem.detail.is_empty() {
        add(": ", &problem.detail);
    }
    if let Some(reason) = &problem.reason {
        add("; reason ", reason);
    }
    for (pointer, reason) in problem.errors.iter().take(8) {
        add("; at ", pointer);
        add(" ", reason);
    }
    if let Some(limit) = problem.limit {
        add("; limit ", &limit.to_string());
    }
    if let Some(remedy) = problem.remedy.filter(|remedy| *remedy != Remedy::None) {
        add("; remedy: ", &remedy.as_str().replace('_', " "));
    }
    if let Some(id) = &problem.request_id {
        add("; request id ", id);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_and_floods_are_defused() {
        let hostile = format!(
            r#"{{"code":"X\u001b[2J","detail":"\u001b]0;owned\u0007 \u202Eevil {}","retryable":true,
                "errors":[{{"pointer":"\u2066/x","reason":"\u009b31m"}}]}}"#,
            "A".repeat(1 << 20)
        );
        let shown = describe(&read(400, hostile.as_bytes()));
        let harmless = |c: char| !c.is_control() && !matches!(c, '\u{202E}' | '\u{2066}' | '\u{9b}');
        assert!(shown.chars().all(harmless), "{shown:?}");
        assert!(shown.chars().count() < 500);
        assert!(shown.contains("\\u{202e}evil"), "{shown}");
        assert_eq!(ServerText::new("a\u{1b}b").as_str(), "a\\u{1b}b");
    }

    #[test]
    fn facts_are_shown_on_one_line() {
        let body = br#"{"code":"INVALID_SCHEMA","status":400,"retryable":false,"remedy":"fix_request",
            "detail":"Invalid infer request","errors":[{"pointer":"/layout","reason":"enum"}],"request_id":"r1","new":1}"#;
        assert_eq!(
            describe(&read(400, body)),
            "INVALID_SCHEMA (400): Invalid infer request; at /layout enum; remedy: fix request; request id r1"
        );
    }

    #[test]
    fn a_body_that_is_no_problem_falls_back_to_the_status() {
        for body in [&b""[..], b"<html>", b"[1,2]", b"\xff\xfe"] {
            assert!(read(503, body).retryable);
            assert!(read(502, body).retryable);
            assert!(!read(500, body).retryable);
            assert_eq!(describe(&read(500, body)), "no problem document (500)");
        }
    }
}
