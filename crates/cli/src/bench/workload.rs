//! The operations of the scheme on one parameter set, ready to be timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hei_ckks::{
    Ciphertext, Encoder, Evaluator, GaloisKeys, KeyManifest, OsRandomness, Parameters, ParametersLiteral,
    Plaintext, PublicKey, RelinKey, SecretKey,
};
use hei_ring::GaloisElement;

use crate::exit::Failure;

/// An operation, with its name in every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Encode,
    Decode,
    EncryptSymmetric,
    EncryptPublic,
    Decrypt,
    Add,
    MultiplyPlain,
    Multiply,
    Relinearize,
    Rescale,
    MultiplyRelinearizeRescale,
    Rotate,
    RotateHoisted,
}

use Operation as Op;

/// Rotations of one decomposed ciphertext; a hoisted rotation costs a sixteenth of them all.
pub(crate) const HOISTED: usize = 16;

/// Keys that would take more are not made for hoisted rotations.
const KEY_MEMORY: usize = 1 << 30;

impl Operation {
    pub(crate) const ALL: [Op; 13] = [
        Op::Encode,
        Op::Decode,
        Op::EncryptSymmetric,
        Op::EncryptPublic,
        Op::Decrypt,
        Op::Add,
        Op::MultiplyPlain,
        Op::Multiply,
        Op::Relinearize,
        Op::Rescale,
        Op::MultiplyRelinearizeRescale,
        Op::Rotate,
        Op::RotateHoisted,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Encode => "encode",
            Op::Decode => "decode",
            Op::EncryptSymmetric => "encrypt_sym",
            Op::EncryptPublic => "encrypt_pk",
            Op::Decrypt => "decrypt",
            Op::Add => "add",
            Op::MultiplyPlain => "mul_plain",
            Op::Multiply => "mul",
            Op::Relinearize => "relinearize",
            Op::Rescale => "rescale",
            Op::MultiplyRelinearizeRescale => "mul_relin_rescale",
            Op::Rotate => "rotate",
            Op::RotateHoisted => "rotate_hoisted",
        }
    }

    /// The operations that one timed call performs.
    pub(crate) fn per_call(self) -> u32 {
        if self == Op::RotateHoisted { HOISTED as u32 } else { 1 }
    }
}

/// Keys and operands of one parameter set.
pub(crate) struct Workload {
    parameters: Parameters,
    encoder: Encoder,
    evaluator: Evaluator,
    secret: SecretKey,
    public: PublicKey,
    relin: Option<RelinKey>,
    galois: GaloisKeys,
    values: Vec<f64>,
    plain: Plaintext,
    a: Ciphertext,
    b: Ciphertext,
    product: Ciphertext,
    short: Ciphertext,
}

