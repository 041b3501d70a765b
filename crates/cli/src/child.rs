//! A server in a process of its own, for as long as a value lives.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);

/// `hei serve` on a port the system chose. Dropping it ends the server and waits for that.
pub(crate) struct ServerProcess {
    child: Child,
    url: String,
}

#[derive(Deserialize)]
struct Listening {
    listening: String,
}

impl ServerProcess {
    /// Starts this very program as a server and reads the address it prints.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--until-stdin-closes"])
            // What a child serves is over with its parent, unless it is told where to keep it.
            .args(if arguments.contains(&"--data") { &[][..] } else { &["--store", "memory"] })
            .args(arguments)
            // The server stops when this pipe closes, however this process ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a server process")?;
        let stdout = child.stdout.take();
        let mut process = Self { child, url: String::new() };
        let Some(stdout) = stdout else { bail!("the server process has no standard output") };
        process.url = first_line(stdout)?.listening;
        Ok(process)
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
        // It did not drain in time. It is our child: ending it cannot hit anybody else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(stdout: ChildStdout) -> anyhow::Result<Listening> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        let read = reader.by_ref().take(4096).read_line(&mut line).map(|_| line);
        let _ = sender.send(read);
        // Whatever follows is drained, so that the server never blocks on a full pipe.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let line = receiver.recv_timeout(START).context("the server process did not say where it listens")??;
    serde_json::from_str(&line).context("the server process ended before it listened")
}
