//! `hei bench compare`: the same operations here and in other libraries, in turns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::BenchCompare;
use super::driver::{Driver, GONE};
use super::machine::Machine;
use super::peers::{self, Peer};
use super::report::{Absent, Cell, Participant, Report, Row, SetReport, targets};
use super::sets::{self, Set};
use super::timing::Times;
use super::workload::{Operation, Workload};
use super::{chart, files};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;

/// An error beyond this means that something else was computed.
const WRONG: f64 = 1e-2;

/// Turns, and how long each participant may take in one.
#[derive(Clone, Copy)]
struct Turns {
    count: usize,
    each: Duration,
}

pub(crate) fn run(args: &BenchCompare) -> Outcome {
    let turns = if args.quick {
        Turns { count: 3, each: Duration::from_millis(4) }
    } else {
        Turns { count: 15, each: Duration::from_millis(30) }
    };
    let folder = args.folder.clone().or_else(peers::default_folder).ok_or_else(|| {
        Failure::new(Exit::Usage, "no cache folder is known for this user: name one with --folder")
    })?;
    let mut report =
        Report { machine: Machine::new(), sets: Vec::new(), absent: Vec::new(), targets: vec![] };
    let mut ready = Vec::new();
    for peer in &args.peers.0 {
        match peer.command(&folder, &args.python) {
            Ok(_) => ready.push(*peer),
            Err(reason) => report.absent.push(Absent { peer: peer.name, set: None, reason }),
        }
    }
    if !args.peers.0.is_empty() {
        let absent =
            |&(peer, reason): &(&'static str, &str)| Absent { peer, set: None, reason: reason.to_owned() };
        report.absent.extend(peers::NOT_DRIVEN.iter().map(absent));
    }
    for set in sets::chosen(&args.sets) {
        output::progress(format_args!("{}: N={} {:?} + {:?}", set.name, set.degree, set.data, set.special));
        let measured = measure(set, &ready, &folder, &args.python, turns, &mut report.absent)?;
        report.sets.push(measured);
    }
    report.machine.finish();
    report.targets = targets(&report.sets);
    let json = serde_json::to_string_pretty(&report)?;
    let markdown = report.markdown();
    files::write(&args.output, "compare", &markdown, &json, &chart::bars(&report))?;
    if args.json {
        output::json(&report)?;
    } else {
        output::answer(&markdown)?;
    }
    Ok(true)
}

/// Whoever can time an operation.
enum Timer {
    Here(Box<Workload>),
    Peer(Driver, Vec<String>),
}

impl Timer {
    fn offers(&self, op: Operation) -> bool {
        match self {
            Timer::Here(workload) => workload.offers(op),
            Timer::Peer(_, ops) => ops.iter().any(|name| name == op.name()),
        }
    }

    fn time(&mut self, op: Operation, count: usize) -> Result<Vec<Duration>, String> {
        match self {
            Timer::Here(workload) => workload.time(op, count).map_err(|failure| failure.to_string()),
            Timer::Peer(driver, ops) => {
                let times = driver.time(op, count);
                if times.as_ref().is_err_and(|reason| reason == GONE) {
                    // Said once, not again for every operation that is left.
                    ops.clear();
                }
                times
            }
        }
    }
}

fn measure(
    set: &'static Set,
    ready: &[&'static Peer],
    folder: &Path,
    pythons: &[PathBuf],
    turns: Turns,
    absent: &mut Vec<Absent>,
) -> Result<SetReport, Failure> {
    let mut timers = Vec::new();
    let mut participants = Vec::new();
    for (id, hybrid) in [("hei", false), ("hei-hybrid", true)] {
        if hybrid && set.hybrid.is_none() {
            continue;
        }
        let workload = Workload::new(&set.literal(hybrid))?;
        let context = workload.parameters().context();
        participants.push(Participant {
            id,
            library: format!("hei {}", env!("CARGO_PKG_VERSION")),
            chain: context.chain_bits(),
            special: context.special_count(),
            log2_qp: Some(workload.parameters().security().log2_qp),
            note: String::new(),
            empty_call_us: 0.0,
            max_error: workload.max_error()?,
        });
        timers.push(Timer::Here(Box::new(workload)));
    }
    for peer in ready {
        // A process for each set: a library that ends its process loses one set, not all.
        let opened = peer.command(folder, pythons).and_then(Driver::start).and_then(|mut driver| {
            let opened = driver.open(set)?;
            if opened.max_error > WRONG || opened.max_error.is_nan() {
                return Err(format!("its results are off by {:.1e}", opened.max_error));
            }
            Ok((driver, opened))
        });
        match opened {
            Ok((driver, opened)) => {
                participants.push(Participant {
                    id: peer.name,
                    library: opened.library,
                    special: opened.chain.len().saturating_sub(set.data.len()),
                    chain: opened.chain,
                    log2_qp: None,
                    note: opened.note,
                    empty_call_us: opened.empty_ns / 1e3,
                    max_error: opened.max_error,
                });
                timers.push(Timer::Peer(driver, opened.ops));
            }
            Err(reason) => absent.push(Absent { peer: peer.name, set: Some(set.name), reason }),
        }
    }
    let mut rows = Vec::new();
    for op in Operation::ALL {
        let cells = alternate(op, &mut timers, &participants, turns, |peer, reason| {
            absent.push(Absent { peer, set: Some(set.name), reason: format!("{}: {reason}", op.name()) });
        });
        rows.push(Row::new(op.name(), cells));
    }
    Ok(SetReport { name: set.name, degree: set.degree, participants, rows })
}

/// Everybody's turn, then again: what slows the machine down for a while slows everybody down.
fn alternate(
    op: Operation,
    timers: &mut [Timer],
    participants: &[Participant],
    turns: Turns,
    mut failed: impl FnMut(&'static str, String),
) -> Vec<Option<Cell>> {
    let mut runs: Vec<Option<(usize, Vec<Duration>)>> = Vec::new();
    for (timer, participant) in timers.iter_mut().zip(participants) {
        // Warms caches, and tells how many calls fill a turn.
        let first = if timer.offers(op) { Some(timer.time(op, 2)) } else { None };
        runs.push(match first {
            Some(Ok(times)) => {
                let one = times.iter().min().copied().unwrap_or_default().max(Duration::from_nanos(100));
                let fit = turns.each.as_nanos() / one.as_nanos();
                Some((fit.clamp(1, 300) as usize, Vec::new()))
            }
            Some(Err(reason)) => {
                failed(participant.id, reason);
                None
            }
            None => None,
        });
    }
    for _ in 0..turns.count {
        for ((timer, participant), run) in timers.iter_mut().zip(participants).zip(&mut runs) {
            let Some((count, times)) = run else { continue };
            match timer.time(op, *count) {
                Ok(more) => times.extend(more),
                Err(reason) => {
                    failed(participant.id, reason);
                    *run = None;
                }
            }
        }
    }
    let cell = |(run, participant): (Option<(usize, Vec<Duration>)>, &Participant)| {
        let (_, times) = run?;
        let count = times.len();
        let times = Times::new(times);
        let us = |time: Duration| {
            let call = time.as_secs_f64() * 1e6 - participant.empty_call_us;
            call.max(0.0) / f64::from(op.per_call())
        };
        Some(Cell { median_us: us(times.quantile(0.5)), min_us: us(times.min()), runs: count })
    };
    runs.into_iter().zip(participants).map(cell).collect()
}
