use std::str::FromStr as _;

use proptest::prelude::*;

use super::*;

fn big(text: &str) -> BigDecimal {
    BigDecimal::from_str(text).unwrap()
}

/// The sum as it would be without the short way.
fn exact(lines: &[(String, u64)], usd_per_unit: &str) -> Option<Amount> {
    let mut dollars = BigDecimal::from(0);
    for (units, quantity) in lines {
        dollars += big(units) * BigDecimal::from(*quantity) * big(usd_per_unit);
    }
    usdc_ceil(&dollars).ok()
}

fn summed(lines: &[(String, u64)], usd_per_unit: &str) -> Dollars {
    let mut dollars = Dollars::Small(Decimal { digits: 0, places: 0 });
    for (units, quantity) in lines {
        dollars.add(&big(units), *quantity, &big(usd_per_unit));
    }
    dollars
}

#[test]
fn what_does_not_fit_the_short_way_goes_the_long_one() {
    let longest = "999999999999.999999999999999999".to_owned();
    for (lines, usd_per_unit, small) in [
        (vec![("4.7".to_owned(), 3), ("0.1".to_owned(), 1)], "0.003", true),
        (vec![(longest.clone(), 1)], "1", true),
        (vec![(longest.clone(), 1_000_000_000)], "0.000000000000000001", false),
        (
            vec![("1".to_owned(), 1), (longest.clone(), 1_000_000_000), ("1".to_owned(), 7)],
            "0.000000000000000001",
            false,
        ),
        (vec![(longest.clone(), u64::MAX)], &longest, false),
    ] {
        let sum = summed(&lines, usd_per_unit);
        assert_eq!(matches!(sum, Dollars::Small(_)), small, "{lines:?} {usd_per_unit}");
        assert_eq!(sum.usdc_ceil(), exact(&lines, usd_per_unit), "{lines:?} {usd_per_unit}");
    }
}

#[test]
fn it_is_rounded_up_once_and_only_upwards() {
    for (units, atomic) in
        [("0.000001", 1), ("0.0000010", 1), ("0.0000011", 2), ("0.000000000001", 1), ("1", 1_000_000)]
    {
        assert_eq!(summed(&[(units.to_owned(), 1)], "1").usdc_ceil(), Some(Amount::new(atomic)), "{units}");
    }
    // Two halves of an atomic unit are one, not two.
    assert_eq!(summed(&[("0.0000005".to_owned(), 2)], "1").usdc_ceil(), Some(Amount::new(1)));
}

proptest! {
    #[test]
    fn both_ways_agree(
        lines in prop::collection::vec(("(0|[1-9][0-9]{0,11})(\\.[0-9]{1,18})?", 1u64..2_000), 1..6),
        usd_per_unit in "(0|[1-9][0-9]{0,5})\\.[0-9]{1,18}",
    ) {
        prop_assert_eq!(summed(&lines, &usd_per_unit).usdc_ceil(), exact(&lines, &usd_per_unit));
    }
}
