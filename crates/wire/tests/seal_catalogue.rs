//! The adversarial catalogue for SEAL streams: every mutation with the exact refusal it must meet.

mod common;

use std::sync::Arc;

use common::frames::{self, Frame, hidden_run_blocks, object, run_blocks, stored_blocks};
use common::{N1024, context, file, small_context};
use hei_ckks::Context;
use hei_wire::DecodeError::{Incompatible as I, Invalid as V, Policy as P, SecretKey as SECRET};
use hei_wire::Incompatible::{Form, Level, Params, PolynomialCount, Scale};
use hei_wire::Policy::TransparentMask;
use hei_wire::Reason::{
    BadMagic, BadScale, BadVersion, CoefficientOutOfRange, LengthMismatch, NonCanonical, TrailingBytes,
    Truncated, WrongKind,
};
use hei_wire::{DecodeError, Format, Shape, decode_inputs, seal};
use miniz_oxide::deflate::compress_to_vec_zlib;

/// Offsets in a 4.x ciphertext.
const VERSION: usize = 3;
const COMPRESSION: usize = 5;
const RESERVED: usize = 6;
const SIZE: usize = 8;
const PARMS_ID: usize = 16;
const NTT: usize = 48;
const PARTS: usize = 49;
const DEGREE: usize = 57;
const PRIMES: usize = 65;
const SCALE: usize = 73;
const CORRECTION: usize = 81;
const ARRAY: usize = 89;
const COUNT: usize = 105;
const DATA: usize = 113;

struct Bench {
    context: Arc<Context>,
    shape: Shape,
    full: Vec<u8>,
    seeded: Vec<u8>,
}

fn bench() -> Bench {
    let context = context(N1024);
    let shape = Shape::ciphertext(&context, 2, context.scale());
    Bench {
        context,
        shape,
        full: file(N1024, "ct_full_none.bin"),
        seeded: file(N1024, "ct_small_seeded_none.bin"),
    }
}

fn put<const N: usize>(bytes: &[u8], at: usize, value: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + N].copy_from_slice(&value);
    bytes
}

fn put64(bytes: &[u8], at: usize, value: u64) -> Vec<u8> {
    put(bytes, at, value.to_le_bytes())
}

fn refusal(bytes: Vec<u8>, shape: &Shape) -> Option<DecodeError> {
    decode_inputs(vec![bytes], shape).err().map(|refused| refused.error)
}

#[track_caller]
fn refused(bytes: Vec<u8>, shape: &Shape, expected: DecodeError) {
    assert_eq!(refusal(bytes, shape), Some(expected));
}

#[track_caller]
fn accepted(bytes: Vec<u8>, shape: &Shape) {
    assert_eq!(refusal(bytes, shape), None);
}

/// The same object written by another version: the correction factor comes and goes with the major.
fn as_version(bytes: &[u8], version: [u8; 2], seeded: bool) -> Vec<u8> {
    let mut out = put(bytes, VERSION, version);
    out = put(&out, ARRAY + 3, version);
    if seeded {
        let info = out.len() - 81;
        out = put(&out, info + 3, version);
    }
    if version[0] == 3 {
        out.drain(CORRECTION..ARRAY);
        let size = out.len() as u64;
        out = put64(&out, SIZE, size);
    }
    out
}

/// SE-01, SE-02, SE-17.
#[test]
fn versions() {
    let b = bench();
    for (bytes, seeded) in [(&b.full, false), (&b.seeded, true)] {
        for version in [[3, 6], [3, 7], [4, 0], [4, 1], [4, 2], [4, 3], [4, 4]] {
            accepted(as_version(bytes, version, seeded), &b.shape);
        }
        for version in [[3, 3], [3, 4], [3, 5], [3, 8], [4, 5], [5, 0], [2, 9], [255, 255]] {
            refused(as_version(bytes, version, seeded), &b.shape, V(BadVersion));
        }
    }
    // The 3.4 layout: magic, zero, compression, 32-bit size.
    let mut old = vec![0x5e, 0xa1, 0, 0];
    old.extend((b.full.len() as u32).to_le_bytes());
    old.extend([0; 8]);
    old.extend(&b.full[16..]);
    refused(old, &b.shape, V(BadVersion));
    refused(put(&b.full, 2, [0x11]), &b.shape, V(NonCanonical));
}

