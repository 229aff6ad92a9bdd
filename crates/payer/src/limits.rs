//! What may be signed.

use std::collections::BTreeSet;

use quittance_protocol::{Amount, Family, Network, PaymentRequirements, is_known_dollar};
use serde_json::Value;

use crate::required::Required;
use crate::{Keys, PayError};

/// Longest life of an authorization, seconds, whatever a server asks for: whoever has it may
/// land it until then.
pub const AUTHORIZATION_SECONDS_MAX: u64 = 600;

/// One dollar, as the official clients' default.
const PER_CALL_DEFAULT: Amount = Amount::new(1_000_000);

/// What whoever runs the payer is ready to sign for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most that one call may cost, in units of 10⁻⁶ dollars.
    pub per_call: Amount,
    /// Most that is signed for one host within a day (UTC).
    pub host_day: Option<Amount>,
    /// Most that is signed for all hosts together within a day (UTC).
    pub day: Option<Amount>,
    /// The only hosts that are paid, as `api.example` or `api.example:8443`.
    pub hosts: Option<BTreeSet<String>>,
    /// The only network that is paid on.
    pub network: Option<Network>,
    /// Pay in this token instead of a known dollar. Limits by day are in dollars and refuse it.
    pub token: Option<Token>,
    /// Longest life of an authorization, seconds.
    pub authorization_seconds_max: u64,
}

/// A token that is not known to be a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Contract or mint.
    pub asset: String,
    /// Most that one call may cost, in its smallest units.
    pub per_call: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_call: PER_CALL_DEFAULT,
            host_day: None,
            day: None,
            hosts: None,
            network: None,
            token: None,
            authorization_seconds_max: AUTHORIZATION_SECONDS_MAX,
        }
    }
}

impl Limits {
    pub(crate) fn check_host(&self, host: &str) -> Result<(), PayError> {
        match &self.hosts {
            Some(hosts) if !hosts.contains(host) => {
                Err(PayError::Limit(format!("{host} is not among the hosts that are paid")))
            }
            _ => Ok(()),
        }
    }

    /// The first offer that may be paid.
    pub(crate) fn choose<'a>(
        &self,
        required: &'a Required,
        keys: &Keys,
    ) -> Result<&'a PaymentRequirements, PayError> {
        let mut reasons = Vec::new();
        for offer in &required.offers {
            match self.why_not(offer, keys) {
                None => return Ok(offer),
                Some(reason) => reasons.push(format!("{} {}: {reason}", offer.network, offer.asset)),
            }
        }
        if required.odd > 0 {
            reasons.push(format!("{} more of no known shape", required.odd));
        }
        Err(PayError::NoOffer(reasons.join("; ")))
    }

    /// Why an offer would not be paid, its price included.
    pub(crate) fn refusal(&self, offer: &PaymentRequirements, keys: &Keys) -> Option<String> {
        let refused = self.why_not(offer, keys).map(str::to_owned);
        refused.or_else(|| self.price(offer).err().map(|error| error.to_string()))
    }

    fn why_not(&self, offer: &PaymentRequirements, keys: &Keys) -> Option<&'static str> {
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
        if keys.address(&network).is_none() {
            return Some("no key given");
        }
        let payable = match &self.token {
            None => is_known_dollar(&network, &offer.asset),
            Some(token) => match network.family() {
                Family::Eip155(_) => token.asset.eq_ignore_ascii_case(&offer.asset),
                Family::Solana => token.asset == offer.asset,
            },
        };
        (!payable).then_some("not known as a dollar, nor the token that was named")
    }

    /// The price, if one call may cost as much. By day is for [`crate::State`] to say.
    pub(crate) fn price(&self, offer: &PaymentRequirements) -> Result<Amount, PayError> {
        let amount = offer.amount().ok_or_else(|| {
            PayError::NotX402("the offer's amount is not a number of atomic units".to_owned())
        })?;
        match &self.token {
            Some(token) if amount.atomic() > token.per_call => Err(PayError::Limit(format!(
                "the price is {amount} units, above the limit of {}",
                token.per_call
            ))),
            Some(_) if self.day.is_some() || self.host_day.is_some() => Err(PayError::Limit(
                "limits by day are in dollars, and say nothing about another token".to_owned(),
            )),
            None if amount > self.per_call => Err(PayError::Limit(format!(
                "the price is {} USDC, above the limit of {}",
                amount.to_usdc(),
                self.per_call.to_usdc()
            ))),
            _ => Ok(amount),
        }
    }
}

/// `base`, `base-sepolia`, `solana`, `solana-devnet` or a CAIP-2 identifier. A name means one
/// network, not every chain with such addresses.
pub fn network_named(text: &str) -> Result<Network, PayError> {
    let id = match text {
        "base" => Network::BASE,
        "base-sepolia" => Network::BASE_SEPOLIA,
        "solana" => Network::SOLANA,
        "solana-devnet" => Network::SOLANA_DEVNET,
        id => id,
    };
    id.parse().map_err(|error| PayError::Request(format!("{text}: {error}")))
}

/// Dollars as an exact decimal of at most six places, such as `1.00`.
pub fn dollars(text: &str) -> Option<Amount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    format!("{whole}{fraction:0<6}").parse().ok().map(Amount::new)
}

#[cfg(test)]
mod tests;
