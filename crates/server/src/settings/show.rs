//! Settings, printed: those in force, and the defaults.

use super::kind::Shown;
use super::load::Loaded;
use super::table::SETTINGS;
use super::{Settings, Source};

/// Every setting in force: its name, its value as TOML has it (nothing when unset), and where it comes from.
pub fn effective(loaded: &Loaded) -> impl Iterator<Item = (&'static str, Option<String>, Source)> {
    SETTINGS.iter().map(|setting| {
        let shown: Shown = (setting.show)(&loaded.settings);
        (setting.key, shown.toml(), loaded.source(setting.key))
    })
}

/// A file that sets nothing and shows everything: every setting, what it means, and its default, commented out.
#[must_use]
pub fn file_of_defaults() -> String {
    let defaults = Settings::default();
    let mut out = String::from("# Every setting with its default. Take the # away to change one.\n");
    let mut section = "";
    for setting in SETTINGS {
        let (own, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if own != section {
            section = own;
            out += &format!("\n[{section}]\n");
        }
        out += &format!("# {}\n", setting.help);
        let value = (setting.show)(&defaults).toml().unwrap_or_else(|| "\"\"".to_owned());
        out += &format!("#{name} = {value}\n");
    }
    out
}

/// The table of `docs/config.md`.
#[must_use]
pub fn documentation() -> String {
    let defaults = Settings::default();
    let mut out = String::from("| setting | default | flag, variable | meaning |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let value = (setting.show)(&defaults).toml().map_or_else(|| "unset".to_owned(), |v| format!("`{v}`"));
        let others: Vec<String> =
            [setting.flag, setting.variable].into_iter().flatten().map(|name| format!("`{name}`")).collect();
        out += &format!("| `{}` | {value} | {} | {} |\n", setting.key, others.join(", "), setting.help);
    }
    out
}
