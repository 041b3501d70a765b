//! `hei bench scaling`: how cost grows with the degree and with the number of primes, and what things weigh.

use std::fmt::Write;
use std::time::Duration;

use hei_ckks::{EvaluationKeys, KeyManifest, OsRandomness, ParametersLiteral, SecretKey};
use hei_ring::GaloisElement;
use hei_ring::parallel::Threads;
use serde::Serialize;

use super::args::BenchScaling;
use super::chart::{self, Series};
use super::files;
use super::machine::Machine;
use super::report::{abbreviated, microseconds};
use super::sets::SETS;
use super::timing::{Effort, Times, measure};
use super::workload::{Operation, Workload};
use crate::exit::{Failure, Outcome};
use crate::output;

use Operation as Op;

/// Over the degree.
const BY_DEGREE: [Op; 8] = [
    Op::Encode,
    Op::Decode,
    Op::EncryptSymmetric,
    Op::Decrypt,
    Op::MultiplyPlain,
    Op::Rescale,
    Op::MultiplyRelinearizeRescale,
    Op::Rotate,
];

/// Over the number of primes.
const BY_PRIMES: [Op; 5] =
    [Op::EncryptSymmetric, Op::MultiplyPlain, Op::Rescale, Op::Relinearize, Op::Rotate];

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// Two data primes and a special one at growing degrees.
    by_degree: Vec<Point>,
    /// Growing numbers of primes at one degree.
    by_primes: Vec<Point>,
    sizes: Vec<Size>,
    key_generation: Vec<KeyRate>,
    two_threads: Vec<Both>,
}

/// The same operation on one thread and, right after, on two.
#[derive(Serialize)]
struct Both {
    op: &'static str,
    set: &'static str,
    one_us: f64,
    two_us: f64,
    times_as_fast: f64,
}

#[derive(Serialize)]
struct Point {
    op: &'static str,
    degree: usize,
    data_primes: usize,
    special_primes: usize,
    median_us: f64,
    min_us: f64,
}

/// Bytes as computed from the parameters and as measured on the objects and their serializations.
#[derive(Serialize)]
struct Size {
    object: &'static str,
    set: &'static str,
    chain: Vec<u32>,
    special_primes: usize,
    memory_computed: usize,
    memory_measured: usize,
    wire_computed: usize,
    wire_measured: usize,
    /// What the serialization adds: its header.
    header: usize,
}

#[derive(Serialize)]
struct KeyRate {
    key: &'static str,
    set: &'static str,
    special_primes: usize,
    median_us: f64,
    per_second: f64,
}

pub(crate) fn run(args: &BenchScaling) -> Outcome {
    let effort = if args.quick {
        Effort { budget: Duration::from_millis(5), at_least: 3, at_most: 20 }
    } else {
        Effort { budget: Duration::from_millis(250), at_least: 9, at_most: 500 }
    };
    let mut report = Report {
        machine: Machine::new(),
        by_degree: Vec::new(),
        by_primes: Vec::new(),
        sizes: Vec::new(),
        key_generation: Vec::new(),
        two_threads: Vec::new(),
    };
    let largest = if args.quick { 8192 } else { 65536 };
    let mut degree = 4096;
    while degree <= largest {
        output::progress(format_args!("N={degree}"));
        points(&literal(degree, &[36, 34], &[36]), &BY_DEGREE, effort, &mut report.by_degree)?;
        degree *= 2;
    }
    let (degree, counts): (usize, &[usize]) =
        if args.quick { (8192, &[1, 2, 3]) } else { (32768, &[1, 2, 3, 4, 6, 8, 12]) };
    for &count in counts {
        let data: Vec<u32> = [50].into_iter().chain([47; 12]).take(count).collect();
        output::progress(format_args!("N={degree}, {count} data primes"));
        points(&literal(degree, &data, &[50]), &BY_PRIMES, effort, &mut report.by_primes)?;
        if count >= 4 {
            let special = vec![50; count.div_ceil(3)];
            points(&literal(degree, &data, &special), &BY_PRIMES, effort, &mut report.by_primes)?;
        }
    }
    for set in SETS.iter().filter(|set| !args.quick || set.degree <= 8192) {
        for hybrid in [false, true] {
            if !hybrid || set.hybrid.is_some() {
                output::progress(format_args!("sizes and keys of {}", set.name));
                weigh(set.name, &set.literal(hybrid), effort, &mut report)?;
            }
        }
    }
    let threads = Threads::new(2).map_err(anyhow::Error::from)?;
    for set in SETS.iter().filter(|set| !args.quick || set.degree <= 8192) {
        output::progress(format_args!("two threads: {}", set.name));
        two_threads(set.name, &set.literal(set.hybrid.is_some()), effort, &threads, &mut report.two_threads)?;
    }
    report.machine.finish();
    let markdown = report.markdown();
    let json = serde_json::to_string_pretty(&report)?;
    files::write(&args.output, "scaling", &markdown, &json, &report.chart())?;
    if args.json {
        output::json(&report)?;
    } else {
        output::answer(&markdown)?;
    }
    Ok(report.sizes.iter().all(Size::agrees))
}

