//! A year of fees, prices and spikes against the tariff policy: nothing is sold
//! under cost on any day, hardly any minute is unsold, and payers are not fleeced.
//!
//! `scripts/replay` prints the table. Everything is integers and one fixed seed,
//! so it is the same on every machine. What is modelled, and why these
//! parameters, stands in `docs/decisions/0004-tariff-policy.md`.

#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "replay/facilitator.rs"]
mod facilitator;
#[path = "replay/market.rs"]
mod market;

use facilitator::{Facilitator, Ledger, Policy};
use market::Market;

/// At the default markup.
const SURCHARGE_MEDIAN_MAX_PERCENT: i64 = 40;
/// Part of the year in which a network must sell, in basis points.
const SOLD_MIN_BPS: u64 = 9_500;

fn replay(name: &'static str, market: &Market, policy: Policy) -> Ledger {
    let ledger = Facilitator::new(market, policy).run();
    eprintln!("{}", ledger.row(name));
    ledger
}

fn check(ledger: &Ledger) {
    for (day, books) in ledger.days.iter().enumerate() {
        assert!(books.charged >= books.spent, "day {day} was sold under cost: {books:?}");
    }
    let sold = ledger.sold_bps();
    assert!(sold >= SOLD_MIN_BPS, "sold in {sold} of 10000 minutes");
    let median = ledger.surcharge_median_percent();
    assert!(median < SURCHARGE_MEDIAN_MAX_PERCENT, "median surcharge {median} %");
    assert!(ledger.payments > 25_000, "only {} payments were replayed", ledger.payments);
}

/// Blocks of Base, and those of chains that are ten times slower.
const BLOCK_MS: u64 = 200;
const SLOW_BLOCK_MS: u64 = 2_000;

#[test]
fn base_sells_every_day_at_or_above_cost_through_spikes() {
    eprintln!("{}", Ledger::HEAD);
    for (name, block_ms) in [("Base", BLOCK_MS), ("blocks of 2 s", SLOW_BLOCK_MS)] {
        let ledger = replay(name, &Market::base(block_ms), Policy::base(block_ms));
        check(&ledger);
        assert!(ledger.refused_old > 0, "no old tariff ever met a spike: the replay tests nothing");
    }
}

#[test]
fn solana_sells_every_day_at_or_above_cost_through_price_shocks() {
    let market = Market::solana();
    check(&replay("Solana", &market, Policy::solana()));
}

#[test]
#[ignore = "half a minute of comparison; scripts/replay runs it"]
fn what_other_policies_would_do() {
    let market = Market::base(BLOCK_MS);
    let policy = || Policy::base(BLOCK_MS);
    let wide =
        replay("Base, whole limit of 150,000 charged", &market, Policy { gas_bounded: 150_000, ..policy() });
    assert!(
        wide.sold_bps() < SOLD_MIN_BPS,
        "charging the whole gas limit sells as well; decision 0004 is void"
    );
    let strict = replay("Base, no cost budget", &market, Policy { cost_budget: 0, ..policy() });
    assert!(strict.days.iter().all(|books| books.charged >= books.spent));
    let tight = replay("Base, fee cap of six blocks", &market, Policy { blocks_of_headroom: 6, ..policy() });
    let busy =
        replay("Base, something always under way", &market, Policy { fees_every_seconds: 1, ..policy() });
    let dear =
        replay("Base, headroom of ten blocks charged", &market, Policy { headroom_bps: 32_500, ..policy() });
    assert!(dear.surcharge_median_percent() > SURCHARGE_MEDIAN_MAX_PERCENT, "it could be charged");
    assert!(busy.left_behind <= tight.left_behind);
}
