//! `[quote]` of the configuration.

use quittance_protocol::Amount;
use serde::Deserialize;

use super::ConfigError;
use super::decimal::decimal_text;
use crate::config::units::{basis_points, usdc};

/// `[quote]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuoteConfig {
    /// Factor on the estimated settlement cost.
    #[serde(deserialize_with = "decimal_text")]
    pub markup: String,
    /// Factor on the base fee: how much it may rise before the payment lands.
    #[serde(deserialize_with = "decimal_text")]
    pub base_fee_headroom: String,
    /// How long a replaced tariff stays payable beyond `max_timeout_seconds`.
    pub grace_seconds: u64,
    /// Pause between two tariffs.
    pub refresh_seconds: u64,
    /// How much a tariff may fall in a minute, as a part of itself.
    #[serde(deserialize_with = "decimal_text")]
    pub fall_per_minute: String,
    /// The least surcharge (USDC), however cheap settling is.
    #[serde(deserialize_with = "decimal_text")]
    pub gas_floor_usdc: String,
    /// Above this surcharge a network is not offered (USDC).
    #[serde(deserialize_with = "decimal_text")]
    pub gas_ceiling_usdc: String,
    /// What the operator adds per payment to what the payer was charged before a
    /// signature is refused as too costly (USDC, I10).
    #[serde(deserialize_with = "decimal_text")]
    pub cost_budget_usdc: String,
    /// What one payer's attempts on one network may cost without earning, within 24
    /// hours and with what is in flight, beyond the part of its own surcharges
    /// (USDC, P3). One attempt of who burnt nothing is taken however dear it is.
    #[serde(deserialize_with = "decimal_text")]
    pub uncollected_payer_day_usdc: String,
    /// Attempts of one payer in flight on one network that its own surcharges do not
    /// cover: filling the soft limit takes many payers with money (P3).
    pub unearned_in_flight_payer_max: u32,
    /// The soft limit: what attempts on one network may cost without earning, within
    /// 24 hours and with what is in flight, beyond what payers' own surcharges cover,
    /// before payers without history wait (USDC, P3).
    #[serde(deserialize_with = "decimal_text")]
    pub uncollected_network_day_usdc: String,
    /// The probe budget: what payers without history may cost beyond the soft limit,
    /// one of them at a time (USDC, P3).
    #[serde(deserialize_with = "decimal_text")]
    pub probe_network_day_usdc: String,
    /// The part of its surcharges that a payer may burn: below what they earn, so
    /// that burning it costs the payer more than the operator.
    #[serde(deserialize_with = "decimal_text")]
    pub payer_history_part: String,
    /// What one payer's attempts in flight on one network may cost (USDC, P3).
    #[serde(deserialize_with = "decimal_text")]
    pub in_flight_payer_usdc: String,
    /// What all attempts in flight on one network may cost (USDC, P3).
    #[serde(deserialize_with = "decimal_text")]
    pub in_flight_network_usdc: String,
    /// What settling on one network may cost at all within 24 hours, what it earned
    /// back included (USDC): above it nothing is claimed, and the network not offered.
    #[serde(deserialize_with = "decimal_text")]
    pub spent_network_day_usdc: String,
}

impl Default for QuoteConfig {
    fn default() -> Self {
        Self {
            markup: "1.25".to_owned(),
            base_fee_headroom: "1.125".to_owned(),
            grace_seconds: 30,
            refresh_seconds: 5,
            fall_per_minute: "0.10".to_owned(),
            gas_floor_usdc: "0".to_owned(),
            gas_ceiling_usdc: "0.50".to_owned(),
            cost_budget_usdc: "0.005".to_owned(),
            uncollected_payer_day_usdc: "0.10".to_owned(),
            unearned_in_flight_payer_max: 32,
            uncollected_network_day_usdc: "2.00".to_owned(),
            probe_network_day_usdc: "0.50".to_owned(),
            payer_history_part: "0.10".to_owned(),
            in_flight_payer_usdc: "1.00".to_owned(),
            in_flight_network_usdc: "10.00".to_owned(),
            spent_network_day_usdc: "100.00".to_owned(),
        }
    }
}

impl QuoteConfig {
    /// The markup in basis points: 12,500 for `"1.25"`.
    pub fn markup_bps(&self) -> Result<u32, ConfigError> {
        basis_points("quote.markup", &self.markup)
    }

    /// The most that a customer is charged for a settlement.
    pub fn gas_ceiling(&self) -> Result<Amount, ConfigError> {
        usdc("quote.gas_ceiling_usdc", &self.gas_ceiling_usdc)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let floor = usdc("quote.gas_floor_usdc", &self.gas_floor_usdc)?;
        let ceiling = usdc("quote.gas_ceiling_usdc", &self.gas_ceiling_usdc)?;
        if floor > ceiling {
            return Err(ConfigError::Invalid(
                "quote.gas_floor_usdc is above gas_ceiling_usdc: nothing would ever be offered".to_owned(),
            ));
        }
        Ok(())
    }
}
