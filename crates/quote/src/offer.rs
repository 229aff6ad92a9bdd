//! Offers: a service price plus a network's surcharge, as an element of `accepts`.

use quittance_protocol::{Amount, Breakdown, Network, PaymentRequirements, USDC_DECIMALS, v1};
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

/// The offer of one network at one surcharge as JSON text, finished but for the
/// service price: an unpaid request costs a copy and a few digits.
///
/// It knows no time: whoever uses it asks for the tariff of the moment first
/// and compares [`OfferTemplate::gas`], so that it never outlives its tariff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferTemplate {
    gas: Amount,
    parts: Vec<Part>,
    /// The same in x402 version 1, from behind its opening brace; `None` where that has no
    /// name for the network.
    v1: Option<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `amount` and `maxAmountRequired`.
    Total,
    /// `breakdown.service_usdc`
    ServiceUsdc,
    /// `breakdown.total_usdc`
    TotalUsdc,
}

impl OfferTemplate {
    /// Prepares what [`requirements`] makes of `gas` and `terms`.
    pub fn new(gas: Amount, terms: &NetworkTerms) -> Result<Self, QuoteError> {
        let probe = requirements(Amount::new(1), gas, terms)?;
        let plain = json_text(&probe)?;
        // Names that stand nowhere else in the text, so that each one found is ours.
        let mark = (0..=plain.len())
            .map(|number| format!("hole-{number}-"))
            .find(|mark| !plain.contains(mark.as_str()))
            .ok_or(QuoteError::NoTemplate)?;
        let holes = [("total", Part::Total), ("service", Part::ServiceUsdc), ("usdc", Part::TotalUsdc)];
        let name = |at: usize| holes.get(at).map(|(name, _)| format!("{mark}{name}")).unwrap_or_default();
        let mut marked = probe;
        marked.amount = name(0);
        marked.max_amount_required = Some(name(0));
        let breakdown = Breakdown { service_usdc: name(1), gas_usdc: gas.to_usdc(), total_usdc: name(2) };
        marked.extra.insert("breakdown".into(), json!(breakdown));
        let parts_of = |text: &str| {
            let mut parts = Vec::new();
            for (index, piece) in text.split(mark.as_str()).enumerate() {
                let mut rest = piece;
                if index > 0 {
                    let (name, hole) = holes
                        .iter()
                        .find(|(name, _)| piece.starts_with(name))
                        .ok_or(QuoteError::NoTemplate)?;
                    parts.push(hole.clone());
                    rest = piece.get(name.len()..).unwrap_or("");
                }
                parts.push(Part::Text(rest.to_owned()));
            }
            Ok::<_, QuoteError>(parts)
        };
        let in_v1 = v1::PaymentRequirements::of(&marked).map(|offer| {
            let text = json_text(&offer)?;
            parts_of(text.strip_prefix('{').ok_or(QuoteError::NoTemplate)?)
        });
        Ok(Self { gas, parts: parts_of(&json_text(&marked)?)?, v1: in_v1.transpose()? })
    }

    /// The surcharge it was made for.
    pub fn gas(&self) -> Amount {
        self.gas
    }

    /// Appends the offer of `service`: byte for byte the JSON of
    /// [`requirements`]. Nothing is appended on an error.
    pub fn write(&self, service: Amount, out: &mut Vec<u8>) -> Result<(), QuoteError> {
        let total = self.total(service)?;
        write_parts(&self.parts, service, total, out);
        Ok(())
    }

    /// Appends the same offer in x402 version 1. `sold` is what its elements say of the
    /// resource, as the members of a JSON object. `false`, and nothing appended, where
    /// version 1 does not know the network.
    pub fn write_v1(&self, service: Amount, sold: &[u8], out: &mut Vec<u8>) -> Result<bool, QuoteError> {
        let Some(parts) = &self.v1 else { return Ok(false) };
        let total = self.total(service)?;
        out.push(b'{');
        out.extend_from_slice(sold);
        out.push(b',');
        write_parts(parts, service, total, out);
        Ok(true)
    }

    fn total(&self, service: Amount) -> Result<Amount, QuoteError> {
        let total = service.checked_add(self.gas)?;
        if total == Amount::ZERO { Err(QuoteError::NothingToPay) } else { Ok(total) }
    }
}

fn write_parts(parts: &[Part], service: Amount, total: Amount, out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Total => total.write_digits(out),
            Part::ServiceUsdc => service.write_usdc(out),
            Part::TotalUsdc => total.write_usdc(out),
        }
    }
}

fn json_text<T: Serialize>(offer: &T) -> Result<String, QuoteError> {
    serde_json::to_string(offer).map_err(|_| QuoteError::NoTemplate)
}

#[cfg(test)]
mod tests;
