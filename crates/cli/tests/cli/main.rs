//! The `hei` program from outside: processes, files, exit codes, standard output.

mod bench;
mod config;
mod files;
mod flow;
mod help;
mod keys;
mod mistakes;
#[path = "../../../server/tests/support/postgres.rs"]
mod postgres;
mod support;
mod top;
