//! A network's offers, prepared: as text for each surcharge, with what the chain said of the
//! moment.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use quittance_protocol::Amount;
use quittance_quote::{NetworkTerms, OfferTemplate, QuoteError};
use serde_json::{Map, Value};

/// How long what a chain said of the moment stands in offers: a blockhash lives
/// some thirty seconds, and the customer needs most of them.
pub(super) const MOMENT_MS_MAX: i64 = 10_000;

/// One network's offers as text, each prepared once for each surcharge and moment.
#[derive(Debug, Default)]
pub(crate) struct Prepared(RwLock<BTreeMap<usize, (u64, Arc<OfferTemplate>)>>);

/// A network's offers with what the chain said of the moment.
#[derive(Debug, Default)]
pub(crate) struct Moment(RwLock<Option<Arc<Said>>>);

/// What was said, numbered, and when.
#[derive(Debug)]
struct Said {
    number: u64,
    offers: Vec<NetworkTerms>,
    at_ms: i64,
}

impl Moment {
    /// Takes in what the chain says now.
    pub(crate) fn say(&self, offers: &[NetworkTerms], extra: &Map<String, Value>, now_ms: i64) {
        let mut said = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = said.as_ref().map_or(1, |said| said.number.wrapping_add(1));
        let mut offers = offers.to_vec();
        for terms in &mut offers {
            terms.extra.extend(extra.clone());
        }
        *said = Some(Arc::new(Said { number, offers, at_ms: now_ms }));
    }

    /// The moment is over: somebody was told to sign again, and over the same blockhash
    /// the same message would come out.
    pub(crate) fn pass(&self) {
        let mut said = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = said.take() {
            *said = Some(Arc::new(Said { number: old.number, offers: old.offers.clone(), at_ms: i64::MIN }));
        }
    }

    /// Hands out the terms to offer now, those at one place: those of `offers` alone once the moment
    /// is past. `None`: nothing is there.
    pub(crate) fn terms<T>(
        &self,
        (offers, at): (&[NetworkTerms], usize),
        now_ms: i64,
        read: impl FnOnce(u64, &NetworkTerms) -> T,
    ) -> Option<T> {
        let said = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match said {
            Some(said) if now_ms.saturating_sub(said.at_ms) <= MOMENT_MS_MAX => {
                Some(read(said.number, said.offers.get(at)?))
            }
            _ => Some(read(0, offers.get(at)?)),
        }
    }
}

impl Prepared {
    /// The template for `gas`, the surcharge of this moment's tariff, and the terms
    /// of this number at this place: one made for others is replaced, never used.
    pub(crate) fn at(
        &self,
        gas: Amount,
        (number, place): (u64, usize),
        terms: &NetworkTerms,
    ) -> Result<Arc<OfferTemplate>, QuoteError> {
        if let Some((known, template)) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&place)
            && *known == number
            && template.gas() == gas
        {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(OfferTemplate::new(gas, terms)?);
        let kept = (number, Arc::clone(&template));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(place, kept);
        Ok(template)
    }
}
