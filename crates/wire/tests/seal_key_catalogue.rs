//! The part of the adversarial catalogue that is about evaluation keys: SEAL streams.

mod common;

use std::sync::Arc;

use common::frames::{Frame, object};
use common::{N1024, context, file, small_context};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Context, EvaluationKeys, KeyManifest, MissingKey, RelinKey, SecretKey};
use hei_ring::GaloisElement;
use hei_wire::DecodeError::{Incompatible as I, Invalid as V, Policy as P, SecretKey as SECRET};
use hei_wire::Incompatible::{Level, Params};
use hei_wire::Reason::{
    BadMagic, BadScale, BadVersion, CoefficientOutOfRange, LengthMismatch, NonCanonical, TrailingBytes,
    Truncated, WrongKind,
};
use hei_wire::{
    DecodeError, EncodeError, Format, KeyError, KeyShape, Policy, decode_evaluation_keys, inspect, seal,
};
use miniz_oxide::deflate::compress_to_vec_zlib;

const N: usize = 1024;
const DIGITS: usize = 3;
/// Octets of one digit as SEAL 4.1 writes it.
const FULL: usize = 113 + 2 * 4 * N * 8;
const SEEDED: usize = 113 + 4 * N * 8 + 81;
/// Where the first digit of relinearization keys starts.
const FIRST: usize = 64;

/// Offsets in a digit.
mod at {
    pub(crate) const PARMS: usize = 16;
    pub(crate) const NTT: usize = 48;
    pub(crate) const SIZE: usize = 49;
    pub(crate) const DEGREE: usize = 57;
    pub(crate) const PRIMES: usize = 65;
    pub(crate) const SCALE: usize = 73;
    pub(crate) const CORRECTION: usize = 81;
    pub(crate) const ARRAY: usize = 89;
    pub(crate) const COUNT: usize = 105;
    pub(crate) const WORDS: usize = 113;
}

struct Bench {
    context: Arc<Context>,
    relin: Vec<u8>,
    seeded: Vec<u8>,
    galois: Vec<u8>,
}

fn bench() -> Bench {
    let files = ["relin_none.bin", "relin_seeded_none.bin", "rot_1_m1_4_none.bin"];
    let [relin, seeded, galois] = files.map(|name| file(N1024, name));
    assert_eq!((relin.len(), seeded.len()), (FIRST + DIGITS * FULL, FIRST + DIGITS * SEEDED));
    Bench { context: context(N1024), relin, seeded, galois }
}

fn put<const N: usize>(bytes: &[u8], at: usize, value: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + N].copy_from_slice(&value);
    bytes
}

/// The size in the outer header made true.
fn sized(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = bytes.len() as u64;
    bytes[8..16].copy_from_slice(&size.to_le_bytes());
    bytes
}

fn rotation(step: i64) -> GaloisElement {
    GaloisElement::rotation(step, N)
}

fn relin(bytes: &[u8], context: &Context) -> Option<KeyError> {
    seal::decode_relin_keys(bytes, context).err()
}

fn galois(bytes: &[u8], context: &Context, steps: &[i64]) -> Option<KeyError> {
    let elements: Vec<_> = steps.iter().map(|step| rotation(*step)).collect();
    seal::decode_galois_keys(bytes, context, &elements).err()
}

fn bytes(error: DecodeError) -> Option<KeyError> {
    Some(KeyError::Bytes(error))
}

/// The offset of the slot of a step in the Galois keys of the bench: of its count of digits.
fn slot_of(galois: &[u8], step: i64) -> usize {
    let wanted = rotation(step).value() / 2;
    let mut at = 56;
    for _ in 0..wanted {
        at += 8 + galois[at] as usize * FULL;
    }
    assert_eq!(galois[at], DIGITS as u8);
    at
}

