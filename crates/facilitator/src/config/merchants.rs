//! `[merchants]` of the configuration: foreign servers at `/verify` and `/settle`.

use serde::Deserialize;

/// `[merchants]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MerchantsConfig {
    /// How often a success may be said again whose connection closed, or whose
    /// process died, before its last byte was taken.
    pub retell_max: u32,
    /// How long one server alone hears `isValid` of a settled payment that
    /// nobody was told of: the time it has to work before it settles.
    pub verify_lease_seconds: u64,
}

impl Default for MerchantsConfig {
    fn default() -> Self {
        Self { retell_max: 1, verify_lease_seconds: 60 }
    }
}
