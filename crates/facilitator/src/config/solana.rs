//! The keys of `[networks.NAME]` that only Solana networks have.

use quittance_ledger::AccountLimits;
use quittance_protocol::Family;

use super::evm::refuse;
use super::{ConfigError, NetworkConfig, TokenAccount, TokenProgram};

/// Those keys, each with what it is where nothing is said.
pub(crate) struct SolanaSection {
    pub(crate) token_account: TokenAccount,
    pub(crate) priority_fee_lamports_max: u64,
    pub(crate) transaction_v1: bool,
    pub(crate) token_program: TokenProgram,
    pub(crate) permanent_delegate: bool,
    /// What creating token accounts may cost within a UTC day.
    pub(crate) accounts: AccountLimits,
}

/// Some thirty accounts.
const ACCOUNT_LAMPORTS_PER_DAY: u64 = 50_000_000;
/// Two or three.
const ACCOUNT_LAMPORTS_PER_PAYER_DAY: u64 = 5_000_000;

impl NetworkConfig {
    /// See [`SolanaSection`].
    pub(crate) fn solana(&self) -> SolanaSection {
        // Lamports bound nothing elsewhere.
        let is_solana = self.network.family() == Family::Solana;
        let lamports = |given: Option<u64>, default| match is_solana {
            true => given.unwrap_or(default),
            false => u64::MAX,
        };
        SolanaSection {
            token_account: self.token_account.unwrap_or_default(),
            priority_fee_lamports_max: self.priority_fee_lamports_max.unwrap_or(1_000),
            transaction_v1: self.transaction_v1.unwrap_or(false),
            token_program: self.token_program.unwrap_or_default(),
            permanent_delegate: self.permanent_delegate.unwrap_or(false),
            accounts: AccountLimits {
                day: lamports(self.account_lamports_per_day, ACCOUNT_LAMPORTS_PER_DAY),
                payer_day: lamports(self.account_lamports_per_payer_day, ACCOUNT_LAMPORTS_PER_PAYER_DAY),
            },
        }
    }

    pub(super) fn check_solana(&self, name: &str) -> Result<(), ConfigError> {
        let given = [
            ("asset_name", self.asset_name.is_some()),
            ("asset_version", self.asset_version.is_some()),
            ("gas_coin", self.gas_coin.is_some()),
            ("gas_coin_decimals", self.gas_coin_decimals.is_some()),
            ("gas_coin_rate", self.gas_coin_rate.is_some()),
            ("confirmations", self.confirmations.is_some()),
            ("settle_gas_limit", self.settle_gas_limit.is_some()),
            ("settle_gas_expected", self.settle_gas_expected.is_some()),
            ("check_gas_max", self.check_gas_max.is_some()),
            ("max_fee_per_gas_wei", self.max_fee_per_gas_wei.is_some()),
            ("priority_fee_wei", self.priority_fee_wei.is_some()),
            ("authorization_seconds_max", self.authorization_seconds_max.is_some()),
            ("contract_payers", self.contract_payers.is_some()),
            ("contract_payers_in_flight_max", self.contract_payers_in_flight_max.is_some()),
            ("unwedge_budget_native_per_day", self.unwedge_budget_native_per_day.is_some()),
        ];
        refuse(name, "EVM", &given)
    }
}
