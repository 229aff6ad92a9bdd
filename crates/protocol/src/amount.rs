//! Token amounts in atomic units.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimals of USDC on every network the reference specification lists.
pub const USDC_DECIMALS: u32 = 6;

/// Longest decimal string of a `u64`; anything longer is refused before parsing.
const AMOUNT_DIGITS_MAX: usize = 20;

/// An amount of a token in atomic units (USDC: millionths of a dollar).
///
/// On the wire it is a string of decimal digits with no sign, no leading zero
/// and no fraction, so that two spellings of one amount cannot exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

/// Arithmetic on amounts left the range of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("amount out of range")]
pub struct AmountError;

/// Why a string is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Something other than ASCII digits, or nothing at all.
    #[error("an amount is a string of decimal digits in atomic units")]
    NotDigits,
    /// `007`: a second spelling of 7.
    #[error("an amount has no leading zeros")]
    LeadingZero,
    /// Above 2^64 − 1 atomic units.
    #[error("amount out of range")]
    OutOfRange,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `atomic` units.
    pub const fn new(atomic: u64) -> Self {
        Self(atomic)
    }

    /// The number of atomic units.
    pub const fn atomic(self) -> u64 {
        self.0
    }

    /// Sum, refused on overflow.
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountError)
    }

    /// Difference, refused below zero.
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountError)
    }

    /// Product with a count, refused on overflow.
    pub fn checked_mul(self, count: u64) -> Result<Self, AmountError> {
        self.0.checked_mul(count).map(Self).ok_or(AmountError)
    }

    /// The amount in whole tokens with exactly six decimals, as `breakdown` shows it.
    pub fn to_usdc(self) -> String {
        format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }

    /// Appends the number of atomic units in decimal digits, without an
    /// allocation of its own.
    pub fn write_digits(self, out: &mut Vec<u8>) {
        push_digits(self.0, 1, out);
    }

    /// Appends what [`Self::to_usdc`] gives.
    pub fn write_usdc(self, out: &mut Vec<u8>) {
        push_digits(self.0 / 1_000_000, 1, out);
        out.push(b'.');
        push_digits(self.0 % 1_000_000, USDC_DECIMALS as usize, out);
    }
}

/// Appends decimal digits, zeros in front up to `width`.
fn push_digits(mut value: u64, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    while value > 0 || out.len() - start < width {
        #[allow(clippy::cast_possible_truncation)] // a digit
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseAmountError::NotDigits);
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(ParseAmountError::LeadingZero);
        }
        if text.len() > AMOUNT_DIGITS_MAX {
            return Err(ParseAmountError::OutOfRange);
        }
        text.parse().map(Self).map_err(|_| ParseAmountError::OutOfRange)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_amount_has_one_spelling() {
        for (text, expected) in [
            ("0", Ok(Amount::ZERO)),
            ("13938", Ok(Amount::new(13_938))),
            ("18446744073709551615", Ok(Amount::new(u64::MAX))),
            ("18446744073709551616", Err(ParseAmountError::OutOfRange)),
            ("999999999999999999999", Err(ParseAmountError::OutOfRange)),
            ("", Err(ParseAmountError::NotDigits)),
            ("+1", Err(ParseAmountError::NotDigits)),
            ("-1", Err(ParseAmountError::NotDigits)),
            ("1.0", Err(ParseAmountError::NotDigits)),
            ("1e3", Err(ParseAmountError::NotDigits)),
            (" 1", Err(ParseAmountError::NotDigits)),
            ("٣", Err(ParseAmountError::NotDigits)),
            ("00", Err(ParseAmountError::LeadingZero)),
            ("01", Err(ParseAmountError::LeadingZero)),
        ] {
            assert_eq!(text.parse::<Amount>(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_json_number_is_not_an_amount() {
        assert!(serde_json::from_str::<Amount>("13938").is_err());
    }

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(Amount::new(u64::MAX).checked_add(Amount::new(1)), Err(AmountError));
        assert_eq!(Amount::ZERO.checked_sub(Amount::new(1)), Err(AmountError));
        assert_eq!(Amount::new(u64::MAX).checked_mul(2), Err(AmountError));
    }

    #[test]
    fn usdc_has_six_decimals() {
        assert_eq!(Amount::new(13_938).to_usdc(), "0.013938");
        assert_eq!(Amount::new(12_000_000).to_usdc(), "12.000000");
    }

    #[test]
    fn appended_digits_are_the_formatted_ones() {
        let powers = (0..20).map(|exponent| 10u64.pow(exponent));
        for atomic in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            let amount = Amount::new(atomic);
            let mut out = b"x".to_vec();
            amount.write_digits(&mut out);
            out.push(b' ');
            amount.write_usdc(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{amount} {}", amount.to_usdc()));
        }
    }
}
