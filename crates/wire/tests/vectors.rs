//! Every committed byte sequence of a supported kind is read and decrypts to the values the manifest gives for it.

mod common;

use std::sync::Arc;

use common::{N1024, N16384, context, doubles, file, floats, manifest, max_error};
use hei_ckks::{Ciphertext, Context, Encoder, SecretKey};
use hei_wire::seal::{self, Compression};
use hei_wire::{DecodeError, Reason, Shape, inspect};
use sha2::{Digest, Sha256};

/// The manifest's own tolerance is 1e-3; fresh noise at scale 2^30 stays far below it.
const TOLERANCE: f64 = 1e-3;

fn shape(context: &Arc<Context>, entry: &serde_json::Value) -> Shape {
    let limbs = entry["primes"].as_u64().unwrap_or(context.data_count() as u64) as usize;
    let parts = entry["poly_count"].as_u64().unwrap_or(2) as u8;
    Shape::ciphertext(context, limbs - 1, entry["scale"].as_f64().unwrap_or(context.scale()))
        .with_parts(parts)
}

fn decrypt(key: &SecretKey, ciphertext: &Ciphertext) -> Vec<f64> {
    Encoder::new(key.context()).decode(&key.decrypt(ciphertext).unwrap())
}

#[test]
fn the_manifest_describes_the_files() {
    let manifest = manifest();
    for set in [N1024, N16384] {
        for (name, entry) in manifest["sets"][set]["files"].as_object().unwrap() {
            let bytes = file(set, name);
            assert_eq!(Some(bytes.len() as u64), entry["bytes"].as_u64(), "{set}/{name}");
            let digest: [u8; 32] = Sha256::digest(&bytes).into();
            assert_eq!(Some(common::hex(&digest).as_str()), entry["sha256"].as_str(), "{set}/{name}");
        }
    }
}

#[test]
fn every_ciphertext_decrypts_to_its_values() {
    let manifest = manifest();
    for (set, least) in [(N1024, 26), (N16384, 10)] {
        let context = context(set);
        let key = seal::decode_secret_key(&file(set, "sk_none.bin"), &context).unwrap();
        let mut read = 0;
        for (name, entry) in manifest["sets"][set]["files"].as_object().unwrap() {
            let kind = entry["kind"].as_str().unwrap();
            if !(kind.starts_with("SEAL Ciphertext") || kind.starts_with("ct_small_seeded")) {
                continue;
            }
            let expected = ["slots_head", "expected_head"].map(|member| floats(&entry[member])).concat();
            let bytes = file(set, name);
            let ciphertext = seal::decode_ciphertext(&bytes, &shape(&context, entry))
                .unwrap_or_else(|error| panic!("{set}/{name}: {error:?}"));
            let error = max_error(&decrypt(&key, &ciphertext), &expected);
            assert!(error < entry["tol"].as_f64().unwrap_or(TOLERANCE), "{set}/{name}: error {error}");
            let decrypted = floats(&entry["pyfhel_decrypts_to"]);
            if !decrypted.is_empty() {
                let error = max_error(&decrypt(&key, &ciphertext), &decrypted);
                assert!(error < 1e-8, "{set}/{name}: differs from SEAL's own decryption by {error}");
            }
            read += 1;
        }
        assert!(read >= least, "{set}: only {read} ciphertexts were read");
    }
}

#[test]
fn full_slot_vectors_agree_everywhere() {
    let context = context(N1024);
    let key = seal::decode_secret_key(&file(N1024, "sk_none.bin"), &context).unwrap();
    let slots = doubles(N1024, "full_slots.f64le");
    assert_eq!(slots.len(), context.slots());
    for name in ["ct_full_none.bin", "ct_full_zlib.bin", "ct_full_zstd.bin"] {
        let shape = Shape::ciphertext(&context, 2, context.scale());
        let ciphertext = seal::decode_ciphertext(&file(N1024, name), &shape).unwrap();
        assert!(max_error(&decrypt(&key, &ciphertext), &slots) < TOLERANCE, "{name}");
    }
}

