//! `hei bench load`: the server under load, over loopback, with what it promises on the disk.

mod connection;
mod traffic;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::task::JoinSet;

use super::args::BenchLoad;
use super::machine::Machine;
use super::peers;
use crate::child::ServerProcess;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use connection::Connection;
use traffic::{Tally, Traffic, closed, gather, open};
use work::Work;

/// Clients that wait for each answer.
const CLIENTS: usize = 64;
const OPEN_CONNECTIONS: usize = 512;
/// A flood's connections.
const FLOODERS: usize = 8;

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// Median of an fsync after a small write where the data is.
    fsync_ms: f64,
    model: &'static str,
    layout: &'static str,
    clients: usize,
    request_bytes: usize,
    /// Ciphertexts prepared before the clock.
    prepared: Traffic,
    /// With key, encryption, decryption and the check of every answer within each client's time.
    with_cryptography: Traffic,
    overload: Option<Overload>,
    flood: Flood,
    /// Every promise, and whether it was kept in this run.
    kept: Vec<Promise>,
}

#[derive(Serialize)]
struct Overload {
    /// What each process may use.
    pinned: &'static str,
    max_queue_wait: String,
    capacity: Traffic,
    half: Traffic,
    fourfold: Traffic,
    p99_over_half: f64,
    goodput_over_capacity: f64,
    server_peak_bytes: u64,
    server_budget_bytes: u64,
}

#[derive(Serialize)]
struct Flood {
    bodies: usize,
    body_bytes: usize,
    body_seconds: f64,
    answers: std::collections::BTreeMap<u16, usize>,
    quiet: Traffic,
    flooded: Traffic,
    server_peak_bytes: u64,
}

#[derive(Serialize)]
struct Promise {
    promise: &'static str,
    reached: String,
    kept: bool,
}

pub(crate) fn run(args: &BenchLoad) -> Outcome {
    let mut machine = Machine::new();
    let folder = Folder::new(args.folder.clone())?;
    let fsync_ms = fsync(&folder)?;
    let less = args.less.max(1) * if args.quick { 10 } else { 1 };
    let full = |count: usize| (count / less).max(2);
    let period = Duration::from_secs(if less > 1 { 2 } else { 10 });

    output::progress("throughput, 64 clients");
    let (prepared, with_cryptography, request_bytes) = {
        let server = start(&folder, "throughput", &[])?;
        let mut work = Work::prepare(server.url(), full(2000))?;
        let runtime = runtime(2)?;
        let address = address(server.url())?;
        runtime.block_on(closed(address, work.requests(), CLIENTS, full(4000), |_, _| ()))?;
        let prepared = runtime.block_on(work.prepared(address, CLIENTS, full(30_000)))?;
        let cryptography = runtime.block_on(work.with_cryptography(address, CLIENTS, full(30_000)))?;
        (prepared, cryptography, work.request_bytes())
    };
    let overload = match machine.cores {
        2.. => {
            output::progress("overload, one core each");
            Some(overload(args, &folder, full(20_000), period)?)
        }
        _ => None,
    };
    output::progress("flood of invalid bodies");
    let flood = flood(&folder, full(1000), period)?;
    machine.finish();
    let mut report = Report {
        machine,
        fsync_ms,
        model: work::MODEL,
        layout: "coefficients",
        clients: CLIENTS,
        request_bytes,
        prepared,
        with_cryptography,
        overload,
        flood,
        kept: Vec::new(),
    };
    report.kept = promises(&report);
    if args.json {
        output::json(&report)?;
    } else {
        output::answer(&text(&report))?;
    }
    Ok(report.kept.iter().all(|promise| promise.kept))
}

