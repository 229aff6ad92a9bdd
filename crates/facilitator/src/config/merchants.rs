//! `[merchants]` of the configuration: foreign servers at `/verify` and `/settle`.

use serde::Deserialize;

/// `[merchants]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MerchantsConfig {
    /// How often a success may be said again whose connection closed, or whose
    /// process died, before its last byte was taken.
    pub retell_max: u32,
    /// How long `isValid` lasts, the time that a server has to work before it
    /// settles: so long an authorization that is not claimed yet holds its payer's
    /// money, and one server alone hears it of a settled payment that nobody was
    /// told of.
    pub verify_lease_seconds: u64,
    /// Authorizations of one payer that are not claimed yet and whose money is held
    /// at once because `/verify` called them valid.
    pub verify_leases_payer_max: u32,
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
            verify_leases_payer_max: 256,
            concurrency_max: 4_096,
            copies_max: 64,
            body_seconds_max: 10,
        }
    }
}
