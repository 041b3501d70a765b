//! Many clients at once, and whether what they saw can have been: in memory, on disk, over a restart.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hei_server::StoreChoice;
use hei_server::store::durable::DurableOptions;

use crate::jobs::small_request;
use crate::support::history::History;
use crate::support::raw::PATIENCE;
use crate::support::{Reply, Request, TestServer};

const CLIENTS: usize = 6;

/// Clients submit, submit again under the same key, read, wait, fetch results and delete, all at once.
fn crowd(server: &TestServer, history: &History, next: &AtomicUsize, until: usize) {
    let requests: Vec<Request> = (0..3).map(|_| small_request()).collect();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let requests = &requests;
            scope.spawn(move || {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= until {
                        return;
                    }
                    // Every second turn repeats the key of the one before, which another client may be sending.
                    let key = format!("\"turn-{}\"", turn / 2);
                    let request = requests[turn / 2 % requests.len()].clone().header("idempotency-key", &key);
                    let request =
                        if turn.is_multiple_of(5) { request.header("prefer", "wait=20") } else { request };
                    let (begun, reply) = insist(server, &request);
                    if reply.status == 410 {
                        // Deleted by whoever made it.
                        continue;
                    }
                    let id = history.acknowledged(begun, &key, &reply);
                    look(server, history, &id, turn + client);
                }
            });
        }
    });
}

/// Until the answer is not that the first request under the key is still being read.
fn insist(server: &TestServer, request: &Request) -> (Instant, Reply) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let begun = Instant::now();
        let reply = server.send(request);
        if !matches!(reply.status, 409 | 429 | 503) {
            return (begun, reply);
        }
        assert!(Instant::now() < patience, "{}", reply.code());
        std::thread::yield_now();
    }
}

fn look(server: &TestServer, history: &History, id: &str, turn: usize) {
    let read = |target: String, representation: &str| {
        let begun = Instant::now();
        history.seen(begun, id, representation, &server.get(&target));
    };
    read(format!("/jobs/{id}"), "job");
    match turn % 4 {
        0 => read(format!("/jobs/{id}?wait=20"), "job"),
        1 => read(format!("/jobs/{id}?result=reference"), "reference"),
        2 => read(format!("/jobs/{id}/result"), "result"),
        _ => {}
    }
    if turn % 16 == 3 {
        history.deleting(id);
        let gone = server.send(&Request::new("DELETE", &format!("/jobs/{id}")));
        assert!(matches!(gone.status, 204 | 404), "{}", gone.status);
        history.deleted(id);
    }
}

/// Every job that is to be there is there, ended, and the same by every reading.
fn at_last(server: &TestServer, history: &History) {
    for id in history.kept() {
        for target in [format!("/jobs/{id}?wait=20"), format!("/jobs/{id}")] {
            let begun = Instant::now();
            history.seen(begun, &id, "job", &server.get(&target));
        }
        let begun = Instant::now();
        history.seen(begun, &id, "result", &server.get(&format!("/jobs/{id}/result")));
    }
}

#[test]
fn what_many_clients_see_in_memory_can_have_been() {
    let server = TestServer::start();
    let (history, next) = (History::default(), AtomicUsize::new(0));
    crowd(&server, &history, &next, 240);
    at_last(&server, &history);
    let summary = history.verdict();
    assert_eq!((summary.jobs, summary.failed), (120, 0));
    assert!(summary.deleted > 0 && summary.answers > summary.jobs, "{summary:?}");
}

#[test]
fn what_many_clients_see_on_disk_can_have_been_over_restarts_too() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        TestServer::start_with(|config| {
            config.store = StoreChoice::Durable(DurableOptions::new(folder.path().join("data")));
            config.connections.drain = Duration::ZERO;
        })
    };
    let (history, next) = (History::default(), AtomicUsize::new(0));
    for life in 1..=3 {
        let server = start();
        crowd(&server, &history, &next, 80 * life);
        // The drain is over at once: jobs are left for the next life.
        server.finish();
        next.store(80 * life, Ordering::Relaxed);
    }
    at_last(&start(), &history);
    let summary = history.verdict();
    assert_eq!((summary.jobs, summary.failed), (120, 0));
}

/// A reply that shows a job.
fn shown(id: &str, status: &str, mark: &str) -> Reply {
    let body = serde_json::json!({ "job_id": id, "status": status, "mark": mark });
    Reply { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
}

fn bare(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: b"{}".to_vec() }
}

#[test]
fn the_checker_finds_each_thing_that_cannot_have_been() {
    let accepted = |id: &str| Reply { status: 202, ..shown(id, "accepted", "") };
    type Case = (&'static str, fn(&History, &dyn Fn(&str) -> Reply));
    let cases: [Case; 8] = [
        ("key k led to 2 jobs", |history, accepted| {
            history.acknowledged(Instant::now(), "k", &accepted("b"));
        }),
        ("keys k and l led to one job", |history, accepted| {
            history.acknowledged(Instant::now(), "l", &accepted("a"));
        }),
        ("a went from rank 2 back to 1", |history, _| {
            history.seen(Instant::now(), "a", "job", &shown("a", "running", ""));
        }),
        ("a has two versions of its job", |history, _| {
            history.seen(Instant::now(), "a", "job", &shown("a", "completed", "other"));
        }),
        ("a answered 404", |history, _| history.seen(Instant::now(), "a", "job", &bare(404))),
        ("b was acknowledged and never seen to end", |history, accepted| {
            history.acknowledged(Instant::now(), "l", &accepted("b"));
        }),
        ("a was deleted and is there", |history, _| {
            history.deleted("a");
            history.seen(Instant::now(), "a", "job", &shown("a", "completed", ""));
        }),
        ("c was asked for and never acknowledged", |history, _| {
            history.seen(Instant::now(), "c", "job", &shown("c", "queued", ""));
        }),
    ];
    for (violation, break_it) in cases {
        let history = History::default();
        history.acknowledged(Instant::now(), "k", &accepted("a"));
        for status in ["queued", "running", "completed", "completed"] {
            history.seen(Instant::now(), "a", "job", &shown("a", status, ""));
        }
        assert_eq!(history.violations(), Vec::<String>::new());
        break_it(&history, &accepted);
        assert!(history.violations().iter().any(|found| found == violation), "{:?}", history.violations());
    }
}

#[test]
fn the_checker_allows_answers_that_overtook_each_other() {
    let history = History::default();
    let early = Instant::now();
    history.acknowledged(early, "k", &Reply { status: 202, ..shown("a", "accepted", "") });
    history.seen(Instant::now(), "a", "job", &shown("a", "completed", ""));
    // Begun before the other ended, and slower on the way.
    history.seen(early, "a", "job", &shown("a", "queued", ""));
    history.seen(Instant::now(), "a", "result", &bare(409));
    assert_eq!(history.violations(), Vec::<String>::new());
}
