//! `usage`, with the bill under `usage.imgnai`.

use quittance_protocol::Amount;
use serde_json::{Value, json};

/// What a finished chat used and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the question, as the price counted them.
    pub prompt_tokens: u64,
    /// Tokens of the reply.
    pub completion_tokens: u64,
    /// Credits set aside before the call, a decimal with at most one place.
    pub credits_reserved: String,
    /// Credits the tokens cost, rounded up to a tenth.
    pub credits_metered: String,
    /// What the reserve is in USDC.
    pub service: Amount,
    /// Public model name.
    pub model: String,
    /// `x402` or `credits`.
    pub billing_source: &'static str,
}

impl Usage {
    /// The object as it stands in answers; `None` when a credit figure is not one.
    ///
    /// An `exact` payment is made once and in full, so with x402 the whole
    /// reserve is charged and nothing comes back; `credits_metered` tells what
    /// the tokens alone would have cost. An account gets the difference back.
    pub fn json(&self) -> Option<Value> {
        let reserved = tenths(&self.credits_reserved)?;
        let metered = tenths(&self.credits_metered)?;
        let charged = if self.billing_source == "x402" { reserved } else { metered };
        let refunded = reserved.saturating_sub(charged);
        // The reserve's price in proportion; exact when all of it is charged.
        let billed = u128::from(self.service.atomic()).checked_mul(u128::from(charged))?;
        let billed = billed.div_ceil(u128::from(reserved.max(1)));
        let billed = Amount::new(u64::try_from(billed).ok()?);
        Some(json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens.saturating_add(self.completion_tokens),
            "imgnai": {
                "credits_reserved": credits(reserved),
                "credits_charged": credits(charged),
                "credits_refunded": credits(refunded),
                "credits_metered": credits(metered),
                "billed_usd_estimate": billed.to_usdc(),
                "privacy_mode": privacy(&self.model),
                "model": self.model,
                "billing_source": self.billing_source,
            },
        }))
    }
}

/// The privacy label of a public model name: private models say so in their name.
pub fn privacy(model: &str) -> &'static str {
    if is_private(model) { "E2EE Private" } else { "Anonymized" }
}

/// Whether this is a private model's name.
pub fn is_private(model: &str) -> bool {
    model.ends_with("-private")
}

/// Tenths of a credit in `10`, `10.5` or `0.1`.
fn tenths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 1 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(10)?.checked_add(part.parse().ok()?)
}

fn credits(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(billing_source: &'static str) -> Value {
        let usage = Usage {
            prompt_tokens: 12,
            completion_tokens: 5,
            credits_reserved: "10".to_owned(),
            credits_metered: "0.3".to_owned(),
            service: Amount::new(47_000),
            model: "kimi-k2-6-private".to_owned(),
            billing_source,
        };
        usage.json().unwrap()
    }

    #[test]
    fn an_exact_payment_is_charged_whole_and_an_account_gets_the_rest_back() {
        let x402 = usage("x402");
        assert_eq!(x402["total_tokens"], 17);
        assert_eq!(x402["imgnai"]["credits_charged"], "10.0");
        assert_eq!(x402["imgnai"]["credits_refunded"], "0.0");
        assert_eq!(x402["imgnai"]["credits_metered"], "0.3");
        assert_eq!(x402["imgnai"]["billed_usd_estimate"], "0.047000");
        assert_eq!(x402["imgnai"]["privacy_mode"], "E2EE Private");
        let account = usage("credits");
        assert_eq!(account["imgnai"]["credits_charged"], "0.3");
        assert_eq!(account["imgnai"]["credits_refunded"], "9.7");
        assert_eq!(account["imgnai"]["billed_usd_estimate"], "0.001410");
    }

    #[test]
    fn credits_have_one_place_at_most() {
        for (text, expected) in [
            ("10", Some(100)),
            ("10.0", Some(100)),
            ("0.1", Some(1)),
            ("12.7", Some(127)),
            ("", None),
            ("-1", None),
            ("1.23", None),
            ("1.", None),
            (".5", None),
            ("1e3", None),
        ] {
            assert_eq!(tenths(text), expected, "{text:?}");
        }
    }
}
