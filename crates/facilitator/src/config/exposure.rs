//! The ceilings on what attempts may cost without earning, of `[quote]` and
//! `[networks.NAME]` together.

use quittance_ledger::{Exposed, ExposureLimits};
use quittance_protocol::{Amount, Family};

use super::{ConfigError, NetworkConfig, QuoteConfig};
use crate::config::units::{basis_points, coins, usdc};

/// Without keys of their own the native ceilings of ether and SOL are a few times those in USDC,
/// at any rate that ether and SOL had in years: they matter when a rate is wrong.
struct Defaults {
    in_flight: &'static str,
    in_flight_payer: &'static str,
    uncollected_day: &'static str,
}

const EVM: Defaults = Defaults { in_flight: "0.02", in_flight_payer: "0.002", uncollected_day: "0.005" };
const SOLANA: Defaults = Defaults { in_flight: "0.5", in_flight_payer: "0.05", uncollected_day: "0.1" };

impl NetworkConfig {
    /// The network's ceilings.
    pub(crate) fn exposure_limits(&self, quote: &QuoteConfig) -> Result<ExposureLimits, ConfigError> {
        let decimals = self.gas_coin().decimals;
        let defaults = match self.network.family() {
            Family::Eip155(_) => EVM,
            Family::Solana => SOLANA,
        };
        let native = |key: &str, text: &Option<String>, default: &str| {
            coins(key, text.as_deref().unwrap_or(default), decimals)
        };
        let soft = usdc("quote.uncollected_network_day_usdc", &quote.uncollected_network_day_usdc)?;
        let probes = usdc("quote.probe_network_day_usdc", &quote.probe_network_day_usdc)?;
        let day = native("uncollected_day_native", &self.uncollected_day_native, defaults.uncollected_day)?;
        let probes_native = share(day, probes, soft);
        Ok(ExposureLimits {
            payer_in_flight: Exposed {
                usdc: usdc("quote.in_flight_payer_usdc", &quote.in_flight_payer_usdc)?,
                native: native(
                    "in_flight_payer_native",
                    &self.in_flight_payer_native,
                    defaults.in_flight_payer,
                )?,
            },
            network_in_flight: Exposed {
                usdc: usdc("quote.in_flight_network_usdc", &quote.in_flight_network_usdc)?,
                native: native("in_flight_native", &self.in_flight_native, defaults.in_flight)?,
            },
            payer_unearned_in_flight: quote.unearned_in_flight_payer_max,
            payer_day: usdc("quote.uncollected_payer_day_usdc", &quote.uncollected_payer_day_usdc)?,
            soft_day: Exposed { usdc: soft, native: day.saturating_sub(probes_native) },
            probes_day: Exposed { usdc: probes, native: probes_native },
            spent_day: usdc("quote.spent_network_day_usdc", &quote.spent_network_day_usdc)?,
            history_bps: basis_points("quote.payer_history_part", &quote.payer_history_part)?,
            by_code_in_flight: self.evm().contract_payers_in_flight_max,
        })
    }
}

impl NetworkConfig {
    /// What freeing nonces that do not move may cost within a day, beyond what was charged, in wei.
    pub(crate) fn unwedge_day(&self) -> Result<u64, ConfigError> {
        let text = self.evm().unwedge_budget_native_per_day;
        coins("unwedge_budget_native_per_day", text, self.gas_coin().decimals)
    }
}

/// The probes' share of the native day, in the proportion of their shares in USDC.
fn share(day: u64, probes: Amount, soft: Amount) -> u64 {
    let (probes, soft) = (u128::from(probes.atomic()), u128::from(soft.atomic()));
    let part = u128::from(day).saturating_mul(probes) / probes.saturating_add(soft).max(1);
    u64::try_from(part).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unwedging_budget_is_named_in_whole_coins_and_off_by_default() {
        let of = |more: &str| {
            let text = format!(
                "network = \"eip155:8453\"\nrpc_urls = [\"http://localhost\"]\nasset = \"0x\"\npay_to = \"0x\"\n\
                 wallets = [\"env:A\"]\n{more}"
            );
            toml::from_str::<NetworkConfig>(&text).unwrap().unwedge_day().unwrap()
        };
        assert_eq!(of(""), 0);
        assert_eq!(of("unwedge_budget_native_per_day = \"0.002\""), 2_000_000_000_000_000);
        assert_eq!(of("unwedge_budget_native_per_day = \"0\""), 0);
        assert_eq!(of("unwedge_budget_native_per_day = \"0.000001\""), 1_000_000_000_000);
        assert_eq!(of("gas_coin = \"POL\""), 0);
    }

    #[test]
    fn the_native_day_is_divided_as_the_one_in_usdc_is() {
        assert_eq!(share(1_000, Amount::new(500_000), Amount::new(2_000_000)), 200);
        assert_eq!(share(1_000, Amount::ZERO, Amount::new(1)), 0);
        assert_eq!(share(1_000, Amount::ZERO, Amount::ZERO), 0);
    }
}
