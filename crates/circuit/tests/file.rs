//! The model file under honest and hostile bytes.

mod common;

use common::*;
use hei_circuit::file::{self, FileError, ModelFile};
use hei_circuit::{Layout, Plan};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn model() -> ModelFile {
    let columns = Plan::new(small_columns(vec![0.25, -1.5, 0.0, -0.0], 0.5)).unwrap();
    let coefficients = Plan::new(logistic_coefficients(1024, 26, 20)).unwrap();
    ModelFile::new("{\"name\":\"é\"}".to_owned(), vec![coefficients, columns]).unwrap()
}

/// The bytes with their trailer computed again, as one who alters a file on purpose would.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len() - 32];
    [body, &Sha256::digest(body)[..]].concat()
}

#[test]
fn what_is_written_is_read_and_written_again() {
    let model = model();
    let bytes = model.encode();
    let read = ModelFile::decode(&bytes).unwrap();
    assert_eq!(read, model);
    assert_eq!(read.encode(), bytes);
    assert_eq!(read.plans().iter().map(Plan::layout).collect::<Vec<_>>(), Layout::ALL);
    assert_eq!(read.plan(Layout::Coefficients).unwrap().dimension(), 8);
    assert_eq!(file::digest(&bytes).unwrap(), Sha256::digest(&bytes[..bytes.len() - 32])[..]);
    assert_eq!(file::digest(b"HEIMODEL"), None);
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let bytes = model().encode();
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert!(ModelFile::decode(cut).is_err(), "{length}");
        if length >= 32 {
            assert!(ModelFile::decode(&sealed(cut)).is_err(), "{length}, with its own digest");
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(ModelFile::decode(&longer).is_err());
    let inserted = [&bytes[..bytes.len() - 32], &[0; 3], &bytes[bytes.len() - 32..]].concat();
    assert_eq!(ModelFile::decode(&sealed(&inserted)), Err(FileError::TrailingBytes(3)));
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = model().encode();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(ModelFile::decode(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn damage_is_named() {
    let bytes = model().encode();
    let with = |offset: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[offset] = byte;
        changed
    };
    assert_eq!(ModelFile::decode(&with(0, b'h')), Err(FileError::BadMagic));
    assert_eq!(ModelFile::decode(&with(8, 2)), Err(FileError::BadVersion(2)));
    assert_eq!(ModelFile::decode(&sealed(&with(11, 1))), Err(FileError::NonCanonical("the reserved byte")));
    assert!(matches!(ModelFile::decode(&with(10, 9)), Err(FileError::OutOfRange { actual: 9, .. })));
    assert!(matches!(ModelFile::decode(&with(15, 0xff)), Err(FileError::OutOfRange { .. })));
    assert_eq!(ModelFile::decode(&sealed(&with(16, 0xff))), Err(FileError::NotUtf8));
    let last = bytes.len() - 1;
    assert_eq!(ModelFile::decode(&with(last, bytes[last] ^ 1)), Err(FileError::DigestMismatch));
    // Two plans for one layout.
    let columns = Plan::new(small_columns(vec![0.25], 0.5)).unwrap();
    let twice = ModelFile::new(String::new(), vec![columns.clone(), columns]);
    assert_eq!(twice, Err(FileError::NonCanonical("the list of plans")));
    assert!(ModelFile::new(String::new(), vec![]).is_err());
    let long = " ".repeat(file::MAX_MANIFEST_BYTES + 1);
    let plan = Plan::new(small_columns(vec![0.25], 0.5)).unwrap();
    assert!(matches!(ModelFile::new(long, vec![plan]), Err(FileError::OutOfRange { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Altered on purpose, with a valid digest: refused, or read as exactly what it says.
    #[test]
    fn altered_files_never_panic_and_stay_canonical(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..4)) {
        let mut bytes = model().encode();
        let body = bytes.len() - 32;
        for (offset, byte) in changes {
            bytes[offset % body] = byte;
        }
        let bytes = sealed(&bytes);
        if let Ok(read) = ModelFile::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let framed = sealed(&[&b"HEIMODEL\x01\x00"[..], &noise, &[0; 32]].concat());
        prop_assert!(ModelFile::decode(&framed).is_err());
        prop_assert!(ModelFile::decode(&noise).is_err());
    }
}
