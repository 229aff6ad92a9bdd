//! What a 402 asks for, and which of it may be paid.

use quittance_facilitator::config::is_known_dollar;
use quittance_protocol::{
    Amount, Family, Network, PAYMENT_REQUIRED, PaymentRequirements, ResourceInfo, X402_VERSION, decode_header,
};
use reqwest::Response;
use serde_json::{Map, Value, json};

use super::PayArgs;
use super::request::body_of;
use crate::CommandError;

/// A 402 as it came; what is odd in it is left out, piece by piece.
pub(super) struct Required {
    pub(super) offers: Vec<PaymentRequirements>,
    pub(super) resource: Option<ResourceInfo>,
    pub(super) extensions: Map<String, Value>,
    /// Entries of `accepts` that are not of version 2's shape.
    odd: usize,
}

/// The header first; a body of the same shape is taken too.
pub(super) async fn read(response: Response) -> Result<Required, CommandError> {
    let header = response.headers().get(PAYMENT_REQUIRED).and_then(|value| value.to_str().ok());
    let value = match header {
        Some(text) => decode_header::<Value>(text)?,
        None => serde_json::from_slice(&body_of(response).await?).map_err(
            |_| "the 402 has neither a PAYMENT-REQUIRED header nor a JSON body: not an x402 endpoint",
        )?,
    };
    from_value(&value)
}

fn from_value(value: &Value) -> Result<Required, CommandError> {
    let version = value.get("x402Version").and_then(Value::as_u64);
    if version != Some(X402_VERSION) {
        let spoken = version.map_or("no version".to_owned(), |version| format!("version {version}"));
        return Err(format!("the endpoint speaks {spoken} of x402; this client speaks version 2").into());
    }
    let entries = value.get("accepts").and_then(Value::as_array).ok_or("the 402 lists no `accepts`")?;
    // A server may offer what this client has never heard of beside what it knows.
    let offers: Vec<PaymentRequirements> =
        entries.iter().filter_map(|entry| serde_json::from_value(entry.clone()).ok()).collect();
    let odd = entries.len().saturating_sub(offers.len());
    let resource = value.get("resource").and_then(|one| serde_json::from_value(one.clone()).ok());
    let extensions = value.get("extensions").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Required { offers, resource, extensions, odd })
}

/// What whoever runs the command is ready to pay, and in what.
pub(super) struct Wanted {
    network: Option<Network>,
    evm: bool,
    solana: bool,
    cap: Cap,
}

enum Cap {
    /// Known dollars, in units of 10⁻⁶.
    Dollars(Amount),
    /// One named token, in its smallest units.
    Units { asset: String, max: u64 },
}

impl Wanted {
    pub(super) fn from_args(args: &PayArgs) -> Result<Self, CommandError> {
        let cap = match (&args.asset, args.max_units) {
            (Some(asset), Some(max)) => Cap::Units { asset: asset.clone(), max },
            _ => Cap::Dollars(parse_usdc(&args.max_usdc).ok_or("--max-usdc must be a decimal such as 1.00")?),
        };
        let network = args.network.as_deref().map(named).transpose()?;
        Ok(Self { network, evm: args.evm_key.is_some(), solana: args.solana_key.is_some(), cap })
    }

    /// The first offer that may be paid.
    pub(super) fn choose<'a>(&self, required: &'a Required) -> Result<&'a PaymentRequirements, CommandError> {
        let mut reasons = Vec::new();
        for offer in &required.offers {
            match self.why_not(offer) {
                None => return Ok(offer),
                Some(reason) => reasons.push(format!("{} {}: {reason}", offer.network, offer.asset)),
            }
        }
        if required.odd > 0 {
            reasons.push(format!("{} more of no known shape", required.odd));
        }
        Err(format!("no offer can be paid; {}", reasons.join("; ")).into())
    }

    fn why_not(&self, offer: &PaymentRequirements) -> Option<&'static str> {
        let Ok(network) = offer.network.parse::<Network>() else { return Some("unknown network") };
        if self.network.as_ref().is_some_and(|wanted| *wanted != network) {
            return Some("not the network asked for");
        }
        if offer.scheme != "exact" {
            return Some("unknown scheme");
        }
        // Permit2 and others want another signature than this client makes.
        let method = offer.extra.get("assetTransferMethod").and_then(Value::as_str);
        if method.is_some_and(|method| method != "eip3009") {
            return Some("unknown transfer method");
        }
        let has_key = match network.family() {
            Family::Eip155(_) => self.evm,
            Family::Solana => self.solana,
        };
        if !has_key {
            return Some("no key given");
        }
        let payable = match &self.cap {
            Cap::Dollars(_) => is_known_dollar(&network, &offer.asset),
            Cap::Units { asset, .. } => match network.family() {
                Family::Eip155(_) => asset.eq_ignore_ascii_case(&offer.asset),
                Family::Solana => *asset == offer.asset,
            },
        };
        (!payable).then_some("not known as a dollar; --asset and --max-units pay in another token")
    }

    /// Refuses before anything is signed.
    pub(super) fn check_price(
        &self,
        offer: &PaymentRequirements,
    ) -> Result<Map<String, Value>, CommandError> {
        let amount = offer.amount().ok_or("the offer's amount is not a number of atomic units")?;
        match &self.cap {
            Cap::Dollars(max) if amount > *max => {
                let (price, max) = (amount.to_usdc(), max.to_usdc());
                return Err(format!("the price is {price} USDC, above --max-usdc {max}").into());
            }
            Cap::Units { max, .. } if amount.atomic() > *max => {
                return Err(format!("the price is {amount} units, above --max-units {max}").into());
            }
            Cap::Dollars(_) | Cap::Units { .. } => {}
        }
        let breakdown = offer.extra.get("breakdown");
        let part = |name: &str| breakdown.and_then(|value| value.get(name)).cloned().unwrap_or(Value::Null);
        let mut bill = Map::new();
        bill.insert("network".to_owned(), json!(offer.network));
        bill.insert("asset".to_owned(), json!(offer.asset));
        bill.insert("pay_to".to_owned(), json!(offer.pay_to));
        bill.insert("amount".to_owned(), json!(amount));
        bill.insert("service_usdc".to_owned(), part("service_usdc"));
        bill.insert("gas_usdc".to_owned(), part("gas_usdc"));
        Ok(bill)
    }
}

/// A name means one network, not every chain with such addresses.
fn named(text: &str) -> Result<Network, CommandError> {
    let id = match text {
        "base" => Network::BASE,
        "base-sepolia" => Network::BASE_SEPOLIA,
        "solana" => Network::SOLANA,
        "solana-devnet" => Network::SOLANA_DEVNET,
        id => id,
    };
    Ok(id.parse()?)
}

fn parse_usdc(text: &str) -> Option<Amount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    format!("{whole}{fraction:0<6}").parse().ok().map(Amount::new)
}

#[cfg(test)]
mod tests;
