//! What we write is loaded, evaluated and decrypted by Microsoft SEAL, as TenSEAL and seal-python ship it, and what they
//! write is read here.
//!
//! The wheels are installed into a folder of their own below the build directory, once. Without Python or without the
//! wheels the test says so and passes, unless `HEI_REQUIRE` names `python`.

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::max_error;
use hei_ckks::insecure_testing::SeededRandomness;
use hei_ckks::{Ciphertext, Encoder, Evaluator, Parameters, ParametersLiteral, SecretKey};
use hei_ring::GaloisElement;
use hei_wire::seal::{self, Compression, SealSeed};
use hei_wire::{Shape, inspect};

const WHEELS: [&str; 3] = ["seal-python==4.4.0", "tenseal==0.3.18", "numpy"];

/// A wrong key or order is off by the size of the values. SEAL's own rotations, whose digits are not centered, come near 2e-6 in
/// slot 0.
const TOLERANCE: f64 = 2e-5;

/// The interpreter of an environment with the wheels, or why there is none.
fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-venv");
    let interpreter =
        if cfg!(windows) { folder.join("Scripts/python.exe") } else { folder.join("bin/python") };
    let imports = "import numpy, seal, tenseal.sealapi";
    if interpreter.exists() && run(Command::new(&interpreter).args(["-c", imports])).is_ok() {
        return Ok(interpreter);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet"]).args(WHEELS))?;
    run(Command::new(&interpreter).args(["-c", imports]))?;
    Ok(interpreter)
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = stderr.lines().rev().take(3).collect();
    Err(format!("{:?}: {}; {}", command.get_program(), output.status, tail.join("; ")))
}

#[test]
fn seal_itself_reads_and_evaluates_what_we_write() {
    let interpreter = match python() {
        Ok(interpreter) => interpreter,
        Err(reason) => {
            let required = std::env::var("HEI_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|tool| tool.trim() == "python"), "python is required: {reason}");
            // Past the test harness, which keeps the output of tests that pass.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: interoperation with SEAL needs Python wheels: {reason}"
            );
            return;
        }
    };
    for backend in ["seal", "tenseal"] {
        exchange(&interpreter, backend);
    }
}