/// KY-02: cut at each section, extended, lying sizes.
#[test]
fn lengths() {
    let b = bench();
    for stream in [&b.relin, &b.seeded] {
        let sections =
            (1..FIRST + at::WORDS).chain((200..stream.len()).step_by(1999)).chain([stream.len() - 1]);
        for length in sections {
            assert_eq!(relin(&stream[..length], &b.context), bytes(V(Truncated)), "{length}");
        }
        assert_eq!(relin(&[], &b.context), bytes(V(LengthMismatch)));
        assert_eq!(relin(&[stream.as_slice(), &[0]].concat(), &b.context), bytes(V(TrailingBytes)));
        for size in [0, 15, 16, stream.len() as u64 - 1, stream.len() as u64 + 1, 1 << 40, 1 << 63] {
            let lie = put(stream, 8, size.to_le_bytes());
            let expected = if size == stream.len() as u64 - 1 {
                TrailingBytes
            } else if size == stream.len() as u64 + 1 {
                Truncated
            } else {
                LengthMismatch
            };
            assert_eq!(relin(&lie, &b.context), bytes(V(expected)), "{size}");
        }
        for extra in [1, 8, 81, SEEDED, FULL] {
            let longer = sized([stream.as_slice(), &vec![0; extra]].concat());
            assert_eq!(relin(&longer, &b.context), bytes(V(LengthMismatch)), "{extra}");
        }
        let shorter = sized(stream[..stream.len() - 1].to_vec());
        assert_eq!(relin(&shorter, &b.context), bytes(V(LengthMismatch)));
    }
    let cut = sized(b.galois[..b.galois.len() - 8].to_vec());
    assert_eq!(galois(&cut, &b.context, &[1, -1, 4]), bytes(V(LengthMismatch)));
}

/// KY-03, KY-04, KY-05, KY-06: counts of digits and slots, whether or not the stream is as long as they say.
#[test]
fn counts() {
    let b = bench();
    for (stream, digit) in [(&b.relin, FULL), (&b.seeded, SEEDED)] {
        for digits in [0u64, 1, 2, 4, 1 << 40, u64::MAX] {
            let lie = put(stream, 56, digits.to_le_bytes());
            assert_eq!(relin(&lie, &b.context), bytes(V(LengthMismatch)), "{digits}");
        }
        // One digit less, or more, and everything else in order.
        let fewer = sized(put(&stream[..stream.len() - digit], 56, 2u64.to_le_bytes()));
        assert_eq!(relin(&fewer, &b.context), bytes(V(LengthMismatch)));
        let more = [stream.as_slice(), &stream[FIRST..FIRST + digit]].concat();
        let more = sized(put(&more, 56, 4u64.to_le_bytes()));
        assert_eq!(relin(&more, &b.context), bytes(V(LengthMismatch)));
        // No digits at all.
        let none = sized(put(&stream[..FIRST], 56, 0u64.to_le_bytes()));
        assert_eq!(relin(&none, &b.context), bytes(V(LengthMismatch)));
        for slots in [0u64, 2, 16, N as u64 - 1, N as u64 + 1, 1 << 40, u64::MAX] {
            let lie = put(stream, 48, slots.to_le_bytes());
            assert_eq!(relin(&lie, &b.context), bytes(V(LengthMismatch)), "{slots}");
        }
        // KY-06: fifteen empty slots behind the key.
        let padded = sized(put(&[stream.as_slice(), &[0; 15 * 8]].concat(), 48, 16u64.to_le_bytes()));
        assert_eq!(relin(&padded, &b.context), bytes(V(LengthMismatch)));
    }
    for slots in [0u64, 2, N as u64 - 1, N as u64 + 1, 1 << 40, 1 << 61, u64::MAX] {
        let lie = put(&b.galois, 48, slots.to_le_bytes());
        assert_eq!(galois(&lie, &b.context, &[1, -1, 4]), bytes(V(LengthMismatch)), "{slots}");
    }
    let slot = slot_of(&b.galois, 1);
    for digits in [1u64, 2, 4, 1 << 61, u64::MAX] {
        let lie = put(&b.galois, slot, digits.to_le_bytes());
        assert_eq!(galois(&lie, &b.context, &[1, -1, 4]), bytes(V(LengthMismatch)), "{digits}");
    }
    // Two of three digits in one slot: what crashes the relinearization of older SEALs.
    let mut two = put(&b.galois, slot, 2u64.to_le_bytes());
    two.drain(slot + 8..slot + 8 + FULL);
    assert_eq!(galois(&sized(two), &b.context, &[1, -1, 4]), bytes(V(LengthMismatch)));
}

