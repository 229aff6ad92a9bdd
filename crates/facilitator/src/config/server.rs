//! `[server]` of the configuration.

use serde::Deserialize;

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
