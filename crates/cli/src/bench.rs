//! `hei bench`: measurements of this machine.

mod flow;
mod primitives;
pub(crate) mod timing;

use crate::args::{Bench, BenchCommand};
use crate::exit::Outcome;

pub(crate) fn run(args: &Bench) -> Outcome {
    match &args.command {
        BenchCommand::Primitives(args) => primitives::run(args),
        BenchCommand::Flow(args) => flow::run(args),
    }
}
