//! What a figure must be read with: the machine, the program and how busy things were.

use serde::Serialize;

#[derive(Clone, Serialize)]
pub(crate) struct Machine {
    /// As the system names it.
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) target: String,
    pub(crate) kernel: &'static str,
    /// Of each participant.
    pub(crate) threads: usize,
    pub(crate) version: &'static str,
    /// As given to the build in `HEI_COMMIT`.
    pub(crate) commit: &'static str,
    /// Processes that wanted to run, averaged over the last minute, before and after, where the system says.
    pub(crate) load_before: Option<f64>,
    pub(crate) load_after: Option<f64>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            kernel: hei_ring::kernel::name(),
            threads: 1,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("HEI_COMMIT").unwrap_or("not recorded in this build"),
            load_before: load(),
            load_after: None,
        }
    }

    pub(crate) fn finish(&mut self) {
        self.load_after = load();
    }

    /// Lines of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let load = |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.2}"));
        let busy = match self.load_before {
            Some(load) if load > 0.5 => " (the machine was busy with other work)",
            _ => "",
        };
        format!(
            "- CPU: {}, {} cores, {}\n- kernel: {}; threads of each participant: {}\n- hei {}, commit {}\n\
             - load average before {}, after {}{busy}\n",
            self.cpu,
            self.cores,
            self.target,
            self.kernel,
            self.threads,
            self.version,
            self.commit,
            load(self.load_before),
            load(self.load_after),
        )
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn cpu() -> String {
    if let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") {
        return describe(&text);
    }
    let asked = std::process::Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output();
    match asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// Model, family and number of the first processor.
fn describe(cpuinfo: &str) -> String {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let name = field("model name").unwrap_or_else(|| "unknown".to_owned());
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_described_by_the_first_entry() {
        let text = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: Fast 9000\n\nmodel name\t: Other\n";
        assert_eq!(describe(text), "Fast 9000 (family 26, model 2)");
        assert_eq!(describe("flags: none"), "unknown");
    }

    #[test]
    fn a_busy_machine_is_named_so() {
        let mut machine = Machine { load_before: Some(2.5), load_after: Some(3.0), ..Machine::new() };
        assert!(machine.markdown().contains("busy"));
        machine.load_before = Some(0.1);
        assert!(!machine.markdown().contains("busy"));
    }
}
