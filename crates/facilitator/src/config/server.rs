//! `[server]` of the configuration.

use std::net::SocketAddr;

use serde::Deserialize;

use super::ConfigError;

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port. Loopback unless the operator says otherwise.
    pub listen: String,
    /// How the outside world reaches us; stands in `resource.url`.
    pub public_url: Option<String>,
    /// Worker threads of the HTTP server.
    pub workers: usize,
    /// How long requests in flight may take after a stop signal.
    pub shutdown_seconds: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:4402".to_owned(), public_url: None, workers: 2, shutdown_seconds: 30 }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !is_listenable(&self.listen) {
            return Err(ConfigError::Invalid(
                "server.listen must be an address and a port such as \"127.0.0.1:4402\"".to_owned(),
            ));
        }
        let is_web = |url: &String| {
            reqwest::Url::parse(url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if !self.public_url.as_ref().is_none_or(is_web) {
            return Err(ConfigError::Invalid(
                "server.public_url must be a URL such as \"https://api.example.com\"".to_owned(),
            ));
        }
        Ok(())
    }
}

/// An address, or a host's name, and a port.
fn is_listenable(listen: &str) -> bool {
    let is_name = |host: &str| {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        (1..=253).contains(&host.len()) && host.bytes().all(letter)
    };
    listen.parse::<SocketAddr>().is_ok()
        || listen.rsplit_once(':').is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok())
}
