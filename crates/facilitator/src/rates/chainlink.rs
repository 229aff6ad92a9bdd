//! Chainlink's `AggregatorV3Interface` on an EVM chain, read through `eth_call`.
//!
//! Base's ETH / USD feed is 0x71041dddad3595F9CEd3DcCFBe3D1F4b0a16Bb70: eight
//! decimals, a new answer at least every 1,200 s (Chainlink's feed list).

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Reading;
use super::fetch::Fetcher;
use crate::prices::Coin;
use crate::prices::error::SourceError;
use crate::prices::price::Price;

/// `latestRoundData()`: round, answer, started, updated, answered in round.
const LATEST_ROUND_DATA: &str = "0xfeaf968c";
/// `decimals()`.
const DECIMALS: &str = "0x313ce567";
/// `description()`.
const DESCRIPTION: &str = "0x7284e416";

/// Most decimals an answer may have.
const DECIMALS_MAX: u128 = 18;

/// Bytes of an ABI word.
const WORD: usize = 32;

/// One aggregator proxy.
pub(crate) struct Chainlink {
    fetcher: Fetcher,
    url: String,
    address: String,
    coin: Coin,
    /// Immutable in the contract, so read once.
    decimals: OnceCell<i32>,
}

impl Chainlink {
    pub(crate) fn new(fetcher: Fetcher, url: String, address: String, coin: Coin) -> Self {
        Self { fetcher, url, address, coin, decimals: OnceCell::new() }
    }

    pub(crate) async fn read(&self) -> Result<Reading, SourceError> {
        let decimals = *self.decimals.get_or_try_init(|| self.identify()).await?;
        let (answer, updated_seconds) = decode_round(&self.call(LATEST_ROUND_DATA).await?)?;
        Ok(Reading {
            price: Price::from_parts(answer, decimals.saturating_neg())?,
            dated_ms: Some(updated_seconds.saturating_mul(1_000)),
        })
    }

    /// A typed address of another pair's feed would sell far under cost, so the
    /// feed must say what it is.
    async fn identify(&self) -> Result<i32, SourceError> {
        let wanted = format!("{} / USD", self.coin.ticker().to_ascii_uppercase());
        if decode_text(&self.call(DESCRIPTION).await?)? != wanted.as_bytes() {
            return Err(SourceError::WrongFeed(wanted));
        }
        decode_decimals(&self.call(DECIMALS).await?)
    }

    async fn call(&self, data: &str) -> Result<Vec<u8>, SourceError> {
        let params = json!([{ "to": self.address, "data": data }, "latest"]);
        let result = self.fetcher.rpc(&self.url, "eth_call", params).await?;
        let Value::String(text) = result else { return Err(SourceError::Shape("eth_call gave no text")) };
        let digits = text.strip_prefix("0x").ok_or(SourceError::Shape("eth_call gave no hex"))?;
        hex::decode(digits).map_err(|_| SourceError::Shape("eth_call gave no hex"))
    }
}

/// Answer (above zero) and when it was made, in seconds.
pub(crate) fn decode_round(data: &[u8]) -> Result<(u128, i64), SourceError> {
    // int256: a negative answer has its highest bits set and fails here.
    let answer = number(data, 1)?;
    let updated = i64::try_from(number(data, 3)?).map_err(|_| SourceError::Shape("updatedAt"))?;
    number(data, 4).map_err(|_| SourceError::Shape("a round has five words"))?;
    // A round that was never completed has no time.
    if answer == 0 || updated == 0 {
        return Err(SourceError::NotAPrice);
    }
    Ok((answer, updated))
}

pub(crate) fn decode_decimals(data: &[u8]) -> Result<i32, SourceError> {
    let decimals = number(data, 0)?;
    if decimals > DECIMALS_MAX {
        return Err(SourceError::Shape("decimals"));
    }
    i32::try_from(decimals).map_err(|_| SourceError::Shape("decimals"))
}

pub(crate) fn decode_text(data: &[u8]) -> Result<&[u8], SourceError> {
    let bad = || SourceError::Shape("description");
    let offset = usize::try_from(number(data, 0)?).map_err(|_| bad())?;
    let tail = data.get(offset..).ok_or_else(bad)?;
    let length = usize::try_from(number(tail, 0)?).map_err(|_| bad())?;
    tail.get(WORD..WORD.checked_add(length).ok_or_else(bad)?).ok_or_else(bad)
}

/// Word `index` as an unsigned number below 2^128.
fn number(data: &[u8], index: usize) -> Result<u128, SourceError> {
    let start = index * WORD;
    let word = data.get(start..start + WORD).ok_or(SourceError::Shape("too few words"))?;
    let (high, low) = word.split_at(WORD / 2);
    if high.iter().any(|byte| *byte != 0) {
        return Err(SourceError::NotAPrice);
    }
    low.try_into().map(u128::from_be_bytes).map_err(|_| SourceError::Shape("too few words"))
}