fn literal(degree: usize, data: &[u32], special: &[u32]) -> ParametersLiteral {
    ParametersLiteral {
        poly_modulus_degree: degree,
        coeff_modulus_bits: [data, special].concat(),
        special_count: special.len(),
        // A product must fit one prime of 50 bits.
        scale: f64::exp2(20.0),
    }
}

fn points(
    literal: &ParametersLiteral,
    ops: &[Op],
    effort: Effort,
    out: &mut Vec<Point>,
) -> Result<(), Failure> {
    let workload = Workload::new(literal)?;
    for &op in ops.iter().filter(|op| workload.offers(**op)) {
        let times = Times::gather(effort, |count| workload.time(op, count))?;
        out.push(Point {
            op: op.name(),
            degree: literal.poly_modulus_degree,
            data_primes: literal.coeff_modulus_bits.len() - literal.special_count,
            special_primes: literal.special_count,
            median_us: times.quantile(0.5).as_secs_f64() * 1e6,
            min_us: times.min().as_secs_f64() * 1e6,
        });
    }
    Ok(())
}

fn two_threads(
    set: &'static str,
    literal: &ParametersLiteral,
    effort: Effort,
    threads: &Threads,
    out: &mut Vec<Both>,
) -> Result<(), Failure> {
    let workload = Workload::new(literal)?;
    for op in Operation::ALL.into_iter().filter(|op| workload.offers(*op)) {
        let one = Times::gather(effort, |count| workload.time(op, count))?;
        let two = threads.run(|| Times::gather(effort, |count| workload.time(op, count)))?;
        let [one_us, two_us] = [one, two].map(|times| times.quantile(0.5).as_secs_f64() * 1e6);
        out.push(Both { op: op.name(), set, one_us, two_us, times_as_fast: one_us / two_us.max(1e-9) });
    }
    Ok(())
}

fn weigh(
    set: &'static str,
    literal: &ParametersLiteral,
    effort: Effort,
    report: &mut Report,
) -> Result<(), Failure> {
    let workload = Workload::new(literal)?;
    let (context, secret, random) = (workload.parameters().context(), workload.secret(), &mut OsRandomness);
    let (degree, level) = (context.degree(), context.max_level());
    let polynomial: usize = context.data_moduli().map(|m| (degree * m.bits() as usize).div_ceil(8)).sum();
    let memory = |limbs: usize| limbs * degree * 8;
    let ciphertext = workload.ciphertext();
    let held = ciphertext.parts().iter().map(|part| 8 * part.data().len()).sum();
    let full = hei_wire::hei::encode_ciphertext_full(ciphertext, context)?.len();
    let seeded = hei_wire::hei::encode_ciphertext(ciphertext, context)?.len();
    let mut size = |object, memory: (usize, usize), wire: (usize, usize)| {
        report.sizes.push(Size {
            object,
            set,
            chain: literal.coeff_modulus_bits.clone(),
            special_primes: literal.special_count,
            memory_computed: memory.0,
            memory_measured: memory.1,
            wire_computed: wire.0,
            wire_measured: wire.1,
            header: wire.1.saturating_sub(wire.0),
        });
    };
    let in_memory = (memory(2 * (level + 1)), held);
    size("ciphertext", in_memory, (2 * polynomial, full));
    size("ciphertext, seeded", in_memory, (32 + polynomial, seeded));

    let relin = secret.relin_key(random)?;
    let parts = relin.0.digits().iter().map(|digit| digit.parts());
    let held = parts.map(|(b, a)| 8 * (b.data().len() + a.data().len())).sum();
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(level);
    let keys = EvaluationKeys { relinearization: Some(relin), ..EvaluationKeys::default() };
    let encoded = hei_wire::hei::encode_evaluation_keys(&keys, context)?.len();
    size("relinearization key, seeded", (manifest.memory(context), held), (manifest.bytes(context), encoded));

    let rotation = [GaloisElement::rotation(1, degree)];
    let mut rate = |key, times: Times| {
        let median = times.quantile(0.5).as_secs_f64();
        report.key_generation.push(KeyRate {
            key,
            set,
            special_primes: literal.special_count,
            median_us: median * 1e6,
            per_second: 1.0 / median.max(1e-9),
        });
    };
    rate("secret", measure(effort, || SecretKey::generate(context, random))?);
    rate("public", measure(effort, || secret.public_key(random))?);
    rate("relinearization", measure(effort, || secret.relin_key(random))?);
    rate("rotation", measure(effort, || secret.galois_keys(&rotation, random))?);
    Ok(())
}

impl Size {
    /// The same in memory, and on the wire but for a header that does not grow.
    fn agrees(&self) -> bool {
        self.memory_computed == self.memory_measured
            && self.wire_measured >= self.wire_computed
            && self.header <= 256
    }
}

