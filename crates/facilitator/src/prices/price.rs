//! A price as a source gave it: exact, never through a float.

use quittance_quote::Rate;

use super::error::SourceError;

/// Decimals of the integer that prices are compared as.
const DECIMALS: u32 = 18;

/// Most bytes of a price as text: twelve digits, a dot, eighteen digits.
const TEXT_BYTES_MAX: usize = 31;

/// US dollars for one coin, above zero and below 10^12.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    scaled: u128,
    rate: Rate,
}

impl Price {
    /// Digits with at most one dot, as exchanges write prices.
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SourceError::NotAPrice);
        }
        let rate: Rate = text.parse().map_err(|_| SourceError::NotAPrice)?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let width = DECIMALS as usize;
        let scaled = format!("{whole}{fraction:0<width$}").parse().map_err(|_| SourceError::NotAPrice)?;
        Ok(Self { scaled, rate })
    }

    /// `value` × 10^`exponent`, as on-chain feeds keep prices.
    pub(crate) fn from_parts(value: u128, exponent: i32) -> Result<Self, SourceError> {
        let places = i32::try_from(DECIMALS)
            .ok()
            .and_then(|decimals| decimals.checked_add(exponent))
            .and_then(|places| u32::try_from(places).ok())
            .ok_or(SourceError::NotAPrice)?;
        let scaled = 10_u128
            .checked_pow(places)
            .and_then(|scale| value.checked_mul(scale))
            .ok_or(SourceError::NotAPrice)?;
        let one = 10_u128.pow(DECIMALS);
        Self::parse(&format!("{}.{:018}", scaled / one, scaled % one))
    }

    /// In units of 10^-18 dollars, below 10^30.
    pub(crate) fn scaled(&self) -> u128 {
        self.scaled
    }

    /// For tariffs.
    pub(crate) fn rate(&self) -> &Rate {
        &self.rate
    }
}
