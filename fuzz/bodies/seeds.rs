//! Valid containers that edits start from, and the contents of the committed corpora.

use std::sync::{Arc, OnceLock};

use hei_ckks::coefficients::{CoefficientCiphertext, IndexRange, IndexRanges};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Ciphertext, Context, Encoder, MaskSeed};
use hei_wire::{hei, seal};

use super::{context, evaluation_keys, hybrid, secret};

/// A fresh ciphertext at the highest level.
pub(crate) fn fresh(context: &Arc<Context>) -> Ciphertext {
    let values: Vec<f64> = (0..context.slots()).map(|i| (i as f64 * 0.1).sin()).collect();
    let plaintext = Encoder::new(context).encode(&values, context.max_level(), context.scale());
    let plaintext = plaintext.expect("small values");
    secret(context)
        .encrypt(&plaintext, &mut SeededRandomness::new(7))
        .expect("seeded randomness does not fail")
}

/// A container of that ciphertext.
pub(crate) fn ciphertext(context: &'static Arc<Context>, seeded: bool) -> &'static [u8] {
    static MADE: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let write = |context: &Arc<Context>, seeded| {
            let ciphertext = fresh(context);
            let write = if seeded { hei::encode_ciphertext } else { hei::encode_ciphertext_full };
            write(&ciphertext, context).expect("a ciphertext of this context")
        };
        [
            write(super::context(), false),
            write(super::context(), true),
            write(hybrid(), false),
            write(hybrid(), true),
        ]
    });
    &made[usize::from(Arc::ptr_eq(context, hybrid())) * 2 + usize::from(seeded)]
}

/// A container of the evaluation keys of a context.
pub(crate) fn keys(context: &'static Arc<Context>, seeded: bool) -> &'static [u8] {
    static MADE: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let write = |context: &Arc<Context>, seeded| {
            let write = if seeded { hei::encode_evaluation_keys } else { hei::encode_evaluation_keys_full };
            write(&evaluation_keys(context), context).expect("keys of this context")
        };
        [
            write(super::context(), false),
            write(super::context(), true),
            write(hybrid(), false),
            write(hybrid(), true),
        ]
    });
    &made[usize::from(Arc::ptr_eq(context, hybrid())) * 2 + usize::from(seeded)]
}

/// SEAL streams of the keys of the small context: whole keys, relinearization first.
pub(crate) fn seal_keys(seeded: bool) -> &'static [u8] {
    static MADE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let (context, secret) = (context(), secret(context()));
        let mut randomness = SeededRandomness::new(8);
        let relin = secret.relin_key(&mut randomness).expect("seeded randomness does not fail");
        let element = hei_ring::GaloisElement::rotation(1, context.degree());
        let galois =
            secret.galois_keys(&[element], &mut randomness).expect("seeded randomness does not fail");
        let full = [seal::encode_relin_keys(&relin, context), seal::encode_galois_keys(&galois, context)];
        let seeded = [
            seal::encode_relin_keys_seeded(&relin, &secret, &mut randomness),
            seal::encode_galois_keys_seeded(&galois, &secret, &mut randomness),
        ];
        [full, seeded].map(|both| both.map(|one| one.expect("keys of this context")).concat())
    });
    &made[usize::from(seeded)]
}

