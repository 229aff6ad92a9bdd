//! Whether the facilitator would settle what is sold, before anybody pays.

use quittance_protocol::{Family, Network, X402_VERSION, plain_words};
use serde_json::{Map, Value, json};

use super::http::Said;
use super::{Remote, Sold};
use crate::chain::Obstacle;

/// Where `/supported` names who pays for what customers sign.
const FEE_PAYER: &str = "feePayer";

/// The amount of the offer that it is asked to complete: a dollar. Only the terms are looked at.
const PROBE_AMOUNT: &str = "1000000";

/// What is in a payment's way, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InTheWay {
    pub(super) obstacle: Obstacle,
    pub(super) why: String,
}

fn away(why: impl Into<String>) -> InTheWay {
    InTheWay { obstacle: Obstacle::FacilitatorAway, why: why.into() }
}

fn refuses(why: impl Into<String>) -> InTheWay {
    InTheWay { obstacle: Obstacle::FacilitatorRefuses, why: why.into() }
}

impl Remote {
    /// Who pays the fees of a network whose messages name that: what `/supported` says first.
    pub(crate) async fn fee_payer(&self, network: &Network) -> Result<String, String> {
        let said = self.get("/supported").await?;
        let answer: Value = serde_json::from_slice(&said.body).unwrap_or_default();
        let kinds = answer["kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
        let kind = kinds.iter().find(|kind| is_of(kind, network));
        let named = kind.and_then(|kind| kind["extra"][FEE_PAYER].as_str());
        named.map(str::to_owned).ok_or_else(|| format!("HTTP {}: no fee payer", said.status))
    }

    /// Asks `/supported`, and `/accepts` where there is one. What is in the way of every payment.
    pub(super) async fn look(&self, sold: &Sold) -> Result<(), InTheWay> {
        let said = self.get("/supported").await.map_err(away)?;
        judge_supported(&said, sold)?;
        let offer = json!({
            "scheme": "exact",
            "network": sold.network,
            "asset": sold.asset,
            "payTo": sold.pay_to,
            "amount": PROBE_AMOUNT,
        });
        let question = json!({ "x402Version": X402_VERSION, "accepts": [offer] });
        let said = self.post("/accepts", None, question.to_string().into_bytes()).await.map_err(away)?;
        judge_accepts(&said)
    }
}

fn judge_supported(said: &Said, sold: &Sold) -> Result<(), InTheWay> {
    match said.status {
        200..=299 => {}
        401 | 403 => return Err(refuses("it does not know the key of facilitator.api_key")),
        404 => return Err(refuses("it has no /supported: facilitator.url is another address")),
        status => return Err(away(format!("/supported: HTTP {status}"))),
    }
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(&said.body) else {
        return Err(away("/supported: no answer of a facilitator"));
    };
    let kinds = answer.get("kinds").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(kind) = kinds.iter().find(|kind| is_of(kind, &sold.network)) else {
        return Err(refuses("it does not settle \"exact\" payments of x402 version 2 on this network"));
    };
    if let Some(why) = answer.get("closed").and_then(|closed| closed.get(sold.network.as_str())) {
        return Err(away(plain_words(&format!("it takes nothing on this network now: {why}"))));
    }
    if sold.network.family() == Family::Solana {
        check_fee_payer(&answer, kind, sold.fee_payer.as_deref())?;
    }
    // Where it knows whom it pays, it has to be the one that customers are told to pay.
    let none = Map::new();
    let extra = kind.get("extra").and_then(Value::as_object).unwrap_or(&none);
    for (name, ours) in [("payTo", &sold.pay_to), ("asset", &sold.asset)] {
        let theirs = extra.get(name).and_then(Value::as_str);
        if theirs.is_some_and(|theirs| !is_same(&sold.network, theirs, ours)) {
            return Err(refuses(format!("it has another {name} for this merchant")));
        }
    }
    Ok(())
}

/// As the chain compares: hexadecimal digits ignore case, base58 does not.
fn is_same(network: &Network, one: &str, other: &str) -> bool {
    match network.family() {
        Family::Eip155(_) => one.eq_ignore_ascii_case(other),
        Family::Solana => one == other,
    }
}

/// A facilitator of several wallets names them in turn; all of them are among its signers.
fn check_fee_payer(answer: &Map<String, Value>, kind: &Value, ours: Option<&str>) -> Result<(), InTheWay> {
    let Some(ours) = ours else {
        return Err(away("its fee payer was not known at the start: start again"));
    };
    let signers = answer.get("signers").and_then(Value::as_object);
    let mut signers = signers.into_iter().flat_map(Map::values).filter_map(Value::as_array).flatten();
    if kind["extra"][FEE_PAYER] == ours || signers.any(|signer| signer == ours) {
        return Ok(());
    }
    Err(refuses("it pays with another wallet than at the start: start again"))
}

fn is_of(kind: &Value, network: &Network) -> bool {
    kind["x402Version"].as_u64() == Some(X402_VERSION)
        && kind["scheme"] == "exact"
        && kind["network"] == network.as_str()
}

/// One that has no `/accepts` says so in a status, and says nothing against the offer.
fn judge_accepts(said: &Said) -> Result<(), InTheWay> {
    let answer = match said.status {
        200..=299 => serde_json::from_slice::<Value>(&said.body).unwrap_or_default(),
        _ => return Ok(()),
    };
    match answer["accepts"].as_array() {
        Some(offers) if offers.is_empty() => {
            let why = plain_words(answer["error"].as_str().unwrap_or_default());
            Err(refuses(format!("it would not settle what is sold: {why}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sold() -> Sold {
        let network = "eip155:8453".parse().unwrap();
        Sold { network, asset: "0xAA".to_owned(), pay_to: "0xbb".to_owned(), fee_payer: None }
    }

    fn said(status: u16, body: Value) -> Said {
        Said { status, retry_after: None, body: body.to_string().into_bytes() }
    }

    fn kind(network: &str, extra: Value) -> Value {
        json!({"x402Version": 2, "scheme": "exact", "network": network, "extra": extra})
    }

    fn obstacle(status: u16, body: Value) -> Option<Obstacle> {
        judge_supported(&said(status, body), &sold()).err().map(|found| found.obstacle)
    }

    #[test]
    fn a_network_is_sold_only_where_the_facilitator_settles_it() {
        let ours = kind("eip155:8453", json!({"payTo": "0xBB", "asset": "0xaa"}));
        assert_eq!(obstacle(200, json!({"kinds": [kind("solana:x", json!(null)), ours]})), None);
        assert_eq!(obstacle(200, json!({"kinds": [kind("eip155:8453", json!(null))]})), None);
        let refuses = Some(Obstacle::FacilitatorRefuses);
        let of_version_1 = json!({"x402Version": 1, "scheme": "exact", "network": "eip155:8453"});
        let upto = json!({"x402Version": 2, "scheme": "upto", "network": "eip155:8453"});
        for kinds in [json!([]), json!([kind("eip155:84532", json!({}))]), json!([of_version_1, upto])] {
            assert_eq!(obstacle(200, json!({ "kinds": kinds })), refuses, "{kinds}");
        }
        let another = kind("eip155:8453", json!({"payTo": "0xcc"}));
        assert_eq!(obstacle(200, json!({"kinds": [another]})), refuses, "money for somebody else");
        assert_eq!(obstacle(401, json!({})), refuses);
    }

    #[test]
    fn customers_sign_for_a_fee_payer_that_is_still_there() {
        let network: Network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
        let sold = |fee_payer: Option<&str>| Sold {
            network: network.clone(),
            asset: "Mint".to_owned(),
            pay_to: "Payee".to_owned(),
            fee_payer: fee_payer.map(str::to_owned),
        };
        let answer = json!({
            "kinds": [kind(network.as_str(), json!({"feePayer": "One"}))],
            "signers": {"solana:*": ["One", "Two"]},
        });
        let obstacle = |fee_payer| {
            judge_supported(&said(200, answer.clone()), &sold(fee_payer)).err().map(|found| found.obstacle)
        };
        assert_eq!(obstacle(Some("One")), None);
        assert_eq!(obstacle(Some("Two")), None, "of several that it names in turn");
        assert_eq!(obstacle(Some("one")), Some(Obstacle::FacilitatorRefuses), "base58 has cases");
        assert_eq!(obstacle(None), Some(Obstacle::FacilitatorAway));
    }

    #[test]
    fn who_does_not_answer_is_away_and_comes_back() {
        let away = Some(Obstacle::FacilitatorAway);
        for status in [429, 500, 502, 503] {
            assert_eq!(obstacle(status, json!({})), away);
        }
        assert_eq!(obstacle(200, json!("garbage")), away);
        let closed = json!({"kinds": [kind("eip155:8453", json!({}))], "closed": {"eip155:8453": "no_rate"}});
        assert_eq!(obstacle(200, closed), away);
    }

    #[test]
    fn an_offer_that_it_leaves_out_is_not_made() {
        let refused = said(200, json!({"accepts": [], "error": "accepts[0]: another payTo"}));
        assert_eq!(judge_accepts(&refused).unwrap_err().obstacle, Obstacle::FacilitatorRefuses);
        for other in [said(404, json!({})), said(405, json!({})), said(200, json!({"accepts": [{}]}))] {
            assert_eq!(judge_accepts(&other), Ok(()));
        }
    }
}
