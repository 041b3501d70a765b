//! Reading settings: flags over the environment over a file over the defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Settings;
use super::kind::Raw;
use super::table::{self, SETTINGS, Setting};

/// No file of settings is longer.
const MAX_FILE: u64 = 1 << 20;

/// A setting as the command line has it.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The setting.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How it was typed.
    pub typed: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said otherwise.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(&'static str),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(typed) => f.write_str(typed),
        }
    }
}

/// Why settings are refused. Values are not repeated: one of them may be a secret in the wrong place.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: {cause}; name a readable file with --config or HEI_CONFIG")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// There is no such setting.
    #[error("{place}: there is no setting {key:?}{}", nearest.map(|key| format!("; did you mean {key:?}?")).unwrap_or_default())]
    Unknown {
        /// Where it is.
        place: Source,
        /// What was written.
        key: String,
        /// The setting whose name is nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// A value is not what the setting takes.
    #[error("{place}: {key} must be {expects}")]
    Value {
        /// Where it is.
        place: Source,
        /// The setting.
        key: &'static str,
        /// What it takes.
        expects: &'static str,
    },
}

/// Settings, and where each comes from.
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Those that somebody set.
    sources: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where a setting's value comes from.
    #[must_use]
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    fn set(&mut self, setting: &'static Setting, raw: &Raw<'_>, place: Source) -> Result<(), SettingsError> {
        let read = (setting.read)(&mut self.settings, raw);
        let (key, expects) = (setting.key, setting.expects);
        if read.is_none() {
            return Err(SettingsError::Value { place, key, expects });
        }
        self.sources.insert(key, place);
        Ok(())
    }
}

/// Reads settings: the file, if there is one; over it the environment, through `variable`; over that the flags.
///
/// # Errors
/// [`SettingsError`], with the place.
pub fn load(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    flags: &[Flag],
) -> Result<Loaded, SettingsError> {
    let mut loaded = Loaded { settings: Settings::default(), sources: BTreeMap::new() };
    if let Some(path) = file {
        read_file(path, &mut loaded)?;
    }
    for setting in SETTINGS {
        let Some(name) = setting.variable else { continue };
        // An empty variable is how many shells and unit files unset one.
        if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
            loaded.set(setting, &Raw::Text(&text), Source::Environment(name))?;
        }
    }
    for flag in flags {
        let place = Source::Flag(flag.typed.clone());
        let Some(setting) = table::find(&flag.key) else {
            let (key, nearest) = (flag.key.clone(), nearest(&flag.key));
            return Err(SettingsError::Unknown { place, key, nearest });
        };
        loaded.set(setting, &Raw::Text(&flag.value), place)?;
    }
    Ok(loaded)
}

fn read_file(path: &Path, loaded: &mut Loaded) -> Result<(), SettingsError> {
    let unreadable = |cause| SettingsError::Unreadable { path: path.to_owned(), cause };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_FILE + 1), &mut text);
    if read.map_err(unreadable)? as u64 > MAX_FILE {
        let message = format!("a file of settings has more than {MAX_FILE} octets");
        return Err(SettingsError::Syntax { path: path.to_owned(), line: 1, message });
    }
    let line = |offset: usize| {
        let before = text.as_bytes().iter().take(offset);
        before.filter(|octet| **octet == b'\n').count().saturating_add(1)
    };
    let parsed = DeTable::parse(&text).map_err(|error| SettingsError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line(span.start)),
        message: error.message().to_owned(),
    })?;
    let place = |offset| Source::File { path: path.to_owned(), line: line(offset) };
    walk("", parsed.get_ref(), &place, loaded)
}

fn walk(
    prefix: &str,
    entries: &DeTable<'_>,
    place: &dyn Fn(usize) -> Source,
    loaded: &mut Loaded,
) -> Result<(), SettingsError> {
    for (name, value) in entries {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        let at = place(name.span().start);
        if let Some(setting) = table::find(&key) {
            loaded.set(setting, &raw(value), at)?;
            continue;
        }
        match value.get_ref() {
            DeValue::Table(inner) if table::is_section(&key) => walk(&key, inner, place, loaded)?,
            _ => {
                let nearest = nearest(&key);
                return Err(SettingsError::Unknown { place: at, key, nearest });
            }
        }
    }
    Ok(())
}

fn raw<'v>(value: &'v Spanned<DeValue<'_>>) -> Raw<'v> {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text),
        DeValue::Integer(number) => {
            u64::from_str_radix(number.as_str(), number.radix()).map_or(Raw::Other, Raw::Integer)
        }
        DeValue::Boolean(value) => Raw::Bool(*value),
        _ => Raw::Other,
    }
}

/// The setting with the nearest name, if it is near enough to be meant.
fn nearest(key: &str) -> Option<&'static str> {
    let near = key.chars().count().min(64) / 3 + 1;
    let short: String = key.chars().take(64).collect();
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    // A key without its section is near to the one with it.
    let distance = |name: &'static str| distance(&short, name).min(distance(&short, last(name)) + 1);
    let best = SETTINGS.iter().map(|setting| (distance(setting.key), setting.key)).min()?;
    (best.0 <= near).then_some(best.1)
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut above = index + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(right.chars()) {
            let changed = diagonal + usize::from(from != to);
            diagonal = *cell;
            above = changed.min(above + 1).min(diagonal + 1);
            *cell = above;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