/// SE-03, SE-04, SE-06, SE-07, SE-13, SE-14: headers and members.
#[test]
fn members() {
    let b = bench();
    let full = &b.full;
    let count = 3 * 1024u64;
    let info = b.seeded.len() - 81;
    let table: Vec<(&str, Vec<u8>, DecodeError)> = vec![
        ("magic", put(full, 0, *b"x"), V(BadMagic)),
        ("magic", put(full, 1, *b"x"), V(BadMagic)),
        ("nested version", put(full, ARRAY + 4, [0]), V(BadVersion)),
        ("nested version in the seed", put(&b.seeded, info + 4, [3]), V(BadVersion)),
        ("nested version unknown", put(full, ARRAY + 3, [9]), V(BadVersion)),
        ("nested magic", put(full, ARRAY, [0]), V(NonCanonical)),
        ("nested zlib", put(full, ARRAY + 5, [1]), V(NonCanonical)),
        ("nested zstd", put(full, ARRAY + 5, [2]), V(NonCanonical)),
        ("nested reserved", put(full, ARRAY + 6, [1]), V(NonCanonical)),
        ("nested size", put64(full, ARRAY + 8, 24 + 16 * count + 1), V(LengthMismatch)),
        ("nested size", put64(full, ARRAY + 8, u64::MAX), V(LengthMismatch)),
        ("compression 3", put(full, COMPRESSION, [3]), V(NonCanonical)),
        ("compression 255", put(full, COMPRESSION, [255]), V(NonCanonical)),
        ("compression not there: zlib", put(full, COMPRESSION, [1]), V(NonCanonical)),
        ("compression not there: zstd", put(full, COMPRESSION, [2]), V(NonCanonical)),
        ("reserved", put(full, RESERVED, [1]), V(NonCanonical)),
        ("reserved", put(full, RESERVED + 1, [0x80]), V(NonCanonical)),
        ("NTT 0", put(full, NTT, [0]), I(Form)),
        ("NTT 2", put(full, NTT, [2]), V(NonCanonical)),
        ("NTT 255", put(full, NTT, [255]), V(NonCanonical)),
        ("no polynomials", put64(full, PARTS, 0), V(NonCanonical)),
        ("polynomials 1", put64(full, PARTS, 1), I(PolynomialCount)),
        ("polynomials 3", put64(full, PARTS, 3), I(PolynomialCount)),
        ("seeded with polynomials 3", put64(&b.seeded, PARTS, 3), I(PolynomialCount)),
        ("polynomials 16", put64(full, PARTS, 16), I(PolynomialCount)),
        ("polynomials 17", put64(full, PARTS, 17), V(NonCanonical)),
        ("polynomials 2^63", put64(full, PARTS, 1 << 63), V(NonCanonical)),
        ("degree 0", put64(full, DEGREE, 0), V(NonCanonical)),
        ("degree 2048", put64(full, DEGREE, 2048), V(NonCanonical)),
        ("degree 2^63", put64(full, DEGREE, 1 << 63), V(NonCanonical)),
        ("primes 0", put64(full, PRIMES, 0), V(NonCanonical)),
        ("primes 2", put64(full, PRIMES, 2), V(NonCanonical)),
        ("primes 2^64 - 1", put64(full, PRIMES, u64::MAX), V(NonCanonical)),
        ("correction 0", put64(full, CORRECTION, 0), V(NonCanonical)),
        ("correction 2", put64(full, CORRECTION, 2), V(NonCanonical)),
        ("3.x layout in 4.1", put(&as_version(full, [3, 7], false), VERSION, [4, 1]), V(NonCanonical)),
        ("count 2^60", put64(full, COUNT, 1 << 60), V(LengthMismatch)),
        ("count 2^64 - 1", put64(full, COUNT, u64::MAX), V(LengthMismatch)),
        ("count + 1", put64(full, COUNT, 2 * count + 1), V(LengthMismatch)),
        ("count - 1", put64(full, COUNT, 2 * count - 1), V(LengthMismatch)),
        ("count 0", put64(full, COUNT, 0), V(LengthMismatch)),
        ("seeded count in a full object", put64(full, COUNT, count), V(LengthMismatch)),
        ("full count in a seeded object", put64(&b.seeded, COUNT, 2 * count), V(LengthMismatch)),
        ("unknown level", put(full, PARMS_ID, [0xa5; 32]), I(Params)),
        ("no level", put(full, PARMS_ID, [0; 32]), I(Params)),
        ("c_1[0] = 2^64 - 1", put64(full, DATA + 8 * 3 * 1024, u64::MAX), V(CoefficientOutOfRange)),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(refusal(bytes, &b.shape), Some(expected), "{name}");
    }
    refused(b.seeded, &b.shape.clone().unseeded(), I(Form));
    let other = small_context(1024, &[40, 30, 30, 39], 1);
    refused(b.full.clone(), &Shape::ciphertext(&other, 2, other.scale()), I(Params));
}

