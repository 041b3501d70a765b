//! `hei models`: what a server offers.

use std::time::Duration;

use hei_protocol::messages::ListedModel;

use crate::args::Models;
use crate::exit::Outcome;
use crate::{output, remote};

pub(crate) fn run(args: &Models) -> Outcome {
    let list = remote::connect(&args.remote, Duration::from_secs(30))?.models()?;
    if args.json {
        output::json(&list)?;
        return Ok(true);
    }
    let cells = |model: &ListedModel| {
        vec![
            model.model_id.to_string(),
            model.version.to_string(),
            model.inference.input_dimension.to_string(),
            model.constraints.max_batch_size.to_string(),
            output::plain(&model.layouts.join(", "), 60),
            output::plain(&model.description, 80),
        ]
    };
    let rows: Vec<_> = list.models.iter().map(cells).collect();
    output::answer(&output::table(
        &["model", "version", "features", "batch", "layouts", "description"],
        &rows,
    ))?;
    Ok(true)
}
