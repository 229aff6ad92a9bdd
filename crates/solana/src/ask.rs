//! Questions to one endpoint after the other, and what their answers say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_rpc::Endpoints;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_client::rpc_config::CommitmentConfig;
use solana_client::rpc_request::RpcRequest;
use solana_sdk::hash::Hash;
use solana_sdk::pubkey::Pubkey;

use crate::commitment::Commitment;
use crate::error::SolanaError;
use crate::node::{Node, Shown};
use crate::rpc::RpcFailure;
use crate::token::{self, MintState, TokenProgram};

/// Asks endpoints of which nothing is known, in order, until one answers.
pub(crate) async fn read<T: DeserializeOwned>(
    endpoints: &Endpoints<Node>,
    request: RpcRequest,
    params: Value,
) -> Result<T, RpcFailure> {
    let (_, answer) = read_among(endpoints, endpoints.serving(), request, params).await?;
    Ok(answer)
}

/// Asks these in order until one answers, which is named.
pub(crate) async fn read_among<T: DeserializeOwned>(
    endpoints: &Endpoints<Node>,
    places: Vec<usize>,
    request: RpcRequest,
    params: Value,
) -> Result<(usize, T), RpcFailure> {
    let none = RpcFailure::Malformed { method: request.as_str() };
    let ask = |_, endpoint| Node::ask(endpoint, request, params.clone());
    endpoints.first_that_answers(places, none, ask, |_| true).await
}

/// An account's owner program, base58, whether it is a program, and its data.
pub(crate) struct Account {
    pub(crate) owner: String,
    pub(crate) executable: bool,
    pub(crate) data: Vec<u8>,
}

pub(crate) async fn read_account(
    endpoints: &Endpoints<Node>,
    address: &Pubkey,
    commitment: Commitment,
) -> Result<Option<Account>, SolanaError> {
    let params = json!([address.to_string(), {"encoding": "base64", "commitment": commitment.as_str()}]);
    let request = RpcRequest::GetAccountInfo;
    let Shown { value } = read(endpoints, request, params).await?;
    parse_account(&value, request.as_str())
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
pub(crate) async fn read_rent(endpoints: &Endpoints<Node>, bytes: usize) -> Result<u64, SolanaError> {
    let ask = |_, endpoint| Node::rent(endpoint, bytes);
    let (_, rent) = endpoints.first_that_answers(endpoints.serving(), NO_RENT, ask, |_| true).await?;
    Ok(rent)
}

/// The configured mint. What its extensions do is judged by whoever asks.
pub(crate) async fn read_mint(
    endpoints: &Endpoints<Node>,
    mint: &Pubkey,
    wanted: TokenProgram,
    permanent_delegate: bool,
) -> Result<MintState, SolanaError> {
    let (program, data) = mint_account(endpoints, mint).await?;
    if program != wanted {
        return Err(SolanaError::AssetProgram { found: program.id().to_string() });
    }
    token::read_mint(program, &data, permanent_delegate).ok_or(SolanaError::NotAMint)
}

/// A mint of whichever token program, for who pays in it.
pub(crate) async fn read_any_mint(
    endpoints: &Endpoints<Node>,
    mint: &Pubkey,
) -> Result<(TokenProgram, u8), SolanaError> {
    let (program, data) = mint_account(endpoints, mint).await?;
    let state = token::read_mint(program, &data, true).ok_or(SolanaError::NotAMint)?;
    Ok((program, state.decimals))
}

async fn mint_account(
    endpoints: &Endpoints<Node>,
    mint: &Pubkey,
) -> Result<(TokenProgram, Vec<u8>), SolanaError> {
    if endpoints.all().is_empty() {
        return Err(SolanaError::NoEndpoint);
    }
    let account = read_account(endpoints, mint, Commitment::Confirmed).await?;
    let account = account.ok_or(SolanaError::MintMissing)?;
    let program = TokenProgram::of_owner(&account.owner).ok_or(SolanaError::NotAMint)?;
    Ok((program, account.data))
}

/// Where nobody could be asked for the rent.
const NO_RENT: RpcFailure = RpcFailure::Malformed { method: "getMinimumBalanceForRentExemption" };

pub(crate) const BLOCKHASH: RpcRequest = RpcRequest::GetLatestBlockhash;

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
    endpoints: &Endpoints<Node>,
    commitment: Commitment,
) -> Result<Newest, SolanaError> {
    parse_blockhash(&read(endpoints, BLOCKHASH, blockhash_params(commitment)).await?)
}

pub(crate) fn blockhash_params(commitment: Commitment) -> Value {
    json!([CommitmentConfig::from(commitment)])
}

pub(crate) fn parse_blockhash(answer: &Value) -> Result<Newest, SolanaError> {
    let malformed = || RpcFailure::Malformed { method: BLOCKHASH.as_str() };
    let text = answer.pointer("/value/blockhash").and_then(Value::as_str);
    let blockhash = text.and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    let height = answer.pointer("/value/lastValidBlockHeight").and_then(Value::as_u64);
    let slot = answer.pointer("/context/slot").and_then(Value::as_u64);
    Ok(Newest { hash: blockhash, last_valid: height.ok_or_else(malformed)?, slot })
}
