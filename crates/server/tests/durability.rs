//! A server process is killed at random moments while clients submit; whatever it acknowledged is kept.
#![allow(unreachable_pub)]

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_server::store::durable::disk::{Disk, EXIT_DISK, OsDisk};
use hei_server::store::durable::{DurableOptions, maintenance};
use hei_server::{Server, ServerConfig, StoreChoice};
use hei_wire::Format;

use support::party::Party;
use support::raw::PATIENCE;
use support::{LOGISTIC, Request, TestServer, model_file, reference_models};

const DATA: &str = "HEI_TEST_DATA";
/// Which call to the disk does not return, counted from 1, and what happens instead.
const FAULT: &str = "HEI_TEST_FAULT";
const CLIENTS: usize = 4;

/// A disk on which one call fails, or ends the process without a word.
struct FaultyDisk {
    countdown: AtomicUsize,
    kills: bool,
}

impl FaultyDisk {
    fn call(&self) -> std::io::Result<()> {
        if self.countdown.fetch_sub(1, Ordering::Relaxed) != 1 {
            return Ok(());
        }
        if self.kills {
            std::process::abort();
        }
        Err(std::io::Error::other("on purpose"))
    }
}

impl Disk for FaultyDisk {
    fn write(&self, path: &Path, octets: &[u8]) -> std::io::Result<File> {
        self.call()?;
        OsDisk.write(path, octets)
    }

    fn sync(&self, file: &File) -> std::io::Result<()> {
        self.call()?;
        OsDisk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.call()?;
        OsDisk.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> std::io::Result<()> {
        self.call()?;
        OsDisk.sync_folder(folder)
    }

    fn before_commit(&self) -> std::io::Result<()> {
        self.call()
    }
}

/// Not a test: the server that `whatever_was_acknowledged_...` starts as a process of its own, and kills.
#[test]
#[ignore = "started by another test, as a process of its own"]
fn server_process() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into(), reference_models());
    // A job that is in hand at several kills in a row is not a poisoned one.
    let mut options = DurableOptions { max_attempts: 1000, ..DurableOptions::new(data.into()) };
    if let Ok(fault) = std::env::var(FAULT) {
        let (kind, call) = fault.split_once(' ').unwrap();
        let countdown = AtomicUsize::new(call.parse().unwrap());
        options.disk = Arc::new(FaultyDisk { countdown, kills: kind == "kill" });
    }
    config.store = StoreChoice::Durable(options);
    config.limits.max_active_jobs_per_tenant = 10_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind(config).await.unwrap();
        println!("listening {}", server.local_addr());
        server.run(std::future::pending()).await;
    });
}

/// A server process, killed with the value.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(data: &Path) -> Self {
        Self::try_start(data, None).expect("the server process listens")
    }

    /// `None` when it ended before it listened.
    fn try_start(data: &Path, fault: Option<&str>) -> Option<Self> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server_process", "--ignored", "--nocapture"])
            .env(DATA, data)
            .envs(fault.map(|fault| (FAULT, fault)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().split_once("listening ")?.1.parse().ok());
        let Some(address) = address else {
            child.wait().unwrap();
            return None;
        };
        Some(Self { child, address })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing of it runs any more.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

/// Status and body; an error when the server died meanwhile.
fn try_exchange(address: SocketAddr, request: &Request) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&request.head())?;
    stream.write_all(&request.body)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    let cut = || std::io::Error::other("cut off");
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let body = received.split_off(end + 4);
    if length != Some(body.len()) {
        return Err(cut());
    }
    Ok((head.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0), body))
}

fn job_id(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    body["job_id"].as_str().unwrap().to_owned()
}

/// Until something answers, at the address that is current.
fn insist(address: &Mutex<SocketAddr>, request: &Request) -> (u16, Vec<u8>) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let now = *address.lock().unwrap();
        match try_exchange(now, request) {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < patience, "no answer: {error}"),
        }
        std::thread::yield_now();
    }
}

