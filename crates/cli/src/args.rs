//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::args::Bench;
use crate::exit;
use crate::tokens::Tokens;

/// Encrypted inference: the server computes on ciphertexts and never holds a key.
#[derive(Debug, Parser)]
#[command(name = "hei", version, about, after_help = exit::TABLE, propagate_version = true)]
pub(crate) struct Hei {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Worker(Worker),
    Config(Config),
    Store(Store),
    Tokens(Tokens),
    Models(Models),
    Compile(Compile),
    Infer(Infer),
    Keys(Keys),
    Inspect(Inspect),
    Demo(Demo),
    Doctor(Doctor),
    Top(Top),
    Bench(Bench),
}

/// Serve compiled models over HTTP.
///
/// Prints one line with the address once it listens, and serves until it is interrupted or terminated;
/// running jobs are finished first. Every setting can stand in a file too: see hei config.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei serve
  hei serve --listen 127.0.0.1:0 --json
  hei serve --data ./jobs
  hei serve --store memory
  hei serve --store postgres://hei@db.example/hei --blobs s3://hei-blobs --workers 0
  hei serve --admin 127.0.0.1:0
  hei serve --config hei.toml --set capacity.queued_jobs=200
  hei serve --models ./compiled --listen 0.0.0.0:8000 --tokens tokens.json --behind-proxy")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Print the address as {"listening":"http://…"}.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also stop when standard input ends, so that a parent process never leaves a server behind.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// Evaluate the jobs that servers accept into a store they share.
///
/// Serves the same models as those servers, listens to nobody, and works until it is interrupted or terminated: what it
/// has begun is finished first, what is left is given back. Any number may run; one that dies loses its jobs to the
/// others when its lease runs out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei worker --store postgres://hei@db.example/hei --blobs s3://hei-blobs
  hei worker --store postgres://hei@127.0.0.1/hei --blobs /srv/hei/blobs --models ./compiled --workers 4")]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Print {"working":"postgres://…"} once it works.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also stop when standard input ends, so that a parent process never leaves a worker behind.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// Settings on the command line: they win over the environment, which wins over the file.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// File of settings, in TOML [default: $HEI_CONFIG, else none].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set anything that can stand in the file; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) others: Vec<String>,
    /// Address and port; port 0 lets the system choose, and the line printed names the choice [default: 127.0.0.1:8000].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Folder of .hei files; without it, the reference models that ship in this program.
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<String>,
    /// Data directory; jobs in it survive restarts [default: $XDG_DATA_HOME/hei/server].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Where jobs are kept: disk (the data directory), memory (gone with the process), or postgres://USER@HOST/DATABASE,
    /// shared by servers and workers; the password from PGPASSWORD or a password file [default: disk].
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// Where a PostgreSQL store keeps what is large: a folder that all processes share, or s3://BUCKET/PREFIX with
    /// endpoint, region and credentials from the variables AWS_….
    #[arg(long, value_name = "PLACE")]
    pub(crate) blobs: Option<String>,
    /// Jobs in the workers' hands at once; 0 leaves them to other processes [default: auto].
    #[arg(long, value_name = "COUNT")]
    pub(crate) workers: Option<String>,
    /// File of the tokens that callers need (see hei tokens). Without it every caller is believed, which is for
    /// development: the server then listens on loopback only and answers only requests addressed to it.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<String>,
    /// A proxy in front speaks TLS, and nobody else can reach the address; needed off loopback.
    #[arg(long)]
    pub(crate) behind_proxy: bool,
    /// Also offer POST /infer/plain, which takes features in the clear. For comparison only.
    #[arg(long)]
    pub(crate) enable_plain: bool,
    /// What to log on standard error: off, error, warn, info or debug; never payloads, keys or values [default: warn].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Certificate chain (PEM): speak TLS, and HTTP/2 with those that can. Read again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Where the operator's /metrics and /health listen [default: nowhere].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<String>,
    /// What a line of the log looks like: text or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// Look at a server's settings.
///
/// A setting on the command line wins over the environment, which wins over the file, which wins over the default.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Check(Box<ConfigCheck>),
    Defaults(ConfigDefaults),
}

