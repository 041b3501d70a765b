//! Where results go.

use std::path::Path;

use crate::exit::{Exit, Failure};
use crate::output;

/// Writes NAME.md, NAME.json and NAME.svg.
pub(crate) fn write(folder: &Path, name: &str, markdown: &str, json: &str, svg: &str) -> Result<(), Failure> {
    let put = || {
        std::fs::create_dir_all(folder)?;
        for (ending, text) in [("md", markdown), ("json", json), ("svg", svg)] {
            std::fs::write(folder.join(format!("{name}.{ending}")), text)?;
        }
        Ok::<_, std::io::Error>(())
    };
    put().map_err(|error| {
        Failure::new(Exit::Local, format_args!("results cannot be written to {}: {error}", folder.display()))
    })?;
    output::progress(format_args!("written: {name}.md, {name}.json, {name}.svg in {}", folder.display()));
    Ok(())
}
