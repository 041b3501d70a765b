//! `hei tokens`: who may use a server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use hei_protocol::Timestamp;
use hei_server::Scope;
use hei_server::auth::tokens::{self, TokenRecord};
use serde_json::json;

use crate::exit::Outcome;
use crate::output;

const DAY: Duration = Duration::from_secs(86_400);

/// Make, list and revoke the tokens of a server.
///
/// A token is shown once, when it is made; the file keeps only its SHA-256. A server notices changes within
/// seconds, without a restart.
#[derive(Debug, Args)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Where the tokens are.
#[derive(Debug, Args)]
struct File {
    /// The token file; made when there is none, readable by its owner only.
    #[arg(long, value_name = "FILE", env = "HEI_TOKENS")]
    tokens: PathBuf,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeArg {
    /// Submitting, reading and deleting jobs.
    Infer,
    /// Storing and deleting evaluation keys.
    Keys,
    /// Inference in the clear, where the server offers it.
    Plain,
    /// What only an operator may do.
    Admin,
}

impl ScopeArg {
    const fn scope(self) -> Scope {
        match self {
            Self::Infer => Scope::Infer,
            Self::Keys => Scope::Keys,
            Self::Plain => Scope::Plain,
            Self::Admin => Scope::Admin,
        }
    }
}

/// Make a token and print it, this once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei tokens create --tokens tokens.json --tenant clinic
  hei tokens create --tokens tokens.json --tenant lab --scope infer,keys --days 30 --json")]
struct Create {
    #[command(flatten)]
    file: File,
    /// Whose it is: jobs, keys and quotas belong to a tenant.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// What it allows.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["infer", "keys"])]
    scope: Vec<ScopeArg>,
    /// Days until it stops working; without it, never.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// List the tokens: ids, tenants, scopes, times. Never the secrets, which nobody has.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei tokens list --tokens tokens.json
  hei tokens list --tokens tokens.json --json")]
struct List {
    #[command(flatten)]
    file: File,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// Make a token stop working; running servers notice within seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hei tokens revoke --tokens tokens.json 0011223344556677")]
struct Revoke {
    #[command(flatten)]
    file: File,
    /// The token's id: what stands between the first and the second underscore.
    #[arg(value_name = "ID")]
    id: String,
}

pub(crate) fn run(args: &Tokens) -> Outcome {
    match &args.command {
        TokensCommand::Create(args) => create(args),
        TokensCommand::List(args) => list(args),
        TokensCommand::Revoke(args) => revoke(args),
    }
}

fn create(args: &Create) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_unix_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let scopes: BTreeSet<Scope> = args.scope.iter().map(|scope| scope.scope()).collect();
    let life = args.days.map(|days| DAY * days);
    let made = tokens::create(&args.file.tokens, &args.tenant, scopes, now, life)?;
    output::progress(format_args!(
        "token {} for {}: shown this once, kept nowhere; {} has its digest",
        made.record.id,
        output::plain(&made.record.tenant, 128),
        args.file.tokens.display()
    ));
    if args.json {
        let mut facts = facts(&made.record);
        facts["token"] = made.token.as_str().into();
        output::json(&facts)?;
    } else {
        output::answer(&made.token)?;
    }
    Ok(true)
}

fn facts(record: &TokenRecord) -> serde_json::Value {
    json!({
        "id": record.id,
        "tenant": record.tenant,
        "scopes": record.scopes,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    })
}

fn list(args: &List) -> Outcome {
    let records = tokens::list(&args.file.tokens)?;
    if args.json {
        output::json(&records.iter().map(facts).collect::<Vec<_>>())?;
        return Ok(true);
    }
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
            vec![
                record.id.clone(),
                output::plain(&record.tenant, 128),
                scopes.join(","),
                record.created_at.to_string(),
                record.expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string()),
            ]
        })
        .collect();
    output::answer(&output::table(&["id", "tenant", "scopes", "created", "expires"], &rows))?;
    Ok(true)
}

fn revoke(args: &Revoke) -> Outcome {
    let record = tokens::revoke(&args.file.tokens, &args.id)?;
    let tenant = output::plain(&record.tenant, 128);
    output::answer(&format!("token {} of {tenant} is revoked", record.id))?;
    Ok(true)
}
