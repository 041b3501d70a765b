//! Hex and base64, strictly.

use hei_protocol::encoding::{
    Encoding, EncodingError, decode, encode, from_base64, from_hex, to_base64, to_hex,
};
use proptest::prelude::*;

#[test]
fn hex_is_strict() {
    assert_eq!(from_hex("00fFAb"), Ok(vec![0x00, 0xff, 0xab]));
    assert_eq!(from_hex(""), Ok(vec![]));
    assert_eq!(to_hex(&[0xAB, 0xCD]), "abcd");
    assert_eq!(from_hex("abc"), Err(EncodingError::OddLength));
    for text in ["0x00", "ab cd ", "ab\ncd\n", "abcg", "  ", "é", "ａｂ"] {
        let text = if text.len() % 2 == 0 { text.to_owned() } else { format!("{text}0") };
        assert_eq!(from_hex(&text), Err(EncodingError::InvalidHex), "{text:?}");
    }
    // One bad digit at every place of a text long enough for every SIMD width.
    let good = "0123456789abcdefABCDEF".repeat(12);
    for at in 0..good.len() {
        let mut bad = good.clone().into_bytes();
        bad[at] = b'g';
        assert_eq!(from_hex(std::str::from_utf8(&bad).unwrap()), Err(EncodingError::InvalidHex), "{at}");
    }
}

#[test]
fn base64_is_canonical() {
    assert_eq!(from_base64("aGVp"), Ok(b"hei".to_vec()));
    assert_eq!(from_base64("aGU="), Ok(b"he".to_vec()));
    assert_eq!(from_base64("aA=="), Ok(b"h".to_vec()));
    assert_eq!(from_base64(""), Ok(vec![]));
    let rows = [
        ("aGU", "no padding"),
        ("aA", "no padding"),
        ("aA=", "half the padding"),
        ("aGVp=", "padding too many"),
        ("aGVp====", "padding too many"),
        ("aB==", "trailing bits"),
        ("aGV=", "trailing bits"),
        ("aGV\n", "new line"),
        ("aGVp\n", "new line"),
        (" aGVp", "space"),
        ("aG Vp", "space"),
        ("-_-_", "the URL alphabet"),
        ("a=Vp", "padding inside"),
        ("====", "padding alone"),
        ("aA==aA==", "two texts"),
    ];
    for (text, what) in rows {
        assert_eq!(from_base64(text), Err(EncodingError::InvalidBase64), "{what}");
    }
}

#[test]
fn binary_is_no_text() {
    assert_eq!(decode(Encoding::Binary, "00"), Err(EncodingError::NotAllowed));
    assert_eq!(encode(Encoding::Binary, &[0]), None);
}

proptest! {
    #[test]
    fn texts_read_back(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        for encoding in [Encoding::Hex, Encoding::Base64] {
            let text = encode(encoding, &octets).unwrap();
            prop_assert_eq!(text.len() as u64, encoding.encoded_len(octets.len() as u64));
            prop_assert_eq!(decode(encoding, &text).unwrap(), octets.clone());
        }
        prop_assert_eq!(from_hex(&to_hex(&octets).to_ascii_uppercase()).unwrap(), octets);
    }

    #[test]
    fn accepted_base64_is_the_only_one(text in "[A-Za-z0-9+/=]{0,24}") {
        if let Ok(octets) = from_base64(&text) {
            prop_assert_eq!(to_base64(&octets), text);
        }
    }
}