impl Report {
    fn markdown(&self) -> String {
        let mut out = String::from("# How cost grows\n\n");
        out += &self.machine.markdown();
        out += "- medians in microseconds\n";
        out += "\n## With the degree: primes of [36, 34] bits and a special one of 36\n\n";
        table(&mut out, &self.by_degree, "N", |p| p.degree.to_string());
        let degree = self.by_primes.first().map_or(0, |p| p.degree);
        let _ =
            writeln!(out, "\n## With the primes: N={degree}, 47 bits, the first and the special ones 50\n");
        let name = |p: &Point| format!("{} + {}", p.data_primes, p.special_primes);
        table(&mut out, &self.by_primes, "data + special primes", name);
        out += "\n## Sizes, in bytes\n\n| object | set | chain | special | memory | serialized | of it header | \
                computed = measured |\n|---|---|---|---:|---:|---:|---:|---|\n";
        for s in &self.sizes {
            let verdict = if s.agrees() { "yes" } else { "**no**" };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {verdict} |",
                s.object,
                s.set,
                abbreviated(&s.chain),
                s.special_primes,
                s.memory_measured,
                s.wire_measured,
                s.header
            );
        }
        out += "\n## Keys\n\n| key | set | special | µs | per second |\n|---|---|---:|---:|---:|\n";
        for k in &self.key_generation {
            let us = microseconds(k.median_us);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {us} | {:.0} |",
                k.key, k.set, k.special_primes, k.per_second
            );
        }
        out += "\n## Two threads against one\n\nMicroseconds on one thread, on two (feature `parallel`), and how many times \
                as fast that is.\n\n| operation | set | one | two | |\n|---|---|---:|---:|---:|\n";
        for both in &self.two_threads {
            let (one, two) = (microseconds(both.one_us), microseconds(both.two_us));
            let _ =
                writeln!(out, "| {} | {} | {one} | {two} | {:.2} |", both.op, both.set, both.times_as_fast);
        }
        out
    }

    fn chart(&self) -> String {
        let mut degree: Vec<Series> = Vec::new();
        for p in &self.by_degree {
            push(&mut degree, p.op.to_owned(), p.degree as f64, p.median_us);
        }
        let mut primes: Vec<Series> = Vec::new();
        for p in &self.by_primes {
            let form = if p.special_primes > 1 { ", hybrid" } else { "" };
            push(&mut primes, format!("{}{form}", p.op), p.data_primes as f64, p.median_us);
        }
        let at = self.by_primes.first().map_or(0, |p| p.degree);
        chart::lines(
            "Median time of one operation, one thread",
            &[
                ("over the degree N, two data primes".to_owned(), degree),
                (format!("over the number of data primes, N={at}"), primes),
            ],
        )
    }
}

fn push(series: &mut Vec<Series>, name: String, x: f64, us: f64) {
    match series.iter_mut().find(|s| s.name == name) {
        Some(found) => found.points.push((x, us)),
        None => series.push(Series { name, points: vec![(x, us)] }),
    }
}

/// A row for each operation, a column for each place.
fn table(out: &mut String, points: &[Point], title: &str, column: impl Fn(&Point) -> String) {
    let mut columns: Vec<String> = Vec::new();
    let mut ops: Vec<&str> = Vec::new();
    for p in points {
        if !columns.contains(&column(p)) {
            columns.push(column(p));
        }
        if !ops.contains(&p.op) {
            ops.push(p.op);
        }
    }
    let _ = writeln!(out, "| {title} | {} |", columns.join(" | "));
    let _ = writeln!(out, "|---|{}", "---:|".repeat(columns.len()));
    for op in ops {
        let cell = |name: &String| {
            let found = points.iter().find(|p| p.op == op && column(p) == *name);
            found.map_or("–".to_owned(), |p| microseconds(p.median_us))
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let _ = writeln!(out, "| {op} | {} |", cells.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(op: &'static str, degree: usize, median_us: f64) -> Point {
        Point { op, degree, data_primes: 2, special_primes: 1, median_us, min_us: median_us }
    }

    #[test]
    fn a_table_has_a_column_for_each_place() {
        let points = [point("add", 4096, 5.0), point("add", 8192, 10.0), point("rotate", 8192, 100.0)];
        let mut out = String::new();
        table(&mut out, &points, "N", |p| p.degree.to_string());
        assert_eq!(
            out,
            "| N | 4096 | 8192 |\n|---|---:|---:|\n| add | 5.00 | 10.0 |\n| rotate | – | 100 |\n"
        );
    }

    #[test]
    fn sizes_agree_but_for_a_header() {
        let size = |memory_measured, wire_measured| Size {
            object: "ciphertext",
            set: "n4096",
            chain: vec![36],
            special_primes: 0,
            memory_computed: 100,
            memory_measured,
            wire_computed: 50,
            wire_measured,
            header: 10,
        };
        assert!(size(100, 60).agrees());
        assert!(!size(101, 60).agrees());
        assert!(!size(100, 49).agrees());
    }
}
