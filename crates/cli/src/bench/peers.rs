//! The other libraries: what they are called, and how they come onto this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::output;

/// A library that can be measured beside this one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// What pip installs, versions pinned: figures of one version say nothing of another.
    packages: &'static [&'static str],
    /// For wheels whose dependencies are not used here.
    without_dependencies: bool,
    /// The one version of Python that its extension module is for.
    python: Option<&'static str>,
    /// A statement that works once it is installed.
    check: &'static str,
    module: &'static str,
    script: &'static str,
}

/// Peers as typed.
#[derive(Clone, Debug)]
pub(crate) struct PeerChoice(pub(crate) Vec<&'static Peer>);

pub(crate) const PEERS: [Peer; 6] = [
    Peer {
        name: "seal-python",
        packages: &["seal-python==4.4.0", "numpy"],
        without_dependencies: false,
        python: None,
        check: "import seal, numpy",
        module: "peer_seal",
        script: include_str!("../../../../scripts/bench/peer_seal.py"),
    },
    Peer {
        name: "tenseal",
        packages: &["tenseal==0.3.18"],
        without_dependencies: false,
        python: None,
        check: "import tenseal.sealapi",
        module: "peer_tenseal",
        script: include_str!("../../../../scripts/bench/peer_tenseal.py"),
    },
    Peer {
        name: "desilofhe",
        packages: &["desilofhe==2.0.0", "numpy"],
        without_dependencies: false,
        python: None,
        check: "import desilofhe, numpy",
        module: "peer_desilofhe",
        script: include_str!("../../../../scripts/bench/peer_desilofhe.py"),
    },
    Peer {
        name: "helayers",
        packages: &["pyhelayerslite==1.5.5.4", "numpy"],
        without_dependencies: false,
        python: None,
        check: "import pyhelayerslite",
        module: "peer_helayers",
        script: include_str!("../../../../scripts/bench/peer_helayers.py"),
    },
    Peer {
        name: "openfhe",
        packages: &["openfhe==1.6.1.0.22.4", "numpy"],
        without_dependencies: false,
        python: Some("3.10"),
        check: "import openfhe",
        module: "peer_openfhe",
        script: include_str!("../../../../scripts/bench/peer_openfhe.py"),
    },
    Peer {
        name: "lattigo",
        packages: &["orion-fhe==1.0.2"],
        without_dependencies: true,
        python: None,
        // Orion itself is not imported: it would need a machine-learning framework.
        check: "import importlib.util; importlib.util.find_spec('orion').origin",
        module: "peer_lattigo",
        script: include_str!("../../../../scripts/bench/peer_lattigo.py"),
    },
];

/// Libraries that would belong here, and why they are not driven.
pub(crate) const NOT_DRIVEN: [(&str, &str); 1] =
    [("poulpy-ckks", "needs a nightly compiler and has no Python package: there is no driver for it here")];

const DRIVER: &str = include_str!("../../../../scripts/bench/driver.py");

/// `none`, `all`, or names with commas between.
pub(crate) fn parse(text: &str) -> Result<PeerChoice, String> {
    match text {
        "none" => return Ok(PeerChoice(Vec::new())),
        "all" => return Ok(PeerChoice(PEERS.iter().collect())),
        _ => {}
    }
    let mut chosen = Vec::new();
    for name in text.split(',') {
        let peer = PEERS.iter().find(|peer| peer.name == name).ok_or_else(|| {
            let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
            format!("the libraries are {}", names.join(", "))
        })?;
        if !chosen.contains(&peer) {
            chosen.push(peer);
        }
    }
    Ok(PeerChoice(chosen))
}

/// Where libraries go without --folder.
pub(crate) fn default_folder() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .or_else(|| from("LOCALAPPDATA"))
        .map(|cache| cache.join("hei").join("bench"))
}

