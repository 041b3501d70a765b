//! The `hei` command line.
fn main() {}
