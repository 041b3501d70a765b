//! Laws: what is written is read back equal; what is accepted is written back in the same octets; nothing panics.

mod common;

use std::sync::Arc;

use common::frames::{Frame, object};
use common::{N1024, context, file, small_context};
use hei_ckks::coefficients::{CoefficientCiphertext, CoefficientReply, IndexRange, IndexRanges};
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Ciphertext, Context, KeyManifest, MaskSeed, PublicKey, SecretKey};
use hei_ring::{GaloisElement, Modulus, Ntt, Poly};
use hei_wire::seal::{self, SealSeed};
use hei_wire::{Format, Input, KeyShape, Shape, decode_evaluation_keys, decode_inputs, hei, inspect};
use proptest::prelude::*;

/// Degrees, primes (data, then special) of sets that differ in every way the formats can tell.
const SETS: [(usize, &[u32], usize); 7] = [
    (1024, &[26], 0),
    (1024, &[40, 30, 30, 40], 1),
    (2048, &[53], 0),
    (2048, &[60, 18, 60], 1),
    (4096, &[36, 34, 36], 1),
    (4096, &[50, 40, 40, 50, 50], 2),
    (8192, &[60, 40, 40, 60], 1),
];

fn sets() -> Vec<Arc<Context>> {
    SETS.iter().map(|(degree, bits, special)| small_context(*degree, bits, *special)).collect()
}