impl Peer {
    /// Installs what is missing and gives the command that times this library, or why there is none.
    pub(crate) fn command(&self, folder: &Path, pythons: &[PathBuf]) -> Result<Command, String> {
        let version = self.packages.first().and_then(|package| package.split_once("==")).map_or("", |p| p.1);
        let environment = folder.join(format!("{}-{version}", self.name));
        let interpreter = if cfg!(windows) {
            environment.join("Scripts").join("python.exe")
        } else {
            environment.join("bin").join("python")
        };
        let works = || run(Command::new(&interpreter).args(["-c", self.check]));
        if works().is_err() {
            let base = self.base(pythons)?;
            output::progress(format_args!("installing {}", self.packages.join(" ")));
            run(Command::new(base).args(["-m", "venv", "--clear"]).arg(&environment))?;
            let mut pip = Command::new(&interpreter);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            pip.args(["--only-binary", ":all:"]);
            if self.without_dependencies {
                pip.arg("--no-deps");
            }
            run(pip.args(self.packages))?;
            works()?;
        }
        let scripts = folder.join("drivers");
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(&scripts)?;
            std::fs::write(scripts.join(name), text)
        };
        write("driver.py", DRIVER)
            .and_then(|()| write(&format!("{}.py", self.module), self.script))
            .map_err(|error| format!("its driver cannot be written: {error}"))?;
        let mut command = Command::new(interpreter);
        command.arg("-u").arg(scripts.join("driver.py")).arg(self.module);
        Ok(command)
    }

    /// An interpreter that fits.
    fn base(&self, pythons: &[PathBuf]) -> Result<PathBuf, String> {
        let usual = ["python3", "python3.10"].map(PathBuf::from);
        let show = "import sys; print('%d.%d' % sys.version_info[:2])";
        for python in usual.iter().chain(pythons) {
            let Ok(version) = run(Command::new(python).args(["-c", show])) else { continue };
            if self.python.is_none_or(|wanted| version.trim() == wanted) {
                return Ok(python.clone());
            }
        }
        Err(match self.python {
            Some(version) => format!("needs Python {version}; none was found (--python names one)"),
            None => "needs Python; python3 was not found (--python names one)".to_owned(),
        })
    }
}

/// Runs to the end; what it printed, or the last line of what it complained.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let telling = complaint
        .lines()
        .rev()
        .find(|line| line.contains("ERROR:") || line.contains("Error"))
        .or_else(|| complaint.lines().last());
    Err(tidy(telling.unwrap_or("it ended without a word")))
}

/// A reason fit for a report: no paths of this machine or another, not too long.
pub(crate) fn tidy(reason: &str) -> String {
    let word = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let words: Vec<String> = reason.split_whitespace().map(word).collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(240).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_chosen_by_name() {
        let names = |text: &str| parse(text).map(|c| c.0.iter().map(|p| p.name).collect::<Vec<_>>());
        assert_eq!(names("none").unwrap(), Vec::<&str>::new());
        assert_eq!(names("tenseal,seal-python,tenseal").unwrap(), ["tenseal", "seal-python"]);
        assert_eq!(names("all").unwrap().len(), PEERS.len());
        assert!(names("seal").unwrap_err().contains("seal-python, tenseal"));
    }

    #[test]
    fn reasons_name_no_paths() {
        assert_eq!(tidy("/root/build/x.cpp:l.152: refused\u{7}  (8192)\n"), "x.cpp:l.152: refused (8192)");
        assert_eq!(tidy(&"a".repeat(500)).len(), 240);
    }

    #[test]
    fn what_cannot_be_installed_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Peer { python: Some("2.1"), ..seal() };
        let reason = wanted.command(folder.path(), &[PathBuf::from("no-such-python")]).unwrap_err();
        assert!(reason.contains("Python 2.1"), "{reason}");
    }

    fn seal() -> Peer {
        Peer {
            name: "seal-python",
            packages: &["seal-python==4.4.0"],
            without_dependencies: false,
            python: None,
            check: "import seal",
            module: "peer_seal",
            script: "",
        }
    }
}
