//! Servers and workers as processes of their own, on a real PostgreSQL and an S3-compatible store; killed at random.

#[path = "../../../server/tests/support/history.rs"]
#[allow(dead_code, unreachable_pub)]
mod history;
#[path = "../../../server/tests/support/party.rs"]
#[allow(dead_code, unreachable_pub)]
mod party;
#[path = "../../../server/tests/support/postgres.rs"]
mod postgres;
mod process;
#[path = "../../../server/tests/support/raw.rs"]
#[allow(dead_code, unreachable_pub)]
mod raw;
mod s3;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use history::History;
use postgres::{PASSWORD, Postgres, postgres};
use process::{Process, Random, try_exchange};
use raw::{PATIENCE, Reply, Request};

/// A database, a bucket, and what a process needs to find them.
struct Cluster {
    database: String,
    postgres: &'static Postgres,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Cluster {
    fn new() -> Option<Self> {
        let postgres = postgres()?;
        let (database, _) = postgres.database();
        let bucket = s3::bucket(&database);
        let mut environment = bucket.environment;
        environment.push(("PGPASSWORD", PASSWORD.to_owned()));
        let store = postgres.address_without_password(&database);
        let arguments = ["--store", &store, "--blobs", &bucket.place, "--set", "postgres.lease=2s"];
        let arguments = arguments.map(str::to_owned).into();
        Some(Self { database, postgres, arguments, environment })
    }

    fn server(&self) -> Process {
        let own = ["serve", "--listen", "127.0.0.1:0", "--workers", "0", "--json"];
        // Whoever kills processes at random kills some job's three times.
        let limits =
            ["--set", "limits.max_active_jobs_per_tenant=1000000", "--set", "postgres.max_attempts=1000"];
        let arguments = own.into_iter().chain(limits).chain(self.arguments.iter().map(String::as_str));
        Process::start(arguments, &self.environment)
    }

    fn worker(&self) -> Process {
        let own = ["worker", "--json", "--set", "postgres.max_attempts=1000"];
        let arguments = own.into_iter().chain(self.arguments.iter().map(String::as_str));
        Process::start(arguments, &self.environment)
    }

    fn sql(&self, sql: &str) -> String {
        self.postgres.sql(&self.database, sql)
    }
}

/// Requests, each with its result as a server that nobody disturbs gives it: small ones, and one too large for a row.
fn requests() -> Vec<(Request, Vec<u8>)> {
    use hei_circuit::Layout;
    let calm = Process::start(["serve", "--store", "memory", "--listen", "127.0.0.1:0", "--json"], &[]);
    let model = include_bytes!("../../../../models/logistic_v1.hei");
    let request = |layout, salt| {
        let party = party::Party::new(model, layout);
        let payloads = party.payloads(&party.rows(1, salt), hei_wire::Format::Hei);
        let body = party.body(&payloads, 1, hei_protocol::Encoding::Binary);
        let request = Request::post("/infer", "application/cbor", body);
        let done = try_exchange(
            calm.address(),
            &request.clone().header("prefer", "wait=20").header("accept", "application/json"),
        )
        .unwrap();
        assert_eq!(done.status, 200);
        let result =
            try_exchange(calm.address(), &Request::get(&format!("/jobs/{}/result", done.job_id()))).unwrap();
        (request.header("accept", "application/json"), result.body)
    };
    vec![
        request(Layout::Coefficients, 1),
        request(Layout::Coefficients, 2),
        request(Layout::FeatureColumns, 3),
    ]
}

/// Which of the requests a job is: a large one now and then.
fn which(job: usize) -> usize {
    if job.is_multiple_of(40) { 2 } else { job % 2 }
}

/// Asks whatever server answers, until one does.
fn insist(servers: &[Arc<Process>], random: &mut Random, request: &Request) -> (Instant, Reply) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let begun = Instant::now();
        match try_exchange(servers[random.below(servers.len())].address(), request) {
            // 409 while the first try with the same key is validated, perhaps by a server that is gone; 503 while a
            // server does not reach the database.
            Ok(reply) if !matches!(reply.status, 409 | 503) => return (begun, reply),
            Ok(reply) => assert!(Instant::now() < patience, "{}: {}", reply.status, reply.code()),
            Err(error) => assert!(Instant::now() < patience, "no answer: {error}"),
        }
        std::thread::yield_now();
    }
}

