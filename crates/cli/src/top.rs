//! `hei top`: a server, live in the terminal, out of its `/metrics`.

mod series;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
use crossterm::style::Stylize;
use crossterm::{cursor, execute, queue, terminal};
use serde::Serialize;

use crate::args::Top;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use series::Series;

/// No list of series is longer.
const MOST: u64 = 8 << 20;

pub(crate) fn run(args: &Top) -> Outcome {
    let source = Source::new(&args.url)?;
    if args.once || args.json {
        let first = source.scrape()?;
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(args.interval.clamp(50, 1000)));
        let second = source.scrape()?;
        let view = View::between(&first, &second, begun.elapsed());
        if args.json {
            output::json(&view)?;
        } else {
            output::answer(&view.lines(&args.url, 100).join("\n"))?;
        }
        return Ok(true);
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "standard output is no terminal: use --once, or --json"));
    }
    let _screen = Screen::enter()?;
    watch(args, &source)?;
    Ok(true)
}

/// Where series come from.
struct Source {
    agent: ureq::Agent,
    url: String,
}

impl Source {
    fn new(url: &str) -> Result<Self, Failure> {
        let plain = url.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
        if !plain {
            let message = "not an admin address: expected http://host:port, as hei serve --admin prints it";
            return Err(Failure::new(Exit::Usage, message));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(5)));
        let url = format!("{}/metrics", url.trim_end_matches('/'));
        Ok(Self { agent: config.build().new_agent(), url })
    }

    fn scrape(&self) -> Result<Series, Failure> {
        let unreachable = |error: ureq::Error| {
            let why = output::plain(&error.to_string(), 200);
            Failure::new(
                Exit::Unreachable,
                format!("cannot read {}: {why}; is it the address of --admin?", self.url),
            )
        };
        let answer = self.agent.get(&self.url).call().map_err(unreachable)?;
        if answer.status() != 200 {
            let status = answer.status().as_u16();
            return Err(Failure::new(Exit::Unacceptable, format!("{} answers {status}", self.url)));
        }
        let text = answer.into_body().into_with_config().limit(MOST).read_to_string().map_err(unreachable)?;
        let series = Series::parse(&text);
        if series.value("hei_start_time_seconds", &[]).is_none() {
            return Err(Failure::new(Exit::Unacceptable, format!("{} is not a hei server's", self.url)));
        }
        Ok(series)
    }
}

/// What is shown: between two looks.
#[derive(Serialize)]
struct View {
    version: String,
    uptime_seconds: f64,
    ready: bool,
    requests_per_second: f64,
    inferences_per_second: f64,
    failed_per_second: f64,
    rejects_per_second: f64,
    /// Reasons of refusals, the most frequent first.
    rejects: Vec<Reject>,
    queue: Queue,
    workers: Workers,
    connections: Share,
    body_bytes: Share,
    input_bytes: Share,
    key_bytes: Share,
    resident_bytes: f64,
    latency: Vec<Latency>,
}

#[derive(Serialize)]
struct Reject {
    reason: String,
    per_second: f64,
    total: f64,
}

#[derive(Serialize)]
struct Queue {
    queued: f64,
    running: f64,
    expected_wait_seconds: f64,
}

#[derive(Serialize)]
struct Workers {
    busy: f64,
    threads: f64,
    waiting_to_validate: f64,
    waiting_to_evaluate: f64,
}

#[derive(Serialize)]
struct Share {
    used: f64,
    of: f64,
}

