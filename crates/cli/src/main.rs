//! The `hei` command line: one file per verb, and this table of contents.

mod args;
mod bench;
mod child;
mod clear;
mod compile;
mod config;
mod data;
mod demo;
mod doctor;
mod exit;
mod infer;
mod inspect;
mod kernel;
mod keys;
mod models;
mod output;
mod passphrase;
mod reference;
mod remote;
mod serve;
mod store;
mod tokens;
mod top;

use clap::Parser;

use args::{Command, Hei};

fn main() -> std::process::ExitCode {
    let command = Hei::parse().command;
    let outcome = kernel::from_environment().and_then(|()| perform(command));
    exit::report(outcome)
}

fn perform(command: Command) -> exit::Outcome {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Worker(args) => serve::work(&args),
        Command::Config(args) => config::run(&args.command),
        Command::Store(args) => store::run(&args.command),
        Command::Tokens(args) => tokens::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::Infer(args) => infer::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}