/// A stream of words for residues; splitmix64.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn poly(&mut self, context: &Context, limbs: usize) -> Poly<Ntt> {
        let mut poly = Poly::zero(context.degree(), limbs);
        for (limb, q) in poly.iter_mut().zip(context.basis().moduli()) {
            limb.iter_mut().for_each(|word| *word = self.below(q.value()));
            // The extremes are where packing goes wrong.
            limb[0] = q.value() - 1;
            limb[context.degree() - 1] = q.value() - 1;
        }
        poly
    }

    fn seed(&mut self) -> [u8; 32] {
        core::array::from_fn(|_| self.next() as u8)
    }

    fn ranges(&mut self, degree: usize) -> IndexRanges {
        let mut ranges = Vec::new();
        let mut next = 0u64;
        for _ in 0..1 + self.below(4) {
            let range = IndexRange {
                start: (next + self.below(9)) as u32,
                count: 1 + self.below(40) as u32,
                step: 1 + self.below(7) as u32,
            };
            next = range.indices().last().unwrap() + 1;
            ranges.push(range);
        }
        IndexRanges::new(ranges, degree).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn slots_come_back(set in 0..SETS.len(), word in any::<u64>(), parts in 2usize..=3, seeded in any::<bool>()) {
        let context = small_context(SETS[set].0, SETS[set].1, SETS[set].2);
        let mut words = Words(word);
        let limbs = 1 + words.below(context.data_count() as u64) as usize;
        let scale = f64::from_bits(0x3ff0_0000_0000_0000 + words.below(60 << 52));
        let seeded = seeded && parts == 2;
        let ciphertext = if seeded {
            Ciphertext::from_seed(&context, words.poly(&context, limbs), MaskSeed(words.seed()), scale).unwrap()
        } else {
            let parts = (0..parts).map(|_| words.poly(&context, limbs)).collect();
            Ciphertext::new(&context, parts, scale).unwrap()
        };
        let shape = Shape::ciphertext(&context, limbs - 1, scale).with_parts(parts as u8);
        let octets = hei::encode_ciphertext(&ciphertext, &context).unwrap();
        prop_assert_eq!(octets.len() as u64, shape.encoded_len(Format::Hei, seeded));
        prop_assert!(octets.len() as u64 <= shape.max_encoded_len(Format::Hei));
        let back = hei::decode_ciphertext(&octets, &shape).unwrap();
        prop_assert!(back == ciphertext);
        prop_assert_eq!(hei::encode_ciphertext(&back, &context).unwrap(), octets);
        let full = hei::encode_ciphertext_full(&ciphertext, &context).unwrap();
        prop_assert!(hei::decode_ciphertext(&full, &shape).unwrap().parts() == ciphertext.parts());

        let items = vec![ciphertext.clone(), ciphertext.clone(), ciphertext.clone()];
        let list = hei::encode_list(&items, &context).unwrap();
        let list_shape = shape.clone().list(3);
        prop_assert_eq!(list.len() as u64, list_shape.encoded_len(Format::Hei, seeded));
        prop_assert!(hei::decode_list(&list, &list_shape).unwrap() == items);

        if context.special_count() == 1 {
            let octets = seal::encode_ciphertext(&ciphertext, &context).unwrap();
            prop_assert_eq!(octets.len() as u64, shape.encoded_len(Format::Seal, false));
            let back = seal::decode_ciphertext(&octets, &shape).unwrap();
            prop_assert!(back.parts() == ciphertext.parts() && back.scale() == scale);
            prop_assert_eq!(seal::encode_ciphertext(&back, &context).unwrap(), octets);
        } else {
            prop_assert!(seal::encode_ciphertext(&ciphertext, &context).is_err());
            prop_assert_eq!(shape.max_encoded_len(Format::Seal), 0);
        }
    }

    #[test]
    fn coefficients_come_back(set in 0..SETS.len(), word in any::<u64>()) {
        let context = small_context(SETS[set].0, SETS[set].1, SETS[set].2);
        let mut words = Words(word);
        let ranges = words.ranges(context.degree());
        let scale = f64::exp2(20.0) * 1.000_001;
        let q = context.basis().modulus(0).value();
        let request = CoefficientCiphertext {
            seed: MaskSeed(words.seed()),
            values: (0..ranges.count()).map(|_| words.below(q)).collect(),
            ranges: ranges.clone(),
            scale,
        };
        let shape = Shape::coefficient_request(&context, &ranges, scale);
        let octets = hei::encode_request(&request, &context).unwrap();
        prop_assert_eq!(octets.len() as u64, shape.encoded_len(Format::Hei, true));
        prop_assert_eq!(hei::decode_request(&octets, &shape).unwrap(), request.clone());
        let inputs = decode_inputs(vec![octets; 3], &shape).unwrap();
        prop_assert_eq!(inputs, (Format::Hei, vec![Input::Coefficients(request); 3]));

        let bits = 2 + words.below(61) as u32;
        let reply = CoefficientReply {
            mask: (0..context.degree()).map(|_| words.below(1 << bits)).collect(),
            values: (0..ranges.count()).map(|_| words.below(1 << bits)).collect(),
            ranges: ranges.clone(),
            modulus_bits: bits,
            scale,
        };
        let shape = Shape::coefficient_reply(&context, &ranges, bits, scale);
        let octets = hei::encode_reply(&reply, &context).unwrap();
        prop_assert_eq!(octets.len() as u64, shape.encoded_len(Format::Hei, false));
        let back = hei::decode_reply(&octets, &shape).unwrap();
        prop_assert_eq!(hei::encode_reply(&back, &context).unwrap(), octets);
        prop_assert!(back == reply);
        let list = hei::encode_reply_list(&[reply.clone(), reply.clone()], &context).unwrap();
        prop_assert!(hei::decode_reply_list(&list, &shape.list(2)).unwrap() == [reply.clone(), reply]);
    }

    #[test]
    fn evaluation_keys_come_back(set in 0..SETS.len(), word in any::<u64>(), seeded in any::<bool>()) {
        let context = small_context(SETS[set].0, SETS[set].1, SETS[set].2);
        prop_assume!(context.special_count() > 0);
        let mut words = Words(word);
        let mut level = || words.below(context.data_count() as u64) as usize;
        let mut manifest = KeyManifest::new();
        if word % 2 == 0 {
            manifest.need_relinearization(level());
        }
        for step in [1, -1, 2 + (word % 300) as i64] {
            manifest.need_rotation(&context, step, level());
        }
        manifest.need_galois(GaloisElement::conjugation(context.degree()), level());
        let mut randomness = SeededRandomness::new(word);
        let key = SecretKey::generate(&context, &mut randomness).unwrap();
        let keys = key.evaluation_keys(&manifest, &mut randomness).unwrap();
        let shape = KeyShape::new(&context, &manifest);
        let write = if seeded { hei::encode_evaluation_keys } else { hei::encode_evaluation_keys_full };
        let octets = write(&keys, &context).unwrap();
        prop_assert_eq!(octets.len() as u64, shape.encoded_len(Format::Hei, seeded));
        prop_assert!(octets.len() as u64 <= shape.max_encoded_len(Format::Hei));
        let (format, back) = decode_evaluation_keys(octets.clone(), &shape).unwrap();
        prop_assert_eq!(format, Format::Hei);
        prop_assert!(write(&back, &context).unwrap() == octets);
        prop_assert!(!seeded || back == keys);
        prop_assert_eq!(manifest.missing(&back), vec![]);
    }

    #[test]
    fn arbitrary_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..300), magic in 0u8..4) {
        let context = small_context(1024, &[40, 30, 30, 40], 1);
        let octets = match magic {
            0 => octets,
            1 => [&[0xe7, b'h', b'e', b'i', 1, 1], octets.as_slice()].concat(),
            2 => [&[0x5e, 0xa1, 0x10, 4, 1, 0, 0, 0], octets.as_slice()].concat(),
            _ => object([4, 1], 1 + octets.first().copied().unwrap_or(0) % 2, &octets),
        };
        everything(&octets, &context);
    }
}