/// Quantiles of what happened between the looks, or, where nothing did, since the start.
#[derive(Serialize)]
struct Latency {
    stage: &'static str,
    per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl View {
    fn between(before: &Series, now: &Series, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let gauge = |name: &str, labels: &[(&str, &str)]| now.value(name, labels).unwrap_or(0.0);
        let rate = |name: &str, labels: &[(&str, &str)]| {
            (now.sum(name, labels) - before.sum(name, labels)).max(0.0) / seconds
        };
        let share = |name: &str| Share { used: gauge(name, &[]), of: gauge(&format!("{name}_limit"), &[]) };
        let mut rejects: Vec<Reject> = now
            .labels("hei_rejects_total", "reason")
            .into_iter()
            .map(|reason| Reject {
                per_second: rate("hei_rejects_total", &[("reason", &reason)]),
                total: gauge("hei_rejects_total", &[("reason", &reason)]),
                reason,
            })
            .collect();
        rejects.sort_by(|a, b| {
            (b.per_second, b.total).partial_cmp(&(a.per_second, a.total)).unwrap_or(std::cmp::Ordering::Equal)
        });
        let stages: [(&str, &str, &[(&str, &str)]); 6] = [
            ("POST /infer", "hei_request_duration_seconds", &[("route", "/infer")]),
            ("validate", "hei_validate_duration_seconds", &[]),
            ("queue", "hei_queue_wait_seconds", &[]),
            ("evaluate", "hei_evaluate_duration_seconds", &[]),
            ("encode", "hei_encode_duration_seconds", &[]),
            ("store", "hei_store_duration_seconds", &[]),
        ];
        let latency = stages.map(|(stage, name, labels)| {
            let quantile = |q| now.quantile(Some(before), name, labels, q).map(|s| (s * 1e6).round() / 1e3);
            let per_second = rate(&format!("{name}_count"), labels);
            Latency { stage, per_second, p50_ms: quantile(0.5), p99_ms: quantile(0.99) }
        });
        let started = gauge("hei_start_time_seconds", &[]);
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            version: now.labels("hei_build_info", "version").into_iter().next().unwrap_or_default(),
            uptime_seconds: clock.map_or(0.0, |clock| (clock.as_secs_f64() - started).max(0.0)).round(),
            ready: gauge("hei_ready", &[]) > 0.0,
            requests_per_second: rate("hei_requests_total", &[]),
            inferences_per_second: rate("hei_jobs_finished_total", &[("outcome", "completed")]),
            failed_per_second: rate("hei_jobs_finished_total", &[("outcome", "failed")]),
            rejects_per_second: rate("hei_rejects_total", &[]),
            rejects,
            queue: Queue {
                queued: gauge("hei_jobs", &[("state", "queued")]),
                running: gauge("hei_jobs", &[("state", "running")]),
                expected_wait_seconds: gauge("hei_line_seconds", &[]),
            },
            workers: Workers {
                busy: gauge("hei_compute_threads_busy", &[]),
                threads: gauge("hei_compute_threads", &[]),
                waiting_to_validate: gauge("hei_compute_waiting", &[("lane", "validate")]),
                waiting_to_evaluate: gauge("hei_compute_waiting", &[("lane", "evaluate")]),
            },
            connections: share("hei_connections"),
            body_bytes: share("hei_body_bytes"),
            input_bytes: share("hei_input_bytes"),
            key_bytes: share("hei_eval_key_bytes"),
            resident_bytes: gauge("hei_resident_bytes", &[]),
            latency: latency.into(),
        }
    }

