//! The comparison as data and as Markdown.

use std::fmt::Write;

use serde::Serialize;

use super::machine::Machine;

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) sets: Vec<SetReport>,
    /// Who is missing, where (everywhere without a set), and why.
    pub(crate) absent: Vec<Absent>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Serialize)]
pub(crate) struct Absent {
    pub(crate) peer: &'static str,
    pub(crate) set: Option<&'static str>,
    pub(crate) reason: String,
}

#[derive(Serialize)]
pub(crate) struct SetReport {
    pub(crate) name: &'static str,
    pub(crate) degree: usize,
    pub(crate) participants: Vec<Participant>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Serialize)]
pub(crate) struct Participant {
    pub(crate) id: &'static str,
    pub(crate) library: String,
    /// Prime sizes, special primes last; empty where the library chooses its own and does not say.
    pub(crate) chain: Vec<u32>,
    pub(crate) special: usize,
    pub(crate) log2_qp: Option<f64>,
    pub(crate) note: String,
    /// An empty call of its binding; subtracted from every time.
    pub(crate) empty_call_us: f64,
    /// Of a product and of a rotation, before anything was timed.
    pub(crate) max_error: f64,
}

#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) op: &'static str,
    /// In the order of the participants.
    pub(crate) cells: Vec<Option<Cell>>,
    /// Each participant's median over the first one's: how many times as long it takes.
    pub(crate) ratios: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct Cell {
    pub(crate) median_us: f64,
    pub(crate) min_us: f64,
    pub(crate) runs: usize,
}

/// A ratio that this project set out to reach against SEAL.
#[derive(Serialize)]
pub(crate) struct Target {
    pub(crate) set: &'static str,
    pub(crate) op: &'static str,
    pub(crate) at_least: f64,
    pub(crate) ratio: f64,
    pub(crate) reached: bool,
}

/// The library that targets are about, and whose ids are here.
const REFERENCE: &str = "seal-python";

const TARGETS: [(&str, &str, f64); 12] = [
    ("n16384-60", "encode", 7.0),
    ("n16384-60", "decode", 20.0),
    ("n16384-60", "encrypt_sym", 4.0),
    ("n16384-60", "encrypt_pk", 4.0),
    ("n16384-60", "relinearize", 4.0),
    ("n16384-60", "mul_relin_rescale", 4.0),
    ("n16384-60", "rotate", 4.0),
    ("n16384-50", "relinearize", 5.5),
    ("n16384-50", "mul_relin_rescale", 5.5),
    ("n16384-50", "rotate", 5.5),
    ("n8192-47", "mul_relin_rescale", 5.5),
    ("n8192-47", "rotate", 5.5),
];

/// The targets that this report can judge.
pub(crate) fn targets(sets: &[SetReport]) -> Vec<Target> {
    let find = |&(set, op, at_least): &(&'static str, &'static str, f64)| {
        let report = sets.iter().find(|report| report.name == set)?;
        let at = report.participants.iter().position(|p| p.id == REFERENCE)?;
        let row = report.rows.iter().find(|row| row.op == op)?;
        let ratio = row.ratios.get(at).copied().flatten()?;
        Some(Target { set, op, at_least, ratio, reached: ratio >= at_least })
    };
    TARGETS.iter().filter_map(find).collect()
}

impl Row {
    pub(crate) fn new(op: &'static str, cells: Vec<Option<Cell>>) -> Self {
        let ours = cells.first().copied().flatten().map(|cell| cell.median_us).filter(|us| *us > 0.0);
        let ratio = |cell: &Option<Cell>| Some(cell.as_ref()?.median_us / ours?);
        let ratios = cells.iter().map(ratio).collect();
        Self { op, cells, ratios }
    }

    fn is_empty(&self) -> bool {
        self.cells.iter().all(Option::is_none)
    }
}

/// Microseconds, three digits or so.
pub(crate) fn microseconds(us: f64) -> String {
    match us {
        0.0..10.0 => format!("{us:.2}"),
        10.0..100.0 => format!("{us:.1}"),
        _ => format!("{us:.0}"),
    }
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("# The same operations, in turns\n\n");
        out += &self.machine.markdown();
        out += "- medians of wall-clock times in microseconds, everybody in turns within one run; \
                in parentheses: times as long as `hei` takes (above 1: `hei` is faster)\n\
                - an empty call of each Python binding was timed and is subtracted\n\
                - `mul_relin_rescale` multiplies two ciphertexts, relinearizes and rescales; here the last two are \
                one step. `rotate_hoisted`: a sixteenth of decomposing once and rotating by 1 to 16\n";
        for set in &self.sets {
            set.markdown(&mut out);
        }
        if !self.absent.is_empty() {
            out += "\n## Absent\n\n| library | set | reason |\n|---|---|---|\n";
            for absent in &self.absent {
                let set = absent.set.unwrap_or("all");
                let _ = writeln!(out, "| {} | {set} | {} |", absent.peer, cell_text(&absent.reason));
            }
        }
        if !self.targets.is_empty() {
            out += "\n## Targets: ratio to SEAL\n\n| set | operation | at least | measured | |\n|---|---|---:|---:|---|\n";
            for t in &self.targets {
                let verdict = if t.reached { "reached" } else { "**not reached**" };
                let _ =
                    writeln!(out, "| {} | {} | {} | {:.1} | {verdict} |", t.set, t.op, t.at_least, t.ratio);
            }
        }
        out
    }
}

