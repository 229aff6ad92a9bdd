//! What a seller asks for, as far as a payment is bound to it.

use std::borrow::Cow;

use serde_json::Value;

use crate::{Family, Network, PaymentRequirements};

/// One of the terms that a payment is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// `scheme`
    Scheme,
    /// `network`
    Network,
    /// `asset`
    Asset,
    /// `payTo`
    PayTo,
    /// `amount`
    Amount,
    /// `extra.memo`
    Memo,
}

/// The terms of a sale that a payment is bound to: scheme, network, asset,
/// recipient, amount and memo. Other `extra` and the resource text, which the
/// customer writes, are no part of it.
///
/// Two spellings of one thing (hex in another case, an amount with leading
/// zeros) are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SellerTerms<'a> {
    scheme: &'a str,
    network: &'a str,
    asset: Cow<'a, str>,
    pay_to: Cow<'a, str>,
    amount: Cow<'a, str>,
    memo: Option<Cow<'a, str>>,
}

impl<'a> SellerTerms<'a> {
    /// The bound part of `requirements`.
    pub fn of(requirements: &'a PaymentRequirements) -> Self {
        let family = requirements.network.parse().map(|network: Network| network.family());
        let address = |text: &'a str| match family {
            Ok(Family::Eip155(_)) => Cow::Owned(text.to_ascii_lowercase()),
            Ok(Family::Solana) | Err(_) => Cow::Borrowed(text),
        };
        Self {
            scheme: &requirements.scheme,
            network: &requirements.network,
            asset: address(&requirements.asset),
            pay_to: address(&requirements.pay_to),
            amount: match requirements.amount() {
                Some(amount) => Cow::Owned(amount.to_string()),
                None => Cow::Borrowed(&requirements.amount),
            },
            memo: requirements.memo(),
        }
    }

    /// The first term in which the two disagree.
    pub fn disagreement(&self, other: &Self) -> Option<Term> {
        [
            (self.scheme == other.scheme, Term::Scheme),
            (self.network == other.network, Term::Network),
            (self.asset == other.asset, Term::Asset),
            (self.pay_to == other.pay_to, Term::PayTo),
            (self.amount == other.amount, Term::Amount),
            (self.memo == other.memo, Term::Memo),
        ]
        .into_iter()
        .find_map(|(agrees, term)| (!agrees).then_some(term))
    }

    /// The terms one after the other, for hashing; each with whether it is there.
    pub(crate) fn fields(&self) -> [Option<&str>; 6] {
        [
            Some(self.scheme),
            Some(self.network),
            Some(&self.asset),
            Some(&self.pay_to),
            Some(&self.amount),
            self.memo.as_deref(),
        ]
    }
}

impl PaymentRequirements {
    /// `extra.memo`, by which a seller tells its receipts apart. Empty and `null`
    /// are none, as for the reference. What is not text stands for its JSON.
    pub fn memo(&self) -> Option<Cow<'_, str>> {
        match self.extra.get("memo")? {
            Value::Null => None,
            Value::String(memo) if memo.is_empty() => None,
            Value::String(memo) => Some(Cow::Borrowed(memo)),
            other => Some(Cow::Owned(other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Fingerprint;

    fn requirements(change: &Value) -> PaymentRequirements {
        let mut value = json!({
            "scheme": "exact", "network": "eip155:8453", "asset": "0xAb", "payTo": "0xCd", "amount": "20000",
            "maxTimeoutSeconds": 60, "extra": {"name": "USD Coin", "memo": "order-17"},
        });
        for (name, new) in change.as_object().unwrap() {
            value[name] = new.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn bound(change: &Value) -> Fingerprint {
        Fingerprint::of_merchant("shop", &SellerTerms::of(&requirements(change)))
    }

    #[test]
    fn each_bound_term_binds_and_nothing_else_does() {
        let original = requirements(&json!({}));
        for (change, term) in [
            (json!({"scheme": "upto"}), Term::Scheme),
            (json!({"network": "eip155:84532"}), Term::Network),
            (json!({"asset": "0xac"}), Term::Asset),
            (json!({"payTo": "0xce"}), Term::PayTo),
            (json!({"amount": "20001"}), Term::Amount),
            (json!({"extra": {"memo": "order-18"}}), Term::Memo),
            (json!({"extra": {}}), Term::Memo),
            (json!({"extra": {"memo": 17}}), Term::Memo),
        ] {
            let changed = requirements(&change);
            let found = SellerTerms::of(&original).disagreement(&SellerTerms::of(&changed));
            assert_eq!(found, Some(term), "{change}");
            assert_ne!(bound(&json!({})), bound(&change), "{change}");
        }
        for change in [
            json!({"asset": "0xaB", "payTo": "0xcD"}),
            json!({"maxTimeoutSeconds": 7}),
            json!({"extra": {"name": "other", "memo": "order-17", "more": 1}}),
            json!({"resource": "http://elsewhere"}),
        ] {
            let changed = requirements(&change);
            assert_eq!(SellerTerms::of(&original).disagreement(&SellerTerms::of(&changed)), None, "{change}");
            assert_eq!(bound(&json!({})), bound(&change), "{change}");
        }
    }

    #[test]
    fn base58_is_compared_as_it_stands() {
        let net = json!("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
        let one = requirements(&json!({"network": net, "payTo": "Abc"}));
        let other = requirements(&json!({"network": net, "payTo": "aBC"}));
        assert_eq!(SellerTerms::of(&one).disagreement(&SellerTerms::of(&other)), Some(Term::PayTo));
    }

    #[test]
    fn an_empty_memo_is_none() {
        for empty in [json!({}), json!({"memo": null}), json!({"memo": ""})] {
            assert_eq!(requirements(&json!({"extra": empty})).memo(), None);
        }
        assert_eq!(requirements(&json!({"extra": {"memo": 17}})).memo().as_deref(), Some("17"));
    }
}
