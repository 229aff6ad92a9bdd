use proptest::prelude::*;

use super::*;

fn tariff(number: i64, gas: u64, created_at_ms: i64) -> Tariff {
    Tariff {
        network: Network::BASE.parse().unwrap(),
        number,
        gas: Amount::new(gas),
        cost_native: 1,
        rent_included: false,
        created_at_ms,
        replaced_at_ms: None,
    }
}

fn window() -> TariffWindow {
    TariffWindow::new(Network::BASE.parse().unwrap(), 120, 30, 60)
}

#[test]
fn base_gas_is_exact_and_rounded_up() {
    let cost = BaseCost { gas: 100_000, fee_per_gas_wei: 12_000_000, l1_fee_wei: 5_000_000_000 };
    let rate: Rate = "2500.00".parse().unwrap();
    // 1.205e12 wei = 1.205e-6 ETH = 0.0030125 USD; with 1.25: 0.003765625 USD.
    assert_eq!(cost.native(), Ok(1_205_000_000_000));
    assert_eq!(base_gas_usdc(&cost, &rate, &"1.25".parse().unwrap()), Ok(Amount::new(3_766)));
    assert_eq!(base_gas_usdc(&cost, &rate, &"1".parse().unwrap()), Ok(Amount::new(3_013)));
    let exact = BaseCost { gas: 1, fee_per_gas_wei: 400_000_000, l1_fee_wei: 0 };
    assert_eq!(base_gas_usdc(&exact, &rate, &"1".parse().unwrap()), Ok(Amount::new(1)));
}

#[test]
fn solana_gas_counts_signatures_fee_and_rent() {
    let cost = SolanaCost { signatures: 2, priority_fee_lamports: 1, rent_lamports: 2_039_280 };
    // 2,049,281 lamports × 150 USD = 0.30739215 USD.
    assert_eq!(cost.native(), Ok(2_049_281));
    let rate: Rate = "150".parse().unwrap();
    assert_eq!(solana_gas_usdc(&cost, &rate, &"1".parse().unwrap()), Ok(Amount::new(307_393)));
    let bare = SolanaCost { rent_lamports: 0, ..cost };
    assert_eq!(solana_gas_usdc(&bare, &rate, &"1.25".parse().unwrap()), Ok(Amount::new(1_876)));
}

#[test]
fn costs_out_of_range_are_errors() {
    let cost = BaseCost { gas: u64::MAX, fee_per_gas_wei: u128::MAX, l1_fee_wei: 0 };
    let (rate, markup) = ("1".parse().unwrap(), "1".parse().unwrap());
    assert_eq!(base_gas_usdc(&cost, &rate, &markup), Err(QuoteError::OutOfRange));
    let dear = BaseCost { gas: 1, fee_per_gas_wei: u128::MAX, l1_fee_wei: 0 };
    assert_eq!(base_gas_usdc(&dear, &rate, &markup), Err(QuoteError::OutOfRange));
    let lamports =
        SolanaCost { signatures: u64::MAX, priority_fee_lamports: u64::MAX, rent_lamports: u64::MAX };
    assert!(lamports.native().is_ok());
}

#[test]
fn rises_are_never_limited_and_falls_are() {
    let at = |previous, wanted, elapsed| {
        next_gas(Some(Amount::new(previous)), Amount::new(wanted), elapsed, 1_000).atomic()
    };
    assert_eq!(next_gas(None, Amount::new(7), 0, 1_000).atomic(), 7);
    assert_eq!(at(1_000, 900_000, 0), 900_000);
    assert_eq!(at(10_000, 1, 60_000), 9_000);
    assert_eq!(at(10_000, 1, 30_000), 9_500);
    assert_eq!(at(10_000, 9_800, 30_000), 9_800);
    assert_eq!(at(10_000, 1, 0), 10_000);
    assert_eq!(at(10_000, 1, -5), 10_000);
    assert_eq!(at(10_000, 1, i64::MAX), 1);
    // The limit would round to nothing: one unit may still go.
    assert_eq!(at(5, 1, 2_000), 4);
    assert_eq!(at(5, 1, 999), 5);
    assert_eq!(next_gas(Some(Amount::new(5)), Amount::ZERO, 60_000, 0).atomic(), 5);
}

#[test]
fn a_replaced_tariff_is_payable_until_its_time_is_over() {
    let mut window = window();
    window.push(tariff(1, 100, 0)).unwrap();
    window.push(tariff(2, 200, 10_000)).unwrap();
    assert_eq!(window.current(10_000).unwrap().number, 2);
    assert_eq!(window.matching(Amount::new(100), 160_000).unwrap().number, 1);
    assert!(window.matching(Amount::new(100), 160_001).is_none());
    assert!(window.matching(Amount::new(101), 20_000).is_none());
    assert_eq!(window.payable_tariffs(20_000).count(), 2);
}