impl SetReport {
    fn markdown(&self, out: &mut String) {
        let _ = write!(
            out,
            "\n## {}: N={}\n\n| participant | library | chain | special primes |",
            self.name, self.degree
        );
        *out += " log2 QP | empty call, µs | largest error | note |\n|---|---|---|---:|---:|---:|---:|---|\n";
        for p in &self.participants {
            let chain = if p.chain.is_empty() { "its own".to_owned() } else { abbreviated(&p.chain) };
            let special = if p.chain.len() == p.special || p.special == 0 {
                "its own".to_owned()
            } else {
                p.special.to_string()
            };
            let modulus = p.log2_qp.map_or("–".to_owned(), |bits| format!("{bits:.0}"));
            let _ = writeln!(
                out,
                "| {} | {} | {chain} | {special} | {modulus} | {:.2} | {:.1e} | {} |",
                p.id,
                cell_text(&p.library),
                p.empty_call_us,
                p.max_error,
                cell_text(&p.note)
            );
        }
        *out += "\n| operation |";
        self.participants.iter().for_each(|p| *out += &format!(" {} |", p.id));
        *out += "\n|---|";
        self.participants.iter().for_each(|_| *out += "---:|");
        out.push('\n');
        for row in self.rows.iter().filter(|row| !row.is_empty()) {
            let _ = write!(out, "| {} |", row.op);
            for (at, (cell, ratio)) in row.cells.iter().zip(&row.ratios).enumerate() {
                let text = match (cell, ratio) {
                    (None, _) => "–".to_owned(),
                    (Some(cell), Some(ratio)) if at > 0 => {
                        format!("{} ({ratio:.2})", microseconds(cell.median_us))
                    }
                    (Some(cell), _) => microseconds(cell.median_us),
                };
                let _ = write!(out, " {text} |");
            }
            out.push('\n');
        }
    }
}

/// `[50, 47×11, 50]`: runs of equal sizes with their length.
pub(crate) fn abbreviated(chain: &[u32]) -> String {
    let runs: Vec<String> = chain
        .chunk_by(|a, b| a == b)
        .map(|run| match run {
            [one] => one.to_string(),
            [one, ..] => format!("{one}×{}", run.len()),
            [] => String::new(),
        })
        .collect();
    format!("[{}]", runs.join(", "))
}

/// Nothing that would end a cell of a table.
fn cell_text(text: &str) -> String {
    text.replace('|', "/").replace(['\n', '\r'], " ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report with round figures.
    pub(crate) fn fixed() -> Report {
        let cell = |median_us| Some(Cell { median_us, min_us: median_us / 2.0, runs: 9 });
        let participant = |id, chain: &[u32]| Participant {
            id,
            library: format!("{id} <1>"),
            chain: chain.to_vec(),
            special: 1,
            log2_qp: (id == "hei").then_some(180.0),
            note: String::new(),
            empty_call_us: 0.2,
            max_error: 2.5e-4,
        };
        let chain = [60, 30, 30, 60];
        let sets = vec![SetReport {
            name: "n16384-60",
            degree: 16384,
            participants: vec![participant("hei", &chain), participant("seal-python", &chain)],
            rows: vec![
                Row::new("encode", vec![cell(100.0), cell(1000.0)]),
                Row::new("rotate", vec![cell(1000.0), cell(3000.0)]),
                Row::new("add", vec![cell(8.25), None]),
                Row::new("rotate_hoisted", vec![None, None]),
            ],
        }];
        let absent =
            vec![Absent { peer: "openfhe", set: None, reason: "needs Python 3.10 | none".to_owned() }];
        let targets = targets(&sets);
        Report { machine: Machine::new(), sets, absent, targets }
    }

    #[test]
    fn the_table_has_ratios_absences_and_targets() {
        let text = fixed().markdown();
        for line in [
            "| operation | hei | seal-python |",
            "| encode | 100 | 1000 (10.00) |",
            "| rotate | 1000 | 3000 (3.00) |",
            "| add | 8.25 | – |",
            "| openfhe | all | needs Python 3.10 / none |",
            "| n16384-60 | encode | 7 | 10.0 | reached |",
            "| n16384-60 | rotate | 4 | 3.0 | **not reached** |",
            "| hei | hei <1> | [60, 30×2, 60] | 1 | 180 | 0.20 | 2.5e-4 |  |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("rotate_hoisted |"), "a row that nobody has is left out");
    }

    #[test]
    fn the_data_says_the_same() {
        let report = serde_json::to_value(fixed()).unwrap();
        assert_eq!(report["sets"][0]["rows"][0]["ratios"], serde_json::json!([1.0, 10.0]));
        assert_eq!(report["sets"][0]["rows"][2]["cells"][1], serde_json::Value::Null);
        assert_eq!(report["absent"][0]["set"], serde_json::Value::Null);
        assert_eq!(report["targets"].as_array().unwrap().len(), 2);
        assert_eq!(report["targets"][1]["reached"], false);
    }

    #[test]
    fn chains_and_times_are_short() {
        assert_eq!(abbreviated(&[50, 47, 47, 47, 50]), "[50, 47×3, 50]");
        assert_eq!([0.5, 12.34, 1234.5].map(microseconds), ["0.50", "12.3", "1234"]);
    }
}
