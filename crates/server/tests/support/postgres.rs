//! A real PostgreSQL for tests: a cluster of its own, on loopback, under an unprivileged user, gone with the test process.
#![allow(dead_code, unreachable_pub)]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What must never be printed.
pub const PASSWORD: &str = "planted-database-password";

/// `nobody`, where the tests run as root: PostgreSQL refuses to.
const NOBODY: u32 = 65534;

pub struct Postgres {
    programs: PathBuf,
    port: u16,
    /// The cluster ends when this is closed.
    _stdin: ChildStdin,
    _shell: Child,
}

/// The cluster of this test process; `None`, loudly, on a machine without PostgreSQL.
pub fn postgres() -> Option<&'static Postgres> {
    static CLUSTER: OnceLock<Option<Postgres>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| programs().map(Postgres::start));
    if cluster.is_none() {
        skipped(
            "postgres",
            "PostgreSQL's initdb and postgres are neither in PATH nor in /usr/lib/postgresql",
        );
    }
    cluster.as_ref()
}

/// Says what is not tested; fails where it must be.
pub fn skipped(tool: &str, reason: &str) {
    let required = std::env::var("HEI_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == tool), "HEI_REQUIRE names {tool}: {reason}");
    eprintln!("SKIPPED: {reason}");
}

fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    folders
        .into_iter()
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()))
}

#[cfg(unix)]
fn as_somebody(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = tempfile::tempfile().unwrap();
    own.metadata().unwrap().uid() == 0
}

impl Postgres {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("hei-postgres-").tempdir().unwrap().keep();
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            for path in [&folder, &password] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let data = folder.join("data");
        let mut command = Command::new(programs.join("initdb"));
        command.arg("-D").arg(&data).args(["-U", "hei", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale"]);
        command.arg("--pwfile").arg(&password).current_dir(&folder);
        let made = as_somebody(&mut command).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        // The shell outlives this process just long enough to stop the cluster and remove its folder.
        let script = r#""$1" -D "$2/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
            -c max_connections=200 -c log_min_messages=fatal >"$2/log" 2>&1 & server=$!
            cat >/dev/null; kill -QUIT $server; wait $server; rm -rf "$2""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(programs.join("postgres")).arg(&folder).arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&folder);
        let mut shell = as_somebody(&mut command).spawn().unwrap();
        let stdin = shell.stdin.take().unwrap();
        let cluster = Self { programs, port, _stdin: stdin, _shell: shell };
        let patience = Instant::now() + Duration::from_secs(60);
        while !cluster.try_sql("postgres", "select 1").0 {
            assert!(Instant::now() < patience, "PostgreSQL does not start");
            std::thread::yield_now();
        }
        cluster
    }

    fn try_sql(&self, database: &str, sql: &str) -> (bool, String) {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "hei",
            "-d",
            database,
        ]);
        command.args(["-p", &self.port.to_string(), "-f", "-"]).env("PGPASSWORD", PASSWORD);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let said = if done.status.success() { done.stdout } else { done.stderr };
        (done.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// What a statement says.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let (done, said) = self.try_sql(database, sql);
        assert!(done, "{sql}: {said}");
        said
    }

    /// An empty database; its name and its address.
    pub fn database(&self) -> (String, String) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        let address = format!("postgres://hei:{PASSWORD}@127.0.0.1:{}/{name}", self.port);
        (name, address)
    }

    /// The address of a database, without its password.
    pub fn address_without_password(&self, name: &str) -> String {
        format!("postgres://hei@127.0.0.1:{}/{name}", self.port)
    }
}

/// Whether a folder has nothing but the probe that an object store is tried with.
pub fn holds_only_the_probe(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().all(|entry| entry.unwrap().file_name() == "probe")
}
