//! Nothing that handles secrets branches on them, or reads from an address made of them, in the machine code that ships.
//!
//! The program under test is `examples/constant_time`, built as a release is. Two checks, either of which would be enough for
//! most mistakes:
//!
//! - *poisoned*: secrets are marked undefined and valgrind's memcheck runs the program: it follows every bit and reports each
//!   jump and each address that depends on one (A. Langley, "ctgrind", 2010). It knows AVX2 and no AVX-512.
//! - *traced*: the program is stepped through, one instruction after the other, with several secrets: the same instructions in
//!   the same order for all, and none among them whose time or address depends on what it works on. This is for the kernels
//!   that valgrind does not know.
//!
//! Both must also report what is planted for them. A third, over time, is run by hand:
//! `cargo test --release -p hei-ckks --test constant_time -- --ignored --nocapture`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod disassembly;
mod trace;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use hei_ring::kernel::{Level, detected};

/// Only for the checks that can tell what they are about: validity of a key is decided, once, on all of it; numbers are
/// encoded by comparing them.
const NOT_POISONED: [&str; 3] = ["secret_key_from_coefficients", "secret_key_from_values", "encode"];

/// How many bytes are dropped is visible and says nothing of the others, so the paths differ.
const NOT_TRACED: [&str; 1] = ["ternary_sampler"];

/// Loops over words, where each kernel has code of its own.
const LOOPS: [&str; 6] =
    ["forward_transform", "inverse_transform", "products", "sums_and_signs", "reductions", "fused_sums"];

const PLANTED: [&str; 2] = ["planted_branch", "planted_division"];

/// Numbers are divided by a scale where floating point begins.
const NUMBERS: [&str; 3] = ["encode", "decode", "decrypt_coefficients"];

/// The one place that may depend on a secret's stream.
const SUPPRESSIONS: &str = "
{
   rejection of single bytes: jumps
   Memcheck:Cond
   fun:*sample*accept*
}
{
   rejection of single bytes: where the next one goes
   Memcheck:Value8
   fun:*sample*accept*
}
{
   rejection of single bytes: where a stretch goes, jumps
   Memcheck:Cond
   fun:mem*
   fun:*sample*accept*
}
{
   rejection of single bytes: where a stretch goes
   Memcheck:Value8
   fun:mem*
   fun:*sample*accept*
}
";

/// The program, compiled like a release: overflow checks would be branches of their own.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--example", "constant_time", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("constant_time"))
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("constant_time/release/examples/constant_time")
});

/// Those of this processor.
static LEVELS: LazyLock<Vec<Level>> =
    LazyLock::new(|| Level::ALL.into_iter().filter(|level| *level <= detected()).collect());

static PROBES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let output = Command::new(&*PROGRAM).arg("list").output().unwrap();
    let names: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(names.len() > 15, "the program lists its probes: {names:?}");
    names
});

/// Whether a tool is here. Where it is not, the test says so and passes, unless `HEI_REQUIRE` names it.
fn have(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var("HEI_REQUIRE").unwrap_or_default();
    assert!(found || !required.contains(tool), "{tool} is required and not here");
    if !found {
        println!("SKIPPED: {tool} is not here");
    }
    found
}

fn poisoned(level: &str, probe: &str, suppressions: &Path) -> Output {
    Command::new("valgrind")
        .args(["--quiet", "--error-exitcode=9"])
        .arg(format!("--suppressions={}", suppressions.display()))
        .arg(&*PROGRAM)
        .args(["poison", level, probe])
        .output()
        .unwrap()
}

#[test]
fn no_jump_and_no_address_is_made_of_a_secret() {
    if !have("valgrind") {
        return;
    }
    let suppressions = Path::new(env!("CARGO_TARGET_TMPDIR")).join("constant_time.supp");
    std::fs::write(&suppressions, SUPPRESSIONS).unwrap();
    for probe in PROBES.iter().filter(|probe| !NOT_POISONED.contains(&probe.as_str())) {
        for level in LEVELS.iter().filter(|level| **level <= Level::Avx2) {
            let output = poisoned(level.name(), probe, &suppressions);
            let report = String::from_utf8_lossy(&output.stderr).into_owned();
            match probe.as_str() {
                "planted_branch" => assert!(report.contains("Conditional jump"), "not found: {report}"),
                "planted_address" => assert!(report.contains("Use of uninitialised"), "not found: {report}"),
                _ => assert!(output.status.success(), "{probe} with {}:\n{report}", level.name()),
            }
        }
    }
}

#[test]
fn loops_run_the_same_instructions_whatever_the_secret_is() {
    if have("objdump") && trace::allowed(&PROGRAM) {
        let kernels: Vec<Level> = LEVELS.iter().copied().filter(|level| *level > Level::Avx2).collect();
        traced(&LOOPS, &kernels);
        traced(&PLANTED, &[detected()]);
        traced(&["secret_key_from_coefficients"], &[detected()]);
    }
}

#[test]
#[ignore = "steps through millions of instructions: minutes"]
fn everything_runs_the_same_instructions_whatever_the_secret_is() {
    if have("objdump") && trace::allowed(&PROGRAM) {
        let probes: Vec<&str> =
            PROBES.iter().map(String::as_str).filter(|probe| !NOT_TRACED.contains(probe)).collect();
        traced(&probes, &[detected()]);
    }
}

fn traced(probes: &[&str], levels: &[Level]) {
    let code = disassembly::read(&PROGRAM);
    let divisors = code.divisors();
    for probe in probes {
        for level in levels {
            let traces = trace::of(&PROGRAM, level.name(), probe, &divisors);
            let name = format!("{probe} with {}", level.name());
            assert!(traces.runs.len() == 3 && traces.runs[0].len() > 500, "{name} was run");
            let difference = traces.first_difference();
            if *probe == "planted_branch" {
                assert!(difference.is_some(), "the planted branch was not found");
                continue;
            }
            let places = difference.map(|pcs| pcs.map(|pc| code.describe(pc)));
            assert_eq!(places, None, "{name} takes another way for another secret");
            assert_eq!(
                traces.divides_the_same(),
                *probe != "planted_division",
                "{name}: operands of divisions"
            );
            let dependent = code.dependent_on_operands(&traces.distinct());
            let allowed = NUMBERS.contains(probe) && dependent.iter().all(|line| line.contains("div"));
            assert!(dependent.is_empty() || allowed, "{name}: {dependent:#?}");
        }
    }
}

/// What dudect does (O. Reparaz, J. Balasch, I. Verbauwhede, DATE 2017). Timing on a machine that does other things is a hint
/// and no proof, so this is for a quiet one.
#[test]
#[ignore = "measures time: run it alone on a quiet machine"]
fn a_fixed_secret_takes_as_long_as_random_ones() {
    let mut suspicious = Vec::new();
    for probe in PROBES.iter().filter(|probe| !NOT_TRACED.contains(&probe.as_str())) {
        let output = Command::new(&*PROGRAM).args(["time", detected().name(), probe]).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        print!("{line}");
        let t: f64 = line.split("\"t\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        match probe.as_str() {
            "planted_branch" | "planted_division" => {
                assert!(t > 10.0, "the planted {probe} was not found: {t}")
            }
            // dudect's own threshold of a leak for certain is 500, of a probable one 10.
            name if !name.starts_with("planted") && t > 10.0 => suspicious.push(line.clone()),
            _ => {}
        }
    }
    assert!(suspicious.is_empty(), "{suspicious:#?}");
}