/// KY-07, KY-09 and every member of a digit.
#[test]
fn members_of_digits() {
    let b = bench();
    let chain: Vec<u64> = b.context.basis().moduli().map(|q| q.value()).collect();
    let level = |primes: usize| seal::parms_id(N as u64, &chain[..primes]);
    for digit in 0..DIGITS {
        let start = FIRST + digit * FULL;
        let with = |offset: usize, value: &[u8]| {
            let mut stream = b.relin.clone();
            stream[start + offset..][..value.len()].copy_from_slice(value);
            stream
        };
        let word = |offset: usize, value: u64| with(offset, &value.to_le_bytes());
        let scale = |value: f64| with(at::SCALE, &value.to_le_bytes());
        let table: Vec<(&str, Vec<u8>, DecodeError)> = vec![
            ("nested magic", with(0, &[0]), V(NonCanonical)),
            ("nested header size", with(2, &[0x11]), V(NonCanonical)),
            ("nested 3.4 header", with(2, &[0]), V(BadVersion)),
            ("nested version", with(3, &[3, 7]), V(BadVersion)),
            ("nested version 4.5", with(3, &[4, 5]), V(BadVersion)),
            ("nested compression", with(5, &[2]), V(NonCanonical)),
            ("nested reserved", with(6, &[1]), V(NonCanonical)),
            ("nested size 0", word(8, 0), V(LengthMismatch)),
            ("nested size - 1", word(8, FULL as u64 - 1), V(LengthMismatch)),
            ("nested size 2^60", word(8, 1 << 60), V(LengthMismatch)),
            ("all three data primes", with(at::PARMS, &level(3)), V(NonCanonical)),
            ("one prime", with(at::PARMS, &level(1)), V(NonCanonical)),
            ("unknown parms_id", with(at::PARMS, &[7; 32]), V(NonCanonical)),
            ("coefficient form", with(at::NTT, &[0]), V(NonCanonical)),
            ("NTT octet 2", with(at::NTT, &[2]), V(NonCanonical)),
            ("no polynomials", word(at::SIZE, 0), V(NonCanonical)),
            ("one polynomial", word(at::SIZE, 1), V(NonCanonical)),
            ("three polynomials", word(at::SIZE, 3), V(NonCanonical)),
            ("2^60 polynomials", word(at::SIZE, 1 << 60), V(NonCanonical)),
            ("degree 2048", word(at::DEGREE, 2048), V(NonCanonical)),
            ("degree 3", word(at::DEGREE, 3), V(NonCanonical)),
            ("three primes", word(at::PRIMES, 3), V(NonCanonical)),
            ("five primes", word(at::PRIMES, 5), V(NonCanonical)),
            ("scale 2^40", scale(f64::exp2(40.0)), V(NonCanonical)),
            ("scale 1 + 2^-52", scale(1.0 + f64::EPSILON), V(NonCanonical)),
            ("scale NaN", scale(f64::NAN), V(BadScale)),
            ("scale -1", scale(-1.0), V(BadScale)),
            ("scale 0", scale(0.0), V(BadScale)),
            ("correction factor 0", word(at::CORRECTION, 0), V(NonCanonical)),
            ("correction factor 2", word(at::CORRECTION, 2), V(NonCanonical)),
            ("array compressed", with(at::ARRAY + 5, &[1]), V(NonCanonical)),
            ("array size", word(at::ARRAY + 8, 8), V(LengthMismatch)),
            ("count 0", word(at::COUNT, 0), V(LengthMismatch)),
            ("count + 1", word(at::COUNT, 2 * 4 * N as u64 + 1), V(LengthMismatch)),
            ("count 2^60", word(at::COUNT, 1 << 60), V(LengthMismatch)),
            ("count of a seeded digit", word(at::COUNT, 4 * N as u64), V(LengthMismatch)),
        ];
        for (name, stream, expected) in table {
            assert_eq!(relin(&stream, &b.context), bytes(expected), "digit {digit}: {name}");
        }
        // KY-08: a residue equal to its prime, in each limb of both polynomials; SEAL's own mark of a seed.
        for (limb, q) in chain.iter().chain(&chain).enumerate() {
            for i in [0, N - 1] {
                let offset = at::WORDS + (limb * N + i) * 8;
                for value in [*q, u64::MAX] {
                    let expected = bytes(V(CoefficientOutOfRange));
                    assert_eq!(relin(&word(offset, value), &b.context), expected, "limb {limb}");
                }
                assert_eq!(relin(&word(offset, q - 1), &b.context), None);
            }
        }
        // KY-16.
        for limb in 0..4 {
            let zeros = with(at::WORDS + (4 + limb) * N * 8, &vec![0; N * 8]);
            assert_eq!(relin(&zeros, &b.context), bytes(P(Policy::TransparentMask)), "limb {limb}");
        }
        let zeros = with(at::WORDS + 4 * N * 8, &vec![0; 4 * N * 8]);
        assert_eq!(relin(&zeros, &b.context), bytes(P(Policy::TransparentMask)));
    }
    // The generator of a seeded digit.
    for digit in 0..DIGITS {
        let info = FIRST + (digit + 1) * SEEDED - 81;
        for (offset, value, expected) in [
            (16, 0, NonCanonical),
            (16, 3, NonCanonical),
            (5, 1, NonCanonical),
            (4, 0, BadVersion),
            (8, 82, LengthMismatch),
        ] {
            let stream = put(&b.seeded, info + offset, [value]);
            assert_eq!(relin(&stream, &b.context), bytes(V(expected)), "offset {offset}");
        }
        assert_eq!(relin(&put(&b.seeded, info + 16, [2]), &b.context), None, "SHAKE256");
        assert_eq!(relin(&put(&b.seeded, info + 17, [0; 64]), &b.context), None, "a seed of zeros");
    }
    // One full digit among seeded ones, the length to match.
    let mixed = [&b.relin[..FIRST + FULL], &b.seeded[FIRST + SEEDED..]].concat();
    assert_eq!(relin(&sized(mixed), &b.context), bytes(V(LengthMismatch)));
    // Of Galois keys, where many lengths are possible, a mixture is refused by the nested header.
    let slot = slot_of(&b.galois, 1) + 8;
    let mixed =
        [&b.galois[..slot], &b.seeded[FIRST..FIRST + DIGITS * SEEDED], &b.galois[slot + DIGITS * FULL..]]
            .concat();
    assert_eq!(galois(&sized(mixed), &b.context, &[1, -1, 4]), bytes(V(LengthMismatch)));
}

