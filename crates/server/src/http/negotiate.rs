//! What request headers ask for: media types, waiting, conditions, ranges.

use std::ops::RangeInclusive;

use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use hei_protocol::messages::BodyFormat;

/// The request's media type, when it is one of ours, in UTF-8 and without any content coding.
pub(crate) fn request_format(headers: &HeaderMap) -> Option<BodyFormat> {
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|value| value.is_empty());
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None, true) = (types.next(), types.next(), plain) else { return None };
    let mut parts = value.to_str().ok()?.split(';');
    let name = parts.next()?.trim();
    let media = match name {
        name if name.eq_ignore_ascii_case("application/json") => BodyFormat::Json,
        name if name.eq_ignore_ascii_case("application/cbor") => BodyFormat::Cbor,
        _ => return None,
    };
    for parameter in parts.map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        if !name.trim().eq_ignore_ascii_case("charset") || !value.eq_ignore_ascii_case("utf-8") {
            return None;
        }
    }
    Some(media)
}

/// The offered media type that `Accept` likes best; the first offer when there is no preference, `None` when none
/// is acceptable.
pub(crate) fn best<'a>(headers: &HeaderMap, offers: &[&'a str]) -> Option<&'a str> {
    let ranges: Vec<Range<'_>> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    if !headers.contains_key(ACCEPT) {
        return offers.first().copied();
    }
    let mut best: Option<(u16, &'a str)> = None;
    for offer in offers {
        let matching = ranges.iter().filter(|range| range.covers(offer));
        let Some(range) = matching.max_by_key(|range| range.specificity()) else { continue };
        if range.quality > 0 && best.is_none_or(|(quality, _)| range.quality > quality) {
            best = Some((range.quality, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// One media range of `Accept`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let mut quality = 1000;
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                let value: f32 = value.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value))?;
                quality = (value * 1000.0) as u16;
            }
        }
        Some(Self { kind, subtype, quality })
    }

    fn covers(&self, offer: &str) -> bool {
        let Some((kind, subtype)) = offer.split_once('/') else { return false };
        (self.kind == "*" && self.subtype == "*")
            || (self.kind.eq_ignore_ascii_case(kind)
                && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype)))
    }

    fn specificity(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

/// The seconds asked for by `Prefer: wait=N`. A preference that is not a number of seconds is no preference.
pub(crate) fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let prefer = HeaderName::from_static("prefer");
    headers
        .get_all(prefer)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| seconds(value.trim().trim_matches('"')))
}

/// A whole number of seconds; one too large for the type saturates.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Whether `If-None-Match` names this entity tag, so that the client already has the representation.
pub(crate) fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || opaque(tag) == opaque(etag))
}

/// An entity tag without its mark of weakness.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What `Range` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// Everything: several ranges, another unit, or no range at all.
    Whole,
    /// One range, first and last octet included.
    Part(RangeInclusive<usize>),
    /// One range beyond the end.
    Unsatisfiable,
}

/// The range that `Range: bytes=…` asks of `length` octets.
pub(crate) fn byte_range(value: &HeaderValue, length: usize) -> ByteRange {
    let number = |text: &str| Some(usize::try_from(seconds(text)?).unwrap_or(usize::MAX));
    let parts = value.to_str().ok().and_then(|text| text.strip_prefix("bytes=")?.trim().split_once('-'));
    let Some((first, last)) = parts else { return ByteRange::Whole };
    let end = length.saturating_sub(1);
    let (first, last) = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => (first, end),
        (Some(first), Some(last)) if first <= last => (first, last.min(end)),
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => return ByteRange::Unsatisfiable,
            suffix => (length.saturating_sub(suffix), end),
        },
        _ => return ByteRange::Whole,
    };
    if first >= length { ByteRange::Unsatisfiable } else { ByteRange::Part(first..=last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_our_media_types_in_utf_8_without_coding_are_read() {
        let media = |value| request_format(&headers(&[("content-type", value)]));
        assert_eq!(media("application/json"), Some(BodyFormat::Json));
        assert_eq!(media("Application/JSON; charset=UTF-8"), Some(BodyFormat::Json));
        assert_eq!(media("application/json; charset=\"utf-8\""), Some(BodyFormat::Json));
        assert_eq!(media("application/cbor"), Some(BodyFormat::Cbor));
        for bad in ["text/plain", "application/json; charset=utf-16", "application/json; x=1", "", "json"] {
            assert_eq!(media(bad), None, "{bad}");
        }
        assert_eq!(request_format(&HeaderMap::new()), None);
        let coded = headers(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
        assert_eq!(request_format(&coded), None);
        let two = headers(&[("content-type", "application/json"), ("content-type", "application/cbor")]);
        assert_eq!(request_format(&two), None);
    }

    #[test]
    fn accept_chooses_by_quality_then_by_our_order() {
        let offers = ["application/json", "application/cbor"];
        let chosen = |value: &str| best(&headers(&[("accept", value)]), &offers);
        assert_eq!(best(&HeaderMap::new(), &offers), Some("application/json"));
        assert_eq!(chosen("*/*"), Some("application/json"));
        assert_eq!(chosen("application/cbor"), Some("application/cbor"));
        assert_eq!(chosen("application/json;q=0.5, application/cbor"), Some("application/cbor"));
        assert_eq!(chosen("application/*, application/json;q=0"), Some("application/cbor"));
        assert_eq!(chosen("text/html"), None);
        assert_eq!(chosen(""), None);
        assert_eq!(chosen("text/html, */*;q=0.1"), Some("application/json"));
    }

    #[test]
    fn a_wait_is_a_whole_number_of_seconds() {
        let wait = |value: &str| preferred_wait(&headers(&[("prefer", value)]));
        assert_eq!(wait("wait=5"), Some(5));
        assert_eq!(wait("respond-async, wait=10"), Some(10));
        assert_eq!(wait("Wait = 0"), Some(0));
        assert_eq!(wait("wait=99999999999999999999999"), Some(u64::MAX));
        for bad in ["wait=-1", "wait=1.5", "wait", "wait=", "waiting=3"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }

    #[test]
    fn entity_tags_match_weakly() {
        let condition = headers(&[("if-none-match", "\"a\", W/\"b\"")]);
        assert!(none_match(&condition, "\"a\""));
        assert!(none_match(&condition, "\"b\""));
        assert!(none_match(&condition, "W/\"a\"") && none_match(&condition, "W/\"b\""));
        assert!(!none_match(&condition, "\"c\""));
        assert!(none_match(&headers(&[("if-none-match", "*")]), "\"c\""));
    }

    #[test]
    fn byte_ranges_resolve_against_the_length() {
        let range = |text: &'static str| byte_range(&HeaderValue::from_static(text), 10);
        assert_eq!(range("bytes=0-0"), ByteRange::Part(0..=0));
        assert_eq!(range("bytes=3-"), ByteRange::Part(3..=9));
        assert_eq!(range("bytes=3-99"), ByteRange::Part(3..=9));
        assert_eq!(range("bytes=-4"), ByteRange::Part(6..=9));
        assert_eq!(range("bytes=-40"), ByteRange::Part(0..=9));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(range(beyond), ByteRange::Unsatisfiable, "{beyond}");
        }
        for whole in ["bytes=5-3", "bytes=0-1,3-4", "items=0-1", "bytes=-", "bytes=0-1x", "bytes=x-1"] {
            assert_eq!(range(whole), ByteRange::Whole, "{whole}");
        }
    }
}
