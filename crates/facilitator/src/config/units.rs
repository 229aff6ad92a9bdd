//! Exact decimals of the configuration as integers.

use quittance_protocol::{Amount, USDC_DECIMALS};

use crate::config::ConfigError;

/// Denominator of decimals kept as basis points.
pub(crate) const BASIS_POINTS_DIGITS: usize = 4;

/// Decimals of USDC.
pub(crate) const USDC_DIGITS: usize = USDC_DECIMALS as usize;

/// Decimals that an amount of native coins may have in the configuration.
pub(crate) const COIN_DIGITS: usize = 9;

/// `"1.25"` as 12,500: exact, and never a float.
pub(crate) fn basis_points(name: &str, text: &str) -> Result<u32, ConfigError> {
    let value = scaled(text, BASIS_POINTS_DIGITS).and_then(|value| u32::try_from(value).ok());
    value.ok_or_else(|| {
        ConfigError::Invalid(format!("{name} must be a decimal such as \"1.25\" with at most four places"))
    })
}

/// `"0.50"` as 500,000 atomic units.
pub(crate) fn usdc(name: &str, text: &str) -> Result<Amount, ConfigError> {
    scaled(text, USDC_DIGITS)
        .map(Amount::new)
        .ok_or_else(|| ConfigError::Invalid(format!("{name} must be a decimal of USDC such as \"0.50\"")))
}

/// `"0.005"` whole coins as wei or lamports.
pub(crate) fn coins(name: &str, text: &str, decimals: u32) -> Result<u64, ConfigError> {
    let finest = decimals.saturating_sub(u32::try_from(COIN_DIGITS).unwrap_or(decimals));
    let value = scaled(text, COIN_DIGITS).and_then(|value| value.checked_mul(10_u64.checked_pow(finest)?));
    value.ok_or_else(|| {
        ConfigError::Invalid(format!(
            "{name} must be a decimal of whole coins such as \"0.005\" with at most {COIN_DIGITS} places"
        ))
    })
}

/// Digits with at most one dot, as an integer of `places` decimals.
pub(crate) fn scaled(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(scaled("1.25", 4), Some(12_500));
        assert_eq!(scaled("0.5", 6), Some(500_000));
        assert_eq!(scaled("2", 4), Some(20_000));
        assert_eq!(coins("k", "0.005", 18).unwrap(), 5_000_000_000_000_000);
        assert_eq!(coins("k", "0.5", 9).unwrap(), 500_000_000);
        assert!(coins("k", "0.0000000001", 18).is_err() && coins("k", "19", 18).is_err());
        for bad in ["", ".5", "1.", "-1", "1e3", "1.00001", "99999999999999999999"] {
            assert!(bad == "1." || scaled(bad, 4).is_none(), "{bad}");
        }
    }
}
