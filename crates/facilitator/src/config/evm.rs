//! The keys of `[networks.NAME]` that only EVM networks have.

use quittance_protocol::Family;

use super::check::invalid;
use super::{ConfigError, NetworkConfig};
use crate::chain::GasCoin;
use crate::prices::Coin;

/// What ether has, and every coin whose units are named after wei.
const DECIMALS: u32 = 18;

/// What SOL has.
const SOL_DECIMALS: u32 = 9;

/// Where Multicall3 stands on every chain that has it.
const MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";

/// Those keys, each with what it is where nothing is said.
pub(crate) struct EvmSection<'a> {
    pub(crate) asset_name: &'a str,
    pub(crate) asset_version: &'a str,
    pub(crate) confirmations: u64,
    pub(crate) settle_gas_limit: u64,
    pub(crate) settle_gas_expected: u64,
    pub(crate) multicall: &'a str,
    pub(crate) transaction_gas_max: u64,
    pub(crate) check_gas_max: u64,
    pub(crate) max_fee_per_gas_wei: u64,
    pub(crate) priority_fee_wei: u64,
    pub(crate) authorization_seconds_max: u64,
    pub(crate) batch_size_max: u32,
    pub(crate) batch_margin_seconds: u64,
    pub(crate) batch_wait_ms: u64,
    pub(crate) contract_payers: bool,
    pub(crate) contract_payers_in_flight_max: u32,
    pub(crate) unwedge_budget_native_per_day: &'a str,
}

impl NetworkConfig {
    /// See [`EvmSection`].
    pub(crate) fn evm(&self) -> EvmSection<'_> {
        EvmSection {
            asset_name: self.asset_name.as_deref().unwrap_or("USD Coin"),
            asset_version: self.asset_version.as_deref().unwrap_or("2"),
            confirmations: self.confirmations.unwrap_or(0),
            settle_gas_limit: self.settle_gas_limit.unwrap_or(150_000),
            settle_gas_expected: self.settle_gas_expected.unwrap_or(88_000),
            multicall: self.multicall.as_deref().unwrap_or(MULTICALL3),
            transaction_gas_max: self.transaction_gas_max.unwrap_or(16_777_216),
            check_gas_max: self.check_gas_max.unwrap_or(16_000_000),
            max_fee_per_gas_wei: self.max_fee_per_gas_wei.unwrap_or(20_000_000_000),
            priority_fee_wei: self.priority_fee_wei.unwrap_or(1_000_000),
            authorization_seconds_max: self.authorization_seconds_max.unwrap_or(900),
            batch_size_max: self.batch_size_max.unwrap_or(1),
            batch_margin_seconds: self.batch_margin_seconds.unwrap_or(10),
            batch_wait_ms: self.batch_wait_ms.unwrap_or(10),
            contract_payers: self.contract_payers.unwrap_or(false),
            contract_payers_in_flight_max: self.contract_payers_in_flight_max.unwrap_or(4),
            unwedge_budget_native_per_day: self.unwedge_budget_native_per_day.as_deref().unwrap_or("0"),
        }
    }

    /// Above what fee per gas nothing is signed (I8); `None` where there is no such fee.
    pub fn fee_cap_wei(&self) -> Option<u64> {
        matches!(self.network.family(), Family::Eip155(_)).then(|| self.evm().max_fee_per_gas_wei)
    }

    /// What its transactions are paid with.
    pub(crate) fn gas_coin(&self) -> GasCoin {
        let (name, decimals) = match self.network.family() {
            Family::Eip155(_) => {
                (self.gas_coin.as_deref().unwrap_or("ETH"), self.gas_coin_decimals.unwrap_or(DECIMALS))
            }
            Family::Solana => ("SOL", SOL_DECIMALS),
        };
        GasCoin { name: name.to_owned(), decimals, pair: self.coin().pair() }
    }

    /// Whether that is ether, whose defaults and limits fit no other coin.
    pub(super) fn pays_ether(&self) -> bool {
        let named = self.gas_coin.as_deref().map(Coin::of_ticker);
        let priced = self.gas_coin_rate.as_deref().map(Coin::of_pair);
        let is_ether = |coin: Option<Option<Coin>>| coin.is_none_or(|coin| coin == Some(Coin::ETH));
        is_ether(named) && is_ether(priced) && self.gas_coin_decimals.is_none_or(|places| places == DECIMALS)
    }

    /// Whose exchange rate prices it.
    pub fn coin(&self) -> Coin {
        let own = match self.network.family() {
            Family::Eip155(_) => Coin::ETH,
            Family::Solana => return Coin::SOL,
        };
        let named = || self.gas_coin.as_deref().and_then(Coin::of_ticker);
        // What is neither is refused before anything is priced.
        self.gas_coin_rate.as_deref().and_then(Coin::of_pair).or_else(named).unwrap_or(own)
    }

    pub(super) fn check_evm(&self, name: &str) -> Result<(), ConfigError> {
        let given = [
            ("token_account", self.token_account.is_some()),
            ("priority_fee_lamports_max", self.priority_fee_lamports_max.is_some()),
            ("transaction_v1", self.transaction_v1.is_some()),
            ("account_lamports_per_day", self.account_lamports_per_day.is_some()),
            ("account_lamports_per_payer_day", self.account_lamports_per_payer_day.is_some()),
        ];
        refuse(name, "Solana", &given)?;
        self.check_gas_coin(name)?;
        let evm = self.evm();
        if evm.settle_gas_expected > evm.settle_gas_limit {
            return Err(invalid(name, "settle_gas_expected is above settle_gas_limit"));
        }
        if evm.authorization_seconds_max < self.max_timeout_seconds {
            return Err(invalid(name, "authorization_seconds_max is below max_timeout_seconds"));
        }
        Ok(())
    }

    fn check_gas_coin(&self, name: &str) -> Result<(), ConfigError> {
        if self.gas_coin.as_deref().is_some_and(|text| Coin::of_ticker(text).is_none()) {
            return Err(invalid(
                name,
                "gas_coin must be a ticker of 2 to 12 letters and digits such as \"POL\"",
            ));
        }
        if self.gas_coin_rate.as_deref().is_some_and(|text| Coin::of_pair(text).is_none()) {
            return Err(invalid(name, "gas_coin_rate must be a pair in lower case such as \"pol_usd\""));
        }
        let ceilings = [
            ("in_flight_native", &self.in_flight_native),
            ("in_flight_payer_native", &self.in_flight_payer_native),
            ("uncollected_day_native", &self.uncollected_day_native),
        ];
        for (key, value) in ceilings {
            if !self.pays_ether() && value.is_none() {
                let problem = format!(
                    "{key} is missing: what fits ether fits no other gas coin; say in whole coins what it may be"
                );
                return Err(invalid(name, &problem));
            }
        }
        Ok(())
    }
}

/// Keys of another family say something that nobody would read.
pub(super) fn refuse(name: &str, family: &str, given: &[(&str, bool)]) -> Result<(), ConfigError> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((key, _)) => {
            Err(invalid(name, &format!("{key} belongs to {family} networks, and this is none; remove it")))
        }
        None => Ok(()),
    }
}