impl Workload {
    pub(crate) fn new(literal: &ParametersLiteral) -> Result<Self, Failure> {
        let parameters = Parameters::new(literal)?;
        let context = parameters.context();
        let random = &mut OsRandomness;
        let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
        let secret = SecretKey::generate(context, random)?;
        let public = secret.public_key(random)?;
        let level = context.max_level();
        let switching = context.special_count() > 0;
        let relin = if switching { Some(secret.relin_key(random)?) } else { None };
        let step = |step: usize| GaloisElement::rotation(step as i64, context.degree());
        let mut manifest = KeyManifest::new();
        (1..=HOISTED).for_each(|s| manifest.need_galois(step(s), level));
        let steps = match (switching, manifest.memory(context) <= KEY_MEMORY) {
            (true, true) => HOISTED,
            (true, false) => 1,
            (false, _) => 0,
        };
        let galois = secret.galois_keys(&(1..=steps).map(step).collect::<Vec<_>>(), random)?;
        let values: Vec<f64> = (0..context.slots()).map(|i| (i as f64 * 0.37).sin()).collect();
        let plain = encoder.encode(&values, level, literal.scale)?;
        let a = secret.encrypt(&plain, random)?;
        let b = public.encrypt(&plain, random)?;
        let product = evaluator.multiply(&a, &b)?;
        let short = match &relin {
            Some(key) => evaluator.relinearize(&product, key)?,
            None => a.clone(),
        };
        Ok(Self {
            encoder,
            evaluator,
            secret,
            public,
            relin,
            galois,
            values,
            plain,
            a,
            b,
            product,
            short,
            parameters,
        })
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(crate) fn secret(&self) -> &SecretKey {
        &self.secret
    }

    pub(crate) fn ciphertext(&self) -> &Ciphertext {
        &self.a
    }

    /// What this parameter set allows.
    pub(crate) fn offers(&self, op: Operation) -> bool {
        match op {
            Op::Relinearize => self.relin.is_some(),
            Op::Rescale => self.a.level() > 0,
            Op::MultiplyRelinearizeRescale => self.relin.is_some() && self.a.level() > 0,
            Op::Rotate => self.galois.elements().next().is_some(),
            Op::RotateHoisted => self.galois.elements().count() == HOISTED,
            _ => true,
        }
    }

    /// Largest error of x·x and of x rotated by one, to show that what is timed is right.
    pub(crate) fn max_error(&self) -> Result<f64, Failure> {
        let largest = |made: &Ciphertext, expected: &dyn Fn(usize) -> f64| {
            let values = self.encoder.decode(&self.secret.decrypt(made)?);
            let errors = values.iter().enumerate().map(|(i, v)| (v - expected(i)).abs());
            Ok::<_, Failure>(errors.fold(0.0, f64::max))
        };
        let (x, slots) = (&self.values, self.values.len());
        let rotated = self.evaluator.rotate(&self.a, 1, &self.galois)?;
        let squared = self.multiply_relinearize_rescale()?;
        Ok(largest(&rotated, &|i| x[(i + 1) % slots])?.max(largest(&squared, &|i| x[i] * x[i])?))
    }

    fn relinearization(&self) -> Result<&RelinKey, Failure> {
        self.relin.as_ref().ok_or_else(|| anyhow::anyhow!("no key: the set has no special prime").into())
    }

    fn multiply_relinearize_rescale(&self) -> Result<Ciphertext, Failure> {
        let product = self.evaluator.multiply(&self.a, &self.b)?;
        Ok(self.evaluator.relinearize_rescale(&product, self.relinearization()?)?)
    }

    /// Times single calls; what a call made is dropped outside the clock.
    pub(crate) fn time(&self, op: Operation, count: usize) -> Result<Vec<Duration>, Failure> {
        let (encoder, evaluator, random) = (&self.encoder, &self.evaluator, &mut OsRandomness);
        let (a, b, plain) = (&self.a, &self.b, &self.plain);
        let (level, scale) = (plain.level(), plain.scale());
        match op {
            Op::Encode => timed(count, || encoder.encode(&self.values, level, scale)),
            Op::Decode => timed(count, || Ok::<_, Failure>(encoder.decode(plain))),
            Op::EncryptSymmetric => timed(count, || self.secret.encrypt(plain, random)),
            Op::EncryptPublic => timed(count, || self.public.encrypt(plain, random)),
            Op::Decrypt => timed(count, || self.secret.decrypt(a)),
            Op::Add => timed(count, || evaluator.add(a, b)),
            Op::MultiplyPlain => timed(count, || evaluator.multiply_plain(a, plain)),
            Op::Multiply => timed(count, || evaluator.multiply(a, b)),
            Op::Relinearize => {
                let key = self.relinearization()?;
                timed(count, || evaluator.relinearize(&self.product, key))
            }
            Op::Rescale => timed(count, || evaluator.rescale(&self.short)),
            Op::MultiplyRelinearizeRescale => timed(count, || self.multiply_relinearize_rescale()),
            Op::Rotate => timed(count, || evaluator.rotate(a, 1, &self.galois)),
            Op::RotateHoisted => timed(count, || {
                let hoisted = evaluator.hoist(a)?;
                (1..=HOISTED as i64)
                    .map(|step| evaluator.rotate_hoisted(&hoisted, step, &self.galois))
                    .collect::<Result<Vec<_>, _>>()
            }),
        }
    }
}

fn timed<T, E: Into<Failure>>(
    count: usize,
    mut run: impl FnMut() -> Result<T, E>,
) -> Result<Vec<Duration>, Failure> {
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let made = black_box(run().map_err(Into::into)?);
        runs.push(start.elapsed());
        drop(made);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::super::sets;
    use super::*;

    #[test]
    fn every_operation_of_a_set_runs_and_is_right() {
        let workload = Workload::new(&sets::parse("n4096").unwrap().literal(false)).unwrap();
        for op in Operation::ALL {
            assert!(workload.offers(op), "{op:?}");
            let times = workload.time(op, 2).unwrap();
            assert!(times.len() == 2 && times.iter().all(|t| !t.is_zero()), "{op:?}");
        }
        assert!(workload.max_error().unwrap() < 1e-2);
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = Operation::ALL.iter().map(|op| op.name()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
    }
}
