//! Offers: a service price plus a network's surcharge, as an element of `accepts`.

use quittance_protocol::{Amount, Breakdown, Network, PaymentRequirements, USDC_DECIMALS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::QuoteError;

/// What an offer on one network says besides the amount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkTerms {
    /// CAIP-2 network.
    pub network: Network,
    /// Token contract or mint.
    pub asset: String,
    /// Recipient (the owner, on Solana).
    pub pay_to: String,
    /// Decimals of the token; 6, the only count that `breakdown` can show.
    pub asset_decimals: u32,
    /// E.g. `USDC`.
    pub asset_symbol: String,
    /// How long the offer may be paid.
    pub max_timeout_seconds: u64,
    /// `name` and `version` of the token's EIP-712 domain on EVM chains, `feePayer` on Solana.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// Whether the payment is settled before the request is served
    /// (`extra.paymentFlow: "upfront"`).
    pub payment_flow_upfront: bool,
}

/// The offer of `service` with surcharge `gas` under `terms`.
///
/// `amount` equals `maxAmountRequired` and the breakdown's total, to the atomic unit.
pub fn requirements(
    service: Amount,
    gas: Amount,
    terms: &NetworkTerms,
) -> Result<PaymentRequirements, QuoteError> {
    if terms.asset_decimals != USDC_DECIMALS {
        return Err(QuoteError::Decimals(terms.asset_decimals));
    }
    let total = service.checked_add(gas)?;
    if total == Amount::ZERO {
        return Err(QuoteError::NothingToPay);
    }
    let breakdown =
        Breakdown { service_usdc: service.to_usdc(), gas_usdc: gas.to_usdc(), total_usdc: total.to_usdc() };
    let mut extra = terms.extra.clone();
    extra.insert("asset_decimals".into(), json!(terms.asset_decimals));
    extra.insert("asset_symbol".into(), json!(terms.asset_symbol));
    extra.insert("breakdown".into(), json!(breakdown));
    if terms.payment_flow_upfront {
        extra.insert("paymentFlow".into(), json!("upfront"));
    }
    Ok(PaymentRequirements {
        scheme: "exact".to_owned(),
        network: terms.network.to_string(),
        asset: terms.asset.clone(),
        pay_to: terms.pay_to.clone(),
        amount: total.to_string(),
        max_amount_required: Some(total.to_string()),
        max_timeout_seconds: terms.max_timeout_seconds,
        extra,
        other: Map::new(),
    })
}

#[cfg(test)]
mod tests;