/// SE-05 and cuts.
#[test]
fn lengths() {
    let b = bench();
    for bytes in [&b.full, &b.seeded] {
        let length = bytes.len() as u64;
        for lie in [0, 15, 16, 17, length - 1, length + 1, 1 << 40, 1 << 63, u64::MAX] {
            refused(put64(bytes, SIZE, lie), &b.shape, V(LengthMismatch));
        }
        refused(Vec::new(), &b.shape, V(LengthMismatch));
        for cut in (1..200).chain((200..bytes.len()).step_by(1009)).chain([bytes.len() - 1]) {
            refused(bytes[..cut].to_vec(), &b.shape, V(Truncated));
        }
        refused([bytes.as_slice(), &[0]].concat(), &b.shape, V(TrailingBytes));
        let inside = [bytes.as_slice(), &[0]].concat();
        refused(put64(&inside, SIZE, length + 1), &b.shape, V(LengthMismatch));
    }
}

#[test]
fn scales_and_levels() {
    let b = bench();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -b.context.scale(), 0.0, -0.0, 5e-324] {
        refused(put(&b.full, SCALE, bad.to_le_bytes()), &b.shape, V(BadScale));
    }
    for other in [1e-300, 1e300, b.context.scale() * 2.0, b.context.scale() * (1.0 + f64::EPSILON)] {
        refused(put(&b.full, SCALE, other.to_le_bytes()), &b.shape, I(Scale));
    }
    refused(file(N1024, "res_modswitched.bin"), &b.shape, I(Level));
    refused(file(N1024, "logreg_out_pyfhel.bin"), &b.shape, I(Level));
    refused(b.full.clone(), &Shape::ciphertext(&b.context, 1, b.context.scale()), I(Level));
    refused(file(N1024, "res_mul_relin.bin"), &b.shape, I(Scale));
    refused(file(N1024, "res_mul_size3.bin"), &b.shape, I(PolynomialCount));
}

#[test]
fn residues_and_masks() {
    let b = bench();
    for part in 0..2 {
        for (limb, q) in b.context.data_moduli().enumerate() {
            for i in [0, 1023] {
                let word = DATA + 8 * ((part * 3 + limb) * 1024 + i);
                refused(put64(&b.full, word, q.value()), &b.shape, V(CoefficientOutOfRange));
                refused(put64(&b.full, word, u64::MAX), &b.shape, V(CoefficientOutOfRange));
                accepted(put64(&b.full, word, q.value() - 1), &b.shape);
            }
        }
    }
    let c1 = DATA + 8 * 3 * 1024;
    for limb in 0..3 {
        let mut bytes = b.full.clone();
        bytes[c1 + 8 * 1024 * limb..][..8 * 1024].fill(0);
        refused(bytes, &b.shape, P(TransparentMask));
    }
    let mut nothing = b.full.clone();
    nothing[DATA..].fill(0);
    refused(nothing, &b.shape, P(TransparentMask));
}

/// SE-15.
#[test]
fn generators() {
    let b = bench();
    let info = b.seeded.len() - 81;
    accepted(put(&b.seeded, info + 16, [2]), &b.shape);
    accepted(put(&b.seeded, info + 17, [0; 64]), &b.shape);
    for unknown in [0, 3, 255] {
        refused(put(&b.seeded, info + 16, [unknown]), &b.shape, V(NonCanonical));
    }
    refused(put64(&b.seeded, info + 8, 80), &b.shape, V(LengthMismatch));
    refused(put(&b.seeded, info + 5, [2]), &b.shape, V(NonCanonical));
}