/// Relinearization alone, and with a rotation.
fn key_manifests(context: &Context) -> [KeyManifest; 2] {
    let mut relin = KeyManifest::new();
    relin.need_relinearization(context.max_level());
    let mut both = relin.clone();
    both.need_rotation(context, 1, 1);
    [relin, both]
}

/// Every reader there is, on the same octets.
fn everything(octets: &[u8], context: &Arc<Context>) {
    let slots = Shape::ciphertext(context, 2, context.scale());
    let ranges =
        IndexRanges::new(vec![IndexRange { start: 0, count: 8, step: 1 }], context.degree()).unwrap();
    let _ = inspect(octets).map(|description| description.to_string());
    if let Ok((format, inputs)) = decode_inputs(vec![octets.to_vec()], &slots) {
        // Accepted octets of our own format are the only ones for the value.
        if let (Format::Hei, [Input::Slots(ciphertext)]) = (format, inputs.as_slice()) {
            assert_eq!(hei::encode_ciphertext(ciphertext, context).unwrap(), octets);
        }
    }
    let _ = hei::decode_list(octets, &slots.clone().list(2));
    let _ = hei::decode_request(octets, &Shape::coefficient_request(context, &ranges, context.scale()));
    let _ = hei::decode_reply(octets, &Shape::coefficient_reply(context, &ranges, 30, context.scale()));
    let _ = hei::decode_public_key(octets, &Shape::public_key(context));
    let _ = hei::decode_secret_key(octets, &Shape::secret_key(context));
    for manifest in key_manifests(context) {
        let shape = KeyShape::new(context, &manifest);
        if let Ok((format, keys)) = decode_evaluation_keys(octets.to_vec(), &shape) {
            assert_eq!(manifest.missing(&keys), vec![]);
            if format == Format::Hei {
                let seeded = hei::KeyHeader::parse(octets).unwrap().seeded();
                let write =
                    if seeded { hei::encode_evaluation_keys } else { hei::encode_evaluation_keys_full };
                assert!(write(&keys, context).unwrap() == octets);
            }
        }
    }
    let _ = seal::decode_parameters(octets);
    let _ = seal::decode_plaintext(octets, context);
    let _ = seal::decode_public_key(octets, context);
    let _ = seal::decode_secret_key(octets, context);
}

/// Valid streams of every kind with octets changed, removed, doubled, exchanged.
#[test]
fn mutations_never_panic() {
    let context = context(N1024);
    let mut randomness = SeededRandomness::new(11);
    let key = SecretKey::generate(&context, &mut randomness).unwrap();
    let mut words = Words(11);
    let c0 = words.poly(&context, 3);
    let seeded = Ciphertext::from_seed(&context, c0, MaskSeed([9; 32]), context.scale()).unwrap();
    let hei = hei::encode_ciphertext(&seeded, &context).unwrap();
    let mut bases = vec![
        hei::encode_ciphertext_full(&seeded, &context).unwrap(),
        hei::encode_list(&[seeded.clone(), seeded], &context).unwrap(),
        hei::encode_secret_key(&key, &context).unwrap().to_vec(),
        hei::encode_public_key(&key.public_key(&mut randomness).unwrap(), &context).unwrap(),
        object([4, 1], 2, &Frame::stored(&file(N1024, "ct_full_none.bin")[16..]).bytes()),
        hei,
    ];
    for manifest in key_manifests(&context) {
        let keys = key.evaluation_keys(&manifest, &mut randomness).unwrap();
        bases.push(hei::encode_evaluation_keys(&keys, &context).unwrap());
        bases.push(hei::encode_evaluation_keys_full(&keys, &context).unwrap());
    }
    let files = [
        "relin_none.bin",
        "rot_1_seeded_zstd.bin",
        "ct_full_none.bin",
        "ct_full_zstd.bin",
        "ct_full_zlib.bin",
        "ct_small_seeded_none.bin",
        "ct_small_seeded_zstd.bin",
        "pk_seeded_zstd.bin",
        "pt_small_zstd.bin",
        "sk_zstd.bin",
        "relin_seeded_zstd.bin",
    ];
    bases.extend(files.map(|name| file(N1024, name)));
    bases.push(file(N1024, "context_zstd.bin")[36..].to_vec());
    for base in &bases {
        for _ in 0..150 {
            let mut octets = base.clone();
            for _ in 0..=words.below(3) {
                if octets.is_empty() {
                    break;
                }
                // Headers are where the structure is.
                let reach = if words.below(3) == 0 { octets.len() } else { octets.len().min(160) };
                let at = words.below(reach as u64) as usize;
                match words.below(6) {
                    0 => octets[at] ^= 1 << words.below(8),
                    1 => octets[at] = [0, 1, 0x7f, 0x80, 0xff][words.below(5) as usize],
                    2 => octets.truncate(at.max(1)),
                    3 => octets.insert(at, words.next() as u8),
                    4 => drop(octets.remove(at)),
                    _ => octets[at] = words.next() as u8,
                }
            }
            if octets.starts_with(&[0x5e, 0xa1]) && octets.len() > 16 && words.below(2) == 0 {
                let size = octets.len() as u64;
                octets[8..16].copy_from_slice(&size.to_le_bytes());
            }
            everything(&octets, &context);
        }
    }
}