/// KY-10, KY-11, KY-12: one slot is one element, so none is there twice; each has to be there, and no other.
#[test]
fn elements() {
    let b = bench();
    assert_eq!(galois(&b.galois, &b.context, &[1, -1, 4]), None);
    assert_eq!(galois(&b.galois, &b.context, &[4, 1, -1, 4]), None, "the caller's order does not matter");
    let level = b.context.max_level();
    let lack = |steps: &[i64]| {
        let mut elements: Vec<_> = steps.iter().map(|step| rotation(*step)).collect();
        elements.sort_unstable();
        elements.into_iter().map(|element| MissingKey::Galois { element, level }).collect::<Vec<_>>()
    };
    let wants_more = galois(&b.galois, &b.context, &[1, -1, 4, 2]);
    assert_eq!(wants_more, Some(KeyError::Manifest { missing: lack(&[2]), surplus: vec![] }));
    // A stream with more keys than wanted is longer than any that could be wanted.
    assert_eq!(galois(&b.galois, &b.context, &[1]), bytes(V(LengthMismatch)));
    // As long as wanted, with a key in the wrong slot.
    let others = galois(&b.galois, &b.context, &[1, -1, 8]);
    let Some(KeyError::Manifest { surplus, .. }) = others else { panic!("{others:?}") };
    assert!(surplus == vec![rotation(4).value()] || surplus == vec![rotation(-1).value()], "{surplus:?}");
    // The key moved to the slot of the identity.
    let slot = slot_of(&b.galois, 1);
    let mut moved = b.galois.clone();
    let key: Vec<u8> = moved.drain(slot..slot + 8 + DIGITS * FULL).collect();
    moved.splice(slot..slot, 0u64.to_le_bytes());
    moved.splice(56..64, key);
    let identity = Some(KeyError::Manifest { missing: vec![], surplus: vec![1] });
    assert_eq!(galois(&moved, &b.context, &[1, -1, 4]), identity);
    // All slots empty.
    let mut empty = b.galois[..56].to_vec();
    empty.extend(vec![0; 8 * N]);
    let empty = sized(empty);
    let all = Some(KeyError::Manifest { missing: lack(&[1, -1, 4]), surplus: vec![] });
    assert_eq!(galois(&empty, &b.context, &[1, -1, 4]), all);
    assert_eq!(galois(&empty, &b.context, &[]), None);
}

