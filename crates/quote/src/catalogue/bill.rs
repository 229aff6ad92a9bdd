//! Adding up a price: exact to the end, rounded up once.

use bigdecimal::BigDecimal;

use super::Catalogue;
use super::refusal::Fault;
use crate::decimal::{plain, usdc_ceil};
use crate::{Price, PriceLine, TextReserve};

/// Lines of one request.
#[derive(Debug, Default)]
pub(super) struct Bill {
    lines: Vec<(String, u64, BigDecimal)>,
}

impl Bill {
    /// Adds `quantity` times `units`; an equal line grows instead.
    pub(super) fn add(&mut self, label: impl Into<String>, quantity: u64, units: &BigDecimal) {
        let label = label.into();
        match self.lines.iter_mut().find(|line| line.0 == label && line.2 == *units) {
            Some(line) => line.1 = line.1.saturating_add(quantity),
            None => self.lines.push((label, quantity, units.clone())),
        }
    }

    /// The price of all lines under `catalogue`'s unit.
    pub(super) fn total(self, catalogue: &Catalogue, reserve: Option<TextReserve>) -> Result<Price, Fault> {
        let mut dollars = BigDecimal::from(0);
        let mut lines = Vec::with_capacity(self.lines.len());
        for (label, quantity, units) in self.lines {
            let line_dollars = &units * BigDecimal::from(quantity) * &catalogue.usd_per_unit;
            lines.push(PriceLine {
                label,
                quantity: quantity.to_string(),
                unit_price: plain(&units),
                unit: catalogue.unit.clone(),
                usdc: plain(&line_dollars),
            });
            dollars += line_dollars;
        }
        let service = usdc_ceil(&dollars).map_err(|_| {
            Fault::whole("price_out_of_range", "this request is too large to be priced; split it")
        })?;
        Ok(Price { service, lines, reserve })
    }
}