/// Clients submit so many jobs; servers and workers are killed all the while.
fn kill_loop(jobs: usize, kills: usize) {
    let Some(cluster) = Cluster::new() else { return };
    let requests = Arc::new(requests());
    let seed = Random::seed();
    println!("seed {seed}");
    let servers: Arc<Vec<Arc<Process>>> = Arc::new((0..2).map(|_| Arc::new(cluster.server())).collect());
    let workers: Vec<Process> = (0..3).map(|_| cluster.worker()).collect();
    let history = Arc::new(History::default());
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|client: u64| {
            let (servers, history, requests) = (servers.clone(), history.clone(), requests.clone());
            let (next, done) = (next.clone(), done.clone());
            let mut random = Random::new(seed ^ (client + 1));
            std::thread::spawn(move || {
                let mut submitted = Vec::new();
                // As many as asked for, and then until the last kill: it hits processes that work.
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs && done.load(Ordering::Acquire) {
                        return submitted;
                    }
                    let key = format!("\"job-{job}\"");
                    // The same key until it is acknowledged, at whichever server: it makes one job.
                    let request = requests[which(job)].0.clone().header("idempotency-key", &key);
                    let (begun, reply) = insist(&servers, &mut random, &request);
                    assert_eq!(reply.status, 202, "{}", reply.code());
                    submitted.push((history.acknowledged(begun, &key, &reply), which(job)));
                    // Another one's, or one's own, as it stands.
                    let (id, _) = &submitted[random.below(submitted.len())];
                    let (begun, reply) = insist(&servers, &mut random, &Request::get(&format!("/jobs/{id}")));
                    history.seen(begun, id, "job", &reply);
                }
            })
        })
        .collect();
    let mut random = Random::new(seed);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(100 + random.below(400) as u64));
        match random.below(servers.len() + workers.len()) {
            index if index < servers.len() => servers[index].kill_and_start(),
            index => workers[index - servers.len()].kill_and_start(),
        }
    }
    done.store(true, Ordering::Release);
    let submitted: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    for (id, which) in &submitted {
        let (begun, reply) = insist(&servers, &mut random, &Request::get(&format!("/jobs/{id}?wait=20")));
        history.seen(begun, id, "job", &reply);
        let target = format!("/jobs/{id}/result");
        let (begun, result) = insist(&servers, &mut random, &Request::get(&target));
        history.seen(begun, id, "result", &result);
        let is_the_same = result.body == requests[*which].1;
        assert!(is_the_same, "however often it ran, the octets are the same: {}", result.status);
    }
    let summary = history.verdict();
    assert_eq!((summary.jobs, summary.failed), (submitted.len(), 0));
    assert!(summary.jobs >= jobs);
    let stored =
        cluster.sql("select count(*), count(*) filter (where state = 2), sum(attempts) from hei.jobs");
    let stored: Vec<usize> = stored.split('|').map(|number| number.parse().unwrap()).collect();
    assert_eq!((stored[0], stored[1]), (summary.jobs, summary.jobs), "none lost, none doubled");
    assert_eq!(cluster.sql("select count(*) from hei.payloads where kind = 0"), "0", "inputs are deleted");
    println!("{} jobs, {} attempts, {} answers, {kills} kills", stored[0], stored[2], summary.answers);
}

#[test]
fn a_thousand_jobs_survive_kills_of_servers_and_workers() {
    kill_loop(1000, 20);
}

#[test]
#[ignore = "many minutes: cargo test -p hei-cli --test cluster -- --ignored --nocapture hundred_thousand"]
fn a_hundred_thousand_jobs_survive_kills_of_servers_and_workers() {
    kill_loop(100_000, 500);
}

#[test]
fn one_idempotency_key_at_two_servers_makes_one_job() {
    let Some(cluster) = Cluster::new() else { return };
    let (request, expected) = requests().remove(0);
    let servers = [cluster.server(), cluster.server()];
    let _worker = cluster.worker();
    let request = request.header("idempotency-key", "\"once\"");
    let addresses = [servers[0].address(), servers[1].address()];
    let threads: Vec<_> = (0..16)
        .map(|index| {
            let request = request.clone();
            let address = addresses[index % 2];
            std::thread::spawn(move || {
                let patience = Instant::now() + PATIENCE;
                loop {
                    let reply = try_exchange(address, &request).unwrap();
                    if reply.status != 409 {
                        assert_eq!(reply.status, 202);
                        let replayed = reply.header("idempotency-replayed").is_some();
                        return (reply.job_id(), replayed);
                    }
                    assert_eq!(reply.code(), "IDEMPOTENCY_IN_PROGRESS");
                    assert!(Instant::now() < patience);
                }
            })
        })
        .collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(answers.iter().all(|(id, _)| *id == answers[0].0), "one job: {answers:?}");
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1, "{answers:?}");
    assert_eq!(cluster.sql("select count(*) from hei.jobs"), "1");
    let id = &answers[0].0;
    let done = try_exchange(addresses[1], &Request::get(&format!("/jobs/{id}?wait=20"))).unwrap();
    assert_eq!(done.json()["status"], "completed");
    let result = try_exchange(addresses[0], &Request::get(&format!("/jobs/{id}/result"))).unwrap();
    assert!(result.body == expected);
    let other = request.clone();
    let other = Request { body: requests().remove(1).0.body, ..other };
    assert_eq!(try_exchange(addresses[1], &other).unwrap().code(), "IDEMPOTENCY_KEY_REUSED");
}