/// KY-13, KY-14, KY-17 and other objects where keys belong.
#[test]
fn other_objects() {
    let b = bench();
    assert_eq!(relin(&b.galois, &b.context), bytes(V(WrongKind)));
    assert_eq!(galois(&b.relin, &b.context, &[1, -1, 4]), bytes(V(WrongKind)));
    assert_eq!(galois(&b.seeded, &b.context, &[1]), bytes(V(WrongKind)));
    for name in ["sk_none.bin", "sk_zstd.bin"] {
        let secret = file(N1024, name);
        assert_eq!(relin(&secret, &b.context), bytes(SECRET), "{name}");
        assert_eq!(galois(&secret, &b.context, &[1, -1, 4]), bytes(SECRET), "{name}");
        let mut manifest = KeyManifest::new();
        for galois in [false, true] {
            manifest.need_relinearization(1);
            if galois {
                manifest.need_rotation(&b.context, 1, 1);
            }
            let shape = KeyShape::new(&b.context, &manifest);
            assert_eq!(decode_evaluation_keys(secret.clone(), &shape).err(), bytes(SECRET), "{name}");
        }
    }
    let start = file(N1024, "sk_none.bin")[..200].to_vec();
    assert_eq!(relin(&start, &b.context), bytes(SECRET), "recognized by its beginning");
    for name in ["ct_full_none.bin", "pk_none.bin", "pk_seeded_none.bin", "res_mul_size3.bin"] {
        assert_eq!(relin(&file(N1024, name), &b.context), bytes(V(WrongKind)), "{name}");
        assert_eq!(galois(&file(N1024, name), &b.context, &[1]), bytes(V(WrongKind)), "{name}");
    }
    let parameters = &file(N1024, "context_none.bin")[36..];
    assert_eq!(relin(parameters, &b.context), bytes(V(WrongKind)));
    assert_eq!(relin(b"hello, relinearize", &b.context), bytes(V(BadMagic)));
    let other = small_context(N, &[40, 30, 40], 1);
    assert_eq!(relin(&b.relin, &other), bytes(I(Params)));
    assert_eq!(relin(&b.relin, &small_context(N, &[40, 30, 30, 40, 40], 2)), bytes(I(Params)));
    let chain: Vec<u64> = b.context.basis().moduli().map(|q| q.value()).collect();
    let data = seal::parms_id(N as u64, &chain[..3]);
    assert_eq!(relin(&put(&b.relin, 16, data), &b.context), bytes(I(Level)));
    assert_eq!(relin(&put(&b.relin, 16, [0; 32]), &b.context), bytes(I(Params)));
    assert_eq!(relin(&put(&b.relin, 4, [5]), &b.context), bytes(V(BadVersion)));
    assert_eq!(relin(&put(&b.relin, 6, [1]), &b.context), bytes(V(NonCanonical)));
    assert_eq!(relin(&put(&b.relin, 5, [3]), &b.context), bytes(V(NonCanonical)));
}

/// Compressed by SEAL and by hand, honest and not.
#[test]
fn compression() {
    let b = bench();
    let members = &b.relin[16..];
    let plain = seal::decode_relin_keys(&b.relin, &b.context).unwrap();
    for stream in [
        object([4, 1], 1, &compress_to_vec_zlib(members, 6)),
        object([4, 1], 2, &Frame::stored(members).bytes()),
    ] {
        assert!(seal::decode_relin_keys(&stream, &b.context).unwrap() == plain);
    }
    let galois_members = &b.galois[16..];
    let stream = object([4, 1], 2, &Frame::stored(galois_members).bytes());
    assert_eq!(galois(&stream, &b.context, &[1, -1, 4]), None);
    let lying = |content: u64| {
        let frame = Frame { content: Some(content), ..Frame::stored(members) };
        object([4, 1], 2, &frame.bytes())
    };
    for content in [members.len() as u64 - 1, members.len() as u64 + 1, 0, 1 << 40] {
        assert_eq!(relin(&lying(content), &b.context), bytes(V(LengthMismatch)), "{content}");
    }
    let longer = [members, &[0; 8]].concat();
    let zstd = object([4, 1], 2, &Frame::stored(&longer).bytes());
    assert_eq!(relin(&zstd, &b.context), bytes(V(LengthMismatch)));
    let zlib = object([4, 1], 1, &compress_to_vec_zlib(&longer, 6));
    assert_eq!(relin(&zlib, &b.context), bytes(V(TrailingBytes)));
    let shorter = object([4, 1], 1, &compress_to_vec_zlib(&members[..members.len() - 8], 6));
    assert_eq!(relin(&shorter, &b.context), bytes(V(Truncated)));
}

