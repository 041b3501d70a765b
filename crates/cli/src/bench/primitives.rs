//! `hei bench primitives`: each operation of the scheme on its own, one thread.

use std::time::Duration;

use hei_ring::kernel;
use serde::Serialize;

use super::args::BenchPrimitives;
use super::sets::{self, Set};
use super::timing::{Effort, Times, measure};
use super::workload::{Operation, Workload};
use crate::exit::{Failure, Outcome};
use crate::output;

/// One operation on one parameter set.
#[derive(Serialize)]
struct Row {
    op: &'static str,
    degree: usize,
    chain: Vec<u32>,
    special: usize,
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
    for set in sets::chosen(&args.sets) {
        for hybrid in [false, true] {
            if !hybrid || set.hybrid.is_some() {
                measure_set(set, hybrid, effort, &mut rows)?;
            }
        }
    }
    if args.json {
        output::json(&rows)?;
    } else {
        let cells = |row: &Row| {
            let chain = super::report::abbreviated(&row.chain);
            let (median, min) = (format!("{:.1}", row.median_us), format!("{:.1}", row.min_us));
            let special = row.special.to_string();
            vec![
                row.op.to_owned(),
                row.degree.to_string(),
                chain,
                special,
                row.kernel.to_owned(),
                median,
                min,
            ]
        };
        let cells: Vec<_> = rows.iter().map(cells).collect();
        output::answer(&output::table(
            &["operation", "N", "chain", "special", "kernel", "median us", "min us"],
            &cells,
        ))?;
    }
    Ok(true)
}

fn measure_set(set: &Set, hybrid: bool, effort: Effort, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let literal = set.literal(hybrid);
    output::progress(format_args!("N={} {:?}", set.degree, literal.coeff_modulus_bits));
    let workload = Workload::new(&literal)?;
    let mut add = |op: &'static str, times: Times, operations: u32| {
        let us = |d: Duration| (d.as_secs_f64() * 1e8 / f64::from(operations)).round() / 1e2;
        rows.push(Row {
            op,
            degree: set.degree,
            chain: literal.coeff_modulus_bits.clone(),
            special: literal.special_count,
            kernel: kernel::name(),
            threads: 1,
            median_us: us(times.quantile(0.5)),
            min_us: us(times.min()),
        });
    };
    for op in Operation::ALL.into_iter().filter(|op| workload.offers(*op)) {
        add(op.name(), Times::gather(effort, |count| workload.time(op, count))?, op.per_call());
    }

    // One transform of one limb, in place: the unit that every other cost counts.
    let context = workload.parameters().context();
    let table = context.basis().table(0);
    let mut limb =
        workload.ciphertext().parts().first().map(|part| part.limb(0).to_vec()).unwrap_or_default();
    let inverse = |limb: &mut Vec<u64>| {
        table.inverse(limb);
        Ok::<_, Failure>(())
    };
    let forward = |limb: &mut Vec<u64>| {
        table.forward(limb);
        Ok::<_, Failure>(())
    };
    add("ntt_inv", measure(effort, || inverse(&mut limb))?, 1);
    add("ntt_fwd", measure(effort, || forward(&mut limb))?, 1);
    Ok(())
}
