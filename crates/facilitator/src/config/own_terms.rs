//! A merchant's own terms on a configured network: checked as the configuration's own are.

use quittance_ledger::{MerchantLimits, MerchantNetwork};
use quittance_protocol::{Amount, Family};

use super::units::{coins, usdc};
use super::{Config, ConfigError, NetworkConfig};
use crate::chain::check_pay_to;

/// Without a limit of its own, what a merchant's payments may move on one network in a day.
const AMOUNT_DAY_USDC: &str = "10000";

/// Without one, the part of the network's day that settling for one merchant may cost: one in so many.
const COST_PART: u64 = 4;

/// The same in the native coin, whole coins.
const NATIVE_DAY_EVM: &str = "0.05";
const NATIVE_DAY_SOLANA: &str = "1";

/// Limits as an operator writes them, in USDC and whole coins; none: what stands, or the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimitTexts<'a> {
    /// What payments may move within a day.
    pub amount_day_usdc: Option<&'a str>,
    /// What settling them may cost within a day …
    pub cost_day_usdc: Option<&'a str>,
    /// … and in the native coin.
    pub native_day: Option<&'a str>,
}

impl Config {
    /// A configured network by its name here or in CAIP-2.
    pub fn network_called(&self, name: &str) -> Result<&NetworkConfig, ConfigError> {
        let by_id = || self.networks.values().find(|network| network.network.as_str() == name);
        self.networks.get(name).or_else(by_id).ok_or_else(|| {
            let known: Vec<&str> = self.networks.keys().map(String::as_str).collect();
            ConfigError::Invalid(format!("no such network is configured; there are {}", known.join(", ")))
        })
    }

    /// Where a merchant is paid on a network, and how much within a day: the address is one that
    /// can take payments out again, the token is the one that is sold there.
    pub fn merchant_network(
        &self,
        network: &str,
        pay_to: &str,
        asset: Option<&str>,
        texts: LimitTexts<'_>,
    ) -> Result<MerchantNetwork, ConfigError> {
        let network = self.network_called(network)?;
        let is_sold = |asset: &str| match network.network.family() {
            Family::Eip155(_) => asset.eq_ignore_ascii_case(&network.asset),
            Family::Solana => asset == network.asset,
        };
        if asset.is_some_and(|asset| !is_sold(asset)) {
            let problem = "a merchant's asset must be the one of its network in the configuration";
            return Err(ConfigError::Invalid(problem.to_owned()));
        }
        check_pay_to(&network.network, pay_to, &network.asset).map_err(ConfigError::Invalid)?;
        Ok(MerchantNetwork {
            network: network.network.clone(),
            pay_to: pay_to.to_owned(),
            asset: network.asset.clone(),
            limits: self.merchant_limits(network, None, texts)?,
        })
    }

    /// A merchant's limits on a network: those that stand, with what is written put over them.
    pub fn merchant_limits(
        &self,
        network: &NetworkConfig,
        stands: Option<MerchantLimits>,
        texts: LimitTexts<'_>,
    ) -> Result<MerchantLimits, ConfigError> {
        let native = match network.network.family() {
            Family::Eip155(_) => NATIVE_DAY_EVM,
            Family::Solana => NATIVE_DAY_SOLANA,
        };
        let decimals = network.gas_coin().decimals;
        let spent_day = usdc("quote.spent_network_day_usdc", &self.quote.spent_network_day_usdc)?;
        let mut limits = match stands {
            Some(stands) => stands,
            None => MerchantLimits {
                amount_day: usdc("amount-day-usdc", AMOUNT_DAY_USDC)?,
                cost_day: Amount::new(spent_day.atomic() / COST_PART),
                native_day: coins("native-day", native, decimals)?,
            },
        };
        if let Some(text) = texts.amount_day_usdc {
            limits.amount_day = usdc("amount-day-usdc", text)?;
        }
        if let Some(text) = texts.cost_day_usdc {
            limits.cost_day = usdc("cost-day-usdc", text)?;
        }
        if let Some(text) = texts.native_day {
            limits.native_day = coins("native-day", text, decimals)?;
        }
        Ok(limits)
    }
}
