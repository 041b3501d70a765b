//! A process that times another library, one request at a time.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::peers::tidy;
use super::sets::Set;
use super::workload::Operation;

/// The longest that one request may take: keys for large parameters take most of it.
const PATIENCE: Duration = Duration::from_secs(600);

/// The reason given once a process is no more.
pub(crate) const GONE: &str = "its process ended";

/// Settings by which libraries are kept to one thread.
const ONE_THREAD: [&str; 6] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "GOMAXPROCS",
];

/// What a library said of itself when a set was opened.
#[derive(Deserialize)]
pub(crate) struct Opened {
    pub(crate) library: String,
    pub(crate) chain: Vec<u32>,
    pub(crate) note: String,
    pub(crate) ops: Vec<String>,
    pub(crate) max_error: f64,
    pub(crate) empty_ns: f64,
}

#[derive(Deserialize)]
struct Runs {
    ns: Vec<u64>,
}

#[derive(Deserialize)]
struct Absent {
    absent: String,
}

/// The process, ended with the value.
pub(crate) struct Driver {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Driver {
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        let mut child = command
            .envs(ONE_THREAD.map(|name| (name, "1")))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Libraries print banners and stack traces there; reasons come as answers.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("its driver does not start: {error}"))?;
        let requests = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()) {
                if line.map_or(true, |line| sender.send(line).is_err()) {
                    break;
                }
            }
        });
        Ok(Self { child, requests, answers })
    }

    pub(crate) fn open(&mut self, set: &Set) -> Result<Opened, String> {
        self.ask(&json!({"open": {
            "degree": set.degree, "data": set.data, "special": set.special, "log_scale": set.log_scale,
        }}))
    }

    pub(crate) fn time(&mut self, op: Operation, count: usize) -> Result<Vec<Duration>, String> {
        let runs: Runs = self.ask(&json!({"time": op.name(), "count": count}))?;
        Ok(runs.ns.into_iter().map(Duration::from_nanos).collect())
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T, String> {
        let gone = || GONE.to_owned();
        let requests = self.requests.as_mut().ok_or_else(gone)?;
        writeln!(requests, "{request}").and_then(|()| requests.flush()).map_err(|_| gone())?;
        let line = self.answers.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer within {} s", PATIENCE.as_secs()),
            RecvTimeoutError::Disconnected => gone(),
        })?;
        if let Ok(absent) = serde_json::from_str::<Absent>(&line) {
            return Err(tidy(&absent.absent));
        }
        serde_json::from_str(&line).map_err(|error| format!("its driver answered badly: {error}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::sets;
    use super::*;

    fn saying(lines: &str) -> Driver {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("while read -r line; do echo '{lines}'; done")]);
        Driver::start(command).unwrap()
    }

    #[test]
    fn answers_are_read_and_reasons_are_errors() {
        let set = sets::parse("n4096").unwrap();
        let mut good = saying(
            r#"{"library": "L 1", "chain": [36], "note": "", "ops": ["add"], "max_error": 0.1, "empty_ns": 90, "ns": [5, 7]}"#,
        );
        assert_eq!(good.open(set).unwrap().library, "L 1");
        let times = good.time(Operation::Add, 2).unwrap();
        assert_eq!(times, [5, 7].map(Duration::from_nanos));
        assert_eq!(saying(r#"{"absent": "no such ring"}"#).open(set).err().unwrap(), "no such ring");
        assert!(saying("hello").open(set).err().unwrap().contains("badly"));
        let ended = Driver::start(Command::new("true")).unwrap().open(set);
        assert_eq!(ended.err().unwrap(), GONE);
        assert!(Driver::start(Command::new("no-such-program")).is_err());
    }
}
