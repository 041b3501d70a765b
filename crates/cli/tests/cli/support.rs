//! Runs the program in a folder and an environment of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hei");

/// A folder for data, keys and files; nothing of the user's is read or written.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }

    /// Asserts success and returns standard output.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stderr: {}\nstdout: {}", self.stderr, self.stdout);
        self.stdout
    }

    /// Asserts success and exactly one line of JSON on standard output.
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        assert_eq!(text.lines().count(), 1, "one line of JSON: {text}");
        serde_json::from_str(&text).expect("standard output is JSON")
    }

    /// Asserts an exit code, a message with this text, and nothing on standard output.
    pub(crate) fn fails(self, code: i32, message: &str) {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        assert!(self.stderr.contains(message), "{:?} is not in: {}", message, self.stderr);
        assert_eq!(self.stdout, "", "answers only on success");
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn key_path(&self, name: &str) -> PathBuf {
        self.path("data").join("hei").join("keys").join(format!("{name}.heikey"))
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env_remove("HEI_URL")
            .env_remove("HEI_TOKEN_FILE")
            .env_remove("HEI_CONFIG")
            .env_remove("HEI_LISTEN")
            .env_remove("HEI_MODELS")
            .env_remove("HEI_DATA")
            .env_remove("HEI_STORE")
            .env_remove("HEI_TOKENS")
            .env_remove("HEI_LOG")
            .env_remove("HEI_LOG_FORMAT")
            .env_remove("HEI_ADMIN")
            .env_remove("HEI_ADMIN_URL")
            .env_remove("HEI_CA")
            .env_remove("HEI_TLS_CERT")
            .env_remove("HEI_TLS_KEY")
            .env_remove("HEI_KERNEL");
        command
    }

    /// Runs a command to its end, with nothing on standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::new(self.command(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a line in a shell that finds the program as `hei`.
    pub(crate) fn shell(&self, line: &str, url: &str) -> Ended {
        let folder = Path::new(PROGRAM).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        let mut command = self.command("sh");
        command.args(["-c", line]).env("PATH", std::env::join_paths(paths).unwrap()).env("HEI_URL", url);
        Ended::new(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a command with this on standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self
            .command(PROGRAM)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses early does not read it; that is not this side's error.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ended::new(child.wait_with_output().unwrap())
    }

    /// `hei serve` on a port the system chose.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut child = self
            .command(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--until-stdin-closes"])
            .args(if arguments.contains(&"--data") { &[][..] } else { &["--store", "memory"] })
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("the server says where it listens");
        let address = |name: &str| said[name].as_str().map(str::to_owned);
        Server { child, url: address("listening").unwrap(), admin: address("admin") }
    }
}

/// A server process, ended with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// The operator's listener, if there is one.
    pub(crate) admin: Option<String>,
}

impl Server {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end that something else caused.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It stops when its standard input closes, and drains; a test that failed is not made to wait for a
        // hang.
        drop(self.child.stdin.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