fn exchange(interpreter: &Path, backend: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("interop-{backend}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let literal = ParametersLiteral {
        poly_modulus_degree: 8192,
        coeff_modulus_bits: vec![60, 40, 40, 60],
        special_count: 1,
        scale: f64::exp2(40.0),
    };
    let parameters = Parameters::new(&literal).unwrap();
    let context = parameters.context();
    let (level, scale) = (context.max_level(), context.scale());
    let mut randomness = SeededRandomness::new(2026);
    let key = SecretKey::generate(context, &mut randomness).unwrap();
    let public = key.public_key(&mut randomness).unwrap();
    let encoder = Encoder::new(context);

    let a: Vec<f64> = (0..context.slots()).map(|i| (i as f64 * 0.37).sin()).collect();
    let b: Vec<f64> = (0..context.slots()).map(|i| 0.5 - i as f64 / context.slots() as f64).collect();
    let (plain_a, plain_b) =
        (encoder.encode(&a, level, scale).unwrap(), encoder.encode(&b, level, scale).unwrap());
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    put("in-parameters.bin", &seal::encode_parameters(context).unwrap());
    put("in-secret.bin", &seal::encode_secret_key(&key, context).unwrap());
    put("in-public.bin", &seal::encode_public_key(&public, context).unwrap());
    let ciphertext = key.encrypt(&plain_a, &mut randomness).unwrap();
    put("in-a.bin", &seal::encode_ciphertext(&ciphertext, context).unwrap());
    let ciphertext = public.encrypt(&plain_a, &mut randomness).unwrap();
    put("in-a-public.bin", &seal::encode_ciphertext(&ciphertext, context).unwrap());
    let bytes: [u8; 64] = core::array::from_fn(|i| (i * 3) as u8);
    for (name, seed) in [("blake2xb", SealSeed::Blake2xb(bytes)), ("shake256", SealSeed::Shake256(bytes))] {
        let mask = seed.mask(context, level + 1).unwrap();
        let ciphertext = key.encrypt_with_mask(&plain_b, mask, &mut randomness).unwrap();
        let seeded = seal::encode_ciphertext_seeded(&ciphertext, &seed, context).unwrap();
        put(&format!("in-b-{name}.bin"), &seeded);
    }
    let relin = key.relin_key(&mut randomness).unwrap();
    let degree = context.degree();
    let elements = [
        GaloisElement::rotation(1, degree),
        GaloisElement::rotation(-3, degree),
        GaloisElement::conjugation(degree),
    ];
    let galois = key.galois_keys(&elements, &mut randomness).unwrap();
    put("in-relin-full.bin", &seal::encode_relin_keys(&relin, context).unwrap());
    put("in-relin-seeded.bin", &seal::encode_relin_keys_seeded(&relin, &key, &mut randomness).unwrap());
    put("in-galois-full.bin", &seal::encode_galois_keys(&galois, context).unwrap());
    put("in-galois-seeded.bin", &seal::encode_galois_keys_seeded(&galois, &key, &mut randomness).unwrap());
    let mut values = String::new();
    write!(values, "{{\"a\": {a:?}, \"b\": {b:?}, \"scale\": {scale:?}}}").unwrap();
    put("values.json", values.as_bytes());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop.py");
    let output = run(Command::new(interpreter).arg(script).arg(backend).arg(&folder))
        .unwrap_or_else(|error| panic!("{backend}: {error}"));
    let errors: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors = errors.as_object().unwrap();
    assert_eq!(errors.len(), 9 + 2 * 5, "{errors:?}");
    for (name, error) in errors {
        assert!(error.as_f64().unwrap() < TOLERANCE, "{backend}: {name}: error {error}");
    }

    // What SEAL computed and wrote is read, and decrypts to the same.
    let get = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let decrypt = |ciphertext: &Ciphertext| encoder.decode(&key.decrypt(ciphertext).unwrap());
    let last = context.basis().modulus(level).value() as f64;
    let fresh = Shape::ciphertext(context, level, scale);
    let squared = Shape::ciphertext(context, level, scale * scale).with_parts(3);
    let rescaled = Shape::ciphertext(context, level - 1, scale * scale / last);
    let pairs = || a.iter().zip(&b);
    let mut table: Vec<(&str, &Shape, Vec<f64>)> = vec![
        ("out-add.bin", &fresh, pairs().map(|(x, y)| x + y).collect()),
        ("out-product.bin", &rescaled, pairs().map(|(x, y)| x * y).collect()),
        ("out-square.bin", &squared, b.iter().map(|x| x * x).collect()),
        ("out-relinearized.bin", &rescaled, b.iter().map(|x| x * x).collect()),
        ("out-rotate.bin", &fresh, [&a[1..], &a[..1]].concat()),
        ("out-fresh.bin", &fresh, a.clone()),
        ("out-public-encrypted.bin", &fresh, a.clone()),
    ];
    for [product, left, right] in [
        ["out-multiplied-full.bin", "out-rotated1-full.bin", "out-rotated-3-full.bin"],
        ["out-multiplied-seeded.bin", "out-rotated1-seeded.bin", "out-rotated-3-seeded.bin"],
    ] {
        table.push((product, &rescaled, pairs().map(|(x, y)| x * y).collect()));
        table.push((left, &fresh, [&a[1..], &a[..1]].concat()));
        table.push((right, &fresh, [&a[a.len() - 3..], &a[..a.len() - 3]].concat()));
    }
    if backend == "tenseal" {
        table.push(("out-seeded.bin", &fresh, b.clone()));
        assert_eq!(inspect(&get("out-seeded.bin")).unwrap().seeded, Some(true));
        assert_eq!(inspect(&get("out-fresh.bin")).unwrap().compression, Some(Compression::Zstd));
    }
    for (name, shape, expected) in table {
        let ciphertext = seal::decode_ciphertext(&get(name), shape)
            .unwrap_or_else(|error| panic!("{backend}: {name}: {error:?}"));
        let error = max_error(&decrypt(&ciphertext), &expected);
        assert!(error < TOLERANCE, "{backend}: {name}: error {error}");
    }
    let primes: Vec<u64> = context.basis().moduli().map(|q| q.value()).collect();
    assert_eq!(seal::decode_parameters(&get("out-parameters.bin")).unwrap().primes, primes);
    let secret = seal::decode_secret_key(&get("out-secret.bin"), context).unwrap();
    assert_eq!(secret.coefficients(), key.coefficients());
    assert!(seal::decode_public_key(&get("out-public.bin"), context).unwrap() == public);
    let plaintext = seal::decode_plaintext(&get("out-plaintext.bin"), context).unwrap();
    assert!(max_error(&encoder.decode(&plaintext), &b) < TOLERANCE);

    // And keys that SEAL made are computed with here.
    let evaluator = Evaluator::new(context);
    let theirs = seal::decode_relin_keys(&get("out-relin.bin"), context).unwrap();
    let ciphertext = seal::decode_ciphertext(&get("out-fresh.bin"), &fresh).unwrap();
    let product = evaluator.multiply(&ciphertext, &ciphertext).unwrap();
    let product = evaluator.rescale(&evaluator.relinearize(&product, &theirs).unwrap()).unwrap();
    let squares: Vec<f64> = a.iter().map(|x| x * x).collect();
    let error = max_error(&decrypt(&product), &squares);
    assert!(error < TOLERANCE, "{backend}: relinearized with SEAL's key: error {error}");
    let theirs = seal::decode_galois_keys(&get("out-galois.bin"), context, &elements[..1]).unwrap();
    let rotated = evaluator.rotate(&ciphertext, 1, &theirs).unwrap();
    let error = max_error(&decrypt(&rotated), &[&a[1..], &a[..1]].concat());
    assert!(error < TOLERANCE, "{backend}: rotated with SEAL's key: error {error}");
}