/// Keys and seeded SEAL forms over every set that has them.
#[test]
fn keys_come_back() {
    for context in sets() {
        let mut randomness = SeededRandomness::new(2);
        let mut words = Words(2);
        let key = SecretKey::generate(&context, &mut randomness).unwrap();
        let octets = hei::encode_secret_key(&key, &context).unwrap();
        assert_eq!(octets.len(), 73 + context.degree() / 4);
        let back = hei::decode_secret_key(&octets, &Shape::secret_key(&context)).unwrap();
        assert_eq!(back.coefficients(), key.coefficients());
        let public = key.public_key(&mut randomness).unwrap();
        let octets = hei::encode_public_key(&public, &context).unwrap();
        assert_eq!(octets.len() as u64, Shape::public_key(&context).encoded_len(Format::Hei, false));
        assert!(hei::decode_public_key(&octets, &Shape::public_key(&context)).unwrap() == public);
        if context.special_count() != 1 {
            assert!(seal::encode_secret_key(&key, &context).is_err());
            assert!(seal::encode_parameters(&context).is_err());
            continue;
        }
        let primes: Vec<u64> = context.basis().moduli().map(Modulus::value).collect();
        let octets = seal::encode_parameters(&context).unwrap();
        let parameters = seal::decode_parameters(&octets).unwrap();
        assert_eq!((parameters.degree, &parameters.primes), (context.degree() as u64, &primes));

        let octets = seal::encode_secret_key(&key, &context).unwrap();
        assert_eq!(seal::decode_secret_key(&octets, &context).unwrap().coefficients(), key.coefficients());
        let octets = seal::encode_public_key(&public, &context).unwrap();
        assert!(seal::decode_public_key(&octets, &context).unwrap() == public);

        let bytes: [u8; 64] = core::array::from_fn(|i| i as u8);
        for seed in [SealSeed::Blake2xb(bytes), SealSeed::Shake256(bytes)] {
            let a = Poly::from_data(context.degree(), seed.expand(context.degree(), &primes)).unwrap();
            let public = PublicKey::from_parts(&context, words.poly(&context, primes.len()), a).unwrap();
            let octets = seal::encode_public_key_seeded(&public, &seed, &context).unwrap();
            assert!(seal::decode_public_key(&octets, &context).unwrap() == public);

            let level = context.max_level();
            let parts = vec![words.poly(&context, level + 1), seed.mask(&context, level + 1).unwrap()];
            let ciphertext = Ciphertext::new(&context, parts, context.scale()).unwrap();
            let octets = seal::encode_ciphertext_seeded(&ciphertext, &seed, &context).unwrap();
            let shape = Shape::ciphertext(&context, level, context.scale());
            assert_eq!(octets.len() as u64, shape.encoded_len(Format::Seal, true));
            assert!(seal::decode_ciphertext(&octets, &shape).unwrap() == ciphertext);
            let other = SealSeed::Blake2xb([1; 64]);
            assert!(seal::encode_ciphertext_seeded(&ciphertext, &other, &context).is_err());
        }
    }
}