fn kill_loop(jobs: usize, kills: u32) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut requests = Vec::new();
    for (layout, salt) in [(Layout::Coefficients, 1), (Layout::Coefficients, 2), (Layout::FeatureColumns, 3)]
    {
        let party = Party::new(&model_file(LOGISTIC), layout);
        let payloads = party.payloads(&party.rows(1, salt), Format::Hei);
        requests.push(Request::post(
            "/infer",
            "application/json",
            party.body(&payloads, 1, Encoding::Base64),
        ));
    }
    // What each request's result is, from a server that nobody disturbs.
    let calm = TestServer::start();
    let expected: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| {
            let id = calm.send(&request.clone().header("prefer", "wait=20")).job_id();
            calm.get(&format!("/jobs/{id}/result")).body
        })
        .collect();
    drop(calm);

    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = seed;
    let mut random = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut process = Process::start(&data);
    let address = Arc::new(Mutex::new(process.address));
    let acknowledged: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let next = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, acknowledged, next) = (address.clone(), acknowledged.clone(), next.clone());
            let (requests, done) = (requests.clone(), done.clone());
            std::thread::spawn(move || {
                // As many as asked for, and then until the last kill: it hits a server that works.
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs && done.load(Ordering::Acquire) {
                        return;
                    }
                    let which = job % requests.len();
                    let key = format!("\"client-{client}-job-{job}\"");
                    let request = requests[which].clone().header("idempotency-key", &key);
                    // The same key until it is acknowledged: an answer that was lost made at most one job.
                    let (status, body) = loop {
                        let (status, body) = insist(&address, &request);
                        // 409 while the first try is validated.
                        if status != 409 {
                            break (status, body);
                        }
                    };
                    assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
                    let id = job_id(&body);
                    assert!(acknowledged.lock().unwrap().insert(id, which).is_none(), "one job for two keys");
                }
            })
        })
        .collect();
    let mut rank: BTreeMap<String, u8> = BTreeMap::new();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(5 + random(60)));
        // A rank that was seen never falls, not even over a crash.
        let seen: Vec<String> = acknowledged.lock().unwrap().keys().rev().take(8).cloned().collect();
        for id in seen.into_iter().chain(rank.keys().take(8).cloned().collect::<Vec<_>>()) {
            let (status, body) = insist(&address, &Request::get(&format!("/jobs/{id}")));
            assert_eq!(status, 200, "an acknowledged job is there: {}", String::from_utf8_lossy(&body));
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let now = match body["status"].as_str().unwrap() {
                "queued" => 0,
                "running" => 1,
                "completed" => 2,
                other => panic!("{id} is {other}"),
            };
            assert!(now >= rank.insert(id, now).unwrap_or(0), "a rank fell");
        }
        drop(process);
        process = Process::start(&data);
        *address.lock().unwrap() = process.address;
    }
    done.store(true, Ordering::Release);
    for client in clients {
        client.join().unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() >= jobs);
    for (id, which) in &acknowledged {
        let (status, body) = insist(&address, &Request::get(&format!("/jobs/{id}?wait=20")));
        assert_eq!(status, 200);
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["status"], "completed", "{told}");
        let (_, again) = insist(&address, &Request::get(&format!("/jobs/{id}")));
        assert_eq!(body, again, "a terminal body never changes");
        let (status, result) = insist(&address, &Request::get(&format!("/jobs/{id}/result")));
        let same = result == expected[*which];
        assert!(status == 200 && same, "{status}: however often it ran, the octets are the same");
    }
    drop(process);
    let report = maintenance::check(&data).unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    let distinct: BTreeSet<&String> = acknowledged.keys().collect();
    assert_eq!((report.jobs, report.unfinished), (distinct.len() as u64, 0), "none lost, none doubled");
    println!("{} jobs over {kills} kills", distinct.len());
}

#[test]
fn whatever_was_acknowledged_survives_kills_at_random_moments() {
    kill_loop(1000, 20);
}

