//! Pyth's price feed accounts on Solana (`PriceUpdateV2` of the receiver
//! program, pyth-solana-receiver-sdk).
//!
//! The sponsored feeds, the same on mainnet and devnet: SOL/USD
//! 7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE, ETH/USD
//! 42amVS4KgzR9rA28tkVYqVXjq9Qa8dcZQMbH5EYFX6XC.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Reading;
use super::fetch::Fetcher;
use crate::prices::error::SourceError;
use crate::prices::feed::Feed;
use crate::prices::price::Price;

/// Only this program writes price updates, after checking Wormhole's signatures;
/// an account of anybody else could hold any number.
const RECEIVER: &str = "rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ";

/// SHA-256 of `account:PriceUpdateV2`, its first eight bytes (Anchor).
const DISCRIMINATOR: [u8; 8] = [34, 241, 35, 99, 157, 126, 244, 205];

/// Borsh tag of `VerificationLevel::Full`: two thirds of the guardians signed.
/// `Partial` would let a few of them set the price.
const FULLY_VERIFIED: u8 = 1;

/// Most that the publishers' confidence interval may be of the price.
const CONFIDENCE_BPS_MAX: u64 = 200;

/// One price feed account.
pub(crate) struct Pyth {
    fetcher: Fetcher,
    url: String,
    account: String,
    feed: Feed,
}

impl Pyth {
    pub(crate) fn new(fetcher: Fetcher, url: String, account: String, feed: Feed) -> Self {
        Self { fetcher, url, account, feed }
    }

    pub(crate) async fn read(&self) -> Result<Reading, SourceError> {
        let params = json!([self.account, { "encoding": "base64", "commitment": "confirmed" }]);
        let result = self.fetcher.rpc(&self.url, "getAccountInfo", params).await?;
        decode(&result, &self.feed)
    }
}

/// Reads the result of `getAccountInfo`.
pub(crate) fn decode(result: &Value, feed: &Feed) -> Result<Reading, SourceError> {
    let wrong = || SourceError::WrongFeed(format!("{}/USD", feed.coin.ticker().to_ascii_uppercase()));
    let account = result.get("value").ok_or(SourceError::Shape("getAccountInfo gave no value"))?;
    if account.get("owner").and_then(Value::as_str) != Some(RECEIVER) {
        return Err(wrong());
    }
    let text = account.pointer("/data/0").and_then(Value::as_str).ok_or(SourceError::Shape("no data"))?;
    let data = STANDARD.decode(text).map_err(|_| SourceError::Shape("data is not base64"))?;
    if array(&data, 0)? != DISCRIMINATOR {
        return Err(wrong());
    }
    // 8 discriminator, 32 write authority, 1 verification level, then the message.
    if array(&data, 40)? != [FULLY_VERIFIED] {
        return Err(SourceError::Shape("the update is not fully verified"));
    }
    if !hex::encode(array::<32>(&data, 41)?).eq_ignore_ascii_case(&feed.id) {
        return Err(wrong());
    }
    let price = i64::from_le_bytes(array(&data, 73)?);
    let confidence = u64::from_le_bytes(array(&data, 81)?);
    let exponent = i32::from_le_bytes(array(&data, 89)?);
    let published = i64::from_le_bytes(array(&data, 93)?);
    let price = u64::try_from(price).map_err(|_| SourceError::NotAPrice)?;
    if u128::from(confidence) * 10_000 > u128::from(price) * u128::from(CONFIDENCE_BPS_MAX) {
        return Err(SourceError::Uncertain(CONFIDENCE_BPS_MAX));
    }
    Ok(Reading {
        price: Price::from_parts(u128::from(price), exponent)?,
        dated_ms: Some(published.saturating_mul(1_000)),
    })
}

fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], SourceError> {
    data.get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(SourceError::Shape("the account is too short"))
}
