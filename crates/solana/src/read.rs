//! Reads that ask one endpoint after the other.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use solana_sdk::hash::Hash;
use solana_sdk::pubkey::Pubkey;

use crate::chain::{Commitment, SolanaChain};
use crate::error::SolanaError;
use crate::instructions as layout;
use crate::rpc::{Rpc, RpcFailure};

const RENT: &str = "getMinimumBalanceForRentExemption";
const BLOCKHASH: &str = "getLatestBlockhash";

/// Asks endpoints in order until one answers, before anything is known of them.
async fn read(endpoints: &[Arc<dyn Rpc>], method: &'static str, params: Value) -> Result<Value, RpcFailure> {
    let mut failure = RpcFailure::Malformed { method };
    for endpoint in endpoints {
        match endpoint.call(method, params.clone()).await {
            Ok(answer) => return Ok(answer),
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
    let answer = read(endpoints, METHOD, params).await?;
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
    let rent = read(endpoints, RENT, json!([bytes])).await?;
    Ok(rent.as_u64().ok_or(RpcFailure::Malformed { method: RENT })?)
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

impl SolanaChain {
    /// Asks the healthy endpoints in order until one answers; see [`Fleet::serving`].
    ///
    /// [`Fleet::serving`]: quittance_protocol::Fleet::serving
    pub(crate) async fn read(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<(usize, Value), RpcFailure> {
        self.read_among(&self.fleet.serving(), method, params).await
    }

    /// The same among these.
    pub(crate) async fn read_among(
        &self,
        places: &[usize],
        method: &'static str,
        params: Value,
    ) -> Result<(usize, Value), RpcFailure> {
        let mut failure = RpcFailure::Malformed { method };
        for at in places {
            let Some(endpoint) = self.endpoints.get(*at) else { continue };
            match endpoint.call(method, params.clone()).await {
                Ok(answer) => return Ok((*at, answer)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Which endpoint answered, and its newest blockhash, which is remembered.
    pub(crate) async fn read_blockhash(&self) -> Result<(usize, Newest), SolanaError> {
        let (at, answer) = self.read(BLOCKHASH, blockhash_params(self.commitment)).await?;
        let newest = parse_blockhash(&answer)?;
        self.blockhashes.learn(at, newest);
        Ok((at, newest))
    }

    /// What an account of so many bytes must hold, in lamports.
    pub(crate) async fn read_rent(&self, bytes: u64) -> Result<u64, SolanaError> {
        let (_, rent) = self.read(RENT, json!([bytes])).await?;
        Ok(rent.as_u64().ok_or(RpcFailure::Malformed { method: RENT })?)
    }
}

/// An endpoint's newest blockhash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) hash: Hash,
    /// The last block height at which it is valid, as the endpoint counts.
    pub(crate) last_valid: u64,
    /// The slot of the answer, where it names one.
    pub(crate) slot: Option<u64>,
}

/// The newest blockhash of endpoints that nothing is known of.
pub(crate) async fn read_blockhash(
    endpoints: &[Arc<dyn Rpc>],
    commitment: Commitment,
) -> Result<Newest, SolanaError> {
    parse_blockhash(&read(endpoints, BLOCKHASH, blockhash_params(commitment)).await?)
}

fn blockhash_params(commitment: Commitment) -> Value {
    json!([{"commitment": commitment.as_str()}])
}

pub(crate) fn parse_blockhash(answer: &Value) -> Result<Newest, SolanaError> {
    let malformed = || RpcFailure::Malformed { method: BLOCKHASH };
    let text = answer.pointer("/value/blockhash").and_then(Value::as_str);
    let blockhash = text.and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    let height = answer.pointer("/value/lastValidBlockHeight").and_then(Value::as_u64);
    let slot = answer.pointer("/context/slot").and_then(Value::as_u64);
    Ok(Newest { hash: blockhash, last_valid: height.ok_or_else(malformed)?, slot })
}