/// Two requests, the second with an input too large for a row; and the octets of their results.
fn two_requests() -> Vec<(Request, Vec<u8>)> {
    let calm = TestServer::start();
    let request = |layout| {
        let party = Party::new(&model_file(LOGISTIC), layout);
        let payloads = party.payloads(&party.rows(1, 5), Format::Hei);
        let body = party.body(&payloads, 1, Encoding::Base64);
        let request = Request::post("/infer", "application/json", body);
        let id = calm.send(&request.clone().header("prefer", "wait=20")).job_id();
        (request, calm.get(&format!("/jobs/{id}/result")).body)
    };
    [Layout::Coefficients, Layout::FeatureColumns].map(request).into()
}

/// Whatever was acknowledged ends completed, in a server on the same directory.
fn all_end_well(data: &Path, acknowledged: &[(String, Vec<u8>)], case: &str) {
    let process = Process::start(data);
    let address = Mutex::new(process.address);
    for (id, expected) in acknowledged {
        let (status, body) = insist(&address, &Request::get(&format!("/jobs/{id}?wait=20")));
        assert_eq!(status, 200, "{case}: {}", String::from_utf8_lossy(&body));
        let (status, result) = insist(&address, &Request::get(&format!("/jobs/{id}/result")));
        if status == 409 && case.starts_with("fail") {
            // The disk took no result: the job has failed, for good and for all to see.
            assert!(String::from_utf8_lossy(&body).contains("\"INTERNAL_ERROR\""), "{case}");
            continue;
        }
        assert!(status == 200 && result == *expected, "{case}: {status}, {} octets", result.len());
    }
    drop(process);
    let report = maintenance::check(data).unwrap();
    assert_eq!(report.damage, Vec::<String>::new(), "{case}");
    assert!(report.jobs >= acknowledged.len() as u64, "{case}");
}

#[test]
fn at_whichever_call_to_the_disk_the_process_ends_or_fails_what_it_acknowledged_is_kept() {
    let requests = two_requests();
    for kind in ["kill", "fail"] {
        let mut ends = 0;
        for call in 1.. {
            assert!(call < 100, "the calls come to an end");
            let case = format!("{kind} {call}");
            let folder = tempfile::tempdir().unwrap();
            let mut acknowledged = Vec::new();
            let mut refused = 0;
            let Some(mut process) = Process::try_start(folder.path(), Some(&case)) else {
                all_end_well(folder.path(), &acknowledged, &case);
                continue;
            };
            for (request, expected) in &requests {
                match try_exchange(process.address, request) {
                    Ok((202, body)) => acknowledged.push((job_id(&body), expected.clone())),
                    Ok((status, body)) => {
                        assert_eq!(status, 500, "{case}: {}", String::from_utf8_lossy(&body));
                        refused += 1;
                    }
                    Err(_) => {}
                }
            }
            // Until every job is terminal, or the process is gone.
            for (id, _) in &acknowledged {
                drop(try_exchange(process.address, &Request::get(&format!("/jobs/{id}?wait=20"))));
            }
            let alive = try_exchange(process.address, &Request::get("/health")).is_ok();
            if !alive {
                ends += 1;
                let status = process.child.wait().unwrap();
                assert_eq!(status.code(), (kind == "fail").then_some(EXIT_DISK), "{case}: {status}");
            }
            drop(process);
            all_end_well(folder.path(), &acknowledged, &case);
            if alive && refused == 0 && acknowledged.len() == requests.len() {
                break;
            }
        }
        // Writes and renames that fail are refused; whatever fails an fsync or a commit is the end.
        let least = if kind == "kill" { 8 } else { 5 };
        assert!(ends >= least, "{kind}: the process ended {ends} times");
    }
}

