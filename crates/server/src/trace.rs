//! W3C trace context: whose larger undertaking a request is part of.

use std::fmt;

/// A valid `traceparent`. Of it the trace is kept: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace_id: [u8; 32],
}

impl TraceParent {
    /// Reads the header's value. One that is not valid is no trace, as the recommendation has it, and no error.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let rest = value.get(2..)?;
        let version = hex::<2>(value.get(..2)?)?;
        // A later version may have more after the flags; version 0 has not, and ff is none.
        let length_fits = value.len() == 55 || (version != *b"00" && value.get(55) == Some(&b'-'));
        if !length_fits || version == *b"ff" {
            return None;
        }
        let dashes = [0, 33, 50].iter().all(|at| rest.get(*at) == Some(&b'-'));
        let trace_id = hex::<32>(rest.get(1..33)?)?;
        let parent_id = hex::<16>(rest.get(34..50)?)?;
        hex::<2>(rest.get(51..53)?)?;
        let zero = |id: &[u8]| id.iter().all(|digit| *digit == b'0');
        let valid = dashes && !zero(&trace_id) && !zero(&parent_id);
        valid.then_some(Self { trace_id })
    }

    /// The one `traceparent` of a request. Several are none.
    pub(crate) fn of(headers: &axum::http::HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let first = values.next()?;
        values.next().is_none().then(|| Self::parse(first.as_bytes()))?
    }

    /// The trace, 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.trace_id).unwrap_or_default()
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.trace_id())
    }
}

/// So many lowercase hexadecimal digits.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits: [u8; N] = text.try_into().ok()?;
    digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(digits)
}

/// The trace of a log line: its id, or a dash.
pub(crate) fn shown(trace: Option<&TraceParent>) -> &str {
    trace.map_or("-", TraceParent::trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_parents_are_read_and_all_others_are_none() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(valid.as_bytes()).unwrap();
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more";
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            "00".to_owned(),
            valid.to_uppercase(),
            format!("{valid}-more"),
            format!("{valid}x"),
            valid.replace("00-4b", "ff-4b"),
            valid.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros),
            valid.replace("00f067aa0ba902b7", "0000000000000000"),
            valid.replace('-', "_"),
            valid.replace("-01", "-0g"),
            valid[..54].to_owned(),
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
