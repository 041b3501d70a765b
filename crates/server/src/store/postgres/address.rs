//! Where the database is, and how to get in. A password is never printed, wherever it came from.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// A `postgres://` address, possibly with a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress(String);

impl PostgresAddress {
    /// Reads an address; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ours = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        (ours && text.parse::<Config>().is_ok()).then(|| Self(text.to_owned()))
    }

    /// How to connect: the password comes from the address, from `PGPASSWORD`, or from the password file; without a
    /// word about TLS, it is used unless the database is on this machine.
    pub(super) fn config(&self) -> Result<Config, tokio_postgres::Error> {
        let mut config: Config = self.0.parse()?;
        if config.get_password().is_none() {
            let variable = std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty());
            if let Some(password) = variable.or_else(|| from_file(&config)) {
                config.password(password);
            }
        }
        if !self.0.contains("sslmode=") {
            let near = config.get_hosts().iter().all(is_near);
            config.ssl_mode(if near { SslMode::Disable } else { SslMode::Require });
        }
        if config.get_application_name().is_none() {
            config.application_name("hei");
        }
        Ok(config)
    }
}

fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("postgres", ""));
        let (place, options) =
            rest.split_once('?').map_or((rest, None), |(place, options)| (place, Some(options)));
        let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
        write!(f, "{scheme}://")?;
        if let Some(user) = user {
            match user.split_once(':') {
                Some((name, _)) => write!(f, "{name}:***@")?,
                None => write!(f, "{user}@")?,
            }
        }
        f.write_str(host)?;
        for (index, option) in options.into_iter().flat_map(|options| options.split('&')).enumerate() {
            let option = if option.starts_with("password=") { "password=***" } else { option };
            write!(f, "{}{option}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresAddress({self})")
    }
}

/// The password that libpq's password file has for this connection.
fn from_file(config: &Config) -> Option<String> {
    let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    let path = named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass")))?;
    if !is_private(&path) {
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.as_str(),
        _ => "localhost",
    };
    entry(&text, [host, &port, database, user])
}

/// Whether nobody else can read the file; libpq ignores one that others can, and so does this.
fn is_private(path: &Path) -> bool {
    let Ok(facts) = std::fs::metadata(path) else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&facts.permissions()) & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the password file is readable by others and is not used; chmod 600 it");
        return false;
    }
    facts.is_file()
}

/// The password of the first line that fits.
fn entry(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = vec![String::new()];
        let mut escaped = false;
        for character in line.chars() {
            match character {
                '\\' if !escaped => escaped = true,
                ':' if !escaped && fields.len() < 5 => fields.push(String::new()),
                other => {
                    fields.last_mut()?.push(other);
                    escaped = false;
                }
            }
        }
        let password = fields.pop().filter(|_| fields.len() == 4)?;
        let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then_some(password)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        for (text, shown) in [
            ("postgres://hei:se%3Acret@db/hei", "postgres://hei:***@db/hei"),
            (
                "postgresql://hei@db:1/hei?password=secret&sslmode=require",
                "postgresql://hei@db:1/hei?password=***&sslmode=require",
            ),
            ("postgres://db/hei", "postgres://db/hei"),
            ("postgres://a:b@c:secret@db", "postgres://a:***@db"),
        ] {
            let address = PostgresAddress(text.to_owned());
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("secret"));
        }
        assert_eq!(PostgresAddress::parse("mysql://db"), None);
        assert_eq!(PostgresAddress::parse("disk"), None);
    }

    #[test]
    fn tls_is_for_whatever_is_not_on_this_machine() {
        let mode = |text: &str| PostgresAddress::parse(text).unwrap().config().unwrap().get_ssl_mode();
        assert_eq!(mode("postgres://u:p@127.0.0.1/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@localhost/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u:p@db.example/d"), SslMode::Require);
        assert_eq!(mode("postgres://u:p@db.example/d?sslmode=disable"), SslMode::Disable);
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        let text = "# comment\nother:*:*:*:no\ndb:5432:hei:u\\:1:p\\:a\\\\b:c\n*:*:*:*:last";
        assert_eq!(entry(text, ["db", "5432", "hei", "u:1"]).unwrap(), "p:a\\b:c");
        assert_eq!(entry(text, ["db", "1", "hei", "u"]).unwrap(), "last");
        assert_eq!(entry("db:5432:hei:u", ["db", "5432", "hei", "u"]), None);
    }
}
