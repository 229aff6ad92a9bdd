//! `[callers]` of the configuration: what strangers may make us ask.

use serde::Deserialize;

/// `[callers]`
///
/// A *stranger* is a payer of whom this process has seen no payment settle yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallersConfig {
    /// Chain checks of strangers that run at once, on each network. Payers with history, and
    /// everything that settles, ask beside them.
    pub checks_in_flight_max: usize,
    /// Requests of strangers that wait for a check; a quarter as many wait for room below a
    /// ceiling, or for the time from which their payment is valid.
    pub waiting_max: usize,
    /// Chain checks that came to nothing which one address may cause at once …
    pub failed_checks_address_burst: u32,
    /// … and in a minute, before its strangers are checked few at a time.
    pub failed_checks_address_minute: u32,
    /// Chain checks that came to nothing which one payer may cause at once …
    pub failed_checks_payer_burst: u32,
    /// … and in a minute, before it is told to come back later.
    pub failed_checks_payer_minute: u32,
}

impl Default for CallersConfig {
    fn default() -> Self {
        Self {
            checks_in_flight_max: 256,
            waiting_max: 1_024,
            failed_checks_address_burst: 240,
            failed_checks_address_minute: 240,
            failed_checks_payer_burst: 120,
            failed_checks_payer_minute: 60,
        }
    }
}