/// SE-16, SE-18: other objects, in every compression.
#[test]
fn other_objects() {
    let b = bench();
    let version = [4, 1];
    refused(file(N1024, "sk_none.bin"), &b.shape, SECRET);
    refused(file(N1024, "sk_zstd.bin"), &b.shape, SECRET);
    let members = &file(N1024, "sk_none.bin")[16..];
    refused(object(version, 1, &compress_to_vec_zlib(members, 6)), &b.shape, SECRET);
    refused(object(version, 2, &Frame::stored(members).bytes()), &b.shape, SECRET);
    // Of other parameters: recognized by its scale of 1.
    let other = small_context(2048, &[40, 40, 40], 1);
    let mut randomness = hei_ckks::insecure_testing::SeededRandomness::new(5);
    let key = hei_ckks::SecretKey::generate(&other, &mut randomness).unwrap();
    refused(seal::encode_secret_key(&key, &other).unwrap().to_vec(), &b.shape, SECRET);

    for name in ["pk_none.bin", "pk_seeded_none.bin", "relin_none.bin", "relin_seeded_none.bin"] {
        refused(file(N1024, name), &b.shape, V(WrongKind));
    }
    for name in ["rot_1_m1_4_none.bin", "rot_1_seeded_none.bin", "pt_small_none.bin"] {
        refused(file(N1024, name), &b.shape, V(WrongKind));
    }
    refused(file(N1024, "context_none.bin")[36..].to_vec(), &b.shape, V(WrongKind));
    refused(file(N1024, "context_none.bin"), &b.shape, V(BadMagic));
    refused(file(N1024, "context_zstd.bin"), &b.shape, V(BadMagic));
    // A TenSEAL vector: protobuf, field 1 packed sizes, field 2 the ciphertext.
    refused([&[0x0a, 1, 8, 0x12, 0xf1, 0x80, 3], b.full.as_slice()].concat(), &b.shape, V(BadMagic));
    // Content of no legal length is not decompressed at all.
    refused(file(N1024, "pk_zstd.bin"), &b.shape, V(LengthMismatch));
}

