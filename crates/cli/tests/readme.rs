//! What README says, done.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The fenced blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            blocks.push(
                lines
                    .by_ref()
                    .take_while(|line| *line != "```")
                    .fold(String::new(), |all, line| all + line + "\n"),
            );
        }
    }
    blocks
}

fn hei(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hei"));
    command.current_dir(folder).env_remove("HEI_URL").env("XDG_DATA_HOME", folder.join("data"));
    command
}

/// Numbers and runs of spaces are what may differ from one run to the next.
fn shape(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        out += if number { "#" } else { word };
        out.push(' ');
    }
    out
}

#[test]
fn the_demo_prints_what_readme_shows() {
    let output = hei(&root()).arg("demo").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = &blocks("text")[0];
    // Times and bytes may come out in other units only if something is badly off, so units are compared.
    for (printed, shown) in printed.lines().zip(shown.lines()) {
        assert_eq!(shape(printed), shape(shown));
    }
    assert_eq!(printed.lines().count(), shown.lines().count());
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_commands_for_your_own_model_work_in_order() {
    let folder = std::env::temp_dir().join(format!("hei-readme-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("models/data")).unwrap();
    for file in ["models/breast_cancer_v1.json", "models/data/breast_cancer_heldout.csv"] {
        std::fs::copy(root().join(file), folder.join(file)).unwrap();
    }
    let block =
        blocks("sh").into_iter().find(|block| block.contains("hei serve")).expect("README serves a model");
    let mut server: Option<(Server, String)> = None;
    let mut answers = String::new();
    for line in block.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["mkdir", name] => std::fs::create_dir(folder.join(name)).unwrap(),
            ["hei", arguments @ .., "&"] => {
                let mut child = hei(&folder)
                    .args(arguments)
                    .args(["--listen", "127.0.0.1:0", "--json"])
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut first = String::new();
                BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
                let url = serde_json::from_str::<serde_json::Value>(&first).unwrap()["listening"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                server = Some((Server(child), url));
            }
            ["hei", arguments @ ..] => {
                let mut command = hei(&folder);
                command.args(arguments);
                if let Some((_, url)) = &server {
                    command.env("HEI_URL", url);
                }
                let output = command.output().unwrap();
                assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
                answers = String::from_utf8(output.stdout).unwrap();
            }
            _ => panic!("README has a line this test does not know: {line}"),
        }
    }
    assert!(answers.lines().count() >= 114, "an answer for each held-out row:\n{answers}");
    drop(server);
    std::fs::remove_dir_all(&folder).unwrap();
}
