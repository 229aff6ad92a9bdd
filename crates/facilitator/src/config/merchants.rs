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
    /// Payments of one merchant in flight. Copies of one payment share its place.
    pub concurrency_max: usize,
    /// Copies of one payment that wait for its outcome at once.
    pub copies_max: usize,
    /// How long a request may take to send its body.
    pub body_seconds_max: u64,
}

impl Default for MerchantsConfig {
    fn default() -> Self {
        Self {
            retell_max: 1,
            verify_lease_seconds: 60,
            concurrency_max: 4_096,
            copies_max: 64,
            body_seconds_max: 10,
        }
    }
}
