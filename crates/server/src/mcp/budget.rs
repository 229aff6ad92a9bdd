//! What an agent may still spend, and what it has under way.

use std::collections::BTreeMap;

use quittance_payer::{Kept, PayError, Payer};
use quittance_protocol::{Amount, plain_words};
use serde_json::{Value, json};

use crate::mcp::answers::bill;

pub(super) fn of(payer: &Payer) -> Result<Value, PayError> {
    let (limits, signed) = (payer.limits(), payer.signed_today()?);
    let total = signed.values().try_fold(Amount::ZERO, |sum, one| sum.checked_add(*one)).ok();
    let hosts: BTreeMap<_, _> = signed
        .iter()
        .map(|(host, amount)| {
            let left = limits.host_day.map(|limit| left(limit, Some(*amount)));
            (plain_words(host), json!({ "signed_usdc": amount.to_usdc(), "left_usdc": left }))
        })
        .collect();
    let kept = payer.kept()?;
    Ok(json!({
        "limits": {
            "per_call_usdc": limits.per_call.to_usdc(),
            "per_host_and_day_usdc": limits.host_day.map(Amount::to_usdc),
            "per_day_usdc": limits.day.map(Amount::to_usdc),
            "hosts": limits.hosts,
            "network": limits.network.as_ref().map(|network| network.as_str()),
        },
        "today_utc": {
            "signed_usdc": total.map(Amount::to_usdc),
            "left_usdc": limits.day.map(|limit| left(limit, total)),
            "by_host": hosts,
        },
        "payers": payer.addresses(),
        "open": kept.iter().map(open).collect::<Vec<_>>(),
    }))
}

/// Nothing where more was signed than can be counted.
fn left(limit: Amount, signed: Option<Amount>) -> String {
    let signed = signed.map_or(u64::MAX, Amount::atomic);
    Amount::new(limit.atomic().saturating_sub(signed)).to_usdc()
}

fn open(kept: &Kept) -> Value {
    let mut shown = bill(&kept.bill);
    shown.insert("url".to_owned(), json!(plain_words(&kept.url)));
    shown.insert("signed_at".to_owned(), json!(kept.signed_at));
    shown.insert("kept_until".to_owned(), json!(kept.kept_until));
    let state = match kept.is_settled {
        true => "paid; its answer is missing: the same `buy` asks for it again",
        false => "nobody said how it ended: the same `buy` sends it again",
    };
    shown.insert("state".to_owned(), json!(state));
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_less_than_nothing() {
        let left = |limit, signed: Option<u64>| left(Amount::new(limit), signed.map(Amount::new));
        assert_eq!(left(5_000_000, Some(20_000)), "4.980000");
        assert_eq!(left(5, Some(6)), "0.000000");
        assert_eq!(left(5, None), "0.000000");
    }
}
