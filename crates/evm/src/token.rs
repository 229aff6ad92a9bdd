//! What is checked of the configured addresses, before anything is sold for them.

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::primitives::{Address, U256};
use alloy::sol_types::{SolCall, SolValue};
use quittance_protocol::Family;

use crate::abi::IToken;
use crate::check::Terms;
use crate::classify;
use crate::config::READ_GAS;
use crate::config::{ADDRESS_MULTICALL3, EvmConfig};
use crate::error::EvmError;
use crate::node::Node;
use crate::payment::domain;
use crate::simulate::call;
use crate::text;

/// Highest address of a precompiled contract; what is paid there is gone.
const PRECOMPILES_MAX: u64 = 0x1ff;

/// How the addresses of Base's own contracts begin: OP Stack specification, "Predeploys".
const PREDEPLOYS: [u8; 18] = alloy::primitives::hex!("420000000000000000000000000000000000");

/// The currency that a price is in, as Circle's tokens name it.
const DOLLAR: &str = "USD";

/// Reads the configuration; no I/O.
pub(crate) fn terms(config: &EvmConfig, wallet: Address) -> Result<Terms, EvmError> {
    let Family::Eip155(chain_id) = config.network.family() else {
        return Err(EvmError::Config { field: "network", problem: "must be eip155:<chain id>" });
    };
    let token = configured("asset", &config.asset)?;
    let pay_to = configured("pay_to", &config.pay_to)?;
    check_recipient(pay_to, token)?;
    let multicall = configured("multicall", &config.multicall)?;
    if multicall == pay_to || multicall == token {
        return Err(EvmError::Config { field: "multicall", problem: "is the token or the recipient" });
    }
    if config.settle_gas_limit < 60_000 {
        return Err(EvmError::Config { field: "settle_gas_limit", problem: "must be at least 60000" });
    }
    Ok(Terms {
        network: config.network.as_str().to_owned(),
        chain_id,
        token,
        pay_to,
        wallet,
        multicall,
        wallets: vec![wallet],
        separator: domain(&config.asset_name, &config.asset_version, chain_id, token).separator(),
        authorization_seconds_max: config.authorization_seconds_max,
        valid_before_margin_seconds: config.valid_before_margin_seconds,
        contract_payers: config.contract_payers,
    })
}

/// An address of the operator's. With letters of both cases it carries a checksum (EIP-55), and a
/// mistyped one is nobody's: what is paid there is gone.
fn configured(field: &'static str, text: &str) -> Result<Address, EvmError> {
    let address =
        text::address(text).ok_or(EvmError::Config { field, problem: "must be 0x and 40 hex digits" })?;
    let digits = text.strip_prefix("0x").unwrap_or_default();
    let upper = digits.bytes().any(|b| b.is_ascii_uppercase());
    let lower = digits.bytes().any(|b| b.is_ascii_lowercase());
    if upper && lower && address.to_checksum(None) != text {
        let problem = "has a wrong EIP-55 checksum, so a character is mistyped; copy the address again";
        return Err(EvmError::Config { field, problem });
    }
    Ok(address)
}

/// Whether a merchant may be paid in this token at this address; asks no node.
pub fn check_pay_to(pay_to: &str, asset: &str) -> Result<(), EvmError> {
    check_recipient(configured("pay_to", pay_to)?, configured("asset", asset)?)
}

/// Who can never take a payment out again.
fn check_recipient(pay_to: Address, token: Address) -> Result<(), EvmError> {
    let refuse = |problem| Err(EvmError::Config { field: "pay_to", problem });
    if pay_to == Address::ZERO {
        return refuse("must not be the zero address; put an address of yours there");
    }
    if pay_to == token {
        return refuse("is the token itself, which keeps what it is sent; put an address of yours there");
    }
    if text::address(ADDRESS_MULTICALL3) == Some(pay_to) {
        return refuse("is Multicall3, from which anybody can take; put an address of yours there");
    }
    if U256::from_be_slice(pay_to.as_slice()) <= U256::from(PRECOMPILES_MAX) {
        return refuse("is a precompiled contract; put an address of yours there");
    }
    if pay_to.as_slice().starts_with(&PREDEPLOYS) {
        return refuse("is a contract of the chain itself; put an address of yours there");
    }
    Ok(())
}

/// Beginnings of what stands as code at an account that keeps its key (EIP-7702).
const DELEGATION: [u8; 3] = alloy::primitives::hex!("ef0100");

/// A contract as recipient may be a wallet of the operator's, or one that never pays out again:
/// another token, say.
pub(crate) async fn check_recipient_code(rpc: &Node, terms: &Terms) -> Result<(), EvmError> {
    let refuse = |problem| Err(EvmError::Config { field: "pay_to", problem });
    let code = rpc.code(terms.pay_to, Latest).await?;
    if code.is_empty() || code.starts_with(&DELEGATION) {
        return Ok(());
    }
    let input = IToken::decimalsCall {}.abi_encode();
    match call(rpc, terms.wallet, terms.pay_to, READ_GAS, &input, Latest).await {
        Ok(bytes) if bytes.len() == 32 => {
            refuse("is a token, which keeps what it is sent; put an address of yours there")
        }
        Err(error) if !classify::is_execution_failure(&error) => Err(error.into()),
        _ => {
            tracing::warn!(
                network = terms.network,
                "pay_to is a contract: make sure that it can pay out this token"
            );
            Ok(())
        }
    }
}

/// The token has code, its units are what amounts are counted in, it says nothing of another
/// currency, and its domain is the one that clients will be told.
pub(crate) async fn check_token(rpc: &Node, terms: &Terms, config: &EvmConfig) -> Result<(), EvmError> {
    if !rpc.has_code(terms.token, Latest).await? {
        return Err(EvmError::AssetNotDeployed);
    }
    let view = async |input: Vec<u8>| {
        match call(rpc, terms.wallet, terms.token, READ_GAS, &input, Latest).await {
            Ok(bytes) => Ok(Some(bytes)),
            // It has no such function.
            Err(error) if classify::is_execution_failure(&error) => Ok(None),
            Err(error) => Err(EvmError::Rpc(error)),
        }
    };
    let decimals = view(IToken::decimalsCall {}.abi_encode()).await?;
    let found = decimals.and_then(|bytes| U256::abi_decode(&bytes).ok()).and_then(|n| u8::try_from(n).ok());
    if found != Some(config.asset_decimals) {
        return Err(EvmError::Decimals { expected: config.asset_decimals, found });
    }
    let currency = view(IToken::currencyCall {}.abi_encode()).await?;
    if let Some(currency) = currency.and_then(|bytes| String::abi_decode(&bytes).ok())
        && !currency.is_empty()
        && currency != DOLLAR
    {
        return Err(EvmError::Currency);
    }
    if let Some(bytes) = view(IToken::DOMAIN_SEPARATORCall {}.abi_encode()).await?
        && bytes.len() == 32
    {
        return match bytes == terms.separator.as_slice() {
            true => Ok(()),
            false => Err(EvmError::DomainMismatch),
        };
    }
    let name = view(IToken::nameCall {}.abi_encode()).await?.unwrap_or_default();
    let version = view(IToken::versionCall {}.abi_encode()).await?.unwrap_or_default();
    let same = String::abi_decode(&name).is_ok_and(|name| name == config.asset_name)
        && String::abi_decode(&version).is_ok_and(|version| version == config.asset_version);
    if same { Ok(()) } else { Err(EvmError::DomainMismatch) }
}

#[cfg(test)]
mod tests;
