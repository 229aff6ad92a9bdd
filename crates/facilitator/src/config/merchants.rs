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
    /// Whether calls without a key are taken, with the configuration's own terms, although there
    /// are merchants, or others than this host can call.
    pub anonymous: bool,
    /// How often the ledger is asked who may sell: a new key works, and an ended key or a closed
    /// merchant does not any more, that much later at most.
    pub refresh_seconds: u64,
    /// For how long what was read last holds while the ledger cannot be read.
    pub age_seconds_max: u64,
    /// Calls of one address without a right key, in a minute; beyond them it is told 429.
    pub wrong_keys_per_minute: u32,
    /// Merchants that metrics name; the rest are `other`.
    pub labels_max: usize,
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
            anonymous: false,
            refresh_seconds: 2,
            age_seconds_max: 30,
            wrong_keys_per_minute: 60,
            labels_max: 32,
        }
    }
}
