//! A network's offers, prepared: as text for each surcharge, with what the chain said of the
//! moment.

use std::sync::{Arc, PoisonError, RwLock};

use quittance_protocol::Amount;
use quittance_quote::{NetworkTerms, OfferTemplate, QuoteError};
use serde_json::{Map, Value};

/// How long what a chain said of the moment stands in offers: a blockhash lives
/// some thirty seconds, and the customer needs most of them.
pub(super) const MOMENT_MS_MAX: i64 = 10_000;

/// One network's offer as text, prepared once for each surcharge and moment.
#[derive(Debug, Default)]
pub(crate) struct Prepared(RwLock<Option<(u64, Arc<OfferTemplate>)>>);

/// A network's terms with what the chain said of the moment.
#[derive(Debug, Default)]
pub(crate) struct Moment(RwLock<Option<Arc<Said>>>);

/// What was said, numbered, and when.
#[derive(Debug)]
struct Said {
    number: u64,
    terms: NetworkTerms,
    at_ms: i64,
}

impl Moment {
    /// Takes in what the chain says now.
    pub(crate) fn say(&self, terms: &NetworkTerms, extra: Map<String, Value>, now_ms: i64) {
        let mut said = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = said.as_ref().map_or(1, |said| said.number.wrapping_add(1));
        let mut terms = terms.clone();
        terms.extra.extend(extra);
        *said = Some(Arc::new(Said { number, terms, at_ms: now_ms }));
    }

    /// The moment is over: somebody was told to sign again, and over the same blockhash
    /// the same message would come out.
    pub(crate) fn pass(&self) {
        let mut said = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = said.take() {
            *said = Some(Arc::new(Said { number: old.number, terms: old.terms.clone(), at_ms: i64::MIN }));
        }
    }

    /// Hands out the terms to offer now: `terms` alone once the moment is past.
    pub(crate) fn terms<T>(
        &self,
        terms: &NetworkTerms,
        now_ms: i64,
        read: impl FnOnce(u64, &NetworkTerms) -> T,
    ) -> T {
        let said = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match said {
            Some(said) if now_ms.saturating_sub(said.at_ms) <= MOMENT_MS_MAX => {
                read(said.number, &said.terms)
            }
            _ => read(0, terms),
        }
    }
}

impl Prepared {
    /// The template for `gas`, the surcharge of this moment's tariff, and the terms
    /// of this number: one made for others is replaced, never used.
    pub(crate) fn at(
        &self,
        gas: Amount,
        number: u64,
        terms: &NetworkTerms,
    ) -> Result<Arc<OfferTemplate>, QuoteError> {
        if let Some((known, template)) = self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref()
            && *known == number
            && template.gas() == gas
        {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(OfferTemplate::new(gas, terms)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((number, Arc::clone(&template)));
        Ok(template)
    }
}
