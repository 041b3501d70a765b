//! Bodies that are almost JSON, or too much of it.

use hei_protocol::json::{MAX_DEPTH, MAX_VALUES, SyntaxError, parse, write};
use hei_protocol::tree::{Number, Value};

fn refusal(body: &[u8]) -> SyntaxError {
    parse(body).map(|_| ()).expect_err("must be refused")
}

#[test]
fn refuses_what_is_not_one_utf8_document() {
    for body in [
        &b""[..],
        b" ",
        b"{",
        b"{}{}",
        b"{} x",
        b"[1,]",
        b"{\"a\":1,}",
        b"'a'",
        b"{a:1}",
        b"\"a\nb\"",
        b"\"\0\"",
    ] {
        assert_eq!(refusal(body), SyntaxError::Malformed, "{body:?}");
    }
    assert_eq!(refusal(b"\xef\xbb\xbf{}"), SyntaxError::ByteOrderMark);
    for body in [&b"\"\xff\""[..], b"{\"\xc3\x28\":1}", b"\"\xed\xa0\x80\"", b"\"\xc0\x80\""] {
        assert_eq!(refusal(body), SyntaxError::InvalidUtf8, "{body:?}");
    }
    for body in
        [&br#""\ud800""#[..], br#""\udc00""#, br#""\ud800\u0041""#, br#""\ud800x""#, br#"{"\ud800":1}"#]
    {
        assert_eq!(refusal(body), SyntaxError::Malformed, "{body:?}");
    }
    assert_eq!(parse(br#""\ud83d\ude00""#), Ok(Value::from("\u{1f600}")));
}

#[test]
fn refuses_numbers_that_json_lacks() {
    for body in
        ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "+1", "01", "1.", ".5", "0x1", "1e", "--1"]
    {
        assert_eq!(refusal(body.as_bytes()), SyntaxError::Malformed, "{body}");
    }
}

#[test]
fn refuses_duplicate_members_at_every_level() {
    for body in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"a":3}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"[[{"b":1,"b":2}]]"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"":1,"":2}"#,
    ] {
        assert_eq!(refusal(body.as_bytes()), SyntaxError::DuplicateMember, "{body}");
    }
    assert!(parse(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
}

#[test]
fn refuses_depth_beyond_the_bound() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(refusal(nested(MAX_DEPTH + 1).as_bytes()), SyntaxError::TooDeep);
    assert_eq!(refusal("[".repeat(100_000).as_bytes()), SyntaxError::TooDeep);
    assert_eq!(refusal(r#"{"a":"#.repeat(100_000).as_bytes()), SyntaxError::TooDeep);
}

#[test]
fn refuses_too_many_values() {
    let array = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert!(parse(array(MAX_VALUES - 1).as_bytes()).is_ok());
    assert_eq!(refusal(array(MAX_VALUES).as_bytes()), SyntaxError::TooManyValues);
}

#[test]
fn many_members_are_checked_for_duplicates_in_reasonable_time() {
    let members = |count: usize| (0..count).map(|i| format!("\"m{i}\":1")).collect::<Vec<_>>().join(",");
    let body = format!("{{{},\"m5\":1}}", members(100_000));
    assert_eq!(refusal(body.as_bytes()), SyntaxError::DuplicateMember);
}

#[test]
fn accepts_integers_written_as_floats() {
    for body in ["1", "1.0", "1e0", "10e-1", "1.000"] {
        assert_eq!(parse(body.as_bytes()).unwrap().as_u64(), Some(1), "{body}");
    }
    assert_eq!(parse(b"-0").unwrap().as_u64(), Some(0));
    for body in ["1.5", "-1", "9007199254740993.0", "1e300", "true", "\"1\"", "null"] {
        assert_eq!(parse(body.as_bytes()).unwrap().as_u64(), None, "{body}");
    }
    assert_eq!(parse(b"18446744073709551615").unwrap().as_u64(), Some(u64::MAX));
    assert_eq!(parse(b"18446744073709551616").unwrap().as_u64(), None);
    assert_eq!(parse(b"9007199254740993").unwrap(), Value::Number(Number::Unsigned(9_007_199_254_740_993)));
}

#[test]
fn long_texts_are_borrowed_not_copied() {
    let body = format!(r#"{{"payload":"{}"}}"#, "ab".repeat(1 << 20));
    let tree = parse(body.as_bytes()).unwrap();
    let text = tree.member("payload").and_then(Value::as_text).unwrap();
    assert!(body.as_bytes().as_ptr_range().contains(&text.as_ptr()));
    assert_eq!(text.len(), 2 << 20);
    // What the schema sees is bounded.
    assert_eq!(tree.project()["payload"].as_str().unwrap().len(), hei_protocol::tree::LONG_TEXT);
}

#[test]
fn numbers_survive_writing_and_reading_bit_for_bit() {
    for value in
        [0.1, 1.0 / 3.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, -2.225_073_858_507_201e-308, 0.000429074]
    {
        let written = write(&Value::Number(Number::Float(value))).unwrap();
        let read = parse(&written).unwrap().as_f64().unwrap();
        assert_eq!(read.to_bits(), value.to_bits(), "{value}");
    }
    assert_eq!(write(&Value::Number(Number::Float(f64::NAN))), None);
}