#[test]
fn a_stale_tariff_is_not_offered_but_stays_payable_for_a_while() {
    let mut window = window();
    assert!(window.current(0).is_none());
    window.push(tariff(1, 100, 0)).unwrap();
    assert!(window.current(60_000).is_some());
    assert!(window.current(60_001).is_none());
    assert!(window.matching(Amount::new(100), 210_000).is_some());
    assert!(window.matching(Amount::new(100), 210_001).is_none());
}

#[test]
fn tariffs_may_arrive_in_any_order_and_twice() {
    let mut window = window();
    for number in [3, 1, 2, 3, 1] {
        window.push(tariff(number, 100 + number as u64, number * 1_000)).unwrap();
    }
    assert_eq!(window.len(), 3);
    let replaced: Vec<_> = window.payable_tariffs(0).map(|t| (t.number, t.replaced_at_ms)).collect();
    assert_eq!(replaced, [(3, None), (2, Some(3_000)), (1, Some(2_000))]);
}

#[test]
fn of_equal_surcharges_the_newest_matches() {
    let mut window = window();
    for number in 1..=3 {
        window.push(tariff(number, 100, number * 1_000)).unwrap();
    }
    assert_eq!(window.matching(Amount::new(100), 5_000).unwrap().number, 3);
}

#[test]
fn the_window_is_bounded_and_keeps_to_its_network() {
    let mut window = window();
    for number in 0..2 * WINDOW_TARIFFS_MAX as i64 {
        window.push(tariff(number, 1, number)).unwrap();
    }
    assert_eq!(window.len(), WINDOW_TARIFFS_MAX);
    let foreign = Tariff { network: Network::SOLANA.parse().unwrap(), ..tariff(1, 1, 0) };
    assert!(matches!(window.push(foreign), Err(QuoteError::WrongNetwork { .. })));
}

#[test]
fn what_an_amount_buys_never_costs_more_than_the_amount() {
    let one: Markup = "1".parse().unwrap();
    // 0.003 USD at 2500 USD per ETH: 1.2e-6 ETH.
    let rate: Rate = "2500".parse().unwrap();
    assert_eq!(usdc_to_native(Amount::new(3_000), 18, &rate), Ok(1_200_000_000_000));
    assert_eq!(usdc_to_native(Amount::ZERO, 18, &rate), Ok(0));
    for (amount, rate, decimals) in [(1, "3", 9), (3_938, "2499.99", 18), (u64::MAX, "7", 18), (1, "2500", 9)]
    {
        let rate: Rate = rate.parse().unwrap();
        let native = usdc_to_native(Amount::new(amount), decimals, &rate).unwrap();
        assert!(native_to_usdc(native, decimals, &rate, &one).unwrap() <= Amount::new(amount));
    }
    for decimals in [-1, 37, i64::MIN, i64::MAX] {
        assert_eq!(usdc_to_native(Amount::new(1), decimals, &rate), Err(QuoteError::OutOfRange));
        assert_eq!(native_to_usdc(1, decimals, &rate, &one), Err(QuoteError::OutOfRange));
    }
}

proptest! {
    /// An amount is taken exactly when it is the service price plus a tariff that was
    /// current at some moment of the window, judged here without a window.
    #[test]
    fn an_amount_is_its_service_plus_a_tariff_current_in_the_window(
        history in prop::collection::vec((1_i64..90_000, 1_u64..40), 1..30),
        since in 0_i64..400_000, service in 1_u64..1_000_000, offset in -30_i64..70,
    ) {
        let mut window = window();
        let mut at = 0;
        let mut known = Vec::new();
        for (number, (after, gas)) in (1..).zip(&history) {
            at += after;
            known.push((at, *gas));
            window.push(tariff(number, *gas, at)).unwrap();
        }
        let now = at + since;
        let amount = service.saturating_add_signed(offset);
        let ended = |place: usize| known.get(place + 1).map_or(known[place].0 + 60_000, |next| next.0);
        let wanted = known.iter().enumerate().any(|(place, (_, gas))| {
            service + gas == amount && now <= ended(place) + 150_000
        });
        let taken = window.paying(Amount::new(amount), Amount::new(service), now);
        prop_assert_eq!(taken.is_some(), wanted);
        if let Some(taken) = taken {
            prop_assert_eq!(taken.gas.atomic() + service, amount);
            prop_assert!(amount > service, "the service is never discounted");
        }
    }
}
