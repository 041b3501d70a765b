//! What a server says when it refuses, made safe to show.

use std::fmt;

use serde_json::Value;

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

/// A problem answer (RFC 9457), reduced to what a client acts on and a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code, for instance `UNKNOWN_MODEL`; `UNKNOWN` when the answer named none.
    pub code: String,
    /// Whether the same bytes may succeed later.
    pub retryable: bool,
    /// The announced remedy, for instance `refresh_models`.
    pub remedy: Option<String>,
    /// One sentence for a person.
    pub detail: ServerText,
    /// Where in the request, at most eight pointers with their reasons.
    pub errors: Vec<ServerText>,
    /// The id under which the operator finds this answer.
    pub request_id: Option<ServerText>,
}

impl Problem {
    /// Reads a problem body; anything unreadable falls back to what the status says.
    pub(super) fn parse(status: u16, body: &[u8]) -> Self {
        let tree: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |name: &str| tree.get(name).and_then(Value::as_str);
        let word = |name: &str| text(name).filter(|w| is_word(w)).map(str::to_owned);
        let nested = |name: &str| {
            tree.get("error").and_then(|e| e.get(name)).and_then(Value::as_str).filter(|w| is_word(w))
        };
        let errors = tree.get("errors").and_then(Value::as_array).map_or_else(Vec::new, |items| {
            let line = |item: &Value| {
                let part = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or("");
                ServerText::new(&format!("{} {}", part("pointer"), part("reason")))
            };
            items.iter().take(8).map(line).collect()
        });
        Self {
            status,
            code: word("code")
                .or_else(|| nested("code").map(str::to_owned))
                .unwrap_or_else(|| "UNKNOWN".to_owned()),
            retryable: tree
                .get("retryable")
                .and_then(Value::as_bool)
                .unwrap_or(matches!(status, 408 | 429 | 502 | 503 | 504)),
            remedy: word("remedy").filter(|remedy| remedy != "none"),
            detail: ServerText::new(text("detail").or_else(|| text("title")).unwrap_or("no explanation given")),
            errors,
            request_id: text("request_id").map(ServerText::new),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.detail)?;
        for error in &self.errors {
            write!(f, "; at {error}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "; remedy: {}", remedy.replace('_', " "))?;
        }
        if let Some(id) = &self.request_id {
            write!(f, "; request id {id}")?;
        }
        Ok(())
    }
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_and_floods_are_defused() {
        let hostile = format!(
            r#"{{"code":"X\u001b[2J","detail":"\u001b]0;owned\u0007 \u202Eevil {}","retryable":true}}"#,
            "A".repeat(1 << 20)
        );
        let problem = Problem::parse(400, hostile.as_bytes());
        assert_eq!(problem.code, "UNKNOWN");
        let shown = problem.to_string();
        assert!(shown.chars().all(|c| !c.is_control() && c != '\u{202E}'), "{shown:?}");
        assert!(shown.chars().count() < 400);
        assert!(shown.contains("\\u{1b}"));
    }

    #[test]
    fn facts_are_kept_and_unknown_members_ignored() {
        let body = br#"{"code":"INVALID_SCHEMA","status":400,"retryable":false,"remedy":"fix_request",
            "detail":"Invalid infer request","errors":[{"pointer":"/layout","reason":"enum"}],"request_id":"r1","new":1}"#;
        let problem = Problem::parse(400, body);
        assert_eq!(problem.code, "INVALID_SCHEMA");
        assert!(!problem.retryable);
        assert_eq!(problem.remedy.as_deref(), Some("fix_request"));
        assert_eq!(
            problem.to_string(),
            "INVALID_SCHEMA (400): Invalid infer request; at /layout enum; remedy: fix request; request id r1"
        );
    }

    #[test]
    fn a_body_that_is_no_problem_falls_back_to_the_status() {
        for body in [&b""[..], b"<html>", b"[1,2]", b"\xff\xfe"] {
            assert!(Problem::parse(503, body).retryable);
            assert!(!Problem::parse(500, body).retryable);
            assert_eq!(Problem::parse(500, body).code, "UNKNOWN");
        }
        let nested = Problem::parse(404, br#"{"error":{"code":"UNKNOWN_MODEL"}}"#);
        assert_eq!(nested.code, "UNKNOWN_MODEL");
    }
}