/// SE-08, SE-09, SE-10, SE-12 (the memory they take is measured in `memory.rs`).
#[test]
fn zstd_frames() {
    let b = bench();
    let version = [4, 1];
    let members = &b.full[16..];
    let frame = Frame::stored(members);
    let zstd = |frame: &Frame| object(version, 2, &frame.bytes());
    accepted(zstd(&frame), &b.shape);
    accepted(zstd(&Frame { window: None, ..frame.clone() }), &b.shape);
    accepted(zstd(&Frame::stored(&b.seeded[16..])), &b.shape);

    let length = members.len() as u64;
    let table: Vec<(&str, Frame, DecodeError)> = vec![
        ("no content size", Frame { content: None, ..frame.clone() }, V(NonCanonical)),
        ("content + 1", Frame { content: Some(length + 1), ..frame.clone() }, V(LengthMismatch)),
        ("content - 1", Frame { content: Some(length - 1), ..frame.clone() }, V(LengthMismatch)),
        ("content 2^63", Frame { content: Some(1 << 63), ..frame.clone() }, V(LengthMismatch)),
        ("checksum flag", Frame { flags: 4, ..frame.clone() }, V(NonCanonical)),
        ("reserved bit", Frame { flags: 8, ..frame.clone() }, V(NonCanonical)),
        ("unused bit", Frame { flags: 16, ..frame.clone() }, V(NonCanonical)),
        ("dictionary of one byte", Frame { flags: 1, ..frame.clone() }, V(NonCanonical)),
        ("dictionary of four bytes", Frame { flags: 3, ..frame.clone() }, V(NonCanonical)),
        ("window just above 2 MiB", Frame { window: Some(0x59), ..frame.clone() }, V(NonCanonical)),
        ("window 2^22", Frame { window: Some(0x60), ..frame.clone() }, V(NonCanonical)),
        ("window 2^31", Frame { window: Some(0xa8), ..frame.clone() }, V(NonCanonical)),
        ("largest window", Frame { window: Some(0xff), ..frame.clone() }, V(NonCanonical)),
        ("window too small for the blocks", Frame { window: Some(0), ..frame.clone() }, V(NonCanonical)),
    ];
    for (name, frame, expected) in table {
        assert_eq!(refusal(zstd(&frame), &b.shape), Some(expected), "{name}");
    }

    let tail = |extra: Vec<u8>| {
        let blocks = [stored_blocks(members, false), extra].concat();
        refusal(zstd(&Frame { blocks, ..frame.clone() }), &b.shape)
    };
    assert_eq!(tail(frames::block(0, 0, true)), None, "an empty last block");
    let start = |extra: Vec<u8>| {
        let blocks = [stored_blocks(&members[..97], false), extra].concat();
        let bytes = zstd(&Frame { blocks, ..frame.clone() });
        assert!((bytes.len() as u64) < b.shape.max_encoded_len(Format::Seal));
        refusal(bytes, &b.shape)
    };
    assert_eq!(start(run_blocks(4096)), Some(V(LengthMismatch)), "512 MiB of zeros, counted from headers");
    assert_eq!(start(hidden_run_blocks(4096, 128 << 10)), Some(V(TrailingBytes)), "512 MiB of zeros, hidden");
    assert_eq!(tail(hidden_run_blocks(1, (1 << 20) - 1)), Some(V(NonCanonical)), "a block of 1 MiB");
    assert_eq!(
        tail([frames::block(3, 1, true), vec![0]].concat()),
        Some(V(NonCanonical)),
        "a reserved block"
    );
    assert_eq!(tail(frames::block(0, 1 << 20, true)), Some(V(Truncated)), "a block that is not there");
    assert_eq!(tail(Vec::new()), Some(V(Truncated)), "no last block");
    assert_eq!(tail(frames::block(2, 0, true)), Some(V(NonCanonical)), "an empty compressed block");

    // One block short of the content.
    let blocks = stored_blocks(&members[..members.len() - 8], true);
    refused(zstd(&Frame { blocks, ..frame.clone() }), &b.shape, V(Truncated));
    // A bomb that is honest about its size.
    let honest = [members, &vec![0; 1 << 20]].concat();
    refused(zstd(&Frame::stored(&honest)), &b.shape, V(LengthMismatch));
    // What follows the frame, and what precedes it.
    let bytes = frame.bytes();
    refused(object(version, 2, &[bytes.as_slice(), &[0; 7]].concat()), &b.shape, V(TrailingBytes));
    refused(object(version, 2, &[bytes.as_slice(), &bytes].concat()), &b.shape, V(LengthMismatch));
    let small = Frame { content: Some(0), window: None, flags: 0, blocks: frames::block(0, 0, true) }.bytes();
    refused(object(version, 2, &[bytes.as_slice(), &small].concat()), &b.shape, V(TrailingBytes));
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    refused(object(version, 2, &[&skippable, bytes.as_slice()].concat()), &b.shape, V(NonCanonical));
    refused(object(version, 2, &[bytes.as_slice(), &skippable].concat()), &b.shape, V(TrailingBytes));

    // The outer size, and every cut.
    let whole = zstd(&frame);
    refused(put64(&whole, SIZE, whole.len() as u64 + 1), &b.shape, V(Truncated));
    refused(put64(&whole, SIZE, 1 << 40), &b.shape, V(LengthMismatch));
    refused([whole.as_slice(), &[0]].concat(), &b.shape, V(TrailingBytes));
    for cut in (17..80).chain((80..whole.len()).step_by(1009)) {
        refused(put64(&whole[..cut], SIZE, cut as u64), &b.shape, V(Truncated));
    }
    refused(object(version, 2, &[]), &b.shape, V(LengthMismatch));

    // 129 bytes that are sixteen polynomials of zeros, or a transparent ciphertext of the right shape.
    let zeros = |members: &[u8]| Frame {
        content: Some(members.len() as u64),
        window: Some(0x58),
        flags: 0,
        blocks: [
            stored_blocks(&members[..97], false),
            frames::block(1, members.len() as u32 - 97, true),
            vec![0],
        ]
        .concat(),
    };
    let mut transparent = members.to_vec();
    transparent[97..].fill(0);
    let bytes = zstd(&zeros(&transparent));
    assert!(bytes.len() < 160);
    refused(bytes, &b.shape, P(TransparentMask));
    let mut sixteen = transparent;
    sixteen[33] = 16;
    refused(zstd(&zeros(&sixteen)), &b.shape, I(PolynomialCount));
}

