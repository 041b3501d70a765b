//! The known answers of `spec/wire.md`, which were written by a program that shares no code with this library.

mod common;

use std::sync::Arc;

use common::{hex, root};
use hei_ckks::coefficients::{CoefficientCiphertext, CoefficientReply, IndexRange, IndexRanges};
use hei_ckks::insecure_testing::InsecureParameters;
use hei_ckks::{
    Ciphertext, Context, EvaluationKeys, GaloisKeys, KeyDigit, KeyManifest, MaskSeed, ParametersLiteral,
    ParamsId, PublicKey, RelinKey, SwitchKey,
};
use hei_ring::{GaloisElement, Modulus, Ntt, Poly};
use hei_wire::{KeyShape, Shape, hei};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("hei1.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().parse().unwrap()).collect()
}

fn unhex<const N: usize>(value: &Value) -> [u8; N] {
    let text = value.as_str().unwrap();
    core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

fn context(document: &Value, name: &str) -> Arc<Context> {
    let entry = &document["params_id"][name];
    let (data, special) = (numbers(&entry["data"]), numbers(&entry["special"]));
    let literal = ParametersLiteral {
        poly_modulus_degree: entry["degree"].as_u64().unwrap() as usize,
        coeff_modulus_bits: data.iter().chain(&special).map(|q| 64 - q.leading_zeros()).collect(),
        special_count: special.len(),
        scale: f64::exp2(20.0),
    };
    let context = Arc::clone(InsecureParameters::new(&literal).unwrap().context());
    assert!(context.basis().moduli().map(Modulus::value).eq(data.into_iter().chain(special)), "{name}");
    context
}

/// The polynomial of the document's note.
fn residue(item: u64, part: u64, limb: u64, i: u64, q: u64) -> u64 {
    let value = u128::from(i) * 0x9E37_79B9_7F4A_7C15
        + u128::from(item) * 1_000_003
        + u128::from(part) * 7919
        + u128::from(limb) * 104_729
        + 1;
    (value % u128::from(q)) as u64
}

fn words(item: u64, part: u64, count: u64, moduli: &[u64]) -> Vec<u64> {
    let limb = |j: usize| (0..count).map(move |i| residue(item, part, j as u64, i, moduli[j]));
    (0..moduli.len()).flat_map(limb).collect()
}

fn poly(item: u64, part: u64, degree: usize, moduli: &[u64]) -> Poly<Ntt> {
    Poly::from_data(degree, words(item, part, degree as u64, moduli)).unwrap()
}

#[test]
fn parameter_identities() {
    let document = document();
    for (name, entry) in document["params_id"].as_object().unwrap() {
        let id = ParamsId(unhex(&entry["params_id"]));
        let degree = entry["degree"].as_u64().unwrap() as usize;
        assert_eq!(
            ParamsId::new(degree, &numbers(&entry["data"]), &numbers(&entry["special"])),
            id,
            "{name}"
        );
        assert_eq!(context(&document, name).params_id(), id, "{name}");
        let preimage = entry["preimage"].as_str().unwrap();
        let octets: Vec<u8> = (0..preimage.len() / 2)
            .map(|i| u8::from_str_radix(&preimage[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        assert_eq!(Sha256::digest(octets)[..], id.0, "{name}");
    }
}

#[test]
fn seeds_expand_to_the_known_limbs() {
    let document = document();
    for entry in document["expansion"].as_array().unwrap() {
        let context = context(&document, entry["parameters"].as_str().unwrap());
        let limbs = entry["limbs"].as_array().unwrap();
        let mask: Poly<Ntt> = MaskSeed(unhex(&entry["seed"])).expand(&context, limbs.len());
        // The same words, whichever form they are said to be in.
        let coefficients: Poly<hei_ring::Coeff> =
            MaskSeed(unhex(&entry["seed"])).expand(&context, limbs.len());
        assert_eq!(mask.data(), coefficients.data());
        for (limb, known) in mask.iter().zip(limbs) {
            assert_eq!(limb[..4], numbers(&known["first"]));
            assert_eq!(limb.last().map(u64::to_string).as_deref(), known["last"].as_str());
            let octets: Vec<u8> = limb.iter().flat_map(|word| word.to_le_bytes()).collect();
            let digest: [u8; 32] = Sha256::digest(octets).into();
            assert_eq!(Some(hex(&digest).as_str()), known["sha256_of_u64_words"].as_str());
        }
    }
}

/// Writing the value gives the known octets, and reading them gives the value.
#[test]
fn containers() {
    let document = document();
    let mut seen = 0;
    for entry in document["containers"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let context = context(&document, entry["parameters"].as_str().unwrap());
        let primes: Vec<u64> = context.basis().moduli().map(Modulus::value).collect();
        let degree = context.degree();
        let level = entry["level"].as_u64().unwrap_or(0) as usize;
        let scale = entry["scale"].as_f64().unwrap_or(1.0);
        let moduli = &primes[..=level];
        let slots = Shape::ciphertext(&context, level, scale);
        let pair = |item| vec![poly(item, 0, degree, moduli), poly(item, 1, degree, moduli)];
        let ranges = entry["ranges"].as_array().map(|ranges| {
            let number = |v: &Value| v.as_u64().unwrap() as u32;
            let range =
                |r: &Value| IndexRange { start: number(&r[0]), count: number(&r[1]), step: number(&r[2]) };
            IndexRanges::new(ranges.iter().map(range).collect(), degree).unwrap()
        });
        let octets = match name {
            "ciphertext, full" => {
                let ciphertext = Ciphertext::new(&context, pair(0), scale).unwrap();
                let octets = hei::encode_ciphertext(&ciphertext, &context).unwrap();
                assert_eq!(octets.len() as u64, slots.encoded_len(hei_wire::Format::Hei, false));
                assert!(hei::decode_ciphertext(&octets, &slots).unwrap() == ciphertext);
                octets
            }
            "ciphertext, three polynomials" => {
                let parts = (0..3).map(|part| poly(0, part, degree, moduli)).collect();
                let ciphertext = Ciphertext::new(&context, parts, scale).unwrap();
                let octets = hei::encode_ciphertext(&ciphertext, &context).unwrap();
                assert!(hei::decode_ciphertext(&octets, &slots.with_parts(3)).unwrap() == ciphertext);
                octets
            }
            "ciphertext, seeded" => {
                let seed = MaskSeed(unhex(&entry["seed"]));
                let ciphertext =
                    Ciphertext::from_seed(&context, poly(0, 0, degree, moduli), seed, scale).unwrap();
                let octets = hei::encode_ciphertext(&ciphertext, &context).unwrap();
                assert_eq!(octets.len() as u64, slots.encoded_len(hei_wire::Format::Hei, true));
                assert!(hei::decode_ciphertext(&octets, &slots).unwrap() == ciphertext);
                octets
            }
            "ciphertext-list, full" => {
                let items: Vec<Ciphertext> =
                    (0..3).map(|item| Ciphertext::new(&context, pair(item), scale).unwrap()).collect();
                let octets = hei::encode_list(&items, &context).unwrap();
                assert!(hei::decode_list(&octets, &slots.list(3)).unwrap() == items);
                octets
            }
            "public-key, full" => {
                let parts = (poly(0, 0, degree, &primes), poly(0, 1, degree, &primes));
                let key = PublicKey::from_parts(&context, parts.0, parts.1).unwrap();
                let octets = hei::encode_public_key(&key, &context).unwrap();
                assert!(hei::decode_public_key(&octets, &Shape::public_key(&context)).unwrap() == key);
                octets
            }
            "secret-key" => {
                let coefficient = |i: usize| [0i8, 1, -1][(i * i + i / 3) % 3];
                let coefficients: Vec<i8> = (0..degree).map(coefficient).collect();
                let key =
                    hei_ckks::SecretKey::from_coefficients(&context, coefficients.clone().into()).unwrap();
                let octets = hei::encode_secret_key(&key, &context).unwrap();
                let back = hei::decode_secret_key(&octets, &Shape::secret_key(&context)).unwrap();
                assert_eq!(back.coefficients(), coefficients);
                octets.to_vec()
            }
            "coefficients, request" => {
                let ranges = ranges.unwrap();
                let request = CoefficientCiphertext {
                    seed: MaskSeed(unhex(&entry["seed"])),
                    values: words(0, 0, ranges.count() as u64, moduli),
                    ranges,
                    scale,
                };
                let octets = hei::encode_request(&request, &context).unwrap();
                assert!(octets.len() <= 200, "{} octets for 8 features", octets.len());
                let shape = Shape::coefficient_request(&context, &request.ranges, scale);
                assert!(hei::decode_request(&octets, &shape).unwrap() == request);
                octets
            }
            "coefficients, reply" => {
                let ranges = ranges.unwrap();
                let bits = entry["reply_modulus_bits"].as_u64().unwrap() as u32;
                let modulus = [1u64 << bits];
                let reply = CoefficientReply {
                    mask: words(0, 1, degree as u64, &modulus),
                    values: words(0, 0, ranges.count() as u64, &modulus),
                    ranges,
                    modulus_bits: bits,
                    scale,
                };
                let octets = hei::encode_reply(&reply, &context).unwrap();
                let shape = Shape::coefficient_reply(&context, &reply.ranges, bits, scale);
                assert_eq!(octets.len() as u64, shape.encoded_len(hei_wire::Format::Hei, false));
                assert!(hei::decode_reply(&octets, &shape).unwrap() == reply);
                octets
            }
            "evaluation-key, seeded" | "evaluation-key, full" => evaluation_key(entry, &context),
            other => panic!("no reader for {other:?}"),
        };
        assert_eq!(Some(octets.len() as u64), entry["octets"].as_u64(), "{name}");
        assert_eq!(Some(hex(&octets[..octets.len().min(160)]).as_str()), entry["start"].as_str(), "{name}");
        let digest: [u8; 32] = Sha256::digest(&octets).into();
        assert_eq!(Some(hex(&digest).as_str()), entry["sha256"].as_str(), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 10);
}

/// The keys an entry describes, written; read again they are the same keys.
fn evaluation_key(entry: &Value, context: &Arc<Context>) -> Vec<u8> {
    let seeded = entry["name"].as_str().unwrap().ends_with("seeded");
    let primes: Vec<u64> = context.basis().moduli().map(Modulus::value).collect();
    let (degree, data) = (context.degree(), context.data_count());
    let mut item = 0;
    let mut switch_key = |limbs: usize| {
        let moduli = [&primes[..limbs], &primes[data..]].concat();
        let digits = (0..limbs.div_ceil(context.special_count())).map(|_| {
            let b = poly(item, 0, degree, &moduli);
            let digit = if seeded {
                let seed = MaskSeed([item as u8; 32]);
                let digit = KeyDigit::from_seed(context, limbs - 1, b, seed);
                // Limb numbers are places in the whole chain, so special primes keep theirs at every level.
                let whole: Poly<Ntt> = seed.expand(context, primes.len());
                let mask = digit.parts().1;
                assert!((0..limbs).all(|i| mask.limb(i) == whole.limb(i)));
                assert!((data..primes.len()).all(|i| mask.limb(limbs + i - data) == whole.limb(i)));
                digit
            } else {
                KeyDigit::new(b, poly(item, 1, degree, &moduli))
            };
            item += 1;
            digit
        });
        SwitchKey::from_digits(context, limbs - 1, digits.collect()).unwrap()
    };
    let (mut keys, mut galois, mut manifest) = (EvaluationKeys::default(), vec![], KeyManifest::new());
    for key in entry["keys"].as_array().unwrap() {
        let [purpose, limbs, element] = [0, 1, 2].map(|i| key[i].as_u64().unwrap());
        let (limbs, key) = (limbs as usize, switch_key(limbs as usize));
        if purpose == 1 {
            manifest.need_relinearization(limbs - 1);
            keys.relinearization = Some(RelinKey(key));
        } else {
            let element = GaloisElement::new(element, degree).unwrap();
            manifest.need_galois(element, limbs - 1);
            galois.push((element, key));
        }
    }
    keys.galois = GaloisKeys::from_keys(context, galois);
    let octets = hei::encode_evaluation_keys(&keys, context).unwrap();
    let shape = KeyShape::new(context, &manifest);
    assert_eq!(octets.len() as u64, shape.encoded_len(hei_wire::Format::Hei, seeded));
    assert!(hei::decode_evaluation_keys(&octets, &shape).unwrap() == keys);
    octets
}