/// What we write: lengths, both forms, both streams one behind the other.
#[test]
fn written_keys_come_back() {
    let context = small_context(1024, &[40, 30, 30, 40], 1);
    let mut randomness = SeededRandomness::new(6);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(2);
    manifest.need_rotation(&context, 3, 2);
    manifest.need_galois(GaloisElement::conjugation(N), 2);
    let shape = KeyShape::new(&context, &manifest);
    let keys = key.evaluation_keys(&manifest, &mut randomness).unwrap();
    let relin = keys.relinearization.as_ref().unwrap();
    let full = [
        seal::encode_relin_keys(relin, &context).unwrap(),
        seal::encode_galois_keys(&keys.galois, &context).unwrap(),
    ];
    let seeded = [
        seal::encode_relin_keys_seeded(relin, &key, &mut randomness).unwrap(),
        seal::encode_galois_keys_seeded(&keys.galois, &key, &mut randomness).unwrap(),
    ];
    for (streams, is_seeded) in [(&full, false), (&seeded, true)] {
        let both = streams.concat();
        assert_eq!(both.len() as u64, shape.encoded_len(Format::Seal, is_seeded));
        assert!(both.len() as u64 <= shape.max_encoded_len(Format::Seal));
        assert_eq!(inspect(&streams[0]).unwrap().kind, "key-switching-keys");
        let (format, back) = decode_evaluation_keys(both.clone(), &shape).unwrap();
        assert_eq!(format, Format::Seal);
        assert_eq!(manifest.missing(&back), []);
        // The error of every digit is small: re-masking kept what the key is.
        for original in [relin.0.clone(), keys.galois.key(rotation(3)).unwrap()] {
            let decoded = if original == relin.0 {
                back.relinearization.as_ref().unwrap().0.clone()
            } else {
                back.galois.key(rotation(3)).unwrap()
            };
            for (ours, theirs) in original.digits().iter().zip(decoded.digits()) {
                let phase = |(b, a): (&hei_ring::Poly<hei_ring::Ntt>, &hei_ring::Poly<hei_ring::Ntt>)| {
                    let mut phase = a.clone();
                    context.basis().mul_assign(&mut phase, key.ntt());
                    context.basis().add_assign(&mut phase, b);
                    phase
                };
                assert!(phase(ours.parts()) == phase(theirs.parts()), "the same message and error");
                assert_eq!(ours.parts().1 == theirs.parts().1, !is_seeded, "under another mask");
            }
        }
        // Order, and nothing between or behind.
        let swapped = [streams[1].as_slice(), &streams[0]].concat();
        assert!(decode_evaluation_keys(swapped, &shape).is_err());
        let padded = [both.as_slice(), &[0]].concat();
        assert_eq!(decode_evaluation_keys(padded, &shape).err(), bytes(V(TrailingBytes)));
        let cut = both[..streams[0].len()].to_vec();
        assert_eq!(decode_evaluation_keys(cut, &shape).err(), bytes(V(LengthMismatch)));
        let doubled = [both.as_slice(), &streams[0]].concat();
        assert_eq!(decode_evaluation_keys(doubled, &shape).err(), bytes(V(TrailingBytes)));
    }
    assert!(seeded[0].len() < full[0].len() * 51 / 100);
    // A server asks for levels; SEAL's keys are for all of them.
    let mut low = KeyManifest::new();
    low.need_relinearization(0);
    let low = KeyShape::new(&context, &low);
    let (_, back) = decode_evaluation_keys(full[0].clone(), &low).unwrap();
    assert_eq!(back.relinearization.unwrap().0.level(), 2);
    // And none can be written for a lower level, or with several special primes.
    let trimmed = RelinKey(relin.0.trimmed(&context, 1).unwrap());
    let refused = Err(EncodeError::TrimmedKey { level: 1, max: 2 });
    assert_eq!(seal::encode_relin_keys(&trimmed, &context), refused);
    assert_eq!(seal::encode_relin_keys_seeded(&trimmed, &key, &mut randomness), refused);
    let hybrid = small_context(1024, &[40, 30, 40, 40], 2);
    let key = SecretKey::generate(&hybrid, &mut randomness).unwrap();
    let relin = key.relin_key(&mut randomness).unwrap();
    assert_eq!(seal::encode_relin_keys(&relin, &hybrid), Err(EncodeError::SpecialPrimes(2)));
    let keys = EvaluationKeys { relinearization: Some(relin), ..Default::default() };
    assert!(hei_wire::hei::encode_evaluation_keys(&keys, &hybrid).is_ok());
}