    /// Lines for a terminal so many columns wide.
    fn lines(&self, url: &str, width: usize) -> Vec<String> {
        let octets = |count: f64| output::bytes(count as u64);
        let bar = |share: &Share, shown: String| {
            let part = if share.of > 0.0 { (share.used / share.of).clamp(0.0, 1.0) } else { 0.0 };
            let filled = (part * 20.0).round() as usize;
            format!("[{}{}] {shown}", "#".repeat(filled), ".".repeat(20 - filled))
        };
        let sized = |share: &Share| bar(share, format!("{} of {}", octets(share.used), octets(share.of)));
        let counted = |share: &Share| bar(share, format!("{:.0} of {:.0}", share.used, share.of));
        let threads = Share { used: self.workers.busy, of: self.workers.threads };
        let state = if self.ready { "ready" } else { "NOT READY" };
        let mut lines = vec![
            format!(
                "hei {}  {url}  up {}  {state}",
                output::plain(&self.version, 20),
                duration(self.uptime_seconds)
            ),
            String::new(),
            format!(
                "inferences {:>9.1}/s   requests {:>9.1}/s   refused {:>9.1}/s   failed {:>7.1}/s",
                self.inferences_per_second,
                self.requests_per_second,
                self.rejects_per_second,
                self.failed_per_second
            ),
            format!(
                "queued {:>6.0}   running {:>4.0}   expected wait {:>8.1} ms   waiting for a thread {:.0} + {:.0}",
                self.queue.queued,
                self.queue.running,
                self.queue.expected_wait_seconds * 1e3,
                self.workers.waiting_to_validate,
                self.workers.waiting_to_evaluate
            ),
            String::new(),
            format!("threads      {}", counted(&threads)),
            format!("connections  {}", counted(&self.connections)),
            format!("bodies       {}", sized(&self.body_bytes)),
            format!("inputs       {}", sized(&self.input_bytes)),
            format!("keys         {}", sized(&self.key_bytes)),
            format!("memory       {}", octets(self.resident_bytes)),
            String::new(),
        ];
        let shown = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
        let rows: Vec<Vec<String>> = self
            .latency
            .iter()
            .map(|l| {
                vec![l.stage.to_owned(), format!("{:.1}", l.per_second), shown(l.p50_ms), shown(l.p99_ms)]
            })
            .collect();
        lines.extend(
            output::table(&["latency", "per s", "p50 ms", "p99 ms"], &rows).lines().map(str::to_owned),
        );
        if !self.rejects.is_empty() {
            lines.push(String::new());
            let rows: Vec<Vec<String>> = self
                .rejects
                .iter()
                .take(8)
                .map(|r| {
                    vec![
                        output::plain(&r.reason, 40),
                        format!("{:.1}", r.per_second),
                        format!("{:.0}", r.total),
                    ]
                })
                .collect();
            lines.extend(output::table(&["refused", "per s", "in all"], &rows).lines().map(str::to_owned));
        }
        lines.into_iter().map(|line| line.chars().take(width).collect()).collect()
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min"),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// The terminal, given back as it was, whatever happens.
struct Screen;

impl Screen {
    fn enter() -> Result<Self, Failure> {
        terminal::enable_raw_mode().context("the terminal cannot be used")?;
        let screen = Self;
        execute!(std::io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(std::io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn watch(args: &Top, source: &Source) -> Result<(), Failure> {
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let interval = Duration::from_millis(args.interval.max(50));
    let mut before = source.scrape()?;
    let mut looked = Instant::now();
    let mut lines = vec!["reading…".to_owned()];
    loop {
        draw(&lines, color)?;
        if !wait(looked + interval, &lines, color)? {
            return Ok(());
        }
        let elapsed = looked.elapsed();
        looked = Instant::now();
        lines = match source.scrape() {
            Ok(now) => {
                let view = View::between(&before, &now, elapsed);
                before = now;
                view.lines(&args.url, usize::MAX)
            }
            // A restart is no reason to leave.
            Err(failure) => vec![format!("{failure}"), String::new(), "trying again; q quits".to_owned()],
        };
    }
}

/// Until then, or a wish to leave: `false`.
fn wait(until: Instant, lines: &[String], color: bool) -> Result<bool, Failure> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        if !poll(left)? {
            return Ok(true);
        }
        match read()? {
            Event::Key(key) => {
                let interrupt =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(false);
                }
            }
            Event::Resize(..) => draw(lines, color)?,
            _ => {}
        }
    }
}

fn draw(lines: &[String], color: bool) -> Result<(), Failure> {
    let (width, height) = terminal::size().unwrap_or((80, 24));
    let mut out = std::io::stdout().lock();
    queue!(out, terminal::BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
    for (row, line) in lines.iter().take(usize::from(height).saturating_sub(1)).enumerate() {
        let cut: String = line.chars().take(usize::from(width)).collect();
        let heading = row == 0 || line.starts_with("latency") || line.starts_with("refused ");
        if color && heading {
            write!(out, "{}", cut.as_str().bold())?;
        } else if color && line.contains("NOT READY") {
            write!(out, "{}", cut.as_str().red())?;
        } else {
            write!(out, "{cut}")?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
        write!(out, "\r\n")?;
    }
    queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
    out.flush()?;
    Ok(())
}
