//! Another process of the same test program, and what its memory holds.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::patterns::Pattern;

const CASE: &str = "HEI_WIPED_CASE";

/// In the watched process: the case it was started for.
pub(crate) fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// In the watched process: waits here until it was looked at.
pub(crate) fn stop(place: &str) {
    println!("at {place}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A watched process. It holds secrets where the product puts them, and is told nothing: who watches it computes the same.
pub(crate) struct Watched {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watched {
    /// Runs the ignored test `test` of this program in a process of its own.
    pub(crate) fn start(test: &str, case: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(CASE, case)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Lets it go on to a place where it waits.
    pub(crate) fn at(&mut self, place: &str) {
        let mut line = String::new();
        while !line.contains(&format!("at {place}")) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before {place}");
        }
    }

    pub(crate) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Which of some patterns its writable memory holds: heap, stacks, data, whatever was freed and is still mapped.
    pub(crate) fn found(&self, patterns: &[Pattern]) -> Vec<String> {
        let mut found = Vec::new();
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        let memory = File::open(format!("/proc/{}/mem", self.child.id())).unwrap();
        let mut read = 0;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let (start, end) =
                (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            let mut words = vec![0; usize::try_from(end - start).unwrap()];
            // A mapping may be gone, or a guard.
            let Ok(()) = memory.read_exact_at(&mut words, start) else { continue };
            read += words.len();
            let place = fields.nth(3).unwrap_or("anonymous");
            for (name, pattern) in patterns {
                if let Some(at) = search(&words, pattern) {
                    found.push(format!("{name} in {place} at {:x}", start + at as u64));
                }
            }
        }
        assert!(read > 100_000, "its memory was read");
        found
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn search(words: &[u8], pattern: &[u8]) -> Option<usize> {
    assert!(pattern.len() >= 24, "nothing is found by chance");
    let (first, rest) = pattern.split_first().unwrap();
    let mut from = 0;
    while let Some(at) = words[from..].iter().position(|byte| byte == first) {
        if words[from + at + 1..].starts_with(rest) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