/// The inputs a corpus is made of; a name that begins with `valid` is of one that has to be accepted.
pub(crate) fn corpus(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (context, secret) = (context(), secret(context()));
    let mut randomness = SeededRandomness::new(9);
    let ciphertext = fresh(context);
    let low = hei_ckks::Evaluator::new(context).drop_to_level(&ciphertext, 0).expect("a lower level");
    let compressed = |payload: &[u8], selector: u8| [&[selector], payload].concat();
    match target {
        "container_bytes" => {
            let list = hei::encode_list(&[ciphertext.clone(), ciphertext.clone()], context);
            let ranges = IndexRanges::new(vec![IndexRange { start: 3, count: 8, step: 5 }], context.degree());
            let ranges = ranges.expect("a valid range");
            let values = (1..=8).map(|i| i * 100_000_007 % context.basis().modulus(0).value()).collect();
            let (seed, scale) = (MaskSeed([2; 32]), context.scale());
            let request = CoefficientCiphertext { seed, ranges, values, scale };
            let public = secret.public_key(&mut randomness).expect("seeded randomness does not fail");
            let seed = MaskSeed([3; 32]);
            let other = Ciphertext::from_seed(context, low.parts()[0].clone(), seed, low.scale());
            let other = other.expect("one limb");
            vec![
                ("valid-ciphertext", hei::encode_ciphertext(&ciphertext, context).expect("fits")),
                ("valid-list", list.expect("two items")),
                ("valid-request", hei::encode_request(&request, context).expect("fits")),
                ("valid-public-key", hei::encode_public_key(&public, context).expect("fits")),
                ("valid-secret-key", hei::encode_secret_key(&secret, context).expect("fits").to_vec()),
                ("other-level", hei::encode_ciphertext(&other, context).expect("fits")),
                ("empty", vec![]),
                ("magic", vec![0xe7, b'h', b'e', b'i']),
            ]
        }
        "container_struct" => vec![
            ("valid-unchanged-ciphertext", vec![0, 0]),
            ("valid-unchanged-full", vec![1, 1]),
            ("valid-unchanged-keys", vec![2, 0]),
            ("valid-unchanged-hybrid-keys", vec![3, 0]),
            ("valid-other-seed", vec![0, 0, 1, 1, 77, 80, 0]),
            ("length-field", vec![0, 0, 1, 1, 9, 64, 0]),
            ("body-bit", vec![0, 1, 0, 0, 7, 0, 40]),
            ("mask-of-zeros", vec![0, 1, 5, 0, 255, 0, 160, 5, 0, 255, 0, 200]),
            ("key-list", vec![2, 1, 1, 1, 2, 75, 0]),
        ],
        "conformant_then_compute" => vec![
            ("valid-ciphertext", [&[0], ciphertext_bytes(&ciphertext).as_slice()].concat()),
            ("valid-random-residues", vec![1, 1, 2, 3, 4, 5, 6, 7, 8]),
            ("valid-largest-residues", vec![3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("garbage", vec![0, 1, 2, 3]),
        ],
        "evaluation_key" => vec![
            ("valid-seeded", vec![1, 0]),
            ("valid-hybrid-full", vec![1, 3]),
            ("valid-seal-full", vec![1, 4]),
            ("valid-seal-seeded", vec![1, 5]),
            ("valid-raw", [&[0], keys(context, true)].concat()),
            ("edited", vec![1, 0, 1, 1, 9, 100, 0]),
            ("edited-seal", vec![1, 5, 1, 1, 9, 48, 0]),
        ],
        "seed_expand" => vec![
            ("valid-zeros", vec![]),
            ("valid-blake", [[1, 0].as_slice(), &[9; 64]].concat()),
            ("valid-shake", [[2, 3].as_slice(), &[7; 64]].concat()),
        ],
        "seal_bytes" => vec![
            ("valid-ciphertext", seal::encode_ciphertext(&low, context).expect("fits")),
            ("valid-parameters", seal::encode_parameters(context).expect("one special prime")),
            (
                "valid-secret-key",
                seal::encode_secret_key(&secret, context).expect("one special prime").to_vec(),
            ),
            ("header", vec![0x5e, 0xa1, 0x10, 4, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]),
        ],
        "seal_compressed" => {
            let members = &seal::encode_ciphertext(&low, context).expect("fits")[16..];
            vec![
                ("valid-zlib", compressed(&stored_zlib(members), 0)),
                ("valid-zstd-stored", compressed(&stored_frame(members), 1)),
                ("zlib-of-zeros", compressed(&stored_zlib(&[0; 17_000]), 0)),
                ("zstd-of-zeros", compressed(&zeros_frame(1 << 30), 1)),
                ("empty", vec![1]),
            ]
        }
        "encode_decode" => {
            let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
            vec![
                ("valid-small", [[18, 1].as_slice(), &doubles(&[1.0, -2.0, 0.001, 1e-300, 0.0])].concat()),
                ("valid-empty", vec![10, 0]),
                ("not-a-number", [[18, 0].as_slice(), &doubles(&[1.0, f64::NAN])].concat()),
                ("infinite", [[18, 2].as_slice(), &doubles(&[f64::INFINITY])].concat()),
                ("too-large", [[25, 0].as_slice(), &doubles(&[1e300; 4])].concat()),
                ("near-the-modulus", [[18, 0].as_slice(), &doubles(&[2040.0; 16])].concat()),
            ]
        }
        "ring_ops" => vec![
            ("valid-zeros", vec![]),
            ("valid-largest", [[1, 2].as_slice(), &[0xff; 64]].concat()),
            ("valid-60-bits", [[5, 3].as_slice(), &[0xa5; 100]].concat()),
            ("valid-47-bits", [[3, 1].as_slice(), &[0x3c; 100]].concat()),
        ],
        _ => vec![],
    }
}

fn ciphertext_bytes(ciphertext: &Ciphertext) -> Vec<u8> {
    hei::encode_ciphertext(ciphertext, context()).expect("a ciphertext of this context")
}

/// RFC 1950 with stored blocks and its checksum: what needs no compressor.
fn stored_zlib(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let chunks: Vec<&[u8]> = content.chunks(65_535).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        out.push(u8::from(i + 1 == chunks.len()));
        out.extend((chunk.len() as u16).to_le_bytes());
        out.extend((!(chunk.len() as u16)).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in content {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// RFC 8878: one frame, window 2 MiB, an eight-octet content size, raw blocks.
fn stored_frame(content: &[u8]) -> Vec<u8> {
    let mut out = 0xFD2F_B528u32.to_le_bytes().to_vec();
    out.extend([0xc0, 0x58]);
    out.extend((content.len() as u64).to_le_bytes());
    let chunks: Vec<&[u8]> = content.chunks(128 << 10).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        out.extend(&(u32::from(i + 1 == chunks.len()) | (chunk.len() as u32) << 3).to_le_bytes()[..3]);
        out.extend_from_slice(chunk);
    }
    out
}

/// As many zeros in run-length blocks of 128 KiB: four octets each.
fn zeros_frame(count: u64) -> Vec<u8> {
    let mut out = 0xFD2F_B528u32.to_le_bytes().to_vec();
    out.extend([0xc0, 0x58]);
    out.extend(count.to_le_bytes());
    let blocks = (count >> 17).min(64);
    for i in 0..blocks {
        out.extend(&(u32::from(i + 1 == blocks) | 1 << 1 | (128 << 10) << 3).to_le_bytes()[..3]);
        out.push(0);
    }
    out
}
