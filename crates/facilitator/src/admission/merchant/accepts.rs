//! `POST /accepts`: what a foreign server leaves out of its offers is filled in, as npm
//! `@faremeter/middleware` asks its facilitator before it writes a 402. No I/O (P4).

use quittance_ledger::MerchantNetwork;
use quittance_protocol::{Amount, PaymentRequirements, X402_VERSION, v1};
use serde_json::{Map, Value, json};

use super::Asker;
use super::own_terms::sells;
use crate::Inner;
use crate::network::configured::ConfiguredNetwork;

/// Most offers of one question. Its body is bounded; this bounds what is made of it.
const OFFERS_MAX: usize = 32;

/// A body that is none of `/accepts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepts {
    /// `x402Version` is neither 1 nor 2.
    #[error("x402 versions 1 and 2 are spoken here; x402Version says which")]
    Version,
    /// `accepts` is no list, or one that is too long.
    #[error("accepts must be a list of at most {OFFERS_MAX} offers")]
    List,
}

impl Inner {
    /// See [`crate::Facilitator::accepts`].
    pub(crate) fn accepts(&self, mut asked: Map<String, Value>, asker: &Asker) -> Result<Value, NotAccepts> {
        let version = match asked.get("x402Version") {
            None | Some(Value::Null) => X402_VERSION,
            Some(value) => value.as_u64().ok_or(NotAccepts::Version)?,
        };
        if version != X402_VERSION && version != v1::VERSION {
            return Err(NotAccepts::Version);
        }
        let Some(Value::Array(offers)) = asked.remove("accepts") else { return Err(NotAccepts::List) };
        if offers.len() > OFFERS_MAX {
            return Err(NotAccepts::List);
        }
        let (mut accepts, mut left_out) = (Vec::new(), Vec::new());
        for (at, offer) in offers.into_iter().enumerate() {
            match self.completed(version, offer, asker) {
                Ok(offer) => accepts.push(offer),
                Err(why) => left_out.push(format!("accepts[{at}]: {why}")),
            }
        }
        let mut answer = json!({ "x402Version": version, "accepts": accepts, "error": left_out.join("; ") });
        if version == X402_VERSION {
            let resource = asked.remove("resource").filter(|resource| resource["url"].is_string());
            answer["resource"] = resource.unwrap_or_else(|| json!({ "url": "" }));
        }
        Ok(answer)
    }

    /// One offer, whole; or why none can be made of it that `/settle` would take: a customer
    /// must not sign what is refused.
    fn completed(&self, version: u64, offer: Value, asker: &Asker) -> Result<Value, &'static str> {
        let Value::Object(mut offer) = offer else { return Err("an offer is an object") };
        let text = |offer: &Map<String, Value>, name: &str| match offer.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err("scheme, network, asset, payTo and the amount are texts"),
        };
        if !["", "exact"].contains(&text(&offer, "scheme")?.as_str()) {
            return Err("only the scheme \"exact\" is supported");
        }
        let said = text(&offer, "network")?;
        let network =
            if version == v1::VERSION { v1::network_of(&said).unwrap_or_default() } else { said.as_str() };
        let net = self.selling(network).ok_or("see GET /supported for the networks")?;
        net.open(self.context.clock.now_ms()).map_err(|_| "the network takes no payments now")?;
        let name = if version == v1::VERSION { "maxAmountRequired" } else { "amount" };
        let amount = text(&offer, name)?;
        if amount.parse::<Amount>().map_or(true, |amount| amount == Amount::ZERO) {
            return Err("the amount is a positive whole number of the token's smallest units");
        }
        let asked = PaymentRequirements {
            scheme: "exact".to_owned(),
            network: network.to_owned(),
            asset: text(&offer, "asset")?,
            pay_to: text(&offer, "payTo")?,
            amount,
            max_amount_required: None,
            max_timeout_seconds: offer.get("maxTimeoutSeconds").and_then(Value::as_u64).unwrap_or_default(),
            extra: Map::new(),
            other: Map::new(),
        };
        let own = asker.paid_at(&net).map_err(|_| "this merchant sells nothing on this network")?;
        let whole = fill(&net, own, asked)?;
        let mut extra = match offer.remove("extra") {
            Some(Value::Object(extra)) => extra,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err("extra is an object"),
        };
        extra.extend(whole.extra);
        for (name, value) in [
            ("scheme", json!(whole.scheme)),
            ("asset", json!(whole.asset)),
            ("payTo", json!(whole.pay_to)),
            ("maxTimeoutSeconds", json!(whole.max_timeout_seconds)),
            ("extra", Value::Object(extra)),
        ] {
            offer.insert(name.to_owned(), value);
        }
        if version == v1::VERSION {
            // Its clients read these of every element, and refuse an offer that lacks one.
            for name in ["resource", "description", "mimeType"] {
                offer.entry(name).or_insert_with(|| json!(""));
            }
        }
        Ok(Value::Object(offer))
    }
}

/// What is not said is what is configured, or the merchant's own; what is said must agree with it.
fn fill(
    net: &ConfiguredNetwork,
    own: Option<&MerchantNetwork>,
    asked: PaymentRequirements,
) -> Result<PaymentRequirements, &'static str> {
    let or = |said: String, ours: &str| if said.is_empty() { ours.to_owned() } else { said };
    let seconds = match asked.max_timeout_seconds {
        0 => net.terms.max_timeout_seconds,
        seconds => seconds,
    };
    let whole = PaymentRequirements {
        asset: or(asked.asset, &net.terms.asset),
        pay_to: or(asked.pay_to, own.map_or(&net.terms.pay_to, |own| &own.pay_to)),
        max_timeout_seconds: seconds,
        extra: net.named_terms().extra.clone(),
        ..asked
    };
    let agrees = sells(net, own, &whole);
    agrees.then_some(whole).ok_or(match own {
        None => "this facilitator settles only to its configured payTo and asset",
        Some(_) => "this facilitator settles this merchant's payments only to its own payTo and asset",
    })
}
