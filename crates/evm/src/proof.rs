//! Proof from receipts (I4). Pure: JSON in, findings out.

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent;
use serde_json::Value;

use crate::abi::IToken;
use crate::failure::RpcError;
use crate::text;

/// What is used of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) transaction: B256,
    pub(crate) from: Address,
    pub(crate) block: u64,
    pub(crate) block_hash: B256,
    /// Gas used × effective price + L1 fee, in wei.
    pub(crate) cost_wei: u128,
    /// The token's events, in their order.
    pub(crate) events: Vec<TokenEvent>,
    /// Where in the block each of these stands, as far as the node says so.
    pub(crate) log_indices: Vec<Option<u64>>,
}

impl Receipt {
    /// Which log moved the payment, if one did.
    pub(crate) fn log_index(&self, expected: &Expected) -> Option<u64> {
        self.log_indices.get(paid_at(&self.events, expected)?).copied().flatten()
    }
}

/// An event of the configured token; other contracts' logs are never looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenEvent {
    Used { from: Address, nonce: B256 },
    Canceled { from: Address, nonce: B256 },
    Transfer { from: Address, to: Address, value: U256 },
}

impl TokenEvent {
    /// The payer and nonce it is about, for events about an authorization.
    pub(crate) fn authorization(&self) -> Option<(Address, B256)> {
        match *self {
            Self::Used { from, nonce } | Self::Canceled { from, nonce } => Some((from, nonce)),
            Self::Transfer { .. } => None,
        }
    }
}

/// The terms one watched payment must have landed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: u64,
    pub(crate) nonce: B256,
}

/// What a receipt says about one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// `AuthorizationUsed` with its own matching `Transfer`.
    Paid,
    /// The nonce is gone without the payment: cancelled, or used by another authorization of the
    /// same payer with the same nonce.
    Burned,
    /// Nothing about this payment.
    Nothing,
}

/// Pairs events log by log: an `AuthorizationUsed` owns the transfers that follow it up to the next
/// `AuthorizationUsed`. So no transfer proves two payments, and a payer who moves the same amount
/// twice in one transaction proves exactly what was authorised where.
pub(crate) fn find(events: &[TokenEvent], expected: &Expected) -> Finding {
    if paid_at(events, expected).is_some() {
        return Finding::Paid;
    }
    let burned = events.iter().any(|event| event.authorization() == Some((expected.from, expected.nonce)));
    if burned { Finding::Burned } else { Finding::Nothing }
}

/// Which of the events is the transfer that the payment's own `AuthorizationUsed` owns.
fn paid_at(events: &[TokenEvent], expected: &Expected) -> Option<usize> {
    let used = TokenEvent::Used { from: expected.from, nonce: expected.nonce };
    let begins = events.iter().enumerate().filter(|(_, event)| **event == used);
    let own = |(at, _): (usize, &TokenEvent)| {
        let behind = events.iter().enumerate().skip(at.saturating_add(1));
        let mut transfers = behind.take_while(|(_, event)| matches!(event, TokenEvent::Transfer { .. }));
        transfers.find(|(_, event)| **event == expected.transfer()).map(|(at, _)| at)
    };
    begins.filter_map(own).next()
}

impl Expected {
    fn transfer(&self) -> TokenEvent {
        TokenEvent::Transfer { from: self.from, to: self.to, value: U256::from(self.value) }
    }
}

/// Reads a receipt, or `None` if the node has none.
pub(crate) fn parse_receipt(value: &Value, token: Address) -> Result<Option<Receipt>, RpcError> {
    if value.is_null() {
        return Ok(None);
    }
    let bad = || RpcError::BadAnswer("receipt");
    let word = |field: &str| value[field].as_str().and_then(text::word).ok_or_else(bad);
    let logs = value["logs"].as_array().ok_or_else(bad)?;
    let gas = text::quantity(&value["gasUsed"])?;
    let price = text::quantity(&value["effectiveGasPrice"])?;
    // Only its logs prove anything (I4), and one that failed has none; but what has no status is no receipt.
    text::quantity(&value["status"])?;
    let l1 = if value["l1Fee"].is_null() { 0 } else { text::quantity(&value["l1Fee"])? };
    let cost_wei = gas.checked_mul(price).and_then(|l2| l2.checked_add(l1)).ok_or_else(bad)?;
    let (events, log_indices) = events_of(logs.iter(), token);
    Ok(Some(Receipt {
        transaction: word("transactionHash")?,
        from: value["from"].as_str().and_then(text::address).ok_or_else(bad)?,
        block: text::quantity64(&value["blockNumber"])?,
        block_hash: word("blockHash")?,
        cost_wei,
        events,
        log_indices,
    }))
}

/// The token's events among these logs, and where in the block each stands.
pub(crate) fn events_of<'a>(
    logs: impl Iterator<Item = &'a Value>,
    token: Address,
) -> (Vec<TokenEvent>, Vec<Option<u64>>) {
    let read = |log: &Value| Some((parse_event(log, token)?, text::quantity64(&log["logIndex"]).ok()));
    logs.filter_map(read).unzip()
}

/// An event of the token, if the log is one.
pub(crate) fn parse_event(log: &Value, token: Address) -> Option<TokenEvent> {
    // A log of a vanished block is no evidence.
    if log["removed"].as_bool() == Some(true) || text::address(log["address"].as_str()?)? != token {
        return None;
    }
    let topics: Vec<B256> =
        log["topics"].as_array()?.iter().map(|t| t.as_str().and_then(text::word)).collect::<Option<_>>()?;
    let [signature, first, second] = topics.as_slice() else { return None };
    let first = Address::from_word(*first);
    if *signature == IToken::AuthorizationUsed::SIGNATURE_HASH {
        Some(TokenEvent::Used { from: first, nonce: *second })
    } else if *signature == IToken::AuthorizationCanceled::SIGNATURE_HASH {
        Some(TokenEvent::Canceled { from: first, nonce: *second })
    } else if *signature == IToken::Transfer::SIGNATURE_HASH {
        let value = log["data"].as_str().and_then(text::word)?;
        Some(TokenEvent::Transfer { from: first, to: Address::from_word(*second), value: value.into() })
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