/// A stopped process is not dead: it wakes up and believes that it still holds its jobs.
#[cfg(unix)]
#[test]
fn a_worker_that_slept_through_its_lease_changes_nothing() {
    let Some(cluster) = Cluster::new() else { return };
    let (request, expected) = requests().remove(2);
    let server = cluster.server();
    let sleeper = cluster.worker();
    let mut ids = Vec::new();
    let patience = Instant::now() + PATIENCE;
    loop {
        let reply = try_exchange(server.address(), &request).unwrap();
        ids.push(reply.job_id());
        sleeper.signal("STOP");
        if cluster.sql("select count(*) from hei.jobs where state < 2 and owner is not null") != "0" {
            break;
        }
        sleeper.signal("CONT");
        assert!(Instant::now() < patience, "it is never caught with a job in its hands");
    }
    let held =
        cluster.sql("select encode(id, 'hex') from hei.jobs where state < 2 and owner is not null limit 1");
    // One of what it holds is deleted; the rest, another worker does.
    let deleted = Request::new("DELETE", &format!("/jobs/{held}"));
    assert_eq!(try_exchange(server.address(), &deleted).unwrap().status, 204);
    ids.retain(|id| *id != held);
    for _ in 0..4 {
        ids.push(try_exchange(server.address(), &request).unwrap().job_id());
    }
    let _other = cluster.worker();
    let read =
        |id: &str| try_exchange(server.address(), &Request::get(&format!("/jobs/{id}?wait=20"))).unwrap();
    let before: Vec<_> = ids.iter().map(|id| read(id).body).collect();
    sleeper.signal("CONT");
    // It says what it has to say, and ends.
    sleeper.signal("TERM");
    assert_eq!(sleeper.ended(), Some(0), "a worker that is told to stop stops well");
    for (id, before) in ids.iter().zip(before) {
        let after = read(id);
        assert_eq!(after.json()["status"], "completed");
        assert!(after.body == before, "a terminal body never changes");
        let result = try_exchange(server.address(), &Request::get(&format!("/jobs/{id}/result"))).unwrap();
        assert!(result.body == expected);
    }
    assert_eq!(read(&held).status, 404, "what was deleted stays so");
    assert_eq!(cluster.sql("select count(*) from hei.jobs where state < 2"), "0");
}

#[test]
fn a_worker_that_is_told_to_stop_leaves_nothing_behind() {
    let Some(cluster) = Cluster::new() else { return };
    let (request, expected) = requests().remove(0);
    let server = cluster.server();
    let leaving = cluster.worker();
    let ids: Vec<_> = (0..40).map(|_| try_exchange(server.address(), &request).unwrap().job_id()).collect();
    leaving.signal("TERM");
    assert_eq!(leaving.ended(), Some(0));
    assert_eq!(
        cluster.sql("select count(*) from hei.jobs where owner is not null"),
        "0",
        "nothing is in its hands"
    );
    let _worker = cluster.worker();
    for id in ids {
        let done = try_exchange(server.address(), &Request::get(&format!("/jobs/{id}?wait=20"))).unwrap();
        assert_eq!(done.json()["status"], "completed");
        let result = try_exchange(server.address(), &Request::get(&format!("/jobs/{id}/result"))).unwrap();
        assert!(result.body == expected);
    }
    assert_eq!(cluster.sql("select max(attempts) from hei.jobs"), "1", "what is given back is no attempt");
}

#[test]
fn a_database_password_is_never_printed() {
    let Some(cluster) = Cluster::new() else { return };
    let address = cluster
        .postgres
        .address_without_password("no_such_database")
        .replace("hei@", &format!("hei:{PASSWORD}@"));
    let place = s3::bucket("password");
    for arguments in [
        vec!["config", "check", "--json", "--store", &address, "--blobs", &place.place],
        vec![
            "serve",
            "--store",
            &address,
            "--blobs",
            &place.place,
            "--log",
            "debug",
            "--listen",
            "127.0.0.1:0",
        ],
        vec!["worker", "--store", &address, "--blobs", &place.place, "--log", "debug"],
        vec!["worker", "--store", "disk"],
        vec!["serve", "--store", &address],
    ] {
        let said = process::run(&arguments, &place.environment);
        assert!(!said.1.contains(PASSWORD), "{arguments:?}");
        assert_eq!(said.0 == Some(0), arguments[0] == "config", "{arguments:?}: {}", said.1);
    }
}

#[test]
fn a_second_server_on_one_data_directory_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = ["serve", "--data", data, "--listen", "127.0.0.1:0", "--json"];
    let first = Process::start(arguments, &[]);
    let (code, said) = process::run(&arguments, &[]);
    assert!(
        code.is_some_and(|code| code != 0) && said.contains("another server uses this data directory"),
        "{said}"
    );
    assert_eq!(try_exchange(first.address(), &Request::get("/health")).unwrap().status, 200);
}
