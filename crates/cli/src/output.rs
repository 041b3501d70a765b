//! Answers on standard output, progress on standard error.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

/// Writes an answer and flushes it. A closed pipe is an error the caller can recognize, not a panic.
pub(crate) fn answer(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes an answer as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> std::io::Result<()> {
    let text = serde_json::to_string(value).map_err(std::io::Error::other)?;
    answer(&text)
}

/// Tells a person what is happening. Nobody listening is not an error.
pub(crate) fn progress(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Bytes for people: `156 B`, `8.7 KB`, `2.0 MB` (powers of ten, as sizes on a network are).
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=999_999 => format!("{:.1} KB", count as f64 / 1e3),
        _ => format!("{:.2} MB", count as f64 / 1e6),
    }
}

/// Text from outside, safe for a terminal: control and format characters become spaces, and it is cut.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    let printable =
        |c: char| if c.is_alphanumeric() || (c.is_ascii() && !c.is_ascii_control()) { c } else { ' ' };
    let mut out: String = text.chars().take(limit).map(printable).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

/// Milliseconds with microsecond resolution.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Columns of text, right-aligned where a cell starts like a number.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut width: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (w, cell) in width.iter_mut().zip(row) {
            *w = (*w).max(cell.chars().count());
        }
    }
    let numeric = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>, right: &dyn Fn(usize) -> bool| {
        let mut text = String::new();
        for (column, (cell, w)) in cells.zip(&width).enumerate() {
            if column > 0 {
                text.push_str("  ");
            }
            let pad = " ".repeat(w.saturating_sub(cell.chars().count()));
            if right(column) {
                text.push_str(&pad);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.push_str(&pad);
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    let right = |column: usize| rows.first().and_then(|r| r.get(column)).is_some_and(|c| numeric(c));
    line(&mut header.iter().copied(), &right);
    for row in rows {
        line(&mut row.iter().map(String::as_str), &right);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_numbers_right_and_words_left() {
        let text = table(&["name", "n"], &[vec!["a".into(), "5".into()], vec!["long".into(), "123".into()]]);
        assert_eq!(text, "name    n\na       5\nlong  123\n");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(156), "156 B");
        assert_eq!(bytes(9_999), "9999 B");
        assert_eq!(bytes(12_345), "12.3 KB");
        assert_eq!(bytes(1_966_080), "1.97 MB");
    }
}
