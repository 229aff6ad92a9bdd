use super::*;

#[test]
fn only_exact_plain_decimals_are_rates() {
    for good in ["2500.00", "0.5", "1", "999999999999.999999999999999999"] {
        assert!(good.parse::<Rate>().is_ok(), "{good}");
    }
    for bad in [
        "",
        ".",
        ".5",
        "1.",
        "-1",
        "+1",
        "1e3",
        "1E9",
        "0x10",
        " 1",
        "1 ",
        "01",
        "1_000",
        "1,5",
        "NaN",
        "inf",
        "1.2.3",
        "٣",
        "1000000000000",
        "0.0000000000000000001",
    ] {
        assert!(matches!(bad.parse::<Rate>(), Err(QuoteError::BadDecimal { .. })), "{bad}");
    }
    assert_eq!("0.00".parse::<Rate>(), Err(QuoteError::ZeroRate));
}

#[test]
fn a_markup_never_sells_under_cost() {
    assert!("1".parse::<Markup>().is_ok());
    assert!("10.0".parse::<Markup>().is_ok());
    assert_eq!("0.99".parse::<Markup>(), Err(QuoteError::BadMarkup));
    assert_eq!("10.01".parse::<Markup>(), Err(QuoteError::BadMarkup));
}

#[test]
fn dollars_are_rounded_up_to_the_atomic_unit() {
    for (dollars, atomic) in [("0.0141", 14_100), ("0.0000001", 1), ("0.0141001", 14_101), ("0", 0)] {
        let value = parse_decimal("test", dollars).unwrap();
        assert_eq!(usdc_ceil(&value), Ok(Amount::new(atomic)), "{dollars}");
    }
    let huge = BigDecimal::from(u64::MAX);
    assert_eq!(usdc_ceil(&huge), Err(QuoteError::OutOfRange));
}

#[test]
fn rates_survive_serde() {
    let rate: Rate = serde_json::from_str("\"2500.50\"").unwrap();
    assert_eq!(serde_json::to_string(&rate).unwrap(), "\"2500.5\"");
    assert!(serde_json::from_str::<Rate>("2500.5").is_err());
}