/// Members behind compression meet the same checks.
#[test]
fn compressed_members() {
    let b = bench();
    let wrap = |full: &[u8]| {
        let members = &full[16..];
        [
            object([4, 1], 1, &compress_to_vec_zlib(members, 1)),
            object([4, 1], 2, &Frame::stored(members).bytes()),
        ]
    };
    let table: Vec<(Vec<u8>, DecodeError)> = vec![
        (put(&b.full, NTT, [0]), I(Form)),
        (put(&b.full, NTT, [2]), V(NonCanonical)),
        (put(&b.full, PARMS_ID, [1; 32]), I(Params)),
        (put(&b.full, SCALE, 1f64.to_le_bytes()), I(Scale)),
        (put(&b.full, SCALE, f64::NAN.to_le_bytes()), V(BadScale)),
        (put64(&b.full, PARTS, 3), I(PolynomialCount)),
        (put64(&b.full, COUNT, u64::MAX), V(LengthMismatch)),
        (put64(&b.full, COUNT, 3 * 1024), V(LengthMismatch)),
        (put64(&b.full, ARRAY + 8, 24 + 8 * 3 * 1024), V(LengthMismatch)),
        (put(&b.full, ARRAY + 5, [2]), V(NonCanonical)),
        (put64(&b.full, DATA, u64::MAX), V(CoefficientOutOfRange)),
    ];
    for (i, (bytes, expected)) in table.into_iter().enumerate() {
        for compressed in wrap(&bytes) {
            assert_eq!(refusal(compressed, &b.shape), Some(expected), "row {i}");
        }
    }
}

/// SE-11.
#[test]
fn zlib_streams() {
    let b = bench();
    let members = &b.full[16..];
    let stream = compress_to_vec_zlib(members, 6);
    let zlib = |stream: &[u8]| object([4, 1], 1, stream);
    accepted(zlib(&stream), &b.shape);
    accepted(zlib(&compress_to_vec_zlib(members, 0)), &b.shape);
    let shorter_window = [&[0x18, 0x19], &compress_to_vec_zlib(members, 0)[2..]].concat();
    assert_eq!(u16::from_be_bytes([0x18, 0x19]) % 31, 0);
    accepted(zlib(&shorter_window), &b.shape);

    let last = stream.len() - 1;
    refused(zlib(&put(&stream, last, [stream[last] ^ 1])), &b.shape, V(NonCanonical));
    for preset_dictionary in [[0x78, 0x20], [0x78, 0xbb], [0x78, 0xf9]] {
        assert_eq!(u16::from_be_bytes(preset_dictionary) % 31, 0);
        refused(zlib(&put(&stream, 0, preset_dictionary)), &b.shape, V(NonCanonical));
    }
    refused(zlib(&put(&stream, 0, [0x78, 0x9d])), &b.shape, V(NonCanonical));
    refused(zlib(&put(&stream, 0, [0x88, 0x1c])), &b.shape, V(NonCanonical));
    refused(zlib(&put(&stream, 0, [0x77, 0x85])), &b.shape, V(NonCanonical));
    refused(zlib(&[stream.as_slice(), &[0]].concat()), &b.shape, V(TrailingBytes));
    for cut in [2, 3, 50, 200, stream.len() / 2, stream.len() - 5, stream.len() - 4, last] {
        refused(zlib(&stream[..cut]), &b.shape, V(Truncated));
    }
    refused(zlib(&[0x78]), &b.shape, V(Truncated));
    let bomb = [members, vec![0; 4 << 20].as_slice()].concat();
    refused(zlib(&compress_to_vec_zlib(&bomb, 6)), &b.shape, V(TrailingBytes));
    // Stored blocks without content are bounded by the length of the stream, and that by the shape.
    let mut endless = vec![0x78, 0x01];
    endless.extend([0u8, 0, 0, 0xff, 0xff].repeat(20_000));
    assert!(zlib(&endless).len() as u64 > b.shape.max_encoded_len(Format::Seal));
    refused(zlib(&endless), &b.shape, V(LengthMismatch));
    endless.truncate(2 + 5 * 9000);
    refused(zlib(&endless), &b.shape, V(Truncated));
}
