//! `[server]` of the configuration.

use std::net::SocketAddr;

use serde::Deserialize;

use super::{Config, ConfigError};
use crate::api::caller::{AdminFrom, Callers, ForwardedHeader};

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port. Loopback unless the operator says otherwise.
    pub listen: String,
    /// Address and port of `/status`, `/metrics`, `/healthz` and `/readyz`; without one `/status`, and
    /// `/metrics` where others can call, are answered to this host, beside the rest.
    pub admin_listen: Option<String>,
    /// Who sees `/status` on that port beside this host: addresses, or networks such as
    /// `10.0.0.0/8`. There is no authentication.
    pub admin_from: Vec<String>,
    /// How the outside world reaches us; stands in `resource.url`.
    pub public_url: Option<String>,
    /// Worker threads of the HTTP server.
    pub workers: usize,
    /// How long requests in flight may take after a stop signal.
    pub shutdown_seconds: u64,
    /// How long a connection may take to send the head of a request.
    pub header_seconds_max: u64,
    /// How long a connection may stay idle between two requests.
    pub keep_alive_seconds: u64,
    /// Connections at once, of all clients.
    pub connections_max: usize,
    /// Of which one address has at most so many.
    pub connections_address_max: usize,
    /// Proxies in front of the program: addresses, or networks such as `10.0.0.0/8`.
    /// Only what comes from them may say in a header who is calling.
    pub trusted_proxies: Vec<String>,
    /// In which header they say it.
    pub forwarded_header: ForwardedHeader,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4402".to_owned(),
            admin_listen: None,
            admin_from: Vec::new(),
            public_url: None,
            workers: 2,
            shutdown_seconds: 30,
            header_seconds_max: 10,
            keep_alive_seconds: 30,
            connections_max: 8_192,
            connections_address_max: 4_096,
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
        }
    }
}

impl Config {
    /// Where monitors and the operator's pages are, if they have a port of their own.
    pub fn admin_listen(&self) -> Option<&str> {
        self.gateway.admin_listen.as_deref().or(self.server.admin_listen.as_deref())
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !is_listenable(&self.listen) {
            return Err(ConfigError::Invalid(
                "server.listen must be an address and a port such as \"127.0.0.1:4402\"".to_owned(),
            ));
        }
        if !self.admin_listen.as_deref().is_none_or(is_listenable) {
            return Err(ConfigError::Invalid(
                "server.admin_listen must be an address and a port such as \"127.0.0.1:4403\"".to_owned(),
            ));
        }
        AdminFrom::new(self)?;
        Callers::new(self)?;
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

impl Callers {
    /// From the configuration.
    pub fn new(server: &ServerConfig) -> Result<Self, ConfigError> {
        Self::behind(&server.trusted_proxies, server.forwarded_header).ok_or_else(|| {
            ConfigError::Invalid(
                "server.trusted_proxies must be addresses or networks such as \"10.0.0.0/8\"".to_owned(),
            )
        })
    }
}

impl AdminFrom {
    /// From the configuration.
    pub fn new(server: &ServerConfig) -> Result<Self, ConfigError> {
        Self::parse(&server.admin_from).ok_or_else(|| {
            ConfigError::Invalid(
                "server.admin_from must be addresses or networks such as \"10.0.0.0/8\"".to_owned(),
            )
        })
    }
}

/// An address, or a host's name, and a port.
pub(super) fn is_listenable(listen: &str) -> bool {
    let is_name = |host: &str| {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        (1..=253).contains(&host.len()) && host.bytes().all(letter)
    };
    listen.parse::<SocketAddr>().is_ok()
        || listen.rsplit_once(':').is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok())
}
