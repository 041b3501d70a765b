//! What the instructions at given places of a program are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Instructions by place, with the function they are in.
pub(crate) struct Code {
    instructions: BTreeMap<u64, (usize, String)>,
    functions: Vec<String>,
}

/// Divisions of integers. Their operands are compared.
const DIVISIONS: [&str; 8] = ["div", "divl", "divq", "divw", "idiv", "idivl", "idivq", "idivw"];

/// Beginnings of the other instructions whose time or address depends on their operands: divisions and square roots of numbers,
/// reads and writes at addresses from a vector, writes of as many lanes as a mask has.
const DEPENDENT: [&str; 9] =
    ["divs", "divp", "vdiv", "sqrt", "vsqrt", "vpgather", "vgather", "vpscatter", "vscatter"];
const DEPENDENT_TO_MEMORY: [&str; 4] = ["vpcompress", "vcompress", "vpexpand", "vexpand"];

/// The program taken apart by objdump.
pub(crate) fn read(program: &Path) -> Code {
    let output = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn", "--wide"])
        .arg(program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut instructions, mut functions) = (BTreeMap::new(), vec![String::new()]);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            functions.push(name.to_owned());
        } else if let Some((place, text)) = line.split_once(':')
            && let Ok(place) = u64::from_str_radix(place.trim(), 16)
        {
            instructions.insert(place, (functions.len() - 1, text.trim().to_owned()));
        }
    }
    assert!(instructions.len() > 10_000, "the program was taken apart");
    Code { instructions, functions }
}

impl Code {
    /// The instruction at a place and its function.
    pub(crate) fn describe(&self, place: u64) -> String {
        match self.instructions.get(&place) {
            Some((function, text)) => format!("{place:x} {}: {text}", self.functions[*function]),
            None => format!("{place:x} outside of the program"),
        }
    }

    /// Places of divisions of integers, with what is divided by.
    pub(crate) fn divisors(&self) -> BTreeMap<u64, String> {
        let divisions = self.instructions.iter().filter_map(|(place, (_, text))| {
            let (mnemonic, operand) = text.split_once(' ')?;
            DIVISIONS.contains(&mnemonic).then(|| (*place, operand.trim().to_owned()))
        });
        divisions.collect()
    }

    /// Those of some places whose time or address depends on what they work on.
    pub(crate) fn dependent_on_operands(&self, places: &BTreeSet<u64>) -> Vec<String> {
        let dependent = |place: &&u64| {
            self.instructions.get(*place).is_some_and(|(_, text)| {
                let mnemonic = text.split_whitespace().next().unwrap_or_default();
                let writes_or_reads_memory = text.contains('(');
                DEPENDENT.iter().any(|start| mnemonic.starts_with(start))
                    || DEPENDENT_TO_MEMORY.iter().any(|start| mnemonic.starts_with(start))
                        && writes_or_reads_memory
            })
        };
        places.iter().filter(dependent).map(|place| self.describe(*place)).collect()
    }
}
