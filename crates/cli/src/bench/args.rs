//! What can be typed after `hei bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::peers::{self, PeerChoice};
use super::sets::{self, Set};

/// Measure, on this machine.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Primitives(BenchPrimitives),
    Flow(BenchFlow),
    Load(BenchLoad),
    Compare(BenchCompare),
    Scaling(BenchScaling),
}

/// Time each operation of the scheme: median and minimum over repeated runs, one thread.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei bench primitives
  hei bench primitives --json --quick
  HEI_KERNEL=scalar hei bench primitives --set n8192-60")]
pub(crate) struct BenchPrimitives {
    /// Print one JSON array, a row per operation and parameter set.
    #[arg(long)]
    pub(crate) json: bool,
    /// Fewer runs: a rough answer in seconds.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these parameter sets: n4096, n8192-60, n8192-47, n16384-60, n16384-50, n32768.
    #[arg(long = "set", value_name = "SET", value_delimiter = ',', value_parser = sets::parse)]
    pub(crate) sets: Vec<&'static Set>,
}

/// Time the whole flow over HTTP, in the clear and encrypted, in both layouts.
///
/// Starts a server in a process of its own with the comparison endpoint on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei bench flow
  hei bench flow --samples 50 --json")]
pub(crate) struct BenchFlow {
    /// The model to call.
    #[arg(long, value_name = "ID", default_value = "logistic_v1")]
    pub(crate) model: String,
    /// Calls per measurement.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) samples: u32,
    /// Rows per call.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Put the durable server under load: throughput, overload, and a flood of invalid bodies.
///
/// Starts servers in processes of their own, on data directories below --folder that are removed afterwards.
/// Succeeds only if every promise was kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei bench load
  hei bench load --quick --json")]
pub(crate) struct BenchLoad {
    /// Where the data directories go; a local disk [default: $XDG_CACHE_HOME/hei/bench].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// The overloaded server's capacity.max_queue_wait.
    #[arg(long, value_name = "DURATION", default_value = "20ms")]
    pub(crate) max_queue_wait: String,
    /// A tenth of the work: a rough answer.
    #[arg(long)]
    pub(crate) quick: bool,
    /// So much less of the work; for tests of this program.
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) less: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Time the same operations here and in other libraries, in turns, one thread each.
///
/// Installs the libraries with Python's pip into a folder of its own; what cannot be installed or cannot do
/// a parameter set is listed with the reason. Writes compare.md, compare.json and compare.svg.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei bench compare
  hei bench compare --peers seal-python,desilofhe --set n8192-60,n16384-60
  hei bench compare --python /usr/bin/python3.10 --output results
  hei bench compare --peers none --quick --json")]
pub(crate) struct BenchCompare {
    /// Libraries: all, none, or names out of seal-python, tenseal, desilofhe, helayers, openfhe, lattigo.
    #[arg(long, value_name = "PEERS", default_value = "all", value_parser = peers::parse)]
    pub(crate) peers: PeerChoice,
    /// Only these parameter sets: n4096, n8192-60, n8192-47, n16384-60, n16384-50, n32768.
    #[arg(long = "set", value_name = "SET", value_delimiter = ',', value_parser = sets::parse)]
    pub(crate) sets: Vec<&'static Set>,
    /// Where libraries are installed, once [default: $XDG_CACHE_HOME/hei/bench].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Where the table and the chart are written.
    #[arg(long, value_name = "FOLDER", default_value = "hei-bench")]
    pub(crate) output: PathBuf,
    /// A Python interpreter to try, besides python3 and python3.10; may be repeated.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) python: Vec<PathBuf>,
    /// Fewer runs: a rough answer.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Time how cost grows with the degree and with the number of primes; sizes of ciphertexts and keys.
///
/// Writes scaling.md, scaling.json and scaling.svg.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei bench scaling
  hei bench scaling --quick --json --output results")]
pub(crate) struct BenchScaling {
    /// Where the tables and the chart are written.
    #[arg(long, value_name = "FOLDER", default_value = "hei-bench")]
    pub(crate) output: PathBuf,
    /// Fewer runs and smaller sets: a rough answer.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print one JSON object instead of the tables.
    #[arg(long)]
    pub(crate) json: bool,
}