#[test]
fn logistic_regression_columns_agree_in_every_slot() {
    for set in [N1024, N16384] {
        let context = context(set);
        let key = seal::decode_secret_key(&file(set, "sk_none.bin"), &context).unwrap();
        let columns = doubles(set, "logreg_X_8xslots.f64le");
        let slots = context.slots();
        assert_eq!(columns.len(), 8 * slots);
        for i in 0..8 {
            let shape = Shape::ciphertext(&context, 2, context.scale());
            let ciphertext =
                seal::decode_ciphertext(&file(set, &format!("logreg_in_{i}.bin")), &shape).unwrap();
            let error = max_error(&decrypt(&key, &ciphertext), &columns[i * slots..][..slots]);
            assert!(error < TOLERANCE, "{set}, column {i}: {error}");
        }
    }
}

#[test]
fn a_seed_expands_to_the_polynomial_seal_wrote_out() {
    let context = context(N1024);
    let shape = Shape::ciphertext(&context, 2, context.scale());
    let seeded = seal::decode_ciphertext(&file(N1024, "ct_small_seeded_none.bin"), &shape).unwrap();
    let expanded =
        seal::decode_ciphertext(&file(N1024, "ct_small_seeded_expanded_none.bin"), &shape).unwrap();
    assert!(seeded.parts() == expanded.parts());
}

#[test]
fn keys_and_plaintexts_are_read_in_every_compression() {
    let context = context(N1024);
    let key = seal::decode_secret_key(&file(N1024, "sk_none.bin"), &context).unwrap();
    let zstd = seal::decode_secret_key(&file(N1024, "sk_zstd.bin"), &context).unwrap();
    assert_eq!(key.coefficients(), zstd.coefficients());

    // b + a s is the error of the key alone: small under every prime.
    let publics = ["pk_none.bin", "pk_zstd.bin", "pk_seeded_none.bin", "pk_seeded_zstd.bin"];
    for name in publics {
        let public = seal::decode_public_key(&file(N1024, name), &context).unwrap();
        let (b, a) = public.parts();
        let mut phase = a.clone();
        context.basis().mul_assign(&mut phase, key.ntt());
        context.basis().add_assign(&mut phase, b);
        let error = context.basis().inverse(phase);
        for (limb, modulus) in error.iter().zip(context.basis().moduli()) {
            let largest = limb.iter().map(|r| modulus.centered(*r).abs()).max().unwrap();
            assert!(largest > 0 && largest <= 21, "{name}: error {largest}");
        }
    }

    let expected = floats(&manifest()["sets"][N1024]["files"]["pt_small_none.bin"]["slots_head"]);
    for name in ["pt_small_none.bin", "pt_small_zstd.bin"] {
        let plaintext = seal::decode_plaintext(&file(N1024, name), &context).unwrap();
        assert_eq!(plaintext.scale(), context.scale());
        assert!(max_error(&Encoder::new(&context).decode(&plaintext), &expected) < 1e-6, "{name}");
        // What we write is what SEAL wrote, but for the version in three headers.
        let written = seal::encode_plaintext(&plaintext, &context).unwrap();
        if name == "pt_small_none.bin" {
            assert_eq!(written, with_version(&file(N1024, name), &[0, 64], [3, 7]));
        }
    }
}

#[test]
fn parameters_are_read_behind_pyfhels_prefix() {
    for set in [N1024, N16384] {
        let context = context(set);
        for name in ["context_none.bin", "context_zstd.bin"] {
            if set == N16384 && name == "context_zstd.bin" {
                continue;
            }
            let bytes = file(set, name);
            // i32 level, u64 count, count x i32 sizes, f64 scale; then SEAL's object.
            let parameters = seal::decode_parameters(&bytes[4 + 8 + 4 * 4 + 8..]).unwrap();
            assert_eq!(parameters.degree, context.degree() as u64);
            let primes: Vec<u64> = context.basis().moduli().map(|q| q.value()).collect();
            assert_eq!(parameters.primes, primes, "{set}/{name}");
            if name == "context_none.bin" {
                let headers: Vec<usize> = [0].into_iter().chain((0..5).map(|i| 33 + 24 * i)).collect();
                let expected = with_version(&bytes[4 + 8 + 4 * 4 + 8..], &headers, [3, 7]);
                assert_eq!(seal::encode_parameters(&context).unwrap(), expected);
            }
            assert_eq!(seal::decode_parameters(&bytes), Err(Reason::BadMagic.into()));
        }
    }
}