/// Print the settings in force and where each comes from, after checking all that hei serve would check.
///
/// Reads the models; does not listen, and does not touch the data directory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei config check
  hei config check --config hei.toml --json
  HEI_LISTEN=127.0.0.1:9000 hei config check")]
pub(crate) struct ConfigCheck {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print a file with every setting and its default, commented out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei config defaults > hei.toml")]
pub(crate) struct ConfigDefaults {}

/// Check, back up and restore a server's data directory.
///
/// Checks and backups may run while the server does.
#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    Check(StoreCheck),
    Backup(StoreBackup),
    Restore(StoreRestore),
}

/// Read everything in a data directory and hold it against its digests.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei store check --data ./jobs
  hei store check --data ./jobs --json")]
pub(crate) struct StoreCheck {
    /// The data directory [default: $XDG_DATA_HOME/hei/server].
    #[arg(long, value_name = "DIR", env = "HEI_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Copy a data directory into a new one, as of one moment.
///
/// The copy is a data directory itself; `hei store restore` makes another of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei store backup --data ./jobs --to ./copy")]
pub(crate) struct StoreBackup {
    /// The data directory [default: $XDG_DATA_HOME/hei/server].
    #[arg(long, value_name = "DIR", env = "HEI_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Where the copy goes; must not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make a data directory of a backup, in a new or empty folder.
///
/// The backup stays as it is. It is held against its digests before anything is written, the copy after.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei store restore --from ./copy --data ./restored")]
pub(crate) struct StoreRestore {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// The data directory; new, or empty [default: $XDG_DATA_HOME/hei/server].
    #[arg(long, value_name = "DIR", env = "HEI_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the server is, and who is asking.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// The server.
    #[arg(long, value_name = "URL", env = "HEI_URL", default_value = "http://127.0.0.1:8000")]
    pub(crate) url: String,
    /// File that holds a bearer token, and nothing else.
    #[arg(long, value_name = "FILE", env = "HEI_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities to trust for https, instead of those the world trusts.
    #[arg(long, value_name = "FILE", env = "HEI_CA")]
    pub(crate) ca: Option<PathBuf>,
}

/// List the models a server offers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei models
  hei models --url http://127.0.0.1:8000 --json")]
pub(crate) struct Models {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Print the server's list as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compile a registry entry into a model file.
///
/// Chooses parameters, compiles one plan per layout, and reports what it means for security, bytes and
/// precision.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei compile entry.json -o entry.hei
  hei compile entry.json -o entry.hei --force --json")]
pub(crate) struct Compile {
    /// The registry entry (JSON).
    #[arg(value_name = "ENTRY.json")]
    pub(crate) entry: PathBuf,
    /// The model file to write.
    #[arg(short, long, value_name = "FILE.hei")]
    pub(crate) output: PathBuf,
    /// Replace the output if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How numbers sit in ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutArg {
    /// One ciphertext per feature, one row per slot.
    #[value(name = "feature_columns", alias = "feature-columns")]
    FeatureColumns,
    /// One ciphertext, features in polynomial coefficients; smallest request, no evaluation keys.
    #[value(name = "coefficients")]
    Coefficients,
}

/// Ciphertext bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// The project's own container: seeded, bit-packed.
    Hei,
    /// A Microsoft SEAL stream (feature_columns only).
    Seal,
}

/// How payloads travel in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncodingArg {
    /// CBOR, payloads as they are.
    Binary,
    /// JSON, payloads in base64.
    Base64,
    /// JSON, payloads in hexadecimal.
    Hex,
}

/// Encrypt rows, have a server evaluate a model on them, decrypt the answers.
///
/// Rows are comma-separated numbers, one row a line, with or without a header line. With a header, columns
/// are taken by the model's feature names, and other columns are not read. Features are given as they were
/// measured: the scaling on the model card is applied here.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei infer --model logistic_v1 --input rows.csv
  echo 0.5,-1,0.25,0,1,0.1,-0.3,0.7 | hei infer --model logistic_v1 --input - --json
  hei infer --model breast_cancer_v1 --input rows.csv --layout feature_columns --format seal")]
pub(crate) struct Infer {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The model's id.
    #[arg(long, value_name = "ID")]
    pub(crate) model: String,
    /// Its version; without it, the highest one served.
    #[arg(long = "model-version", value_name = "VERSION")]
    pub(crate) model_version: Option<String>,
    /// Rows to evaluate; `-` reads standard input.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) input: PathBuf,
    /// How numbers sit in ciphertexts; without it, the one that sends the fewest bytes.
    #[arg(long, value_enum)]
    pub(crate) layout: Option<LayoutArg>,
    /// Ciphertext bytes on the wire.
    #[arg(long, value_enum, default_value = "hei")]
    pub(crate) format: FormatArg,
    /// How payloads travel in the body.
    #[arg(long, value_enum, default_value = "binary")]
    pub(crate) encoding: EncodingArg,
    /// Use a stored key instead of a fresh one for this call.
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Give up after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a passphrase comes from; never the command line itself, which others can read.
#[derive(Clone, Debug, Args)]
pub(crate) struct Passphrase {
    /// Ask for the key's passphrase on the terminal.
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) ask_passphrase: bool,
    /// Take the passphrase from the first line of a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Make, list and remove secret keys.
///
/// Calls make a fresh key each by default and store nothing; a stored key is for those who want to decrypt
/// later or elsewhere. Key files are readable by their owner only.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    New(KeysNew),
    List(KeysList),
    Show(KeysShow),
    Remove(KeysRemove),
}

/// Make a secret key for a model's layout and store it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei keys new clinic --model breast_cancer_v1
  hei keys new lab --model logistic_v1 --layout feature_columns --ask-passphrase")]
pub(crate) struct KeysNew {
    /// The key's name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The model whose parameters the key is for.
    #[arg(long, value_name = "ID")]
    pub(crate) model: String,
    /// Its version; without it, the highest one served.
    #[arg(long = "model-version", value_name = "VERSION")]
    pub(crate) model_version: Option<String>,
    /// The layout whose parameters the key is for.
    #[arg(long, value_enum, default_value = "feature_columns")]
    pub(crate) layout: LayoutArg,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Replace a key of this name. What was encrypted under the old one can then never be decrypted.
    #[arg(long)]
    pub(crate) force: bool,
}

/// List the stored keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei keys list
  hei keys list --json")]
pub(crate) struct KeysList {
    /// Print one JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what is known about a key without opening it: parameters, size, whether it has a passphrase.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei keys show clinic
  hei keys show clinic --json")]
pub(crate) struct KeysShow {
    /// The key's name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Delete a stored key for good.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei keys remove clinic --yes")]
pub(crate) struct KeysRemove {
    /// The key's name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Really: what was encrypted under it can never be decrypted again.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Say what a file is: a model, a ciphertext, a key, a SEAL stream.
///
/// Reads headers only; a secret key is recognized, never shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei inspect model.hei
  hei inspect ciphertext.bin --json")]
pub(crate) struct Inspect {
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Run the whole flow on real data, with the server in a process of its own.
///
/// Starts a server, makes keys, encrypts held-out breast-cancer rows, submits them, waits, decrypts, and
/// compares with the cleartext model. Succeeds only if every row agrees.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei demo
  hei demo --layout feature_columns
  hei demo --json")]
pub(crate) struct Demo {
    /// How numbers sit in ciphertexts.
    #[arg(long, value_enum, default_value = "coefficients")]
    pub(crate) layout: LayoutArg,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Check this machine: processor features, the kernel chosen, randomness, and a round trip through
/// encryption.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei doctor
  hei doctor --json")]
pub(crate) struct Doctor {
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Watch a server: queue, workers, refusals and latency, live in the terminal.
///
/// Reads the operator's listener (hei serve --admin). q quits.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei top --once
  hei top --url http://127.0.0.1:9090 --once --json")]
pub(crate) struct Top {
    /// The operator's listener.
    #[arg(long, value_name = "URL", env = "HEI_ADMIN_URL", default_value = "http://127.0.0.1:9090")]
    pub(crate) url: String,
    /// Milliseconds between two looks.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..=3_600_000))]
    pub(crate) interval: u64,
    /// Look twice, print once, and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON object, as of one look.
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
}
