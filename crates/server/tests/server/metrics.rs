//! The operator's listener: what it shows, to whom, and that the documentation lists it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hei_circuit::Layout;
use hei_protocol::Encoding;
use hei_server::Server;
use hei_wire::Format;

use crate::support::party::Party;
use crate::support::{LOGISTIC, Request, TestServer, model_file, raw, repository};

const MARKER: &str = "marker-of-a-tenant";

fn watched() -> (TestServer, SocketAddr) {
    let server = TestServer::start_with(|config| config.admin.listen = Some(([127, 0, 0, 1], 0).into()));
    let admin = server.admin.unwrap();
    (server, admin)
}

fn scrape(admin: SocketAddr) -> String {
    let reply = raw::exchange(admin, &Request::get("/metrics"));
    assert_eq!(reply.status, 200);
    let media = reply.header("content-type").unwrap();
    assert!(media.starts_with("application/openmetrics-text"), "{media}");
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.ends_with("# EOF\n"));
    text
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in:\n{text}")).parse().unwrap()
}

fn infer(server: &TestServer, layout: Layout, batch: usize) {
    let party = Party::new(&model_file(LOGISTIC), layout);
    let rows = party.rows(batch, 1);
    let body = party.body(&party.payloads(&rows, Format::Hei), batch, Encoding::Binary);
    let request = Request::post("/infer", "application/cbor", body)
        .header("prefer", "wait=30")
        .header("x-tenant-id", MARKER)
        .header("accept", "application/cbor");
    let reply = server.send(&request);
    assert_eq!(reply.status, 200);
    let timing = reply.header("server-timing").unwrap();
    let stages: Vec<_> = timing.split(", ").map(|stage| stage.split_once(";dur=").unwrap()).collect();
    assert_eq!(
        stages.iter().map(|stage| stage.0).collect::<Vec<_>>(),
        ["validate", "queue", "eval", "encode"]
    );
    assert!(stages.iter().all(|stage| stage.1.parse::<f64>().unwrap() >= 0.0), "{timing}");
}

#[test]
fn what_happened_is_counted_under_bounded_labels() {
    let (server, admin) = watched();
    infer(&server, Layout::Coefficients, 1);
    infer(&server, Layout::FeatureColumns, 16);
    for secret in ["one", "two"] {
        assert_eq!(server.get(&format!("/{MARKER}/{secret}")).status, 404);
    }
    assert_eq!(
        server.send(&Request::post("/infer", "application/json", format!("[\"{MARKER}\"]"))).status,
        400
    );
    assert_eq!(raw::exchange(server.address, &Request::new("MARKER", "/infer")).status, 405);
    let text = scrape(admin);
    let value = |series: &str| value(&text, series);
    assert_eq!(value("hei_requests_total{method=\"POST\",route=\"/infer\",status=\"200\"}"), 2.0);
    assert_eq!(value("hei_requests_total{method=\"GET\",route=\"other\",status=\"404\"}"), 2.0);
    assert_eq!(value("hei_requests_total{method=\"-\",route=\"/infer\",status=\"405\"}"), 1.0);
    assert_eq!(value("hei_rejects_total{reason=\"NOT_FOUND\"}"), 2.0);
    assert_eq!(value("hei_rejects_total{reason=\"INVALID_SCHEMA\"}"), 1.0);
    assert_eq!(value("hei_request_bytes_count"), 3.0);
    assert_eq!(value("hei_request_duration_seconds_count{route=\"/infer\"}"), 4.0);
    assert_eq!(value("hei_queue_wait_seconds_count"), 2.0);
    assert_eq!(value("hei_jobs_finished_total{outcome=\"completed\"}"), 2.0);
    assert_eq!(value("hei_jobs{state=\"queued\"}") + value("hei_jobs{state=\"running\"}"), 0.0);
    assert_eq!(value("hei_ready"), 1.0);
    assert_eq!(value("hei_body_bytes"), 0.0);
    assert!(value("hei_resident_bytes") > 1e6);
    for layout in ["coefficients", "feature_columns"] {
        let served = format!("{{model=\"logistic_v1\",version=\"1.0.0\",layout=\"{layout}\"}}");
        assert_eq!(value(&format!("hei_evaluate_duration_seconds_count{served}")), 1.0);
        assert_eq!(value(&format!("hei_slots_used_ratio_count{served}")), 1.0);
        assert!(value(&format!("hei_levels_remaining{served}")) >= 0.0);
    }
    assert!(!text.to_lowercase().contains("marker"), "nothing that a client wrote is a label");
}

#[test]
fn the_documentation_lists_what_is_served() {
    let (server, admin) = watched();
    infer(&server, Layout::Coefficients, 1);
    assert_eq!(server.get("/nowhere").status, 404);
    let text = scrape(admin);
    let mut served: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            served.entry(name).or_default().1 = help.trim_end_matches('.');
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            served.entry(name).or_default().0 = kind;
        }
    }
    let table: String =
        served.iter().map(|(name, (kind, help))| format!("| `{name}` | {kind} | {help} |\n")).collect();
    let documented = std::fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let listed: String = documented
        .lines()
        .filter(|line| line.starts_with("| `hei_"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            format!("| {} | {} | {} |\n", cells[0], cells[1], cells[cells.len() - 1])
        })
        .collect();
    assert_eq!(listed, table, "docs/metrics.md lists what is served:\n{table}");
}

#[test]
fn only_looking_is_possible_and_only_under_its_own_address() {
    let (mut server, admin) = watched();
    let ask = |request: Request| raw::exchange(admin, &request).status;
    assert_eq!(ask(Request::get("/health")), 200);
    assert_eq!(ask(Request::get("/health/ready")), 200);
    assert_eq!(ask(Request::get("/models")), 404);
    assert_eq!(ask(Request::post("/metrics", "text/plain", "x")), 405);
    let named = |host: &str| {
        let mut stream = raw::connect(admin);
        std::io::Write::write_all(
            &mut stream,
            format!("GET /health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
        raw::read_reply(&mut stream, false).status
    };
    for host in ["localhost", "127.0.0.1:9", "[::1]:9", "LOCALHOST:1"] {
        assert_eq!(named(host), 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example:9", "localhost.evil.example"] {
        assert_eq!(named(host), 421, "{host}");
    }
    assert_eq!(server.get("/metrics").status, 404, "clients have no such route");
    server.begin_stop();
}

#[test]
fn a_listener_that_others_reach_needs_permission() {
    let mut config = hei_server::ServerConfig::new(([127, 0, 0, 1], 0).into(), Vec::new());
    config.admin.listen = Some(([0, 0, 0, 0], 0).into());
    let error = Server::check(&config).unwrap_err().to_string();
    assert!(error.contains("admin.allow_remote"), "{error}");
    config.admin.allow_remote = true;
    Server::check(&config).unwrap();
}
