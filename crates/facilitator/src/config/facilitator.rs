//! `[facilitator]` of the configuration: a gate that has its payments settled elsewhere.

use std::fmt;

use serde::Deserialize;

use super::check::invalid;
use super::decimal::decimal_text;
use super::ranges::Range;
use super::urls::without_spelling;
use super::{Config, ConfigError, NetworkConfig, TokenAccount, is_reference, resolve};

/// `[facilitator]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FacilitatorConfig {
    /// Where `/supported` and `/settle` are; `env:NAME` and `file:PATH` refer to a secret that holds it.
    pub url: String,
    /// Reference to the key that it knows us by (`env:NAME`, `file:PATH`); sent as
    /// `Authorization: Bearer`.
    pub api_key: Option<String>,
    /// How long one question may take, its answer included.
    pub timeout_seconds: u64,
    /// The longest pause between two times that the same payment is sent.
    pub repeat_seconds_max: u64,
    /// What is added to each price (USDC): what the facilitator asks for settling is between it and
    /// the operator.
    #[serde(deserialize_with = "decimal_text")]
    pub surcharge_usdc: String,
}

impl Default for FacilitatorConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            api_key: None,
            timeout_seconds: 30,
            repeat_seconds_max: 15,
            surcharge_usdc: "0".to_owned(),
        }
    }
}

impl fmt::Debug for FacilitatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a key, and anything may have been pasted into the rest.
        f.debug_struct("FacilitatorConfig")
            .field("timeout_seconds", &self.timeout_seconds)
            .finish_non_exhaustive()
    }
}

impl FacilitatorConfig {
    /// All that types cannot express.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |problem: &str| Err(ConfigError::Invalid(format!("facilitator.{problem}")));
        if !self.api_key.as_deref().is_none_or(is_reference) {
            return wrong("api_key: write env:NAME or file:PATH, never the secret itself");
        }
        // What a reference leads to is read where it is used.
        let Ok(url) = resolve("facilitator.url", &self.url) else { return Ok(()) };
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        if !is_web || url.contains(['?', '#']) || without_spelling(&url).is_none() {
            return wrong(
                "url must be a URL such as \"https://facilitator.example.com\", without query or fragment",
            );
        }
        Ok(())
    }

    pub(super) fn ranges(&self) -> [Range<'_>; 3] {
        let Self { url: _, api_key: _, timeout_seconds, repeat_seconds_max, surcharge_usdc } = self;
        [
            Range::whole("facilitator.timeout_seconds", *timeout_seconds, 1, 120),
            Range::whole("facilitator.repeat_seconds_max", *repeat_seconds_max, 1, 600),
            Range::usdc("facilitator.surcharge_usdc", surcharge_usdc, 0, 1_000),
        ]
    }
}

impl Config {
    /// What a network may not say where somebody else settles, in the words of its section.
    pub(super) fn elsewhere_problems(&self) -> Vec<ConfigError> {
        let Some(facilitator) = &self.facilitator else { return Vec::new() };
        let mut found: Vec<_> = facilitator.check().err().into_iter().collect();
        for (name, network) in &self.networks {
            found.extend(network.elsewhere_problem().map(|problem| invalid(name, problem)));
        }
        found
    }
}

impl NetworkConfig {
    fn elsewhere_problem(&self) -> Option<&'static str> {
        let has_wallets = !self.wallets.is_empty() || !self.retired_wallets.is_empty();
        match () {
            () if has_wallets => {
                Some("[facilitator] settles with wallets of its own: take wallets and retired_wallets out")
            }
            () if self.shared_pay_to => Some(
                "shared_pay_to needs wallets of our own, which [facilitator] rules out: gates that are paid at \
                 one pay_to share one ledger",
            ),
            () if self.token_account == Some(TokenAccount::InPayment) => Some(
                "token_account = \"in_payment\" makes our wallet pay the rent, and [facilitator] rules one out: \
                 let the recipient's token account exist",
            ),
            () if self.contract_payers == Some(true) => {
                Some("contract_payers needs a wallet of our own, which [facilitator] rules out")
            }
            () => None,
        }
    }
}
