//! Reads that ask one endpoint after the other.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use solana_sdk::hash::Hash;
use solana_sdk::pubkey::Pubkey;

use crate::chain::Commitment;
use crate::error::SolanaError;
use crate::instructions as layout;
use crate::rpc::{Rpc, RpcFailure};

/// Asks endpoints in order until one answers. Only for reads: the answer comes
/// from the one whose position is returned.
pub(crate) async fn read(
    endpoints: &[Arc<dyn Rpc>],
    method: &'static str,
    params: Value,
) -> Result<(usize, Value), RpcFailure> {
    let mut failure = RpcFailure::Malformed { method };
    for (at, endpoint) in endpoints.iter().enumerate() {
        match endpoint.call(method, params.clone()).await {
            Ok(answer) => return Ok((at, answer)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// An account's owner program, base58, whether it is a program, and its data.
pub(crate) struct Account {
    pub(crate) owner: String,
    pub(crate) executable: bool,
    pub(crate) data: Vec<u8>,
}

pub(crate) async fn read_account(
    endpoints: &[Arc<dyn Rpc>],
    address: &Pubkey,
    commitment: Commitment,
) -> Result<Option<Account>, SolanaError> {
    const METHOD: &str = "getAccountInfo";
    let params = json!([address.to_string(), {"encoding": "base64", "commitment": commitment.as_str()}]);
    let (_, answer) = read(endpoints, METHOD, params).await?;
    parse_account(answer.get("value").ok_or(RpcFailure::Malformed { method: METHOD })?, METHOD)
}

/// One account as nodes write it in base64; `None` where there is none.
pub(crate) fn parse_account(value: &Value, method: &'static str) -> Result<Option<Account>, SolanaError> {
    let malformed = || RpcFailure::Malformed { method };
    if value.is_null() {
        return Ok(None);
    }
    let owner = value.get("owner").and_then(Value::as_str).ok_or_else(malformed)?.to_owned();
    let text = value.pointer("/data/0").and_then(Value::as_str).ok_or_else(malformed)?;
    let data = STANDARD.decode(text).map_err(|_| malformed())?;
    let executable = value.get("executable").and_then(Value::as_bool).unwrap_or(false);
    Ok(Some(Account { owner, executable, data }))
}

/// What an account of so many bytes must hold, in lamports.
pub(crate) async fn read_rent(endpoints: &[Arc<dyn Rpc>], bytes: u64) -> Result<u64, SolanaError> {
    const METHOD: &str = "getMinimumBalanceForRentExemption";
    let (_, rent) = read(endpoints, METHOD, json!([bytes])).await?;
    Ok(rent.as_u64().ok_or(RpcFailure::Malformed { method: METHOD })?)
}

/// Decimals of a mint of the SPL token program.
pub(crate) async fn read_mint(endpoints: &[Arc<dyn Rpc>], mint: &Pubkey) -> Result<u8, SolanaError> {
    if endpoints.is_empty() {
        return Err(SolanaError::NoEndpoint);
    }
    let account = read_account(endpoints, mint, Commitment::Confirmed).await?;
    let account = account.ok_or(SolanaError::MintMissing)?;
    let decimals =
        layout::mint_decimals(&account.data).filter(|_| account.owner == layout::TOKEN.to_string());
    decimals.ok_or(SolanaError::NotAMint)
}

/// Which endpoint answered, its newest blockhash and the last block height it is valid at.
pub(crate) async fn read_blockhash(
    endpoints: &[Arc<dyn Rpc>],
    commitment: Commitment,
) -> Result<(usize, Hash, u64), SolanaError> {
    const METHOD: &str = "getLatestBlockhash";
    let (at, answer) = read(endpoints, METHOD, json!([{"commitment": commitment.as_str()}])).await?;
    let text = answer.pointer("/value/blockhash").and_then(Value::as_str);
    let blockhash =
        text.and_then(|text| text.parse().ok()).ok_or(RpcFailure::Malformed { method: METHOD })?;
    let height = answer.pointer("/value/lastValidBlockHeight").and_then(Value::as_u64);
    Ok((at, blockhash, height.ok_or(RpcFailure::Malformed { method: METHOD })?))
}
