//! Exact decimals: parsed strictly, multiplied exactly, rounded up once.

use std::fmt;
use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::rounding::RoundingMode;
use bigdecimal::{BigDecimal, ToPrimitive, Zero};
use quittance_protocol::{Amount, USDC_DECIMALS};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::QuoteError;

/// Most digits before the dot.
pub(crate) const INTEGER_DIGITS_MAX: usize = 12;
/// Most digits after the dot.
pub(crate) const FRACTION_DIGITS_MAX: usize = 18;

/// Parses digits with at most one dot. No sign, no exponent (`1e999999999`
/// would be an allocation bomb), no spaces, no redundant leading zero.
pub(crate) fn parse_decimal(what: &'static str, text: &str) -> Result<BigDecimal, QuoteError> {
    let bad = || QuoteError::BadDecimal { what, text: text.chars().take(40).collect() };
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(bad()),
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let shape = !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && whole.len() <= INTEGER_DIGITS_MAX
        && fraction.len() <= FRACTION_DIGITS_MAX
        && (whole.len() == 1 || !whole.starts_with('0'));
    if !shape {
        return Err(bad());
    }
    BigDecimal::from_str(text).map_err(|_| bad())
}

/// `value` without exponent and without trailing zeros.
pub(crate) fn plain(value: &BigDecimal) -> String {
    value.normalized().to_plain_string()
}

/// `dollars` in atomic USDC, rounded up.
pub(crate) fn usdc_ceil(dollars: &BigDecimal) -> Result<Amount, QuoteError> {
    let atomic = dollars * BigDecimal::new(BigInt::from(10u64.pow(USDC_DECIMALS)), 0);
    let whole = atomic.with_scale_round(0, RoundingMode::Ceiling);
    whole.to_u64().map(Amount::new).ok_or(QuoteError::OutOfRange)
}

macro_rules! decimal_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&plain(&self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// US dollars for one whole native coin (ETH, SOL), exact and above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate(pub(crate) BigDecimal);

impl FromStr for Rate {
    type Err = QuoteError;

    fn from_str(text: &str) -> Result<Self, QuoteError> {
        let value = parse_decimal("rate", text)?;
        if value.is_zero() { Err(QuoteError::ZeroRate) } else { Ok(Self(value)) }
    }
}

/// Factor between the estimated cost of a settlement and what is charged for
/// it; from 1 to 10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markup(pub(crate) BigDecimal);

impl FromStr for Markup {
    type Err = QuoteError;

    fn from_str(text: &str) -> Result<Self, QuoteError> {
        let value = parse_decimal("markup", text)?;
        let (least, most) = (BigDecimal::from(1), BigDecimal::from(10));
        if value < least || value > most {
            return Err(QuoteError::BadMarkup);
        }
        Ok(Self(value))
    }
}

decimal_text!(Rate);
decimal_text!(Markup);

#[cfg(test)]
mod tests;