/// A folder for data directories, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(named: Option<PathBuf>) -> Result<Self, Failure> {
        let parent = match named.or_else(peers::default_folder) {
            Some(parent) => parent,
            None => return Err(Failure::new(Exit::Local, "no folder for data: name one with --folder")),
        };
        let folder = parent.join(format!("load-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a durable answer costs at least, here.
fn fsync(folder: &Folder) -> Result<f64, Failure> {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.0.join("fsync"))?;
    let mut runs = Vec::new();
    for _ in 0..50 {
        file.write_all(&[7; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        runs.push(begun.elapsed());
    }
    Ok(output::milliseconds(super::timing::Times::new(runs).quantile(0.5)))
}

fn start(folder: &Folder, name: &str, more: &[&str]) -> Result<ServerProcess, Failure> {
    let data = folder.0.join(name).display().to_string();
    Ok(ServerProcess::start(&[&["--data", &data, "--enable-plain", "--log", "error"], more].concat())?)
}

fn address(url: &str) -> Result<SocketAddr, Failure> {
    let address = url.trim_start_matches("http://").parse();
    address.map_err(|_| Failure::new(Exit::Unacceptable, "the server's address is not one"))
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(threads).enable_all().build()?)
}

/// Runs `work` with this thread, and all that it starts, on one core.
#[cfg(target_os = "linux")]
fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> Result<T, Failure> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let before = sched_getaffinity(None).map_err(std::io::Error::from)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
    let Some(core) = allowed.get(core) else {
        return Err(Failure::new(Exit::Local, "this process may not use two cores"));
    };
    let mut one = CpuSet::new();
    one.set(*core);
    sched_setaffinity(None, &one).map_err(std::io::Error::from)?;
    let done = work();
    sched_setaffinity(None, &before).map_err(std::io::Error::from)?;
    Ok(done)
}

#[cfg(not(target_os = "linux"))]
fn on_core<T>(_: usize, work: impl FnOnce() -> T) -> Result<T, Failure> {
    Ok(work())
}

const PINNED: &str = if cfg!(target_os = "linux") {
    "the server to one core, the generator to another"
} else {
    "not pinned: this system has no way to do it here"
};

fn overload(args: &BenchLoad, folder: &Folder, total: usize, period: Duration) -> Result<Overload, Failure> {
    // A server that refuses early would understate what it can do.
    let patient = on_core(0, || start(folder, "capacity", &[]))??;
    let (work, capacity) = on_core(1, || -> Result<_, Failure> {
        let work = Work::prepare(patient.url(), 1000)?;
        let (runtime, address) = (runtime(1)?, address(patient.url())?);
        runtime.block_on(closed(address, work.requests(), CLIENTS, total / 4, |_, _| ()))?;
        let capacity = runtime.block_on(closed(address, work.requests(), CLIENTS, total, |_, _| ()))?;
        Ok((work, capacity))
    })??;
    drop(patient);
    let wait = format!("capacity.max_queue_wait={}", args.max_queue_wait);
    let server = on_core(0, || start(folder, "overload", &["--set", &wait]))??;
    on_core(1, || {
        let (runtime, address) = (runtime(1)?, address(server.url())?);
        runtime.block_on(closed(address, work.requests(), CLIENTS, total / 4, |_, _| ()))?;
        let most = capacity.completed_per_second;
        let at = |factor: f64| {
            output::progress(format_args!("  {factor} of {most:.0}/s"));
            let goes_on = |elapsed| elapsed < period;
            runtime.block_on(open(address, work.requests(), most * factor, goes_on, OPEN_CONNECTIONS))
        };
        let half = at(0.5)?;
        let fourfold = at(4.0)?;
        Ok(Overload {
            pinned: PINNED,
            max_queue_wait: args.max_queue_wait.clone(),
            p99_over_half: fourfold.p99_ms / half.p99_ms.max(1e-3),
            goodput_over_capacity: fourfold.completed_per_second / most.max(1e-3),
            capacity,
            half,
            fourfold,
            server_peak_bytes: peak_bytes(server.id()),
            server_budget_bytes: budget_bytes(),
        })
    })?
}

/// The most memory a process had, where the system says.
fn peak_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What the defaults let bodies, waiting inputs and results at hand take.
fn budget_bytes() -> u64 {
    let settings = hei_server::settings::Settings::default();
    let capacity = settings.server.capacity;
    capacity.buffered_body_bytes + capacity.queued_input_bytes + settings.durable.recent_result_bytes as u64
}

/// What is poured in, in turn: no JSON, JSON of the wrong shape, and a submission whose payload is too long.
fn invalid_bodies(length: usize) -> Vec<Vec<u8>> {
    let fill = |start: &str, fill: u8, end: &str| {
        let mut body = start.as_bytes().to_vec();
        body.resize(length - end.len(), fill);
        body.extend_from_slice(end.as_bytes());
        body
    };
    let submission = "{\"api_version\":\"v1\",\"model_id\":\"logistic_v1\",\"version\":\"1.0.0\",\"batch_size\":1,\
                      \"layout\":\"coefficients\",\"inputs\":[{\"encoding\":\"hex\",\"payload\":\"";
    vec![fill("{", b'x', ""), fill("[\"", b'a', "\"]"), fill(submission, b'0', "\"}]}")]
}

fn flood(folder: &Folder, bodies: usize, period: Duration) -> Result<Flood, Failure> {
    let server = start(folder, "flood", &[])?;
    let work = Work::prepare(server.url(), 500)?;
    let (own, address) = (runtime(2)?, address(server.url())?);
    // The flood's sending must not delay the other tenant's.
    let flooders = runtime(2)?;
    let length = usize::try_from(hei_protocol::Limits::default().max_request_bytes).unwrap_or(usize::MAX);
    let rate = 50.0;
    own.block_on(async {
        let requests = || work.requests();
        open(address, requests(), rate, |elapsed| elapsed < Duration::from_secs(1), 32).await?;
        let quiet = open(address, requests(), rate, |elapsed| elapsed < period, 32).await?;
        let poured = Arc::new(invalid_bodies(length));
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for flooder in 0..FLOODERS {
            let (poured, next) = (Arc::clone(&poured), Arc::clone(&next));
            let flooder_tasks = async move {
                let mut tally = Tally::default();
                let head = format!(
                    "POST /infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                     x-tenant-id: flood-{flooder}\r\ncontent-length: {length}\r\n\r\n"
                );
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= bodies {
                        return Ok(tally);
                    }
                    let sent = Instant::now();
                    let mut connection = Connection::open(address).await?;
                    let body = &poured[index % poured.len()];
                    let answer = connection.pour(head.as_bytes(), body).await?;
                    tally.count(answer.status, sent.elapsed());
                }
            };
            tasks.spawn_on(flooder_tasks, flooders.handle());
        }
        let flooding = flooders.spawn(gather(tasks));
        // The other tenant's traffic lasts as long as the flood.
        let flooded = open(address, requests(), rate, |_| !flooding.is_finished(), 32).await?;
        let body_seconds = begun.elapsed().as_secs_f64();
        let poured = flooding.await.map_err(|error| Failure::new(Exit::Local, error))??;
        let answers = poured.report(begun.elapsed()).answers;
        let server_peak_bytes = peak_bytes(server.id());
        Ok(Flood { bodies, body_bytes: length, body_seconds, answers, quiet, flooded, server_peak_bytes })
    })
}

