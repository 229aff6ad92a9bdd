//! A price out of any JSON document.
//!
//! Numbers are taken as they are written: a JSON number that went through a
//! float would no longer be what the source said.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Reading;
use super::fetch::Fetcher;
use crate::prices::error::SourceError;
use crate::prices::price::Price;

/// Times above this are milliseconds (in seconds it would be the year 33658).
const SECONDS_MAX: i64 = 1_000_000_000_000;

/// One document on the web.
pub(crate) struct HttpJson {
    fetcher: Fetcher,
    url: String,
    pointer: String,
    time_pointer: Option<String>,
}

impl HttpJson {
    pub(crate) fn new(fetcher: Fetcher, url: String, pointer: String, time_pointer: Option<String>) -> Self {
        Self { fetcher, url, pointer, time_pointer }
    }

    pub(crate) async fn read(&self) -> Result<Reading, SourceError> {
        let body = self.fetcher.get(&self.url).await?;
        decode(&body, &self.pointer, self.time_pointer.as_deref())
    }
}

/// Price (and date, in seconds or milliseconds) at JSON pointers (RFC 6901).
pub(crate) fn decode(body: &[u8], pointer: &str, time_pointer: Option<&str>) -> Result<Reading, SourceError> {
    let document: &RawValue = serde_json::from_slice(body).map_err(|_| SourceError::NotJson)?;
    let price = Price::parse(&scalar(find(document, pointer)?)?)?;
    let dated_ms = match time_pointer {
        None => None,
        Some(pointer) => Some(milliseconds(&scalar(find(document, pointer)?)?)?),
    };
    Ok(Reading { price, dated_ms })
}

fn find<'a>(document: &'a RawValue, pointer: &str) -> Result<&'a RawValue, SourceError> {
    let missing = || SourceError::Shape("nothing at the pointer");
    let mut at = document;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        at = if at.get().starts_with('{') {
            let object: HashMap<Cow<'a, str>, &'a RawValue> = part(at)?;
            object.get(token.as_str()).copied().ok_or_else(missing)?
        } else if at.get().starts_with('[') {
            let list: Vec<&'a RawValue> = part(at)?;
            let index: usize = token.parse().map_err(|_| missing())?;
            list.get(index).copied().ok_or_else(missing)?
        } else {
            return Err(missing());
        };
    }
    Ok(at)
}

fn part<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue) -> Result<T, SourceError> {
    serde_json::from_str(raw.get()).map_err(|_| SourceError::NotJson)
}

/// A string's content, or a number as it is written.
fn scalar(raw: &RawValue) -> Result<String, SourceError> {
    fn owned<T: DeserializeOwned>(raw: &RawValue) -> Result<T, SourceError> {
        serde_json::from_str(raw.get()).map_err(|_| SourceError::NotJson)
    }
    match raw.get().as_bytes().first() {
        Some(b'"') => owned(raw),
        Some(b'0'..=b'9') => Ok(raw.get().to_owned()),
        _ => Err(SourceError::NotAPrice),
    }
}

fn milliseconds(text: &str) -> Result<i64, SourceError> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let time: i64 = whole.parse().map_err(|_| SourceError::Shape("the time is not a Unix time"))?;
    if time > SECONDS_MAX { Ok(time) } else { Ok(time.saturating_mul(1_000)) }
}
