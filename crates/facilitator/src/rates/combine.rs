//! From several readings to one rate, or to none. Pure.

use quittance_quote::Rate;

use crate::prices::price::Price;

/// How far a source's date may lie in our future; clocks differ.
const AHEAD_MS_MAX: i64 = 60_000;

const BASIS_POINTS: u128 = 10_000;

/// What a source said last.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) price: Price,
    /// When the source made it, if it says so.
    pub(crate) dated_ms: Option<i64>,
    /// When we read it.
    pub(crate) read_ms: i64,
}

impl Seen {
    /// Both ages count: a node that no longer answers hides a crash of the
    /// price, however young the last answer claims to be.
    pub(crate) fn is_fresh(&self, read_age_max_ms: i64, dated_age_max_ms: i64, now_ms: i64) -> bool {
        let within = |at_ms: i64, age_max_ms: i64| {
            let age_ms = now_ms.saturating_sub(at_ms);
            (-AHEAD_MS_MAX..=age_max_ms).contains(&age_ms)
        };
        within(self.read_ms, read_age_max_ms) && self.dated_ms.is_none_or(|at| within(at, dated_age_max_ms))
    }
}

/// Why there is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRate {
    #[error(
        "the fixed rate is older than rates.fixed_rates_max_age_hours; restart with a new one, or add live sources"
    )]
    Outdated,
    #[error("{fresh} fresh sources, {needed} needed")]
    TooFew { fresh: usize, needed: usize },
    #[error("only {agreeing} of {fresh} fresh sources agree, {needed} needed")]
    Apart { agreeing: usize, fresh: usize, needed: usize },
}

/// The median of the fresh prices that lie within `deviation_bps` of the median
/// of all. They must be at least `sources_min` and more than half of all, so one
/// broken source among three is outvoted and two that differ give no rate.
///
/// Of an even number the dearer middle one counts: a coin believed too dear
/// costs a customer, a coin believed too cheap sells under cost.
pub(crate) fn combine(fresh: &[&Price], deviation_bps: u32, sources_min: usize) -> Result<Rate, NoRate> {
    let mut sorted = fresh.to_vec();
    sorted.sort_by_key(|price| price.scaled());
    let count = sorted.len();
    let needed = sources_min.max(1);
    let too_few = NoRate::TooFew { fresh: count, needed };
    if count < needed {
        return Err(too_few);
    }
    let middle = sorted.get(count / 2).ok_or(too_few)?.scaled();
    sorted.retain(|price| {
        price.scaled().abs_diff(middle).saturating_mul(BASIS_POINTS)
            <= middle.saturating_mul(u128::from(deviation_bps))
    });
    let agreeing = sorted.len();
    let needed = needed.max(count / 2 + 1);
    if agreeing < needed {
        return Err(NoRate::Apart { agreeing, fresh: count, needed });
    }
    sorted.get(agreeing / 2).map(|price| price.rate().clone()).ok_or(too_few)
}