fn promises(report: &Report) -> Vec<Promise> {
    let prepared = &report.prepared;
    let rate = prepared.completed_per_second;
    let mut promises = vec![Promise {
        promise: "at least 2,000 inferences per second, 64 clients, durable",
        reached: format!("{rate:.0} per second, p99 {:.1} ms", prepared.p99_ms),
        kept: rate >= 2000.0,
    }];
    if let Some(overload) = &report.overload {
        promises.push(Promise {
            promise: "at four times the capacity, accepted requests' p99 is at most 3 times theirs at half of it",
            reached: format!("{:.2} times", overload.p99_over_half),
            kept: overload.p99_over_half <= 3.0,
        });
        promises.push(Promise {
            promise: "at four times the capacity, goodput is at least 80 % of it",
            reached: format!("{:.0} %", overload.goodput_over_capacity * 100.0),
            kept: overload.goodput_over_capacity >= 0.8,
        });
        let (peak, budget) = (overload.server_peak_bytes, overload.server_budget_bytes);
        promises.push(Promise {
            promise: "memory stays under the budget",
            reached: format!("{} of {}", output::bytes(peak), output::bytes(budget)),
            kept: peak > 0 && peak <= budget,
        });
    }
    let (quiet, flooded) = (report.flood.quiet.p99_ms, report.flood.flooded.p99_ms);
    promises.push(Promise {
        promise: "a flood of invalid bodies leaves another tenant's p99 at most twice what it was, or 20 ms more",
        reached: format!("{flooded:.1} ms after {quiet:.1} ms"),
        kept: flooded <= (2.0 * quiet).max(quiet + 20.0),
    });
    promises
}

fn text(report: &Report) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, traffic: &Traffic| {
        rows.push(vec![
            name.to_owned(),
            format!("{:.0}", traffic.offered_per_second),
            format!("{:.0}", traffic.completed_per_second),
            format!("{:.2}", traffic.p50_ms),
            format!("{:.2}", traffic.p99_ms),
        ]);
    };
    row("prepared", &report.prepared);
    row("with cryptography", &report.with_cryptography);
    if let Some(overload) = &report.overload {
        row("one core: capacity", &overload.capacity);
        row("one core: half", &overload.half);
        row("one core: fourfold", &overload.fourfold);
    }
    row("another tenant, quiet", &report.flood.quiet);
    row("another tenant, flooded", &report.flood.flooded);
    let mut out = report.machine.markdown();
    out += &format!("- an fsync takes {:.2} ms where the data is\n\n", report.fsync_ms);
    out += &output::table(&["", "offered/s", "completed/s", "p50 ms", "p99 ms"], &rows);
    out.push('\n');
    for promise in &report.kept {
        let kept = if promise.kept { "kept    " } else { "NOT kept" };
        out += &format!("{kept}  {}: {}\n", promise.promise, promise.reached);
    }
    out
}
