//! Stepping through a program that stops at its own breakpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Instructions by their place in the program, for each secret, and what was divided by what.
pub(crate) struct Traces {
    pub(crate) runs: Vec<Vec<u64>>,
    divisions: Vec<Vec<[u64; 3]>>,
}

impl Traces {
    /// Where the first run and another one part, in both.
    pub(crate) fn first_difference(&self) -> Option<[u64; 2]> {
        let first = &self.runs[0];
        let run = self.runs[1..].iter().find(|run| *run != first)?;
        let parted = first.iter().zip(run).position(|(a, b)| a != b);
        let at = parted.unwrap_or(first.len().min(run.len()) - 1);
        // What they have last in common is the branch.
        Some([first[at.saturating_sub(1)], run[at]])
    }

    /// Whether every division of integers, as of a length by a width, has had the same operands whatever the secret was.
    pub(crate) fn divides_the_same(&self) -> bool {
        self.divisions[1..].iter().all(|run| *run == self.divisions[0])
    }

    pub(crate) fn distinct(&self) -> BTreeSet<u64> {
        self.runs.iter().flatten().copied().collect()
    }
}

/// Whether one process may trace another here: containers can forbid it.
pub(crate) fn allowed(program: &Path) -> bool {
    let mut child = waiting(program, "scalar", "planted_branch");
    let allowed = ptrace::seize(pid(&child), ptrace::Options::PTRACE_O_EXITKILL).is_ok();
    child.kill().unwrap();
    child.wait().unwrap();
    let required = std::env::var("HEI_REQUIRE").unwrap_or_default();
    assert!(allowed || !required.contains("ptrace"), "ptrace is required and not permitted");
    if !allowed {
        println!("SKIPPED: this process may not trace another (ptrace)");
    }
    allowed
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// The program, which begins when it is sent a line.
fn waiting(program: &Path, level: &str, probe: &str) -> Child {
    let arguments = ["trace", level, probe];
    Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// Every instruction between two breakpoints, for each pair of them. `divisors` are the places of divisions of integers, with
/// the register that is divided by.
pub(crate) fn of(program: &Path, level: &str, probe: &str, divisors: &BTreeMap<u64, String>) -> Traces {
    let mut child = waiting(program, level, probe);
    let pid = pid(&child);
    ptrace::seize(pid, ptrace::Options::PTRACE_O_EXITKILL).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut runs: Vec<Vec<u64>> = Vec::new();
    let mut divisions: Vec<Vec<[u64; 3]>> = Vec::new();
    let mut text = 0..0;
    // Just behind the breakpoint.
    let mut end = None;
    let mut inside = false;
    loop {
        match waitpid(pid, None).unwrap() {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "{probe} ended well");
                // Waited for already: this only says so to the standard library.
                drop(child.wait());
                return Traces { runs, divisions };
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => panic!("{probe}: {other:?}"),
        }
        let registers = ptrace::getregs(pid).unwrap();
        let pc = registers.rip;
        if *end.get_or_insert(pc) == pc {
            inside = !inside;
            if inside {
                text = mapping(child.id(), program);
                runs.push(Vec::new());
                divisions.push(Vec::new());
            }
        } else if let (Some(run), Some(divisions)) = (runs.last_mut(), divisions.last_mut()) {
            // The C library's allocator and copies go by sizes and addresses: not part of the program.
            if text.contains(&pc) {
                let place = pc - text.start;
                run.push(place);
                if let Some(divisor) = divisors.get(&place) {
                    divisions.push([registers.rax, registers.rdx, register(&registers, divisor)]);
                }
            }
        }
        if inside { ptrace::step(pid, None) } else { ptrace::cont(pid, None) }.unwrap();
    }
}

/// A register of 64 or 32 bits by its name, in full.
fn register(r: &user_regs_struct, name: &str) -> u64 {
    let numbered = name.trim_start_matches(['%', 'r', 'e']).trim_end_matches('d');
    match numbered {
        "ax" => r.rax,
        "bx" => r.rbx,
        "cx" => r.rcx,
        "dx" | "x" => r.rdx,
        "si" => r.rsi,
        "di" | "i" => r.rdi,
        "bp" => r.rbp,
        "8" => r.r8,
        "9" => r.r9,
        "10" => r.r10,
        "11" => r.r11,
        "12" => r.r12,
        "13" => r.r13,
        "14" => r.r14,
        "15" => r.r15,
        _ => panic!("{name} is not the name of a register"),
    }
}

/// Where the program is in memory, from its first byte on.
fn mapping(pid: u32, program: &Path) -> Range<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let name = program.canonicalize().unwrap();
    let ranges: Vec<(u64, u64)> = maps
        .lines()
        .filter(|line| line.ends_with(name.to_str().unwrap()))
        .map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap())
        })
        .collect();
    ranges[0].0..ranges[ranges.len() - 1].1
}
