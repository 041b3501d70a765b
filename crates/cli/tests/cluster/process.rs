//! The program as processes: started, killed, started again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use super::raw::{PATIENCE, Reply, Request};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hei");

/// A server or a worker; killed with the value.
pub(crate) struct Process {
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    running: Mutex<Running>,
}

struct Running {
    child: Child,
    address: Option<SocketAddr>,
}

fn command(arguments: &[String], environment: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).envs(environment.iter().cloned());
    for variable in ["HEI_CONFIG", "HEI_STORE", "HEI_DATA", "HEI_LISTEN", "HEI_WORKERS", "HEI_BLOBS"] {
        command.env_remove(variable);
    }
    command
}

fn start(arguments: &[String], environment: &[(&'static str, String)]) -> Running {
    let mut command = command(arguments, environment);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap_or_else(|| panic!("{arguments:?} ended at once")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = told["listening"].as_str().map(|url| url.strip_prefix("http://").unwrap().parse().unwrap());
    Running { child, address }
}

impl Process {
    pub(crate) fn start<A: AsRef<str>>(
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&'static str, String)],
    ) -> Self {
        let arguments: Vec<String> =
            arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let running = Mutex::new(start(&arguments, environment));
        Self { arguments, environment: environment.to_vec(), running }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.lock().unwrap().address.expect("a server")
    }

    /// SIGKILL: nothing of it runs any more. Then another like it.
    pub(crate) fn kill_and_start(&self) {
        {
            let mut running = self.running.lock().unwrap();
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
        let next = start(&self.arguments, &self.environment);
        *self.running.lock().unwrap() = next;
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.running.lock().unwrap().child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// The exit code, once it has ended.
    pub(crate) fn ended(&self) -> Option<i32> {
        self.running.lock().unwrap().child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap();
        // One that has ended already is not there to be killed.
        running.child.kill().ok();
        running.child.wait().ok();
    }
}

/// Runs to the end: exit code, and everything it said.
pub(crate) fn run(arguments: &[&str], environment: &[(&'static str, String)]) -> (Option<i32>, String) {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let output = command(&arguments, environment).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// An answer; an error when the server died meanwhile.
pub(crate) fn try_exchange(address: SocketAddr, request: &Request) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(&request.head())?;
    stream.write_all(&request.body)?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    let cut = || std::io::Error::other("cut off");
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(cut)?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let reply = Reply { status, headers, body: received.split_off(end + 4) };
    let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
    if length == reply.body.len() { Ok(reply) } else { Err(cut()) }
}

/// xorshift: the seed that a test prints plays the same kills again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seed() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}
