//! Local checks: no I/O, one function per rule, in the order in which they run.

use alloy::primitives::{Address, B256};
use quittance_protocol::{Amount, EvmExactPayload, PaymentPayload, UnixSeconds, X402_VERSION};

use crate::error::EvmError;
use crate::payment::{EvmPayment, authorization_digest};
use crate::signature::{self, PayerSignature, ReadSignature};
use crate::text;

/// What a payment is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) network: String,
    pub(crate) chain_id: u64,
    pub(crate) token: Address,
    pub(crate) pay_to: Address,
    /// In whose name the chain is asked.
    pub(crate) wallet: Address,
    /// Multicall3, as configured.
    pub(crate) multicall: Address,
    /// All of ours.
    pub(crate) wallets: Vec<Address>,
    pub(crate) separator: B256,
    pub(crate) authorization_seconds_max: u64,
    pub(crate) valid_before_margin_seconds: u64,
    pub(crate) contract_payers: bool,
}

/// Runs every local check; without `now`, all but the time window.
pub(crate) fn check(
    terms: &Terms,
    payload: &PaymentPayload,
    now: Option<UnixSeconds>,
) -> Result<EvmPayment, EvmError> {
    check_version(payload)?;
    check_scheme(payload)?;
    check_network(terms, payload)?;
    check_asset(terms, payload)?;
    let exact = read_payload(payload)?;
    let fields = read_fields(&exact)?;
    check_recipient(terms, payload, &fields)?;
    check_self_payment(terms, &fields)?;
    check_value(payload, &fields)?;
    if let Some(now) = now {
        let margin = terms.valid_before_margin_seconds;
        check_time_window(terms, margin, fields.valid_after, fields.valid_before, now)?;
    }
    let read = signature::read(&exact.signature)?;
    let signature = check_signature(terms, &fields, read)?;
    Ok(EvmPayment {
        chain_id: terms.chain_id,
        token: terms.token,
        from: fields.from,
        to: fields.to,
        value: fields.value,
        valid_after: fields.valid_after,
        valid_before: fields.valid_before,
        nonce: fields.nonce,
        signature,
    })
}

/// The authorization's fields, read and nothing more.
pub(crate) struct Fields {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: u64,
    pub(crate) valid_after: UnixSeconds,
    pub(crate) valid_before: UnixSeconds,
    pub(crate) nonce: B256,
}

fn check_version(payload: &PaymentPayload) -> Result<(), EvmError> {
    if payload.x402_version == X402_VERSION { Ok(()) } else { Err(EvmError::Version) }
}

fn check_scheme(payload: &PaymentPayload) -> Result<(), EvmError> {
    if payload.accepted.scheme == "exact" { Ok(()) } else { Err(EvmError::Scheme) }
}

fn check_network(terms: &Terms, payload: &PaymentPayload) -> Result<(), EvmError> {
    if payload.accepted.network == terms.network { Ok(()) } else { Err(EvmError::Network) }
}

fn check_asset(terms: &Terms, payload: &PaymentPayload) -> Result<(), EvmError> {
    if text::address(&payload.accepted.asset) == Some(terms.token) { Ok(()) } else { Err(EvmError::Asset) }
}

pub(crate) fn read_payload(payload: &PaymentPayload) -> Result<EvmExactPayload, EvmError> {
    serde::Deserialize::deserialize(&payload.payload).map_err(|_| EvmError::Payload {
        field: "payload",
        wanted: "an EIP-3009 authorization with a signature",
    })
}

pub(crate) fn read_fields(exact: &EvmExactPayload) -> Result<Fields, EvmError> {
    let refuse = |field, wanted| EvmError::Payload { field, wanted };
    let authorization = &exact.authorization;
    let address = "0x and 40 hex digits";
    let seconds = "Unix seconds below 2^64";
    Ok(Fields {
        from: text::address(&authorization.from).ok_or(refuse("from", address))?,
        to: text::address(&authorization.to).ok_or(refuse("to", address))?,
        value: authorization.value.to_u64().ok_or(refuse("value", "atomic units below 2^64"))?,
        valid_after: authorization.valid_after.to_u64().ok_or(refuse("validAfter", seconds))?,
        valid_before: authorization.valid_before.to_u64().ok_or(refuse("validBefore", seconds))?,
        nonce: text::word(&authorization.nonce).ok_or(refuse("nonce", "0x and 64 hex digits"))?,
    })
}

/// Both the echoed offer and what was signed name our recipient.
fn check_recipient(terms: &Terms, payload: &PaymentPayload, fields: &Fields) -> Result<(), EvmError> {
    let echoed = text::address(&payload.accepted.pay_to) == Some(terms.pay_to);
    if echoed && fields.to == terms.pay_to { Ok(()) } else { Err(EvmError::Recipient) }
}

/// Moving our own money to ourselves would buy a call for gas alone.
fn check_self_payment(terms: &Terms, fields: &Fields) -> Result<(), EvmError> {
    let ours = [terms.pay_to, terms.token, Address::ZERO];
    if ours.contains(&fields.from) || terms.wallets.contains(&fields.from) {
        Err(EvmError::SelfPayment)
    } else {
        Ok(())
    }
}

fn check_value(payload: &PaymentPayload, fields: &Fields) -> Result<(), EvmError> {
    let amount = payload.accepted.amount().ok_or(EvmError::Value)?;
    if amount != Amount::new(fields.value) {
        return Err(EvmError::ValueMismatch);
    }
    if amount == Amount::ZERO { Err(EvmError::Value) } else { Ok(()) }
}

pub(crate) fn check_time_window(
    terms: &Terms,
    margin_seconds: u64,
    valid_after: UnixSeconds,
    valid_before: UnixSeconds,
    now: UnixSeconds,
) -> Result<(), EvmError> {
    if valid_after > now {
        return Err(EvmError::NotYetValid);
    }
    if valid_before < now.saturating_add(margin_seconds) {
        return Err(EvmError::Expired);
    }
    if valid_before > now.saturating_add(terms.authorization_seconds_max) {
        return Err(EvmError::TooFarAhead { max_seconds: terms.authorization_seconds_max });
    }
    Ok(())
}

/// A signature that does not recover to the payer may still be a contract's; the token decides.
fn check_signature(terms: &Terms, fields: &Fields, read: ReadSignature) -> Result<PayerSignature, EvmError> {
    let digest = authorization_digest(terms.separator, &fields.message());
    match read.ecdsa {
        Some(ecdsa) if ecdsa.is_of(fields.from, digest) => Ok(PayerSignature::Ecdsa(ecdsa)),
        _ if terms.contract_payers => Ok(PayerSignature::Contract(read.bytes)),
        _ => Err(EvmError::Signature),
    }
}

#[cfg(test)]
mod tests;
