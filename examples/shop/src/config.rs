//! Where the shop listens and where its data are, from the environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What [`crate::serve`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; port 0 takes any free one (the log's first line says which).
    pub listen: SocketAddr,
    /// Where the data are.
    pub database: DatabaseUrl,
    /// How long requests in flight may still take after SIGTERM.
    pub drain: Duration,
    /// Time in which the bank confirms a transfer; the shop has only its test system, which answers after this.
    pub bank_delay: Duration,
}

/// Where the data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// SQLite in this process alone.
    Memory,
    /// A SQLite file; several processes may share it.
    File(PathBuf),
    /// A `postgres://` URL.
    Postgres(String),
}

/// Why the environment is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `PORT` is set to something else than a port.
    #[error("PORT is not a port number: {0:?}")]
    Port(String),
    /// `DATABASE_URL` names an unknown kind of database.
    #[error("DATABASE_URL is neither postgres://, sqlite: nor a path: {0:?}")]
    Database(String),
}

impl Config {
    /// Reads `PORT` (default 3000), `DATABASE_URL` (`postgres://…` or `sqlite:PATH`) and `SHOP_DB` (a file, or `:memory:`, which is
    /// the default).
    pub fn from_env() -> Result<Self, ConfigError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::from_values(variable("PORT"), variable("DATABASE_URL"), variable("SHOP_DB"))
    }

    fn from_values(
        port: Option<String>,
        database_url: Option<String>,
        shop_db: Option<String>,
    ) -> Result<Self, ConfigError> {
        let port = match port {
            Some(text) => text.parse::<u16>().map_err(|_| ConfigError::Port(text))?,
            None => 3000,
        };
        let database = match (database_url, shop_db) {
            (Some(url), _) => DatabaseUrl::parse(&url)?,
            (None, Some(path)) => DatabaseUrl::sqlite(&path),
            (None, None) => DatabaseUrl::Memory,
        };
        Ok(Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            database,
            drain: Duration::from_secs(10),
            bank_delay: Duration::from_millis(250),
        })
    }
}

impl DatabaseUrl {
    fn parse(url: &str) -> Result<Self, ConfigError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::sqlite(path.strip_prefix("//").unwrap_or(path)));
        }
        if url.contains("://") {
            return Err(ConfigError::Database(url.to_owned()));
        }
        Ok(Self::sqlite(url))
    }

    fn sqlite(path: &str) -> Self {
        match path {
            ":memory:" => Self::Memory,
            path => Self::File(path.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigError, DatabaseUrl};

    fn database(url: Option<&str>, shop_db: Option<&str>) -> Result<DatabaseUrl, ConfigError> {
        Config::from_values(None, url.map(Into::into), shop_db.map(Into::into)).map(|config| config.database)
    }

    #[test]
    fn defaults_to_memory_and_port_3000() {
        let config = Config::from_values(None, None, None).unwrap();
        assert_eq!(
            (config.database, config.listen.to_string().as_str()),
            (DatabaseUrl::Memory, "127.0.0.1:3000")
        );
    }

    #[test]
    fn names_each_kind_of_database() {
        let file = DatabaseUrl::File("/tmp/shop.db".into());
        assert_eq!(database(None, Some(":memory:")).unwrap(), DatabaseUrl::Memory);
        assert_eq!(database(None, Some("/tmp/shop.db")).unwrap(), file);
        assert_eq!(database(Some("sqlite:/tmp/shop.db"), None).unwrap(), file);
        assert_eq!(database(Some("sqlite:///tmp/shop.db"), None).unwrap(), file);
        let url = "postgres://shop@localhost/shop";
        assert_eq!(database(Some(url), Some("/tmp/shop.db")).unwrap(), DatabaseUrl::Postgres(url.into()));
        assert!(matches!(database(Some("mysql://x"), None), Err(ConfigError::Database(_))));
    }

    #[test]
    fn refuses_a_wrong_port() {
        for port in ["70000", "http", "-1"] {
            assert!(matches!(Config::from_values(Some(port.into()), None, None), Err(ConfigError::Port(_))));
        }
    }
}
