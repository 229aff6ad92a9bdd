//! Prepaid text: what a price reserves, and what real usage costs of it.

use std::sync::Arc;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use bigdecimal::rounding::RoundingMode;
use quittance_protocol::Amount;
use serde::Serialize;

use crate::QuoteError;
use crate::decimal::{plain, usdc_ceil};

/// A prepaid text call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextReserve {
    /// The model.
    pub model: String,
    /// Units (credits) reserved, a decimal with at most one place.
    pub units: String,
    /// Most output tokens of one choice that this price covers; the host must not generate more.
    pub output_tokens_max: u64,
    /// Output tokens of all choices together that the price covers.
    pub output_tokens: u64,
    /// Prompt tokens the price covers: counted, or bounded from above.
    pub prompt_tokens: u64,
    /// Whether `prompt_tokens` was counted by the tokenizer (and not bounded by bytes).
    pub counted: bool,
    /// What tokens cost, for the bill after the work.
    #[serde(skip)]
    pub(crate) rates: Arc<TextRates>,
}

impl TextReserve {
    /// What a finished call costs by the prices of its reserve: tokens times
    /// prices, at least the endpoint's minimum, rounded up to a tenth of a unit.
    ///
    /// Only out of range for numbers of tokens that no model has.
    pub fn meter(&self, prompt_tokens: u64, output_tokens: u64) -> Result<Metered, QuoteError> {
        self.rates.meter(prompt_tokens, output_tokens)
    }
}

/// What real usage costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metered {
    /// Units (credits), a decimal with at most one place.
    pub units: String,
    /// The same in USDC, rounded up to the atomic unit.
    pub usdc: Amount,
}

/// What a model's tokens cost at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextRates {
    pub(crate) usd_per_unit: BigDecimal,
    pub(crate) input_units_per_million: BigDecimal,
    pub(crate) output_units_per_million: BigDecimal,
    pub(crate) charge_units_min: BigDecimal,
}

impl TextRates {
    /// Tokens times their prices in units, exact.
    pub(crate) fn cost(&self, prompt_tokens: u64, output_tokens: u64) -> BigDecimal {
        let millionth = BigDecimal::new(BigInt::from(1), 6);
        (BigDecimal::from(prompt_tokens) * &self.input_units_per_million
            + BigDecimal::from(output_tokens) * &self.output_units_per_million)
            * millionth
    }

    /// See [`TextReserve::meter`].
    pub(crate) fn meter(&self, prompt_tokens: u64, output_tokens: u64) -> Result<Metered, QuoteError> {
        let cost = tenth_up(&self.cost(prompt_tokens, output_tokens));
        let units = cost.max(tenth_up(&self.charge_units_min));
        Ok(Metered { usdc: usdc_ceil(&(&units * &self.usd_per_unit))?, units: plain(&units) })
    }
}

/// Rounded up to a tenth of a unit.
pub(crate) fn tenth_up(units: &BigDecimal) -> BigDecimal {
    units.with_scale_round(1, RoundingMode::Ceiling)
}
