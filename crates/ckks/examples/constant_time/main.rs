//! The program that the constant-time checks run, trace and time. `tests/constant_time.rs` says what is concluded.
//!
//! ```text
//! constant_time list
//! constant_time poison LEVEL PROBE     secrets marked for valgrind's memcheck, the probe run once
//! constant_time trace LEVEL PROBE      the probe run between two breakpoints for each of SECRETS secrets
//! constant_time time LEVEL PROBE       Welch's t of a fixed against random secrets, printed
//! ```
//!
//! Never shipped, so that it may hold what the product must not: requests to valgrind and breakpoints, in assembly.

mod instrument;
mod probes;
mod timing;

use hei_ring::kernel::{self, Level};
use probes::{PROBES, Probe, State};

/// Secrets that a probe is traced with: all zero, the largest, and a random one.
const SECRETS: u64 = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => PROBES.iter().for_each(|probe| println!("{}", probe.name)),
        [mode @ ("poison" | "trace" | "time"), level, probe] => {
            let level = Level::from_name(level).expect("a kernel");
            assert!(kernel::force(level), "{} is not what this processor can do", level.name());
            let probe = PROBES.iter().find(|p| p.name == probe).expect("a probe");
            let mut state = State::new(mode == "poison");
            match mode {
                "poison" => {
                    state.fill(SECRETS);
                    state.poison();
                    (probe.run)(&mut state);
                }
                "trace" => {
                    // Whoever traces has to be there first.
                    std::io::stdin().read_line(&mut String::new()).expect("a line");
                    // What is allocated and set up once is not part of the trace.
                    for warm_up in 0..8 {
                        state.fill(SECRETS + warm_up);
                        (probe.run)(&mut state);
                    }
                    for secret in 0..SECRETS {
                        state.fill(secret);
                        traced(probe, &mut state);
                    }
                }
                _ => timing::report(probe, &mut state),
            }
        }
        _ => panic!("constant_time list | (poison|trace|time) LEVEL PROBE"),
    }
}

/// One place for all secrets: not unrolled with the loop around it.
#[inline(never)]
fn traced(probe: &Probe, state: &mut State) {
    instrument::breakpoint();
    (probe.run)(state);
    instrument::breakpoint();
}
