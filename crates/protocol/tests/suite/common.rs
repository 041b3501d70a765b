//! What several test files share.

use std::path::{Path, PathBuf};

use hei_protocol::manifest::{Manifest, RegistryEntry};
use hei_protocol::messages::{ModelCard, from_json};
use serde_json::Value;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository, as text.
pub(crate) fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An example of `docs/api/examples`, as text.
pub(crate) fn example(name: &str) -> String {
    text(&format!("docs/api/examples/{name}.json"))
}

/// An example, parsed.
pub(crate) fn example_json(name: &str) -> Value {
    serde_json::from_str(&example(name)).unwrap()
}

/// The manifest of the example model.
pub(crate) fn manifest() -> Manifest {
    let entry = RegistryEntry::from_json(example("model_registry_entry").as_bytes()).unwrap();
    let card: ModelCard = from_json(example("model_card.response").as_bytes()).unwrap();
    Manifest::new(entry, card.layouts)
}

/// Every Rust source under a folder, joined.
pub(crate) fn sources(folder: &Path, found: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
