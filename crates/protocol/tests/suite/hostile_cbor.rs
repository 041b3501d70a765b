//! Bodies that are almost deterministic CBOR.

use std::borrow::Cow;

use hei_protocol::cbor::{CborWriteError, MAX_DEPTH, parse, write};
use hei_protocol::json::{MAX_VALUES, SyntaxError};
use hei_protocol::tree::{Number, Value};
use proptest::prelude::*;

fn refusal(body: &[u8]) -> SyntaxError {
    parse(body).map(|_| ()).expect_err("must be refused")
}

#[test]
fn refuses_cbor_outside_the_profile() {
    use SyntaxError::{DuplicateMember, InvalidUtf8, Malformed, NotDeterministic};
    let rows: &[(&str, &[u8], SyntaxError)] = &[
        ("nothing", b"", Malformed),
        ("indefinite bytes", b"\x5f\x41\x00\xff", NotDeterministic),
        ("indefinite text", b"\x7f\x61a\xff", NotDeterministic),
        ("indefinite array", b"\x9f\x01\xff", NotDeterministic),
        ("indefinite map", b"\xbf\x61a\x01\xff", NotDeterministic),
        ("a break alone", b"\xff", NotDeterministic),
        ("1 in two octets", b"\x18\x01", NotDeterministic),
        ("24 in three octets", b"\x19\x00\x18", NotDeterministic),
        ("1 in five octets", b"\x1a\x00\x00\x00\x01", NotDeterministic),
        ("1 in nine octets", b"\x1b\x00\x00\x00\x00\x00\x00\x00\x01", NotDeterministic),
        ("-1 in two octets", b"\x38\x00", NotDeterministic),
        ("a long text head", b"\x78\x01a", NotDeterministic),
        ("a long bytes head", b"\x58\x01\x00", NotDeterministic),
        ("a long array head", b"\x98\x01\x01", NotDeterministic),
        ("a long map head", b"\xb8\x01\x61a\x01", NotDeterministic),
        ("a tag", b"\xc0\x61a", NotDeterministic),
        ("a bignum", b"\xc2\x41\x01", NotDeterministic),
        ("half float 1.0", b"\xf9\x3c\x00", NotDeterministic),
        ("single float", b"\xfa\x3f\x80\x00\x00", NotDeterministic),
        ("double float", b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00", NotDeterministic),
        ("undefined", b"\xf7", NotDeterministic),
        ("a simple value", b"\xe0", NotDeterministic),
        ("a simple value in two octets", b"\xf8\xff", NotDeterministic),
        ("-2^64", b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", NotDeterministic),
        ("reserved info 28", b"\x1c", Malformed),
        ("a head cut short", b"\x1b\x00\x00", Malformed),
        ("two items", b"\x01\x01", Malformed),
        ("bytes cut short", b"\x42\x00", Malformed),
        ("bad utf-8", b"\x62\xc3\x28", InvalidUtf8),
        ("an integer key", b"\xa1\x01\x01", Malformed),
        ("a bytes key", b"\xa1\x41a\x01", Malformed),
        ("a key twice", b"\xa2\x61a\x01\x61a\x01", DuplicateMember),
        ("keys out of order", b"\xa2\x61b\x01\x61a\x01", DuplicateMember),
        ("a longer key first", b"\xa2\x62aa\x01\x61b\x01", DuplicateMember),
        ("a key without a value", b"\xa1\x61a", Malformed),
    ];
    for (what, body, expected) in rows {
        assert_eq!(refusal(body), *expected, "{what}");
    }
}

#[test]
fn refuses_announced_lengths_without_octets() {
    for major in [0x40_u8, 0x60, 0x80, 0xa0] {
        for length in [11_u64, 1 << 20, 1 << 32, 1 << 63, u64::MAX] {
            let mut body = vec![];
            match u32::try_from(length) {
                Ok(length) if length < 24 => body.push(major | length as u8),
                Ok(length) => {
                    body.push(major | 26);
                    body.extend(length.to_be_bytes());
                }
                Err(_) => {
                    body.push(major | 27);
                    body.extend(length.to_be_bytes());
                }
            }
            body.extend([0x01; 10]);
            assert_eq!(refusal(&body), SyntaxError::Malformed, "major {major:#x}, length {length}");
        }
    }
    // A million announced elements, none there.
    assert_eq!(refusal(b"\x9a\x00\x0f\x42\x40"), SyntaxError::Malformed);
}

#[test]
fn refuses_cbor_depth_beyond_the_bound() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x01]].concat();
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(refusal(&nested(MAX_DEPTH + 1)), SyntaxError::TooDeep);
    assert_eq!(refusal(&nested(1_000_000)), SyntaxError::TooDeep);
}

#[test]
fn refuses_more_values_than_a_tree_may_have() {
    let mut body = vec![0x9a];
    body.extend((MAX_VALUES as u32).to_be_bytes());
    body.extend(vec![0x01; MAX_VALUES]);
    assert_eq!(refusal(&body), SyntaxError::TooManyValues);
}

#[test]
fn integers_reach_both_ends() {
    for value in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let tree = Value::Number(Number::Unsigned(value));
        assert_eq!(parse(&write(&tree).unwrap()).unwrap(), tree);
    }
    for value in [-1, -24, -25, -256, -257, i64::MIN] {
        let tree = Value::Number(Number::Negative(value));
        assert_eq!(parse(&write(&tree).unwrap()).unwrap(), tree);
    }
}

#[test]
fn refuses_to_write_what_the_profile_lacks() {
    assert_eq!(write(&Value::Number(Number::Float(1.0))), Err(CborWriteError::Float));
    let twice = Value::object([("a", Value::Null), ("a", Value::Null)]);
    assert_eq!(write(&twice), Err(CborWriteError::DuplicateMember));
}

#[test]
fn payload_octets_are_borrowed() {
    let tree = Value::object([("payload", Value::Bytes(Cow::Owned(vec![7; 1 << 20])))]);
    let body = write(&tree).unwrap();
    let read = parse(&body).unwrap();
    let Some(Value::Bytes(Cow::Borrowed(octets))) = read.member("payload") else { panic!("not borrowed") };
    assert!(body.as_ptr_range().contains(&octets.as_ptr()));
}

fn values() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(|value| Value::Number(Number::Unsigned(value))),
        (i64::MIN..0).prop_map(|value| Value::Number(Number::Negative(value))),
        ".{0,40}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Bytes(Cow::Owned(bytes))),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..30).prop_map(Value::Array),
            proptest::collection::btree_map(".{0,6}", inner, 0..30).prop_map(|members| Value::Object(
                members.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect()
            )),
        ]
    })
}

/// Members in the order CBOR writes them.
fn sorted(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Array(elements) => Value::Array(elements.into_iter().map(sorted).collect()),
        Value::Object(mut members) => {
            members.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
            Value::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in values()) {
        let body = write(&value).unwrap();
        prop_assert_eq!(parse(&body).unwrap(), sorted(value));
    }

    #[test]
    fn accepted_octets_are_the_only_ones(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = parse(&body) {
            prop_assert_eq!(write(&value).unwrap(), body);
        }
    }

    #[test]
    fn one_changed_octet_is_refused_or_another_value(value in values(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut body = write(&value).unwrap();
        let at = at.index(body.len());
        body[at] ^= flip;
        if let Ok(read) = parse(&body) {
            prop_assert_eq!(write(&read).unwrap(), body);
        }
    }
}
