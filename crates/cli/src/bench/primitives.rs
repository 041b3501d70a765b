//! `hei bench primitives`: each operation of the scheme on its own, one thread.

use std::time::Duration;

use hei_ckks::{Encoder, Evaluator, OsRandomness, Parameters, ParametersLiteral, SecretKey};
use hei_ring::GaloisElement;
use serde::Serialize;

use super::timing::{Effort, Times, measure};
use crate::args::BenchPrimitives;
use crate::exit::{Failure, Outcome};
use crate::output;

/// Degree, bit sizes with the special prime last, log2 of the scale.
const SETS: [(usize, &[u32], i32); 3] =
    [(4096, &[36, 34, 36], 30), (8192, &[60, 40, 40, 60], 40), (16384, &[60, 30, 30, 60], 30)];

/// One operation on one parameter set.
#[derive(Serialize)]
struct Row {
    op: &'static str,
    degree: usize,
    chain: Vec<u32>,
    kernel: &'static str,
    threads: usize,
    median_us: f64,
    min_us: f64,
}

pub(crate) fn run(args: &BenchPrimitives) -> Outcome {
    let effort = if args.quick {
        Effort { budget: Duration::from_millis(20), at_least: 3, at_most: 50 }
    } else {
        Effort { budget: Duration::from_millis(400), at_least: 11, at_most: 2000 }
    };
    let mut rows = Vec::new();
    for (degree, chain, log_scale) in SETS {
        output::progress(format_args!("N={degree} {chain:?}"));
        measure_set(degree, chain, f64::exp2(f64::from(log_scale)), effort, &mut rows)?;
    }
    if args.json {
        output::json(&rows)?;
    } else {
        let cells = |row: &Row| {
            let chain = format!("{:?}", row.chain);
            let (median, min) = (format!("{:.1}", row.median_us), format!("{:.1}", row.min_us));
            vec![row.op.to_owned(), row.degree.to_string(), chain, row.kernel.to_owned(), median, min]
        };
        let cells: Vec<_> = rows.iter().map(cells).collect();
        output::answer(&output::table(
            &["operation", "N", "chain", "kernel", "median us", "min us"],
            &cells,
        ))?;
    }
    Ok(true)
}

fn measure_set(
    degree: usize,
    chain: &[u32],
    scale: f64,
    effort: Effort,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let parameters = Parameters::new(&ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: chain.to_vec(),
        special_count: 1,
        scale,
    })?;
    let context = parameters.context();
    let mut random = OsRandomness;
    let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
    let secret = SecretKey::generate(context, &mut random)?;
    let public = secret.public_key(&mut random)?;
    let relin = secret.relin_key(&mut random)?;
    let galois = secret.galois_keys(&[GaloisElement::rotation(1, degree)], &mut random)?;

    let level = context.max_level();
    let values: Vec<f64> = (0..context.slots()).map(|i| (i as f64 * 0.37).sin()).collect();
    let plain = encoder.encode(&values, level, scale)?;
    let a = secret.encrypt(&plain, &mut random)?;
    let b = secret.encrypt(&plain, &mut random)?;
    let product = evaluator.relinearize(&evaluator.multiply(&a, &b)?, &relin)?;

    let mut add = |op: &'static str, times: Times| {
        let us = |d: Duration| (d.as_secs_f64() * 1e8).round() / 1e2;
        rows.push(Row {
            op,
            degree,
            chain: chain.to_vec(),
            kernel: hei_ring::kernel::name(),
            threads: 1,
            median_us: us(times.quantile(0.5)),
            min_us: us(times.min()),
        });
    };
    add("encode", measure(effort, || encoder.encode(&values, level, scale))?);
    add("decode", measure(effort, || Ok::<_, Failure>(encoder.decode(&plain)))?);
    add("encrypt_sym", measure(effort, || secret.encrypt(&plain, &mut random))?);
    add("encrypt_pk", measure(effort, || public.encrypt(&plain, &mut random))?);
    add("decrypt", measure(effort, || secret.decrypt(&a))?);
    add("add", measure(effort, || evaluator.add(&a, &b))?);
    add("mul_plain", measure(effort, || evaluator.multiply_plain(&a, &plain))?);
    let chained = || evaluator.rescale(&evaluator.relinearize(&evaluator.multiply(&a, &b)?, &relin)?);
    add("mul_relin_rescale", measure(effort, chained)?);
    add("rescale", measure(effort, || evaluator.rescale(&product))?);
    add("rotate", measure(effort, || evaluator.rotate(&a, 1, &galois))?);

    // One transform of one limb, in place: the unit that every other cost counts.
    let table = context.basis().table(0);
    let mut limb = a.parts()[0].limb(0).to_vec();
    let inverse = |limb: &mut Vec<u64>| {
        table.inverse(limb);
        Ok::<_, Failure>(())
    };
    let forward = |limb: &mut Vec<u64>| {
        table.forward(limb);
        Ok::<_, Failure>(())
    };
    add("ntt_inv", measure(effort, || inverse(&mut limb))?);
    add("ntt_fwd", measure(effort, || forward(&mut limb))?);
    Ok(())
}
