//! `hei doctor`: is this machine fit for use?

use std::collections::HashSet;
use std::time::Instant;

use hei_ckks::{
    Encoder, Evaluator, OsRandomness, Parameters, ParametersLiteral, RandomSource, SecretKey, security,
};
use serde::Serialize;

use crate::args::Doctor;
use crate::exit::{Failure, Outcome};
use crate::{kernel, output};

#[derive(Serialize)]
struct Report {
    ok: bool,
    version: &'static str,
    target: String,
    threads: usize,
    threads_per_operation: &'static str,
    cpu_features: Vec<&'static str>,
    kernel: &'static str,
    kernel_detected: &'static str,
    kernel_reason: String,
    security_table: &'static str,
    keys: String,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

pub(crate) fn run(args: &Doctor) -> Outcome {
    let checks = vec![
        check("randomness", randomness),
        check("round trip", round_trip),
        check("security table", table),
        check("built-in models", models),
    ];
    let choice = kernel::choice();
    let report = Report {
        ok: checks.iter().all(|check| check.ok),
        version: env!("CARGO_PKG_VERSION"),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        threads_per_operation: "one; limbs can be divided among more (`hei bench scaling` measures two)",
        cpu_features: cpu_features(),
        kernel: choice.used.name(),
        kernel_detected: choice.detected.name(),
        kernel_reason: choice.reason,
        security_table: security::TABLE,
        keys: hei_client::store::KeyStore::user()
            .map_or_else(|error| error.to_string(), |store| store.directory().display().to_string()),
        checks,
    };
    if args.json {
        output::json(&report)?;
        return Ok(report.ok);
    }
    let features = if report.cpu_features.is_empty() {
        "none of note".to_owned()
    } else {
        report.cpu_features.join(" ")
    };
    let mut text = format!(
        "hei {}\nmachine         {}, {} threads\ncpu features    {features}\nkernel          {} (detected: {}; {})\n\
         an operation    on {}\nsecurity table  {}\nkeys            {}\n",
        report.version,
        report.target,
        report.threads,
        report.kernel,
        report.kernel_detected,
        report.kernel_reason,
        report.threads_per_operation,
        report.security_table,
        report.keys
    );
    for check in &report.checks {
        let verdict = if check.ok { "ok    " } else { "FAULT " };
        text.push_str(&format!("{verdict} {}: {}\n", check.name, check.detail));
    }
    output::answer(&text)?;
    Ok(report.ok)
}

fn check(name: &'static str, test: impl FnOnce() -> Result<(bool, String), Failure>) -> Check {
    let (ok, detail) = test().unwrap_or_else(|failure| (false, failure.to_string()));
    Check { name, ok, detail }
}

/// Not a statistical test: it notices a source that is stuck, absent or grossly biased.
fn randomness() -> Result<(bool, String), Failure> {
    const KEYS: usize = 4096;
    let mut seen = HashSet::with_capacity(KEYS);
    let mut ones = 0u64;
    for _ in 0..KEYS {
        let key = OsRandomness.key()?;
        ones += key.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
        seen.insert(*key);
    }
    let bits = (KEYS * 256) as f64;
    // Ten standard deviations of a fair coin.
    let balanced = (ones as f64 - bits / 2.0).abs() < 5.0 * bits.sqrt();
    let share = ones as f64 / bits;
    Ok((seen.len() == KEYS && balanced, format!("{KEYS} keys of 256 bits, none repeated, {share:.4} ones")))
}

/// Encrypts, computes, rescales, decrypts and compares.
fn round_trip() -> Result<(bool, String), Failure> {
    let begun = Instant::now();
    let scale = f64::exp2(40.0);
    let parameters = Parameters::new(&ParametersLiteral {
        poly_modulus_degree: 8192,
        coeff_modulus_bits: vec![60, 40, 40, 60],
        special_count: 1,
        scale,
    })?;
    let context = parameters.context();
    let mut random = OsRandomness;
    let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
    let secret = SecretKey::generate(context, &mut random)?;
    let values: Vec<f64> = (0..context.slots()).map(|i| (i as f64 * 0.7).cos()).collect();
    let plain = encoder.encode(&values, context.max_level(), scale)?;
    let mut worst = 0.0f64;
    let public = secret.public_key(&mut random)?;
    for ciphertext in [secret.encrypt(&plain, &mut random)?, public.encrypt(&plain, &mut random)?] {
        let squared = evaluator.rescale(&evaluator.multiply_plain(&ciphertext, &plain)?)?;
        let result = encoder.decode(&secret.decrypt(&squared)?);
        worst = result.iter().zip(&values).map(|(r, v)| (r - v * v).abs()).fold(worst, f64::max);
    }
    let ms = output::milliseconds(begun.elapsed());
    Ok((
        worst < 1e-4,
        format!("{} slots squared under encryption, largest error {worst:.1e}, {ms:.0} ms", values.len()),
    ))
}

/// The table refuses what it must refuse.
fn table() -> Result<(bool, String), Failure> {
    let weak = ParametersLiteral {
        poly_modulus_degree: 8192,
        coeff_modulus_bits: vec![55, 54, 54, 55],
        special_count: 1,
        scale: f64::exp2(40.0),
    };
    let refused = Parameters::new(&weak).is_err();
    Ok((refused, "218 bits at N=8192 (allowed by the 2018 table) are refused".to_owned()))
}

fn models() -> Result<(bool, String), Failure> {
    let names = crate::reference::verify()?;
    Ok((true, names.join(", ")))
}

fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let found: [(&'static str, bool); 7] = [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("adx", std::arch::is_x86_feature_detected!("adx")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512dq", std::arch::is_x86_feature_detected!("avx512dq")),
        ("avx512ifma", std::arch::is_x86_feature_detected!("avx512ifma")),
    ];
    #[cfg(target_arch = "aarch64")]
    let found: [(&'static str, bool); 3] = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
        ("sve2", std::arch::is_aarch64_feature_detected!("sve2")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found: [(&'static str, bool); 0] = [];
    found.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}