#[test]
fn level_names_equal_the_manifests() {
    let manifest = manifest();
    for set in [N1024, N16384] {
        let context = context(set);
        let primes: Vec<u64> = context.basis().moduli().map(|q| q.value()).collect();
        let names = ["data_1_primes", "data_2_primes", "data_3_primes", "key"];
        for (m, name) in names.into_iter().enumerate() {
            let id = seal::parms_id(context.degree() as u64, &primes[..=m]);
            assert_eq!(Some(common::hex(&id).as_str()), manifest["sets"][set]["parms_ids"][name].as_str());
        }
    }
}

#[test]
fn written_streams_differ_from_seals_only_in_version_and_correction_factor() {
    let context = context(N1024);
    let shape = Shape::ciphertext(&context, 2, context.scale());
    let bytes = file(N1024, "ct_full_none.bin");
    let ciphertext = seal::decode_ciphertext(&bytes, &shape).unwrap();
    let mut expected = with_version(&bytes, &[0, 89], [3, 7]);
    expected.drain(81..89);
    let size = expected.len() as u64;
    expected[8..16].copy_from_slice(&size.to_le_bytes());
    assert_eq!(seal::encode_ciphertext(&ciphertext, &context).unwrap(), expected);

    let key = seal::decode_secret_key(&file(N1024, "sk_none.bin"), &context).unwrap();
    let expected = with_version(&file(N1024, "sk_none.bin"), &[0, 64], [3, 7]);
    assert_eq!(*seal::encode_secret_key(&key, &context).unwrap(), expected);
}

#[test]
fn inspect_says_what_each_file_is() {
    for (name, kind, compression, seeded) in [
        ("ct_small_none.bin", "ciphertext", Compression::None, Some(false)),
        ("ct_small_zlib.bin", "ciphertext", Compression::Zlib, Some(false)),
        ("ct_small_seeded_zstd.bin", "ciphertext", Compression::Zstd, Some(true)),
        ("pk_none.bin", "public-key", Compression::None, Some(false)),
        ("pk_seeded_zstd.bin", "public-key", Compression::Zstd, Some(true)),
        ("sk_none.bin", "secret-key", Compression::None, None),
        ("sk_zstd.bin", "secret-key", Compression::Zstd, None),
        ("pt_small_none.bin", "plaintext", Compression::None, None),
        ("relin_none.bin", "key-switching-keys", Compression::None, None),
        ("relin_seeded_zstd.bin", "key-switching-keys", Compression::Zstd, None),
        ("rot_1_m1_4_none.bin", "key-switching-keys", Compression::None, None),
        ("rot_1_seeded_zstd.bin", "key-switching-keys", Compression::Zstd, None),
    ] {
        let description = inspect(&file(N1024, name)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(
            (description.kind, description.compression, description.seeded),
            (kind, Some(compression), seeded),
            "{name}"
        );
    }
    let galois = inspect(&file(N1024, "rot_1_m1_4_none.bin")).unwrap();
    assert_eq!(galois.items, Some(3));
    let parameters = inspect(&file(N1024, "context_none.bin")[36..]).unwrap();
    assert_eq!((parameters.kind, parameters.degree, parameters.primes.len()), ("parameters", Some(1024), 4));
    assert_eq!(inspect(&[]), Err(DecodeError::Invalid(Reason::LengthMismatch)));
}

/// The same stream with another version in the headers at these offsets.
fn with_version(bytes: &[u8], headers: &[usize], version: [u8; 2]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in headers {
        bytes[at + 3..at + 5].copy_from_slice(&version);
    }
    bytes
}