/// A backup is taken while clients submit; the machine is lost; the backup is restored.
#[test]
fn whatever_was_acknowledged_before_a_backup_is_accounted_for_after_its_restoration() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let requests = two_requests();
    let process = Process::start(&at("data"));
    let address = process.address;
    let acknowledged: Arc<Mutex<Vec<(String, Vec<u8>)>>> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (acknowledged, done, requests) = (acknowledged.clone(), done.clone(), requests.clone());
            std::thread::spawn(move || {
                for job in client.. {
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    let (request, expected) = &requests[job % requests.len()];
                    let (status, body) = try_exchange(address, request).unwrap();
                    assert_eq!(status, 202);
                    acknowledged.lock().unwrap().push((job_id(&body), expected.clone()));
                }
            })
        })
        .collect();
    let count = || acknowledged.lock().unwrap().len();
    let patience = Instant::now() + PATIENCE;
    while count() < 20 {
        assert!(Instant::now() < patience);
        std::thread::yield_now();
    }
    let before = acknowledged.lock().unwrap().clone();
    let copied = maintenance::backup(&at("data"), &at("copy")).unwrap();
    assert!(copied.jobs >= before.len() as u64);
    done.store(true, Ordering::Release);
    clients.into_iter().for_each(|client| client.join().unwrap());
    drop(process);
    std::fs::remove_dir_all(at("data")).unwrap();
    std::fs::create_dir(at("again")).unwrap();
    assert_eq!(maintenance::restore(&at("copy"), &at("again")).unwrap(), copied);
    all_end_well(&at("again"), &before, "restored");
    // A copy that is damaged is not restored, and nothing is written over.
    assert!(maintenance::restore(&at("copy"), &at("again")).is_err());
    let blob = std::fs::read_dir(at("copy").join("blobs")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(blob, b"changed").unwrap();
    assert!(maintenance::restore(&at("copy"), &at("third")).is_err());
    assert!(!at("third").exists(), "nothing was written");
}

#[test]
#[ignore = "many minutes: cargo test -p hei-server --test durability -- --ignored --nocapture hundred_thousand"]
fn a_hundred_thousand_jobs_survive_five_hundred_kills() {
    kill_loop(100_000, 500);
}

/// Durable against memory, 64 clients, one request an inference; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement: cargo test --release -p hei-server --test durability -- --ignored --nocapture per_second"]
fn inferences_per_second_durable_and_in_memory() {
    let party = Party::new(&model_file(LOGISTIC), Layout::Coefficients);
    let payloads = party.payloads(&party.rows(1, 1), Format::Hei);
    let body = party.body(&payloads, 1, Encoding::Binary);
    for durable in [false, true] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let server = TestServer::start_with(|config| {
            config.limits.max_active_jobs_per_tenant = 10_000;
            if durable {
                config.store = StoreChoice::Durable(DurableOptions::new(folder.path().join("data")));
            }
        });
        let address = server.address;
        let end = Instant::now() + Duration::from_secs(5);
        let clients: Vec<_> = (0..64)
            .map(|_| {
                let request = Request::post("/infer", "application/cbor", body.clone())
                    .header("prefer", "wait=20")
                    .header("connection", "keep-alive");
                std::thread::spawn(move || {
                    let mut stream = support::raw::connect(address);
                    let octets = [request.head(), request.body].concat();
                    let mut micros = Vec::new();
                    while Instant::now() < end {
                        let begun = Instant::now();
                        stream.write_all(&octets).unwrap();
                        assert_eq!(support::raw::read_reply(&mut stream, false).status, 200);
                        micros.push(begun.elapsed().as_micros());
                    }
                    micros
                })
            })
            .collect();
        let mut micros: Vec<u128> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        micros.sort_unstable();
        let at = |part: usize| micros[(micros.len() - 1) * part / 100] as f64 / 1e3;
        println!(
            "{}: {:.0} inferences/s, p50 {:.1} ms, p99 {:.1} ms",
            if durable { "durable" } else { "memory" },
            micros.len() as f64 / 5.0,
            at(50),
            at(99)
        );
    }
}
