//! `hei bench`: measurements of this machine.

pub(crate) mod args;
mod chart;
mod compare;
mod driver;
mod files;
mod flow;
mod load;
mod machine;
mod peers;
mod primitives;
mod report;
mod scaling;
mod sets;
pub(crate) mod timing;
mod workload;

use crate::exit::Outcome;
use args::{Bench, BenchCommand};

pub(crate) fn run(args: &Bench) -> Outcome {
    match &args.command {
        BenchCommand::Primitives(args) => primitives::run(args),
        BenchCommand::Flow(args) => flow::run(args),
        BenchCommand::Load(args) => load::run(args),
        BenchCommand::Compare(args) => compare::run(args),
        BenchCommand::Scaling(args) => scaling::run(args),
    }
}
