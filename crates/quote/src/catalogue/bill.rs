//! Adding up a price: exact to the end, rounded up once.

use bigdecimal::{BigDecimal, ToPrimitive as _};
use quittance_protocol::{Amount, USDC_DECIMALS};

use super::Catalogue;
use super::refusal::Fault;
use crate::decimal::{plain, usdc_ceil};
use crate::{Price, PriceLine, TextReserve};

/// Lines of one request and their sum.
#[derive(Debug)]
pub(super) struct Bill<'a> {
    catalogue: &'a Catalogue,
    /// `None` where only the sum is asked for: an unpaid request.
    lines: Option<Vec<(String, u64, BigDecimal)>>,
    dollars: Dollars,
}

impl<'a> Bill<'a> {
    /// Line by line.
    pub(super) fn itemised(catalogue: &'a Catalogue) -> Self {
        Self { lines: Some(Vec::new()), ..Self::sum(catalogue) }
    }

    /// The sum alone; its price has no lines.
    pub(super) fn sum(catalogue: &'a Catalogue) -> Self {
        Self { catalogue, lines: None, dollars: Dollars::Small(Decimal { digits: 0, places: 0 }) }
    }

    /// Adds `quantity` times `units`; an equal line grows instead.
    pub(super) fn add(&mut self, label: impl FnOnce() -> String, quantity: u64, units: &BigDecimal) {
        self.dollars.add(units, quantity, &self.catalogue.usd_per_unit);
        let Some(lines) = &mut self.lines else { return };
        let label = label();
        match lines.iter_mut().find(|line| line.0 == label && line.2 == *units) {
            Some(line) => line.1 = line.1.saturating_add(quantity),
            None => lines.push((label, quantity, units.clone())),
        }
    }

    /// The price of everything added.
    pub(super) fn total(self, reserve: Option<TextReserve>) -> Result<Price, Fault> {
        let service = self.dollars.usdc_ceil().ok_or_else(|| {
            Fault::whole("price_out_of_range", "this request is too large to be priced; split it")
        })?;
        let Catalogue { unit, usd_per_unit, .. } = self.catalogue;
        let line = |(label, quantity, units): (String, u64, BigDecimal)| PriceLine {
            label,
            quantity: quantity.to_string(),
            unit_price: plain(&units),
            unit: unit.clone(),
            usdc: plain(&(units * BigDecimal::from(quantity) * usd_per_unit)),
        };
        let lines = self.lines.unwrap_or_default().into_iter().map(line).collect();
        Ok(Price { service, lines, reserve, reads_json: true })
    }
}

/// A sum of dollars. Prices fit 128 bits, where adding them up needs no memory
/// of its own; one that does not goes on as a [`BigDecimal`].
#[derive(Debug)]
enum Dollars {
    Small(Decimal),
    Large(BigDecimal),
}

impl Dollars {
    fn add(&mut self, units: &BigDecimal, quantity: u64, usd_per_unit: &BigDecimal) {
        let sum = match self {
            Self::Small(sum) => *sum,
            Self::Large(sum) => {
                *sum += units * BigDecimal::from(quantity) * usd_per_unit;
                return;
            }
        };
        let line = Decimal::product(units, quantity, usd_per_unit);
        *self = match line.and_then(|line| sum.checked_add(line)) {
            Some(sum) => Self::Small(sum),
            None => Self::Large(sum.to_big() + units * BigDecimal::from(quantity) * usd_per_unit),
        };
    }

    fn usdc_ceil(&self) -> Option<Amount> {
        match self {
            Self::Small(sum) => sum.usdc_ceil().or_else(|| usdc_ceil(&sum.to_big()).ok()),
            Self::Large(sum) => usdc_ceil(sum).ok(),
        }
    }
}

/// `digits` / 10^`places`, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    fn of(value: &BigDecimal) -> Option<Self> {
        let (digits, places) = value.as_bigint_and_scale();
        Some(Self { digits: digits.to_u128()?, places: u32::try_from(places).ok()? })
    }

    fn product(units: &BigDecimal, quantity: u64, usd_per_unit: &BigDecimal) -> Option<Self> {
        let (units, usd_per_unit) = (Self::of(units)?, Self::of(usd_per_unit)?);
        let digits = units.digits.checked_mul(u128::from(quantity))?.checked_mul(usd_per_unit.digits)?;
        Some(Self { digits, places: units.places.checked_add(usd_per_unit.places)? })
    }

    fn checked_add(self, other: Self) -> Option<Self> {
        let places = self.places.max(other.places);
        let digits = self.digits_at(places)?.checked_add(other.digits_at(places)?)?;
        Some(Self { digits, places })
    }

    /// The digits with `places` of them after the dot, which must not be fewer than now.
    fn digits_at(self, places: u32) -> Option<u128> {
        self.digits.checked_mul(10u128.checked_pow(places.checked_sub(self.places)?)?)
    }

    fn to_big(self) -> BigDecimal {
        BigDecimal::new(self.digits.into(), i64::from(self.places))
    }

    /// In atomic USDC, rounded up.
    fn usdc_ceil(self) -> Option<Amount> {
        let atomic = match self.places.checked_sub(USDC_DECIMALS) {
            None => self.digits_at(USDC_DECIMALS)?,
            Some(cut) => self.digits.div_ceil(10u128.checked_pow(cut)?),
        };
        u64::try_from(atomic).ok().map(Amount::new)
    }
}

#[cfg(test)]
mod tests;
